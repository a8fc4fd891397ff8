//! Sockets, descriptors and processes as the kernel has them.

use super::super::template::plain;
use super::super::{Kinds, Outcome, Rule};
use super::asyncio::softened;
use super::{NO_REFERENCES, found, unjudged};
use crate::snapshot::ResourceRow;
use crate::snapshot::findings::{FoundObject, Objects, Severity};
use crate::snapshot::sockets::{DescriptorState, GroupBy, SocketRow, group, listening_ports};
use crate::snapshot::whole::Whole;
use std::collections::BTreeMap;

/// Owners and peers named in a finding.
const NAMED: usize = 5;

/// Sockets whose peer has closed, by peer.
pub(super) fn close_wait(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let closed = |row: &&SocketRow| {
        row.state.as_deref() == Some("CLOSE_WAIT") && row.descriptor == DescriptorState::Open
    };
    let rows: Vec<SocketRow> = whole.sockets.rows.iter().filter(closed).cloned().collect();
    let listening = listening_ports(&whole.sockets.rows);
    let mut findings = Vec::new();
    for peer in group(&rows, GroupBy::Peer, &listening) {
        if (peer.count as f64) < rule.threshold("least").max(1.0) {
            continue;
        }
        let grave = peer.count as f64 >= rule.threshold("grave");
        let mut finding = rule.finding(format!(
            "{} connections in CLOSE_WAIT: {} has closed them, this process has not",
            peer.count, peer.key
        ));
        finding.evidence.numbers.insert("count".to_owned(), peer.count as f64);
        finding.evidence.numbers.insert("recv_q".to_owned(), peer.recv_q as f64);
        let of_peer: Vec<SocketRow> = rows
            .iter()
            .filter(|row| {
                group(std::slice::from_ref(row), GroupBy::Peer, &listening)
                    .first()
                    .is_some_and(|one| one.key == peer.key)
            })
            .cloned()
            .collect();
        for owner in group(&of_peer, GroupBy::Owner, &listening).iter().take(NAMED) {
            finding.evidence.sentences.push(format!("{} of {}", owner.count, owner.key));
        }
        for row in &of_peer {
            finding.objects.add(socket(row));
        }
        findings.push(softened(finding, grave));
    }
    Outcome { findings, not_judged: Vec::new() }
}

fn socket(row: &SocketRow) -> FoundObject {
    let fd = row.fd.map(|fd| format!("fd {fd}"));
    let peer = row.peer.as_ref().map(|peer| format!("to {peer}"));
    let label: Vec<String> = [fd, peer].into_iter().flatten().collect();
    FoundObject {
        address: row.python.as_ref().map(|python| python.address.clone()),
        class: row.python.as_ref().map_or_else(|| "socket".to_owned(), |one| one.class.clone()),
        label: (!label.is_empty()).then(|| label.join(" ")),
    }
}

/// Connections that this side closed within the last minute, by peer.
pub(super) fn time_wait(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let mut peers: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &whole.sockets.by_address {
        if row.state == "TIME_WAIT"
            && row.attributed_by == "peer address"
            && let Some(peer) = row.peer.as_deref()
        {
            *peers.entry(peer).or_default() += 1;
        }
    }
    let mut findings = Vec::new();
    for (peer, count) in peers {
        if (count as f64) < rule.threshold("least").max(1.0) {
            continue;
        }
        let mut finding =
            rule.finding(format!("{count} connections to {peer} were closed within a minute"));
        finding.evidence.numbers.insert("count".to_owned(), count as f64);
        finding.evidence.sentences.push(
            "in TIME_WAIT, attributed by address: another process may have had some".to_owned(),
        );
        finding.objects.count = count;
        findings.push(finding);
    }
    Outcome { findings, not_judged: Vec::new() }
}

/// Descriptors against `RLIMIT_NOFILE`.
pub(super) fn near_limit(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let Some(limit) = whole.limits.descriptors.filter(|&limit| limit > 0) else {
        return unjudged(rule, "the limit (RLIMIT_NOFILE) is not known");
    };
    let open = whole.open_descriptors();
    let share = open as f64 / limit as f64;
    if share < rule.threshold("share") {
        return Outcome::default();
    }
    let percent = plain((share * 100.0).floor());
    let mut finding = rule.finding(format!("{open} of {limit} descriptors are open ({percent} %)"));
    if share >= rule.threshold("critical") {
        finding.severity = finding.severity.max(Severity::Critical);
    }
    finding.evidence.numbers.insert("open".to_owned(), open as f64);
    finding.evidence.numbers.insert("limit".to_owned(), limit as f64);
    let mut kinds: Vec<(&String, &u64)> = whole.sockets.summary.descriptors.iter().collect();
    kinds.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let kinds: Vec<String> =
        kinds.iter().take(NAMED).map(|(kind, count)| format!("{count} {kind}")).collect();
    finding.evidence.sentences.push(kinds.join(", "));
    finding.objects.count = open;
    found(Some(finding))
}

