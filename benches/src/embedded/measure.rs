//! Running a workload on an engine with the clock on.
//!
//! 1. All threads are measured over the same span of time, so a thread that waits for a core counts
//!    as what it is: slow. Of what lies across an edge of that span its share counts.
//! 2. Latencies come from a sample: every [`SAMPLE_EVERY`]th single operation, every batch. A
//!    sample contains one reading of the clock (some 20 ns here), the same for every engine.
//! 3. Whatever is sampled is also checked; a value that is not its key's counts as wrong.
//! 4. What is measured goes on in the sequence where the warm-up ended, so it does not find its
//!    keys in a cache because the warm-up has just asked for them.

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
    /// Sampled operations that did not find what their key must have, in the warm-up too.
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
    let threads = task.sequences.len();
    // A place for each thread: the sender never waits. Dropped early, it lets all threads go home.
    let (gate, gate_opens) = bounded::<Span>(threads);
    std::thread::scope(move |scope| {
        let mut started = Vec::new();
        for (index, ops) in task.sequences.iter().enumerate() {
            let gate_opens = gate_opens.clone();
            let name = format!("load-{index}");
            started.push(threads::spawn_scoped(scope, &name, move || {
                let mut run = Run::new(engine.handle(), player(index), ops, task.batch)?;
                if let Ok(measured) = gate_opens.recv() {
                    run.warm_up(measured.from);
                    run.measure(measured);
                }
                Ok::<_, anyhow::Error>((run.tally, run.play.added()))
            })?);
        }
        let from = clock::now() + task.warm_up;
        let until = from + task.window;
        for _ in 0..threads {
            gate.send(Span { from, until })?;
        }
        let (mut ops, mut wrong, mut added) = (0.0, 0, 0_u64);
        let mut latencies = figures::latency_histogram()?;
        for thread in started {
            let (tally, changes) = threads::join(thread)??;
            ops += tally.ops;
            wrong += tally.wrong;
            added = added.wrapping_add(changes);
            latencies += tally.latencies;
        }
        Ok(Round {
            ops_per_s: ops / task.window.as_secs_f64(),
            wrong,
            added,
            latencies,
        })
    })
}

/// From one moment to another.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Instant,
    until: Instant,
}

impl Span {
    /// Which share of this span, 0 to 1, lies within another.
    fn share_within(self, other: Self) -> f64 {
        let from = self.from.max(other.from);
        let common = self.until.min(other.until).saturating_duration_since(from);
        let whole = self.until.saturating_duration_since(self.from);
        if whole.is_zero() {
            return 0.0;
        }
        common.as_secs_f64() / whole.as_secs_f64()
    }
}

/// What one thread did.
#[derive(Debug)]
struct Tally {
    /// Operations within the span that was measured.
    ops: f64,
    wrong: u64,
    latencies: Histogram<u64>,
}

impl Tally {
    fn new() -> Result<Self> {
        Ok(Self {
            ops: 0.0,
            wrong: 0,
            latencies: figures::latency_histogram()?,
        })
    }
}

/// One thread on its way through its sequence, again and again.
struct Run<'o, H, P> {
    handle: H,
    play: P,
    /// Operations of a chunk.
    chunk: usize,
    /// Runs of single operations of which the first is sampled, or batches.
    chunks: Cycle<ChunksExact<'o, Op>>,
    /// A place for what each operation of a batch returns; empty for single operations.
    digests: Vec<u64>,
    /// When the last chunk ran.
    last: Option<Span>,
    tally: Tally,
}

impl<'o, H: Handle, P: Play> Run<'o, H, P> {
    fn new(handle: H, play: P, ops: &'o [Op], batch: usize) -> Result<Self> {
        let chunk = if batch == 1 { SAMPLE_EVERY } else { batch };
        assert!(ops.len() >= chunk, "a sequence holds a chunk at least");
        Ok(Self {
            handle,
            play,
            chunk,
            chunks: ops.chunks_exact(chunk).cycle(),
            digests: vec![0; if batch == 1 { 0 } else { batch }],
            last: None,
            tally: Tally::new()?,
        })
    }

    /// Runs up to the first moment measured, at least one chunk, and forgets the latencies.
    fn warm_up(&mut self, from: Instant) {
        self.run(from);
        self.tally.latencies.reset();
    }

    /// Runs to the end of what is measured, at least one chunk, and counts.
    fn measure(&mut self, measured: Span) {
        let share = |last: Option<Span>| last.map_or(0.0, |last| last.share_within(measured));
        let across_the_beginning = share(self.last);
        let whole = self.run(measured.until).saturating_sub(1) as f64;
        let across_the_end = share(self.last);
        let chunks = across_the_beginning + whole + across_the_end;
        self.tally.ops = chunks * self.chunk as f64;
    }

    /// Runs chunks until one ends at `until` or later; returns how many.
    fn run(&mut self, until: Instant) -> u64 {
        if self.digests.is_empty() {
            self.singles(until)
        } else {
            self.batches(until)
        }
    }

    fn singles(&mut self, until: Instant) -> u64 {
        let Self {
            handle,
            play,
            tally,
            ..
        } = self;
        let mut count = 0;
        let mut before = clock::now();
        for chunk in &mut self.chunks {
            let (sampled, rest) = (chunk[0], &chunk[1..]);
            let found = play.call(handle, sampled);
            let after = clock::now();
            figures::record(&mut tally.latencies, after - before, 1);
            tally.wrong += u64::from(!play.is_right(sampled, found));
            let mut sum = 0_u64;
            for op in rest {
                sum = sum.wrapping_add(play.call(handle, *op));
            }
            black_box(sum);
            count += 1;
            let ended = clock::now();
            if ended >= until {
                self.last = Some(Span {
                    from: before,
                    until: ended,
                });
                break;
            }
            before = ended;
        }
        count
    }

    fn batches(&mut self, until: Instant) -> u64 {
        let mut count = 0;
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
            count += 1;
            if after >= until {
                self.last = Some(Span {
                    from: before,
                    until: after,
                });
                break;
            }
            before = after;
        }
        count
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
    fn of_what_lies_across_an_edge_its_share_counts() {
        let zero = clock::now();
        let span = |from, until| Span {
            from: zero + Duration::from_millis(from),
            until: zero + Duration::from_millis(until),
        };
        let measured = span(100, 200);
        for (chunk, expected) in [
            (span(110, 120), 1.0),
            (span(90, 110), 0.5),
            (span(190, 230), 0.25),
            (span(50, 250), 0.5),
            (span(20, 40), 0.0),
            (span(210, 240), 0.0),
            (span(150, 150), 0.0),
        ] {
            let share = chunk.share_within(measured);
            assert!((share - expected).abs() < 1e-9, "{chunk:?}: {share}");
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
                assert!(!round.latencies.is_empty(), "{what}");
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
                assert!(!round.latencies.is_empty());
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
