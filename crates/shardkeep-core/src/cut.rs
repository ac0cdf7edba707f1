//! The cut: all shards in hand at once, for a moment.
//!
//! A walk over the whole store begins with it. Each shard switches the walk on, and an entry of its own kind in
//! the log's queue stands between the changes made before that and those made after it.
//!
//! 1. The cut enters the queue while every shard is held, behind all that was done to any of them before: the
//!    records before it are of changes that every `switch` has seen, those behind it of changes that none has.
//! 2. With shards in hand nothing is written or synced, and nothing is done but `switch`.
//! 3. The place in the queue is reserved before the first shard is taken: a full queue delays no shard.
//! 4. An attempt waits for shards that are away for [`limits::CUT_WAIT_MAX`] in all; then it gives back what it
//!    has, and the next comes after a rest that grows. The last ends with the call.
//! 5. A shard that is lost refuses the cut.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::acquire::{Acquisition, Patience};
use crate::clock;
use crate::deadline::{Call, Deadline};
use crate::error::{Error, Refused};
use crate::fault::{Fault, is_planted};
use crate::keep::Keep;
use crate::limits;
use crate::loan::Loans;
use crate::log::Intent;
use crate::place::Reservation;
use crate::work::State;

/// What a cut took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Attempts to have all shards in hand, the one that succeeded included.
    pub attempts: u32,
    /// From the first shard taken to the last put back, in the attempt that succeeded.
    pub held: Duration,
}

impl<S: State> Keep<S> {
    /// Has all shards in hand for a moment, calls `switch` with the number and the state of each, and queues a
    /// cut for the journal ([`Journal::append_cut`](crate::Journal::append_cut)) before any of them is put back.
    /// What is done to a shard before its `switch` is appended before the cut, what is done to it later behind
    /// it. A duty of [`Keep::on_journal`] that is given after this has returned runs after the cut was appended.
    ///
    /// Blocks until the call ends: while the queue is full, while other threads hold shards, and between two
    /// attempts. `switch` is to do little, and gathers no effects; a panic in it loses every shard. Without a
    /// journal nothing is queued.
    ///
    /// # Errors
    /// *Refused*, with nothing switched and nothing queued: when the call ends first, when a shard is lost, when
    /// the log admits nothing, or when the keep drains or closes. Names the shard that was waited for, or lost.
    pub fn cut(&self, call: &Call, mut switch: impl FnMut(usize, &mut S)) -> Result<Cut, Error> {
        let mut reserved = self.reserve_for(Intent::Cut, call)?;
        let mut rest = limits::CUT_REST_MIN;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let began = clock::now();
            match self.all_in_hand(began, call) {
                Ok(loans) => {
                    let back = cut_through(loans, &mut reserved, &mut switch);
                    let held = back.saturating_duration_since(began);
                    self.note_cut(attempts, Some(held));
                    return Ok(Cut { attempts, held });
                }
                Err(error) if has_ended(&error, call) => {
                    self.note_cut(attempts, None);
                    return Err(error);
                }
                Err(_) => rest_for(rest, call),
            }
            rest = limits::CUT_REST_MAX.min(rest * 2);
        }
    }

    /// One attempt: what is on its desk first, and then what is away, in ascending order.
    fn all_in_hand(&self, began: Instant, call: &Call) -> Result<Loans<S>, Error> {
        let all: Vec<_> = (0..self.shards()).collect();
        let is_gone = |&&shard: &&usize| self.shared.beside(shard).gone.load(SeqCst);
        if let Some(&shard) = all.iter().find(is_gone) {
            return Err(Refused::ShardLost { shard }.into());
        }
        let loans = self.borrow_first(&all)?;
        if loans.len() == all.len() {
            return Ok(Loans::new(loans));
        }
        let bound = Deadline::from(clock::later(began, limits::CUT_WAIT_MAX));
        let attempt = Call {
            cancel: call.cancel.clone(),
            ..Call::by(bound.min(call.deadline))
        };
        let shared = Arc::clone(&self.shared);
        Acquisition::new(shared, all, attempt, Patience::Insist)
            .beginning_with(loans)
            .wait()
    }

    fn note_cut(&self, attempts: u32, held: Option<Duration>) {
        if let Some(log) = &self.shared.log {
            log.counters.cut(attempts, held);
        }
    }
}

/// Does it, with all shards in hand; returns when the last was back.
fn cut_through<S: State>(
    mut loans: Loans<S>,
    reserved: &mut Reservation<'_, S>,
    switch: &mut impl FnMut(usize, &mut S),
) -> Instant {
    let place = reserved.detach();
    loans.settle_each();
    // Inside of the change, so that a panic never leaves a walk switched on without its cut.
    let late = loans.change(|loans| {
        for loan in loans.iter_mut() {
            switch(loan.index(), &mut loan.shard_mut().state);
        }
        match is_planted(Fault::CutQueuedLate) {
            true => place,
            false => {
                place.into_iter().for_each(|place| place.queue_cut());
                None
            }
        }
    });
    let back = loans.give_back();
    late.into_iter().for_each(|place| place.queue_cut());
    back
}

/// Whether another attempt would be in vain.
fn has_ended(error: &Error, call: &Call) -> bool {
    let came_too_late = matches!(
        error,
        Error::Refused(Refused::DeadlinePassed { .. } | Refused::MailboxFull { .. })
    );
    !came_too_late || call.deadline.has_passed(clock::now())
}

/// Gives other threads their turn, unless the call ends meanwhile.
fn rest_for(rest: Duration, call: &Call) {
    let until = Deadline::from(clock::later(clock::now(), rest)).min(call.deadline);
    let token = call.cancel.clone().unwrap_or_default();
    #[expect(
        clippy::disallowed_methods,
        reason = "blocking point B71: the rest is over, or the call ends"
    )]
    token.wait_until(until.instant());
}
