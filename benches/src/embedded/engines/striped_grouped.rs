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
use crate::embedded::value::{ABSENT, Value};
use crate::embedded::workload::Op;

/// A striped map with grouped batches.
#[derive(Debug)]
pub(super) struct StripedGrouped<V>(StripedTuned<V>);

impl<V: Value> StripedGrouped<V> {
    /// `stripes` is a power of two.
    pub(super) fn open(stripes: Option<NonZeroUsize>) -> Self {
        Self(StripedTuned::open(stripes))
    }
}

impl<V: Value> Engine for StripedGrouped<V> {
    const TRANSFERS_ATOMICALLY: bool = true;
    type Handle<'a> = Grouping<'a, V>;

    fn handle(&self) -> Grouping<'_, V> {
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
pub(super) struct Grouping<'a, V> {
    map: &'a StripedTuned<V>,
    /// The hash of each operation of the batch.
    hashes: Vec<u64>,
    /// Operations by stripe.
    order: Vec<u32>,
    /// While sorting, where the next operation of a stripe goes; then, where its group ends.
    ends: Vec<u32>,
}

impl<V: Value> Grouping<'_, V> {
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

impl<V: Value> Handle for Grouping<'_, V> {
    type Value = V;

    #[inline(always)]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.map.get(key)
    }

    #[inline(always)]
    fn set(&mut self, key: u64, value: &V) {
        self.map.set(key, value);
    }

    #[inline]
    fn add(&mut self, key: u64, amount: u64) -> Option<u64> {
        self.map.add(key, amount)
    }

    #[inline]
    fn transfer(&mut self, from: u64, to: u64) -> Option<u64> {
        self.map.transfer(from, to)
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
                    held.set(hash, op.key(), &V::of(op.key()), &self.map.hasher);
                } else {
                    digests[index as usize] = held.get(hash, op.key()).unwrap_or(ABSENT);
                }
            }
        }
    }
}
