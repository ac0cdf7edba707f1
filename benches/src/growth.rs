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
use crate::embedded::engines::{self, EngineName, Settings};
use crate::environment::{Common, describe};
use crate::figures::{LatencyNs, Spread, latency_histogram};
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
}

impl Growth {
    /// Runs the comparison and prints it.
    ///
    /// # Errors
    /// A shard count an engine cannot have, an unwritable file.
    pub(crate) fn run(&self) -> Result<()> {
        let mut outcomes = Vec::new();
        for &engine in &self.engines {
            outcomes.push(self.grow(engine)?);
        }
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

    fn grow(&self, engine: EngineName) -> Result<Outcome> {
        let mut shortest = vec![u32::MAX; self.keys as usize];
        let mut rates = Vec::new();
        let mut shards = None;
        for run in 1..=self.runs {
            eprintln!("{}: run {run} of {}", engine.label(), self.runs);
            let map = engines::open(engine, Settings::with_shards(self.shards))?;
            let begun = clock::now();
            map.grow(&mut shortest);
            rates.push(f64::from(self.keys) / (clock::now() - begun).as_secs_f64());
            shards = map.shards();
        }
        let mut latencies = latency_histogram()?;
        for &nanos in &shortest {
            latencies.saturating_record(u64::from(nanos).max(1));
        }
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
        })
    }
}

/// The first of the longest inserts, counted from 1, and its time.
fn longest(shortest: &[u32]) -> (usize, u32) {
    let mut found = (0, 0);
    for (index, &nanos) in shortest.iter().enumerate() {
        if nanos > found.1 {
            found = (index + 1, nanos);
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
}
