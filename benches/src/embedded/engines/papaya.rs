//! papaya: a lock-free map with deferred reclamation.
//!
//! A single operation pins the map for itself; a batch pins it once, as papaya advises. A change is
//! `update`, which compares and swaps the whole value; nothing spans two entries, so a transfer is
//! two changes.

use ahash::RandomState;
use papaya::HashMap;

use super::{Engine, Handle, hasher, two_changes};
use crate::embedded::value::{ABSENT, Value};
use crate::embedded::workload::Op;

/// A papaya map.
#[derive(Debug)]
pub(super) struct Papaya<V>(HashMap<u64, V, RandomState>);

impl<V: Value> Papaya<V> {
    pub(super) fn open() -> Self {
        Self(HashMap::with_hasher(hasher()))
    }
}

impl<V: Value> Engine for Papaya<V> {
    const TRANSFERS_ATOMICALLY: bool = false;
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        None
    }
}

impl<V: Value> Handle for &Papaya<V> {
    type Value = V;

    #[inline(always)]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.0.pin().get(&key).map(V::digest)
    }

    #[inline(always)]
    fn set(&mut self, key: u64, value: &V) {
        self.0.pin().insert(key, *value);
    }

    #[inline]
    fn add(&mut self, key: u64, amount: u64) -> Option<u64> {
        let pinned = self.0.pin();
        let changed = pinned.update(key, |value| {
            let mut copy = *value;
            copy.add(amount);
            copy
        });
        changed.map(|value| value.first().wrapping_sub(amount))
    }

    #[inline]
    fn transfer(&mut self, from: u64, to: u64) -> Option<u64> {
        two_changes(self, from, to)
    }

    #[inline]
    fn batch(&mut self, ops: &[Op], digests: &mut [u64]) {
        let pinned = self.0.pin();
        for (op, place) in ops.iter().zip(digests) {
            if op.is_write() {
                pinned.insert(op.key(), V::of(op.key()));
            } else {
                *place = pinned.get(&op.key()).map_or(ABSENT, V::digest);
            }
        }
    }
}
