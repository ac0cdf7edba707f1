//! The questions: one sequence per thread, drawn before the clock starts, the same for every engine.
//!
//! 1. Every draw from a distribution happens here; while the clock runs a key is at most one
//!    addition away (the newest keys of YCSB D).
//! 2. The same seed gives the same sequences on every machine.

use clap::ValueEnum;

use super::point::Point;
use super::value::KEYS_MAX;
use crate::keys::{Distribution, Keys, Zipf};
use crate::random::Random;

/// Operations prepared per thread; a round that needs more starts again from the first.
/// 16 MiB: read in order, so the caches see it once, and long enough that two million keys are
/// asked before one is asked again for the same reason.
pub(crate) const SEQUENCE_OPS: usize = 1 << 21;

/// Reads of YCSB's mixes, in percent.
const YCSB_HALF: u8 = 50;
const YCSB_MOST: u8 = 95;
const YCSB_ALL: u8 = 100;

/// One operation: a key and whether it is changed, or two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op(u64);

impl Op {
    const WRITE: u64 = 1 << 63;
    const KEY_BITS: u32 = 31;
    const KEY: u64 = (1 << Self::KEY_BITS) - 1;

    /// Reads `key`.
    pub(crate) const fn read(key: u64) -> Self {
        Self(key)
    }

    /// Writes the value of `key`, or changes the value it has.
    pub(crate) const fn write(key: u64) -> Self {
        Self(key | Self::WRITE)
    }

    /// Moves something from one key to another.
    pub(crate) const fn pair(from: u64, to: u64) -> Self {
        Self(from | to << Self::KEY_BITS | Self::WRITE)
    }

    /// The key, or the first of two.
    #[inline]
    pub(crate) const fn key(self) -> u64 {
        self.0 & Self::KEY
    }

    /// The second of two keys.
    #[inline]
    pub(crate) const fn other(self) -> u64 {
        self.0 >> Self::KEY_BITS & Self::KEY
    }

    /// Whether anything is changed.
    #[inline]
    pub(crate) const fn is_write(self) -> bool {
        self.0 & Self::WRITE != 0
    }
}
const _: () = assert!(2 * KEYS_MAX <= Op::KEY + 1);

/// What is asked, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Reads, and writes that overwrite, mixed by --read-percent
    #[default]
    ReadsAndWrites,
    /// Every operation adds one to what it finds, atomically
    Counter,
    /// Every operation moves one from a key to another; not all engines do it atomically
    Transfer,
    /// YCSB A, a session store: half reads, half writes, Zipf
    YcsbA,
    /// YCSB B, tagging photos: 95 % reads, Zipf
    YcsbB,
    /// YCSB C, a cache of profiles: reads only, Zipf
    YcsbC,
    /// YCSB D, news: 95 % reads, the newest keys most often, and 5 % inserts of new keys
    YcsbD,
    /// YCSB F, a user database: half reads, half read-modify-writes, Zipf
    YcsbF,
}

/// How operations become calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A key is read or written.
    Mix,
    /// A key is read, or its amount changed.
    Change,
    /// An amount moves from one key to another.
    Transfer,
    /// A key is read by how new it is, or a new one inserted.
    Latest,
}

impl Workload {
    /// As written on the command line and in results.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::ReadsAndWrites => "reads-and-writes",
            Self::Counter => "counter",
            Self::Transfer => "transfer",
            Self::YcsbA => "ycsb-a",
            Self::YcsbB => "ycsb-b",
            Self::YcsbC => "ycsb-c",
            Self::YcsbD => "ycsb-d",
            Self::YcsbF => "ycsb-f",
        }
    }

    pub(crate) const fn style(self) -> Style {
        match self {
            Self::ReadsAndWrites | Self::YcsbA | Self::YcsbB | Self::YcsbC => Style::Mix,
            Self::Counter | Self::YcsbF => Style::Change,
            Self::Transfer => Style::Transfer,
            Self::YcsbD => Style::Latest,
        }
    }

    /// The share of reads, where the name decides it.
    pub(crate) const fn read_percent(self) -> Option<u8> {
        match self {
            Self::ReadsAndWrites => None,
            Self::Counter | Self::Transfer => Some(0),
            Self::YcsbA | Self::YcsbF => Some(YCSB_HALF),
            Self::YcsbB | Self::YcsbD => Some(YCSB_MOST),
            Self::YcsbC => Some(YCSB_ALL),
        }
    }

    /// The distribution, where the name decides it.
    pub(crate) const fn distribution(self) -> Option<Distribution> {
        match self {
            Self::ReadsAndWrites | Self::Counter | Self::Transfer => None,
            Self::YcsbA | Self::YcsbB | Self::YcsbC | Self::YcsbD | Self::YcsbF => {
                Some(Distribution::Zipf)
            }
        }
    }
}

