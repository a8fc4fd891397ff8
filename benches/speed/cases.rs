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
    /// Rounds, and rounds with `--quick`.
    pub(crate) rounds: (usize, usize),
}

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// `pyattach` with these arguments before the PID.
    Ours(&'static [&'static str]),
    /// py-spy with these arguments before `--pid PID`.
    PySpy(&'static [&'static str]),
    /// pystack with these arguments before the PID.
    Pystack(&'static [&'static str]),
    /// gdb with the classic recipe.
    Gdb,
    /// Nothing but the kernel copying the resident pages.
    BareCopy(Room),
}

/// Where a bare copy goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Memory that was touched before, in huge pages where there are any.
    Touched,
    /// Memory that is touched by the copy.
    Fresh,
}

impl Contender {
    /// What it is called in the tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours(_) => "pyattach",
            Self::PySpy(_) => "py-spy 0.4.3",
            Self::Pystack(_) => "pystack 1.7.2",
            Self::Gdb => "gdb recipe",
            Self::BareCopy(Room::Touched) => "bare copy, touched memory",
            Self::BareCopy(Room::Fresh) => "bare copy, fresh memory",
        }
    }
}

const DUMP: &[Contender] =
    &[Contender::Ours(&["dump"]), Contender::PySpy(&["dump"]), Contender::Pystack(&["remote"])];

/// All cases.
pub(crate) const ALL: &[Case] = &[
    Case {
        name: "dump-small",
        title: "dump, 4 threads",
        target: &["--threads", "3"],
        contenders: DUMP,
        rounds: (41, 7),
    },
    Case {
        name: "dump-200",
        title: "dump, 200 threads of 20 frames",
        target: &["--threads", "200"],
        contenders: DUMP,
        rounds: (15, 5),
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
        rounds: (3, 1),
    },
];
