//! Running a workload on an engine with the clock on.
//!
//! 1. Rates come from operations completed and time passed, thread by thread, then added up.
//! 2. Latencies come from a sample: every [`SAMPLE_EVERY`]th single operation, every batch. A
//!    sample contains one reading of the clock (some 20 ns here), the same for every engine.
//! 3. Whatever is sampled is also checked; a value that is not its key's counts as wrong.
//! 4. What is measured goes on in the sequence where the warm-up ended, so it does not find its
//!    keys in a cache because the warm-up has just asked for them.

use std::convert::Infallible;
use std::hint::black_box;
use std::iter::Cycle;
use std::slice::ChunksExact;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::bounded;
use hdrhistogram::Histogram;

use super::engines::{Engine, Handle};
use super::play::{Change, Latest, Mix, Play, Transfer};
use super::value::{ABSENT, Value, digest_of, is_digest_of};
use super::workload::{Op, Style};
use crate::random::scatter;
use crate::{clock, figures, threads};

/// One single operation in so many is timed: rare enough that reading the clock costs the rate
/// less than 1 ns per operation.
const SAMPLE_EVERY: usize = 64;

/// Keys written by one call while loading, or read while adding up, so that engines reached by
/// messages take no longer than the others.
const SWEEP_BATCH: usize = 512;

/// How one round is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    /// How operations become calls.
    pub(crate) style: Style,
    /// Keys that were loaded.
    pub(crate) keys: u64,
    /// One sequence of operations per thread.
    pub(crate) sequences: &'a [Vec<Op>],
    /// Operations per batch; 1 means single operations. More are reads and writes only.
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
    /// Sampled operations that did not find what their key must have.
    pub(crate) wrong: u64,
    /// What was added to all amounts together, in the warm-up too.
    pub(crate) added: u64,
    /// Sampled latencies.
    pub(crate) latencies: Histogram<u64>,
}

/// An engine with its types forgotten, so that a list can hold them all; the loops behind these
/// methods are compiled for each engine and each size of values.
pub(crate) trait Subject: Send + Sync {
    /// Into how many parts the map is divided.
    fn shards(&self) -> Option<usize>;

    /// Whether a transfer between two keys happens at one moment for everybody.
    fn transfers_atomically(&self) -> bool;

    /// Writes keys `0..keys`.
    fn load(&self, keys: u64);

    /// What was added to the amounts of keys `0..keys`, all together, since they were written;
    /// anything else if a key is missing.
    fn drift(&self, keys: u64) -> u64;

    /// Runs one round.
    ///
    /// # Errors
    /// A thread could not be started, or panicked.
    fn round(&self, task: Task<'_>) -> Result<Round>;

    /// Inserts as many keys as `shortest` has places, in an order that is always the same, and
    /// lowers each place to the nanoseconds that insert took, if it took less.
    fn grow(&self, shortest: &mut [u32]);
}

impl<E: Engine> Subject for E {
    fn shards(&self) -> Option<usize> {
        Engine::shards(self)
    }

    fn transfers_atomically(&self) -> bool {
        E::TRANSFERS_ATOMICALLY
    }

    fn load(&self, keys: u64) {
        sweep(self, keys, Op::write, |_, _| {});
    }

    fn drift(&self, keys: u64) -> u64 {
        let mut drift = 0_u64;
        sweep(self, keys, Op::read, |key, digest| {
            drift = drift.wrapping_add(digest.wrapping_sub(digest_of(key)));
        });
        drift
    }

    fn round(&self, task: Task<'_>) -> Result<Round> {
        let threads = task.sequences.len();
        match task.style {
            Style::Mix => play(self, task, |_thread| Mix),
            Style::Change => play(self, task, |_thread| Change::default()),
            Style::Transfer => play(self, task, |_thread| Transfer),
            Style::Latest => play(self, task, |thread| Latest::new(task.keys, threads, thread)),
        }
    }

