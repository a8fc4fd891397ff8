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
    for row in &report.loops {
        let running = row.running.map(|running| if running { "True" } else { "False" });
        writeln!(out, "Event loop running: {}", known(running.as_ref()))?;
        let executor = row.default_executor.as_deref().map_or("None".into(), escape);
        writeln!(out, "  Default executor: {executor}")?;
        writeln!(out, "  Scheduled: {}", known(row.scheduled.as_ref()))?;
    }
    writeln!(out, "Socket count: {}", report.sockets)?;
    writeln!(out, "ThreadPoolExecutors: {}", report.executors.len())?;
    for one in &report.executors {
        let name = one.name.as_deref().map(escape);
        writeln!(
            out,
            "  {}: workers={}/{} active={} queue={}",
            known(name.as_ref()),
            known(one.workers.as_ref()),
            known(one.limit.as_ref()),
            one.active,
            known(one.queued.as_ref())
        )?;
    }
    writeln!(out, "aiohttp sessions: {}", report.sessions.len())?;
    for one in &report.sessions {
        writeln!(
            out,
            "  connector: size={} limit={} limit_per_host={}",
            known(one.size.as_ref()),
            known(one.limit.as_ref()),
            known(one.limit_per_host.as_ref())
        )?;
    }
    Ok(())
}

fn known<T: Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}
