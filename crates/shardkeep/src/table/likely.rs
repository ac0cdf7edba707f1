//! Where in memory the entry with a hash probably lies.
//!
//! hashbrown keeps a control byte for each place, and the entries below them, backwards: place `n` begins
//! `n + 1` entries below the first control byte. It puts an entry into the first free place from
//! `hash & mask` on, so while a table is half full three of four entries lie in exactly that place. Asking
//! for both lines at once makes of two misses, one behind the other, about one.
//!
//! 1. An address is never followed, only prefetched: a wrong one costs a line of the cache.

use hashbrown::HashTable;

use crate::prefetch::prefetch_at;

/// Places from which on a segment is worth it: a smaller one lies in a near cache as a rule, where the
/// hint costs more than the miss (`update` of 1,000 keys 0.94 instead of 0.99 of a lock's speed).
const PLACES_MIN: usize = 1_024;

/// Places are probed from `hash & mask` on, and their control bytes begin at `control`.
#[derive(Clone, Copy)]
pub(super) struct Likely {
    control: usize,
    /// 0 where nothing is worth a hint.
    mask: u32,
}

impl Likely {
    pub(super) const UNKNOWN: Self = Self {
        control: 0,
        mask: 0,
    };

    /// Of a segment, told by the address of any of its entries.
    pub(super) fn of<E>(segment: &HashTable<E>) -> Self {
        let places = segment.num_buckets();
        let Ok(mask) = u32::try_from(places.saturating_sub(1)) else {
            return Self::UNKNOWN;
        };
        let first = (0..places).find_map(|at| Some((at, segment.get_bucket(at)?)));
        match first {
            Some((at, entry)) if places >= PLACES_MIN => Self {
                control: std::ptr::from_ref(entry).addr() + (at + 1) * size_of::<E>(),
                mask,
            },
            Some(_) | None => Self::UNKNOWN,
        }
    }

    /// Begins to fetch the control bytes and the entry that a look-up of `hash` will read first.
    #[inline(always)]
    pub(super) fn prefetch<E>(self, hash: u64) {
        if self.mask != 0 {
            let at = hash as usize & self.mask as usize;
            prefetch_at(self.control + at, 1);
            prefetch_at(
                self.control.wrapping_sub((at + 1) * size_of::<E>()),
                size_of::<E>(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_of_a_segment_leads_to_its_entries() {
        let mut segment = HashTable::with_capacity(PLACES_MIN);
        let hash = |entry: &u64| entry.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for entry in 0..PLACES_MIN as u64 / 2 {
            segment.insert_unique(hash(&entry), entry, hash);
        }
        let likely = Likely::of(&segment);
        assert_eq!(likely.mask as usize + 1, segment.num_buckets());
        for at in 0..segment.num_buckets() {
            if let Some(entry) = segment.get_bucket(at) {
                let address = likely.control - (at + 1) * size_of::<u64>();
                assert_eq!(address, std::ptr::from_ref(entry).addr(), "place {at}");
            }
        }
        let at_once = segment.iter().filter(|entry| {
            let at = hash(entry) as usize & likely.mask as usize;
            segment.get_bucket(at) == Some(entry)
        });
        assert!(at_once.count() * 10 > segment.len() * 6);
    }

    #[test]
    fn a_small_segment_has_no_hint() {
        let mut segment = HashTable::with_capacity(8);
        assert_eq!(Likely::of(&segment).mask, 0);
        segment.insert_unique(1, 1_u64, |entry| *entry);
        assert_eq!(Likely::of(&segment).mask, 0);
    }
}
