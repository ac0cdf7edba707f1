//! One lock over one map: the simplest thing that works.

use std::collections::HashMap;

use ahash::RandomState;
use parking_lot::Mutex;

use super::{Engine, Handle, hasher};
use crate::embedded::workload::{Value, digest};

/// A mutex over std's map.
#[derive(Debug)]
pub(super) struct MutexMap(Mutex<HashMap<u64, Value, RandomState>>);

impl MutexMap {
    pub(super) fn open() -> Self {
        Self(Mutex::new(HashMap::with_hasher(hasher())))
    }
}

impl Engine for MutexMap {
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        None
    }
}

impl Handle for &MutexMap {
    #[inline]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.0.lock().get(&key).map(digest)
    }

    #[inline]
    fn set(&mut self, key: u64, value: &Value) {
        self.0.lock().insert(key, *value);
    }
}
