//! The thread that commits when nobody else does.
//!
//! It writes what was queued once the window has passed, syncs at intervals, tries again where there
//! was no space, marks a log that rests, sees to it that somebody looks whether the files are still where they
//! were, and puts the journal away when the keep closes.
//!
//! 1. One blocking call beside the journal's own: the doorbell (and, while it gathers, the window).
//! 2. It never holds a shard.
//! 3. What is due is read off the log at every tick, whoever has written or found out last; it is rung
//!    for each change of that.
//! 4. After a panic of its own it begins nothing any more: it fails the log, refuses duties, and puts the
//!    journal away when the keep closes. So a panic that comes again and again comes once.
//! 5. Where syncs run aside it alone begins them, and goes on writing until they end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::clock;
use crate::config::SyncMode;
use crate::duty::Duty;
use crate::error::Refused;
use crate::fail_point;
use crate::fault::{Fault, is_planted};
use crate::holding::Holding;
use crate::journal::Journal;
use crate::limits;
use crate::log::{Condition, Extent, Log};
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
    /// When the log is marked, if nothing was written since that was set.
    mark_at: Option<Instant>,
    /// How often something was written by then.
    writes: u64,
    /// When it is looked again whether the log's files are where they were.
    look_at: Option<Instant>,
    duty: Option<Box<dyn Duty<J>>>,
    /// What the duty found written was synced aside: what is left takes no time.
    eased: bool,
    /// The window has passed, and the journal was away then: what was gathered waits for it alone.
    gathered: bool,
    /// A tick has panicked.
    broken: bool,
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
                mark_at: None,
                writes: 0,
                look_at: None,
                duty: None,
                eased: false,
                gathered: false,
                broken: false,
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
            log.pulse.work();
            let tick = match self.plan.broken {
                true => Ok(self.plan.stand_down(log)),
                false => catch_unwind(AssertUnwindSafe(|| {
                    fail_point::hit("committer.tick");
                    match log.is_closing() {
                        true => self.plan.finish(log),
                        false => self.plan.tick(log),
                    }
                })),
            };
            log.pulse.rest();
            match tick {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "blocking point B09: rung, or the next sync"
                )]
                Ok(Tick::Done) => log.doorbell.sleep(self.plan.next_due(log)),
                // Whoever has the journal rings when it puts it back, whoever syncs when that has ended.
                #[expect(
                    clippy::disallowed_methods,
                    reason = "blocking point B08: the journal is put back"
                )]
                Ok(Tick::Away) => log.doorbell.sleep(None),
                Ok(Tick::Closed) => return log.aside.close(),
                Err(_) => self.plan.broken = true,
            }
        }
    }
}

impl<J: Journal> Plan<J> {
    /// A sync that runs aside rings when it has ended, and only then another is due.
    fn next_due(&self, log: &Log<J>) -> Option<Instant> {
        let sync_at = self.sync_at.filter(|_| !log.aside.is_under_way());
        let others = self.retry_at.into_iter().chain(self.look_at);
        sync_at.into_iter().chain(others).chain(self.mark_at).min()
    }

    fn tick(&mut self, log: &Log<J>) -> Tick {
        let now = clock::now();
        self.schedule(log, now);
        if self.mark_at.is_some_and(|at| at <= now) {
            self.mark(log);
            self.schedule(log, now);
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.look_at) {
            self.look_at = Some(clock::later(now, limits::LOG_LOOK_INTERVAL));
            log.ask_for_look();
        }
        self.duty = self.duty.take().or_else(|| log.duties.try_recv());
        let wanted = log.wants_sync() || self.duty.is_some() || is_due(self.sync_at);
        let sync = wanted && !log.aside.is_under_way();
        if !sync && !log.aside.has_ended() && !is_due(self.retry_at) {
            if !log.has_queued() {
                return look(log);
            }
            if !std::mem::replace(&mut self.gathered, true) {
                gather(log);
            }
        }
        let Some(mut holding) = log.borrow_or_ask() else {
            return Tick::Away;
        };
        // If another was wanted, and not begun because of this one: whoever has run it rings once more.
        holding.end_sync();
        self.gathered = false;
        // The next attempt is an interval from now.
        self.retry_at = None;
        if self.commit(log, &mut holding, sync)
            && let Some(duty) = self.duty.take()
        {
            self.eased = false;
            holding.carry_out(duty);
            // It may have made space, and there may be another.
            self.retry_at = Some(now);
            log.doorbell.ring();
        }
        drop(holding);
        if sync {
            self.sync_at = None;
        }
        self.schedule(log, clock::now());
        Tick::Done
    }

