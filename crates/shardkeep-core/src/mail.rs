//! What lies in a mailbox: a work, or the request for the map itself.
//!
//! 1. Mail that is dropped anywhere settles what it carries, so nobody waits for it: as *refused*, or as
//!    *lost* if it had begun.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::deadline::Deadline;
use crate::discard::Discarded;
use crate::error::{Error, Lost, Refused};
use crate::loan::Loan;
use crate::place::Place;
use crate::ticket::Ticket;
use crate::work::{Outcome, State, Work};

pub(crate) enum Mail<S: State> {
    Work(Posted<S>),
    HandMe(HandMe<S>),
}

/// A work on its way.
pub(crate) struct Posted<S: State> {
    work: Option<S::Work>,
    /// In the log's queue, for what the work will write.
    place: Option<Place<S::Journal>>,
    pub(crate) posted_at: Instant,
    /// The shard on which it has begun.
    begun_on: Option<usize>,
}

impl<S: State> Posted<S> {
    pub(crate) fn new(work: S::Work, place: Option<Place<S::Journal>>, posted_at: Instant) -> Self {
        Self {
            work: Some(work),
            place,
            posted_at,
            begun_on: None,
        }
    }

    /// Takes the place out: it goes into the shard.
    pub(crate) fn take_place(&mut self) -> Option<Place<S::Journal>> {
        self.place.take()
    }

    /// Claims the work, or says why it must not run.
    pub(crate) fn claim(
        &mut self,
        shard: usize,
        depth: usize,
        now: Instant,
    ) -> Result<(), Refused> {
        let Some(work) = &mut self.work else {
            return Err(Refused::Cancelled);
        };
        if work.deadline().has_passed(now) {
            return Err(Refused::DeadlinePassed { shard, depth });
        }
        if work.begin() {
            self.begun_on = Some(shard);
            Ok(())
        } else {
            Err(Refused::Cancelled)
        }
    }

    pub(crate) fn is_write(&self) -> bool {
        self.work.as_ref().is_some_and(Work::is_write)
    }

    pub(crate) fn run(&mut self, state: &mut S) {
        if let Some(work) = &mut self.work {
            work.run(state);
        }
    }

    pub(crate) fn settle(mut self, outcome: Outcome, discarded: &mut Discarded) {
        // Whoever has its reply has its place back.
        drop(self.place.take());
        if let Some(work) = self.work.take() {
            work.settle_into(outcome, discarded);
        }
    }

    /// Takes the work back out of mail that was not posted.
    pub(crate) fn into_work(mut self) -> Option<S::Work> {
        self.work.take()
    }
}

impl<S: State> Drop for Posted<S> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            // Dropped with a queue that nobody empties any more: a panic in here would end whoever
            // drops it.
            let outcome = match self.begun_on {
                None => Outcome::Refused(Refused::Closed),
                Some(shard) => Outcome::Lost(Lost::ShardLost { shard }),
            };
            drop(catch_unwind(AssertUnwindSafe(|| work.settle(outcome))));
        }
    }
}

/// The request of a transaction or a closure to be handed the map.
pub(crate) struct HandMe<S: State> {
    ticket: Option<Arc<Ticket<Loan<S>>>>,
    pub(crate) deadline: Deadline,
    pub(crate) posted_at: Instant,
}

impl<S: State> HandMe<S> {
    pub(crate) fn new(ticket: Arc<Ticket<Loan<S>>>, deadline: Deadline, now: Instant) -> Self {
        Self {
            ticket: Some(ticket),
            deadline,
            posted_at: now,
        }
    }

    /// Passes the loan on; it comes back when the requester has given up.
    pub(crate) fn give(mut self, loan: Loan<S>) -> Result<(), Loan<S>> {
        let Some(ticket) = self.ticket.take() else {
            return Err(loan);
        };
        match ticket.settle(Ok(loan)) {
            Ok(()) | Err(Err(_)) => Ok(()),
            Err(Ok(loan)) => Err(loan),
        }
    }

    /// Takes the request back that was not posted: nobody is told, least of all the requester, whom
    /// it would wake to ask again, and again.
    pub(crate) fn recall(mut self) {
        drop(self.ticket.take());
    }

    pub(crate) fn refuse(mut self, why: Refused) {
        if let Some(ticket) = self.ticket.take() {
            // An abandoned ticket gives the refusal back: its requester has been told already.
            drop(ticket.settle(Err(Error::Refused(why))));
        }
    }
}

impl<S: State> Drop for HandMe<S> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            drop(ticket.settle(Err(Refused::Closed.into())));
        }
    }
}
