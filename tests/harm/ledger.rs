//! What was done and what came of it, by version and mode.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

/// One row of the table.
#[derive(Debug, Default, Clone)]
struct Row {
    captures: u32,
    unanswered: u32,
    kills: u32,
    harms: u32,
    longest: Duration,
}

#[derive(Debug, Default)]
struct Sheet {
    rows: BTreeMap<(String, &'static str), Row>,
    causes: BTreeMap<(&'static str, String), u32>,
    steps: BTreeMap<&'static str, u32>,
    programs: BTreeMap<&'static str, u32>,
    harms: Vec<String>,
    not_run: Vec<String>,
}

/// Filled by several threads.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Sheet>);

/// Who was captured, and how.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) version: String,
    pub(crate) program: &'static str,
    pub(crate) mode: &'static str,
}

impl Ledger {
    fn row(&self, entry: &Entry, change: impl FnOnce(&mut Sheet, &mut Row)) {
        let mut sheet = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (entry.version.clone(), entry.mode);
        let mut row = sheet.rows.remove(&key).unwrap_or_default();
        change(&mut sheet, &mut row);
        sheet.rows.insert(key, row);
    }

    /// A capture: the pause, or why there was no answer.
    pub(crate) fn captured(&self, entry: &Entry, answer: Result<Duration, String>) {
        self.row(entry, |sheet, row| match answer {
            Ok(pause) => {
                row.captures += 1;
                row.longest = row.longest.max(pause);
                *sheet.programs.entry(entry.program).or_default() += 1;
            }
            Err(cause) => {
                row.unanswered += 1;
                *sheet.causes.entry((entry.mode, without_numbers(&cause))).or_default() += 1;
            }
        });
    }

    /// We were killed: at a step of the fork, or at any moment.
    pub(crate) fn killed(&self, entry: &Entry, step: Option<&'static str>) {
        self.row(entry, |sheet, row| {
            row.kills += 1;
            *sheet.steps.entry(step.unwrap_or("any moment")).or_default() += 1;
        });
    }

    /// A program found something; what it tells again counts once.
    pub(crate) fn harm(&self, entry: &Entry, what: &str) {
        let text = format!("{} on {}: {what}", entry.program, entry.version);
        self.row(entry, |sheet, row| {
            if !sheet.harms.contains(&text) {
                row.harms += 1;
                sheet.harms.push(text);
            }
        });
    }

    /// A program that cannot run on an interpreter.
    pub(crate) fn not_run(&self, version: &str, program: &str, why: &str) {
        let mut sheet = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sheet.not_run.push(format!("not run: {program} on {version}: {why}"));
    }

    /// The longest pause of any capture of a version.
    pub(crate) fn longest_pause(&self, version: &str) -> Duration {
        let sheet = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let rows = sheet.rows.iter().filter(|((of, _), _)| of == version);
        rows.map(|(_, row)| row.longest).max().unwrap_or_default()
    }

    /// All harms.
    pub(crate) fn harms(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).harms.clone()
    }

    /// Modes that gave fewer answers than refusals.
    pub(crate) fn silent_modes(&self) -> Vec<&'static str> {
        let sheet = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut modes: BTreeMap<&'static str, (u32, u32)> = BTreeMap::new();
        for ((_, mode), row) in &sheet.rows {
            let sums = modes.entry(mode).or_default();
            *sums = (sums.0 + row.captures, sums.1 + row.unanswered);
        }
        modes.into_iter().filter(|(_, sums)| sums.0 < sums.1).map(|(mode, _)| mode).collect()
    }

    /// The tables.
    pub(crate) fn text(&self) -> String {
        let sheet = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = "| version | mode | captures | no answer | kills | harms |\n\
                        |---|---|--:|--:|--:|--:|\n"
            .to_owned();
        let mut sum = Row::default();
        for ((version, mode), row) in &sheet.rows {
            let Row { captures, unanswered, kills, harms, .. } = row;
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {version} | {mode} | {captures} | {unanswered} | {kills} | {harms} |"
            );
            sum.captures += captures;
            sum.unanswered += unanswered;
            sum.kills += kills;
            sum.harms += harms;
        }
        let Row { captures, unanswered, kills, harms, .. } = sum;
        let _ = writeln!(text, "| all | all | {captures} | {unanswered} | {kills} | {harms} |\n");
        let _ = writeln!(text, "| captures of | |\n|---|--:|");
        for (program, count) in &sheet.programs {
            let _ = writeln!(text, "| {program} | {count} |");
        }
        let _ = writeln!(text, "\n| killed at | |\n|---|--:|");
        for (step, count) in &sheet.steps {
            let _ = writeln!(text, "| {step} | {count} |");
        }
        let _ = writeln!(text, "\n| mode | no answer, because | |\n|---|---|--:|");
        for ((mode, cause), count) in &sheet.causes {
            let _ = writeln!(text, "| {mode} | {cause} | {count} |");
        }
        for line in &sheet.not_run {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

/// The same cause of another process is the same cause.
fn without_numbers(text: &str) -> String {
    let mut short = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' if short.ends_with('N') => {}
            '0'..='9' => short.push('N'),
            other => short.push(other),
        }
    }
    short
}
