//! Room of our own for long columns of numbers, asked for in huge pages.
//!
//! The first touch of a small page costs more than what is then written to it, and columns that
//! are read at random need more translations of addresses than a processor keeps. Where the
//! kernel gives no huge pages, nothing is different.

/// Columns from this size on are worth it, in bytes: two huge pages.
const LEAST: usize = 4 << 20;
const PAGE: usize = 4096;

/// An empty vector with room for `capacity` elements. What is not used is never touched.
pub fn room<T>(capacity: usize) -> Vec<T> {
    let column: Vec<T> = Vec::with_capacity(capacity);
    let bytes = column.capacity().saturating_mul(size_of::<T>());
    if bytes >= LEAST {
        let from = column.as_ptr().addr().next_multiple_of(PAGE);
        let end = (column.as_ptr().addr() + bytes) / PAGE * PAGE;
        // SAFETY: whole pages within memory that the vector owns. The advice changes no byte of
        // it; a kernel that does not know it says so, which is as good.
        unsafe { libc::madvise(from as *mut libc::c_void, end - from, libc::MADV_HUGEPAGE) };
    }
    column
}

/// A vector of `count` times the same.
pub fn filled<T: Copy>(value: T, count: usize) -> Vec<T> {
    let mut column = room(count);
    column.resize(count, value);
    column
}

/// The same elements in room of their own.
pub fn copied<T: Copy>(elements: &[T]) -> Vec<T> {
    let mut column = room(elements.len());
    column.extend_from_slice(elements);
    column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_is_put_in() {
        for count in [0usize, 1, 5000, 1 << 20, 3_000_001] {
            let mut column = room(count);
            assert!(column.is_empty() && column.capacity() >= count);
            column.extend(0..count as u32);
            assert_eq!(copied(&column), column);
            assert!(column.iter().enumerate().all(|(at, &value)| at as u32 == value));
            assert_eq!(filled(7u16, count), vec![7; count]);
        }
    }
}
