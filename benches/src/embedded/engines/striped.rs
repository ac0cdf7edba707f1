//! Striped locks: what most programs write by hand when one mutex is too slow.
//!
//! 1. The stripe takes bits of the hash below hashbrown's tag (63 to 57), which the map inside
//!    needs; the map hashes the key again, as std's interface has it.
//! 2. Two stripes never share a cache line.
//! 3. Who needs two stripes locks the lower one first ([`lock_both`]).

use std::collections::HashMap;
use std::num::NonZeroUsize;

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};

use super::{Engine, Handle, hasher};
use crate::embedded::value::{Value, transfer};

/// The count that comparisons of striped maps usually take.
pub(super) const STRIPES: usize = 64;
/// Bits at the top of a hash that hashbrown keeps as a tag.
const TAG_BITS: u32 = 7;

/// Which of `count` stripes, a power of two, a hash belongs to.
#[inline]
pub(super) fn stripe_of(hash: u64, count: usize) -> usize {
    // Two shifts, since one by 64 (a single stripe) is not defined.
    ((hash << TAG_BITS) >> 1 >> (u64::BITS - 1 - count.trailing_zeros())) as usize
}

/// Locks two different stripes in the order in which everybody does, and returns them in the order
/// in which they were asked for.
#[inline]
pub(super) fn lock_both<T>(
    stripes: &[CachePadded<Mutex<T>>],
    one: usize,
    other: usize,
) -> (MutexGuard<'_, T>, MutexGuard<'_, T>) {
    let lower = stripes[one.min(other)].lock();
    let higher = stripes[one.max(other)].lock();
    if one < other {
        (lower, higher)
    } else {
        (higher, lower)
    }
}

/// A map under its lock, alone on its cache lines.
type Stripe<V> = CachePadded<Mutex<HashMap<u64, V, RandomState>>>;

/// Mutexes over std's maps.
#[derive(Debug)]
pub(super) struct Striped<V> {
    hasher: RandomState,
    stripes: Box<[Stripe<V>]>,
}

impl<V: Value> Striped<V> {
    /// `stripes` is a power of two.
    pub(super) fn open(stripes: Option<NonZeroUsize>) -> Self {
        let count = stripes.map_or(STRIPES, NonZeroUsize::get);
        assert!(count.is_power_of_two(), "stripes are chosen by bits");
        let stripe = || CachePadded::new(Mutex::new(HashMap::with_hasher(hasher())));
        Self {
            hasher: hasher(),
            stripes: (0..count).map(|_| stripe()).collect(),
        }
    }

    #[inline]
    fn stripe_of(&self, key: u64) -> usize {
        stripe_of(self.hasher.hash_one(key), self.stripes.len())
    }

    #[inline]
    fn stripe(&self, key: u64) -> &Stripe<V> {
        &self.stripes[self.stripe_of(key)]
    }
}

impl<V: Value> Engine for Striped<V> {
    const TRANSFERS_ATOMICALLY: bool = true;
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        Some(self.stripes.len())
    }
}

impl<V: Value> Handle for &Striped<V> {
    type Value = V;

    #[inline(always)]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.stripe(key).lock().get(&key).map(V::digest)
    }

    #[inline(always)]
    fn set(&mut self, key: u64, value: &V) {
        self.stripe(key).lock().insert(key, *value);
    }

    #[inline]
    fn add(&mut self, key: u64, amount: u64) -> Option<u64> {
        let mut held = self.stripe(key).lock();
        held.get_mut(&key).map(|value| value.add(amount))
    }

    #[inline]
    fn transfer(&mut self, from: u64, to: u64) -> Option<u64> {
        let (of_from, of_to) = (self.stripe_of(from), self.stripe_of(to));
        if of_from == of_to {
            return match self.stripes[of_from].lock().get_disjoint_mut([&from, &to]) {
                [Some(giver), Some(taker)] => Some(transfer(giver, taker)),
                _ => None,
            };
        }
        let (mut givers, mut takers) = lock_both(&self.stripes, of_from, of_to);
        Some(transfer(givers.get_mut(&from)?, takers.get_mut(&to)?))
    }
}
