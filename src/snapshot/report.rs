//! The report: what a process holds against its limits, and what is wrong with it.

use super::file::Moment;
use super::findings::{Diagnosis, Finding, NotJudged};
use super::sockets::SocketsSummary;
use super::whole::{ResourceLimits, Whole};
use super::{CaptureInfo, ProcessInfo, ResourceSummary, VERSION};
use serde::Serialize;
use std::collections::BTreeMap;

/// The document of `report --json`.
#[derive(Debug, Clone, Serialize)]
pub struct ReportDocument {
    /// "pyattach.report/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The process.
    pub process: ProcessInfo,
    /// The file it is made from; not there when the process was looked at just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
    /// How it was captured.
    pub capture: CaptureInfo,
    /// Tracked objects.
    pub objects: u64,
    /// The resources by kind.
    pub resources: BTreeMap<String, ResourceSummary>,
    /// Counts over the sockets and descriptors.
    pub sockets: SocketsSummary,
    /// Connections of TCP by their other end, listeners left out.
    pub peers: BTreeMap<String, u64>,
    /// Threads with a Python state, by what they do; `unknown` where that was not seen.
    pub threads: BTreeMap<String, u64>,
    /// Limits that the kernel sets.
    pub limits: ResourceLimits,
    /// Child processes, and of these the zombies; `null` when they could not be listed.
    pub children: Option<Children>,
    /// What is wrong, the gravest first.
    pub findings: Vec<Finding>,
    /// What could not be judged.
    pub not_judged: Vec<NotJudged>,
}

/// Where and when a stored capture was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The file.
    pub path: String,
    /// When it was taken.
    pub taken: Moment,
    /// The machine's name.
    pub host: Option<String>,
    /// Version of pyattach that took it.
    pub pyattach: String,
    /// What of the file is not whole.
    pub damage: Vec<String>,
}

/// How many child processes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Children {
    /// All.
    pub count: u64,
    /// Those that have ended and were not waited for.
    pub zombies: u64,
}

impl ReportDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.report/1";

    /// The report on a capture and what rules made of it.
    pub fn new(whole: &Whole, diagnosis: Diagnosis) -> Self {
        let mut threads: BTreeMap<String, u64> = BTreeMap::new();
        for thread in &whole.threads {
            let state = thread.state.as_deref().unwrap_or("unknown");
            *threads.entry(state.to_owned()).or_default() += 1;
        }
        let children = whole.children.as_ref().map(|children| Children {
            count: children.len() as u64,
            zombies: children.iter().filter(|child| child.zombie).count() as u64,
        });
        Self {
            schema: Self::SCHEMA,
            pyattach: VERSION,
            process: whole.process.clone(),
            stored: None,
            capture: whole.capture.clone(),
            objects: whole.objects.total,
            resources: whole.kinds.clone(),
            sockets: whole.sockets.summary.clone(),
            peers: peers(whole),
            threads,
            limits: whole.limits.clone(),
            children,
            findings: diagnosis.findings,
            not_judged: diagnosis.not_judged,
        }
    }

    /// Open descriptors of all kinds.
    pub fn open_descriptors(&self) -> u64 {
        self.sockets.descriptors.values().sum()
    }
}

/// Connections made by the process, each descriptor once; those it accepted have peers of no
/// meaning.
fn peers(whole: &Whole) -> BTreeMap<String, u64> {
    let listening = super::sockets::listening_ports(&whole.sockets.rows);
    let mut peers: BTreeMap<String, u64> = BTreeMap::new();
    let mut last = None;
    for row in &whole.sockets.rows {
        let internet = matches!(row.family.as_deref(), Some("AF_INET" | "AF_INET6"));
        let (Some(peer), Some(fd)) = (&row.peer, row.fd) else { continue };
        let port = row.local.as_ref().and_then(|local| local.rsplit_once(':'));
        let accepted = port.is_some_and(|(_, port)| listening.contains(port));
        if internet && !accepted && last.replace(fd) != Some(fd) {
            *peers.entry(peer.clone()).or_default() += 1;
        }
    }
    peers
}

/// Several processes as one picture.
#[derive(Debug, Clone, Serialize)]
pub struct FamilyDocument {
    /// "pyattach.family/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The reports.
    pub reports: Vec<ReportDocument>,
    /// Processes that could not be looked at.
    pub failures: Vec<MemberFailure>,
    /// Sums over all.
    pub sums: Sums,
}

/// A process that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberFailure {
    /// The process.
    pub pid: i32,
    /// Why.
    pub error: String,
    /// It is not Python, or has ended: nothing is missing.
    pub passed_over: bool,
}

/// Sums over several processes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sums {
    /// Resources by kind.
    pub resources: BTreeMap<String, ResourceSummary>,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Resident memory; pages that they share are counted in each.
    pub rss_bytes: u64,
    /// Connections by their other end.
    pub servers: BTreeMap<String, ServerSum>,
}

/// What all processes together have of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServerSum {
    /// Connections.
    pub connections: u64,
    /// Processes that have any.
    pub processes: u64,
    /// What the server takes, where the user has said so.
    pub limit: Option<u64>,
}

impl FamilyDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.family/1";

    /// Puts reports together. `limits`: connections that servers take, by address.
    pub fn new(
        reports: Vec<ReportDocument>,
        failures: Vec<MemberFailure>,
        limits: &BTreeMap<String, u64>,
    ) -> Self {
        let mut sums = Sums::default();
        for report in &reports {
            sums.descriptors += report.open_descriptors();
            sums.threads += report.process.os_threads.unwrap_or(0);
            sums.rss_bytes += report.process.rss_bytes.unwrap_or(0);
            for (kind, summary) in &report.resources {
                sums.resources.entry(kind.clone()).or_default().merge(summary.clone());
            }
            for (peer, connections) in &report.peers {
                let server = sums.servers.entry(peer.clone()).or_default();
                server.connections += connections;
                server.processes += 1;
            }
        }
        for (peer, &limit) in limits {
            sums.servers.entry(peer.clone()).or_default().limit = Some(limit);
        }
        Self { schema: Self::SCHEMA, pyattach: VERSION, reports, failures, sums }
    }
}