    /// Writes what is queued, and sees to it that it is synced, if asked. Says whether the time has come
    /// for a duty: with nothing left that a sync would cover.
    fn commit(&mut self, log: &Log<J>, holding: &mut Holding<'_, J>, sync: bool) -> bool {
        if !log.syncs_aside() {
            holding.commit(if sync {
                Extent::Sync
            } else {
                log.usual_extent()
            });
            return sync;
        }
        holding.commit(Extent::Write);
        if !sync {
            return false;
        }
        if !self.eased && holding.begin_sync() {
            self.eased = self.duty.is_some();
            return false;
        }
        if self.duty.is_some() {
            holding.commit(Extent::Sync);
        }
        true
    }

    /// Reads off the log what is due, and when.
    fn schedule(&mut self, log: &Log<J>, now: Instant) {
        self.look_at = match log.condition() {
            Condition::Recovering | Condition::Open | Condition::NoSpace | Condition::Scarce => {
                let next = || clock::later(now, limits::LOG_LOOK_INTERVAL);
                Some(self.look_at.unwrap_or_else(next))
            }
            Condition::Failed | Condition::Closed => None,
        };
        self.retry_at = log.condition().is_short().then(|| {
            self.retry_at
                .unwrap_or_else(|| clock::later(now, limits::LOG_RETRY_INTERVAL))
        });
        if !log.is_unmarked() {
            self.mark_at = None;
        } else if self.mark_at.is_none() {
            self.mark_at = Some(clock::later(now, limits::LOG_MARK_DELAY));
            self.writes = log.counters.writes();
        }
        self.sync_at = match log.durability.sync {
            SyncMode::Interval(interval) if log.is_behind() => {
                Some(self.sync_at.unwrap_or_else(|| clock::later(now, interval)))
            }
            SyncMode::Interval(_) | SyncMode::Always | SyncMode::Never => None,
        };
    }

    /// Marks the log, if it has rested; otherwise looks again later.
    fn mark(&mut self, log: &Log<J>) {
        self.mark_at = None;
        let has_rested = log.counters.writes() == self.writes && !log.has_queued();
        // Whoever has the journal is about to write.
        if has_rested && let Some(mut holding) = log.borrow() {
            holding.mark();
        }
    }

    /// What is left to do after a tick has panicked: nothing of it comes by there again.
    fn stand_down(&mut self, log: &Log<J>) -> Tick {
        (self.sync_at, self.retry_at) = (None, None);
        (self.look_at, self.mark_at) = (None, None);
        if log.condition() != Condition::Failed {
            let Some(mut holding) = log.borrow_or_ask() else {
                return Tick::Away;
            };
            holding.fail("the committer panicked".to_owned());
        }
        if let Some(duty) = self.duty.take() {
            // It may be what has panicked.
            let settle = AssertUnwindSafe(|| duty.settle(Some(Refused::LogFailed)));
            drop(catch_unwind(settle));
        }
        drop(catch_unwind(AssertUnwindSafe(|| log.refuse_duties())));
        if !log.is_closing() {
            return Tick::Done;
        }
        if log.aside.is_under_way() {
            return Tick::Away;
        }
        let Some(holding) = log.borrow_or_ask() else {
            return Tick::Away;
        };
        holding.put_away();
        Tick::Closed
    }

    /// The last commit.
    fn finish(&mut self, log: &Log<J>) -> Tick {
        // Whoever syncs rings when that has ended.
        if log.aside.is_under_way() && !is_planted(Fault::PutAwayDuringSync) {
            return Tick::Away;
        }
        let Some(mut holding) = log.borrow_or_ask() else {
            return Tick::Away;
        };
        log.ask_for_look();
        holding.end_sync();
        // Nobody gets a shard any more, so what is still queued comes to an end.
        while holding.commit(Extent::Sync) && log.has_queued() {}
        if is_planted(Fault::JournalLaidBack) {
            drop(holding);
            match log.borrow() {
                Some(again) => holding = again,
                None => return Tick::Away,
            }
        }
        holding.put_away();
        if let Some(duty) = self.duty.take() {
            duty.settle(Some(Refused::Closed));
        }
        Tick::Closed
    }
}

/// Looks whether the log's files are where they were, if it is time, and nothing else is to be done.
fn look<J: Journal>(log: &Log<J>) -> Tick {
    if log.wants_look() {
        let Some(mut holding) = log.borrow_or_ask() else {
            return Tick::Away;
        };
        holding.look();
    }
    Tick::Done
}

/// Gives others time to join the commit.
fn gather<J: Journal>(log: &Log<J>) {
    let window = log.durability.window;
    if window.is_zero() || log.durability.sync == SyncMode::Always && log.is_alone() {
        return;
    }
    let began = clock::now();
    // Ends with the window, or before it when enough has gathered, something is wanted at once, or the
    // keep closes.
    #[expect(
        clippy::disallowed_methods,
        reason = "blocking point B10: enough has gathered, or the window"
    )]
    log.gathering.wait_until(Some(clock::later(began, window)));
    let took = clock::now().saturating_duration_since(began);
    log.counters.windows.note_time(took);
}
