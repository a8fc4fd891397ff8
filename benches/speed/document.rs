//! The tables, as Markdown, for the terminal and for the document.

use std::fmt::Write;
use std::path::Path;

use crate::goals::Goal;
use crate::measure::Outcome;
use crate::options::Options;
use crate::statistics::number;

const BEGIN: &str = "<!-- figures: begin -->\n";
const END: &str = "<!-- figures: end -->";

/// The figures of every contender.
pub(crate) fn figures(results: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in results {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "**{}**, CPython {}; target of {} MB, longest gap with nobody attached {} ms\n\n\
             | tool | runs | wall, ms | ours / its | pause, ms | peak, MB |\n\
             |---|--:|--:|--:|--:|--:|",
            outcome.case.title,
            outcome.python,
            number(outcome.target_rss as f64 / 1e6),
            outcome.quiet_ms.shown(),
        );
        let ours = outcome.row("pyattach");
        for row in &outcome.rows {
            // What is bare is the limit of a pause.
            let ours = match row.contender.is_limit_of() {
                Some(names) => names.iter().find_map(|name| outcome.row(name)?.held_ms().median()),
                None => ours.and_then(|ours| ours.wall_ms.median()),
            };
            let ratio = ours.zip(row.wall_ms.median()).map(|(ours, its)| number(ours / its));
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                row.contender.name(),
                row.wall_ms.len(),
                row.wall_ms.shown(),
                ratio.unwrap_or_default(),
                row.pause_ms.shown(),
                row.peak_mb.median().map_or("–".to_owned(), number),
            );
        }
        text.push('\n');
    }
    text
}

/// The goals.
pub(crate) fn goals(goals: &[Goal]) -> String {
    let mut text =
        "| goal | Python | at most | measured | met |\n|---|---|--:|--:|---|\n".to_owned();
    for goal in goals {
        let met = if goal.is_met() { "yes" } else { "**no**" };
        let (limit, measured) = (number(goal.limit), number(goal.measured));
        let _ =
            writeln!(text, "| {} | {} | {limit} | {measured} | {met} |", goal.what, goal.python);
    }
    text
}

/// Puts both into the document, between its markers.
pub(crate) fn write(
    path: &Path,
    tables: &str,
    charts: &str,
    judged: &[Goal],
    options: &Options,
) -> Result<(), String> {
    let failed = |problem: std::io::Error| format!("{}: {problem}", path.display());
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let parts =
        text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let Some((head, tail)) = parts else {
        return Err(format!("{}: no lines {BEGIN:?} and {END:?}", path.display()));
    };
    let quick = if options.quick { " Few runs (`--quick`)." } else { "" };
    let body = format!("{}.{quick}\n\n{}\n{charts}{}", machine(), goals(judged), tables.trim_end());
    std::fs::write(path, format!("{head}{BEGIN}{body}\n{END}{tail}")).map_err(failed)
}

/// The machine, in a sentence without its end.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let kb = memory.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let date = jiff::Zoned::now().strftime("%Y-%m-%d");
    format!(
        "{date}; {count} × {}, {} GB, Linux {}; pyattach {}; load at the end {}",
        model.unwrap_or("unknown processor").trim(),
        kb.unwrap_or(0) / 1_000_000,
        kernel.trim().split('-').next().unwrap_or_default(),
        env!("CARGO_PKG_VERSION"),
        load.split_whitespace().next().unwrap_or_default(),
    )
}
