//! How a prepared operation becomes a call, one way for each kind of workload.
//!
//! 1. A play adds the same few instructions to every engine's loop; all of it, and the engine's own
//!    entry point, is compiled into that loop.
//! 2. What a call returned is judged only where it was sampled.

use super::engines::Handle;
use super::value::{ABSENT, Value, is_digest_of, is_first_of, is_sum_of};
use super::workload::Op;

/// One thread's way through its operations.
pub(super) trait Play {
    /// Carries out one operation; returns something that depends on all of what it found.
    fn call<H: Handle>(&mut self, handle: &mut H, op: Op) -> u64;

    /// Whether the last call, of this operation, has found what its key must have.
    fn is_right(&self, op: Op, found: u64) -> bool;

    /// What was added to all amounts together so far.
    fn added(&self) -> u64 {
        0
    }
}

/// Reads and writes.
#[derive(Debug)]
pub(super) struct Mix;

impl Play for Mix {
    #[inline(always)]
    fn call<H: Handle>(&mut self, handle: &mut H, op: Op) -> u64 {
        if op.is_write() {
            handle.set(op.key(), &H::Value::of(op.key()));
            0
        } else {
            handle.get(op.key()).unwrap_or(ABSENT)
        }
    }

    fn is_right(&self, op: Op, found: u64) -> bool {
        op.is_write() || is_digest_of(found, op.key())
    }
}

/// Reads, and changes by one.
#[derive(Debug, Default)]
pub(super) struct Change {
    added: u64,
}

impl Play for Change {
    #[inline(always)]
    fn call<H: Handle>(&mut self, handle: &mut H, op: Op) -> u64 {
        let found = if op.is_write() {
            self.added += 1;
            handle.add(op.key(), 1)
        } else {
            handle.get(op.key())
        };
        found.unwrap_or(ABSENT)
    }

    fn is_right(&self, op: Op, found: u64) -> bool {
        if op.is_write() {
            is_first_of(found, op.key())
        } else {
            is_digest_of(found, op.key())
        }
    }

    fn added(&self) -> u64 {
        self.added
    }
}

/// Transfers of one; nothing is added in all.
#[derive(Debug)]
pub(super) struct Transfer;

impl Play for Transfer {
    #[inline(always)]
    fn call<H: Handle>(&mut self, handle: &mut H, op: Op) -> u64 {
        handle.transfer(op.key(), op.other()).unwrap_or(ABSENT)
    }

    fn is_right(&self, op: Op, found: u64) -> bool {
        is_sum_of(found, op.key(), op.other())
    }
}

/// Reads of what is newest to this thread, and inserts of new keys, of which no other thread has
/// the same: a thread reads only keys that were loaded or that it has inserted itself, so all are
/// there.
#[derive(Debug)]
pub(super) struct Latest {
    loaded: u64,
    threads: u64,
    thread: u64,
    inserted: u64,
}

impl Latest {
    /// `thread` of `threads`, on a map with keys `0..loaded`.
    pub(super) const fn new(loaded: u64, threads: usize, thread: usize) -> Self {
        Self {
            loaded,
            threads: threads as u64,
            thread: thread as u64,
            inserted: 0,
        }
    }

    #[inline]
    const fn new_key(&self, number: u64) -> u64 {
        self.loaded + number * self.threads + self.thread
    }

    /// The key with so many newer ones; `rank` is below the number of keys loaded.
    #[inline]
    const fn recent(&self, rank: u64) -> u64 {
        if rank < self.inserted {
            self.new_key(self.inserted - 1 - rank)
        } else {
            self.loaded - 1 - (rank - self.inserted)
        }
    }
}

impl Play for Latest {
    #[inline(always)]
    fn call<H: Handle>(&mut self, handle: &mut H, op: Op) -> u64 {
        if op.is_write() {
            let key = self.new_key(self.inserted);
            self.inserted += 1;
            handle.set(key, &H::Value::of(key));
            0
        } else {
            handle.get(self.recent(op.key())).unwrap_or(ABSENT)
        }
    }

    fn is_right(&self, op: Op, found: u64) -> bool {
        // A read inserts nothing, so its key is still as old as it was.
        op.is_write() || is_digest_of(found, self.recent(op.key()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_key_is_the_last_inserted_then_the_last_loaded() {
        let mut latest = Latest::new(100, 2, 1);
        assert_eq!((latest.recent(0), latest.recent(99)), (99, 0));
        latest.inserted = 3;
        let keys: Vec<u64> = (0..5).map(|rank| latest.recent(rank)).collect();
        assert_eq!(keys, [105, 103, 101, 99, 98]);
        assert_eq!(latest.recent(99), 3);
    }

    #[test]
    fn no_two_threads_insert_the_same_key() {
        let mut keys = Vec::new();
        for thread in 0..3 {
            let latest = Latest::new(10, 3, thread);
            keys.extend((0..4).map(|number| latest.new_key(number)));
        }
        keys.sort_unstable();
        assert_eq!(keys, (10..22).collect::<Vec<u64>>());
    }
}
