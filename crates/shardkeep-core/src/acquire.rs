//! Several shards at once: borrowed in ascending order, so that nobody waits in a circle.
//!
//! Where a desk is empty the request "hand me the map" goes into the mailbox, and the holder passes
//! the loan itself into the requester's ticket.
//!
//! 1. A requester waits only for a shard above all those it holds.
//! 2. What was handed to a requester that has given up comes back: one transition of the ticket
//!    decides.

use std::sync::Arc;

use crate::clock;
use crate::deadline::Call;
use crate::error::{Error, Refused};
use crate::loan::{Loan, Loans};
use crate::mail::{HandMe, Mail};
use crate::posting::Posting;
use crate::shared::Shared;
use crate::sync::Wake;
use crate::ticket::Ticket;
use crate::work::State;

/// An attempt to get several shards, step by step and without blocking.
pub(crate) struct Acquisition<S: State> {
    shared: Arc<Shared<S>>,
    shards: Vec<usize>,
    loans: Vec<Loan<S>>,
    asked: Option<Arc<Ticket<Loan<S>>>>,
    call: Call,
    patience: Patience,
}

/// How a requester waits.
pub(crate) enum Patience {
    /// On its ticket; for a place in a full mailbox as the keep's overload setting says.
    Sleep,
    /// On its ticket; for a place too, whatever the setting: closing is not load.
    Insist,
    /// Not at all: this is woken when a step is possible again.
    Woken(Arc<dyn Wake>),
}

pub(crate) enum Step {
    /// All are in hand.
    Ready,
    /// A holder was asked; nothing to do before it answers.
    Waiting,
    /// It cannot be.
    Failed(Error),
}

impl<S: State> Acquisition<S> {
    /// # Panics
    /// When `shards` is not ascending, or names a shard that does not exist.
    pub(crate) fn new(
        shared: Arc<Shared<S>>,
        shards: Vec<usize>,
        call: Call,
        patience: Patience,
    ) -> Self {
        assert!(
            shards.windows(2).all(|pair| pair[0] < pair[1]),
            "shards must be ascending"
        );
        assert!(
            shards.last().is_none_or(|&last| last < shared.shards()),
            "no such shard"
        );
        let loans = Vec::with_capacity(shards.len());
        Self {
            shared,
            shards,
            loans,
            asked: None,
            call,
            patience,
        }
    }

    /// With the first of its shards in hand already.
    pub(crate) fn beginning_with(mut self, loans: Vec<Loan<S>>) -> Self {
        debug_assert!(self.loans.is_empty() && loans.len() <= self.shards.len());
        self.loans = loans;
        self
    }

    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    /// Goes as far as it can without waiting.
    pub(crate) fn step(&mut self) -> Step {
        loop {
            if let Some(ticket) = self.asked.take() {
                match ticket.take() {
                    Some(Ok(loan)) => match self.take_in(loan) {
                        Ok(()) => continue,
                        Err(error) => return Step::Failed(error),
                    },
                    Some(Err(error)) => return Step::Failed(error),
                    None => {
                        self.asked = Some(ticket);
                        return Step::Waiting;
                    }
                }
            }
            let Some(&index) = self.shards.get(self.loans.len()) else {
                return Step::Ready;
            };
            match self.borrow(index) {
                Ok(true) => {}
                Ok(false) => match self.ask(index) {
                    Ok(true) => {}
                    Ok(false) => return Step::Waiting,
                    Err(refused) => return Step::Failed(refused.into()),
                },
                Err(error) => return Step::Failed(error),
            }
        }
    }

    /// Takes the shard off its desk if it lies there; mail that waits comes first.
    fn borrow(&mut self, index: usize) -> Result<bool, Error> {
        let shared = Arc::clone(&self.shared);
        let Some(loan) = shared.borrow_served(index) else {
            return Ok(false);
        };
        self.take_in(loan.travel())?;
        Ok(true)
    }

    fn take_in(&mut self, loan: Loan<S>) -> Result<(), Error> {
        if loan.shard().closed {
            return Err(Refused::Closed.into());
        }
        self.loans.push(loan);
        Ok(())
    }

    /// Mails the request; `false` when the mailbox is full and the wake-up is registered there.
    fn ask(&mut self, index: usize) -> Result<bool, Refused> {
        let (ticket, posting) = match &self.patience {
            Patience::Sleep => (Ticket::new(index), Posting::Wait(&self.call)),
            Patience::Insist => (Ticket::new(index), Posting::Insist(&self.call)),
            Patience::Woken(wake) => (
                Ticket::waking(index, Arc::clone(wake)),
                Posting::Register(wake),
            ),
        };
        let request = HandMe::new(Arc::clone(&ticket), self.call.deadline, clock::now());
        let why = match self.shared.send(index, Mail::HandMe(request), &posting) {
            Ok(()) => {
                self.asked = Some(ticket);
                return Ok(true);
            }
            Err((Mail::HandMe(request), why)) => {
                request.recall();
                why
            }
            Err((Mail::Work(_), _)) => unreachable!("what comes back is what was sent"),
        };
        match (why, posting) {
            (Refused::MailboxFull { .. }, Posting::Register(_)) => Ok(false),
            (why, _) => {
                self.shared.beside(index).counters.refused(&why);
                Err(why)
            }
        }
    }

    /// Gets them all, waiting where it must: until the call ends.
    pub(crate) fn wait(mut self) -> Result<Loans<S>, Error> {
        loop {
            match self.step() {
                Step::Ready => return Ok(self.into_loans()),
                Step::Failed(error) => return Err(error),
                Step::Waiting => {
                    let Some(ticket) = self.asked.take() else {
                        unreachable!("a step waits for a ticket it has asked for")
                    };
                    let index = self.shards[self.loans.len()];
                    let mailbox = &self.shared.beside(index).mailbox;
                    let loan = ticket.wait(&self.call, || mailbox.depth())?;
                    self.take_in(loan)?;
                }
            }
        }
    }

    pub(crate) fn into_loans(mut self) -> Loans<S> {
        Loans::new(std::mem::take(&mut self.loans))
    }
}

impl<S: State> Drop for Acquisition<S> {
    fn drop(&mut self) {
        if let Some(ticket) = self.asked.take() {
            // A loan that arrived in the meantime is dropped, which returns it.
            drop(ticket.abandon(Refused::Cancelled));
        }
        drop(Loans::new(std::mem::take(&mut self.loans)));
    }
}
