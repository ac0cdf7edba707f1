//! Which keys are asked for: all alike, few of them often, or one.
//!
//! Source of the Zipf sampler: J. Gray et al., "Quickly Generating Billion-Record Synthetic
//! Databases", SIGMOD 1994, as YCSB uses it; the ranks are scattered over the key space, so that
//! popular keys are not neighbours.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use crate::random::{Random, scatter};

/// Skew of YCSB's Zipf distribution.
const ZIPF_THETA: f64 = 0.99;
/// Of the hot-key distribution, this share of the requests (in percent) goes to one key.
const HOT_PERCENT: u64 = 90;

/// How requests spread over the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Distribution {
    /// Every key with equal probability
    #[default]
    Uniform,
    /// Zipf with skew 0.99, as in YCSB: of a million keys the first gets one request in 15
    Zipf,
    /// One key gets nine requests in ten, the others share the rest
    HotKey,
}

impl Distribution {
    /// As written on the command line and in results.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
            Self::HotKey => "hot-key",
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.label())
    }
}

/// Draws keys from `0..keys`.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    keys: u64,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    Uniform,
    Zipf(Zipf),
    HotKey,
}

impl Keys {
    /// `keys` is at least 1. Preparing a Zipf distribution takes some 20 ns for each key.
    pub(crate) fn new(distribution: Distribution, keys: u64) -> Self {
        assert!(keys > 0, "a distribution over no keys");
        let shape = match distribution {
            Distribution::Uniform => Shape::Uniform,
            Distribution::Zipf => Shape::Zipf(Zipf::new(keys)),
            Distribution::HotKey => Shape::HotKey,
        };
        Self { keys, shape }
    }

    /// The next key.
    #[inline]
    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        match &self.shape {
            Shape::Uniform => random.below(self.keys),
            Shape::Zipf(zipf) => scatter(zipf.rank(random)) % self.keys,
            Shape::HotKey => {
                if random.below(100) < HOT_PERCENT {
                    scatter(0) % self.keys
                } else {
                    random.below(self.keys)
                }
            }
        }
    }
}

/// Ranks from 0, the most popular first.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    keys: f64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    /// Ranks `0..keys`; `keys` is at least 1.
    pub(crate) fn new(keys: u64) -> Self {
        let zeta = (1..=keys).map(|rank| (rank as f64).powf(-ZIPF_THETA)).sum();
        let zeta_of_two = 1.0 + 0.5_f64.powf(ZIPF_THETA);
        let count = keys as f64;
        Self {
            keys: count,
            zeta,
            alpha: 1.0 / (1.0 - ZIPF_THETA),
            eta: (1.0 - (2.0 / count).powf(1.0 - ZIPF_THETA)) / (1.0 - zeta_of_two / zeta),
        }
    }

    /// The next rank.
    pub(crate) fn rank(&self, random: &mut Random) -> u64 {
        // 53 bits fill the mantissa: uniform in 0..1.
        let drawn = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let scaled = drawn * self.zeta;
        if scaled < 1.0 {
            0
        } else if scaled < 1.0 + 0.5_f64.powf(ZIPF_THETA) {
            1
        } else {
            let rank = self.keys * (self.eta * drawn - self.eta + 1.0).powf(self.alpha);
            (rank as u64).min(self.keys as u64 - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const DRAWS: u64 = 200_000;

    /// Shares of the draws, largest first.
    fn shares(distribution: Distribution, keys: u64) -> Vec<f64> {
        let source = Keys::new(distribution, keys);
        let mut random = Random::stream(5, 0);
        let mut counts = HashMap::new();
        for _ in 0..DRAWS {
            let key = source.draw(&mut random);
            assert!(key < keys);
            *counts.entry(key).or_insert(0_u64) += 1;
        }
        let mut counts: Vec<u64> = counts.into_values().collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        counts
            .iter()
            .map(|&count| count as f64 / DRAWS as f64)
            .collect()
    }

    #[test]
    fn uniform_keys_are_asked_alike() {
        let shares = shares(Distribution::Uniform, 100);
        assert!(shares[0] < 0.012 && shares[99] > 0.008, "{shares:?}");
    }

    #[test]
    fn the_popular_keys_of_zipf_get_their_share() {
        // The share of rank r is r^-0.99 / zeta; zeta of a million keys is 15.39.
        let shares = shares(Distribution::Zipf, 1_000_000);
        assert!((shares[0] - 1.0 / 15.39).abs() < 0.003, "{}", shares[0]);
        assert!((shares[1] - 0.5035 / 15.39).abs() < 0.003, "{}", shares[1]);
    }

    #[test]
    fn one_hot_key_gets_nine_in_ten() {
        let shares = shares(Distribution::HotKey, 1_000);
        assert!((shares[0] - 0.9).abs() < 0.01, "{}", shares[0]);
        assert!(shares.len() > 900);
    }

    #[test]
    fn very_few_keys_work_in_every_distribution() {
        for distribution in [
            Distribution::Uniform,
            Distribution::Zipf,
            Distribution::HotKey,
        ] {
            for keys in [1, 2, 3] {
                assert!(shares(distribution, keys).len() as u64 <= keys);
            }
        }
    }
}
