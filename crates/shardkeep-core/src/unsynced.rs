//! Which keys of a shard have changed and are not durable yet.
//!
//! Pure. Outlives the entries: the absence of a key that was removed is a reply too.
//!
//! 1. Batches are numbered in the order in which they are gathered; numbers only grow.
//! 2. `newest_of[hash]` is the number of the newest batch that changed a key with that hash, for all
//!    batches not known to be durable. Keys with one hash are taken for one: a reply may wait in vain,
//!    it never shows too much.
//! 3. `changes` has every pair of the map at least once, in the order of the numbers, so forgetting
//!    costs what noting has cost.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// What is noted here is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    newest_of: HashMap<u64, u64, BuildHasherDefault<Taken>>,
    changes: VecDeque<(u64, u64)>,
    /// Every key depends on this batch at least.
    floor: u64,
    newest: u64,
    /// Everything up to this batch is durable.
    synced: u64,
}

impl Unsynced {
    /// A key with `hash` was changed in batch `number`.
    pub(crate) fn note(&mut self, hash: u64, number: u64) {
        debug_assert!(number >= self.newest);
        self.newest = number;
        if self.newest_of.insert(hash, number) != Some(number) {
            self.changes.push_back((number, hash));
        }
    }

    /// Every key was changed in batch `number`.
    pub(crate) fn note_all(&mut self, number: u64) {
        self.newest = self.newest.max(number);
        self.floor = number;
        self.newest_of.clear();
        self.changes.clear();
    }

    /// The batch that a reply about a key with `hash` depends on; 0 for none.
    #[inline]
    pub(crate) fn needs(&self, hash: u64) -> u64 {
        if self.newest <= self.synced {
            return 0;
        }
        let noted = self.newest_of.get(&hash).copied().unwrap_or(0);
        self.undurable(noted.max(self.floor))
    }

    /// The batch that a reply about all keys depends on; 0 for none.
    pub(crate) fn newest(&self) -> u64 {
        self.undurable(self.newest)
    }

    /// Whether batch `number` is durable, as far as is known here.
    pub(crate) fn is_durable(&self, number: u64) -> bool {
        number <= self.synced
    }

    fn undurable(&self, number: u64) -> u64 {
        if number > self.synced { number } else { 0 }
    }

    /// Everything up to batch `synced` is durable.
    pub(crate) fn forget(&mut self, synced: u64) {
        if synced == self.synced {
            return;
        }
        self.synced = synced;
        while let Some(&(number, hash)) = self.changes.front()
            && number <= synced
        {
            self.changes.pop_front();
            if self.newest_of.get(&hash) == Some(&number) {
                self.newest_of.remove(&hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_changed_twice_needs_the_second_batch() {
        let mut unsynced = Unsynced::default();
        unsynced.note(5, 1);
        unsynced.note(5, 2);
        unsynced.note(6, 2);
        unsynced.forget(1);
        assert_eq!((unsynced.needs(5), unsynced.needs(6)), (2, 2));
        unsynced.forget(2);
        assert_eq!((unsynced.needs(5), unsynced.newest()), (0, 0));
        assert!(unsynced.newest_of.is_empty() && unsynced.changes.is_empty());
    }

    #[test]
    fn a_key_changed_many_times_in_a_batch_is_noted_once() {
        let mut unsynced = Unsynced::default();
        (0..1_000).for_each(|_| unsynced.note(5, 1));
        assert_eq!(unsynced.changes.len(), 1);
    }

    #[test]
    fn after_everything_changed_every_key_needs_that_batch() {
        let mut unsynced = Unsynced::default();
        unsynced.note(5, 1);
        unsynced.note_all(2);
        unsynced.note(6, 3);
        assert_eq!(
            (unsynced.needs(5), unsynced.needs(6), unsynced.needs(7)),
            (2, 3, 2)
        );
        unsynced.forget(2);
        assert_eq!(
            (unsynced.needs(5), unsynced.needs(6), unsynced.needs(7)),
            (0, 3, 0)
        );
    }
}
