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
use crate::deadline::Call;
use crate::limits;
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
        clock::later(
            self.origin,
            Duration::from_micros(self.last_us.load(SeqCst)),
        )
    }
}

/// How much is written and synced at a time.
///
/// A step that is quick is followed by one of twice as many bytes, a slow one by half as many: a disk that
/// is slow by the byte gets small steps, one whose syncs take long whatever they cover gets few.
pub(crate) struct Pace(usize);

impl Pace {
    pub(crate) fn new() -> Self {
        Self(limits::LOG_STEP_BYTES)
    }

    /// Bytes of the next step.
    pub(crate) fn bytes(&self) -> usize {
        self.0
    }

    /// A step of `bytes` took so long.
    pub(crate) fn note(&mut self, bytes: usize, took: Duration) {
        if took > limits::LOG_STEP_TIME {
            self.0 = (self.0 / 2).max(limits::LOG_STEP_BYTES);
        } else if bytes >= self.0 {
            self.0 = (self.0 * 2).min(limits::LOG_STEP_BYTES_MAX);
        }
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
            standstill: call.standstill.unwrap_or(left),
        }
    }

    /// When it ends in vain, if the log comes no further than it did at `last`.
    pub(crate) fn ends(&self, last: Instant) -> Instant {
        self.deadline
            .max(clock::later(self.began.max(last), self.standstill))
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

    /// Seconds that a step takes, by its bytes; and the least and the most of its steps after a while.
    fn steps(took: impl Fn(f64) -> f64) -> (usize, usize) {
        let mut pace = Pace::new();
        let mut step = || {
            let bytes = pace.bytes();
            pace.note(bytes, Duration::from_secs_f64(took(bytes as f64)));
            bytes
        };
        for _ in 0..10 {
            step();
        }
        let steps: Vec<_> = (0..10).map(|_| step()).collect();
        let [least, most] = [steps.iter().min(), steps.iter().max()].map(|step| step.copied());
        (least.unwrap_or(0), most.unwrap_or(0))
    }

    #[test]
    fn steps_are_as_large_as_the_disk_is_fast() {
        let (min, max) = (limits::LOG_STEP_BYTES, limits::LOG_STEP_BYTES_MAX);
        assert_eq!(steps(|bytes| bytes / 1e9), (max, max), "a fast disk");
        assert_eq!(steps(|bytes| bytes / 1e7), (min, min), "a slow one");
        let (least, most) = steps(|bytes| 0.2 + bytes / 1e9);
        assert!(least > min, "slow syncs: {least} to {most}");
        // Small commits say nothing of large ones.
        let mut pace = Pace::new();
        (0..100).for_each(|_| pace.note(1_000, Duration::ZERO));
        assert_eq!(pace.bytes(), min);
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
