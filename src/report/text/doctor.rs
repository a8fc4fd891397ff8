//! The findings of `doctor` as text.

use super::style::{BOLD, DIM, ERROR, GOOD, HINT, WARN};
use crate::report::escape::escape;
use crate::snapshot::doctor::{DoctorDocument, Verdict};
use anstyle::Style;
use std::io::{self, Write};

/// Writes what was found, check by check, then what each command can do.
pub fn write(out: &mut impl Write, doctor: &DoctorDocument) -> io::Result<()> {
    writeln!(out, "{BOLD}Process {}{BOLD:#}\n", doctor.pid)?;
    let width = doctor.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in &doctor.checks {
        let (word, style) = word(check.verdict);
        let (name, detail) = (&check.name, escape(&check.detail));
        writeln!(out, "  {style}{word:<4}{style:#}  {name:<width$}  {detail}")?;
        if let Some(hint) = &check.hint {
            writeln!(out, "        {:width$}  {HINT}hint:{HINT:#} {}", "", escape(hint))?;
        }
    }
    if let Some(python) = &doctor.python {
        writeln!(out, "\n{BOLD}Interpreter{BOLD:#}")?;
        writeln!(out, "  Python {} ({})", python.version, python.build.join(", "))?;
        writeln!(out, "  in {}", escape(&python.executable))?;
        writeln!(out, "  {DIM}offsets from: {}{DIM:#}", python.layout.origin.join(", then "))?;
    }
    writeln!(out, "\n{BOLD}Commands{BOLD:#}")?;
    let width = doctor.commands.iter().map(|ability| ability.command.len()).max().unwrap_or(0);
    for ability in &doctor.commands {
        let (word, style) = word(ability.verdict);
        let (command, detail) = (&ability.command, escape(&ability.detail));
        writeln!(out, "  {style}{word:<4}{style:#}  {command:<width$}  {detail}")?;
    }
    Ok(())
}

fn word(verdict: Verdict) -> (&'static str, Style) {
    match verdict {
        Verdict::Ok => ("ok", GOOD),
        Verdict::Info => ("", DIM),
        Verdict::Warn => ("warn", WARN),
        Verdict::Fail => ("FAIL", ERROR),
    }
}