    fn grow(&self, shortest: &mut [u32]) {
        let mut handle = self.handle();
        let mut before = clock::now();
        for (index, shortest) in shortest.iter_mut().enumerate() {
            let key = scatter(index as u64);
            handle.set(key, &Value::of(key));
            let after = clock::now();
            let took = u32::try_from((after - before).as_nanos()).unwrap_or(u32::MAX);
            *shortest = took.min(*shortest);
            before = after;
        }
    }
}

/// Runs one operation on each of the keys `0..keys`, in batches; `see` is told each key and what
/// its operation returned.
fn sweep<E: Engine>(engine: &E, keys: u64, op: fn(u64) -> Op, mut see: impl FnMut(u64, u64)) {
    let mut handle = engine.handle();
    let mut ops = Vec::with_capacity(SWEEP_BATCH);
    let mut digests = vec![ABSENT; SWEEP_BATCH];
    let mut next = 0;
    while next < keys {
        let end = keys.min(next + SWEEP_BATCH as u64);
        ops.clear();
        ops.extend((next..end).map(op));
        handle.batch(&ops, &mut digests[..ops.len()]);
        for (key, digest) in (next..end).zip(&digests) {
            see(key, *digest);
        }
        next = end;
    }
}

/// Runs one round, each thread with a play of its own.
fn play<E: Engine, P: Play>(
    engine: &E,
    task: Task<'_>,
    player: impl Fn(usize) -> P + Copy + Send,
) -> Result<Round> {
    // Nothing is ever sent: dropping the sender is the start, also where a thread is missing.
    let (gate, gate_opens) = bounded::<Infallible>(0);
    std::thread::scope(move |scope| {
        let mut started = Vec::new();
        for (index, ops) in task.sequences.iter().enumerate() {
            let gate_opens = gate_opens.clone();
            let name = format!("load-{index}");
            started.push(threads::spawn_scoped(scope, &name, move || {
                let mut run = Run::new(engine.handle(), player(index), ops, task.batch)?;
                let _opened = gate_opens.recv();
                run.for_time(task.warm_up);
                run.forget()?;
                run.for_time(task.window);
                Ok::<_, anyhow::Error>((run.tally, run.play.added()))
            })?);
        }
        drop(gate);
        let mut round = Round {
            ops_per_s: 0.0,
            wrong: 0,
            added: 0,
            latencies: figures::latency_histogram()?,
        };
        for thread in started {
            let (tally, added) = threads::join(thread)??;
            round.ops_per_s += tally.ops as f64 / tally.elapsed.as_secs_f64();
            round.wrong += tally.wrong;
            round.added = round.added.wrapping_add(added);
            round.latencies += tally.latencies;
        }
        Ok(round)
    })
}

/// What one thread did.
#[derive(Debug)]
struct Tally {
    ops: u64,
    wrong: u64,
    elapsed: Duration,
    latencies: Histogram<u64>,
}

impl Tally {
    fn new() -> Result<Self> {
        Ok(Self {
            ops: 0,
            wrong: 0,
            elapsed: Duration::ZERO,
            latencies: figures::latency_histogram()?,
        })
    }
}

/// One thread on its way through its sequence, again and again.
struct Run<'o, H, P> {
    handle: H,
    play: P,
    /// Runs of single operations of which the first is sampled, or batches.
    chunks: Cycle<ChunksExact<'o, Op>>,
    /// A place for what each operation of a batch returns; empty for single operations.
    digests: Vec<u64>,
    tally: Tally,
}

impl<'o, H: Handle, P: Play> Run<'o, H, P> {
    fn new(handle: H, play: P, ops: &'o [Op], batch: usize) -> Result<Self> {
        let chunk = if batch == 1 { SAMPLE_EVERY } else { batch };
        assert!(ops.len() >= chunk, "a sequence holds a chunk at least");
        Ok(Self {
            handle,
            play,
            chunks: ops.chunks_exact(chunk).cycle(),
            digests: vec![0; if batch == 1 { 0 } else { batch }],
            tally: Tally::new()?,
        })
    }

    /// Forgets what was counted, not where it is.
    fn forget(&mut self) -> Result<()> {
        self.tally = Tally::new()?;
        Ok(())
    }

    fn for_time(&mut self, time: Duration) {
        let begun = clock::now();
        let ended = if self.digests.is_empty() {
            self.singles(begun + time)
        } else {
            self.batches(begun + time)
        };
        self.tally.elapsed = ended - begun;
    }

