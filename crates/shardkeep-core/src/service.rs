//! Serving mail: what the holder of a shard does for others, within a bound.
//!
//! 1. The flag is cleared before the mailbox is emptied.
//! 2. Whoever stops before the mailbox is empty sets the flag again before parting with the shard.
//! 3. Works of one mailbox run in the order in which they were posted.
//! 4. Gathered writes are applied before anybody else gets the shard in hand for itself.
//! 5. What nobody waits for any more is gathered in the shard, and dropped when it is back.
//! 6. A work is settled as done when what it wrote is in the log's queue: the caller that has its reply finds
//!    it there.

use crate::clock;
use crate::config::Handover;
use crate::discard::Discarded;
use crate::error::{Lost, Refused};
use crate::fail_point;
use crate::fault::{Fault, is_planted};
use crate::loan::Loan;
use crate::mail::{HandMe, Mail, Posted};
use crate::shared::Shared;
use crate::work::{Outcome, State};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How service ended, and where the shard is now.
pub(crate) enum Served<L> {
    /// The mailbox was found empty; the shard is still in hand.
    Empty(L),
    /// The bound was reached; the flag is set and the shard is still in hand.
    Bound(L),
    /// The shard was passed on to somebody who asked for it, or lost to a panic.
    Away,
}

/// Whether the shard is still fit for use after a work.
#[derive(PartialEq, Eq)]
enum Fit {
    Yes,
    No,
}

impl<S: State, R: Deref<Target = Shared<S>> + Clone> Loan<S, R> {
    /// Serves at most `bound` mails, oldest first.
    pub(crate) fn serve(mut self, bound: usize) -> Served<Self> {
        let index = self.index();
        if !is_planted(Fault::ClearedAfterEmptying) {
            self.shared().desk(index).clear_mail();
        }
        if self.shared().is_stopping() {
            // It came back after the keep had been closed without it.
            self.shard_mut().closed = true;
        }
        for _ in 0..bound {
            let Some(mail) = self.shared().beside(index).mailbox.take() else {
                return self.served_all();
            };
            match mail {
                Mail::Work(posted) => {
                    if self.serve_work(posted) == Fit::No {
                        self.lose();
                        return Served::Away;
                    }
                }
                Mail::HandMe(request) => match self.serve_request(request) {
                    Some(loan) => self = loan,
                    None => return Served::Away,
                },
            }
        }
        self.stopped_at_bound()
    }

    /// Queues what was written, in the place that came with it; after that the change has ended.
    fn settle_place(&mut self) -> Fit {
        if self.shard().place {
            let (shared, index) = (self.shared().clone(), self.index());
            if shared.settle_place(index, self.shard_mut()).is_err() {
                self.begin_change();
                return Fit::No;
            }
        }
        Fit::Yes
    }

    /// As [`Loan::settle_place`], where a work broke.
    fn settle_broken(&mut self) {
        if self.shard().place {
            let (shared, index) = (self.shared().clone(), self.index());
            shared.settle_broken(index, self.shard_mut());
        }
    }

    fn served_all(mut self) -> Served<Self> {
        let index = self.index();
        if is_planted(Fault::ClearedAfterEmptying) {
            self.shared().desk(index).clear_mail();
        }
        // No other writer is about: waiting for company would only add latency.
        if self.apply_batch() == Fit::No {
            self.lose();
            return Served::Away;
        }
        // Those who wait for what was queued may have given up: it must not depend on them.
        self.shared().wake_committer();
        Served::Empty(self)
    }

    fn stopped_at_bound(self) -> Served<Self> {
        self.shared().wake_committer();
        let index = self.index();
        if !is_planted(Fault::StoppedWithFlagCleared) {
            self.shared().desk(index).set_mail();
        }
        Served::Bound(self)
    }

    fn serve_work(&mut self, mut posted: Posted<S>) -> Fit {
        let index = self.index();
        // Read for each work: the one before may have taken long.
        let now = clock::now();
        if self.shard().closed {
            if is_planted(Fault::LateMailIgnored) {
                std::mem::forget(posted);
                return Fit::Yes;
            }
            self.refuse(posted, Refused::Closed);
            return Fit::Yes;
        }
        let gathered = self.is_gathered(&posted);
        // What was posted before runs before, gathered or not.
        if !gathered && self.apply_batch() == Fit::No {
            self.refuse(posted, Refused::ShardLost { shard: index });
            return Fit::No;
        }
        let depth = self.shared().beside(index).mailbox.depth();
        // Whoever serves must not fall by what another's work does when it is asked to begin.
        let claimed = catch_unwind(AssertUnwindSafe(|| {
            fail_point::hit_at("mail.claim", || self.shared().place_name(index));
            posted.claim(index, depth, now)
        }));
        if let Err(why) = claimed.unwrap_or(Err(Refused::Cancelled)) {
            self.refuse(posted, why);
            return Fit::Yes;
        }
        let counters = &self.shared().beside(index).counters;
        counters.served_for_others.add(1);
        counters.waited(now.saturating_duration_since(posted.posted_at));
        if gathered {
            self.shard_mut().batch.push(posted, now);
            return if self.shard().batch.is_due(now) {
                self.apply_batch()
            } else {
                Fit::Yes
            };
        }
        self.run(posted)
    }

    fn is_gathered(&self, posted: &Posted<S>) -> bool {
        self.shared().config.handover == Handover::Mail
            && self.shard().batch.gathers()
            && posted.is_write()
    }

    fn refuse(&mut self, posted: Posted<S>, why: Refused) {
        self.shared().beside(self.index()).counters.refused(&why);
        self.settle(posted, Outcome::Refused(why));
    }

