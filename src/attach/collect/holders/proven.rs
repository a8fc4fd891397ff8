//! Leaks that one picture proves: tasks that nothing alive can ever wake.

use super::{Holding, Question};
use crate::attach::collect::Problem;
use crate::cpython::FutureState;
use crate::heap::graph::Node;
use crate::heap::graph::waiting::{Wait, may_wake};
use crate::snapshot::holders::{Location, Proven};
use std::cmp::Reverse;
use std::collections::BTreeMap;

const PROOF: &str = "nothing alive refers to what they wait for, but tasks that wait themselves: \
                     nothing can ever wake them";

/// The tasks that can never be woken, by where they wait.
pub(super) fn tasks(
    holding: &Holding<'_, '_>,
    question: &Question<'_>,
) -> Result<(Vec<Proven>, Vec<Node>), Problem> {
    let graph = holding.graph;
    let python = holding.python;
    let is_task: Vec<bool> =
        graph.types().iter().map(|known| python.is_task_class(&known.class)).collect();
    let mut waits = Vec::new();
    for node in graph.objects() {
        let number = graph.type_number(node);
        let is_task = number.and_then(|number| is_task.get(number as usize)).copied();
        if is_task != Some(true) || !holding.is_alive(node) {
            continue;
        }
        let address = graph.address(node);
        let waits_for = python.future(address).and_then(|future| match future.state {
            FutureState::Pending => Ok(python.task(address)?.waits_for),
            _ => Ok(None),
        });
        match waits_for {
            Ok(awaited) => {
                let awaited = awaited.and_then(|awaited| graph.node_at(awaited));
                waits.extend(awaited.map(|awaited| Wait { waiter: node, awaited }));
            }
            Err(error) if error.fatal().is_some() => return Err(error),
            Err(_) => {}
        }
    }
    if waits.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let open = may_wake(graph, &waits, true);
    let only_from_c = may_wake(graph, &waits, false);
    let hidden =
        open.iter().zip(&only_from_c).filter(|&(&open, &without)| open && !without).count();
    let mut places: BTreeMap<(String, Option<Location>), Vec<Node>> = BTreeMap::new();
    for (wait, _) in waits.iter().zip(&open).filter(|&(_, &open)| !open) {
        let coroutine =
            python.task(graph.address(wait.waiter)).ok().and_then(|task| task.coroutine);
        let chain = coroutine.and_then(|coroutine| python.await_chain(coroutine).ok());
        // The program's own frame says more than the one of asyncio it waits in.
        let frame = chain.as_ref().and_then(|chain| {
            let own = chain.frames.iter().find(|frame| !frame.code.filename.contains("/asyncio/"));
            own.or(chain.frames.first())
        });
        let name = frame.map(|frame| frame.qualname().unwrap_or(&frame.code.name).to_owned());
        let location = frame.map(|frame| Location {
            file: frame.code.filename.clone(),
            line: frame.line.map(u64::from),
        });
        places.entry((name.unwrap_or_default(), location)).or_default().push(wait.waiter);
    }
    let all: Vec<Node> = places.values().flatten().copied().collect();
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by_key(|(_, nodes)| Reverse(nodes.len()));
    let mut found = Vec::new();
    for ((name, location), nodes) in places {
        let holders = match found.len() < question.groups {
            true => {
                let question = Question { groups: 3, runtime: None, ..*question };
                holding.holders(&nodes, &question)?.holders.groups
            }
            false => Vec::new(),
        };
        let reason = match hidden {
            0 => PROOF.to_owned(),
            hidden => format!(
                "{PROOF}; {hidden} more wait for what only C code refers to, which may wake them"
            ),
        };
        found.push(Proven {
            kind: "task".to_owned(),
            count: nodes.len() as u64,
            waiting: waits.len() as u64,
            waits_in: Some(name).filter(|name| !name.is_empty()),
            location,
            objects: nodes.iter().map(|&node| graph.address(node).to_string()).collect(),
            reason,
            holders,
        });
    }
    Ok((found, all))
}
