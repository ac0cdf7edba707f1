//! What was found: a line for each step, and what is asked of it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::figures::{LatencyNs, LatencyUs, Spread, latency_histogram};
use crate::table::Table;
use crate::wire::flood::{Poured, Tally};

/// What is asked: goodput over capacity, or over that before the shard stood still.
pub(super) const GOODPUT_LEAST: f64 = 0.9;
/// Resident memory over that of a calm server.
pub(super) const MEMORY_MOST: f64 = 1.1;
const MB: f64 = 1e6;

/// One window of one step.
pub(super) struct Step {
    capacity: f64,
    seconds: f64,
    tally: Tally,
    server_us: f64,
    own_us: f64,
    resident: [u64; 3],
    during: Option<During>,
}

/// Goodput around the moment at which a shard stood still, operations per second.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct During {
    pub(super) before: f64,
    pub(super) first_second: f64,
    pub(super) later: f64,
}

impl Step {
    /// Of all groups together.
    pub(super) fn of(poured: &Poured, capacity: f64, window: Duration) -> Result<Self> {
        let mut sum = Tally::new()?;
        poured.tallies.iter().for_each(|tally| sum.add(tally));
        Ok(Self::part(poured, sum, capacity, window, None))
    }

    /// Of one tally.
    pub(super) fn part(
        poured: &Poured,
        tally: Tally,
        capacity: f64,
        window: Duration,
        during: Option<During>,
    ) -> Self {
        Self {
            capacity,
            seconds: window.as_secs_f64(),
            tally,
            server_us: poured.server_cpu.total_us(),
            own_us: poured.own_cpu.total_us(),
            resident: poured.resident,
            during,
        }
    }

    fn rate(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }
}

/// One line of a table, over all rounds.
#[derive(Serialize)]
pub(super) struct Line {
    part: &'static str,
    overload: &'static str,
    /// CLIENT DEADLINE in milliseconds; absent where the default holds.
    patience_ms: Option<u64>,
    /// Times the capacity that was offered.
    factor: f64,
    /// Which connections; of the part `stall` only.
    connections: Option<&'static str>,
    capacity_per_s: Vec<f64>,
    offered_per_s: Vec<f64>,
    goodput_per_s: Vec<f64>,
    goodput_of_capacity: Vec<f64>,
    blocked_per_s: Vec<f64>,
    during: Vec<During>,
    errors: BTreeMap<String, u64>,
    offered: u64,
    wrong: u64,
    unanswered: u64,
    /// From when the bytes were taken by the generator's socket.
    latency_from_taken: Option<LatencyUs>,
    /// From the intended start.
    latency_from_intended: Option<LatencyUs>,
    resident_before_bytes: Vec<u64>,
    resident_highest_bytes: Vec<u64>,
    resident_end_bytes: Vec<u64>,
    server_us_per_op: Vec<f64>,
    generator_us_per_op: Vec<f64>,
    #[serde(skip)]
    from_taken: Histogram<u64>,
    #[serde(skip)]
    from_intended: Histogram<u64>,
}

impl Line {
    pub(super) fn load(
        overload: &'static str,
        patience: Option<Duration>,
        factor: f64,
    ) -> Result<Self> {
        Ok(Self {
            part: "load",
            overload,
            patience_ms: patience.map(|patience| patience.as_millis() as u64),
            factor,
            connections: None,
            capacity_per_s: Vec::new(),
            offered_per_s: Vec::new(),
            goodput_per_s: Vec::new(),
            goodput_of_capacity: Vec::new(),
            blocked_per_s: Vec::new(),
            during: Vec::new(),
            errors: BTreeMap::new(),
            offered: 0,
            wrong: 0,
            unanswered: 0,
            latency_from_taken: None,
            latency_from_intended: None,
            resident_before_bytes: Vec::new(),
            resident_highest_bytes: Vec::new(),
            resident_end_bytes: Vec::new(),
            server_us_per_op: Vec::new(),
            generator_us_per_op: Vec::new(),
            from_taken: latency_histogram()?,
            from_intended: latency_histogram()?,
        })
    }

