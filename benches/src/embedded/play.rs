//! How a prepared operation becomes a call, one way for each kind of workload.
//!
//! 1. A play adds the same few instructions to every engine's loop.
//! 2. What a call returned is judged only where it was sampled; elsewhere the judgement is dead code.

use super::engines::Handle;
use super::value::{ABSENT, Value, is_digest_of, is_first_of, is_sum_of};
use super::workload::Op;

/// What a call returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// Something that depends on it, so that the call cannot be left out.
    pub(super) found: u64,
    /// Whether it is what the key must have.
    pub(super) is_right: bool,
}

/// One thread's way through its operations.
pub(super) trait Play {
    /// Carries out one operation.
    fn call<H: Handle>(&mut self, handle: &mut H, op: Op) -> Answer;

    /// What was added to all amounts together so far.
    fn added(&self) -> u64 {
        0
    }
}

/// Reads and writes.
#[derive(Debug)]
pub(super) struct Mix;

impl Play for Mix {
    #[inline]
    fn call<H: Handle>(&mut self, handle: &mut H, op: Op) -> Answer {
        if op.is_write() {
            write(handle, op.key())
        } else {
            read(handle, op.key())
        }
    }
}

/// Reads, and changes by one.
#[derive(Debug, Default)]
pub(super) struct Change {
    added: u64,
}

impl Play for Change {
    #[inline]
    fn call<H: Handle>(&mut self, handle: &mut H, op: Op) -> Answer {
        let key = op.key();
        if !op.is_write() {
            return read(handle, key);
        }
        self.added += 1;
        let found = handle.add(key, 1).unwrap_or(ABSENT);
        Answer {
            found,
            is_right: is_first_of(found, key),
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
    #[inline]
    fn call<H: Handle>(&mut self, handle: &mut H, op: Op) -> Answer {
        let (from, to) = (op.key(), op.other());
        match handle.transfer(from, to) {
            Some(found) => Answer {
                found,
                is_right: is_sum_of(found, from, to),
            },
            None => Answer {
                found: ABSENT,
                is_right: false,
            },
        }
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
    #[inline]
    fn call<H: Handle>(&mut self, handle: &mut H, op: Op) -> Answer {
        if op.is_write() {
            let key = self.new_key(self.inserted);
            self.inserted += 1;
            write(handle, key)
        } else {
            read(handle, self.recent(op.key()))
        }
    }
}

#[inline]
fn read<H: Handle>(handle: &mut H, key: u64) -> Answer {
    let found = handle.get(key).unwrap_or(ABSENT);
    Answer {
        found,
        is_right: is_digest_of(found, key),
    }
}

#[inline]
fn write<H: Handle>(handle: &mut H, key: u64) -> Answer {
    handle.set(key, &H::Value::of(key));
    Answer {
        found: 0,
        is_right: true,
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
