//! The ring of pending calls that the main thread runs between two bytecodes, written from
//! outside while the process stands still.
//!
//! The interpreter guards the ring with a lock; a call is queued only while nobody has it. What
//! is queued can be taken back until the main thread has taken it.

use super::ExecError;
use crate::layout::traits::PendingCalls as Kind;
use crate::layout::{Field, Layout};
use crate::memory::Address;
use crate::process::{Held, InjectError};

/// Places in the ring up to 3.12 (`NPENDINGCALLS`), and since (`PENDINGCALLSARRAYSIZE`).
const PLACES: u64 = 32;
const COUNTED_PLACES: u64 = 300;
/// Most calls that may wait for the main thread since 3.13 (`MAXPENDINGCALLS_MAIN`).
const COUNTED_MAX: u64 = 32;
/// `_PY_CALLS_TO_DO_BIT` (Include/internal/pycore_ceval.h).
const CALLS_TO_DO_BIT: u64 = 4;
/// `_Py_PENDING_MAINTHREADONLY`
const MAIN_THREAD_ONLY: u64 = 1;
/// How far a patch release may have moved the ring from where the table has it.
const DRIFT: u64 = 256;
/// `sem_t` of a lock that nobody has: glibc and musl keep the value in the first four bytes.
const FREE_SEMAPHORE: u32 = 1;

/// A ring that makes sense.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ring {
    kind: Kind,
    at: u64,
    fields: RingFields,
    /// Where "there are calls to do" is said, and where "look up from the bytecode".
    calls_to_do: [Option<(u64, Field)>; 2],
    eval_breaker: (u64, Field),
}

#[derive(Debug, Clone, Copy)]
struct RingFields {
    lock: Option<Field>,
    mutex: Option<Field>,
    count: Option<Field>,
    max: Option<Field>,
    calls: Field,
    first: Field,
    next: Field,
}

/// A call that was queued.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    index: u64,
    function: u64,
    argument: u64,
}

/// What became of taking back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Withdrawn {
    /// It was not run and will not be.
    Yes,
    /// The main thread has taken it.
    TooLate,
}

/// Why nothing could be queued now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    /// Another thread is working on the ring.
    Locked,
    /// No place is free.
    Full,
}

impl Ring {
    /// Finds the ring and looks whether it is one.
    pub(super) fn find(
        held: &Held<'_>,
        layout: &Layout,
        runtime: Address,
        interpreter: Address,
    ) -> Result<Self, ExecError> {
        let unknown = || ExecError::RingUnknown { pid: held.pid() };
        let structs = &layout.structs;
        let kind = layout.traits.pending_calls;
        let pending = &structs.pending_calls;
        let fields = RingFields {
            lock: pending.lock,
            mutex: pending.mutex,
            count: pending.count,
            max: pending.max,
            calls: pending.calls,
            first: pending.first,
            next: pending.next,
        };
        let of = |field: Option<Field>, base: Address| -> Result<u64, ExecError> {
            Ok(field.ok_or_else(unknown)?.at(base).get())
        };
        let at = match kind {
            Kind::Interpreter => of(structs.interpreter.pending, interpreter)?,
            _ => of(structs.runtime.pending, runtime)?,
        };
        let breaker = |field: Option<Field>, base: Address| -> Result<(u64, Field), ExecError> {
            Ok((base.get(), field.ok_or_else(unknown)?))
        };
        let eval_breaker = match kind {
            Kind::Runtime => breaker(structs.runtime.eval_breaker, runtime)?,
            Kind::Interpreter | Kind::MainThread => {
                breaker(structs.interpreter.eval_breaker, interpreter)?
            }
            Kind::Counted => {
                let main = structs.runtime.main_tstate.ok_or_else(unknown)?;
                let thread = number(held, runtime.get(), main).filter(|&at| at != 0);
                breaker(structs.thread.eval_breaker, Address::new(thread.ok_or_else(unknown)?))?
            }
        };
        let calls_to_do = match (kind, pending.calls_to_do) {
            // What is said of the interpreter's calls any thread hears, and then says no more; what
            // is said of the main thread's it alone hears, when it next takes the GIL.
            (Kind::MainThread, Some(field)) => {
                [Some((of(structs.interpreter.pending, interpreter)?, field)), Some((at, field))]
            }
            (_, Some(field)) => [Some((at, field)), None],
            (_, None) => [None; 2],
        };
        let ring = Self { kind, at, fields, calls_to_do, eval_breaker };
        ring.settled(held).ok_or_else(unknown)
    }

