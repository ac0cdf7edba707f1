//! When a snapshot that nobody has asked for is due.
//!
//! Pure: how far the log has grown and what the time is come in as arguments.
//!
//! 1. It is due when the log has grown by the threshold since the last snapshot that it was told of.
//! 2. After one that was not taken it stays due, and is put off: twice as long each time.
//! 3. Without space it is due too, if it can replace anything: it is what makes room. One that was taken
//!    and has not made enough counts there as one that was not.

use std::time::Instant;

use shardkeep_core::clock;
use shardkeep_core::restart::Backoff;

use crate::limits;

/// Nothing else is put off with it, so there is no need for chance.
const BACKOFF: Backoff = Backoff {
    first: limits::SNAPSHOT_RETRY_FIRST,
    max: limits::SNAPSHOT_RETRY_MAX,
};

/// Says when the next snapshot is due.
///
/// ```
/// use shardkeep::durable::Schedule;
///
/// # #[expect(clippy::disallowed_methods, reason = "an example")]
/// let now = std::time::Instant::now();
/// let mut schedule = Schedule::new(1_000, 0);
/// assert!(!schedule.is_due(999, false, now));
/// assert!(schedule.is_due(999, true, now), "there is no space");
/// assert!(schedule.is_due(1_000, false, now));
/// assert!(schedule.failed(now), "the first of its kind");
/// assert!(!schedule.is_due(1_000, false, now), "it is put off");
/// assert!(schedule.taken(1_000, false, now), "the first that was taken again");
/// assert!(!schedule.is_due(1_999, false, now));
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    /// 0 for never.
    threshold: u64,
    /// How far the log had grown when the last snapshot began.
    last: u64,
    /// One was taken: what is in the log was appended since.
    is_taken: bool,
    /// That were not taken since one was.
    failures: u32,
    /// That were taken in a row and have not made enough room.
    in_vain: u32,
    put_off: Option<Instant>,
}

impl Schedule {
    /// Due whenever the log has grown by `threshold` bytes from `grown`, where it is now; never with 0.
    #[must_use]
    pub fn new(threshold: u64, grown: u64) -> Self {
        Self {
            threshold,
            last: grown,
            is_taken: false,
            failures: 0,
            in_vain: 0,
            put_off: None,
        }
    }

    /// Whether one is due `now`, with a log that has grown so far, and `is_short` of space or not.
    #[must_use]
    pub fn is_due(&self, grown: u64, is_short: bool, now: Instant) -> bool {
        let more = grown.saturating_sub(self.last);
        let makes_room = is_short && (more > 0 || !self.is_taken);
        let is_due = self.threshold > 0 && (more >= self.threshold || makes_room);
        is_due && self.put_off.is_none_or(|until| until <= now)
    }

    /// One was taken `now` that began when the log had grown so far, and left it `is_short` of space or not;
    /// says whether those before it failed.
    pub fn taken(&mut self, grown: u64, is_short: bool, now: Instant) -> bool {
        self.last = grown;
        self.is_taken = true;
        self.put_off = is_short.then(|| clock::later(now, BACKOFF.delay(self.in_vain, 0)));
        self.in_vain = match is_short {
            true => self.in_vain.saturating_add(1),
            false => 0,
        };
        std::mem::take(&mut self.failures) > 0
    }

    /// One that was due was not taken; says whether it is the first, of which somebody should hear.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.put_off = Some(clock::later(now, BACKOFF.delay(self.failures, 0)));
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
        assert!(!schedule.is_due(14, false, now));
        let mut delays = Vec::new();
        for attempt in 0..12 {
            assert!(schedule.is_due(15, false, now));
            assert_eq!(schedule.failed(now), attempt == 0);
            let failed = now;
            while !schedule.is_due(15, false, now) {
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
        assert!(schedule.taken(15, false, now));
        assert!(!schedule.taken(15, false, now), "nothing has failed since");
        assert!(!schedule.is_due(24, false, now));
        assert!(schedule.is_due(25, false, now));
    }

    #[test]
    fn without_space_one_is_due_as_long_as_it_may_make_some() {
        let mut now = shardkeep_core::clock::now();
        let mut schedule = Schedule::new(1_000, 0);
        assert!(!schedule.is_due(0, false, now));
        assert!(
            schedule.is_due(0, true, now),
            "what is there may be as old as can be"
        );
        let mut delays = Vec::new();
        for grown in 0..10 {
            assert!(schedule.is_due(grown, true, now));
            assert!(!schedule.taken(grown, true, now));
            assert!(!schedule.is_due(grown + 1, true, now), "it is put off");
            let taken = now;
            while !schedule.is_due(grown + 1, true, now) {
                now += Duration::from_millis(500);
            }
            assert!(!schedule.is_due(grown, true, now), "nothing is new");
            delays.push(now - taken);
        }
        assert_eq!(delays[0], limits::SNAPSHOT_RETRY_FIRST);
        assert!(delays.is_sorted());
        assert_eq!(delays.last(), Some(&limits::SNAPSHOT_RETRY_MAX));
        schedule.taken(10, false, now);
        assert!(schedule.is_due(11, true, now), "there was enough meanwhile");
        assert!(!schedule.is_due(11, false, now));
    }

    #[test]
    fn without_a_threshold_none_is_ever_due() {
        let now = shardkeep_core::clock::now();
        for is_short in [false, true] {
            assert!(!Schedule::new(0, 0).is_due(u64::MAX, is_short, now));
        }
    }
}
