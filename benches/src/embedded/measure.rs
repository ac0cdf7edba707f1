//! Running a workload on an engine with the clock on.
//!
//! 1. Rates come from operations completed and time passed, thread by thread, then added up.
//! 2. Latencies come from a sample: every [`SAMPLE_EVERY`]th single operation, every batch. A
//!    sample contains one reading of the clock (some 20 ns here), the same for every engine.
//! 3. Whatever is sampled is also checked; a value that is not its key's counts as wrong.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::bounded;
use hdrhistogram::Histogram;

use super::engines::{Engine, Handle};
use super::workload::{ABSENT, Op, digest_of, value_of};
use crate::random::scatter;
use crate::{clock, figures, threads};

/// One single operation in so many is timed: rare enough that reading the clock costs the rate
/// less than 1 ns per operation.
const SAMPLE_EVERY: usize = 64;

/// Keys written by one call while loading, so that engines reached by messages load in time.
const LOAD_BATCH: usize = 512;

/// How one round is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    /// One sequence of operations per thread.
    pub(crate) sequences: &'a [Vec<Op>],
    /// Operations per batch; 1 means single operations through `get` and `set`.
    pub(crate) batch: usize,
    /// Time before measuring, in which caches and threads settle.
    pub(crate) warm_up: Duration,
    /// Time measured.
    pub(crate) window: Duration,
}

/// What one round showed.
#[derive(Debug)]
pub(crate) struct Round {
    /// Operations per second, all threads together.
    pub(crate) ops_per_s: f64,
    /// Sampled reads that were missing or had another key's value.
    pub(crate) wrong: u64,
    /// Sampled latencies.
    pub(crate) latencies: Histogram<u64>,
}

/// An engine with its type forgotten, so that a list can hold them all; the loops behind these
/// methods are compiled for each engine.
pub(crate) trait Subject: Send + Sync {
    /// Into how many parts the map is divided.
    fn shards(&self) -> Option<usize>;

    /// Writes keys `0..keys`.
    fn load(&self, keys: u64);

    /// Runs one round.
    ///
    /// # Errors
    /// A thread could not be started, or panicked.
    fn round(&self, plan: Plan<'_>) -> Result<Round>;

    /// Inserts as many keys as `shortest` has places, in an order that is always the same, and
    /// lowers each place to the nanoseconds that insert took, if it took less.
    fn grow(&self, shortest: &mut [u32]);
}

impl<E: Engine> Subject for E {
    fn shards(&self) -> Option<usize> {
        Engine::shards(self)
    }

    fn load(&self, keys: u64) {
        let mut handle = self.handle();
        let mut ops = Vec::with_capacity(LOAD_BATCH);
        let mut digests = vec![0; LOAD_BATCH];
        let mut next = 0;
        while next < keys {
            let end = keys.min(next + LOAD_BATCH as u64);
            ops.clear();
            ops.extend((next..end).map(Op::write));
            handle.batch(&ops, &mut digests[..ops.len()]);
            next = end;
        }
    }

    fn round(&self, plan: Plan<'_>) -> Result<Round> {
        // Nothing is ever sent: dropping the sender is the start, also where a thread is missing.
        let (gate, gate_opens) = bounded::<Infallible>(0);
        std::thread::scope(move |scope| {
            let mut started = Vec::new();
            for (index, ops) in plan.sequences.iter().enumerate() {
                let gate_opens = gate_opens.clone();
                started.push(threads::spawn_scoped(
                    scope,
                    &format!("load-{index}"),
                    move || {
                        let mut handle = self.handle();
                        let _opened = gate_opens.recv();
                        run(&mut handle, ops, plan.batch, plan.warm_up)?;
                        run(&mut handle, ops, plan.batch, plan.window)
                    },
                )?);
            }
            drop(gate);
            let mut round = Round {
                ops_per_s: 0.0,
                wrong: 0,
                latencies: figures::latency_histogram()?,
            };
            for thread in started {
                let tally = threads::join(thread)??;
                round.ops_per_s += tally.ops as f64 / tally.elapsed.as_secs_f64();
                round.wrong += tally.wrong;
                round.latencies += tally.latencies;
            }
            Ok(round)
        })
    }

