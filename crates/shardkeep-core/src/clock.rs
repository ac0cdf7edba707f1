//! Monotonic time, read in one place.
//!
//! Decisions take `now` as an argument; only the threads that carry them out ask here.
//!
//! 1. A time from outside is added to a moment by [`later`] alone, which cannot overflow.

use std::time::{Duration, Instant};

/// A time beyond this is as good as for ever.
pub const FAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The moment `by` after `moment`, or [`FAR`] after it if `by` is longer: a setting may be
/// [`Duration::MAX`], and an [`Instant`] that overflows panics.
#[must_use]
#[inline]
pub fn later(moment: Instant, by: Duration) -> Instant {
    moment.checked_add(by.min(FAR)).unwrap_or(moment)
}

/// The present, for deadlines and windows. Wall-clock time is not this crate's business.
#[cfg(not(shuttle))]
#[must_use]
#[inline]
pub fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where monotonic time is read"
    )]
    Instant::now()
}

#[cfg(shuttle)]
mod explored {
    //! Time under the schedule explorer: it stands still until a wait fires, and then every
    //! deadline of less than an hour has passed.

    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    static BASE: OnceLock<Instant> = OnceLock::new();
    const HOUR: Duration = Duration::from_secs(3_600);

    shuttle::lazy_static! {
        static ref FIRED: shuttle::sync::atomic::AtomicBool =
            shuttle::sync::atomic::AtomicBool::new(false);
    }

    fn base() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "the origin of explored time")]
        *BASE.get_or_init(Instant::now)
    }

    /// The present.
    #[must_use]
    pub fn now() -> Instant {
        if FIRED.load(std::sync::atomic::Ordering::SeqCst) {
            base() + HOUR
        } else {
            base()
        }
    }

    pub(crate) fn may_fire(deadline: Instant) -> bool {
        deadline < base() + HOUR
    }

    pub(crate) fn fire() {
        FIRED.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(shuttle)]
pub use explored::now;
#[cfg(shuttle)]
pub(crate) use explored::{fire, may_fire};

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_too_long_to_be_added() {
        let now = now();
        for (by, expected) in [
            (Duration::ZERO, Duration::ZERO),
            (Duration::from_nanos(1), Duration::from_nanos(1)),
            (FAR, FAR),
            (FAR + Duration::from_nanos(1), FAR),
            (Duration::MAX, FAR),
        ] {
            assert_eq!(later(now, by) - now, expected, "{by:?}");
            assert!(later(later(now, by), by) >= later(now, by));
        }
    }
}
