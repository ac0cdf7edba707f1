//! `embedded`: maps in this process, called by threads of this process.
//!
//! Rounds alternate over the engines, so that a machine that gets slower gets slower for all.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;

use self::engines::EngineName;
use self::measure::{Plan, Subject};
use self::workload::{KEYS_MAX, SEQUENCE_OPS, VALUE_BYTES};
use crate::environment::{Common, cores, describe};
use crate::figures::{LatencyNs, Spread, latency_histogram};
use crate::table::{Table, millions, optional, show};

pub(crate) mod engines;
pub(crate) mod measure;
mod workload;

/// Most operations in a batch: a prepared sequence holds hundreds of such batches.
const BATCH_MAX: usize = 4_096;
const _: () = assert!(BATCH_MAX < SEQUENCE_OPS);
/// Most threads: far beyond the cores of any machine this is meant for.
const THREADS_MAX: usize = 256;

/// What people use where they need a shared map.
const USUAL: [EngineName; 3] = [EngineName::Striped, EngineName::Dashmap, EngineName::Papaya];

/// Compare maps inside one process.
///
/// All engines get the same keys (u64) in the same order, the same 64-byte values and the same
/// hash function, and every read copies the whole value out. The figures:
///
///   Mop/s   million operations per second, all threads together: the median of the rounds, with
///           the slowest and the fastest round beside it. Two engines whose ranges overlap are
///           not different.
///   p50 ..  how long one call took, from one histogram over all rounds. With --batch 1 every
///           64th call is timed; with larger batches the time is that of a whole batch.
///           Each includes about 20 ns for reading the clock.
///   x ..    operations relative to DashMap, and to the best of striped, dashmap and papaya (what
///           people use), of those that were measured in this run
///   wrong   sampled reads that did not return their key's value. Must be 0.
///
/// Engines without batches (all but striped-grouped; papaya holds one guard over a batch) run a
/// batch as a loop of single operations: that is all their interface offers. striped-grouped shows
/// what grouping alone gains on locks.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Embedded {
    /// Engines to compare
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values = [
            "mutex", "striped", "striped-tuned", "striped-grouped", "dashmap", "papaya",
        ]
    )]
    engines: Vec<EngineName>,
    /// Keys loaded, and asked for with equal probability
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX),
    )]
    keys: u64,
    /// Threads that call at the same time [default: the cores of this machine]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Share of reads; the rest overwrites
    #[arg(long, default_value_t = 95, value_parser = clap::value_parser!(u8).range(0..=100))]
    read_percent: u8,
    /// Operations per call, one table for each of the list
    #[arg(long, value_delimiter = ',', default_value = "1")]
    batch: Vec<NonZeroUsize>,
    /// Parts of the divided maps, each of the list measured: a power of two, or 0 for the
    /// engine's own choice. Engines that are not divided ignore it
    #[arg(long, value_delimiter = ',', default_value = "0")]
    shards: Vec<usize>,
    /// Rounds over all engines
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Milliseconds measured per engine, batch size and round
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    millis: u64,
    /// Milliseconds of the same work before each measurement
    #[arg(long, default_value_t = 100)]
    warm_up_millis: u64,
    #[command(flatten)]
    common: Common,
}

/// One line of the table, with every round.
#[derive(Debug, Serialize)]
struct Outcome {
    engine: &'static str,
    threads: usize,
    batch: usize,
    keys: u64,
    value_bytes: usize,
    read_percent: u8,
    distribution: &'static str,
    shards: Option<usize>,
    ops_per_s: f64,
    ops_per_s_min: f64,
    ops_per_s_max: f64,
    rounds_ops_per_s: Vec<f64>,
    #[serde(flatten)]
    latency: LatencyNs,
    wrong: u64,
}

/// An engine, loaded, with what it has shown so far.
struct Candidate {
    name: EngineName,
    map: Box<dyn Subject>,
    rates: Vec<f64>,
    latencies: Histogram<u64>,
    wrong: u64,
}

