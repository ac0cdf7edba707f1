//! How long commands take, as a histogram: four buckets to an octave, from a microsecond to 16 seconds.
//!
//! Latency is counted from the poll that found a command's bytes to its reply being handed to the
//! socket, or kept for it. It is measured once for each round of a reactor, not for each command.
//!
//! 1. One thread writes a [`Latency`]; anybody may read it, and sees figures a moment apart.
//! 2. A bucket holds whole microseconds, rounded down, below its bound and not below the one before.

use std::time::Duration;

use crate::stats::Figure;

/// Octaves that are told apart: the last ends at 16.8 s, beyond every deadline that is sensible.
const OCTAVES: usize = 24;

/// Buckets to an octave, as a power of two: a bound is at most a quarter off.
const PARTS_BITS: u32 = 2;
const PARTS: usize = 1 << PARTS_BITS;

/// Buckets in all: one for each microsecond below [`PARTS`], then [`PARTS`] for each octave.
pub(crate) const BUCKETS: usize = PARTS + (OCTAVES - PARTS_BITS as usize) * PARTS;

/// Powers of two, in microseconds, that are bounds of a bucket.
pub(crate) const BOUNDS: std::ops::RangeInclusive<u32> = 0..=OCTAVES as u32;

const _: () = assert!(OCTAVES <= 32 && PARTS == 4);

/// The bucket of a duration.
fn bucket(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if us < PARTS as u64 {
        return us as usize;
    }
    let octave = us.ilog2();
    let part = (us >> (octave - PARTS_BITS)) as usize & (PARTS - 1);
    let at = PARTS + (octave - PARTS_BITS) as usize * PARTS + part;
    at.min(BUCKETS - 1)
}

/// Where a bucket ends, in microseconds.
fn bound(bucket: usize) -> u64 {
    if bucket < PARTS {
        return bucket as u64 + 1;
    }
    let (octave, part) = ((bucket - PARTS) / PARTS, (bucket - PARTS) % PARTS);
    ((PARTS + part + 1) as u64) << octave
}

/// The latencies of one command in one reactor.
pub(crate) struct Latency {
    buckets: Box<[Figure]>,
    nanos: Figure,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Figure::default()).collect(),
            nanos: Figure::default(),
        }
    }

    /// Notes that `count` commands took so long each.
    #[inline]
    pub(crate) fn note(&self, took: Duration, count: u64) {
        self.buckets[bucket(took)].add(count);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.add(nanos.wrapping_mul(count));
    }

    /// Adds what it holds to `sum`.
    pub(crate) fn add_to(&self, sum: &mut Latencies) {
        for (into, bucket) in sum.counts.iter_mut().zip(&self.buckets) {
            *into += bucket.get();
        }
        sum.nanos = sum.nanos.wrapping_add(self.nanos.get());
    }
}

/// Latencies of several commands or reactors, summed.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    counts: [u64; BUCKETS],
    nanos: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            nanos: 0,
        }
    }
}

impl Latencies {
    pub(crate) fn add(&mut self, other: &Self) {
        for (into, count) in self.counts.iter_mut().zip(&other.counts) {
            *into += count;
        }
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }

    /// Takes away what was counted before.
    pub(crate) fn subtract(&mut self, before: &Self) {
        for (count, before) in self.counts.iter_mut().zip(&before.counts) {
            *count = count.saturating_sub(*before);
        }
        self.nanos = self.nanos.wrapping_sub(before.nanos);
    }

    /// How many commands there were.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their time in all, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
    }

    /// How many took less than `2^power` microseconds.
    pub(crate) fn below(&self, power: u32) -> u64 {
        let bound_wanted = 1_u64 << power;
        let counts = self.counts.iter().enumerate();
        counts
            .take_while(|(at, _)| bound(*at) <= bound_wanted)
            .map(|(_, count)| count)
            .sum()
    }

    /// What `share` of them took less than, in microseconds; 0 without any.
    pub(crate) fn percentile(&self, share: f64) -> u64 {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut passed = 0;
        for (at, count) in self.counts.iter().enumerate() {
            passed += count;
            if *count > 0 && passed >= wanted {
                return bound(at);
            }
        }
        0
    }

    /// Every bucket that has any: where it ends, in microseconds, and how many are in it.
    pub(crate) fn buckets(&self) -> Vec<(u64, u64)> {
        let counts = self.counts.iter().enumerate();
        counts
            .filter(|(_, count)| **count > 0)
            .map(|(at, &count)| (bound(at), count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_lies_below_the_bound_of_its_bucket_and_not_below_the_one_before() {
        for us in (0..5_000).chain((13..24).map(|power| (1 << power) - 1)) {
            let at = bucket(Duration::from_micros(us));
            assert!(us < bound(at), "{us}");
            assert!(at == 0 || us >= bound(at - 1), "{us}");
        }
    }

    #[test]
    fn the_last_bucket_takes_what_is_longer() {
        assert_eq!(bucket(Duration::from_secs(1 << 30)), BUCKETS - 1);
        assert_eq!(bound(BUCKETS - 1), 1 << OCTAVES);
    }

    #[test]
    fn every_power_of_two_is_a_bound() {
        let bounds: Vec<u64> = (0..BUCKETS).map(bound).collect();
        for power in BOUNDS {
            assert!(bounds.contains(&(1 << power)), "{power}");
        }
        assert!(bounds.is_sorted());
    }

    #[test]
    fn counts_and_time_are_those_that_were_noted() {
        let latency = Latency::new();
        latency.note(Duration::from_micros(3), 2);
        latency.note(Duration::from_micros(100), 1);
        let mut sum = Latencies::default();
        latency.add_to(&mut sum);
        assert_eq!((sum.count(), sum.below(2), sum.below(7)), (3, 2, 3));
        assert_eq!(sum.buckets(), [(4, 2), (112, 1)]);
        assert!((sum.seconds() - 106e-6).abs() < 1e-12);
        let percentiles = [0.5, 0.6, 0.99].map(|share| sum.percentile(share));
        assert_eq!(percentiles, [4, 4, 112]);
        assert_eq!(Latencies::default().percentile(0.5), 0);
    }
}
