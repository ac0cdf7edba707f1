//! Things that somebody wants done with the journal in hand.
//!
//! 1. A duty that was taken is settled once: done, refused or lost; nobody waits for one that will not
//!    be carried out. Who adds one looks at the log's condition after that; who ends the log changes
//!    the condition, *then* refuses what is there.

use std::sync::Arc;

use crate::deadline::Call;
use crate::error::{Error, Lost, Refused};
use crate::journal::Journal;
use crate::limits;
use crate::log::{Condition, Log};
use crate::ticket::Ticket;

/// Something to be done with the journal in hand, and whoever waits for it.
pub(crate) trait Duty<J>: Send {
    /// Does it, unless nobody waits for it any more.
    fn run(&mut self, journal: &mut J);

    /// Tells what became of it: what `run` came to, or why it was not called.
    fn settle(self: Box<Self>, refused: Option<Refused>);
}

struct Errand<T, F> {
    ticket: Arc<Ticket<T>>,
    duty: Option<F>,
    result: Option<T>,
}

impl<J, T: Send, F: FnOnce(&mut J) -> T + Send> Duty<J> for Errand<T, F> {
    fn run(&mut self, journal: &mut J) {
        if let Some(duty) = self.duty.take()
            && self.ticket.begin()
        {
            self.result = Some(duty(journal));
        }
    }

    fn settle(self: Box<Self>, refused: Option<Refused>) {
        let result = match (self.result, refused) {
            (Some(result), _) => Ok(result),
            (None, Some(refused)) => Err(Error::Refused(refused)),
            // It panicked, or it was given up before it began.
            (None, None) => Err(Error::Lost(Lost::LogFailed)),
        };
        // Who has given up need not be told.
        drop(self.ticket.settle(result));
    }
}

/// The way to the journal, for those who make a lost state again.
pub struct JournalDesk<J: Journal>(Arc<Log<J>>);

impl<J: Journal> JournalDesk<J> {
    pub(crate) fn new(log: &Arc<Log<J>>) -> Self {
        Self(Arc::clone(log))
    }

    /// As [`Keep::on_journal`](crate::Keep::on_journal).
    ///
    /// # Errors
    /// *Refused* where `duty` will not run; *lost* where it may.
    pub fn on_journal<T: Send + 'static>(
        &self,
        call: &Call,
        duty: impl FnOnce(&mut J) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.0.on_journal(call, duty)
    }
}

impl<J: Journal> Log<J> {
    /// Has the committer run `duty`, and waits for what it returns.
    pub(crate) fn on_journal<T: Send + 'static>(
        &self,
        call: &Call,
        duty: impl FnOnce(&mut J) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.admits_duties()?;
        let ticket = Ticket::new(0);
        let errand = Errand {
            ticket: Arc::clone(&ticket),
            duty: Some(duty),
            result: None,
        };
        if self.duties.try_send(Box::new(errand)).is_err() {
            return Err(Refused::OverLimit {
                limit: "duties of the committer",
                allowed: limits::LOG_DUTIES_MAX as u64,
                needed: limits::LOG_DUTIES_MAX as u64 + 1,
            }
            .into());
        }
        // The committer may have ended just before.
        if self.admits_duties().is_err() {
            self.refuse_duties();
        }
        self.hurry();
        ticket.wait(call, || 0)
    }

    fn admits_duties(&self) -> Result<(), Refused> {
        match self.condition() {
            Condition::Open | Condition::NoSpace | Condition::Scarce => Ok(()),
            Condition::Recovering => Err(Refused::Recovering),
            Condition::Failed => Err(Refused::LogFailed),
            Condition::Closed => Err(Refused::Closed),
        }
    }

    /// Refuses what waits to be done, where nothing is done any more.
    pub(crate) fn refuse_duties(&self) {
        while let Some(duty) = self.duties.try_recv() {
            duty.settle(self.admits_duties().err());
        }
    }
}
