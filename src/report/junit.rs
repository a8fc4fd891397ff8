//! Verdicts as JUnit XML, which every continuous integration shows: a suite for each process, a
//! case for each series, failed when it grows.

use super::escape::escape;
use crate::snapshot::TrendDocument;
use crate::snapshot::trend::{ProcessTrend, SeriesRow, Verdict};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use std::io::{self, Write};

/// Writes the suites.
pub fn write(out: impl Write, document: &TrendDocument) -> io::Result<()> {
    let mut writer = Writer::new_with_indent(out, b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.write_event(Event::Start(BytesStart::new("testsuites")))?;
    for process in &document.processes {
        suite(&mut writer, process)?;
    }
    writer.write_event(Event::End(BytesEnd::new("testsuites")))?;
    writer.into_inner().write_all(b"\n")
}

fn suite<W: Write>(writer: &mut Writer<W>, process: &ProcessTrend) -> io::Result<()> {
    let grows = |row: &&SeriesRow| row.verdict == Verdict::Growing && row.is_alarm();
    let failures = process.series.iter().filter(grows).count().to_string();
    let host = process.host.as_deref().unwrap_or("?");
    let name = format!("process {} on {host}", process.same.pid);
    let mut suite = BytesStart::new("testsuite");
    suite.push_attribute(("name", &*escape(&name)));
    suite.push_attribute(("tests", process.series.len().to_string().as_str()));
    suite.push_attribute(("failures", failures.as_str()));
    suite.push_attribute(("errors", "0"));
    suite.push_attribute(("skipped", "0"));
    suite.push_attribute(("timestamp", &*escape(&process.last.at)));
    writer.write_event(Event::Start(suite))?;
    for row in &process.series {
        let mut case = BytesStart::new("testcase");
        case.push_attribute(("classname", row.family.name()));
        case.push_attribute(("name", &*escape(&row.name)));
        match row.finding(process).filter(|_| grows(&row)) {
            None => writer.write_event(Event::Empty(case))?,
            Some(finding) => {
                writer.write_event(Event::Start(case))?;
                let mut failure = BytesStart::new("failure");
                failure.push_attribute(("message", &*escape(&finding.title)));
                failure.push_attribute(("type", finding.rule.as_str()));
                writer.write_event(Event::Start(failure))?;
                let sentences = finding.evidence.sentences.iter().map(|it| escape(it).into_owned());
                let text = sentences.collect::<Vec<_>>().join("\n");
                writer.write_event(Event::Text(BytesText::new(&text)))?;
                writer.write_event(Event::End(BytesEnd::new("failure")))?;
                writer.write_event(Event::End(BytesEnd::new("testcase")))?;
            }
        }
    }
    writer.write_event(Event::End(BytesEnd::new("testsuite")))
}
