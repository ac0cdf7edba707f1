//! How a supervised thread does, and what is said of it.

use std::fmt;
use std::time::Duration;

use crate::restart::Policy;

/// What is said to the callback of a supervisor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChildEvent {
    /// A child has failed, or ended, and is started again after the delay.
    Restarting {
        /// Its name.
        child: String,
        /// Why it ended.
        why: String,
        /// Its restarts in all.
        restarts: u64,
        /// How long it is put off.
        delay: Duration,
    },
    /// A child has failed that must not fail, or too often: this cannot go on.
    Escalated {
        /// Its name.
        child: String,
        /// Why it ended, the last time.
        why: String,
    },
}

impl fmt::Display for ChildEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restarting {
                child,
                why,
                restarts,
                delay,
            } => write!(
                f,
                "thread {child} has ended ({why}); restart {restarts} in {delay:?}"
            ),
            Self::Escalated { child, why } => {
                write!(f, "thread {child} has ended and is given up: {why}")
            }
        }
    }
}

/// Where a child stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Running,
    /// It failed, and waits to be started again.
    Waiting,
    /// It was given up.
    Escalated,
    /// It has ended: it was done, or was told to stop.
    Ended,
}

/// A child as it is now.
#[derive(Clone, Debug)]
pub struct ChildState {
    /// Its name.
    pub name: String,
    /// When it is started again.
    pub policy: Policy,
    /// Where it stands.
    pub standing: Standing,
    /// Its restarts in all.
    pub restarts: u64,
    /// Why it ended the last time, if it ever failed.
    pub last_reason: Option<String>,
}
