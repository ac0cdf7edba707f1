//! The rows of `durable`: the disk, lines, and what was asked of them.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::Row;

/// A row of `durable`.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(in crate::report) enum DurableRow {
    Disk(DurableDisk),
    Line(Box<DurableLine>),
    Bar(DurableBar),
}

/// Median, smallest and largest of the rounds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::report) struct Spread {
    pub(in crate::report) median: f64,
    pub(in crate::report) min: f64,
    pub(in crate::report) max: f64,
}

/// The disk of `durable`.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::report) struct DurableDisk {
    pub(in crate::report) file_system: String,
    pub(in crate::report) sync_us: Spread,
}

/// Something measured by `durable`.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::report) struct DurableLine {
    pub(in crate::report) part: String,
    pub(in crate::report) who: String,
    #[serde(default)]
    pub(in crate::report) version: String,
    pub(in crate::report) what: String,
    pub(in crate::report) clients: u64,
    pub(in crate::report) pipeline: u64,
    pub(in crate::report) window_us: Option<u64>,
    pub(in crate::report) ops_per_s: Option<Spread>,
    pub(in crate::report) latency: Option<DurableLatency>,
    pub(in crate::report) cpu_us_per_op: Option<Spread>,
    pub(in crate::report) memory_mb: Option<Spread>,
    pub(in crate::report) seconds: Option<Spread>,
    #[serde(default)]
    pub(in crate::report) wrong: u64,
}

/// Percentiles of a line of `durable`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::report) struct DurableLatency {
    pub(in crate::report) p50_us: f64,
    pub(in crate::report) p99_us: f64,
    pub(in crate::report) p999_us: f64,
}

/// Something asked by `durable`.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::report) struct DurableBar {
    pub(in crate::report) of: String,
    pub(in crate::report) figure: String,
    pub(in crate::report) against: String,
    pub(in crate::report) asked: Option<f64>,
    pub(in crate::report) ratio: Spread,
    pub(in crate::report) reached: Option<bool>,
}

impl Row for DurableRow {
    fn amounts(&self) -> Vec<(&'static str, Option<f64>)> {
        let least = |spread: Option<Spread>| spread.map(|spread| spread.min);
        match self {
            Self::Disk(disk) => vec![("sync_us", Some(disk.sync_us.min))],
            Self::Bar(bar) => vec![("ratio", Some(bar.ratio.min)), ("asked", bar.asked)],
            Self::Line(line) => vec![
                ("ops_per_s", least(line.ops_per_s)),
                ("latency", line.latency.map(|latency| latency.p50_us)),
                ("cpu_us_per_op", least(line.cpu_us_per_op)),
                ("memory_mb", least(line.memory_mb)),
                ("seconds", least(line.seconds)),
            ],
        }
    }

    fn check(&self) -> Result<()> {
        let Self::Line(line) = self else {
            return Ok(());
        };
        for spread in [line.ops_per_s, line.seconds].into_iter().flatten() {
            ensure!(
                spread.min <= spread.median && spread.median <= spread.max,
                "{}: {} is not between {} and {}",
                line.part,
                spread.median,
                spread.min,
                spread.max
            );
        }
        Ok(())
    }
}