/// Socket descriptors that nothing in Python has.
pub(super) fn without_owner(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let alone = |row: &&SocketRow| {
        row.python.is_none() && row.owner.is_none() && row.descriptor == DescriptorState::Open
    };
    let alone: Vec<&SocketRow> = whole.sockets.rows.iter().filter(alone).collect();
    if (alone.len() as f64) < rule.threshold("least").max(1.0) {
        return Outcome::default();
    }
    let title = format!("{} socket descriptors have no owner in Python", alone.len());
    let mut finding = rule.finding(title);
    finding.evidence.numbers.insert("count".to_owned(), alone.len() as f64);
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &alone {
        *states.entry(row.state_text()).or_default() += 1;
        finding.objects.add(socket(row));
    }
    let states: Vec<String> =
        states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    finding.evidence.sentences.push(states.join(", "));
    found(Some(finding))
}

/// Sockets that no known owner uses and no running code has at hand.
pub(super) fn unused(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let Some(used) = &whole.used else {
        return unjudged(rule, "what running code has at hand is not known");
    };
    let mut lost: Vec<&SocketRow> = Vec::new();
    for row in &whole.sockets.rows {
        let connected = matches!(row.state.as_deref(), Some("ESTABLISHED" | "CONNECTED"));
        let Some(python) = &row.python else { continue };
        let open = row.descriptor == DescriptorState::Open && connected;
        // What nothing reaches is a finding of its own.
        let garbage =
            whole.held.as_ref().is_some_and(|held| held.garbage.contains(&python.address));
        if open && !garbage && row.owner.is_none() && !used.contains_key(&python.address) {
            lost.push(row);
        }
    }
    if (lost.len() as f64) < rule.threshold("least").max(1.0) {
        return Outcome::default();
    }
    let title = format!("{} connected sockets are at hand of no running code", lost.len());
    let mut finding = rule.finding(title);
    finding.evidence.numbers.insert("count".to_owned(), lost.len() as f64);
    let mut peers: BTreeMap<&str, u64> = BTreeMap::new();
    for row in lost {
        *peers.entry(row.peer.as_deref().unwrap_or("a Unix socket")).or_default() += 1;
        finding.objects.add(socket(row));
    }
    let mut peers: Vec<(&str, u64)> = peers.into_iter().collect();
    peers.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let named = peers.iter().take(NAMED).map(|(peer, count)| format!("{count} to {peer}"));
    finding.evidence.sentences.push(named.collect::<Vec<_>>().join(", "));
    found(Some(finding))
}

/// Sockets and files that are open and that nothing reaches: only the collector can close them.
pub(super) fn unreachable(rule: &Rule, kinds: &Kinds, whole: &Whole) -> Outcome {
    let Some(held) = &whole.held else {
        return unjudged(rule, NO_REFERENCES);
    };
    let lost = whole.resources.iter().filter(|row| {
        kinds.include(&row.kind)
            && row.state.as_deref() == Some("open")
            && held.garbage.contains(&row.address)
    });
    let lost: Vec<&ResourceRow> = lost.collect();
    if (lost.len() as f64) < rule.threshold("least").max(1.0) {
        return Outcome::default();
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    lost.iter().for_each(|row| *counts.entry(&row.class).or_default() += 1);
    let mut finding = rule.finding(format!(
        "{} sockets and files are open and nothing reaches them any more",
        lost.len()
    ));
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let counts = counts.iter().take(NAMED).map(|(class, count)| format!("{count} {class}"));
    let sentences = &mut finding.evidence.sentences;
    sentences.push(counts.collect::<Vec<_>>().join(", "));
    let off = whole.collectors.iter().any(|one| one.is_off());
    sentences.push(match off {
        true => "the collector is switched off: nothing will close them".to_owned(),
        false => "in reference cycles, until the collector comes to them".to_owned(),
    });
    finding.evidence.numbers.insert("count".to_owned(), lost.len() as f64);
    let grave = off || lost.len() as f64 >= rule.threshold("grave");
    finding.objects = Objects::of(lost);
    found(Some(softened(finding, grave)))
}

/// Children that have ended and were not asked how.
pub(super) fn zombies(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let Some(children) = &whole.children else {
        return unjudged(rule, "the child processes could not be listed");
    };
    let zombies: Vec<_> = children.iter().filter(|child| child.zombie).collect();
    if zombies.is_empty() || (zombies.len() as f64) < rule.threshold("least") {
        return Outcome::default();
    }
    let noun = if zombies.len() == 1 { "child process" } else { "child processes" };
    let mut finding = rule.finding(format!("{} ended {noun} not waited for", zombies.len()));
    finding.evidence.numbers.insert("count".to_owned(), zombies.len() as f64);
    for child in &zombies {
        finding.objects.add(FoundObject {
            address: None,
            class: "process".to_owned(),
            label: Some(format!("{} {}", child.pid, child.name)),
        });
    }
    let grave = zombies.len() as f64 >= rule.threshold("grave");
    found(Some(softened(finding, grave)))
}
