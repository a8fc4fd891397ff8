//! The same work on many items, on as many processors as there are.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{Builder, available_parallelism, scope};

/// Threads at most.
const MOST: usize = 8;
/// Fewer items are not worth a thread.
const LEAST: usize = 16;

/// What `work` makes of each item, in their order. Each thread begins with a state from `begin`.
pub(super) fn map<T, S, R>(
    items: &[T],
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> R + Sync,
) -> Vec<R>
where
    T: Sync,
    R: Send,
{
    let threads = available_parallelism().map_or(1, NonZero::get).min(MOST);
    let threads = threads.min(items.len() / LEAST).max(1);
    let all = |part: &[T]| {
        let mut state = begin();
        part.iter().map(|item| work(&mut state, item)).collect::<Vec<R>>()
    };
    let all = &all;
    scope(|scope| {
        let mut parts = items.chunks(items.len().div_ceil(threads).max(1));
        let own = parts.next().unwrap_or_default();
        let others: Vec<_> = parts
            .map(|part| (part, Builder::new().spawn_scoped(scope, move || all(part))))
            .collect();
        let mut results = all(own);
        for (part, thread) in others {
            match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(more)) => results.extend(more),
                Ok(Err(panic)) => resume_unwind(panic),
                // No more threads are to be had.
                Err(_) => results.extend(all(part)),
            }
        }
        results
    })
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for count in [0, 1, 15, 33, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let twice = map(
                &items,
                || 0,
                |seen, item| {
                    *seen += 1;
                    (*seen > 0).then_some(2 * item)
                },
            );
            assert_eq!(twice, items.iter().map(|item| Some(2 * item)).collect::<Vec<_>>());
        }
    }
}
