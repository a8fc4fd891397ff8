//! What is measured: targets, and who is to do what with them.

/// A measurement.
pub(crate) struct Case {
    /// The word for the command line.
    pub(crate) name: &'static str,
    /// In words, for the tables.
    pub(crate) title: &'static str,
    /// Arguments of `bench_target.py`.
    pub(crate) target: &'static [&'static str],
    /// Who runs, in this order, in every round.
    pub(crate) contenders: &'static [Contender],
    /// Rounds, and rounds with `--quick`; none then when that is 0.
    pub(crate) rounds: (usize, usize),
    /// Where it stands in a chart.
    pub(crate) place: Option<Place>,
}

/// A point of a chart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// Memory of the target, in MB.
    Memory(f64),
    /// Threads of the target.
    Threads(f64),
}

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// `pyattach` with these arguments before the PID.
    Ours(&'static [&'static str]),
    /// `pyattach why`: who holds the instances of this type.
    Why(&'static str),
    /// py-spy with these arguments before `--pid PID`.
    PySpy(&'static [&'static str]),
    /// pystack with these arguments before the PID.
    Pystack(&'static [&'static str]),
    /// gdb with the classic recipe.
    Gdb,
    /// `Process::stop` of our library and its release, nothing in between.
    Stop,
    /// Nothing but the kernel copying the resident pages.
    BareCopy(Room),
    /// Nothing but the kernel forking the target, which does it itself.
    BareFork,
    /// Nothing but the kernel stopping and releasing the target's threads.
    BareStop,
}

/// Where a bare copy goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Memory that was touched before, in huge pages where there are any.
    Touched,
    /// Memory that is touched by the copy.
    Fresh,
}

impl Case {
    /// Does it compare our own ways, which no version of Python makes faster or slower?
    pub(crate) fn is_about_modes(&self) -> bool {
        self.contenders.contains(&Contender::BareFork)
    }
}

impl Contender {
    /// What it is called in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours(["census", "--capture", "stop"]) => "pyattach --capture stop",
            Self::Ours(["census", "--capture", "copy"]) => "pyattach --capture copy",
            Self::Ours(["census", "--capture", "fork"]) => "pyattach --capture fork",
            Self::Ours(["census", "--capture", "live"]) => "pyattach --capture live",
            Self::Ours(["report", ..]) => "pyattach report",
            Self::Ours(_) => "pyattach",
            Self::Why(_) => "pyattach why",
            Self::PySpy(_) => "py-spy 0.4.3",
            Self::Pystack(_) => "pystack 1.7.2",
            Self::Gdb => "gdb recipe",
            Self::Stop => "pyattach's stop and release",
            Self::BareCopy(Room::Touched) => "bare copy, touched memory",
            Self::BareCopy(Room::Fresh) => "bare copy, fresh memory",
            Self::BareFork => "bare fork",
            Self::BareStop => "bare stop and release",
        }
    }

    /// Of whose pauses it is the limit: the first of these that takes part.
    pub(crate) fn is_limit_of(self) -> Option<&'static [&'static str]> {
        match self {
            Self::BareCopy(_) => Some(&["pyattach --capture copy", "pyattach"]),
            Self::BareFork => Some(&["pyattach --capture fork"]),
            Self::BareStop => Some(&["pyattach's stop and release"]),
            _ => None,
        }
    }

    /// Is it a limit, or a part of us, of which only a time is known?
    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::BareCopy(_) | Self::BareFork | Self::BareStop | Self::Stop)
    }
}

const DUMP: &[Contender] =
    &[Contender::Ours(&["dump"]), Contender::PySpy(&["dump"]), Contender::Pystack(&["remote"])];

/// Every mode, with what limits each: a stop has to wake every thread, a copy to move every page, a fork to do neither
/// but describe the memory again.
const MODES: &[Contender] = &[
    Contender::Ours(&["census", "--capture", "stop"]),
    Contender::Ours(&["census", "--capture", "copy"]),
    Contender::Ours(&["census", "--capture", "fork"]),
    Contender::Ours(&["census", "--capture", "live"]),
    Contender::BareStop,
    Contender::BareCopy(Room::Touched),
    Contender::BareFork,
];

const HELD: &[Contender] = &[
    Contender::Ours(&["dump"]),
    Contender::Ours(&["census", "--capture", "fork"]),
    Contender::Stop,
    Contender::BareStop,
    Contender::BareFork,
];

macro_rules! modes {
    ($name:literal, $title:literal, $target:expr, $rounds:expr, $place:expr) => {
        Case {
            name: $name,
            title: $title,
            target: &$target,
            contenders: MODES,
            rounds: $rounds,
            place: $place,
        }
    };
}

