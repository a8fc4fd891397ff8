//! Placing the request while the target is held, placing it again, taking it back.

use std::time::Duration;

use super::functions::Functions;
use super::request::Request;
use super::ring::{Busy, Ring, Withdrawn};
use super::session::Prepared;
use super::situation::{Decision, Situation};
use super::traces::{Placed, Traces};
use super::{ExecError, Way};
use crate::process::{Held, reached};

/// `PyGILState_UNLOCKED`: what `PyGILState_Ensure` returns in a thread without the GIL.
const UNLOCKED: u64 = 1;

/// Longest text on the stack of a borrowed thread.
const MOST_ON_STACK: usize = 8 << 10;

/// What a look at a held target gives.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) decision: Decision,
    pub(super) doing: String,
}

/// What became of a request that is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Back,
    TooLate,
}

pub(super) fn situation(held: &Held<'_>, prepared: &Prepared) -> Result<Situation, ExecError> {
    Situation::read(held, &prepared.layout, prepared.runtime, prepared.options.thread)
}

pub(super) fn look(
    situation: &Situation,
    held: &Held<'_>,
    prepared: &Prepared,
) -> Result<Look, ExecError> {
    Request::allowed(held, &prepared.layout, situation.interpreter)?;
    let requests = Request::find(&prepared.layout, situation.thread.address).is_some();
    let decision = situation.decide(held, &prepared.code, requests)?;
    Ok(Look { decision, doing: situation.doing() })
}

/// Places the request; whatever goes wrong, nothing is left of it.
pub(super) fn deliver(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
) -> Result<Look, ExecError> {
    let situation = situation(held, prepared)?;
    let look = look(&situation, held, prepared)?;
    let placed = place(held, prepared, traces, &situation, look.decision);
    if placed.is_err() {
        traces.remove_all(held);
    }
    placed.map(|()| look)
}

/// Places it again where the thread is now, unless it has taken it up.
pub(super) fn deliver_again(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
) -> Result<Option<Look>, ExecError> {
    let situation = situation(held, prepared)?;
    let look = look(&situation, held, prepared)?;
    let way = match traces.placed {
        Some(Placed::Queued(ring, ticket)) if ring.is_queued(held, &ticket) => {
            ring.tell(held)?;
            Way::PendingCall
        }
        Some(Placed::Requested(request)) if request.is_pending(held) => {
            request.tell(held)?;
            Way::Request
        }
        _ => return Ok(None),
    };
    if way == look.decision.way {
        if look.decision.interrupt {
            held.interrupt_call(situation.os.tid)?;
        }
        return Ok(Some(look));
    }
    if withdraw(held, prepared, traces)? != Taken::Back {
        return Ok(None);
    }
    place(held, prepared, traces, &situation, look.decision)?;
    Ok(Some(look))
}

fn place(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
    situation: &Situation,
    decision: Decision,
) -> Result<(), ExecError> {
    let pid = held.pid();
    let tid = situation.os.tid;
    match decision.way {
        Way::Request => {
            let request = Request::find(&prepared.layout, situation.thread.address)
                .ok_or(ExecError::RingUnknown { pid })?;
            if request.is_taken(held) {
                return Err(ExecError::Occupied { pid, what: "a debugger's request" });
            }
            let path = traces.source_file(held, prepared)?;
            reached("memory made");
            request.make(held, &path)?;
            traces.placed = Some(Placed::Requested(request));
        }
        Way::PendingCall => {
            let layout = &prepared.layout;
            let ring = Ring::find(held, layout, prepared.runtime, situation.interpreter)?;
            let page = traces.page(held, prepared)?;
            reached("memory made");
            let ticket = match ring.push(held, prepared.functions.run, page)? {
                Ok(ticket) => ticket,
                Err(Busy::Locked) => {
                    let what = "a thread is working on the pending calls";
                    return Err(ExecError::Restless { pid, what, within: Duration::ZERO });
                }
                Err(Busy::Full) => {
                    return Err(ExecError::Occupied { pid, what: "a full ring of pending calls" });
                }
            };
            traces.placed = Some(Placed::Queued(ring, ticket));
        }
        Way::BorrowedThread => {
            let Functions { run, ensure, release, .. } = prepared.functions;
            let through = |statement| [(ensure, 0), (run, statement), (release, UNLOCKED)];
            let statement = traces.statement(held, prepared)?;
            reached("memory made");
            let on_stack = (statement.len() <= MOST_ON_STACK)
                .then(|| held.send_away(tid, &statement, through).ok());
            let away = match on_stack.flatten() {
                Some(away) => away,
                // Its stack has no room for it: as much as it has used is mapped, and not much more.
                None => {
                    let page = traces.page(held, prepared)?;
                    held.send_away(tid, &[], |_| through(page))?
                }
            };
            traces.placed = Some(Placed::Borrowed(away));
        }
    }
    reached("request placed");
    if decision.interrupt {
        held.interrupt_call(tid)?;
    }
    Ok(())
}

/// Takes the request back.
pub(super) fn withdraw(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
) -> Result<Taken, ExecError> {
    let taken = match traces.placed {
        Some(Placed::Queued(ring, ticket)) => {
            match ring.withdraw(held, &ticket, prepared.functions.nothing)? {
                Ok(Withdrawn::Yes) => Taken::Back,
                Ok(Withdrawn::TooLate) => Taken::TooLate,
                Err(_) => {
                    let what = "a thread is working on the pending calls";
                    let pid = held.pid();
                    return Err(ExecError::Restless { pid, what, within: Duration::ZERO });
                }
            }
        }
        Some(Placed::Requested(request)) if request.is_pending(held) => {
            request.withdraw(held)?;
            Taken::Back
        }
        Some(Placed::Requested(_)) => Taken::TooLate,
        // It waits for the GIL and cannot be called back; but what it then runs will be empty.
        Some(Placed::Borrowed(away)) if held.redirect(&away, prepared.functions.empty_text)? => {
            Taken::Back
        }
        Some(Placed::Borrowed(_)) => Taken::TooLate,
        None => Taken::Back,
    };
    if taken == Taken::Back {
        traces.placed = None;
    }
    Ok(taken)
}
