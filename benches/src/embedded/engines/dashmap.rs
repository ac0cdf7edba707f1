//! `DashMap`: sharded read-write locks behind a map's interface.
//!
//! Two entries cannot be held together: the second may lie in the first one's shard, and its
//! documentation says that this may deadlock. So a transfer is two changes.

use std::num::NonZeroUsize;

use ahash::RandomState;
use dashmap::DashMap;

use super::{Engine, Handle, hasher, two_changes};
use crate::embedded::value::Value;

/// A `DashMap` and the number of its shards, which it does not tell.
#[derive(Debug)]
pub(super) struct Dash<V> {
    map: DashMap<u64, V, RandomState>,
    shards: Option<usize>,
}

impl<V: Value> Dash<V> {
    /// `shards` is a power of two, at least two; `None` takes `DashMap`'s own choice
    /// (four per core, rounded up to a power of two).
    pub(super) fn open(shards: Option<NonZeroUsize>) -> Self {
        let map = match shards {
            Some(count) => DashMap::with_hasher_and_shard_amount(hasher(), count.get()),
            None => DashMap::with_hasher(hasher()),
        };
        Self {
            map,
            shards: shards.map(NonZeroUsize::get),
        }
    }
}

impl<V: Value> Engine for Dash<V> {
    const TRANSFERS_ATOMICALLY: bool = false;
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        self.shards
    }
}

impl<V: Value> Handle for &Dash<V> {
    type Value = V;

    #[inline(always)]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.map.get(&key).map(|guard| guard.digest())
    }

    #[inline(always)]
    fn set(&mut self, key: u64, value: &V) {
        self.map.insert(key, *value);
    }

    #[inline]
    fn add(&mut self, key: u64, amount: u64) -> Option<u64> {
        self.map.get_mut(&key).map(|mut guard| guard.add(amount))
    }

    #[inline]
    fn transfer(&mut self, from: u64, to: u64) -> Option<u64> {
        two_changes(self, from, to)
    }
}
