//! One lock over one map: the simplest thing that works.

use std::collections::HashMap;

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::{Engine, Handle, hasher};
use crate::embedded::value::{Value, transfer};

/// A mutex over std's map, alone on its cache lines.
#[derive(Debug)]
pub(super) struct MutexMap<V>(CachePadded<Mutex<HashMap<u64, V, RandomState>>>);

impl<V: Value> MutexMap<V> {
    pub(super) fn open() -> Self {
        Self(CachePadded::new(Mutex::new(HashMap::with_hasher(hasher()))))
    }
}

impl<V: Value> Engine for MutexMap<V> {
    const TRANSFERS_ATOMICALLY: bool = true;
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        None
    }
}

impl<V: Value> Handle for &MutexMap<V> {
    type Value = V;

    #[inline(always)]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.0.lock().get(&key).map(V::digest)
    }

    #[inline(always)]
    fn set(&mut self, key: u64, value: &V) {
        self.0.lock().insert(key, *value);
    }

    #[inline]
    fn add(&mut self, key: u64, amount: u64) -> Option<u64> {
        self.0.lock().get_mut(&key).map(|value| value.add(amount))
    }

    #[inline]
    fn transfer(&mut self, from: u64, to: u64) -> Option<u64> {
        match self.0.lock().get_disjoint_mut([&from, &to]) {
            [Some(giver), Some(taker)] => Some(transfer(giver, taker)),
            _ => None,
        }
    }
}
