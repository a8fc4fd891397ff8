//! Event loops and tasks as text: below each task those it waits for.

use super::header;
use super::style::{BOLD, DIM, HINT, WARN};
use super::task_tree::Forest;
use super::units::number;
use crate::report::escape::escape;
use crate::snapshot::FrameRow;
use crate::snapshot::tasks::{LoopRow, NotStartedRow, TaskRow, TasksDocument};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Levels of the tree that are shown.
const DEEP: usize = 40;
/// Tasks of a group that are named.
const NAMED: usize = 5;
/// Longest name shown, in characters.
const MAX_NAME: usize = 60;
/// Frames of one task or thread that are shown.
const MAX_FRAMES: usize = 40;
/// Loops that do not run and have nothing, shown one by one unless all are asked for.
const IDLE_LOOPS: usize = 10;
/// Functions named whose coroutines were never started.
const NOT_STARTED: usize = 20;

/// Writes loops, each with its tasks as a tree; equal tasks are joined unless `all` is set.
pub fn write(out: &mut impl Write, document: &TasksDocument, all: bool) -> io::Result<()> {
    header::write(out, &document.process, &document.capture)?;
    let mut by_loop: BTreeMap<&str, Vec<&TaskRow>> = BTreeMap::new();
    for task in &document.tasks {
        by_loop.entry(task.event_loop.as_deref().unwrap_or_default()).or_default().push(task);
    }
    let mut left_out = 0;
    let mut empty = 0;
    for row in &document.loops {
        let tasks = by_loop.remove(row.address.as_str()).unwrap_or_default();
        empty += usize::from(tasks.is_empty() && row.running == Some(false));
        if tasks.is_empty() && row.running == Some(false) && empty > IDLE_LOOPS && !all {
            left_out += 1;
            continue;
        }
        write_loop(out, row, &document.tasks)?;
        write_tasks(out, tasks, all)?;
        writeln!(out)?;
    }
    if left_out > 0 {
        writeln!(
            out,
            "{DIM}… and {} more that do not run and have no task to show (--all){DIM:#}\n",
            header::plural(left_out, "event loop")
        )?;
    }
    for (address, tasks) in by_loop {
        match address {
            "" => writeln!(out, "{WARN}Tasks whose event loop could not be read{WARN:#}")?,
            _ => writeln!(out, "{BOLD}Other event loop{BOLD:#} at {address}")?,
        }
        write_tasks(out, tasks, all)?;
        writeln!(out)?;
    }
    if document.loops.is_empty() && document.tasks.is_empty() {
        writeln!(out, "No event loop and no task.\n")?;
    }
    write_not_started(out, &document.not_started)?;
    write_totals(out, document)
}

fn write_loop(out: &mut impl Write, row: &LoopRow, tasks: &[TaskRow]) -> io::Result<()> {
    write!(out, "{BOLD}Event loop{BOLD:#} {} at {}", escape(&row.class), row.address)?;
    write!(out, ", {}", row.state.as_deref().unwrap_or("state not known"))?;
    if let Some(tid) = row.thread {
        write!(out, ", thread {tid}")?;
    }
    if let Some(name) = &row.thread_name {
        write!(out, " \"{}\"", escape(name))?;
    }
    writeln!(out)?;
    let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), number);
    write!(out, "  {} callbacks due, {} timers", count(row.ready), count(row.scheduled))?;
    match row.default_executor.as_ref().map(|executor| executor.class.as_str()) {
        Some("builtins.NoneType") => write!(out, ", no default executor")?,
        Some(class) => write!(out, ", default executor {}", escape(class))?,
        None => {}
    }
    if let Some(selector) = &row.selector {
        write!(out, ", {}", escape(&selector.class))?;
    }
    let states = row.tasks.iter().map(|(state, count)| format!("{} {state}", number(*count)));
    let states: Vec<String> = states.collect();
    match states.is_empty() {
        true => writeln!(out, ", no tasks")?,
        false => writeln!(out, "; tasks: {}", states.join(", "))?,
    }
    if row.state.as_deref() == Some("busy") {
        let current = row.current_task.as_deref();
        let current = tasks.iter().find(|task| Some(task.address.as_str()) == current);
        match (current, &row.current_task) {
            (Some(task), _) => {
                let coroutine = task.coroutine.as_deref().unwrap_or("?");
                writeln!(
                    out,
                    "  {WARN}It is running{WARN:#} {} {HINT}{}{HINT:#}; nothing else of this \
                     loop can run meanwhile:",
                    name(task),
                    escape(coroutine)
                )?;
            }
            (None, Some(address)) => {
                writeln!(out, "  {WARN}It is running{WARN:#} the task at {address}:")?
            }
            (None, None) => writeln!(out, "  {WARN}It is running{WARN:#} a callback:")?,
        }
        write_frames(out, &row.stack, "    ")?;
    }
    Ok(())
}

