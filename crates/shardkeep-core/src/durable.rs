//! Waiting until something is durable, and committing it where nobody else does.
//!
//! 1. No lost wake-up. Who waits for a sync writes itself down, *then* looks at `synced` again; who
//!    releases raises `synced`, *then* looks who waits. So for the log's condition.
//! 2. What is waited for was queued, or is being queued by somebody who then commits it or wakes the
//!    committer; whoever waits need not have it looked at again.
//! 3. Who wants everything synced says so before it looks what is queued, and until it has it: whoever
//!    commits in between and stops at a write rings the committer.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use crate::awaiting::What;
use crate::clock;
use crate::config::SyncMode;
use crate::deadline::Call;
use crate::error::Lost;
use crate::fault::{Fault, is_planted};
use crate::journal::Journal;
use crate::log::{Condition, Extent, Log};
use crate::progress::Wait;
use crate::sync::{AtomicUsize, Waiter, Wake};

/// Counts a caller that wants everything synced, until it is dropped.
struct Wanting<'l>(&'l AtomicUsize);

impl<'l> Wanting<'l> {
    fn new(count: &'l AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl<J: Journal> Log<J> {
    /// Waits until batch `number` of `shard` is durable, committing it itself where the journal is to
    /// be had; until the deadline of `call`, and beyond it while the log makes progress.
    pub(crate) fn wait_synced(&self, shard: usize, number: u64, call: &Call) -> Result<(), Lost> {
        if self.synced(shard) >= number {
            return Ok(());
        }
        if self.is_elsewhere() {
            // Nothing will come of it here.
            return Err(Lost::NotSynced { shard });
        }
        if !self.is_lent() {
            self.ring_if_queued();
        } else if let Some(mut holding) = self.borrow() {
            holding.commit(Extent::Sync);
            drop(holding);
            if self.synced(shard) >= number {
                return Ok(());
            }
        }
        self.sleep_until_synced(shard, number, call)
    }

    #[cold]
    fn sleep_until_synced(&self, shard: usize, number: u64, call: &Call) -> Result<(), Lost> {
        let sleeper = Arc::new(Waiter::new());
        let wake: Arc<dyn Wake> = Arc::clone(&sleeper) as Arc<dyn Wake>;
        let wait = Wait::new(call, clock::now());
        let result = loop {
            let looked = is_planted(Fault::AwaitedAfterLook).then(|| self.synced(shard));
            self.await_sync(Some((shard, number)), &wake);
            // The condition first: what was synced before the log failed is synced.
            let condition = self.condition();
            if looked.unwrap_or_else(|| self.synced(shard)) >= number {
                break Ok(());
            }
            match condition {
                Condition::Open
                | Condition::NoSpace
                | Condition::Scarce
                | Condition::Recovering => {}
                Condition::Failed => break Err(Lost::LogFailed),
                Condition::Closed => break Err(Lost::NotSynced { shard }),
            }
            let ends = wait.ends(self.progress.last());
            if ends <= clock::now() {
                break Err(Lost::NotSynced { shard });
            }
            // Woken when the batch is durable, or the log has failed or closed; ends when the log has
            // stood still for too long.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B06: durable, or the log stands still"
            )]
            sleeper.wait_until(Some(ends));
        };
        self.awaiting.forget(&wake);
        result
    }

    /// Waits until everything queued so far is durable.
    pub(crate) fn sync_all(&self, call: &Call) -> Result<(), Lost> {
        let _wanting = Wanting::new(&self.syncs_wanted);
        for shard in 0..self.shards() {
            let number = self.queued(shard);
            if self.synced(shard) < number {
                self.hurry();
                self.wait_synced(shard, number, call)?;
            }
        }
        Ok(())
    }

    /// Has `wake` woken once: when `what` is durable (`None`: at the next sync), or the log has failed
    /// or closed. The caller looks again after this.
    pub(crate) fn await_sync(&self, what: What, wake: &Arc<dyn Wake>) {
        self.awaiting.add(what, wake);
    }

    /// Whether callers commit for themselves now: the journal is lent, and gathering does not promise
    /// more than it costs.
    fn is_lent(&self) -> bool {
        self.durability.lend
            && self.durability.sync == SyncMode::Always
            && self.condition() == Condition::Open
            && (self.durability.window.is_zero() || !self.awaiting.is_someone())
    }

    /// Whether a writer is the only one about: waiting for company would only add latency.
    pub(crate) fn is_alone(&self) -> bool {
        self.places_taken() <= 1 && self.awaiting.len() <= 1
    }

    /// Commits what is queued on this thread, if the journal is to be had at once; else makes sure that
    /// somebody does.
    pub(crate) fn commit_here(&self) {
        if !self.has_queued() {
            return;
        }
        // Whoever has it looks at the flag when it puts it back.
        let Some(mut holding) = self.borrow() else {
            return self.ring_if_queued();
        };
        let extent = self.usual_extent();
        holding.commit(extent);
        drop(holding);
        let stops_short = extent == Extent::Write && self.wants_sync();
        if stops_short && !is_planted(Fault::SyncWantedOverlooked) {
            self.doorbell.ring();
        }
    }

    /// Whether syncs run aside, while others write.
    pub(crate) fn syncs_aside(&self) -> bool {
        self.durability.sync != SyncMode::Always
    }

    /// How far a commit goes that nobody has asked for.
    pub(crate) fn usual_extent(&self) -> Extent {
        match self.durability.sync {
            SyncMode::Always => Extent::Sync,
            SyncMode::Interval(_) | SyncMode::Never => Extent::Write,
        }
    }
}
