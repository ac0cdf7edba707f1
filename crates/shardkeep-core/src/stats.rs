//! Counters of one shard, readable at any time without borrowing it.
//!
//! 1. A [`HolderCount`] is written by the shard's holder alone, by a plain load and store: no locked
//!    instruction, and no sharing beyond the cache line that changes hands with the shard anyway.
//! 2. An [`EventCount`] may be written by anybody, and only off the hot path.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::error::Refused;
use crate::histogram::{Distribution, Histogram};

// Counters are not part of what the explorers check: std atomics, so that they cost no schedules.
type Cell64 = std::sync::atomic::AtomicU64;

#[derive(Default)]
pub(crate) struct HolderCount(Cell64);

impl HolderCount {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn at_least(&self, n: u64) {
        if self.get() < n {
            self.0.store(n, Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct EventCount(Cell64);

impl EventCount {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn at_least(&self, n: u64) {
        self.0.fetch_max(n, Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counters beside the mailbox: touched when a shard was away, never on the way of a plain borrow.
#[derive(Default)]
pub(crate) struct ShardCounters {
    pub(crate) mailed: EventCount,
    pub(crate) depth_max: EventCount,
    pub(crate) served_for_others: HolderCount,
    pub(crate) handed_to_owner: HolderCount,
    pub(crate) lent_by_mail: HolderCount,
    pub(crate) batches: HolderCount,
    pub(crate) batch_writes: HolderCount,
    pub(crate) batch_writes_max: HolderCount,
    pub(crate) batch_windows: Histogram,
    pub(crate) waits: Histogram,
    pub(crate) waited_us_max: HolderCount,
    pub(crate) lost: EventCount,
    pub(crate) works_lost: EventCount,
    pub(crate) drops_panicked: EventCount,
    refused_mailbox_full: EventCount,
    refused_deadline: EventCount,
    refused_cancelled: EventCount,
    refused_closing: EventCount,
    refused_shard_lost: EventCount,
    refused_busy: EventCount,
    refused_other: EventCount,
}

impl ShardCounters {
    pub(crate) fn refused(&self, why: &Refused) {
        let counter = match why {
            Refused::MailboxFull { .. } => &self.refused_mailbox_full,
            Refused::DeadlinePassed { .. } => &self.refused_deadline,
            Refused::Cancelled => &self.refused_cancelled,
            Refused::Draining | Refused::Closed => &self.refused_closing,
            Refused::ShardLost { .. } => &self.refused_shard_lost,
            Refused::Busy { .. } => &self.refused_busy,
            Refused::LogFull { .. }
            | Refused::WalkBehind { .. }
            | Refused::LogHasNoSpace
            | Refused::LogFailed
            | Refused::Recovering
            | Refused::Unencodable
            | Refused::OverLimit { .. }
            | Refused::Reentrant
            | Refused::OtherProcess => &self.refused_other,
        };
        counter.add(1);
    }

    pub(crate) fn waited(&self, wait: Duration) {
        let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.waits.note_time(wait);
        self.waited_us_max.at_least(us);
    }

    pub(crate) fn snapshot(
        &self,
        shard: usize,
        borrowed: u64,
        depth: usize,
        is_lost: bool,
    ) -> ShardStats {
        ShardStats {
            shard,
            is_lost,
            depth,
            depth_max: self.depth_max.get(),
            borrowed,
            mailed: self.mailed.get(),
            served_for_others: self.served_for_others.get(),
            handed_to_owner: self.handed_to_owner.get(),
            lent_by_mail: self.lent_by_mail.get(),
            batches: self.batches.get(),
            batch_writes: self.batch_writes.get(),
            batch_writes_max: self.batch_writes_max.get(),
            batch_windows: self.batch_windows.read(),
            waited: Duration::from_micros(self.waits.read().sum()),
            waits: self.waits.read(),
            waited_max: Duration::from_micros(self.waited_us_max.get()),
            times_lost: self.lost.get(),
            works_lost: self.works_lost.get(),
            drops_panicked: self.drops_panicked.get(),
            refused: RefusedStats {
                mailbox_full: self.refused_mailbox_full.get(),
                deadline: self.refused_deadline.get(),
                cancelled: self.refused_cancelled.get(),
                closing: self.refused_closing.get(),
                shard_lost: self.refused_shard_lost.get(),
                busy: self.refused_busy.get(),
                other: self.refused_other.get(),
            },
        }
    }
}

/// What one shard has seen since the keep was opened. Fields may be a moment apart.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ShardStats {
    /// The shard.
    pub shard: usize,
    /// It was lost and is not back yet: its work is refused.
    pub is_lost: bool,
    /// Works in its mailbox now.
    pub depth: usize,
    /// Works in its mailbox at most.
    pub depth_max: u64,
    /// Times it was borrowed.
    pub borrowed: u64,
    /// Works mailed to it.
    pub mailed: u64,
    /// Mailed works that a holder served.
    pub served_for_others: u64,
    /// Times it went into its owner's hands because mail exceeded the bound of service.
    pub handed_to_owner: u64,
    /// Times a holder passed it on to somebody who had asked for the map itself.
    pub lent_by_mail: u64,
    /// Batches of writes applied.
    pub batches: u64,
    /// Writes in all of them.
    pub batch_writes: u64,
    /// Writes in the largest.
    pub batch_writes_max: u64,
    /// How long the first write of each batch waited for its window, in microseconds.
    pub batch_windows: Distribution,
    /// Time that mailed works waited before they began, summed.
    pub waited: Duration,
    /// How long each of them waited, in microseconds.
    pub waits: Distribution,
    /// The longest such wait.
    pub waited_max: Duration,
    /// Times the shard was lost to a panic.
    pub times_lost: u64,
    /// Works whose outcome became unknown.
    pub works_lost: u64,
    /// Values whose `Drop` panicked where no caller's operation had discarded them.
    pub drops_panicked: u64,
    /// Works refused, by reason.
    pub refused: RefusedStats,
}

/// Works refused by one shard, by reason.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RefusedStats {
    /// The mailbox was full.
    pub mailbox_full: u64,
    /// The deadline passed before the work began.
    pub deadline: u64,
    /// The caller revoked it.
    pub cancelled: u64,
    /// The keep was draining or closed.
    pub closing: u64,
    /// The shard was lost while the work waited.
    pub shard_lost: u64,
    /// The shard was away and the caller did not want to wait.
    pub busy: u64,
    /// Any other reason.
    pub other: u64,
}

impl RefusedStats {
    /// All of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let Self {
            mailbox_full,
            deadline,
            cancelled,
            closing,
            shard_lost,
            busy,
            other,
        } = self;
        mailbox_full + deadline + cancelled + closing + shard_lost + busy + other
    }
}
