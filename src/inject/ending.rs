//! Ending a script that does not end in time: an exception raised in its thread from outside.

use super::ExecError;
use super::placing::situation;
use super::records::Record;
use super::ring::{number, put};
use super::session::{Prepared, Session};
use super::situation::Situation;
use super::traces::Traces;
use crate::layout::traits::PendingCalls;
use crate::process::{Held, InjectError, reached};

/// `_PY_ASYNC_EXCEPTION_BIT` (3.13+).
const ASYNC_EXCEPTION_BIT: u64 = 8;
/// Refcounts from here on are those of immortal objects (3.12+), which nobody counts.
const IMMORTAL: u32 = 1 << 30;

impl Session<'_> {
    /// Has the script raise an exception that ends it. Only while it certainly runs: once it has
    /// ended, the exception would be the program's.
    pub(super) fn ask_to_end(&mut self) -> Result<(), ExecError> {
        self.held(|held, prepared, traces| {
            let situation = situation(held, prepared)?;
            let records = traces.is_open(held.pid()).then(|| traces.records()).flatten();
            if records.is_some_and(|records| !records.contains(&Record::Finished)) {
                raise_in(held, prepared, traces, &situation)?;
            }
            Ok(())
        })
    }
}

/// `PyThreadState_SetAsyncExc(thread, SystemExit)`, by hand.
fn raise_in(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
    situation: &Situation,
) -> Result<(), ExecError> {
    let structs = &prepared.layout.structs;
    let thread = situation.thread.address.get();
    let field = structs.thread.async_exception;
    if let Some(class) = traces.exception {
        // Once only: at its end the wrapper is ready for one.
        if number(held, thread, field) == Some(class) {
            tell_of_exception(held, prepared, situation)?;
        }
        return Ok(());
    }
    let mut class = [0; 8];
    // One that the program has asked for comes first.
    if number(held, thread, field) != Some(0)
        || !held.read(prepared.functions.system_exit, &mut class)
    {
        return Ok(());
    }
    let class = u64::from_le_bytes(class);
    let refcount = structs.object.refcount;
    let at = class.saturating_add(refcount.offset);
    let mut count = [0; 4];
    if !held.read(at, &mut count) {
        return Ok(());
    }
    let count = u32::from_le_bytes(count);
    if count < IMMORTAL {
        held.write(at, &(count + 1).to_le_bytes())?;
    }
    put(held, thread, field, class)?;
    traces.exception = Some(class);
    tell_of_exception(held, prepared, situation)?;
    reached("asked to end");
    Ok(())
}

/// Has the thread look for the exception.
fn tell_of_exception(
    held: &mut Held<'_>,
    prepared: &Prepared,
    situation: &Situation,
) -> Result<(), InjectError> {
    let structs = &prepared.layout.structs;
    let runtime = prepared.runtime.get();
    let interpreter = situation.interpreter.get();
    let (base, ring, breaker) = match prepared.layout.traits.pending_calls {
        PendingCalls::Counted => {
            let thread = situation.thread.address.get();
            let Some(field) = structs.thread.eval_breaker else { return Ok(()) };
            let bits = number(held, thread, field).unwrap_or(0) | ASYNC_EXCEPTION_BIT;
            return put(held, thread, field, bits);
        }
        PendingCalls::Runtime => (runtime, structs.runtime.pending, structs.runtime.eval_breaker),
        PendingCalls::Interpreter | PendingCalls::MainThread => {
            (interpreter, structs.interpreter.pending, structs.interpreter.eval_breaker)
        }
    };
    if let (Some(ring), Some(flag)) = (ring, structs.pending_calls.async_exception) {
        put(held, base.saturating_add(ring.offset), flag, 1)?;
    }
    match breaker {
        Some(breaker) => put(held, base, breaker, 1),
        None => Ok(()),
    }
}
