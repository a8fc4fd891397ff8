//! Findings as text: what, the evidence, who holds it, what to do.

use super::style::{BOLD, DIM, ERROR, HINT, WARN};
use crate::report::escape::escape;
use crate::snapshot::findings::{Confidence, Finding, NotJudged, Severity};
use anstyle::Style;
use std::io::{self, Write};

/// Where the text of a finding begins.
const INDENT: usize = 10;
/// Holders shown of a finding.
const HOLDERS: usize = 5;

fn style(severity: Severity) -> Style {
    match severity {
        Severity::Critical => ERROR,
        Severity::Warning => WARN,
        Severity::Info => HINT,
    }
}

/// "1 critical, 2 warnings".
pub(super) fn counts(findings: &[Finding]) -> String {
    let severities = [
        (Severity::Critical, "critical", "critical"),
        (Severity::Warning, "warning", "warnings"),
        (Severity::Info, "info", "info"),
    ];
    let mut parts = Vec::new();
    for (severity, one, many) in severities {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        if count > 0 {
            parts.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    }
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// Writes the findings, in lines of `width` characters. `whose`: the processes of each.
pub(super) fn write(
    out: &mut impl Write,
    findings: &[(&Finding, Option<String>)],
    width: usize,
) -> io::Result<()> {
    for (finding, whose) in findings {
        let style = style(finding.severity);
        let (word, indent) = (finding.severity.name(), " ".repeat(INDENT));
        let mut lines = wrapped(&escape(&finding.title), width.saturating_sub(INDENT)).into_iter();
        let first = lines.next().unwrap_or_default();
        writeln!(out, "{style}{word:<INDENT$}{style:#}{BOLD}{first}{BOLD:#}")?;
        for line in lines {
            writeln!(out, "{indent}{BOLD}{line}{BOLD:#}")?;
        }
        let paragraph = |out: &mut dyn Write, mark: &str, text: &str| -> io::Result<()> {
            let room = width.saturating_sub(INDENT + mark.chars().count());
            for (index, line) in wrapped(&escape(text), room).iter().enumerate() {
                let mark =
                    if index == 0 { mark.to_owned() } else { " ".repeat(mark.chars().count()) };
                writeln!(out, "{indent}{mark}{line}")?;
            }
            Ok(())
        };
        if let Some(whose) = whose {
            paragraph(out, "in ", whose)?;
        }
        for sentence in &finding.evidence.sentences {
            paragraph(out, "- ", sentence)?;
        }
        let holders = finding.holders.iter().flatten();
        for holder in holders.take(HOLDERS) {
            paragraph(out, "- ", &format!("{} held by {}", holder.count, holder.path))?;
        }
        paragraph(out, "→ ", &finding.advice)?;
        let known = match finding.confidence {
            Confidence::Read => "",
            Confidence::Inferred => ", inferred",
        };
        writeln!(out, "{indent}{DIM}[{}{known}]{DIM:#}\n", finding.rule)?;
    }
    Ok(())
}

/// Writes what could not be judged.
pub(super) fn write_not_judged(
    out: &mut impl Write,
    not_judged: &[(&NotJudged, Option<String>)],
    width: usize,
) -> io::Result<()> {
    /// Why, and of which process.
    type Reason<'r> = (&'r str, Option<&'r String>);
    // Rules that lack the same share a line.
    let mut reasons: Vec<(Reason<'_>, Vec<&str>)> = Vec::new();
    for (one, whose) in not_judged {
        let reason = (one.reason.as_str(), whose.as_ref());
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, rules)) => rules.push(&one.rule),
            None => reasons.push((reason, vec![&one.rule])),
        }
    }
    for ((reason, whose), rules) in reasons {
        let whose = whose.map(|whose| format!(" ({whose})")).unwrap_or_default();
        let text = format!("not judged: {}: {reason}{whose}", rules.join(", "));
        for (index, line) in wrapped(&escape(&text), width.saturating_sub(2)).iter().enumerate() {
            writeln!(out, "{DIM}{}{line}{DIM:#}", if index == 0 { "" } else { "  " })?;
        }
    }
    if !not_judged.is_empty() {
        writeln!(out)?;
    }
    Ok(())
}

/// Breaks a text at blanks into lines of at most `width` characters; a longer word has a line of
/// its own.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let length = line.chars().count();
        if length > 0 && length + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_are_broken_at_blanks() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a considerably long", 5), ["a", "considerably", "long"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