    /// Delivers an outcome. What comes back is dropped when the shard is.
    fn settle(&mut self, posted: Posted<S>, outcome: Outcome) {
        let mut discarded = Discarded::new();
        settle(self.shared(), self.index(), posted, outcome, &mut discarded);
        self.shard_mut().discard(discarded);
    }

    /// The place of a work goes into the shard.
    fn move_place(&mut self, posted: &mut Posted<S>) {
        if let Some(place) = posted.take_place() {
            place.take_over();
            let (shared, index) = (self.shared().clone(), self.index());
            shared.put_place(index, self.shard_mut());
        }
    }

    fn run(&mut self, mut posted: Posted<S>) -> Fit {
        let index = self.index();
        self.move_place(&mut posted);
        self.begin_change();
        let state = &mut self.shard_mut().state;
        // A panic leaves `changing` set, so the map is never used again.
        match catch_unwind(AssertUnwindSafe(|| posted.run(state))) {
            Ok(()) => {
                self.end_change();
                if is_planted(Fault::AnsweredBeforeQueued) {
                    self.settle(posted, Outcome::Done);
                    return self.settle_place();
                }
                let fit = self.settle_place();
                if fit == Fit::No {
                    self.shared().beside(index).counters.works_lost.add(1);
                    self.settle(posted, Outcome::Lost(Lost::ShardLost { shard: index }));
                } else {
                    self.settle(posted, Outcome::Done);
                }
                fit
            }
            Err(_) => {
                self.shared().beside(index).counters.works_lost.add(1);
                self.settle_broken();
                self.settle(posted, Outcome::Lost(Lost::ShardLost { shard: index }));
                Fit::No
            }
        }
    }

    /// Applies the gathered writes in one go and releases their replies.
    fn apply_batch(&mut self) -> Fit {
        if self.shard().batch.is_empty() {
            return Fit::Yes;
        }
        let index = self.index();
        let mut writes = Vec::new();
        let opened_at = self.shard_mut().batch.take(&mut writes);
        let counters = &self.shared().beside(index).counters;
        counters.batches.add(1);
        counters.batch_writes.add(writes.len() as u64);
        counters.batch_writes_max.at_least(writes.len() as u64);
        if let Some(opened_at) = opened_at {
            let open = clock::now().saturating_duration_since(opened_at);
            counters.batch_windows.note_time(open);
        }
        writes.iter_mut().for_each(|posted| self.move_place(posted));
        self.begin_change();
        let state = &mut self.shard_mut().state;
        let applied = catch_unwind(AssertUnwindSafe(|| {
            for posted in &mut writes {
                posted.run(state);
            }
        }));
        let fit = match applied {
            Ok(()) => {
                self.end_change();
                self.settle_place()
            }
            Err(_) => {
                self.settle_broken();
                Fit::No
            }
        };
        let outcome = match fit {
            Fit::Yes => Outcome::Done,
            // All were claimed, and the map they were written to is gone.
            Fit::No => {
                let counters = &self.shared().beside(index).counters;
                counters.works_lost.add(writes.len() as u64);
                Outcome::Lost(Lost::ShardLost { shard: index })
            }
        };
        for posted in writes {
            self.settle(posted, outcome.clone());
        }
        fit
    }

    /// Passes the shard on, unless the requester must not have it any more.
    fn serve_request(mut self, request: HandMe<S>) -> Option<Self> {
        let index = self.index();
        let now = clock::now();
        if self.apply_batch() == Fit::No {
            request.refuse(Refused::ShardLost { shard: index });
            self.lose();
            return None;
        }
        let counters = &self.shared().beside(index).counters;
        if self.shard().closed {
            counters.refused(&Refused::Closed);
            request.refuse(Refused::Closed);
            return Some(self);
        }
        if request.deadline.has_passed(now) {
            let depth = self.shared().beside(index).mailbox.depth();
            let why = Refused::DeadlinePassed {
                shard: index,
                depth,
            };
            counters.refused(&why);
            request.refuse(why);
            return Some(self);
        }
        self.shared().wake_committer();
        let counters = &self.shared().beside(index).counters;
        counters.lent_by_mail.add(1);
        counters.waited(now.saturating_duration_since(request.posted_at));
        // The mailbox may hold more: whoever gets the shard must look.
        self.shared().desk(index).set_mail();
        fail_point::hit_at("mail.hand", || self.shared().place_name(index));
        let shared = self.shared().clone();
        // Not the requester's to drop.
        let discarded = self.shard_mut().take_discarded();
        match request.give(self.travel()) {
            Ok(()) => {
                shared.discard(index, discarded);
                None
            }
            Err(mut loan) => {
                loan.shard_mut().discard(discarded);
                // The requester gave up: keep the map, and go on here (not by returning it: a row of
                // requesters that gave up would recurse). The flag stays set: it may by now be the
                // word of a close that did not find the shard.
                Some(loan.rehome(shared))
            }
        }
    }
}

/// Delivers an outcome; what nobody waits for any more goes into `discarded`. A panic in the user's
/// `settle` ends there: the shard is fine, and the mail behind must still be served.
pub(crate) fn settle<S: State>(
    shared: &Shared<S>,
    index: usize,
    posted: Posted<S>,
    outcome: Outcome,
    discarded: &mut Discarded,
) {
    drop(catch_unwind(AssertUnwindSafe(|| {
        fail_point::hit_at("mail.settle", || shared.place_name(index));
        posted.settle(outcome, discarded);
    })));
}
