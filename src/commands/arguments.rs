//! Arguments that several commands share.

use super::failure::{Code, Failure};
use super::pattern::Pattern;
use crate::attach::{CaptureMode, CaptureOptions};
use crate::process::{self, Process};
use std::collections::BTreeSet;
use std::time::Duration;

/// The range of process ids.
pub(super) fn pid() -> clap::builder::RangedI64ValueParser<i32> {
    clap::value_parser!(i32).range(1..)
}

/// Which processes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Targets {
    /// Process ids
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    #[arg(required_unless_present = "name")]
    pids: Vec<i32>,
    /// Every Python process whose command line matches: a part of it, or a pattern with * and ?
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,
    /// Their child processes as well, and theirs
    #[arg(long)]
    children: bool,
}

impl Targets {
    /// The processes named by their numbers.
    pub(super) fn numbers(&self) -> &[i32] {
        &self.pids
    }

    /// The pattern of `--name`.
    pub(super) fn pattern(&self) -> Result<Option<Pattern>, Failure> {
        self.name.as_deref().map(Pattern::new).transpose()
    }

    /// Whether child processes are meant as well.
    pub(super) fn with_children(&self) -> bool {
        self.children
    }

    /// The same from arguments of another command.
    pub(super) fn of(pids: Vec<i32>, name: Option<String>, children: bool) -> Self {
        Self { pids, name, children }
    }

    /// The process ids meant, each once: those given first, in their order.
    /// One whose children cannot be listed stands for itself; looking at it will say why.
    pub(super) fn pids(&self) -> Result<Vec<i32>, Failure> {
        let mut roots = self.pids.clone();
        if let Some(name) = &self.name {
            let pattern = Pattern::new(name)?;
            let named = process::python_processes(|command_line| pattern.matches(command_line));
            if named.is_empty() {
                let error = format!("no Python process has a command line that matches '{name}'");
                return Err(Failure::new(error, Code::Attach));
            }
            roots.extend(named);
        }
        let mut pids = Vec::new();
        for pid in roots {
            pids.push(pid);
            if self.children
                && let Ok(children) = Process::open(pid).and_then(|process| process.children(true))
            {
                pids.extend(children);
            }
        }
        let mut seen = BTreeSet::new();
        pids.retain(|&pid| seen.insert(pid));
        Ok(pids)
    }

    /// Runs `each` for every process. A failure is printed and does not keep the others from
    /// being looked at; the gravest exit code is the answer. In a family (`--children`) there
    /// may be shells and helpers, and children that end: those are passed over, with a note.
    pub(super) fn for_each(
        &self,
        each: impl FnMut(i32, bool) -> Result<Code, Failure>,
    ) -> Result<Code, Failure> {
        self.for_each_collecting(each, |_, _, _| {})
    }

    /// The same, and `failed` is told of each process that failed, and whether it was passed
    /// over, beside what is printed.
    pub(super) fn for_each_collecting(
        &self,
        mut each: impl FnMut(i32, bool) -> Result<Code, Failure>,
        mut failed: impl FnMut(i32, &Failure, bool),
    ) -> Result<Code, Failure> {
        let pids = self.pids()?;
        let several = pids.len() > 1;
        let mut gravest = None;
        let mut passed_over = Vec::new();
        for pid in pids {
            match each(pid, several) {
                Ok(code) => gravest = gravest.max(Some(code)),
                Err(failure) if failure.is_broken_pipe() || !several => return Err(failure),
                Err(failure) if self.children && failure.is_no_python() => {
                    failed(pid, &failure, true);
                    passed_over.push(failure);
                }
                Err(failure) => {
                    failed(pid, &failure, false);
                    failure.print();
                    gravest = gravest.max(Some(failure.code()));
                }
            }
        }
        let mut passed_over = passed_over.into_iter();
        if gravest.is_none()
            && let Some(failure) = passed_over.next()
        {
            return Err(failure);
        }
        passed_over.for_each(|failure| failure.print_as_note());
        Ok(gravest.unwrap_or(Code::Fine))
    }
}

/// How the picture is taken.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Taking {
    /// How to take the picture: auto, stop, copy, fork or live
    ///
    /// stop: hold every thread while reading. copy: hold them while the memory is copied, then
    /// analyse the copy. fork: hold them while the process forks a copy that never runs, then
    /// read that. live: never hold them; the numbers are approximate.
    #[arg(long = "capture", value_name = "MODE", default_value_t = CaptureMode::Auto)]
    mode: CaptureMode,
    /// Longest pause of the process; a capture that would pass it is abandoned (exit code 5)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_pause: Option<Duration>,
    /// Longest work on what was captured, in processor time; what is not reached is not counted (exit code 5)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_analysis: Option<Duration>,
    /// Memory that a copy may take, as 512M or 2G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_memory: Option<u64>,
}

impl Taking {
    /// The options for the layer that captures.
    pub(super) fn options(&self) -> CaptureOptions {
        CaptureOptions {
            mode: self.mode,
            max_pause: self.max_pause,
            max_memory: self.max_memory,
            max_analysis: self.max_analysis,
        }
    }
}

/// How the picture is taken, and whether the answer is JSON.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Capture {
    #[command(flatten)]
    taking: Taking,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Capture {
    /// The options for the layer that captures.
    pub(super) fn options(&self) -> CaptureOptions {
        self.taking.options()
    }
}

/// "50ms", "2s", "1.5s", "1m".
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| "a time such as 50ms or 2s".to_owned())?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" | "" => number,
        "m" => number * 60.0,
        _ => return Err("units are us, ms, s, m".to_owned()),
    };
    if !(0.0..=3600.0).contains(&seconds) || seconds == 0.0 {
        return Err("a time above zero, at most an hour".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// "512M", "2G", bytes without a unit.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "a size such as 512M or 2G".to_owned())?;
    let shift = match unit.to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("units are K, M, G, T".to_owned()),
    };
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert!(duration("0s").is_err() && duration("5 parsecs").is_err());
        assert!(duration("99999999999999999999s").is_err() && duration("").is_err());
        assert_eq!([size("512M"), size("2GiB"), size("77")], [Ok(512 << 20), Ok(2 << 30), Ok(77)]);
        assert!(size("99999999999T").is_err() && size("x").is_err());
    }
}
