//! Striped locks, written with care: the strongest locks we know how to write for this.
//!
//! 1. A key is hashed once, for its stripe and its table (hashbrown's `HashTable`).
//! 2. Two stripes never share a cache line.
//! 3. Who needs two stripes locks the lower one first.

use std::num::NonZeroUsize;

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;

use super::striped::{STRIPES, lock_both, stripe_of};
use super::{Engine, Handle, hasher};
use crate::embedded::value::{Value, transfer};

/// One stripe's table, used under its lock.
#[derive(Debug)]
pub(super) struct Stripe<V>(HashTable<(u64, V)>);

impl<V: Value> Stripe<V> {
    const fn empty() -> Self {
        Self(HashTable::new())
    }

    #[inline]
    pub(super) fn get(&self, hash: u64, key: u64) -> Option<u64> {
        self.0
            .find(hash, |entry| entry.0 == key)
            .map(|entry| entry.1.digest())
    }

    #[inline]
    pub(super) fn set(&mut self, hash: u64, key: u64, value: &V, hasher: &RandomState) {
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

    #[inline]
    fn find_mut(&mut self, hash: u64, key: u64) -> Option<&mut V> {
        let found = self.0.find_mut(hash, |entry| entry.0 == key);
        found.map(|entry| &mut entry.1)
    }
}

/// Stripes of one map.
#[derive(Debug)]
pub(super) struct StripedTuned<V> {
    pub(super) hasher: RandomState,
    pub(super) stripes: Box<[CachePadded<Mutex<Stripe<V>>>]>,
}

impl<V: Value> StripedTuned<V> {
    /// `stripes` is a power of two.
    pub(super) fn open(stripes: Option<NonZeroUsize>) -> Self {
        let count = stripes.map_or(STRIPES, NonZeroUsize::get);
        assert!(count.is_power_of_two(), "stripes are chosen by bits");
        let stripe = || CachePadded::new(Mutex::new(Stripe::empty()));
        Self {
            hasher: hasher(),
            stripes: (0..count).map(|_| stripe()).collect(),
        }
    }

    #[inline]
    pub(super) fn stripe_of(&self, hash: u64) -> usize {
        stripe_of(hash, self.stripes.len())
    }
}

impl<V: Value> Engine for StripedTuned<V> {
    const TRANSFERS_ATOMICALLY: bool = true;
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        Some(self.stripes.len())
    }
}

impl<V: Value> Handle for &StripedTuned<V> {
    type Value = V;

    #[inline(always)]
    fn get(&mut self, key: u64) -> Option<u64> {
        let hash = self.hasher.hash_one(key);
        self.stripes[self.stripe_of(hash)].lock().get(hash, key)
    }

    #[inline(always)]
    fn set(&mut self, key: u64, value: &V) {
        let hash = self.hasher.hash_one(key);
        self.stripes[self.stripe_of(hash)]
            .lock()
            .set(hash, key, value, &self.hasher);
    }

    #[inline]
    fn add(&mut self, key: u64, amount: u64) -> Option<u64> {
        let hash = self.hasher.hash_one(key);
        let mut held = self.stripes[self.stripe_of(hash)].lock();
        held.find_mut(hash, key).map(|value| value.add(amount))
    }

    #[inline]
    fn transfer(&mut self, from: u64, to: u64) -> Option<u64> {
        let hashes = [from, to].map(|key| self.hasher.hash_one(key));
        let [of_from, of_to] = hashes.map(|hash| self.stripe_of(hash));
        if of_from == of_to {
            let keys = [from, to];
            let mut held = self.stripes[of_from].lock();
            let is_asked = |at: usize, entry: &(u64, V)| entry.0 == keys[at];
            return match held.0.get_disjoint_mut(hashes, is_asked) {
                [Some(giver), Some(taker)] => Some(transfer(&mut giver.1, &mut taker.1)),
                _ => None,
            };
        }
        let (mut givers, mut takers) = lock_both(&self.stripes, of_from, of_to);
        let giver = givers.find_mut(hashes[0], from)?;
        Some(transfer(giver, takers.find_mut(hashes[1], to)?))
    }
}