fn write_tasks(out: &mut impl Write, tasks: Vec<&TaskRow>, all: bool) -> io::Result<()> {
    let forest = Forest::new(tasks, all);
    let count = forest.tasks.len();
    let mut tree = Tree { forest, shown: vec![false; count], path: vec![false; count] };
    for group in tree.forest.roots() {
        tree.write(out, &group, 0)?;
    }
    Ok(())
}

/// Writing a forest: what was shown, and what the group being written is below of.
struct Tree<'d> {
    forest: Forest<'d>,
    shown: Vec<bool>,
    path: Vec<bool>,
}

impl Tree<'_> {
    fn write(&mut self, out: &mut impl Write, group: &[usize], depth: usize) -> io::Result<()> {
        let indent = "  ".repeat(depth + 1);
        let Some(&first) = group.first() else { return Ok(()) };
        let task = self.forest.tasks[first];
        write!(out, "{indent}")?;
        if depth > 0 {
            write!(out, "└ ")?;
        }
        write_heading(out, &self.forest, group, task)?;
        if group.iter().any(|&id| self.path[id]) {
            return writeln!(out, " {WARN}(a cycle: it waits for itself){WARN:#}");
        }
        if group.iter().all(|&id| self.shown[id]) {
            return writeln!(out, " {DIM}(see above){DIM:#}");
        }
        writeln!(out)?;
        let inner = format!("{indent}    ");
        if task.current {
            writeln!(out, "{inner}{DIM}(its stack is above, with the event loop){DIM:#}")?;
        } else {
            write_frames(out, &task.stack, &inner)?;
        }
        if let Some(reason) = &task.truncated {
            writeln!(out, "{inner}{WARN}the chain ends here: {}{WARN:#}", escape(reason))?;
        }
        let below = self.forest.below(group);
        for &id in group {
            self.shown[id] = true;
            self.path[id] = true;
        }
        if depth >= DEEP && !below.is_empty() {
            writeln!(out, "{inner}{DIM}… and what it waits for{DIM:#}")?;
        } else {
            for group in below {
                self.write(out, &group, depth + 1)?;
            }
        }
        for &id in group {
            self.path[id] = false;
        }
        Ok(())
    }
}

