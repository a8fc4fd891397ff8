//! The lines of the diagnosis script that people inject into a process, for those used to it.

use crate::report::escape::escape;
use crate::snapshot::injector::InjectorReport;
use std::fmt::Display;
use std::io::{self, Write};

/// Writes the lines.
pub fn write(out: &mut impl Write, report: &InjectorReport) -> io::Result<()> {
    writeln!(out, "Python version: {}", report.version)?;
    writeln!(out, "Thread count: {}", report.threads)?;
    let current = report.current_thread.as_deref().map(escape);
    writeln!(out, "Current thread: {}", known(current.as_ref()))?;
    if report.loops.is_empty() {
        writeln!(out, "Event loop: none")?;
    }
    let mut loops: Vec<_> = report
        .loops
        .iter()
        .map(|row| {
            let running = row.running.map(|running| if running { "True" } else { "False" });
            let executor = row.default_executor.as_deref().map_or("None".into(), escape);
            let text = format!(
                "Event loop running: {}\n  Default executor: {executor}\n  Scheduled: {}",
                known(running.as_ref()),
                known(row.scheduled.as_ref())
            );
            (row.running != Some(true), text)
        })
        .collect();
    // Running ones first.
    loops.sort();
    for (_, text) in loops {
        writeln!(out, "{text}")?;
    }
    writeln!(out, "Socket count: {}", report.sockets)?;
    writeln!(out, "ThreadPoolExecutors: {}", report.executors.len())?;
    sorted(
        out,
        report.executors.iter().map(|one| {
            let name = one.name.as_deref().map(escape);
            format!(
                "  {}: workers={}/{} active={} queue={}",
                known(name.as_ref()),
                known(one.workers.as_ref()),
                known(one.limit.as_ref()),
                one.active,
                known(one.queued.as_ref())
            )
        }),
    )?;
    writeln!(out, "aiohttp sessions: {}", report.sessions.len())?;
    sorted(
        out,
        report.sessions.iter().map(|one| {
            format!(
                "  connector: size={} limit={} limit_per_host={}",
                known(one.size.as_ref()),
                known(one.limit.as_ref()),
                known(one.limit_per_host.as_ref())
            )
        }),
    )
}

/// In the order of their texts, which the script inside the process has as well (`diagnose`).
fn sorted(out: &mut impl Write, lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn known<T: Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}