    pub(super) fn stall(
        connections: &'static str,
        patience: Option<Duration>,
        factor: f64,
    ) -> Result<Self> {
        Ok(Self {
            part: "stall",
            connections: Some(connections),
            ..Self::load("block", patience, factor)?
        })
    }

    /// Adds a round.
    pub(super) fn add(&mut self, step: Step) {
        let tally = &step.tally;
        let served = tally.served.max(1) as f64;
        self.capacity_per_s.push(step.capacity);
        self.offered_per_s.push(step.rate(tally.offered));
        self.goodput_per_s.push(step.rate(tally.served));
        self.goodput_of_capacity
            .push(step.rate(tally.served) / step.capacity);
        self.blocked_per_s.push(step.rate(tally.blocked));
        self.during.extend(step.during);
        for (word, count) in &tally.errors {
            *self.errors.entry(word.clone()).or_default() += count;
        }
        self.offered += tally.offered;
        self.wrong += tally.wrong;
        self.unanswered += tally.unanswered;
        self.from_taken += &tally.from_taken;
        self.from_intended += &tally.from_intended;
        self.latency_from_taken = Some(LatencyNs::of(&self.from_taken).into());
        self.latency_from_intended = Some(LatencyNs::of(&self.from_intended).into());
        let [before, highest, end] = step.resident;
        self.resident_before_bytes.push(before);
        self.resident_highest_bytes.push(highest);
        self.resident_end_bytes.push(end);
        self.server_us_per_op.push(step.server_us / served);
        self.generator_us_per_op.push(step.own_us / served);
    }

    pub(super) const fn factor(&self) -> f64 {
        self.factor
    }

    pub(super) fn of_capacity(&self) -> f64 {
        median(&self.goodput_of_capacity)
    }

    pub(super) fn p99_s(&self) -> f64 {
        LatencyNs::of(&self.from_taken).p99_ns as f64 / 1e9
    }

    pub(super) fn resident_highest(&self) -> f64 {
        median_of(&self.resident_highest_bytes)
    }

    pub(super) fn resident_before(&self) -> f64 {
        median_of(&self.resident_before_bytes)
    }

    /// Goodput while the shard stood still over that before: in the first second, and later.
    pub(super) fn of_before(&self) -> (f64, f64) {
        let ratio = |part: fn(&During) -> f64| {
            Spread::of(self.during.iter().map(|it| part(it) / it.before)).median
        };
        (ratio(|it| it.first_second), ratio(|it| it.later))
    }

    /// What it is about, in a few words.
    pub(super) fn name(&self) -> String {
        let patience = self
            .patience_ms
            .map_or_else(String::new, |ms| format!(", deadline {ms} ms"));
        let connections = self
            .connections
            .map_or_else(String::new, |which| format!(" {which}"));
        format!(
            "{}{connections}{patience}, {} x",
            if self.part == "load" {
                self.overload
            } else {
                "stall"
            },
            self.factor
        )
    }

