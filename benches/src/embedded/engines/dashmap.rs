//! `DashMap`: sharded read-write locks behind a map's interface.

use std::num::NonZeroUsize;

use ahash::RandomState;
use dashmap::DashMap;

use super::{Engine, Handle, hasher};
use crate::embedded::workload::{Value, digest};

/// A `DashMap` and the number of its shards, which it does not tell.
#[derive(Debug)]
pub(super) struct Dash {
    map: DashMap<u64, Value, RandomState>,
    shards: Option<usize>,
}

impl Dash {
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

impl Engine for Dash {
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        self.shards
    }
}

impl Handle for &Dash {
    #[inline]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.map.get(&key).map(|guard| digest(&guard))
    }

    #[inline]
    fn set(&mut self, key: u64, value: &Value) {
        self.map.insert(key, *value);
    }
}
