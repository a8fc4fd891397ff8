//! Thread stacks as text, innermost frame first.

use super::header;
use super::style::{BOLD, DIM, GOOD, HINT, WARN};
use crate::report::escape::escape;
use crate::snapshot::{DumpDocument, FrameRow, NativeThreadRow, ThreadRow};
use std::collections::HashMap;
use std::io::{self, Write};

/// Frames shown at each end of a very deep stack, unless all are asked for.
const DEEP: usize = 100;

/// Threads named in the heading of a group.
const NAMED: usize = 8;

/// Writes a dump; threads that wait at the same place share one stack. `all_frames` shows the
/// middle of very deep stacks as well.
pub fn write(out: &mut impl Write, dump: &DumpDocument, all_frames: bool) -> io::Result<()> {
    header::write(out, &dump.process, &dump.capture)?;
    let several = dump.threads.iter().any(|thread| thread.interpreter != 0);
    for group in groups(&dump.threads) {
        write_group(out, &group, several)?;
        write_stack(out, group[0], all_frames)?;
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

/// Threads with the same stack in the same state, in the order of their first one.
fn groups(threads: &[ThreadRow]) -> Vec<Vec<&ThreadRow>> {
    let mut groups: Vec<Vec<&ThreadRow>> = Vec::new();
    let mut by_place: HashMap<_, usize> = HashMap::new();
    for thread in threads {
        let state = (&thread.state, &thread.syscall, thread.holds_gil, &thread.truncated);
        let key = (thread.interpreter, thread.main, state, &thread.frames);
        let index = *by_place.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[index].push(thread);
    }
    groups
}

fn write_group(out: &mut impl Write, group: &[&ThreadRow], several: bool) -> io::Result<()> {
    let thread = group[0];
    if group.len() == 1 {
        write!(out, "{BOLD}Thread{BOLD:#} {}", names(group))?;
    } else {
        write!(out, "{BOLD}{} threads{BOLD:#}: {}", group.len(), names(group))?;
    }
    if several {
        write!(out, ", interpreter {}", thread.interpreter)?;
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
    writeln!(out)
}

/// `4711 "MainThread"`, and so on for each thread of a group.
fn names(group: &[&ThreadRow]) -> String {
    let name = |thread: &&ThreadRow| {
        let id = thread.tid.map_or_else(|| thread.ident.clone(), |tid| tid.to_string());
        match &thread.name {
            Some(name) => format!("{id} \"{}\"", escape(name)),
            None => format!("{id} (no Python name)"),
        }
    };
    let mut names: Vec<String> = group.iter().take(NAMED).map(name).collect();
    if group.len() > NAMED {
        names.push(format!("and {} more", group.len() - NAMED));
    }
    names.join(", ")
}

fn write_stack(out: &mut impl Write, thread: &ThreadRow, all_frames: bool) -> io::Result<()> {
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
