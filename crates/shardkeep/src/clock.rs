//! Wall-clock time, read in one place, behind a seam.
//!
//! Only expiry asks here. Deadlines are monotonic and belong to the core.
//!
//! 1. Expiry time never goes back: an entry that was reported gone stays gone, however the wall clock is
//!    set. A clock of the embedder's own stands still until it has caught up ([`Steady`]); the operating
//!    system's runs on from where it was, with the monotonic clock ([`Running`]), so that a time to live
//!    takes as long as it says.

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::{Duration, Instant};

use shardkeep_core::clock;

use crate::table::UnixMillis;

/// Tells when entries expire. The store's own is [`SystemClock`]; a test brings one that jumps.
///
/// A store takes no step back: while the clock shows less than it has shown before, expiry time stands
/// still. Called while a shard is held: it must be quick and must not call the store.
pub trait Clock: Send + Sync + 'static {
    /// The present.
    fn now(&self) -> UnixMillis;
}

/// The clock of the operating system, without its steps back: when it is set back, this one runs on from
/// where it was, at the pace of the monotonic clock, until the other has caught up. One for the whole
/// process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// What [`SystemClock`] has shown to this process.
static SHOWN: Running = Running::new();

/// The origin of the monotonic side of [`SHOWN`].
static ORIGIN: LazyLock<Instant> = LazyLock::new(clock::now);

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = || clock::now().saturating_duration_since(*ORIGIN);
        UnixMillis::new(SHOWN.now(wall_millis, || whole_millis(since())))
    }
}

/// The wall clock as it stands.
fn wall_millis() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where wall-clock time is read"
    )]
    let now = std::time::SystemTime::now();
    // A clock set before 1970 reads as 1970: everything with an expiry lives on.
    whole_millis(
        now.duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn whole_millis(time: Duration) -> u64 {
    let whole = time.as_secs().saturating_mul(1_000);
    whole.saturating_add(u64::from(time.subsec_millis()))
}

/// How far the wall clock may run on before its distance from the monotonic clock is taken again
/// (milliseconds): a step forward that is taken back within this time is taken for none.
const DISTANCE_MILLIS: u64 = 1_000;

/// A wall clock without its steps back.
///
/// 1. What was shown is loaded *before* the wall clock is read: so a wall clock that lies behind it was
///    set back, and was not merely read by a thread that was slow.
/// 2. What is shown is never less than what was shown before that call began, on any thread.
struct Running {
    /// The latest that was shown.
    shown: AtomicU64,
    /// How far the wall clock is ahead of the monotonic one, at the most.
    distance: AtomicU64,
    /// When that was taken, by the wall clock.
    taken: AtomicU64,
}

impl Running {
    const fn new() -> Self {
        Self {
            shown: AtomicU64::new(0),
            distance: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        }
    }

    #[inline]
    fn now(&self, wall: impl FnOnce() -> u64, monotonic: impl FnOnce() -> u64) -> u64 {
        let shown = self.shown.load(Acquire);
        let wall = wall();
        if wall < shown || wall.saturating_sub(self.taken.load(Relaxed)) >= DISTANCE_MILLIS {
            return self.measured(shown, wall, monotonic());
        }
        if wall > shown {
            self.shown.fetch_max(wall, AcqRel);
        }
        wall
    }

    #[cold]
    fn measured(&self, shown: u64, wall: u64, monotonic: u64) -> u64 {
        let distance = wall.saturating_sub(monotonic);
        let distance = self.distance.fetch_max(distance, AcqRel).max(distance);
        self.taken.fetch_max(wall, Relaxed);
        let now = monotonic.saturating_add(distance).max(wall).max(shown);
        self.shown.fetch_max(now, AcqRel);
        now
    }
}

/// A clock of the embedder's own that stands still instead of going back.
pub(crate) struct Steady<C> {
    clock: C,
    shown: AtomicU64,
}

impl<C: Clock> Steady<C> {
    pub(crate) fn new(clock: C) -> Self {
        Self {
            clock,
            shown: AtomicU64::new(0),
        }
    }
}

impl<C: Clock> Clock for Steady<C> {
    fn now(&self) -> UnixMillis {
        let now = self.clock.now().get();
        let shown = self.shown.load(Acquire);
        if now > shown {
            self.shown.fetch_max(now, AcqRel);
        }
        UnixMillis::new(now.max(shown))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use super::*;

    /// Where the two clocks stand (milliseconds), and what must be shown then.
    fn check(readings: &[(u64, u64, u64)]) {
        let running = Running::new();
        for &(wall, monotonic, expected) in readings {
            let shown = running.now(|| wall, || monotonic);
            assert_eq!(shown, expected, "wall {wall}, monotonic {monotonic}");
        }
    }

    const DAY: u64 = 24 * 3_600 * 1_000;

    #[test]
    fn a_wall_clock_that_runs_forward_is_shown_as_it_is() {
        check(&[(DAY, 5, DAY), (DAY, 5, DAY), (DAY + 7, 12, DAY + 7)]);
        check(&[(DAY, 5, DAY), (3 * DAY, 6, 3 * DAY)]);
    }

    #[test]
    fn a_wall_clock_that_is_set_back_goes_on_at_the_pace_of_the_monotonic_one() {
        check(&[
            (2 * DAY, 1_000, 2 * DAY),
            (DAY, 1_000, 2 * DAY),
            (DAY + 400, 1_400, 2 * DAY + 400),
            (DAY + 60_000, 61_000, 2 * DAY + 60_000),
            // Set right again: nothing has happened.
            (2 * DAY + 70_000, 71_000, 2 * DAY + 70_000),
        ]);
    }

    #[test]
    fn what_passed_while_nothing_was_asked_counts_too() {
        check(&[
            (2 * DAY, 0, 2 * DAY),
            (DAY + 9_000, 10_000, 2 * DAY + 10_000),
        ]);
    }

    #[test]
    fn a_step_forward_that_is_taken_back_at_once_does_not_go_back() {
        check(&[
            (DAY, 0, DAY),
            (DAY + 900, 1, DAY + 900),
            (DAY + 2, 2, DAY + 900),
        ]);
    }

    #[test]
    fn clocks_at_their_ends_are_shown_too() {
        check(&[(0, 0, 0), (u64::MAX, 1, u64::MAX), (0, 2, u64::MAX)]);
    }

    #[test]
    fn the_system_clock_never_shows_less_than_before_on_any_thread() {
        let latest = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let before = latest.load(Acquire);
                        let now = SystemClock.now().get();
                        assert!(now >= before);
                        latest.fetch_max(now, AcqRel);
                    }
                });
            }
        });
    }
}
