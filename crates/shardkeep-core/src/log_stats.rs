//! What the log has seen.

use std::time::Duration;

use crate::histogram::{Distribution, Histogram};
use crate::stats::EventCount;

#[derive(Default)]
pub(crate) struct LogCounters {
    batches: EventCount,
    bytes_queued: EventCount,
    bytes_appended: EventCount,
    writes: EventCount,
    /// These are written by the journal's holder alone.
    syncs: Histogram,
    commits: Histogram,
    /// By the committer alone.
    pub(crate) windows: Histogram,
    sync_us_max: EventCount,
    cuts: EventCount,
    cut_attempts: EventCount,
    cut_attempts_max: EventCount,
    cut_held_us: EventCount,
    cut_held_us_max: EventCount,
    pub(crate) refused: EventCount,
    pub(crate) walk_refused: EventCount,
}

impl LogCounters {
    pub(crate) fn queued(&self, bytes: usize) {
        self.batches.add(1);
        self.bytes_queued.add(bytes as u64);
    }

    pub(crate) fn appended(&self, bytes: usize) {
        self.bytes_appended.add(bytes as u64);
    }

    pub(crate) fn synced(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.syncs.note_time(took);
        self.sync_us_max.at_least(us);
    }

    /// So many batches were written at once.
    pub(crate) fn written(&self, batches: u64) {
        self.writes.add(1);
        self.commits.note(batches);
    }

    /// A cut has ended after this number of attempts; with the time for which it held shards, if it succeeded.
    pub(crate) fn cut(&self, attempts: u32, held: Option<Duration>) {
        self.cut_attempts.set(attempts.into());
        self.cut_attempts_max.at_least(attempts.into());
        if let Some(held) = held {
            let us = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
            self.cuts.add(1);
            self.cut_held_us.set(us);
            self.cut_held_us_max.at_least(us);
        }
    }

    /// How often something was written.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.get()
    }

    pub(crate) fn distributions(&self) -> LogDistributions {
        LogDistributions {
            commits: self.commits.read(),
            windows: self.windows.read(),
            syncs: self.syncs.read(),
        }
    }

    pub(crate) fn snapshot(&self, places_taken: usize, places: usize) -> LogStats {
        LogStats {
            places,
            places_taken,
            batches: self.batches.get(),
            bytes: self.bytes_appended.get(),
            bytes_waiting: self
                .bytes_queued
                .get()
                .saturating_sub(self.bytes_appended.get()),
            writes: self.writes.get(),
            syncs: self.syncs.read().count(),
            sync_time: Duration::from_micros(self.syncs.read().sum()),
            sync_time_max: Duration::from_micros(self.sync_us_max.get()),
            refused: self.refused.get(),
            walk_refused: self.walk_refused.get(),
            cuts: self.cuts.get(),
            cut_attempts: self.cut_attempts.get(),
            cut_attempts_max: self.cut_attempts_max.get(),
            cut_held: Duration::from_micros(self.cut_held_us.get()),
            cut_held_max: Duration::from_micros(self.cut_held_us_max.get()),
        }
    }
}

/// How the work of the log was distributed since the keep was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogDistributions {
    /// How many batches each commit wrote out.
    pub commits: Distribution,
    /// For how long each of the committer's windows was open, in microseconds: the longest that a write of
    /// its commit waited for company.
    pub windows: Distribution,
    /// How long syncs took, in microseconds.
    pub syncs: Distribution,
}

/// What the log has seen since the keep was opened. Fields may be a moment apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Places of the queue: [`LOG_PLACES`](crate::limits::LOG_PLACES), or fewer where little room is kept
    /// for them.
    pub places: usize,
    /// Places of the queue taken now.
    pub places_taken: usize,
    /// Batches queued.
    pub batches: u64,
    /// Bytes of effects appended.
    pub bytes: u64,
    /// Bytes of effects that wait in the queue.
    pub bytes_waiting: u64,
    /// Times the queue was written out.
    pub writes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Time of all syncs.
    pub sync_time: Duration,
    /// Time of the longest.
    pub sync_time_max: Duration,
    /// Writes refused because the queue was full.
    pub refused: u64,
    /// Writes refused because a walk was behind.
    pub walk_refused: u64,
    /// Cuts that succeeded.
    pub cuts: u64,
    /// Attempts of the last cut, whether it succeeded or not.
    pub cut_attempts: u64,
    /// Attempts of the cut that made most.
    pub cut_attempts_max: u64,
    /// From the first shard taken to the last put back, in the last cut that succeeded.
    pub cut_held: Duration,
    /// The longest of these times.
    pub cut_held_max: Duration,
}
