//! Striped locks, written with care: the strongest locks we know how to write for this.
//!
//! 1. A key is hashed once, for its stripe and its table (hashbrown's `HashTable`).
//! 2. Two stripes never share a cache line.

use std::num::NonZeroUsize;

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;

use super::striped::{STRIPES, stripe_of};
use super::{Engine, Handle, hasher};
use crate::embedded::workload::{Value, digest};

/// One stripe's table, used under its lock.
#[derive(Debug, Default)]
pub(super) struct Stripe(HashTable<(u64, Value)>);

impl Stripe {
    #[inline]
    pub(super) fn get(&self, hash: u64, key: u64) -> Option<u64> {
        self.0
            .find(hash, |entry| entry.0 == key)
            .map(|entry| digest(&entry.1))
    }

    #[inline]
    pub(super) fn set(&mut self, hash: u64, key: u64, value: &Value, hasher: &RandomState) {
        match self.0.entry(
            hash,
            |entry| entry.0 == key,
            |entry| hasher.hash_one(entry.0),
        ) {
            Entry::Occupied(mut entry) => entry.get_mut().1 = *value,
            Entry::Vacant(entry) => {
                entry.insert((key, *value));
            }
        }
    }
}

/// Stripes of one map.
#[derive(Debug)]
pub(super) struct StripedTuned {
    pub(super) hasher: RandomState,
    pub(super) stripes: Box<[CachePadded<Mutex<Stripe>>]>,
}

impl StripedTuned {
    /// `stripes` is a power of two.
    pub(super) fn open(stripes: Option<NonZeroUsize>) -> Self {
        let count = stripes.map_or(STRIPES, NonZeroUsize::get);
        assert!(count.is_power_of_two(), "stripes are chosen by bits");
        Self {
            hasher: hasher(),
            stripes: (0..count).map(|_| CachePadded::default()).collect(),
        }
    }

    #[inline]
    pub(super) fn stripe_of(&self, hash: u64) -> usize {
        stripe_of(hash, self.stripes.len())
    }
}

impl Engine for StripedTuned {
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        Some(self.stripes.len())
    }
}

impl Handle for &StripedTuned {
    #[inline]
    fn get(&mut self, key: u64) -> Option<u64> {
        let hash = self.hasher.hash_one(key);
        self.stripes[self.stripe_of(hash)].lock().get(hash, key)
    }

    #[inline]
    fn set(&mut self, key: u64, value: &Value) {
        let hash = self.hasher.hash_one(key);
        self.stripes[self.stripe_of(hash)]
            .lock()
            .set(hash, key, value, &self.hasher);
    }
}
