//! What a job is, and how its state may change. Pure: no store, no threads.
//!
//! 1. An attempt is counted before it begins: a job that kills the process is parked in the end, too.
//! 2. `Done`, `Parked` and `Cancelled` are final.

use shardkeep::Encode;
use shardkeep::codec::DecodeError;

/// Attempts at one job; after the last it is parked.
pub(crate) const ATTEMPTS_MAX: u32 = 4;

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits for a worker, perhaps again.
    Queued,
    /// A worker is at it; found at the start, the process died meanwhile.
    Running,
    /// It is done; this is the result.
    Done(String),
    /// It failed too often; this was the reason of the last time.
    Parked(String),
    /// It was cancelled.
    Cancelled,
}

/// How an attempt ended.
pub(crate) enum Outcome {
    /// With a result.
    Done(String),
    /// It failed, or panicked.
    Failed(String),
    /// Its token was cancelled before it was done.
    Interrupted,
}

/// A job, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) state: State,
    /// Attempts that were begun.
    pub(crate) attempts: u32,
    /// What is to be done.
    pub(crate) task: String,
}

impl Job {
    pub(crate) fn new(task: String) -> Self {
        Self {
            state: State::Queued,
            attempts: 0,
            task,
        }
    }

    pub(crate) fn is_final(&self) -> bool {
        match self.state {
            State::Queued | State::Running => false,
            State::Done(_) | State::Parked(_) | State::Cancelled => true,
        }
    }

    fn with(&self, state: State) -> Self {
        Self {
            state,
            ..self.clone()
        }
    }

    /// As it is when a worker has taken it; `None`: there is nothing to do about it.
    pub(crate) fn begun(&self) -> Option<Self> {
        if self.is_final() {
            return None;
        }
        if self.attempts >= ATTEMPTS_MAX {
            return Some(self.with(State::Parked("the process died of it".to_owned())));
        }
        Some(Self {
            attempts: self.attempts + 1,
            ..self.with(State::Running)
        })
    }

    /// As it is after an attempt; `cancelled` says whether its submitter has asked it to stop, else it
    /// was the end of the program that interrupted it, and the attempt does not count.
    pub(crate) fn ended(&self, outcome: Outcome, cancelled: bool) -> Self {
        match outcome {
            Outcome::Done(result) => self.with(State::Done(result)),
            Outcome::Failed(_) | Outcome::Interrupted if cancelled => self.cancelled(),
            Outcome::Failed(why) if self.attempts >= ATTEMPTS_MAX => self.with(State::Parked(why)),
            Outcome::Failed(_) => self.with(State::Queued),
            Outcome::Interrupted => Self {
                attempts: self.attempts.saturating_sub(1),
                ..self.with(State::Queued)
            },
        }
    }

    /// As it is when it was cancelled.
    pub(crate) fn cancelled(&self) -> Self {
        self.with(State::Cancelled)
    }

    /// The name of the state, and what it says.
    pub(crate) fn told(&self) -> (&'static str, Option<&str>) {
        match &self.state {
            State::Queued => ("queued", None),
            State::Running => ("running", None),
            State::Done(result) => ("done", Some(result)),
            State::Parked(why) => ("parked", Some(why)),
            State::Cancelled => ("cancelled", None),
        }
    }
}

impl Encode for Job {
    fn encode(&self, into: &mut Vec<u8>) {
        let (kind, text) = match &self.state {
            State::Queued => (0_u8, ""),
            State::Running => (1, ""),
            State::Done(result) => (2, result.as_str()),
            State::Parked(why) => (3, why.as_str()),
            State::Cancelled => (4, ""),
        };
        let texts = (text.to_owned(), self.task.clone());
        ((kind, self.attempts), texts).encode(into);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ((kind, attempts), (text, task)) = <((u8, u32), (String, String))>::decode(bytes)?;
        let state = match kind {
            0 => State::Queued,
            1 => State::Running,
            2 => State::Done(text),
            3 => State::Parked(text),
            4 => State::Cancelled,
            other => return Err(DecodeError(format!("no state of a job: {other}"))),
        };
        Ok(Self {
            state,
            attempts,
            task,
        })
    }
}
