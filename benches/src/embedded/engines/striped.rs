//! Striped locks: what most programs write by hand when one mutex is too slow.
//!
//! 1. The stripe takes bits of the hash below hashbrown's tag (63 to 57), which the map inside
//!    needs; the map hashes the key again, as std's interface has it.
//! 2. Two stripes never share a cache line.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::{Engine, Handle, hasher};
use crate::embedded::workload::{Value, digest};

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

/// A map under its lock, alone on its cache lines.
type Stripe = CachePadded<Mutex<HashMap<u64, Value, RandomState>>>;

/// Mutexes over std's maps.
#[derive(Debug)]
pub(super) struct Striped {
    hasher: RandomState,
    stripes: Box<[Stripe]>,
}

impl Striped {
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
    fn stripe(&self, key: u64) -> &Stripe {
        &self.stripes[stripe_of(self.hasher.hash_one(key), self.stripes.len())]
    }
}

impl Engine for Striped {
    type Handle<'a> = &'a Self;

    fn handle(&self) -> &Self {
        self
    }

    fn shards(&self) -> Option<usize> {
        Some(self.stripes.len())
    }
}

impl Handle for &Striped {
    #[inline]
    fn get(&mut self, key: u64) -> Option<u64> {
        self.stripe(key).lock().get(&key).map(digest)
    }

    #[inline]
    fn set(&mut self, key: u64, value: &Value) {
        self.stripe(key).lock().insert(key, *value);
    }
}