    /// Single operations until `deadline`; returns when they ended.
    fn singles(&mut self, deadline: Instant) -> Instant {
        let Self {
            handle,
            play,
            chunks,
            tally,
            ..
        } = self;
        for chunk in chunks {
            let (sampled, rest) = (chunk[0], &chunk[1..]);
            let before = clock::now();
            let found = play.call(handle, sampled);
            let after = clock::now();
            figures::record(&mut tally.latencies, after - before, 1);
            tally.wrong += u64::from(!play.is_right(sampled, found));
            let mut sum = 0_u64;
            for op in rest {
                sum = sum.wrapping_add(play.call(handle, *op));
            }
            black_box(sum);
            tally.ops += SAMPLE_EVERY as u64;
            if after >= deadline {
                break;
            }
        }
        clock::now()
    }

    /// Batches until `deadline`; returns when they ended.
    fn batches(&mut self, deadline: Instant) -> Instant {
        let mut before = clock::now();
        for chunk in &mut self.chunks {
            self.handle.batch(chunk, &mut self.digests);
            let after = clock::now();
            let tally = &mut self.tally;
            figures::record(&mut tally.latencies, after - before, 1);
            let (sampled, digest) = (chunk[0], self.digests[0]);
            let is_right = sampled.is_write() || is_digest_of(digest, sampled.key());
            tally.wrong += u64::from(!is_right);
            black_box(&mut self.digests);
            tally.ops += chunk.len() as u64;
            before = after;
            if after >= deadline {
                break;
            }
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::super::engines::{EngineName, Settings, open};
    use super::super::point::Point;
    use super::super::workload::{Workload, sequences};
    use super::*;

    const KEYS: u64 = 100;
    /// A thousandth of a real sequence, so that it is run through more than once.
    const OPS: usize = 2_048;

    fn point(workload: Workload) -> Point {
        Point {
            keys: KEYS,
            ..Point::of(workload)
        }
    }

    fn task(point: Point, batch: usize, sequences: &[Vec<Op>]) -> Task<'_> {
        Task {
            style: point.workload.style(),
            keys: point.keys,
            sequences,
            batch,
            warm_up: Duration::from_micros(100),
            window: Duration::from_millis(1),
        }
    }

    #[test]
    fn a_round_of_any_workload_counts_what_it_did_and_finds_every_value_right() {
        for name in EngineName::value_variants() {
            for workload in Workload::value_variants() {
                let asked = point(*workload);
                let sequences = sequences(1, &asked, OPS);
                let engine = open(*name, Settings::default()).unwrap();
                engine.load(KEYS);
                let (round, what) = (
                    engine.round(task(asked, 1, &sequences)).unwrap(),
                    format!("{} {}", name.label(), workload.label()),
                );
                assert!(
                    round.ops_per_s > 0.0 && !round.latencies.is_empty(),
                    "{what}"
                );
                assert_eq!(round.wrong, 0, "{what}");
                assert_eq!(engine.drift(KEYS), round.added, "{what}: changes were lost");
            }
        }
    }

    #[test]
    fn a_round_of_batches_counts_what_it_did_and_finds_every_value_right() {
        let asked = point(Workload::YcsbA);
        let sequences = sequences(1, &asked, OPS);
        for name in EngineName::value_variants() {
            let engine = open(*name, Settings::default()).unwrap();
            engine.load(KEYS);
            for batch in [16, 512] {
                let round = engine.round(task(asked, batch, &sequences)).unwrap();
                assert!(round.ops_per_s > 0.0 && !round.latencies.is_empty());
                assert_eq!(round.wrong, 0, "{}", name.label());
            }
        }
    }

    #[test]
    fn a_missing_key_counts_as_wrong() {
        for (workload, batch) in [
            (Workload::YcsbC, 1),
            (Workload::YcsbC, 64),
            (Workload::Counter, 1),
            (Workload::Transfer, 1),
        ] {
            let asked = point(workload);
            let sequences = sequences(1, &asked, OPS);
            let engine = open(EngineName::Mutex, Settings::default()).unwrap();
            let round = engine.round(task(asked, batch, &sequences)).unwrap();
            assert!(round.wrong > 0, "{}", workload.label());
        }
    }

    #[test]
    fn counters_add_up_and_transfers_add_nothing() {
        for (workload, adds) in [(Workload::Counter, true), (Workload::Transfer, false)] {
            let asked = point(workload);
            let sequences = sequences(1, &asked, OPS);
            let engine = open(EngineName::Striped, Settings::default()).unwrap();
            engine.load(KEYS);
            let round = engine.round(task(asked, 1, &sequences)).unwrap();
            assert_eq!(round.added > 0, adds, "{}", workload.label());
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
