//! What was found: a line for each thing at each point, and what was asked of ours.
//!
//! 1. A ratio is made inside a round; what is printed is the median of the rounds' ratios.
//! 2. Percentiles of a line come from one histogram of all rounds.

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::scratch::Disk;
use crate::figures::{LatencyNs, LatencyUs, Spread, latency_histogram};
use crate::server::process::CpuTime;

/// The parts of this command, by their names on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Part {
    /// Writes of a library, each on the disk when it returns: ours, redb, fjall; 1 and 8 threads
    Embedded,
    /// Servers that sync before they answer, and servers that sync once a second
    Wire,
    /// Our server with write windows of 0 to 1 ms, 1 to 50 connections
    Window,
    /// The load of many connections without and during snapshots
    Snapshot,
    /// From the start of a process to its first answer, with a snapshot and with a log to read
    Recovery,
}

impl Part {
    pub(super) const ALL: [Self; 5] = [
        Self::Embedded,
        Self::Wire,
        Self::Window,
        Self::Snapshot,
        Self::Recovery,
    ];
}

/// A figure of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Figure {
    OpsPerS,
    P99Us,
    CpuUsPerOp,
    MemoryMb,
    Seconds,
}

impl Figure {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::OpsPerS => "op/s",
            Self::P99Us => "p99",
            Self::CpuUsPerOp => "CPU per op",
            Self::MemoryMb => "memory",
            Self::Seconds => "time",
        }
    }

    /// Whether more is better.
    pub(super) const fn more_is_better(self) -> bool {
        match self {
            Self::OpsPerS => true,
            Self::P99Us | Self::CpuUsPerOp | Self::MemoryMb | Self::Seconds => false,
        }
    }
}

/// What one round showed; what a part does not measure is absent.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Round {
    pub(super) ops_per_s: Option<f64>,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) cpu_us_per_op: Option<f64>,
    /// Resident, at the highest.
    pub(super) memory_mb: Option<f64>,
    pub(super) seconds: Option<f64>,
    /// Snapshots that were finished.
    pub(super) snapshots: Option<u32>,
}

impl Round {
    fn figure(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::OpsPerS => self.ops_per_s,
            Figure::P99Us => self.p99_us,
            Figure::CpuUsPerOp => self.cpu_us_per_op,
            Figure::MemoryMb => self.memory_mb,
            Figure::Seconds => self.seconds,
        }
    }

    /// Of so many operations in so much time.
    pub(super) fn of(ops: u64, seconds: f64, cpu: CpuTime, latencies: &Histogram<u64>) -> Self {
        let latency = LatencyUs::from(LatencyNs::of(latencies));
        Self {
            ops_per_s: Some(ops as f64 / seconds),
            p50_us: Some(latency.p50_us),
            p99_us: Some(latency.p99_us),
            cpu_us_per_op: Some(cpu.total_us() / ops.max(1) as f64),
            ..Self::default()
        }
    }
}

/// What is measured at one place of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Case {
    pub(super) part: Part,
    /// An engine, or a server.
    pub(super) who: &'static str,
    pub(super) version: String,
    /// What was promised, or what was under way.
    pub(super) what: String,
    /// Threads, or connections.
    pub(super) clients: usize,
    pub(super) pipeline: usize,
    pub(super) window_us: Option<u64>,
    /// Keys, or records.
    pub(super) entries: u64,
    pub(super) value_bytes: usize,
}

/// The rounds of one case.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) case: Case,
    rounds: Vec<Round>,
    latencies: Histogram<u64>,
    pub(super) wrong: u64,
}

/// A line as it is written.
#[derive(Debug, Serialize)]
struct Row<'a> {
    kind: &'static str,
    #[serde(flatten)]
    case: &'a Case,
    ops_per_s: Option<Spread>,
    latency: Option<LatencyUs>,
    cpu_us_per_op: Option<Spread>,
    memory_mb: Option<Spread>,
    seconds: Option<Spread>,
    wrong: u64,
    rounds: &'a [Round],
}

impl Line {
    pub(super) fn new(case: Case) -> Result<Self> {
        Ok(Self {
            case,
            rounds: Vec::new(),
            latencies: latency_histogram()?,
            wrong: 0,
        })
    }

    pub(super) fn add(&mut self, round: Round, latencies: Option<Histogram<u64>>, wrong: u64) {
        self.rounds.push(round);
        if let Some(latencies) = latencies {
            self.latencies += latencies;
        }
        self.wrong += wrong;
    }

    pub(super) const fn latencies(&self) -> &Histogram<u64> {
        &self.latencies
    }

    /// Of the rounds in which it was measured.
    pub(super) fn spread(&self, figure: Figure) -> Option<Spread> {
        let found: Vec<f64> = self
            .rounds
            .iter()
            .filter_map(|round| round.figure(figure))
            .collect();
        (!found.is_empty()).then(|| Spread::of(found))
    }

