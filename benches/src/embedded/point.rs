//! One point of the comparison: everything that is asked of all engines alike.
//!
//! 1. A point is a value; it knows no engine and no clock.
//! 2. [`Point::check`] lets through only what can be carried out.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::value::{KEYS_MAX, VALUE_BYTES, VALUE_BYTES_ALL};
use super::workload::{SEQUENCE_OPS, Style, Workload};
use crate::keys::Distribution;

/// Most operations in a batch: a prepared sequence holds hundreds of such batches.
const BATCH_MAX: usize = 4_096;
const _: () = assert!(BATCH_MAX < SEQUENCE_OPS);
/// Most threads: far beyond the cores of any machine this is meant for.
const THREADS_MAX: usize = 256;

/// Which line of the suite a result belongs to: what differs from the base point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Axis {
    Base,
    Batch,
    ReadPercent,
    Distribution,
    Threads,
    Workload,
    Keys,
    ValueBytes,
    Shards,
    Window,
    /// No line: a point that was asked for by itself.
    Point,
}

impl Axis {
    /// As in results.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Batch => "batch",
            Self::ReadPercent => "read-percent",
            Self::Distribution => "distribution",
            Self::Threads => "threads",
            Self::Workload => "workload",
            Self::Keys => "keys",
            Self::ValueBytes => "value-bytes",
            Self::Shards => "shards",
            Self::Window => "window",
            Self::Point => "point",
        }
    }
}

/// What all engines are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) workload: Workload,
    pub(super) keys: u64,
    pub(super) value_bytes: usize,
    pub(super) threads: usize,
    /// Share of reads; follows from the workload where that has one.
    pub(super) read_percent: u8,
    /// Follows from the workload where that has one.
    pub(super) distribution: Distribution,
    pub(super) batch: usize,
}

impl Point {
    /// What the others differ from, one axis at a time.
    pub(super) const BASE: Self = Self {
        workload: Workload::ReadsAndWrites,
        keys: 1_000_000,
        value_bytes: VALUE_BYTES,
        threads: 2,
        read_percent: 95,
        distribution: Distribution::Uniform,
        batch: 1,
    };

    /// The base point with another workload, and with what that decides.
    pub(super) fn of(workload: Workload) -> Self {
        let base = Self::BASE;
        Self {
            workload,
            read_percent: workload.read_percent().unwrap_or(base.read_percent),
            distribution: workload.distribution().unwrap_or(base.distribution),
            ..base
        }
    }

    /// Whether this can be carried out.
    ///
    /// # Errors
    /// The first option that cannot, by name, with its limit.
    pub(super) fn check(&self) -> Result<()> {
        let workload = self.workload.label();
        ensure!(
            (1..=KEYS_MAX).contains(&self.keys),
            "--keys {}: 1 to {KEYS_MAX}",
            self.keys
        );
        ensure!(
            VALUE_BYTES_ALL.contains(&self.value_bytes),
            "--value-bytes {}: one of {VALUE_BYTES_ALL:?}",
            self.value_bytes
        );
        ensure!(
            (1..=THREADS_MAX).contains(&self.threads),
            "--threads {}: 1 to {THREADS_MAX}",
            self.threads
        );
        ensure!(
            (1..=BATCH_MAX).contains(&self.batch),
            "--batch {}: 1 to {BATCH_MAX}",
            self.batch
        );
        match self.workload.style() {
            Style::Mix => {}
            Style::Change | Style::Transfer | Style::Latest => ensure!(
                self.batch == 1,
                "--batch {}: {workload} runs single operations only",
                self.batch
            ),
        }
        ensure!(
            self.workload != Workload::Transfer || self.keys >= 2,
            "--keys {}: {workload} needs 2 keys at least",
            self.keys
        );
        Ok(())
    }

    /// The name of its distribution: where newer keys are asked for more often, that.
    pub(super) const fn distribution_label(&self) -> &'static str {
        match self.workload.style() {
            Style::Mix | Style::Change | Style::Transfer => self.distribution.label(),
            Style::Latest => "latest",
        }
    }

    /// Whether two points are asked the same sequences.
    pub(super) fn asks_like(&self, other: &Self) -> bool {
        let sequence = |point: &Self| Self {
            value_bytes: VALUE_BYTES,
            batch: 1,
            ..*point
        };
        sequence(self) == sequence(other)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.workload {
            Workload::ReadsAndWrites => {}
            Workload::Counter
            | Workload::Transfer
            | Workload::YcsbA
            | Workload::YcsbB
            | Workload::YcsbC
            | Workload::YcsbD
            | Workload::YcsbF => write!(formatter, "{}, ", self.workload.label())?,
        }
        write!(
            formatter,
            "{} keys, {}-byte values, {} % reads, {}, {} threads, batch {}",
            self.keys,
            self.value_bytes,
            self.read_percent,
            self.distribution_label(),
            self.threads,
            self.batch
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_by_all_that_was_asked() {
        for (workload, expected) in [
            (
                Workload::ReadsAndWrites,
                "1000000 keys, 64-byte values, 95 % reads, uniform, 2 threads, batch 1",
            ),
            (
                Workload::YcsbD,
                "ycsb-d, 1000000 keys, 64-byte values, 95 % reads, latest, 2 threads, batch 1",
            ),
        ] {
            assert_eq!(Point::of(workload).to_string(), expected);
        }
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused_by_name() {
        let base = Point::BASE;
        for (point, expected) in [
            (Point { keys: 0, ..base }, "--keys 0: 1 to 134217728"),
            (
                Point {
                    value_bytes: 8,
                    ..base
                },
                "--value-bytes 8: one of [16, 64, 256, 4096]",
            ),
            (
                Point {
                    threads: 257,
                    ..base
                },
                "--threads 257: 1 to 256",
            ),
            (
                Point {
                    batch: 5_000,
                    ..base
                },
                "--batch 5000: 1 to 4096",
            ),
            (
                Point {
                    batch: 64,
                    ..Point::of(Workload::Counter)
                },
                "--batch 64: counter runs single operations only",
            ),
            (
                Point {
                    keys: 1,
                    ..Point::of(Workload::Transfer)
                },
                "--keys 1: transfer needs 2 keys at least",
            ),
        ] {
            assert_eq!(point.check().unwrap_err().to_string(), expected);
        }
        assert!(base.check().is_ok());
    }

    #[test]
    fn batches_and_sizes_are_asked_the_same_keys() {
        let base = Point::BASE;
        assert!(base.asks_like(&Point {
            batch: 512,
            value_bytes: 16,
            ..base
        }));
        assert!(!base.asks_like(&Point { threads: 4, ..base }));
    }

    #[test]
    fn json_names_an_axis_as_its_label_does() {
        for axis in [Axis::Base, Axis::ReadPercent, Axis::ValueBytes, Axis::Point] {
            assert_eq!(serde_json::to_value(axis).unwrap(), axis.label());
        }
    }
}
