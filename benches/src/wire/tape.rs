//! The requests, as bytes, made before the clock starts.
//!
//! A connection sends a slice of the tape as it is: nothing is built while measuring.
//!
//! 1. `bounds[i]..bounds[i + 1]` are the bytes of request `i`.
//! 2. The length of a tape is a power of two, so any pipeline that is one divides it.

use std::num::NonZeroU32;
use std::ops::Range;

use super::PIPELINE_MAX;
use super::protocol::{GET_BYTES, VALUE_BYTES_MAX, Wording};
use crate::keys::{Distribution, Keys};
use crate::random::Random;

/// Requests on a tape: as many as the usual number of keys, so that a server's caches see the
/// whole key space; 42 MB with the usual values, which a connection reads in order.
const TAPE_REQUESTS: usize = 1 << 20;
/// Bytes of a tape with large values, which then has fewer requests.
const TAPE_BYTES: usize = 256 << 20;
/// Fewest requests, however large they are: some of the longest pipelines.
const TAPE_REQUESTS_MIN: usize = 4 * PIPELINE_MAX;
/// Bytes of a request beside its value, at most.
const OVERHEAD_BYTES: usize = 2 * GET_BYTES;
// The bounds of requests are held in 32 bits; no draw makes more than twice the expected writes.
const _: () = assert!(2 * TAPE_BYTES <= u32::MAX as usize);
const _: () = assert!(TAPE_REQUESTS_MIN * (VALUE_BYTES_MAX + OVERHEAD_BYTES) <= TAPE_BYTES);
/// Keys are named by ten digits and held in 31 bits.
pub(crate) const KEYS_MAX: u64 = 1 << 31;

/// One request: which key, and whether it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request(u32);

impl Request {
    const WRITE: u32 = 1 << 31;

    /// The key's number.
    #[inline]
    pub(crate) const fn key(self) -> u64 {
        (self.0 & !Self::WRITE) as u64
    }

    /// Whether it is a SET.
    #[inline]
    pub(crate) const fn is_set(self) -> bool {
        self.0 & Self::WRITE != 0
    }
}

/// How many of the requests read, and how many write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// GETs
    Reads,
    /// SETs
    Writes,
    /// So many GETs per SET
    ReadsPerWrite(NonZeroU32),
}

impl Mix {
    /// As `--reads-per-write` says it: 0 for no SETs at all.
    pub(crate) fn reads_per_write(reads: u32) -> Self {
        NonZeroU32::new(reads).map_or(Self::Reads, Self::ReadsPerWrite)
    }

    /// Of how many requests one writes, on average; none of 0.
    const fn one_write_in(self) -> u64 {
        match self {
            Self::Reads => 0,
            Self::Writes => 1,
            Self::ReadsPerWrite(reads) => reads.get() as u64 + 1,
        }
    }

    /// Whether the next request writes. What is certain draws nothing.
    fn writes(self, random: &mut Random) -> bool {
        match self {
            Self::Reads => false,
            Self::Writes => true,
            Self::ReadsPerWrite(_) => random.below(self.one_write_in()) == 0,
        }
    }
}

/// What a tape is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    /// Seed of the keys.
    pub(crate) seed: u64,
    /// Keys asked for, at most [`KEYS_MAX`].
    pub(crate) keys: u64,
    /// How the requests spread over them.
    pub(crate) distribution: Distribution,
    /// Reads and writes.
    pub(crate) mix: Mix,
    /// The language.
    pub(crate) wording: Wording,
}

impl Script {
    /// How many requests fit on a tape.
    pub(crate) fn length(&self) -> usize {
        let written = match self.mix.one_write_in() {
            0 => 0,
            requests => self.wording.value_bytes / requests as usize,
        };
        let fit = TAPE_BYTES / (OVERHEAD_BYTES + written);
        let power = 1 << fit.ilog2();
        power.clamp(TAPE_REQUESTS_MIN, TAPE_REQUESTS)
    }
}

/// Prepared requests.
#[derive(Debug)]
pub(crate) struct Tape {
    bytes: Vec<u8>,
    bounds: Vec<u32>,
    requests: Vec<Request>,
    wording: Wording,
}

impl Tape {
    /// `length` requests, a power of two.
    pub(crate) fn new(script: &Script, length: usize) -> Self {
        assert!(
            script.keys <= KEYS_MAX && length.is_power_of_two(),
            "{} keys, {length} requests",
            script.keys
        );
        let keys = Keys::new(script.distribution, script.keys);
        Self::draw(script, length, |random| keys.draw(random))
    }

    /// The same, but only for keys of a list, each with equal probability.
    pub(crate) fn among(script: &Script, length: usize, list: &[u64]) -> Self {
        Self::draw(script, length, |random| {
            list[random.below(list.len() as u64) as usize]
        })
    }

