//! Several processes as one picture.

use super::findings::{counts, write as write_findings, write_not_judged};
use super::report::{add_kinds, heading, write_minor};
use super::style::{BOLD, DIM, WARN};
use super::units::{bytes, number};
use super::{header, table};
use crate::report::escape::escape;
use crate::snapshot::findings::{Finding, NotJudged, Severity};
use crate::snapshot::report::{FamilyDocument, ReportDocument};
use comfy_table::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Servers shown.
const SERVERS: usize = 10;
/// Longest command shown, where the lines are not longer than usual.
const COMMAND: usize = 32;
/// Width of the columns before it.
const BEFORE_COMMAND: usize = 76;
/// Findings of one rule in other processes that are named.
const OTHERS: usize = 8;
/// Share of a server's limit from which on it is marked.
const NEARLY: f64 = 0.8;

/// Writes a family in lines of about `width` characters.
pub fn write(out: &mut impl Write, family: &FamilyDocument, width: usize) -> io::Result<()> {
    let count = family.reports.len() as u64;
    let noun = if count == 1 { "process" } else { "processes" };
    writeln!(out, "{BOLD}{} Python {noun}{BOLD:#}", number(count))?;
    for report in &family.reports {
        for damage in report.stored.iter().flat_map(|stored| &stored.damage) {
            writeln!(out, "{WARN}damaged:{WARN:#} {}: {}", report.process.pid, escape(damage))?;
        }
        for note in &report.capture.notes {
            writeln!(out, "{WARN}note:{WARN:#} {}: {}", report.process.pid, escape(note))?;
        }
    }
    writeln!(out)?;
    write_members(out, family, width)?;
    for failure in &family.failures {
        let word = if failure.passed_over { "passed over" } else { "not looked at" };
        writeln!(out, "{WARN}{} {word}:{WARN:#} {}", failure.pid, escape(&failure.error))?;
    }
    writeln!(out, "\n{BOLD}ALL TOGETHER{BOLD:#}")?;
    let mut rows = heading();
    for (name, sum) in [("descriptors", family.sums.descriptors), ("threads", family.sums.threads)]
    {
        rows.add_row(vec![name.to_owned(), number(sum)]);
    }
    add_kinds(&mut rows, &family.sums.resources, width);
    table::write(out, &rows)?;
    write_minor(out, &family.sums.resources, width)?;
    write_servers(out, family)?;
    let all: Vec<Finding> =
        family.reports.iter().flat_map(|report| report.findings.iter().cloned()).collect();
    writeln!(out, "\n{BOLD}FINDINGS{BOLD:#}  {}\n", counts(&all))?;
    if all.is_empty() {
        writeln!(out, "No rule found anything.\n")?;
    }
    let mut groups: BTreeMap<(Reverse<Severity>, &str), Vec<Found<'_>>> = BTreeMap::new();
    let mut not_judged: Vec<(&NotJudged, Option<String>)> = Vec::new();
    for report in &family.reports {
        let pid = report.process.pid;
        for finding in &report.findings {
            let key = (Reverse(finding.severity), finding.rule.as_str());
            groups.entry(key).or_default().push((pid, finding));
        }
        let whose = || Some(format!("process {pid}"));
        not_judged.extend(report.not_judged.iter().map(|one| (one, whose())));
    }
    let joined: Vec<(Finding, String)> = groups.into_values().filter_map(join).collect();
    let findings: Vec<_> =
        joined.iter().map(|(finding, whose)| (finding, Some(whose.clone()))).collect();
    write_findings(out, &findings, width)?;
    write_not_judged(out, &not_judged, width)?;
    for report in &family.reports {
        writeln!(out, "{DIM}{}: {}{DIM:#}", report.process.pid, header::how(&report.capture))?;
    }
    Ok(())
}

/// A finding, and the process it is of.
type Found<'a> = (i32, &'a Finding);

