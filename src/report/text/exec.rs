//! What became of a script, in a few lines for stderr; its own output is passed through.

use std::io::{self, Write};

use super::{DIM, ERROR, HINT, WARN};
use crate::report::escape::{escape, is_unsafe};
use crate::snapshot::exec::ExecDocument;

/// Writes how the script ended, when there is more to say than that it did.
pub fn write_ending(out: &mut dyn Write, document: &ExecDocument) -> io::Result<()> {
    let detail = document.detail.as_deref().unwrap_or_default();
    match document.ending {
        "raised" | "not-compiled" => {
            for line in detail.lines() {
                writeln!(out, "{}", escape(line))?;
            }
            let what = if document.ending == "raised" { "raised" } else { "does not compile" };
            writeln!(out, "{ERROR}error:{ERROR:#} the script {what}; the process goes on")?;
        }
        "exited" if !matches!(detail, "None" | "0") => {
            writeln!(out, "{WARN}note:{WARN:#} the script exited with {}", escape(detail))?;
        }
        "taken-back" => {
            writeln!(
                out,
                "{ERROR}error:{ERROR:#} queued, not run, taken back: {}",
                escape(detail)
            )?;
        }
        "lost" => {
            writeln!(
                out,
                "{ERROR}error:{ERROR:#} nobody will tell how the script ended: {}",
                escape(detail)
            )?;
        }
        "stopped" => {
            writeln!(out, "{ERROR}error:{ERROR:#} the script was ended at the time limit")?;
        }
        "still-running" => {
            writeln!(
                out,
                "{ERROR}error:{ERROR:#} the script did not end at the time limit: its thread {}",
                escape(detail)
            )?;
        }
        _ => {}
    }
    if document.cut {
        writeln!(out, "{WARN}note:{WARN:#} the rest of the script's output was left out")?;
    }
    if let Some(error) = &document.result_error {
        writeln!(out, "{WARN}note:{WARN:#} `result` is not JSON: {}", escape(error))?;
    }
    for left in &document.left_behind {
        writeln!(out, "{WARN}note:{WARN:#} left in the process: {}", escape(left))?;
    }
    Ok(())
}

/// Writes how the script got in (`-v`).
pub fn write_way(out: &mut dyn Write, document: &ExecDocument, way: &str) -> io::Result<()> {
    let ms = |time: Option<f64>| time.map_or("?".to_owned(), |time| format!("{time:.2} ms"));
    writeln!(
        out,
        "{DIM}way: {way}{}; the thread {}{DIM:#}",
        if document.interrupted { ", its system call ended early" } else { "" },
        escape(&document.doing),
    )?;
    writeln!(
        out,
        "{DIM}first line after {} ({} after the process went on), ran {}, paused {:.2} ms{DIM:#}",
        ms(document.latency_ms),
        ms(document.pickup_ms),
        ms(document.runtime_ms),
        document.pause_ms,
    )
}

/// Writes what would be done (`--dry-run`).
pub fn write_plan(out: &mut dyn Write, document: &ExecDocument, way: &str) -> io::Result<()> {
    writeln!(
        out,
        "{HINT}dry run:{HINT:#} {} would be run in process {} (Python {}) by {way}{}",
        escape(&document.script),
        document.pid,
        escape(&document.python),
        if document.interrupted { ", ending its system call early" } else { "" },
    )?;
    writeln!(out, "  the thread {}; nothing was changed", escape(&document.doing))
}

/// The script's own output with everything escaped that acts on a terminal; lines stay lines.
pub fn for_terminal(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut safe = String::with_capacity(text.len());
    let acts = |c: char| is_unsafe(c) && !matches!(c, '\n' | '\t');
    for piece in text.split_inclusive(acts) {
        match piece.chars().next_back().filter(|&c| acts(c)) {
            Some(last) => {
                safe.push_str(piece.strip_suffix(last).unwrap_or_default());
                safe.push_str(&escape(last.encode_utf8(&mut [0; 4])));
            }
            None => safe.push_str(piece),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_for_a_terminal_keeps_its_lines() {
        assert_eq!(for_terminal(b"a\tb\n\x1b[2Jc\xff"), "a\tb\n\\x1b[2Jc\u{fffd}");
    }
}
