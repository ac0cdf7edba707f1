//! The thread that commits when nobody else does.
//!
//! It writes what was queued once the window has passed, syncs at intervals, tries again where there
//! was no space, and puts the journal away when the keep closes.
//!
//! 1. One blocking call beside the journal's own: the doorbell (and, while it gathers, the window).
//! 2. It never holds a shard.

use std::sync::Arc;
use std::time::Instant;

use crate::clock;
use crate::config::SyncMode;
use crate::journal::Journal;
use crate::limits;
use crate::log::{Condition, Duty, Extent, Log};
use crate::shared::Shared;
use crate::work::State;

pub(crate) struct Committer<S: State> {
    shared: Arc<Shared<S>>,
    plan: Plan<S::Journal>,
}

/// What is to be done next.
struct Plan<J> {
    /// When the next sync at intervals is due, while something is unsynced.
    sync_at: Option<Instant>,
    /// When a log without space is asked again.
    retry_at: Option<Instant>,
    /// A sync was asked for.
    sync: bool,
    duty: Option<Duty<J>>,
}

/// What a tick came to.
#[derive(PartialEq, Eq)]
enum Tick {
    /// Nothing is to be done before it is rung, or something is due.
    Done,
    /// Somebody has the journal, and rings when it is put back.
    Away,
    /// The journal was put away.
    Closed,
}

impl<S: State> Committer<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>) -> Self {
        Self {
            shared,
            plan: Plan {
                sync_at: None,
                retry_at: None,
                sync: false,
                duty: None,
            },
        }
    }

    /// Runs until the keep is closed and the journal put away.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(log) = &shared.log else {
            return;
        };
        loop {
            log.doorbell.answer();
            let tick = match log.is_closing() {
                true => finish(log),
                false => self.plan.tick(log),
            };
            match tick {
                Tick::Done => log.doorbell.sleep(self.plan.next_due()),
                // Whoever has the journal rings when it puts it back.
                Tick::Away => log.doorbell.sleep(None),
                Tick::Closed => return,
            }
        }
    }
}

impl<J: Journal> Plan<J> {
    fn next_due(&self) -> Option<Instant> {
        self.sync_at.into_iter().chain(self.retry_at).min()
    }

    fn tick(&mut self, log: &Log<J>) -> Tick {
        let now = clock::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        self.sync |= log.take_sync_asked() || is_due(self.sync_at);
        self.duty = self.duty.take().or_else(|| log.next_duty());
        if self.duty.is_none() && !self.sync && !is_due(self.retry_at) {
            if !log.has_queued() {
                return Tick::Done;
            }
            gather(log);
        }
        let Some(mut holding) = log.borrow_or_ask() else {
            return Tick::Away;
        };
        let extent = match log.durability.sync {
            SyncMode::Always => Extent::Sync,
            SyncMode::Interval(_) | SyncMode::Never if self.sync || self.duty.is_some() => {
                Extent::Sync
            }
            SyncMode::Interval(_) | SyncMode::Never => Extent::Write,
        };
        holding.commit(extent);
        if let Some(duty) = self.duty.take() {
            holding.carry_out(duty);
            // There may be another.
            log.doorbell.ring();
        }
        drop(holding);
        self.sync = false;
        self.after(log, extent);
        Tick::Done
    }

    /// What is due after a commit, and when.
    fn after(&mut self, log: &Log<J>, extent: Extent) {
        let now = clock::now();
        let open = match log.condition() {
            Condition::Open => true,
            Condition::NoSpace => {
                self.retry_at = Some(now + limits::LOG_RETRY_INTERVAL);
                self.sync_at = None;
                return;
            }
            Condition::Recovering | Condition::Failed | Condition::Closed => false,
        };
        self.retry_at = None;
        self.sync_at = match (log.durability.sync, extent) {
            (SyncMode::Interval(interval), Extent::Write) if open => {
                Some(self.sync_at.unwrap_or(now + interval))
            }
            (SyncMode::Interval(_) | SyncMode::Always | SyncMode::Never, _) => None,
        };
    }
}

/// Gives others time to join the commit.
fn gather<J: Journal>(log: &Log<J>) {
    let window = log.durability.window;
    if window.is_zero() || log.durability.sync == SyncMode::Always && log.is_alone() {
        return;
    }
    // Ends with the window, or before it when enough has gathered, or the keep closes.
    log.gathering.wait_until(Some(clock::now() + window));
}

/// The last commit.
fn finish<J: Journal>(log: &Log<J>) -> Tick {
    let Some(mut holding) = log.borrow_or_ask() else {
        return Tick::Away;
    };
    holding.commit(Extent::Sync);
    drop(holding);
    if log.close() {
        Tick::Closed
    } else {
        Tick::Away
    }
}