    fn draw(script: &Script, length: usize, mut key: impl FnMut(&mut Random) -> u64) -> Self {
        let mut random = Random::stream(script.seed, 0);
        let mut tape = Self {
            bytes: Vec::with_capacity(length * OVERHEAD_BYTES),
            bounds: vec![0],
            requests: Vec::with_capacity(length),
            wording: script.wording,
        };
        for _ in 0..length {
            let key = key(&mut random);
            let set = script.mix.writes(&mut random);
            if set {
                script.wording.push_set(&mut tape.bytes, key);
            } else {
                script.wording.push_get(&mut tape.bytes, key);
            }
            tape.bounds.push(tape.bytes.len() as u32);
            tape.requests
                .push(Request(key as u32 | if set { Request::WRITE } else { 0 }));
        }
        tape
    }

    /// Number of requests.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// The language of the requests.
    pub(crate) fn wording(&self) -> Wording {
        self.wording
    }

    /// The place `count` requests behind place `from`; a tape is a ring.
    #[inline]
    pub(super) fn behind(&self, from: usize, count: usize) -> usize {
        (from + count) & (self.len() - 1)
    }

    /// One request.
    #[inline]
    pub(crate) fn request(&self, which: usize) -> Request {
        self.requests[which]
    }

    /// Where the bytes of these requests lie.
    #[inline]
    pub(crate) fn place(&self, which: &Range<usize>) -> Range<usize> {
        self.bounds[which.start] as usize..self.bounds[which.end] as usize
    }

    /// The bytes at a place.
    #[inline]
    pub(crate) fn bytes(&self, place: Range<usize>) -> &[u8] {
        &self.bytes[place]
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Protocol;
    use super::*;

    fn script(reads_per_write: u32, value_bytes: usize) -> Script {
        Script {
            seed: 3,
            keys: 100,
            distribution: Distribution::Uniform,
            mix: Mix::reads_per_write(reads_per_write),
            wording: Wording {
                protocol: Protocol::Resp2,
                value_bytes,
            },
        }
    }

    #[test]
    fn a_tape_holds_its_requests_end_to_end_in_every_language() {
        for protocol in [
            Protocol::Resp2,
            Protocol::Resp3,
            Protocol::MemcachedText,
            Protocol::Echo,
        ] {
            let wording = Wording {
                protocol,
                value_bytes: 10,
            };
            let tape = Tape::new(
                &Script {
                    wording,
                    ..script(10, 10)
                },
                1_024,
            );
            assert_eq!(tape.place(&(0..1_024)), 0..tape.bytes.len());
            for index in 0..1_024 {
                let request = tape.request(index);
                let mut expected = Vec::new();
                if request.is_set() {
                    wording.push_set(&mut expected, request.key());
                } else {
                    wording.push_get(&mut expected, request.key());
                }
                assert_eq!(tape.bytes(tape.place(&(index..index + 1))), expected);
            }
        }
    }

    #[test]
    fn writes_are_as_rare_as_asked() {
        let sets = |reads_per_write| {
            let tape = Tape::new(&script(reads_per_write, 64), 1 << 16);
            tape.requests
                .iter()
                .filter(|request| request.is_set())
                .count()
        };
        assert_eq!(sets(0), 0);
        let writes = Script {
            mix: Mix::Writes,
            ..script(0, 64)
        };
        let tape = Tape::new(&writes, 64);
        assert!(tape.requests.iter().all(|request| request.is_set()));
        let share = sets(10) as f64 / 65_536.0;
        assert!((share - 1.0 / 11.0).abs() < 0.005, "{share}");
    }

    #[test]
    fn large_values_make_a_short_tape() {
        assert_eq!(script(10, 64).length(), TAPE_REQUESTS);
        assert_eq!(script(0, VALUE_BYTES_MAX).length(), TAPE_REQUESTS);
        let short = script(1, VALUE_BYTES_MAX).length();
        assert!(short.is_power_of_two() && short < 10_000, "{short}");
        assert!(short >= TAPE_REQUESTS_MIN);
    }

    #[test]
    fn a_hot_key_is_on_nine_requests_in_ten() {
        let hot = Script {
            distribution: Distribution::HotKey,
            ..script(0, 64)
        };
        let tape = Tape::new(&hot, 1 << 14);
        let first = tape.requests.iter().map(|request| request.key());
        let mut counts = [0_u32; 100];
        first.for_each(|key| counts[key as usize] += 1);
        let most = f64::from(counts.iter().copied().max().unwrap_or(0));
        assert!((most / f64::from(1 << 14) - 0.9).abs() < 0.02, "{most}");
    }
}
