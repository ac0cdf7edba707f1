//! What lies in the maps under test, the same in all of them.
//!
//! 1. Every map hashes with the same function and the same seeds.
//! 2. Keys are drawn while measuring: about 2 ns for each, the same for every map.

use ahash::RandomState;

/// Where every sequence of keys begins; any number but 0 would do.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// Bytes of every value, as in the laboratory.
const VALUE_BYTES: usize = 64;

/// What belongs to a key.
pub(crate) type Value = [u8; VALUE_BYTES];

/// Some value; which one makes no difference to any map.
pub(crate) const VALUE: Value = [7; VALUE_BYTES];

/// The one hash function.
pub(crate) fn hasher() -> RandomState {
    RandomState::with_seeds(0x5eed_0001, 0x5eed_0002, 0x5eed_0003, 0x5eed_0004)
}

/// Keys drawn uniformly from `0..bound`: Marsaglia's xorshift, whose few instructions hide behind a
/// look-up.
pub(crate) struct Keys {
    state: u64,
    bound: u64,
}

impl Keys {
    pub(crate) const fn below(bound: u64) -> Self {
        let state = SEED;
        Self { state, bound }
    }

    #[inline]
    pub(crate) fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        ((u128::from(self.state) * u128::from(self.bound)) >> 64) as u64
    }
}
