//! When each request of an open loop should start: a schedule made by the seed, not by the server.
//!
//! Each connection has a schedule of its own; nothing that happens to a request moves the next.
//!
//! 1. Constant: the schedules of all connections merge into one request every `1 / rate`, exactly:
//!    the n-th of all starts at `n / rate`, rounded down to a nanosecond, however many came before.
//! 2. Poisson: gaps are exponential, independent between connections; merged they are one Poisson
//!    process of the whole rate, as independent users make it.

use clap::ValueEnum;
use serde::Serialize;

use crate::random::Random;

const NS_PER_S: u64 = 1_000_000_000;
/// Highest offered rate, operations per second: beyond any generator, and a gap is still some time.
pub(crate) const RATE_MAX: u64 = 100_000_000;
/// Streams of the seed below this are used for other draws.
const FIRST_STREAM: u64 = 16;

/// How the starts of requests are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Spacing {
    /// All gaps alike: a metronome
    Constant,
    /// Independent users: gaps are exponential, requests come in clusters
    #[default]
    Poisson,
}

/// What an open loop offers, over all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Operations per second, 1 to [`RATE_MAX`].
    pub(crate) rate: u64,
    /// How they are spaced.
    pub(crate) spacing: Spacing,
}

/// The schedule of one connection.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    next: u64,
    gaps: Gaps,
}

#[derive(Clone, Debug)]
enum Gaps {
    /// The next start is `next + rest / rate`; each step adds `step + step_rest / rate`.
    Constant {
        rate: u64,
        step: u64,
        step_rest: u64,
        rest: u64,
    },
    /// The next start is `at`, rounded down.
    Poisson { mean: f64, at: f64, random: Random },
}

impl Arrivals {
    /// The schedule of connection `index` out of `connections`.
    pub(super) fn new(offered: Offered, connections: u64, index: u64, seed: u64) -> Self {
        let rate = offered.rate;
        match offered.spacing {
            Spacing::Constant => {
                let (first, step) = (index * NS_PER_S, connections * NS_PER_S);
                Self {
                    next: first / rate,
                    gaps: Gaps::Constant {
                        rate,
                        step: step / rate,
                        step_rest: step % rate,
                        rest: first % rate,
                    },
                }
            }
            Spacing::Poisson => {
                let mut arrivals = Self {
                    next: 0,
                    gaps: Gaps::Poisson {
                        mean: connections as f64 * NS_PER_S as f64 / rate as f64,
                        at: 0.0,
                        random: Random::stream(seed, FIRST_STREAM + index),
                    },
                };
                arrivals.advance();
                arrivals
            }
        }
    }

    /// The intended start of the next request, in nanoseconds since the load began.
    #[inline]
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Goes on to the request after that.
    #[inline]
    pub(super) fn advance(&mut self) {
        match &mut self.gaps {
            Gaps::Constant {
                rate,
                step,
                step_rest,
                rest,
            } => {
                *rest += *step_rest;
                let carry = u64::from(*rest >= *rate);
                *rest -= carry * *rate;
                self.next += *step + carry;
            }
            Gaps::Poisson { mean, at, random } => {
                // 53 bits, never 0: uniform in (0, 1].
                let drawn = ((random.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
                *at -= *mean * drawn.ln();
                self.next = *at as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first `count` starts of all connections together, in order.
    fn merged(offered: Offered, connections: u64, seed: u64, count: usize) -> Vec<u64> {
        let mut all = Vec::new();
        for index in 0..connections {
            let mut arrivals = Arrivals::new(offered, connections, index, seed);
            for _ in 0..count {
                all.push(arrivals.next());
                arrivals.advance();
            }
        }
        all.sort_unstable();
        all.truncate(count);
        all
    }

    #[test]
    fn constant_schedules_merge_into_exactly_the_rate() {
        for rate in [1, 3, 7_000, 123_457, 1_000_000, RATE_MAX] {
            for connections in [1, 2, 50, 64] {
                let offered = Offered {
                    rate,
                    spacing: Spacing::Constant,
                };
                let starts = merged(offered, connections, 1, 1_000);
                let expected = (0..1_000).map(|n| n * NS_PER_S / rate);
                assert!(starts.into_iter().eq(expected), "{rate} over {connections}");
            }
        }
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_a_poisson_process() {
        let offered = Offered {
            rate: 10_000,
            spacing: Spacing::Poisson,
        };
        for connections in [1, 50] {
            let starts = merged(offered, connections, 7, 50_000);
            let gaps: Vec<f64> = starts
                .windows(2)
                .map(|two| (two[1] - two[0]) as f64)
                .collect();
            let count = gaps.len() as f64;
            let mean = gaps.iter().sum::<f64>() / count;
            let square = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
            assert!((mean / 100_000.0 - 1.0).abs() < 0.02, "{mean}");
            // The standard deviation of an exponential is its mean.
            assert!((square.sqrt() / mean - 1.0).abs() < 0.03, "{square}");
        }
    }

    #[test]
    fn a_seed_fixes_the_schedule_and_another_seed_changes_it() {
        let offered = Offered {
            rate: 1_000,
            spacing: Spacing::Poisson,
        };
        assert_eq!(merged(offered, 4, 1, 100), merged(offered, 4, 1, 100));
        assert_ne!(merged(offered, 4, 1, 100), merged(offered, 4, 2, 100));
    }
}
