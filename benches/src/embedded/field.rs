//! The maps of one comparison, loaded, and asked in turn.
//!
//! 1. Rounds alternate over all candidates, so that a machine that gets slower gets slower for all.
//! 2. All candidates are asked the same sequences.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use super::engines::{self, EngineName, Settings};
use super::measure::{Plan, Subject};
use super::outcome::Outcome;
use super::workload::{self, Op, VALUE_BYTES};
use crate::figures::{LatencyNs, Spread, latency_histogram};

/// What all candidates are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) keys: u64,
    pub(super) threads: usize,
    pub(super) read_percent: u8,
    pub(super) seed: u64,
}

/// How often and how long they are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) rounds: u32,
    pub(super) warm_up: Duration,
    pub(super) window: Duration,
}

/// An engine, loaded, with what it has shown so far.
struct Candidate {
    name: EngineName,
    map: Box<dyn Subject>,
    rates: Vec<f64>,
    latencies: Histogram<u64>,
    wrong: u64,
}

/// All candidates, and the questions.
pub(super) struct Field {
    workload: Workload,
    sequences: Vec<Vec<Op>>,
    candidates: Vec<Candidate>,
}

impl Field {
    /// Opens and loads the engines.
    ///
    /// # Errors
    /// An engine cannot be divided as asked, or did not start.
    pub(super) fn load(
        workload: Workload,
        entrants: impl IntoIterator<Item = (EngineName, Settings)>,
    ) -> Result<Self> {
        let Workload {
            keys,
            threads,
            read_percent,
            seed,
        } = workload;
        let sequences = (0..threads)
            .map(|thread| workload::sequence(seed, thread, keys, read_percent))
            .collect();
        let mut candidates = Vec::new();
        for (name, settings) in entrants {
            eprintln!("load {}", name.label());
            let map = engines::open(name, settings)?;
            map.load(keys);
            candidates.push(Candidate {
                name,
                map,
                rates: Vec::new(),
                latencies: latency_histogram()?,
                wrong: 0,
            });
        }
        Ok(Self {
            workload,
            sequences,
            candidates,
        })
    }

    /// Runs all rounds with batches of one size.
    ///
    /// # Errors
    /// A thread did not start, or panicked.
    pub(super) fn measure(&mut self, batch: usize, pace: Pace) -> Result<Vec<Outcome>> {
        let plan = Plan {
            sequences: &self.sequences,
            batch,
            warm_up: pace.warm_up,
            window: pace.window,
        };
        for round in 1..=pace.rounds {
            let keys = self.workload.keys;
            eprintln!(
                "{keys} keys, batch {batch}: round {round} of {}",
                pace.rounds
            );
            for candidate in &mut self.candidates {
                candidate.round(plan)?;
            }
        }
        let workload = self.workload;
        self.candidates
            .iter_mut()
            .map(|candidate| candidate.outcome(workload, batch))
            .collect()
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

    /// Takes what the candidate has shown and leaves it ready for the next point.
    fn outcome(&mut self, workload: Workload, batch: usize) -> Result<Outcome> {
        let rates = std::mem::take(&mut self.rates);
        let latencies = std::mem::replace(&mut self.latencies, latency_histogram()?);
        let spread = Spread::of(rates.iter().copied());
        Ok(Outcome {
            engine: self.name.label(),
            threads: workload.threads,
            batch,
            keys: workload.keys,
            value_bytes: VALUE_BYTES,
            read_percent: workload.read_percent,
            distribution: "uniform",
            shards: self.map.shards(),
            ops_per_s: spread.median,
            ops_per_s_min: spread.min,
            ops_per_s_max: spread.max,
            rounds_ops_per_s: rates,
            latency: LatencyNs::of(&latencies),
            wrong: std::mem::take(&mut self.wrong),
        })
    }
}