macro_rules! held {
    ($name:literal, $title:literal, $threads:literal, $place:literal) => {
        Case {
            name: $name,
            title: $title,
            target: &["--threads", $threads, "--depth", "5", "--objects", "20000"],
            contenders: HELD,
            rounds: (15, 5),
            place: Some(Place::Threads($place)),
        }
    };
}

/// All cases.
pub(crate) const ALL: &[Case] = &[
    Case {
        name: "dump-small",
        title: "dump, 4 threads",
        target: &["--threads", "3"],
        contenders: DUMP,
        rounds: (41, 7),
        place: None,
    },
    Case {
        name: "dump-200",
        title: "dump, 200 threads of 20 frames",
        target: &["--threads", "200"],
        contenders: DUMP,
        rounds: (15, 5),
        place: None,
    },
    Case {
        name: "locals-200",
        title: "dump with locals as JSON, 200 threads",
        target: &["--threads", "200"],
        contenders: &[
            Contender::Ours(&["dump", "--locals", "--json"]),
            Contender::PySpy(&["dump", "--locals", "--json"]),
        ],
        rounds: (15, 5),
        place: None,
    },
    Case {
        name: "census-1m",
        title: "census, 1,000,000 objects of an aged heap",
        target: &["--objects", "1000000", "--aged"],
        contenders: &[
            Contender::Ours(&["census"]),
            Contender::Gdb,
            Contender::BareCopy(Room::Touched),
            Contender::BareCopy(Room::Fresh),
        ],
        rounds: (7, 3),
        place: None,
    },
    Case {
        name: "census-5m",
        title: "census, 5,000,000 objects of an aged heap",
        target: &["--objects", "5000000", "--aged"],
        contenders: &[
            Contender::Ours(&["census"]),
            Contender::BareCopy(Room::Touched),
            Contender::BareCopy(Room::Fresh),
        ],
        rounds: (3, 0),
        place: None,
    },
    Case {
        name: "report",
        title: "census and report, 1,000,000 objects and 2,000 sockets",
        target: &["--objects", "1000000", "--sockets", "2000"],
        contenders: &[Contender::Ours(&["census"]), Contender::Ours(&["report"])],
        rounds: (31, 15),
        place: None,
    },
    Case {
        name: "why-1m",
        title: "who holds 112,000 instances, 1,100,000 objects and 2,100,000 references",
        target: &["--objects", "560000"],
        contenders: &[Contender::Ours(&["census"]), Contender::Why("__main__.Account")],
        rounds: (7, 3),
        place: None,
    },
    Case {
        name: "why-5m",
        title: "who holds 1,000,000 instances, 5,000,000 tracked objects",
        target: &["--objects", "5000000"],
        contenders: &[Contender::Ours(&["census"]), Contender::Why("__main__.Account")],
        rounds: (3, 0),
        place: None,
    },
    modes!(
        "memory-10",
        "census, 10 MB",
        ["--objects", "20000"],
        (15, 5),
        Some(Place::Memory(10.0))
    ),
    modes!(
        "memory-100",
        "census, 100 MB, mostly no objects",
        ["--objects", "20000", "--pad-mb", "90"],
        (15, 5),
        Some(Place::Memory(100.0))
    ),
    modes!(
        "memory-1000",
        "census, 1 GB, mostly no objects",
        ["--objects", "20000", "--pad-mb", "990"],
        (9, 3),
        Some(Place::Memory(1000.0))
    ),
    modes!(
        "memory-4000",
        "census, 4 GB, mostly no objects",
        ["--objects", "20000", "--pad-mb", "3990"],
        (5, 0),
        Some(Place::Memory(4000.0))
    ),
    modes!(
        "objects-100k",
        "census, 100,000 objects in order",
        ["--objects", "100000"],
        (15, 0),
        None
    ),
    modes!(
        "objects-100k-aged",
        "census, 100,000 objects of an aged heap",
        ["--objects", "100000", "--aged"],
        (15, 3),
        None
    ),
    modes!(
        "objects-1m",
        "census, 1,000,000 objects in order",
        ["--objects", "1000000"],
        (31, 15),
        None
    ),
    modes!(
        "objects-1m-aged",
        "census, 1,000,000 objects of an aged heap",
        ["--objects", "1000000", "--aged"],
        (31, 15),
        None
    ),
    modes!(
        "objects-5m",
        "census, 5,000,000 objects in order",
        ["--objects", "5000000"],
        (3, 0),
        None
    ),
    modes!(
        "objects-5m-aged",
        "census, 5,000,000 objects of an aged heap",
        ["--objects", "5000000", "--aged"],
        (3, 0),
        None
    ),
    held!("threads-5", "5 threads", "4", 5.0),
    held!("threads-50", "50 threads", "49", 50.0),
    held!("threads-200", "200 threads", "199", 200.0),
    held!("threads-1000", "1,000 threads", "999", 1000.0),
];
