//! One read-write lock over one map: readers do not exclude each other, but all of them write to the
//! same lock word.

use std::collections::HashMap;

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use parking_lot::RwLock;

use super::{Engine, Handle, hasher};
use crate::embedded::value::{Value, transfer};

/// A read-write lock over std's map, alone on its cache lines.
#[derive(Debug)]
pub(super) struct RwLockMap<V>(CachePadded<RwLock<HashMap<u64, V, RandomState>>>);

impl<V: Value> RwLockMap<V> {
    pub(super) fn open() -> Self {
        Self(CachePadded::new(RwLock::new(
            HashMap::with_hasher(hasher()),
        )))
    }
}

impl<V: Value> Engine for RwLockMap<V> {
    const TRANSFERS_ATOMICALLY: bool = true;
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        None
    }
}

impl<V: Value> Handle for &RwLockMap<V> {
    type Value = V;

    #[inline(always)]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.0.read().get(&key).map(V::digest)
    }

    #[inline(always)]
    fn set(&mut self, key: u64, value: &V) {
        self.0.write().insert(key, *value);
    }

    #[inline]
    fn add(&mut self, key: u64, amount: u64) -> Option<u64> {
        self.0.write().get_mut(&key).map(|value| value.add(amount))
    }

    #[inline]
    fn transfer(&mut self, from: u64, to: u64) -> Option<u64> {
        match self.0.write().get_disjoint_mut([&from, &to]) {
            [Some(giver), Some(taker)] => Some(transfer(giver, taker)),
            _ => None,
        }
    }
}
