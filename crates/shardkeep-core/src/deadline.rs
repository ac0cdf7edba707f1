//! When a wait ends: an absolute moment, and the caller's own revocation.

use std::time::{Duration, Instant};

use crate::cancel::CancelToken;
use crate::clock;

/// The moment until which a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment `timeout` from now ([`FAR`](clock::FAR) from now at most).
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self(clock::later(clock::now(), timeout))
    }

    /// The moment itself.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Whether it lies behind.
    #[must_use]
    pub fn has_passed(self, now: Instant) -> bool {
        self.0 <= now
    }
}

impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Self(instant)
    }
}

/// How long a call may take, and what revokes it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Until when the caller waits.
    pub deadline: Deadline,
    /// Revokes the call as long as its work has not begun.
    pub cancel: Option<CancelToken>,
    /// For how long the log may stand still while the call waits for a sync: the deadline bounds that wait
    /// only where neither a write nor a sync of the log ends meanwhile. `None`: for as long as the deadline
    /// has left when that wait begins.
    pub standstill: Option<Duration>,
}

impl Call {
    /// A call that ends by `deadline` and cannot be revoked.
    #[must_use]
    pub fn by(deadline: Deadline) -> Self {
        Self {
            deadline,
            cancel: None,
            standstill: None,
        }
    }

    /// A call that ends `timeout` from now (at most a year), and whose wait for a sync ends when the log
    /// has stood still for as long.
    #[must_use]
    pub fn within(timeout: Duration) -> Self {
        Self {
            standstill: Some(timeout),
            ..Self::by(Deadline::after(timeout))
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
    }
}
