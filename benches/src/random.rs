//! Small, seeded, repeatable randomness: the same seed gives the same keys on every machine.
//!
//! Not for secrets, and not for the distribution of hashes.

/// SplitMix64's step; a bijection's input never repeats before 2^64 draws.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A bijection of `u64` that scatters consecutive numbers (the finalizer of SplitMix64).
#[inline]
pub(crate) const fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A SplitMix64 generator.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// One of many independent streams of the same seed.
    pub(crate) const fn stream(seed: u64, stream: u64) -> Self {
        Self {
            state: scatter(seed ^ scatter(stream)),
        }
    }

    /// The next 64 random bits.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        let drawn = scatter(self.state);
        self.state = self.state.wrapping_add(STEP);
        drawn
    }

    /// Uniform in `0..bound` (multiply and shift: the bias is below `bound / 2^64`).
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_draws_are_those_of_splitmix64() {
        let mut random = Random { state: 0 };
        assert_eq!(random.next(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.next(), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn draws_stay_below_their_bound_and_reach_every_number() {
        let mut random = Random::stream(7, 3);
        let mut seen = [false; 10];
        for _ in 0..1_000 {
            seen[random.below(10) as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
    }

    #[test]
    fn streams_of_one_seed_differ() {
        assert_ne!(Random::stream(1, 0).next(), Random::stream(1, 1).next());
    }
}