impl Embedded {
    /// Runs the comparison and prints it.
    ///
    /// # Errors
    /// An option that an engine cannot take, a thread that did not start, an unwritable file.
    pub(crate) fn run(&self) -> Result<()> {
        let threads = self.threads.map_or_else(cores, NonZeroUsize::get);
        ensure!(
            threads <= THREADS_MAX,
            "--threads {threads}: at most {THREADS_MAX}"
        );
        for batch in &self.batch {
            ensure!(
                batch.get() <= BATCH_MAX,
                "--batch {batch}: at most {BATCH_MAX}"
            );
        }
        let sequences: Vec<_> = (0..threads)
            .map(|thread| {
                workload::sequence(self.common.seed, thread, self.keys, self.read_percent)
            })
            .collect();
        let mut candidates = self.load()?;
        let mut outcomes = Vec::new();
        for batch in self.batch.iter().map(|batch| batch.get()) {
            let plan = Plan {
                sequences: &sequences,
                batch,
                warm_up: Duration::from_millis(self.warm_up_millis),
                window: Duration::from_millis(self.millis),
            };
            for round in 1..=self.rounds {
                eprintln!("batch {batch}: round {round} of {}", self.rounds);
                for candidate in &mut candidates {
                    candidate.round(plan)?;
                }
            }
            let from = outcomes.len();
            for candidate in &mut candidates {
                outcomes.push(self.outcome(candidate, threads, batch)?);
            }
            show(&self.text(&outcomes[from..], threads, batch))?;
        }
        self.common.save("embedded", &outcomes)
    }

    fn load(&self) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        for &name in &self.engines {
            let divisions = if name.has_shards() {
                self.shards.as_slice()
            } else {
                &[0]
            };
            for &shards in divisions {
                eprintln!("load {}", name.label());
                let map = engines::open(name, NonZeroUsize::new(shards))?;
                map.load(self.keys);
                candidates.push(Candidate {
                    name,
                    map,
                    rates: Vec::new(),
                    latencies: latency_histogram()?,
                    wrong: 0,
                });
            }
        }
        Ok(candidates)
    }

    /// Takes what the candidate has shown and leaves it ready for the next point.
    fn outcome(&self, candidate: &mut Candidate, threads: usize, batch: usize) -> Result<Outcome> {
        let rates = std::mem::take(&mut candidate.rates);
        let latencies = std::mem::replace(&mut candidate.latencies, latency_histogram()?);
        let spread = Spread::of(rates.iter().copied());
        Ok(Outcome {
            engine: candidate.name.label(),
            threads,
            batch,
            keys: self.keys,
            value_bytes: VALUE_BYTES,
            read_percent: self.read_percent,
            distribution: "uniform",
            shards: candidate.map.shards(),
            ops_per_s: spread.median,
            ops_per_s_min: spread.min,
            ops_per_s_max: spread.max,
            rounds_ops_per_s: rates,
            latency: LatencyNs::of(&latencies),
            wrong: std::mem::take(&mut candidate.wrong),
        })
    }

    fn text(&self, outcomes: &[Outcome], threads: usize, batch: usize) -> String {
        let mut table = Table::new([
            "engine",
            "shards",
            "Mop/s",
            "min",
            "max",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "max us",
            "wrong",
            "x dashmap",
            "x best",
        ]);
        let dashmap = best_of(outcomes, &[EngineName::Dashmap]);
        let usual = best_of(outcomes, &USUAL);
        for outcome in outcomes {
            let micros = |nanos: u64| format!("{:.2}", nanos as f64 / 1_000.0);
            table.row([
                outcome.engine.to_owned(),
                outcome
                    .shards
                    .map_or_else(|| "-".to_owned(), |count| count.to_string()),
                millions(outcome.ops_per_s),
                millions(outcome.ops_per_s_min),
                millions(outcome.ops_per_s_max),
                micros(outcome.latency.p50_ns),
                micros(outcome.latency.p99_ns),
                micros(outcome.latency.p999_ns),
                micros(outcome.latency.max_ns),
                outcome.wrong.to_string(),
                optional(dashmap.map(|other| outcome.ops_per_s / other), 2),
                optional(usual.map(|other| outcome.ops_per_s / other), 2),
            ]);
        }
        format!(
            "{}\n{} keys, {VALUE_BYTES}-byte values, {} % reads, uniform, {threads} threads, \
             batch {batch}, {} rounds of {} ms\n\n{}",
            describe(),
            self.keys,
            self.read_percent,
            self.rounds,
            self.millis,
            table.text(),
        )
    }
}

impl Candidate {
    fn round(&mut self, plan: Plan<'_>) -> Result<()> {
        let round = self.map.round(plan)?;
        self.rates.push(round.ops_per_s);
        self.latencies += round.latencies;
        self.wrong += round.wrong;
        Ok(())
    }
}

/// The highest median among the engines named, if any of them was measured.
fn best_of(outcomes: &[Outcome], names: &[EngineName]) -> Option<f64> {
    outcomes
        .iter()
        .filter(|outcome| names.iter().any(|name| name.label() == outcome.engine))
        .map(|outcome| outcome.ops_per_s)
        .max_by(f64::total_cmp)
}