    /// The ring where it makes sense: where the table has it, or near it when the series is one
    /// in which it has moved.
    fn settled(self, held: &Held<'_>) -> Option<Self> {
        if self.is_sound(held) {
            return Some(self);
        }
        if self.kind != Kind::Counted {
            return None;
        }
        let around = (self.at.checked_sub(DRIFT)?..=self.at + DRIFT).step_by(8);
        let mut found = around.map(|at| Self { at, ..self }).filter(|ring| ring.is_sound(held));
        match (found.next(), found.next()) {
            (Some(ring), None) => Some(ring),
            _ => None,
        }
    }

    fn is_sound(&self, held: &Held<'_>) -> bool {
        let (Some(first), Some(next)) =
            (self.number(held, self.fields.first), self.number(held, self.fields.next))
        else {
            return false;
        };
        let within = first < self.places() && next < self.places();
        let counted = match (self.fields.count, self.fields.max) {
            (Some(count), Some(max)) => {
                let (count, max) = (self.number(held, count), self.number(held, max));
                max == Some(COUNTED_MAX)
                    && count.is_some_and(|count| {
                        count <= COUNTED_MAX && (first + count) % self.places() == next
                    })
            }
            _ => self.fields.lock.is_some_and(|lock| {
                self.number(held, lock).is_some_and(|at| at != 0 && at % 4 == 0)
            }),
        };
        within && counted && self.fields.calls.size == self.places() * self.kind.entry()
    }

    /// Queues a call, the lock being free.
    pub(super) fn push(
        &self,
        held: &mut Held<'_>,
        function: u64,
        argument: u64,
    ) -> Result<Result<Ticket, Busy>, InjectError> {
        let pid = held.pid();
        let lost = |field: Field| InjectError::Write { pid, at: self.at + field.offset };
        if !self.is_free(held) {
            return Ok(Err(Busy::Locked));
        }
        let first = self.number(held, self.fields.first).ok_or(lost(self.fields.first))?;
        let index = self.number(held, self.fields.next).ok_or(lost(self.fields.next))?;
        let next = (index + 1) % self.places();
        let count = self.fields.count.and_then(|count| self.number(held, count));
        if next == first || count.is_some_and(|count| count >= COUNTED_MAX) {
            return Ok(Err(Busy::Full));
        }
        held.write(self.place(index), &self.entry(function, argument, MAIN_THREAD_ONLY))?;
        self.set(held, self.fields.next, next)?;
        if let (Some(field), Some(count)) = (self.fields.count, count) {
            self.set(held, field, count + 1)?;
        }
        self.tell(held)?;
        Ok(Ok(Ticket { index, function, argument }))
    }

    /// Says again that there is something to do. (Up to 3.12 a thread that was just computing the
    /// eval breaker may have overwritten what we said.)
    pub(super) fn tell(&self, held: &mut Held<'_>) -> Result<(), InjectError> {
        for (at, field) in self.calls_to_do.into_iter().flatten() {
            put(held, at, field, 1)?;
        }
        let (at, field) = self.eval_breaker;
        let bits = match self.kind {
            Kind::Counted => number(held, at, field).unwrap_or(0) | CALLS_TO_DO_BIT,
            _ => 1,
        };
        put(held, at, field, bits)
    }

