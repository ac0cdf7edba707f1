//! Time for the tests: the one place that reads a clock.
//!
//! Not a seam: these tests look at real processes, so the time is real.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest that anything in these tests waits for one event, unless a test says otherwise. Far beyond
/// what a loaded machine with two cores needs, and short enough that a hang is a failure, not a night.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The monotonic time. Never blocks.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn now() -> Instant {
    Instant::now()
}

/// What is left until `deadline`, or `None` when it has passed. Never blocks.
#[must_use]
pub fn left(deadline: Instant) -> Option<Duration> {
    deadline
        .checked_duration_since(now())
        .filter(|left| !left.is_zero())
}

/// The wall clock, in whole seconds since the epoch. Never blocks.
///
/// # Panics
/// The wall clock stands before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn unix_seconds() -> u64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs(),
        Err(_) => panic!("the wall clock stands before 1970"),
    }
}

/// Returns when `time` has passed: for things that happen by the clock alone, such as expiry. Blocks
/// for `time`, and no longer than the scheduler takes.
pub fn pass(time: Duration) {
    let until = now() + time;
    while let Some(left) = left(until) {
        std::thread::park_timeout(left);
    }
}
