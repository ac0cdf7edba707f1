//! papaya: a lock-free map with deferred reclamation.
//!
//! A single operation pins the map for itself; a batch pins it once, as papaya advises.

use ahash::RandomState;
use papaya::HashMap;

use super::{Engine, Handle, hasher};
use crate::embedded::workload::{ABSENT, Op, Value, digest, value_of};

/// A papaya map.
#[derive(Debug)]
pub(super) struct Papaya(HashMap<u64, Value, RandomState>);

impl Papaya {
    pub(super) fn open() -> Self {
        Self(HashMap::with_hasher(hasher()))
    }
}

impl Engine for Papaya {
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        None
    }
}

impl Handle for &Papaya {
    #[inline]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.0.pin().get(&key).map(digest)
    }

    #[inline]
    fn set(&mut self, key: u64, value: &Value) {
        self.0.pin().insert(key, *value);
    }

    #[inline]
    fn batch(&mut self, ops: &[Op], digests: &mut [u64]) {
        let pinned = self.0.pin();
        for (op, place) in ops.iter().zip(digests) {
            if op.is_write() {
                pinned.insert(op.key(), value_of(op.key()));
            } else {
                *place = pinned.get(&op.key()).map_or(ABSENT, digest);
            }
        }
    }
}
