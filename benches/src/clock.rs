//! The only place that reads a clock, and the only way to wait for one.
//!
//! Everything else is handed an `Instant`.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time, for deadlines and latencies.
#[inline]
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Wall-clock seconds since 1970, for the date of a result.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Blocks until `deadline`.
pub(crate) fn wait_until(deadline: Instant) {
    // The channel delivers exactly one message, at the deadline; it cannot disconnect before.
    let _at = crossbeam_channel::at(deadline).recv();
}
