//! What was looked up last, at hand: a table of fixed size in front of a map.

/// Values by number, each in the slot that the last bits of its number say. Numbers are below
/// `u64::MAX`, which marks a slot that has none.
#[derive(Debug)]
pub struct Recent<V, const SLOTS: usize>([(u64, V); SLOTS]);

impl<V: Copy + Default, const SLOTS: usize> Default for Recent<V, SLOTS> {
    fn default() -> Self {
        Self([(u64::MAX, V::default()); SLOTS])
    }
}

impl<V: Copy, const SLOTS: usize> Recent<V, SLOTS> {
    /// What was put there under this number, unless another one has taken its slot since.
    #[inline]
    pub fn get(&self, number: u64) -> Option<V> {
        let known = self.0.get(number as usize % SLOTS).filter(|(known, _)| *known == number);
        known.map(|&(_, value)| value)
    }

    /// Puts a value under a number.
    #[inline]
    pub fn put(&mut self, number: u64, value: V) {
        if let Some(slot) = self.0.get_mut(number as usize % SLOTS) {
            *slot = (number, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_what_came_last() {
        let mut recent = Recent::<char, 4>::default();
        assert_eq!(recent.get(0), None);
        for (number, value) in [(7, 'a'), (3, 'b'), (4, 'c')] {
            recent.put(number, value);
        }
        assert_eq!(
            [7, 3, 4, 0].map(|number| recent.get(number)),
            [None, Some('b'), Some('c'), None]
        );
    }
}
