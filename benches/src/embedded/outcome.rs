//! What a comparison of maps has shown: a line of the table, and of the JSON.

use serde::Serialize;

use super::engines::EngineName;
use super::field::Pace;
use super::workload::VALUE_BYTES;
use crate::environment::describe;
use crate::figures::{LatencyNs, Spread};
use crate::table::{Table, millions, optional};

/// What people use where they need a shared map.
pub(super) const USUAL: [EngineName; 3] =
    [EngineName::Striped, EngineName::Dashmap, EngineName::Papaya];

/// One line of the table, with every round.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) engine: &'static str,
    pub(super) threads: usize,
    pub(super) batch: usize,
    pub(super) keys: u64,
    pub(super) value_bytes: usize,
    pub(super) read_percent: u8,
    pub(super) distribution: &'static str,
    pub(super) shards: Option<usize>,
    pub(super) ops_per_s: f64,
    pub(super) ops_per_s_min: f64,
    pub(super) ops_per_s_max: f64,
    pub(super) rounds_ops_per_s: Vec<f64>,
    #[serde(flatten)]
    pub(super) latency: LatencyNs,
    pub(super) wrong: u64,
}

impl Outcome {
    pub(super) fn is_one_of(&self, names: &[EngineName]) -> bool {
        names.iter().any(|name| name.label() == self.engine)
    }

    /// How this engine compares with another, round by round: what the machine did to one round it
    /// did to both, so this is steadier than the ratio of two medians.
    pub(super) fn against(&self, other: &Self) -> Spread {
        let rounds = self.rounds_ops_per_s.iter().zip(&other.rounds_ops_per_s);
        Spread::of(rounds.map(|(ours, theirs)| ours / theirs))
    }
}

/// The outcome with the highest median among the engines named, if any of them was measured.
pub(super) fn best_of<'o>(outcomes: &'o [Outcome], names: &[EngineName]) -> Option<&'o Outcome> {
    outcomes
        .iter()
        .filter(|outcome| outcome.is_one_of(names))
        .max_by(|one, other| one.ops_per_s.total_cmp(&other.ops_per_s))
}

/// The engines of one point beside each other.
pub(super) fn text(outcomes: &[Outcome], pace: Pace) -> String {
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
        let ratio =
            |other: Option<&Outcome>| optional(other.map(|other| outcome.against(other).median), 2);
        table.row([
            outcome.engine.to_owned(),
            shards(outcome.shards),
            millions(outcome.ops_per_s),
            millions(outcome.ops_per_s_min),
            millions(outcome.ops_per_s_max),
            micros(outcome.latency.p50_ns),
            micros(outcome.latency.p99_ns),
            micros(outcome.latency.p999_ns),
            micros(outcome.latency.max_ns),
            outcome.wrong.to_string(),
            ratio(dashmap),
            ratio(usual),
        ]);
    }
    let asked = outcomes.first().map_or_else(String::new, |outcome| {
        format!(
            "{} keys, {VALUE_BYTES}-byte values, {} % reads, uniform, {} threads, batch {}",
            outcome.keys, outcome.read_percent, outcome.threads, outcome.batch
        )
    });
    format!(
        "{}\n{asked}, {} rounds of {} ms\n\n{}",
        describe(),
        pace.rounds,
        pace.window.as_millis(),
        table.text(),
    )
}

/// A number of parts, or a dash for a map that is not divided or does not tell.
pub(super) fn shards(count: Option<usize>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::figures::latency_histogram;

    pub(crate) fn outcome(
        name: EngineName,
        shards: Option<usize>,
        (keys, batch): (u64, usize),
        rounds: &[f64],
    ) -> Outcome {
        let spread = Spread::of(rounds.iter().copied());
        Outcome {
            engine: name.label(),
            threads: 2,
            batch,
            keys,
            value_bytes: VALUE_BYTES,
            read_percent: 95,
            distribution: "uniform",
            shards,
            ops_per_s: spread.median,
            ops_per_s_min: spread.min,
            ops_per_s_max: spread.max,
            rounds_ops_per_s: rounds.to_vec(),
            latency: LatencyNs::of(&latency_histogram().unwrap()),
            wrong: 0,
        }
    }

    #[test]
    fn a_ratio_compares_what_ran_side_by_side() {
        let point = (1_000, 1);
        // The machine was twice as fast in the last round.
        let slow = outcome(EngineName::Dashmap, None, point, &[10.0, 10.0, 20.0]);
        let fast = outcome(EngineName::OwnersLend, None, point, &[15.0, 11.0, 30.0]);
        let ratio = fast.against(&slow);
        assert_eq!((ratio.median, ratio.min, ratio.max), (1.5, 1.1, 1.5));
    }

    #[test]
    fn the_table_names_its_point_and_compares_with_the_best() {
        let point = (1_000, 64);
        let outcomes = [
            outcome(EngineName::Dashmap, None, point, &[1e6]),
            outcome(EngineName::Papaya, None, point, &[2e6]),
            outcome(EngineName::OwnersLend, Some(64), point, &[3e6]),
        ];
        let pace = Pace {
            rounds: 1,
            warm_up: Duration::ZERO,
            window: Duration::from_millis(7),
        };
        let text = text(&outcomes, pace);
        assert!(text.contains("1000 keys, 64-byte values, 95 % reads, uniform, 2 threads, batch 64, 1 rounds of 7 ms"), "{text}");
        assert!(text.trim_end().ends_with("3.00    1.50"), "{text}");
    }
}