/// What every thread of a point is asked: `ops` operations each.
pub(super) fn sequences(seed: u64, point: &Point, ops: usize) -> Vec<Vec<Op>> {
    let draw = Draw::new(point);
    let streams = (0..point.threads as u64).map(|thread| Random::stream(seed, thread));
    streams
        .map(|mut random| (0..ops).map(|_| draw.op(&mut random)).collect())
        .collect()
}

/// Draws the operations of one point.
enum Draw {
    /// Keys, and the share of reads.
    Single(Keys, u64),
    /// Keys, and their number.
    Pair(Keys, u64),
    /// How far from the newest key, and the share of reads.
    Recent(Zipf, u64),
}

impl Draw {
    fn new(point: &Point) -> Self {
        let reads = u64::from(point.read_percent);
        match point.workload.style() {
            Style::Mix | Style::Change => {
                Self::Single(Keys::new(point.distribution, point.keys), reads)
            }
            Style::Transfer => Self::Pair(Keys::new(point.distribution, point.keys), point.keys),
            Style::Latest => Self::Recent(Zipf::new(point.keys), reads),
        }
    }

    fn op(&self, random: &mut Random) -> Op {
        match self {
            Self::Single(keys, reads) => {
                let key = keys.draw(random);
                if random.below(100) < *reads {
                    Op::read(key)
                } else {
                    Op::write(key)
                }
            }
            Self::Pair(keys, count) => {
                let (from, to) = (keys.draw(random), keys.draw(random));
                let neighbour = (to + 1) % count;
                Op::pair(from, if from == to { neighbour } else { to })
            }
            Self::Recent(ranks, reads) => {
                let rank = ranks.rank(random);
                if random.below(100) < *reads {
                    Op::read(rank)
                } else {
                    Op::write(0)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPS: usize = 100_000;

    fn point(workload: Workload, keys: u64) -> Point {
        Point {
            keys,
            threads: 2,
            ..Point::of(workload)
        }
    }

    #[test]
    fn the_flag_of_a_write_does_not_touch_the_keys() {
        let last = 2 * KEYS_MAX - 1;
        for (op, key, other, is_write) in [
            (Op::write(last), last, 0, true),
            (Op::read(last), last, 0, false),
            (Op::pair(last, 7), last, 7, true),
            (Op::pair(7, last), 7, last, true),
        ] {
            assert_eq!(
                (op.key(), op.other(), op.is_write()),
                (key, other, is_write)
            );
        }
    }

    #[test]
    fn sequences_are_repeatable_and_mixed_as_asked() {
        let asked = point(Workload::ReadsAndWrites, 1_000);
        let found = sequences(5, &asked, OPS);
        assert_eq!(found, sequences(5, &asked, OPS));
        assert_ne!(found[0], found[1]);
        for ops in found {
            let writes = ops.iter().filter(|op| op.is_write()).count() as f64 / OPS as f64;
            assert!((writes - 0.05).abs() < 0.005, "{writes}");
            assert!(ops.iter().all(|op| op.key() < 1_000));
        }
    }

    #[test]
    fn each_workload_has_the_share_of_reads_that_its_name_says() {
        for (workload, expected) in [
            (Workload::Counter, 0.0),
            (Workload::Transfer, 0.0),
            (Workload::YcsbA, 0.5),
            (Workload::YcsbB, 0.95),
            (Workload::YcsbC, 1.0),
            (Workload::YcsbD, 0.95),
            (Workload::YcsbF, 0.5),
        ] {
            let ops = &sequences(5, &point(workload, 1_000), OPS)[0];
            let reads = ops.iter().filter(|op| !op.is_write()).count() as f64 / OPS as f64;
            assert!(
                (reads - expected).abs() < 0.01,
                "{}: {reads}",
                workload.label()
            );
        }
    }

    #[test]
    fn a_transfer_always_has_two_keys() {
        for keys in [2, 3, 1_000] {
            for distribution in [Distribution::Uniform, Distribution::HotKey] {
                let asked = Point {
                    distribution,
                    ..point(Workload::Transfer, keys)
                };
                let ops = &sequences(5, &asked, 1_000)[0];
                assert!(
                    ops.iter().all(|op| {
                        op.key() != op.other() && op.key() < keys && op.other() < keys
                    })
                );
            }
        }
    }

    #[test]
    fn labels_are_the_names_of_the_command_line() {
        for workload in Workload::value_variants() {
            let value = workload.to_possible_value().unwrap();
            assert_eq!(value.get_name(), workload.label());
        }
    }
}