    fn grow(&self, shortest: &mut [u32]) {
        let mut handle = self.handle();
        let mut before = clock::now();
        for (index, shortest) in shortest.iter_mut().enumerate() {
            let key = scatter(index as u64);
            handle.set(key, &value_of(key));
            let after = clock::now();
            let took = u32::try_from((after - before).as_nanos()).unwrap_or(u32::MAX);
            *shortest = took.min(*shortest);
            before = after;
        }
    }
}

/// What one thread did.
#[derive(Debug)]
struct Tally {
    ops: u64,
    wrong: u64,
    elapsed: Duration,
    latencies: Histogram<u64>,
}

fn run<H: Handle>(handle: &mut H, ops: &[Op], batch: usize, time: Duration) -> Result<Tally> {
    let mut tally = Tally {
        ops: 0,
        wrong: 0,
        elapsed: Duration::ZERO,
        latencies: figures::latency_histogram()?,
    };
    let begun = clock::now();
    let ended = if batch == 1 {
        singles(handle, ops, begun + time, &mut tally)
    } else {
        batches(handle, ops, batch, begun + time, &mut tally)
    };
    tally.elapsed = ended - begun;
    Ok(tally)
}

/// Single operations until `deadline`; returns when they ended.
fn singles<H: Handle>(handle: &mut H, ops: &[Op], deadline: Instant, tally: &mut Tally) -> Instant {
    loop {
        for chunk in ops.chunks_exact(SAMPLE_EVERY) {
            let (sampled, rest) = (chunk[0], &chunk[1..]);
            let before = clock::now();
            let found = single(handle, sampled);
            let after = clock::now();
            figures::record(&mut tally.latencies, after - before, 1);
            tally.wrong += u64::from(!sampled.is_write() && found != digest_of(sampled.key()));
            let mut sum = 0_u64;
            for op in rest {
                sum = sum.wrapping_add(single(handle, *op));
            }
            black_box(sum);
            tally.ops += SAMPLE_EVERY as u64;
            if after >= deadline {
                return clock::now();
            }
        }
    }
}

#[inline]
fn single<H: Handle>(handle: &mut H, op: Op) -> u64 {
    if op.is_write() {
        handle.set(op.key(), &value_of(op.key()));
        0
    } else {
        handle.get(op.key()).unwrap_or(ABSENT)
    }
}

/// Batches until `deadline`; returns when they ended.
fn batches<H: Handle>(
    handle: &mut H,
    ops: &[Op],
    batch: usize,
    deadline: Instant,
    tally: &mut Tally,
) -> Instant {
    let mut digests = vec![0; batch];
    let mut before = clock::now();
    loop {
        for chunk in ops.chunks_exact(batch) {
            handle.batch(chunk, &mut digests);
            let after = clock::now();
            figures::record(&mut tally.latencies, after - before, 1);
            let sampled = chunk[0];
            tally.wrong += u64::from(!sampled.is_write() && digests[0] != digest_of(sampled.key()));
            black_box(&mut digests);
            tally.ops += batch as u64;
            if after >= deadline {
                return after;
            }
            before = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::super::engines::{EngineName, Settings, open};
    use super::super::workload::sequence;
    use super::*;

    #[test]
    fn a_round_counts_what_it_did_and_finds_every_value_right() {
        let sequences = [sequence(1, 0, 100, 50), sequence(1, 1, 100, 50)];
        for name in EngineName::value_variants() {
            let engine = open(*name, Settings::default()).unwrap();
            engine.load(100);
            for batch in [1, 64] {
                let plan = Plan {
                    sequences: &sequences,
                    batch,
                    warm_up: Duration::ZERO,
                    window: Duration::from_millis(1),
                };
                let round = engine.round(plan).unwrap();
                assert!(round.ops_per_s > 0.0);
                assert!(!round.latencies.is_empty());
                assert_eq!(round.wrong, 0, "{}", name.label());
            }
        }
    }

    #[test]
    fn a_missing_key_counts_as_wrong() {
        let sequences = [sequence(1, 0, 100, 100)];
        let engine = open(EngineName::Mutex, Settings::default()).unwrap();
        for batch in [1, 64] {
            let plan = Plan {
                sequences: &sequences,
                batch,
                warm_up: Duration::ZERO,
                window: Duration::ZERO,
            };
            assert!(engine.round(plan).unwrap().wrong > 0);
        }
    }

    #[test]
    fn growth_keeps_the_shortest_time_of_each_insert() {
        let engine = open(EngineName::Mutex, Settings::default()).unwrap();
        let mut shortest = [0, u32::MAX];
        engine.grow(&mut shortest);
        assert_eq!(shortest[0], 0);
        assert!(shortest[1] < u32::MAX);
    }
}
