//! When the log last came forward, and how long that lets a wait for a sync go on.
//!
//! 1. The moment only moves on. It is noted when a write or a sync has *ended*, never when one begins: a disk
//!    that hangs makes no progress.
//! 2. A wait ends by its call's deadline, unless the log is on its way: then when it has stood still for as
//!    long as the call may wait for that. What is waited for is a bounded number of steps away, so a wait is
//!    bounded too.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::clock;
use crate::deadline::{Call, TIMEOUT_MAX};
use crate::sync::AtomicU64;

/// When a write or a sync of the log last ended.
pub(crate) struct Progress {
    origin: Instant,
    /// Microseconds since then; 0 for never.
    last_us: AtomicU64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            origin: clock::now(),
            last_us: AtomicU64::new(0),
        }
    }

    /// A write or a sync has ended. (Explored time jumps by an hour: nothing would follow from it.)
    pub(crate) fn note(&self, now: Instant) {
        if cfg!(shuttle) {
            return;
        }
        let us = now.saturating_duration_since(self.origin).as_micros();
        let us = u64::try_from(us).unwrap_or(u64::MAX);
        self.last_us.fetch_max(us, SeqCst);
    }

    /// The last time that one ended, or the opening of the log.
    pub(crate) fn last(&self) -> Instant {
        self.origin + Duration::from_micros(self.last_us.load(SeqCst))
    }
}

/// How long one call waits for a sync.
pub(crate) struct Wait {
    deadline: Instant,
    began: Instant,
    standstill: Duration,
}

impl Wait {
    /// A wait of `call` that begins `now`.
    pub(crate) fn new(call: &Call, now: Instant) -> Self {
        let deadline = call.deadline.instant();
        let left = deadline.saturating_duration_since(now);
        Self {
            deadline,
            began: now,
            standstill: call.standstill.unwrap_or(left).min(TIMEOUT_MAX),
        }
    }

    /// When it ends in vain, if the log comes no further than it did at `last`.
    pub(crate) fn ends(&self, last: Instant) -> Instant {
        self.deadline.max(self.began.max(last) + self.standstill)
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use super::*;
    use crate::deadline::Deadline;

    const S: Duration = Duration::from_secs(1);

    fn wait(now: Instant, deadline: Duration, standstill: Option<Duration>) -> Wait {
        let call = Call {
            standstill,
            ..Call::by(Deadline::from(now + deadline))
        };
        Wait::new(&call, now)
    }

    #[test]
    fn a_log_that_stands_still_is_waited_for_until_the_deadline() {
        let now = clock::now();
        let long_ago = now.checked_sub(100 * S).unwrap_or(now);
        assert_eq!(wait(now, 5 * S, None).ends(long_ago), now + 5 * S);
        // However little is left of it: the sync has as long as the call had.
        assert_eq!(wait(now, S / 10, Some(5 * S)).ends(now), now + 5 * S);
    }

    #[test]
    fn each_step_of_the_log_gives_the_next_as_long_again() {
        let now = clock::now();
        let wait = wait(now, 5 * S, None);
        for step in 1..20 {
            assert_eq!(wait.ends(now + step * 4 * S), now + (step * 4 + 5) * S);
        }
    }

    #[test]
    fn no_timeout_is_too_long() {
        let now = clock::now();
        let ends = wait(now, S, Some(Duration::MAX)).ends(now);
        assert!(ends > now + 1_000 * S);
    }

    #[test]
    fn progress_only_moves_on() {
        let progress = Progress::new();
        let origin = progress.last();
        progress.note(origin + 3 * S);
        progress.note(origin + 2 * S);
        assert_eq!(progress.last(), origin + 3 * S);
    }
}
