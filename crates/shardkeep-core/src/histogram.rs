//! How often something was how large: a count for each power of two.
//!
//! 1. One thread at a time writes a [`Histogram`], by plain loads and stores; anybody may read it, and sees
//!    figures a moment apart.
//! 2. Bucket `n` holds what is at most `2^n` and more than the bound before; the last holds the rest.

use std::time::Duration;

use crate::stats::HolderCount;

/// Bounds that are told apart: the last is 2^24, which is 16.8 s in microseconds, beyond every deadline
/// that is sensible.
pub const BOUNDS: usize = 25;

/// Counts of one thing, by size.
///
/// ```
/// use shardkeep_core::histogram::Histogram;
///
/// let sizes = Histogram::default();
/// [1, 2, 3, 5_000].map(|size| sizes.note(size));
/// let seen = sizes.read();
/// assert_eq!((seen.count(), seen.sum()), (4, 5_006));
/// assert_eq!([0, 1, 2, 13].map(|power| seen.at_most(power)), [1, 2, 3, 4]);
/// ```
#[derive(Default)]
pub struct Histogram {
    buckets: [HolderCount; BOUNDS + 1],
    sum: HolderCount,
}

impl Histogram {
    /// Notes one of this size. 0 counts as at most 1.
    #[inline]
    pub fn note(&self, size: u64) {
        let power = size
            .saturating_sub(1)
            .checked_ilog2()
            .map_or(0, |log| log + 1);
        self.buckets[(power as usize).min(BOUNDS)].add(1);
        self.sum.add(size);
    }

    /// Notes a time, in microseconds rounded up.
    pub fn note_time(&self, took: Duration) {
        let us = took.as_nanos().div_ceil(1_000);
        self.note(u64::try_from(us).unwrap_or(u64::MAX));
    }

    /// What was noted so far.
    #[must_use]
    pub fn read(&self) -> Distribution {
        let mut seen = Distribution::default();
        for (into, bucket) in seen.counts.iter_mut().zip(&self.buckets) {
            *into = bucket.get();
        }
        seen.sum = self.sum.get();
        seen
    }
}

/// What a [`Histogram`] has counted; several can be added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    counts: [u64; BOUNDS + 1],
    sum: u64,
}

impl Distribution {
    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        for (into, count) in self.counts.iter_mut().zip(&other.counts) {
            *into += count;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sizes, summed.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many had a size of at most `2^power`; below [`BOUNDS`] bounds are told apart.
    #[must_use]
    pub fn at_most(&self, power: u32) -> u64 {
        self.counts.iter().take(power as usize + 1).sum()
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_size_lies_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        for size in (0..5_000).chain([1 << 23, (1 << 24) - 1, 1 << 24]) {
            let histogram = Histogram::default();
            histogram.note(size);
            let seen = histogram.read();
            for power in 0..BOUNDS as u32 {
                assert_eq!(seen.at_most(power), u64::from(size <= 1 << power), "{size}");
            }
        }
    }

    #[test]
    fn what_exceeds_the_last_bound_counts_in_no_other_bucket() {
        let histogram = Histogram::default();
        histogram.note((1 << 24) + 1);
        histogram.note(u64::MAX);
        let seen = histogram.read();
        assert_eq!((seen.at_most(BOUNDS as u32 - 1), seen.count()), (0, 2));
    }

    #[test]
    fn a_time_is_rounded_up_so_that_it_does_not_exceed_its_bound() {
        let histogram = Histogram::default();
        histogram.note_time(Duration::from_nanos(4_001));
        let seen = histogram.read();
        assert_eq!((seen.at_most(2), seen.at_most(3), seen.sum()), (0, 1, 5));
    }
}
