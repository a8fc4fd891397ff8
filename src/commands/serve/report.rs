//! `/report.json`: the last captures and what the rules made of them.

use super::fleet::Member;
use crate::snapshot::findings::{Diagnosis, Finding, NotJudged};
use crate::snapshot::sockets::SocketsSummary;
use crate::snapshot::whole::{CollectorRow, ResourceLimits, Whole};
use crate::snapshot::{CaptureInfo, ProcessInfo, ResourceSummary, VERSION};
use serde::Serialize;
use std::collections::BTreeMap;

/// The document.
#[derive(Debug, Serialize)]
pub(super) struct ServeDocument<'a> {
    schema: &'static str,
    pyattach: &'static str,
    /// Every process that is watched.
    processes: Vec<ProcessRow<'a>>,
}

/// One process.
#[derive(Debug, Serialize)]
struct ProcessRow<'a> {
    pid: i32,
    /// The last attempt to capture it gave a picture.
    up: bool,
    /// Why it did not.
    error: Option<&'a str>,
    /// The last picture; `null` when there is none that still holds.
    report: Option<ReportRow<'a>>,
}

#[derive(Debug, Serialize)]
struct ReportRow<'a> {
    taken: &'a str,
    process: &'a ProcessInfo,
    capture: &'a CaptureInfo,
    objects: u64,
    collectors: &'a [CollectorRow],
    resources: &'a BTreeMap<String, ResourceSummary>,
    tasks: &'a BTreeMap<String, u64>,
    sockets: &'a SocketsSummary,
    limits: &'a ResourceLimits,
    findings: &'a [Finding],
    not_judged: &'a [NotJudged],
}

impl<'a> ServeDocument<'a> {
    const SCHEMA: &'static str = "pyattach.serve/1";

    /// Of these processes, each with its last picture.
    pub(super) fn new(
        members: impl Iterator<Item = (&'a Member, bool, Option<(&'a Whole, &'a Diagnosis)>)>,
    ) -> Self {
        let row =
            |(member, up, picture): (&'a Member, bool, Option<(&'a Whole, &'a Diagnosis)>)| {
                let report = picture.map(|(whole, diagnosis)| ReportRow {
                    taken: &whole.taken,
                    process: &whole.process,
                    capture: &whole.capture,
                    objects: whole.objects.total,
                    collectors: &whole.collectors,
                    resources: &whole.kinds,
                    tasks: &whole.tasks.totals,
                    sockets: &whole.sockets.summary,
                    limits: &whole.limits,
                    findings: &diagnosis.findings,
                    not_judged: &diagnosis.not_judged,
                });
                ProcessRow { pid: member.pid(), up, error: member.error.as_deref(), report }
            };
        Self { schema: Self::SCHEMA, pyattach: VERSION, processes: members.map(row).collect() }
    }
}
