//! The lines every document begins with: which process, and how it was captured.

use super::style::{BOLD, DIM, WARN};
use super::units::{bytes, milliseconds, number};
use crate::report::escape::escape;
use crate::snapshot::{CaptureInfo, ProcessInfo};
use std::io::{self, Write};

/// Longest command line shown.
const MAX_COMMAND: usize = 160;

/// Process, interpreter, figures, capture, and the notes on what the numbers leave out.
pub(super) fn write(
    out: &mut impl Write,
    process: &ProcessInfo,
    capture: &CaptureInfo,
) -> io::Result<()> {
    write_facts(out, process)?;
    writeln!(out, "{DIM}{}{DIM:#}", how(capture))?;
    write_notes(out, capture)
}

/// The same without how it was captured.
pub(super) fn write_process(
    out: &mut impl Write,
    process: &ProcessInfo,
    capture: &CaptureInfo,
) -> io::Result<()> {
    write_facts(out, process)?;
    write_notes(out, capture)
}

fn write_facts(out: &mut impl Write, process: &ProcessInfo) -> io::Result<()> {
    writeln!(out, "{BOLD}Process {}{BOLD:#}  {}", process.pid, command_line(process))?;
    let mut facts = vec![format!("Python {}", process.python.version)];
    facts.extend(process.python.build.iter().filter(|&build| build != "gil").cloned());
    facts.extend(process.user.as_ref().map(|user| format!("user {}", escape(user))));
    facts.extend(process.rss_bytes.map(|rss| format!("{} resident", bytes(rss))));
    facts.extend(process.os_threads.map(|threads| plural(threads, "thread")));
    facts.extend(process.fds.map(|fds| plural(fds, "open file")));
    writeln!(out, "{}", facts.join(", "))
}

fn write_notes(out: &mut impl Write, capture: &CaptureInfo) -> io::Result<()> {
    for note in &capture.notes {
        writeln!(out, "{WARN}note:{WARN:#} {}", escape(note))?;
    }
    writeln!(out)
}

fn command_line(process: &ProcessInfo) -> String {
    let line = process.cmdline.join(" ");
    let line = escape(&line);
    match line.char_indices().nth(MAX_COMMAND) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line.into_owned(),
    }
}

/// How it was captured, and at which cost.
pub(super) fn how(capture: &CaptureInfo) -> String {
    let attempt = match capture.attempts {
        ..=1 => String::new(),
        attempts => format!(" at attempt {attempts}"),
    };
    let pause = match capture.pause_ms {
        Some(pause) => format!("paused for {}", milliseconds(pause)),
        None => "never paused".to_owned(),
    };
    let (read, wall) = (bytes(capture.bytes_read), milliseconds(capture.wall_ms));
    format!(
        "captured with --capture {}{attempt}, {pause}, {read} read, {wall} in all",
        capture.mode
    )
}

/// `1 thread`, `2 threads`.
pub(super) fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}
