//! Striped locks, written with care, whose user groups a batch by stripe: the best a batch can
//! get from locks.
//!
//! Nobody's map offers this; it is here so that the gain of grouping is not mistaken for the gain
//! of owning.
//!
//! 1. Operations on one stripe keep their order (a counting sort is stable).
//! 2. One lock is held at a time, each at most once per batch.

use std::num::NonZeroUsize;

use super::striped_tuned::StripedTuned;
use super::{Engine, Handle};
use crate::embedded::workload::{ABSENT, Op, Value, value_of};

/// A striped map with grouped batches.
#[derive(Debug)]
pub(super) struct StripedGrouped(StripedTuned);

impl StripedGrouped {
    /// `stripes` is a power of two.
    pub(super) fn open(stripes: Option<NonZeroUsize>) -> Self {
        Self(StripedTuned::open(stripes))
    }
}

impl Engine for StripedGrouped {
    type Handle<'a> = Grouping<'a>;

    fn handle(&self) -> Grouping<'_> {
        Grouping {
            map: &self.0,
            hashes: Vec::new(),
            order: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn shards(&self) -> Option<usize> {
        self.0.shards()
    }
}

/// One thread's buffers for the counting sort.
#[derive(Debug)]
pub(super) struct Grouping<'a> {
    map: &'a StripedTuned,
    /// The hash of each operation of the batch.
    hashes: Vec<u64>,
    /// Operations by stripe.
    order: Vec<u32>,
    /// While sorting, where the next operation of a stripe goes; then, where its group ends.
    ends: Vec<u32>,
}

impl Grouping<'_> {
    fn group(&mut self, ops: &[Op]) {
        let map = self.map;
        self.hashes.clear();
        self.hashes
            .extend(ops.iter().map(|op| map.hasher.hash_one(op.key())));
        self.ends.clear();
        self.ends.resize(map.stripes.len(), 0);
        for &hash in &self.hashes {
            self.ends[map.stripe_of(hash)] += 1;
        }
        let mut begin = 0;
        for end in &mut self.ends {
            begin += std::mem::replace(end, begin);
        }
        self.order.resize(ops.len(), 0);
        for (index, &hash) in self.hashes.iter().enumerate() {
            let next = &mut self.ends[map.stripe_of(hash)];
            self.order[*next as usize] = index as u32;
            *next += 1;
        }
    }
}

impl Handle for Grouping<'_> {
    #[inline]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.map.get(key)
    }

    #[inline]
    fn set(&mut self, key: u64, value: &Value) {
        self.map.set(key, value);
    }

    fn batch(&mut self, ops: &[Op], digests: &mut [u64]) {
        self.group(ops);
        let mut begin = 0;
        for (stripe, &end) in self.map.stripes.iter().zip(&self.ends) {
            let group = &self.order[begin..end as usize];
            begin = end as usize;
            if group.is_empty() {
                continue;
            }
            let mut held = stripe.lock();
            for &index in group {
                let (op, hash) = (ops[index as usize], self.hashes[index as usize]);
                if op.is_write() {
                    held.set(hash, op.key(), &value_of(op.key()), &self.map.hasher);
                } else {
                    digests[index as usize] = held.get(hash, op.key()).unwrap_or(ABSENT);
                }
            }
        }
    }
}
