//! Time for the server: monotonic for deadlines, wall clock for expiry. Read once per tick.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use shardkeep::engine::clock::{later, now};
use shardkeep::table::UnixMillis;
use shardkeep::{Clock, SystemClock};

/// The wall clock in microseconds since 1970; a clock before 1970 counts as 1970.
pub(crate) fn unix_micros() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Expiry time in milliseconds since 1970: the wall clock, but never back (see [`SystemClock`]).
pub(crate) fn unix_millis() -> UnixMillis {
    SystemClock.now()
}