    /// Of all rounds.
    pub(super) fn latency(&self) -> Option<LatencyUs> {
        (!self.latencies.is_empty()).then(|| LatencyNs::of(&self.latencies).into())
    }

    fn row(&self) -> Row<'_> {
        Row {
            kind: "line",
            case: &self.case,
            ops_per_s: self.spread(Figure::OpsPerS),
            latency: self.latency(),
            cpu_us_per_op: self.spread(Figure::CpuUsPerOp),
            memory_mb: self.spread(Figure::MemoryMb),
            seconds: self.spread(Figure::Seconds),
            wrong: self.wrong,
            rounds: &self.rounds,
        }
    }
}

/// Something asked of a ratio, and what it came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Bar {
    kind: &'static str,
    part: Part,
    /// Whose, and where.
    pub(super) of: String,
    pub(super) figure: Figure,
    pub(super) against: String,
    /// `None` is for comparison only.
    pub(super) asked: Option<f64>,
    pub(super) ratio: Spread,
    pub(super) reached: Option<bool>,
}

impl Bar {
    /// The ratio of `figure` of `ours` to the best of `others`; `None` where one was not measured.
    pub(super) fn of(
        of: String,
        figure: Figure,
        ours: &Line,
        against: &str,
        others: &[&Line],
        asked: Option<f64>,
    ) -> Option<Self> {
        let best = |round: usize| {
            let found = others
                .iter()
                .filter_map(|line| line.rounds.get(round)?.figure(figure));
            if figure.more_is_better() {
                found.reduce(f64::max)
            } else {
                found.reduce(f64::min)
            }
        };
        let ratios: Vec<f64> = ours
            .rounds
            .iter()
            .enumerate()
            .filter_map(|(index, round)| Some(round.figure(figure)? / best(index)?))
            .filter(|ratio| ratio.is_finite())
            .collect();
        if ratios.is_empty() {
            return None;
        }
        let ratio = Spread::of(ratios);
        let reached = asked.map(|asked| {
            if figure.more_is_better() {
                ratio.median >= asked
            } else {
                ratio.median <= asked
            }
        });
        Some(Self {
            kind: "bar",
            part: ours.case.part,
            of,
            figure,
            against: against.to_owned(),
            asked,
            ratio,
            reached,
        })
    }
}

/// A line or a bar, for the file.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Entry<'a> {
    Disk {
        kind: &'static str,
        file_system: &'a str,
        sync_us: Spread,
    },
    Line(LineEntry<'a>),
    Bar(&'a Bar),
}

/// Hides how a line is written.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct LineEntry<'a>(Row<'a>);

impl<'a> From<&'a Disk> for Entry<'a> {
    fn from(disk: &'a Disk) -> Self {
        Self::Disk {
            kind: "disk",
            file_system: &disk.file_system,
            sync_us: disk.sync_us,
        }
    }
}

impl<'a> From<&'a Line> for Entry<'a> {
    fn from(line: &'a Line) -> Self {
        Self::Line(LineEntry(line.row()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(who: &'static str, rounds: &[f64]) -> Line {
        let case = Case {
            part: Part::Recovery,
            who,
            version: String::new(),
            what: "log".to_owned(),
            clients: 1,
            pipeline: 1,
            window_us: None,
            entries: 10,
            value_bytes: 64,
        };
        let mut line = Line::new(case).unwrap();
        for &seconds in rounds {
            let round = Round {
                seconds: Some(seconds),
                ..Round::default()
            };
            line.add(round, None, 0);
        }
        line
    }

    #[test]
    fn a_ratio_is_made_inside_a_round_against_the_best_of_it() {
        let ours = line("shardkeep", &[1.0, 2.0, 3.0]);
        let others = [
            line("redis", &[4.0, 4.0, 4.0]),
            line("valkey", &[2.0, 8.0, 8.0]),
        ];
        let others: Vec<&Line> = others.iter().collect();
        let bar = |asked| {
            let of = "log".to_owned();
            Bar::of(of, Figure::Seconds, &ours, "the best", &others, Some(asked)).unwrap()
        };
        let ratio = bar(0.5).ratio;
        assert_eq!((ratio.min, ratio.median, ratio.max), (0.5, 0.5, 0.75));
        assert_eq!(bar(0.5).reached, Some(true));
        assert_eq!(bar(0.4).reached, Some(false));
        let nothing = Bar::of(String::new(), Figure::P99Us, &ours, "", &others, None);
        assert!(nothing.is_none());
    }

    #[test]
    fn a_line_without_latencies_has_none_in_its_row() {
        let ours = line("shardkeep", &[1.0]);
        let json = serde_json::to_value(Entry::from(&ours)).unwrap();
        assert_eq!(json["kind"], "line");
        assert_eq!(json["seconds"]["median"], 1.0);
        assert!(json["latency"].is_null() && json["ops_per_s"].is_null());
        let table = super::super::tables::table(&[ours]);
        assert!(table.contains("shardkeep") && table.contains("s max"));
        assert!(!table.contains("kop/s"), "{table}");
    }
}
