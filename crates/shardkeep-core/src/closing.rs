//! Closes a keep: finishes what was admitted, closes its shards, joins its threads.

use std::sync::Arc;
use std::time::Duration;

use crate::acquire::{Acquisition, Patience};
use crate::clock;
use crate::deadline::{Call, Deadline};
use crate::error::{Error, Refused};
use crate::keep::Keep;
use crate::limits;
use crate::service::Served;
use crate::shared::Phase;
use crate::threads::Threads;
use crate::work::State;

/// What a close found and left.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CloseReport {
    /// Mailed works served or refused while draining.
    pub drained: u64,
    /// Shards that did not come back by the deadline. Zero means that nothing was left running.
    pub shards_away: usize,
    /// Threads (owners, the committer and the syncer; of a store also the one that takes snapshots) that
    /// had not ended by the deadline.
    pub owners_left: usize,
    /// Works posted to this keep in all.
    pub mailed: u64,
    /// Works refused in all.
    pub refused: u64,
    /// Works lost in all.
    pub lost: u64,
    /// Changes that were not made durable: batches of them, each of one shard. Zero without a log.
    pub unsynced: u64,
    /// Why the log has failed, if it has: what was written last may be lost, or be found in another place.
    pub log_failed: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl CloseReport {
    /// Whether everything that was admitted was finished and kept, and every thread joined.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.shards_away == 0
            && self.owners_left == 0
            && self.unsynced == 0
            && self.log_failed.is_none()
    }

    /// Nothing was closed: the keep belongs to another process, and so do all of its shards.
    fn of_another_process(shards: usize) -> Self {
        Self {
            drained: 0,
            shards_away: shards,
            owners_left: 0,
            mailed: 0,
            refused: 0,
            lost: 0,
            unsynced: 0,
            log_failed: None,
            took: Duration::ZERO,
        }
    }
}

impl<S: State> Keep<S> {
    /// Stops admitting, finishes what was admitted (mail, and transactions sent to an owner), closes
    /// every shard, ends and joins the owners. [`Keep::borrow`] works until its shard is closed.
    ///
    /// Blocks until that is done or `deadline` passes; each shard in other hands is waited for by
    /// that deadline, and closed by whoever returns it later. The owner threads get
    /// [`limits::JOIN_GRACE`] beyond it. A second close only waits for what is still there. Called
    /// on an owner thread (from inside a work), it waits for no shard, and not for that thread. In a
    /// child that was forked it closes nothing, at once, and reports all shards away.
    pub fn close(&self, deadline: Deadline) -> CloseReport {
        let began = clock::now();
        if self.is_elsewhere() {
            return CloseReport::of_another_process(self.shards());
        }
        let (drained, shards_away) = match self.shared.enter(Phase::Draining) {
            Phase::Open | Phase::Draining => self.close_shards(deadline),
            Phase::Closed => (0, self.shared.shards_away()),
        };
        let owners_left = self
            .threads
            .join(deadline.max(Deadline::after(limits::JOIN_GRACE)));
        let stats = self.stats();
        CloseReport {
            drained,
            shards_away,
            owners_left,
            mailed: stats.iter().map(|shard| shard.mailed).sum(),
            refused: stats.iter().map(|shard| shard.refused.sum()).sum(),
            lost: stats.iter().map(|shard| shard.works_lost).sum(),
            unsynced: self.shared.log.as_ref().map_or(0, |log| log.unsynced()),
            log_failed: self.shared.log.as_ref().and_then(|log| log.failure()),
            took: clock::now().saturating_duration_since(began),
        }
    }

    fn close_shards(&self, deadline: Deadline) -> (u64, usize) {
        // An owner that waited here would wait for what it has in its own hands.
        let deadline = match self.threads.has_current() {
            true => Deadline::from(clock::now()),
            false => deadline,
        };
        self.shared.finish_transactions(deadline);
        let mut drained = 0;
        let mut shards_away = 0;
        for index in 0..self.shards() {
            match self.close_shard(index, deadline) {
                Some(served) => drained += served,
                None => shards_away += 1,
            }
        }
        self.shared.enter(Phase::Closed);
        if shards_away > 0 {
            // Whoever returns one of them looks at its flag, and closes it then.
            (0..self.shards()).for_each(|index| self.shared.nudge(index));
        }
        self.shared
            .ports
            .iter()
            .for_each(|port| port.doorbell.ring());
        self.shared.dropping.end();
        if let Some(log) = &self.shared.log {
            log.begin_closing();
        }
        (drained, shards_away)
    }

    /// Serves what is left on one shard and marks it closed; `None` when it did not come back.
    fn close_shard(&self, index: usize, deadline: Deadline) -> Option<u64> {
        let beside = self.shared.beside(index);
        let before = beside.counters.served_for_others.get();
        loop {
            let call = Call::by(deadline);
            let shared = Arc::clone(&self.shared);
            let mut loan =
                match Acquisition::new(shared, vec![index], call, Patience::Insist).wait() {
                    Ok(loans) => loans.into_only(),
                    // Closed before: by an earlier close.
                    Err(Error::Refused(Refused::Closed)) => return Some(0),
                    // It died, or was dead when it was asked for: its owner brings it back.
                    Err(Error::Refused(Refused::ShardLost { .. }))
                        if !deadline.has_passed(clock::now())
                            && !beside.given_up.load(std::sync::atomic::Ordering::SeqCst) =>
                    {
                        self.shared.wait_for_shard_back(deadline);
                        continue;
                    }
                    Err(Error::Refused(_) | Error::Lost(_)) => return None,
                };
            loan = match loan.serve(limits::OWNER_SERVICE_WORKS_MAX) {
                Served::Empty(loan) => loan,
                Served::Bound(loan) => {
                    drop(loan);
                    continue;
                }
                Served::Away => continue,
            };
            // `serve` has cleared the flag by a read-modify-write: a poster that sets it from now on
            // sees that the keep is draining, and serves the closed shard itself.
            loan.shard_mut().closed = true;
            return Some(beside.counters.served_for_others.get() - before);
        }
    }
}

impl<S: State> Drop for Keep<S> {
    fn drop(&mut self) {
        if self.is_elsewhere() {
            // What is left of the parent's threads and files is not to be touched, not even freed.
            std::mem::forget(Arc::clone(&self.shared));
            std::mem::forget(std::mem::replace(
                &mut self.threads,
                Arc::new(Threads::new()),
            ));
            return;
        }
        if !self.threads.are_joined() {
            self.close(Deadline::after(limits::DROP_DEADLINE));
        }
    }
}
