//! From key to hash to shard.
//!
//! Hashes a key once; the same 64 bits choose the shard here, the segment and the place in the
//! table. Knows no shards, only their number.
//!
//! 1. The shard takes the bits below hashbrown's tag (63 to 57), the directory those below the
//!    shard: no bit is used twice.
//! 2. The same router gives the same key the same hash and shard for ever; its clones agree.

use std::hash::Hash;

use ahash::RandomState;

use crate::table::SHARD_BITS_MAX;

/// Bits below the tag that hashbrown keeps of a hash; the shard's bits are the topmost of them.
const BITS_BELOW_TAG: u32 = 57;

/// Chooses the shard of a key.
///
/// ```
/// use shardkeep::Router;
///
/// let router = Router::new(64, ahash::RandomState::new());
/// let hash = router.hash("desk");
/// assert!(router.shard(hash) < 64);
/// assert_eq!(router.bits(), 6);
/// ```
#[derive(Clone, Debug)]
pub struct Router {
    hasher: RandomState,
    shift: u32,
    mask: usize,
}

impl Router {
    /// A router over `shards` shards.
    ///
    /// # Panics
    /// When `shards` is not a power of two, or more than 65,536.
    #[must_use]
    pub fn new(shards: usize, hasher: RandomState) -> Self {
        assert!(
            shards.is_power_of_two() && shards <= 1 << SHARD_BITS_MAX,
            "{shards} shards: a power of two up to 65,536 is possible"
        );
        Self {
            hasher,
            shift: BITS_BELOW_TAG - shards.trailing_zeros(),
            mask: shards - 1,
        }
    }

    /// The hash of a key. A borrowed form of a key has the hash of the key.
    #[inline]
    #[must_use]
    pub fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The shard of the keys with this hash.
    #[inline]
    #[must_use]
    pub fn shard(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize & self.mask
    }

    /// How many shards there are, as a power of two: what a [`Table`](crate::table::Table) of one
    /// of them must leave alone.
    #[must_use]
    pub fn bits(&self) -> u32 {
        BITS_BELOW_TAG - self.shift
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.mask + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_is_the_bits_right_below_the_tag() {
        for bits in [0, 1, 6, SHARD_BITS_MAX] {
            let router = Router::new(1 << bits, RandomState::with_seeds(1, 2, 3, 4));
            assert_eq!((router.bits(), router.shards()), (bits, 1 << bits));
            for hash in [0, u64::MAX, 0x0123_4567_89AB_CDEF, 1 << 56, 1 << 57] {
                let without_tag = hash & ((1 << BITS_BELOW_TAG) - 1);
                let shard = without_tag >> (BITS_BELOW_TAG - bits);
                assert_eq!(router.shard(hash) as u64, shard, "{bits} bits of {hash:x}");
            }
        }
    }

    #[test]
    fn clones_agree_and_keys_spread_over_all_shards() {
        let router = Router::new(16, RandomState::with_seeds(1, 2, 3, 4));
        let clone = router.clone();
        let mut keys = [0; 16];
        for key in 0..16_000_u32 {
            assert_eq!(router.hash(&key), clone.hash(&key));
            keys[router.shard(router.hash(&key))] += 1;
        }
        assert!(
            keys.iter().all(|&count| (800..1_200).contains(&count)),
            "{keys:?}"
        );
    }

    #[test]
    #[should_panic(expected = "48 shards")]
    fn a_count_that_is_no_power_of_two_is_refused() {
        drop(Router::new(48, RandomState::new()));
    }
}
