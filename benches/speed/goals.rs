//! What we set out to reach, and how far we are.

use crate::cases::{Contender, Room};
use crate::measure::{Outcome, Row};

/// A goal on one interpreter.
pub(crate) struct Goal {
    pub(crate) python: String,
    pub(crate) what: String,
    pub(crate) limit: f64,
    pub(crate) measured: f64,
}

impl Goal {
    pub(crate) fn is_met(&self) -> bool {
        self.measured <= self.limit
    }
}

/// What is held against what.
type Figure = fn(&Row) -> Option<f64>;

/// Case, words, our figure, whose figure it is divided by, limit.
type Ratio = (&'static str, &'static str, Figure, (Contender, Figure), f64);

const WALL: Figure = |row| row.wall_ms.median();
const PAUSE: Figure = |row| row.pause_ms.median();
const PEAK: Figure = |row| row.peak_mb.median();
const PY_SPY: Contender = Contender::PySpy(&[]);
const BARE: Contender = Contender::BareCopy(Room::Touched);

const RATIOS: &[Ratio] = &[
    ("dump-small", "dump, 4 threads: wall / py-spy's", WALL, (PY_SPY, WALL), 0.7),
    ("dump-small", "dump, 4 threads: pause / py-spy's", PAUSE, (PY_SPY, PAUSE), 1.0),
    ("dump-200", "dump, 200 threads: wall / py-spy's", WALL, (PY_SPY, WALL), 0.6),
    ("dump-200", "dump, 200 threads: pause / py-spy's", PAUSE, (PY_SPY, PAUSE), 1.0),
    ("locals-200", "dump with locals as JSON: wall / py-spy's", WALL, (PY_SPY, WALL), 0.7),
    (
        "census-1m",
        "census, 1,000,000 objects: wall / gdb recipe's",
        WALL,
        (Contender::Gdb, WALL),
        0.3,
    ),
    ("census-1m", "census, 1,000,000 objects: pause / bare copy", PAUSE, (BARE, WALL), 2.0),
    ("census-5m", "census, 5,000,000 objects: pause / bare copy", PAUSE, (BARE, WALL), 2.0),
];

/// Peak memory of each dump, in MB.
const MOST_MEMORY: f64 = 15.0;
/// 5,000,000 objects against 1,000,000: linear, and a fifth on top.
const LINEAR: f64 = 6.0;

/// A report adds at most half to a census's time,
const REPORT_WALL: f64 = 1.5;
/// and nothing to its pause, which differs by this much from one run to the next.
const REPORT_PAUSE: f64 = 1.2;

/// Holds the results against the goals. Those without figures are left out.
pub(crate) fn judge(results: &[Outcome]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for outcome in results {
        judge_modes(outcome, &mut goals);
        let Some(ours) = outcome.row("pyattach") else { continue };
        let mut add = |what: &str, limit: f64, measured: Option<f64>| {
            let (python, what) = (outcome.python.clone(), what.to_owned());
            goals.extend(measured.map(|measured| Goal { python, what, limit, measured }));
        };
        for (_, what, figure, (peer, its), limit) in
            RATIOS.iter().filter(|ratio| ratio.0 == outcome.case.name)
        {
            let its = outcome.row(peer.name()).and_then(its);
            add(what, *limit, figure(ours).zip(its).map(|(ours, its)| ours / its));
        }
        let dump = matches!(ours.contender, Contender::Ours(["dump", ..]));
        if dump && !outcome.case.is_about_modes() {
            let what = format!("{}: peak memory, MB", outcome.case.title);
            add(&what, MOST_MEMORY, PEAK(ours));
        }
        if outcome.case.name == "report" {
            let report = outcome.row("pyattach report");
            let ratio = |figure: Figure| Some(figure(report?)? / figure(ours)?);
            add("report / census: wall", REPORT_WALL, ratio(WALL));
            add("report / census: pause", REPORT_PAUSE, ratio(PAUSE));
        }
        if let Some(why) = outcome.row("pyattach why") {
            let beside = WALL(why).zip(WALL(ours)).map(|(why, census)| why - census);
            match outcome.case.name {
                "why-1m" => {
                    add("why, 1,100,000 objects: wall beside the census, ms", 1000.0, beside);
                    add("why, 1,100,000 objects: peak memory, MB", 300.0, PEAK(why));
                }
                _ => add("why, 5,000,000 tracked objects: wall, ms", 10_000.0, WALL(why)),
            }
        }
        if outcome.case.name == "census-5m" {
            let small = results
                .iter()
                .find(|one| one.python == outcome.python && one.case.name == "census-1m");
            let small = small.and_then(|small| WALL(small.row("pyattach")?));
            let ratio = WALL(ours).zip(small).map(|(large, small)| large / small);
            add("census: wall of 5,000,000 / of 1,000,000 objects", LINEAR, ratio);
        }
    }
    goals
}

/// Of the bare copy, and of the bare fork and stop.
const NEAR_THE_LIMIT: f64 = 1.3;
/// 200 threads, in milliseconds.
const LONGEST_STOP: f64 = 5.0;

/// What each mode is held against.
fn judge_modes(outcome: &Outcome, goals: &mut Vec<Goal>) {
    let bare = |name: &str| outcome.row(name).and_then(WALL);
    let pause = |name: &str| outcome.row(name).and_then(PAUSE);
    let mut add = |what: &str, limit: f64, measured: Option<f64>| {
        let (python, what) = (outcome.python.clone(), format!("{}: {what}", outcome.case.title));
        goals.extend(measured.map(|measured| Goal { python, what, limit, measured }));
    };
    if outcome.case.name.starts_with("objects-1m") {
        let forking = bare("bare fork").zip(bare("bare stop and release"));
        // From the first thread stopped to the last released, by its own clock: what else the machine does while it
        // reads the copy is longer than the difference.
        let ours = outcome.row("pyattach --capture fork").and_then(|row| row.forked_ms.median());
        let forked = ours.zip(forking).map(|(ours, (fork, stop))| ours / (fork + stop));
        add("pause of fork, by its clock / bare fork and stop", NEAR_THE_LIMIT, forked);
        let copied = pause("pyattach --capture copy").zip(bare(BARE.name()));
        add("pause of copy / bare copy", NEAR_THE_LIMIT, copied.map(|(ours, bare)| ours / bare));
    }
    if outcome.case.name == "threads-200" {
        add("stop and release, ms", LONGEST_STOP, bare("pyattach's stop and release"));
    }
}
