//! When a snapshot that nobody has asked for is due.
//!
//! Pure: how far the log has grown and what the time is come in as arguments.
//!
//! 1. It is due when the log has grown by the threshold since the last snapshot that it was told of.
//! 2. After one that was not taken it stays due, and is put off: twice as long each time.

use std::time::Instant;

use shardkeep_core::clock;
use shardkeep_core::restart::Backoff;

use crate::limits;

/// Says when the next snapshot is due.
///
/// ```
/// use shardkeep::durable::Schedule;
///
/// # #[expect(clippy::disallowed_methods, reason = "an example")]
/// let now = std::time::Instant::now();
/// let mut schedule = Schedule::new(1_000, 0);
/// assert!(!schedule.is_due(999, now));
/// assert!(schedule.is_due(1_000, now));
/// assert!(schedule.failed(now), "the first of its kind");
/// assert!(!schedule.is_due(1_000, now), "it is put off");
/// assert!(schedule.taken(1_000), "the first that was taken again");
/// assert!(!schedule.is_due(1_999, now));
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    /// 0 for never.
    threshold: u64,
    /// How far the log had grown when the last snapshot began.
    last: u64,
    /// That were not taken since one was.
    failures: u32,
    put_off: Option<Instant>,
}

impl Schedule {
    /// Due whenever the log has grown by `threshold` bytes from `grown`, where it is now; never with 0.
    #[must_use]
    pub fn new(threshold: u64, grown: u64) -> Self {
        Self {
            threshold,
            last: grown,
            failures: 0,
            put_off: None,
        }
    }

    /// Whether one is due `now`, with a log that has grown so far.
    #[must_use]
    pub fn is_due(&self, grown: u64, now: Instant) -> bool {
        let has_grown = self.threshold > 0 && grown.saturating_sub(self.last) >= self.threshold;
        has_grown && self.put_off.is_none_or(|until| until <= now)
    }

    /// One was taken that began when the log had grown so far; says whether those before it failed.
    pub fn taken(&mut self, grown: u64) -> bool {
        self.last = grown;
        self.put_off = None;
        std::mem::take(&mut self.failures) > 0
    }

    /// One that was due was not taken; says whether it is the first, of which somebody should hear.
    pub fn failed(&mut self, now: Instant) -> bool {
        let backoff = Backoff {
            first: limits::SNAPSHOT_RETRY_FIRST,
            max: limits::SNAPSHOT_RETRY_MAX,
        };
        // Nothing else is put off with it, so there is no need for chance.
        self.put_off = Some(clock::later(now, backoff.delay(self.failures, 0)));
        self.failures = self.failures.saturating_add(1);
        self.failures == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_fails_again_and_again_is_put_off_longer_and_longer_up_to_a_bound() {
        let start = shardkeep_core::clock::now();
        let (mut schedule, mut now) = (Schedule::new(10, 5), start);
        assert!(!schedule.is_due(14, now));
        let mut delays = Vec::new();
        for attempt in 0..12 {
            assert!(schedule.is_due(15, now));
            assert_eq!(schedule.failed(now), attempt == 0);
            let failed = now;
            while !schedule.is_due(15, now) {
                now += Duration::from_millis(500);
            }
            delays.push(now - failed);
        }
        assert_eq!(delays[0], limits::SNAPSHOT_RETRY_FIRST);
        assert!(
            delays
                .iter()
                .zip(&delays[1..])
                .all(|(one, next)| one <= next)
        );
        assert_eq!(delays.last(), Some(&limits::SNAPSHOT_RETRY_MAX));
        assert!(schedule.taken(15));
        assert!(!schedule.taken(15), "nothing has failed since");
        assert!(!schedule.is_due(24, now));
        assert!(schedule.is_due(25, now));
    }

    #[test]
    fn without_a_threshold_none_is_ever_due() {
        let now = shardkeep_core::clock::now();
        assert!(!Schedule::new(0, 0).is_due(u64::MAX, now));
    }
}