    /// True while the main thread has not taken the call.
    pub(super) fn is_queued(&self, held: &Held<'_>, ticket: &Ticket) -> bool {
        let (Some(first), Some(next)) =
            (self.number(held, self.fields.first), self.number(held, self.fields.next))
        else {
            return false;
        };
        let places = self.places();
        let ahead = (ticket.index + places - first) % places;
        let waiting = (next + places - first) % places;
        let mut entry = [0; 16];
        let expected = self.entry(ticket.function, ticket.argument, 0);
        ahead < waiting
            && held.read(self.place(ticket.index), &mut entry)
            && expected.get(..16) == Some(&entry)
    }

    /// Takes a call back: as if it had never been queued, or replaced by one that does nothing
    /// when others stand behind it.
    pub(super) fn withdraw(
        &self,
        held: &mut Held<'_>,
        ticket: &Ticket,
        nothing: u64,
    ) -> Result<Result<Withdrawn, Busy>, InjectError> {
        if !self.is_free(held) {
            return Ok(Err(Busy::Locked));
        }
        if !self.is_queued(held, ticket) {
            return Ok(Ok(Withdrawn::TooLate));
        }
        let last = self.number(held, self.fields.next) == Some((ticket.index + 1) % self.places());
        if last {
            let count =
                self.fields.count.and_then(|field| Some((field, self.number(held, field)?)));
            self.set(held, self.fields.next, ticket.index)?;
            if let Some((field, count)) = count {
                self.set(held, field, count.saturating_sub(1))?;
            }
            held.write(self.place(ticket.index), &self.entry(0, 0, 0))?;
        } else {
            let entry = self.entry(nothing, 0, MAIN_THREAD_ONLY);
            held.write(self.place(ticket.index), &entry)?;
        }
        Ok(Ok(Withdrawn::Yes))
    }

    /// True when nobody works on the ring.
    fn is_free(&self, held: &Held<'_>) -> bool {
        match (self.fields.lock, self.fields.mutex) {
            (Some(lock), _) => {
                let mut value = [0; 4];
                let at = self.number(held, lock);
                at.is_some_and(|at| held.read(at, &mut value))
                    && u32::from_le_bytes(value) == FREE_SEMAPHORE
            }
            (None, Some(mutex)) => self.number(held, mutex) == Some(0),
            (None, None) => false,
        }
    }

    fn places(&self) -> u64 {
        if self.kind == Kind::Counted { COUNTED_PLACES } else { PLACES }
    }

    fn place(&self, index: u64) -> u64 {
        self.at + self.fields.calls.offset + index * self.kind.entry()
    }

    fn entry(&self, function: u64, argument: u64, flags: u64) -> Vec<u8> {
        let mut entry: Vec<u8> =
            [function, argument, flags].iter().flat_map(|word| word.to_le_bytes()).collect();
        entry.truncate(usize::try_from(self.kind.entry()).unwrap_or(0));
        entry
    }

    fn number(&self, held: &Held<'_>, field: Field) -> Option<u64> {
        number(held, self.at, field)
    }

    fn set(&self, held: &mut Held<'_>, field: Field, value: u64) -> Result<(), InjectError> {
        put(held, self.at, field, value)
    }
}

/// A number in a struct.
pub(super) fn number(held: &Held<'_>, base: u64, field: Field) -> Option<u64> {
    let mut bytes = [0; 8];
    let size = usize::try_from(field.size).ok()?.clamp(1, 8);
    held.read(base.checked_add(field.offset)?, bytes.get_mut(..size)?)
        .then(|| u64::from_le_bytes(bytes))
}

/// Writes a number into a struct.
pub(super) fn put(
    held: &mut Held<'_>,
    base: u64,
    field: Field,
    value: u64,
) -> Result<(), InjectError> {
    let bytes = value.to_le_bytes();
    let size = usize::try_from(field.size).unwrap_or(8).clamp(1, 8);
    held.write(base.saturating_add(field.offset), bytes.get(..size).unwrap_or(&bytes))
}