/// `"Task-1" main, waiting for …`, `1,204 tasks like "Task-7" worker, …`
fn write_heading(
    out: &mut impl Write,
    forest: &Forest<'_>,
    group: &[usize],
    task: &TaskRow,
) -> io::Result<()> {
    if group.len() == 1 {
        write!(out, "{BOLD}{}{BOLD:#}", name(task))?;
    } else {
        let tasks = group.iter().take(NAMED).filter_map(|&id| forest.tasks.get(id));
        let mut names: Vec<String> = tasks.map(|task| name(task)).collect();
        if group.len() > NAMED {
            names.push(format!("and {} more", number((group.len() - NAMED) as u64)));
        }
        let count = number(group.len() as u64);
        write!(out, "{BOLD}{count} tasks like this{BOLD:#} ({})", names.join(", "))?;
    }
    write!(out, ": {HINT}{}{HINT:#}", escape(task.coroutine.as_deref().unwrap_or("?")))?;
    match (task.state.as_deref(), task.activity.as_deref()) {
        (Some("pending"), Some("waiting")) => {
            if let Some(waiting) = &task.waiting_for {
                let class = waiting.class.as_deref().unwrap_or("?");
                write!(out, ", waiting for {}", escape(class))?;
                if let Some(children) = waiting.children {
                    write!(out, " of {}", number(children))?;
                }
                if waiting.state.as_deref() != Some("pending") {
                    let state = waiting.state.as_deref().unwrap_or("in an unknown state");
                    write!(out, " that is {state}")?;
                }
            }
        }
        (Some("pending"), Some(activity)) => write!(out, ", {activity}")?,
        (Some(state), _) => write!(out, ", {state}")?,
        (None, _) => write!(out, ", {WARN}state not readable{WARN:#}")?,
    }
    if let Some(exception) = &task.exception {
        write!(out, " with {}", escape(exception))?;
    }
    Ok(())
}

fn name(task: &TaskRow) -> String {
    let Some(name) = &task.name else { return format!("(task at {})", task.address) };
    let safe = escape(name);
    match safe.char_indices().nth(MAX_NAME) {
        Some((cut, _)) => format!("\"{}…\"", &safe[..cut]),
        None => format!("\"{safe}\""),
    }
}

fn write_frames(out: &mut impl Write, frames: &[FrameRow], indent: &str) -> io::Result<()> {
    let mut shown = 0;
    // Recursion is one line with its depth.
    for (index, run) in frames.chunk_by(|one, next| one == next).enumerate() {
        if index == MAX_FRAMES {
            let more = number((frames.len() - shown) as u64);
            return writeln!(out, "{indent}{DIM}… {more} more frames{DIM:#}");
        }
        shown += run.len();
        let Some(frame) = run.first() else { continue };
        let name = frame.qualname.as_deref().unwrap_or(&frame.function);
        let line = frame.line.map_or_else(|| "?".to_owned(), |line| line.to_string());
        write!(out, "{indent}{} {DIM}({}:{line}){DIM:#}", escape(name), escape(&frame.file))?;
        match run.len() {
            1 => writeln!(out)?,
            times => writeln!(out, " {DIM}× {}{DIM:#}", number(times as u64))?,
        }
    }
    Ok(())
}

fn write_not_started(out: &mut impl Write, rows: &[NotStartedRow]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "{BOLD}Coroutines that were made and not awaited so far{BOLD:#}")?;
    for row in rows.iter().take(NOT_STARTED) {
        let (name, file) = (escape(&row.coroutine), escape(&row.file));
        writeln!(out, "  {} of {HINT}{name}{HINT:#} ({file}:{})", number(row.count), row.line)?;
    }
    if rows.len() > NOT_STARTED {
        let more = number((rows.len() - NOT_STARTED) as u64);
        writeln!(out, "  {DIM}… and of {more} more functions{DIM:#}")?;
    }
    writeln!(out)
}

fn write_totals(out: &mut impl Write, document: &TasksDocument) -> io::Result<()> {
    let total: u64 = document.totals.values().sum();
    write!(out, "{BOLD}{}{BOLD:#}", header::plural(total, "task"))?;
    let states = document.totals.iter().map(|(state, count)| format!("{} {state}", number(*count)));
    let states: Vec<String> = states.collect();
    if !states.is_empty() {
        write!(out, ": {}", states.join(", "))?;
    }
    if document.tasks_not_shown > 0 {
        let hidden = number(document.tasks_not_shown);
        write!(out, "; {DIM}{hidden} not shown (--all, --state, --loop){DIM:#}")?;
    }
    writeln!(out)
}