/// What one rule found in several processes: the first in full, of the others what they are.
fn join(found: Vec<Found<'_>>) -> Option<(Finding, String)> {
    let (&(pid, first), others) = found.split_first()?;
    let mut finding = first.clone();
    let sentences = &mut finding.evidence.sentences;
    let named = others.iter().take(OTHERS);
    sentences.extend(named.map(|(pid, other)| format!("process {pid}: {}", other.title)));
    if others.len() > OTHERS {
        sentences.push(format!("and {} more of other processes", others.len() - OTHERS));
    }
    Some((finding, format!("process {pid}")))
}

fn write_members(out: &mut impl Write, family: &FamilyDocument, width: usize) -> io::Result<()> {
    let roles = family.reports.iter().any(|report| role(report).is_some());
    let mut headings =
        vec!["PID", "PYTHON", "MEMORY", "THREADS", "FDS", "OBJECTS", "GRAVEST", "ROLE", "COMMAND"];
    headings.retain(|&heading| roles || heading != "ROLE");
    let mut rows = table::plain(&headings, &[0, 2, 3, 4, 5]);
    for report in &family.reports {
        let process = &report.process;
        let optional = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), number);
        let mut row = vec![
            Cell::new(process.pid),
            Cell::new(escape(&process.python.version)),
            Cell::new(process.rss_bytes.map_or_else(|| "?".to_owned(), bytes)),
            Cell::new(optional(process.os_threads)),
            Cell::new(number(report.open_descriptors())),
            Cell::new(number(report.objects)),
            Cell::new(gravest(report).map_or("-", Severity::name)),
        ];
        row.extend(roles.then(|| Cell::new(role(report).unwrap_or("-"))));
        row.push(Cell::new(command(report, width)));
        rows.add_row(row);
    }
    table::write(out, &rows)
}

/// What the process is to its server, as far as the server's objects tell.
fn role(report: &ReportDocument) -> Option<&'static str> {
    /// Kind, state (of any when there is none), role: the first that there is.
    const ROLES: [(&str, &str, &str); 6] = [
        ("gunicorn_worker", "running", "gunicorn worker"),
        ("gunicorn_arbiter", "", "gunicorn master"),
        ("celery_worker", "running", "celery worker"),
        ("celery_worker", "inherited", "celery pool"),
        ("uvicorn_supervisor", "", "uvicorn parent"),
        ("uvicorn_server", "running", "uvicorn server"),
    ];
    let is = |kind: &str, state: &str| {
        report.resources.get(kind).is_some_and(|kind| match state {
            "" => kind.count > 0,
            state => kind.states.get(state).is_some_and(|&count| count > 0),
        })
    };
    ROLES.iter().find(|(kind, state, _)| is(kind, state)).map(|&(.., role)| role)
}

fn gravest(report: &ReportDocument) -> Option<Severity> {
    report.findings.iter().map(|finding| finding.severity).max()
}

/// The command line, without the folder of its program.
fn command(report: &ReportDocument, width: usize) -> String {
    let line = report.process.cmdline.join(" ");
    let program = report.process.cmdline.first().map_or("", String::as_str);
    let folder = program.rfind('/').map_or(0, |slash| slash + 1);
    let line = escape(line.get(folder..).unwrap_or(&line)).into_owned();
    match line.char_indices().nth(COMMAND.max(width.saturating_sub(BEFORE_COMMAND))) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

fn write_servers(out: &mut impl Write, family: &FamilyDocument) -> io::Result<()> {
    let mut servers: Vec<_> = family.sums.servers.iter().collect();
    if servers.is_empty() {
        return Ok(());
    }
    servers.sort_by_key(|(_, sum)| (Reverse(sum.limit), Reverse(sum.connections)));
    writeln!(out)?;
    let mut rows = table::plain(&["CONNECTIONS", "LIMIT", "PROCESSES", "SERVER"], &[0, 1, 2]);
    for (server, sum) in servers.iter().take(SERVERS) {
        let near = sum.limit.is_some_and(|limit| sum.connections as f64 >= limit as f64 * NEARLY);
        rows.add_row(vec![
            Cell::new(number(sum.connections)),
            Cell::new(sum.limit.map_or_else(|| "?".to_owned(), number)),
            Cell::new(number(sum.processes)),
            Cell::new(format!(
                "{}{}",
                escape(server),
                if near { "  (nearly exhausted)" } else { "" }
            )),
        ]);
    }
    table::write(out, &rows)
}
