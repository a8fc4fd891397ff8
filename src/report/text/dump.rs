//! Thread stacks as text, innermost frame first.

use super::header;
use super::style::{BOLD, DIM, GOOD, HINT, WARN};
use crate::report::escape::escape;
use crate::snapshot::{DumpDocument, FrameRow, NativeThreadRow, ThreadRow};
use std::io::{self, Write};

/// Frames shown at each end of a very deep stack, unless all are asked for.
const DEEP: usize = 100;

/// Writes a dump. `all_frames` shows the middle of very deep stacks as well.
pub fn write(out: &mut impl Write, dump: &DumpDocument, all_frames: bool) -> io::Result<()> {
    header::write(out, &dump.process, &dump.capture)?;
    let several = dump.threads.iter().any(|thread| thread.interpreter != 0);
    for thread in &dump.threads {
        write_thread(out, thread, several, all_frames)?;
        writeln!(out)?;
    }
    if dump.threads.is_empty() {
        writeln!(out, "No thread of the process has a Python state.\n")?;
    }
    for thread in &dump.native_threads {
        write_native(out, thread)?;
    }
    Ok(())
}

fn write_thread(
    out: &mut impl Write,
    thread: &ThreadRow,
    several: bool,
    all_frames: bool,
) -> io::Result<()> {
    write!(out, "{BOLD}Thread{BOLD:#}")?;
    match thread.tid {
        Some(tid) => write!(out, " {BOLD}{tid}{BOLD:#}")?,
        None => write!(out, " {}", thread.ident)?,
    }
    match &thread.name {
        Some(name) => write!(out, " \"{}\"", escape(name))?,
        None => write!(out, " (no Python name)")?,
    }
    if several {
        write!(out, " of interpreter {}", thread.interpreter)?;
    }
    if thread.main {
        write!(out, ", main")?;
    }
    if let Some(state) = &thread.state {
        write!(out, ", {state}")?;
    }
    if let Some(syscall) = &thread.syscall {
        write!(out, " {syscall}")?;
    }
    if thread.holds_gil == Some(true) {
        write!(out, ", {GOOD}holds the GIL{GOOD:#}")?;
    }
    writeln!(out)?;
    let frames = thread.frames.len();
    for (index, frame) in thread.frames.iter().enumerate() {
        if !all_frames && frames > 2 * DEEP && (DEEP..frames - DEEP).contains(&index) {
            if index == DEEP {
                let hidden = frames - 2 * DEEP;
                writeln!(out, "    {DIM}… {hidden} more frames (--all-frames shows them){DIM:#}")?;
            }
            continue;
        }
        write_frame(out, frame)?;
    }
    if frames == 0 && thread.truncated.is_none() {
        writeln!(out, "    {DIM}(no Python frames){DIM:#}")?;
    }
    if let Some(reason) = &thread.truncated {
        writeln!(out, "    {WARN}the stack ends here: {}{WARN:#}", escape(reason))?;
    }
    Ok(())
}

fn write_frame(out: &mut impl Write, frame: &FrameRow) -> io::Result<()> {
    let name = frame.qualname.as_deref().unwrap_or(&frame.function);
    let line = frame.line.map_or_else(|| "?".to_owned(), |line| line.to_string());
    writeln!(out, "    {HINT}{}{HINT:#} ({}:{line})", escape(name), escape(&frame.file))?;
    if let Some(source) = &frame.source {
        writeln!(out, "        {DIM}{}{DIM:#}", escape(source))?;
    }
    for local in frame.locals.iter().flatten() {
        let value = local.value.as_deref().unwrap_or("(unreadable)");
        writeln!(out, "        {} = {}", escape(&local.name), escape(value))?;
    }
    Ok(())
}

fn write_native(out: &mut impl Write, thread: &NativeThreadRow) -> io::Result<()> {
    write!(out, "{BOLD}Thread {}{BOLD:#}", thread.tid)?;
    if let Some(name) = &thread.os_name {
        write!(out, " \"{}\"", escape(name))?;
    }
    write!(out, ", native (no Python state)")?;
    if let Some(syscall) = &thread.syscall {
        write!(out, ", in system call {syscall}")?;
    }
    writeln!(out)
}
