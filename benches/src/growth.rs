//! `growth`: how long the longest insert stops its caller while a map grows.
//!
//! 1. All runs insert the same keys in the same order into an empty map of the same hash, so
//!    growth strikes at the same insert each time.
//! 2. Per insert the *shortest* time over the runs counts: what the machine did by chance falls
//!    out, what the map does always stays.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::clock;
use crate::distribution::Curve;
use crate::embedded::engines::{self, EngineName, Settings};
use crate::environment::{Common, describe};
use crate::figures::{LatencyNs, Spread, latency_histogram};
use crate::progress::Progress;
use crate::table::{Table, show};

/// Show the longest pause of an insert while a map grows from empty.
///
/// One thread inserts the same keys in the same order, --runs times, each time into a new map.
/// Of each insert the shortest time over the runs is kept, so that chance (an interrupt, another
/// process) falls out and what the map always does stays. The figures:
///
///   Minsert/s  inserts per million and second, median of the runs, including growth
///   p50 ..     percentiles over those inserts (about 20 ns of each are the clock)
///   max        the longest insert: how long a caller stands still when the map grows
///   at         which insert that was
///
/// --json also has longest_so_far: every insert that took longer than all before it, so that a plot
/// shows how the longest pause grows with the map.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Growth {
    /// Engines to compare
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["mutex", "dashmap", "papaya", "owners-lend"])]
    engines: Vec<EngineName>,
    /// Inserts
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// Identical runs
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Parts of the divided maps: a power of two, or 0 for the engine's own choice
    #[arg(long, default_value_t = 0)]
    shards: usize,
    #[command(flatten)]
    common: Common,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Outcome {
    engine: &'static str,
    keys: u32,
    runs: u32,
    shards: Option<usize>,
    inserts_per_s: f64,
    #[serde(flatten)]
    latency: LatencyNs,
    /// The longest insert, exactly (a histogram rounds).
    longest_ns: u32,
    longest_at: usize,
    /// Every insert that took longer than all before it: its number, its nanoseconds.
    longest_so_far: Vec<(usize, u32)>,
    percentile_curve_ns: Curve,
}

impl Growth {
    /// Runs the comparison and prints it.
    ///
    /// # Errors
    /// A shard count an engine cannot have, an unwritable file.
    pub(crate) fn run(&self) -> Result<()> {
        let mut outcomes = Vec::new();
        let progress = Progress::new(self.engines.len() as u64 * u64::from(self.runs));
        for &engine in &self.engines {
            outcomes.push(self.grow(engine, &progress)?);
        }
        drop(progress);
        let mut table = Table::new([
            "engine",
            "Minsert/s",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "p99.99 us",
            "max us",
            "at",
        ]);
        for outcome in &outcomes {
            let micros = |nanos: u64| format!("{:.2}", nanos as f64 / 1_000.0);
            table.row([
                outcome.engine.to_owned(),
                format!("{:.2}", outcome.inserts_per_s / 1e6),
                micros(outcome.latency.p50_ns),
                micros(outcome.latency.p99_ns),
                micros(outcome.latency.p999_ns),
                micros(outcome.latency.p9999_ns),
                micros(u64::from(outcome.longest_ns)),
                outcome.longest_at.to_string(),
            ]);
        }
        show(&format!(
            "{}\nfrom empty to {} keys, one thread, shortest of {} runs per insert\n\n{}",
            describe(),
            self.keys,
            self.runs,
            table.text(),
        ))?;
        self.common.save("growth", &outcomes, &[])
    }

    fn grow(&self, engine: EngineName, progress: &Progress) -> Result<Outcome> {
        let mut shortest = vec![u32::MAX; self.keys as usize];
        let mut rates = Vec::new();
        let mut shards = None;
        for run in 1..=self.runs {
            progress.say(&format!("{}: run {run} of {}", engine.label(), self.runs));
            let map = engines::open(engine, Settings::with_shards(self.shards))?;
            let begun = clock::now();
            map.grow(&mut shortest);
            rates.push(f64::from(self.keys) / (clock::now() - begun).as_secs_f64());
            shards = map.shards();
            progress.step();
        }
        let mut latencies = latency_histogram()?;
        for &nanos in &shortest {
            latencies.saturating_record(u64::from(nanos).max(1));
        }
        let name = format!("growth-{}", engine.label());
        self.common.save_distribution(&name, &latencies)?;
        let (longest_at, longest_ns) = longest(&shortest);
        Ok(Outcome {
            engine: engine.label(),
            keys: self.keys,
            runs: self.runs,
            shards,
            inserts_per_s: Spread::of(rates).median,
            latency: LatencyNs::of(&latencies),
            longest_ns,
            longest_at,
            longest_so_far: longest_so_far(&shortest),
            percentile_curve_ns: Curve::of(&latencies),
        })
    }
}

/// The first of the longest inserts, counted from 1, and its time.
fn longest(shortest: &[u32]) -> (usize, u32) {
    longest_so_far(shortest).last().copied().unwrap_or_default()
}

/// Every insert that took longer than all before it, counted from 1, and its time.
fn longest_so_far(shortest: &[u32]) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    let mut longest = 0;
    for (index, &nanos) in shortest.iter().enumerate() {
        if nanos > longest {
            longest = nanos;
            found.push((index + 1, nanos));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_insert_is_named_by_its_number() {
        assert_eq!(longest(&[5, 90, 7, 90]), (2, 90));
        assert_eq!(longest(&[]), (0, 0));
    }

    #[test]
    fn the_longest_so_far_only_rises() {
        let found = longest_so_far(&[5, 5, 3, 90, 7, 90, 91]);
        assert_eq!(found, [(1, 5), (4, 90), (7, 91)]);
        assert!(longest_so_far(&[]).is_empty());
    }
}