    fn row(&self) -> Vec<String> {
        let thousands = |values: &[f64]| format!("{:.0}", median(values) / 1e3);
        let percent = |count: u64| 100.0 * count as f64 / self.offered.max(1) as f64;
        let (taken, due) = (
            LatencyNs::of(&self.from_taken),
            LatencyNs::of(&self.from_intended),
        );
        let millis = |nanos: u64| format!("{:.2}", nanos as f64 / 1e6);
        let goodput = Spread::of(self.goodput_per_s.iter().copied());
        let refused: Vec<String> = self
            .errors
            .iter()
            .map(|(word, &count)| format!("{word} {:.2} %", percent(count)))
            .collect();
        let megabytes = |values: &[u64]| format!("{:.0}", median_of(values) / MB);
        vec![
            self.name(),
            thousands(&self.offered_per_s),
            format!(
                "{:.0} ({:.0} to {:.0})",
                goodput.median / 1e3,
                goodput.min / 1e3,
                goodput.max / 1e3
            ),
            if self.during.is_empty() {
                format!("{:.2}", self.of_capacity())
            } else {
                let (first, later) = self.of_before();
                format!("{first:.2}, {later:.2}")
            },
            format!(
                "{:.1} %",
                100.0 * median(&self.blocked_per_s) / median(&self.offered_per_s).max(1.0)
            ),
            if refused.is_empty() {
                "-".to_owned()
            } else {
                refused.join(", ")
            },
            millis(taken.p50_ns),
            millis(taken.p99_ns),
            millis(taken.p999_ns),
            millis(due.p99_ns),
            format!(
                "{}, {}, {}",
                megabytes(&self.resident_before_bytes),
                megabytes(&self.resident_highest_bytes),
                megabytes(&self.resident_end_bytes)
            ),
            format!("{:.2}", median(&self.server_us_per_op)),
            format!("{:.2}", median(&self.generator_us_per_op)),
            (self.wrong + self.unanswered).to_string(),
        ]
    }
}

fn median(values: &[f64]) -> f64 {
    Spread::of(values.iter().copied()).median
}

fn median_of(values: &[u64]) -> f64 {
    Spread::of(values.iter().map(|&value| value as f64)).median
}

/// The table of some lines.
pub(super) fn table(lines: &[Line]) -> String {
    let stalled = lines.iter().any(|line| !line.during.is_empty());
    let mut table = Table::new([
        "load",
        "offered",
        "goodput",
        if stalled {
            "of before: 1st s, later"
        } else {
            "of capacity"
        },
        "blocked",
        "refused",
        "p50",
        "p99",
        "p99.9",
        "due p99",
        "RSS MB",
        "cpu us",
        "gen us",
        "wrong",
    ]);
    for line in lines {
        table.row(line.row());
    }
    table.text()
}

/// Something that is asked of a line.
#[derive(Serialize)]
pub(super) struct Bar {
    what: String,
    at_least: Option<f64>,
    at_most: Option<f64>,
    reached: f64,
}

impl Bar {
    pub(super) fn at_least(what: String, asked: f64, reached: f64) -> Self {
        Self {
            what,
            at_least: Some(asked),
            at_most: None,
            reached,
        }
    }

    pub(super) fn at_most(what: String, asked: f64, reached: f64) -> Self {
        Self {
            what,
            at_least: None,
            at_most: Some(asked),
            reached,
        }
    }

    fn is_met(&self) -> bool {
        self.at_least.is_none_or(|least| self.reached >= least)
            && self.at_most.is_none_or(|most| self.reached <= most)
    }
}

/// The table of what is asked.
pub(super) fn bars(bars: &[Bar]) -> String {
    let mut table = Table::new(["asked", "", "reached", ""]);
    for bar in bars {
        let asked = match (bar.at_least, bar.at_most) {
            (Some(least), _) => format!(">= {least}"),
            (None, Some(most)) => format!("<= {most}"),
            (None, None) => String::new(),
        };
        table.row([
            bar.what.clone(),
            asked,
            format!("{:.3}", bar.reached),
            if bar.is_met() { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    table.text()
}

/// What stands in the JSON file.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Entry<'a> {
    Line(&'a Line),
    Bar(&'a Bar),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_at_what_is_asked_and_not_beyond() {
        let met = |reached| Bar::at_least(String::new(), 0.9, reached).is_met();
        assert!(met(0.9) && !met(0.89));
        let met = |reached| Bar::at_most(String::new(), 1.1, reached).is_met();
        assert!(met(1.1) && !met(1.11));
    }

    #[test]
    fn a_line_without_rounds_can_be_shown() {
        let line = Line::load("block", Some(Duration::from_millis(50)), 2.0).unwrap();
        assert_eq!(line.name(), "block, deadline 50 ms, 2 x");
        assert!(table(&[line]).contains("of capacity"));
    }
}
