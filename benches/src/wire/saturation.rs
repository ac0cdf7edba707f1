//! Whether an open loop kept its schedule, and if not, who could not follow.
//!
//! Pure: it is told how far the load was behind its schedule, and how long the generator rested.
//!
//! 1. Behind is how long the oldest request without a reply has been due, averaged over the
//!    connections. A pause makes it grow and shrink again; a load beyond somebody's limit makes it
//!    grow for ever: from third to third of the window, by the medians of what was seen in them.
//! 2. A generator rests when it is neither on a core nor waiting for one: it has sent what is due
//!    and read what has come. One that is behind and never rests would be behind with any server.
//! 3. A generator that was once as late by itself as the load then fell behind made that gap, rested
//!    or not: it had no core, and the kernel may not even know.

use std::fs;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::Serialize;

/// Growth of the time behind, as a share of the time it took, that counts as not following: with it
/// 1 % of the offered requests are not answered.
const GROWTH_SHARE: f64 = 0.01;
/// Growth below this is the scheduling of threads, not a limit.
const GROWTH_MIN: Duration = Duration::from_millis(10);
/// How often it is looked how far a load is behind, evenly over a window: five looks in each third,
/// so that a pause of a sixth of a window moves no median.
pub(super) const LOOKS: usize = 15;
const THIRDS: usize = 3;
const _: () = assert!(LOOKS.is_multiple_of(THIRDS));
/// A generator that rested for less than this share of the window had no strength to spare: on two
/// shared cores it rests for 3 to 11 % where nothing but the kernel is slow, and for 25 % and more
/// where it waits for a server.
const REST_MIN: f64 = 0.15;

/// Who could not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Saturated {
    /// The generator waited for replies
    Server,
    /// The generator never rested, or was late by itself: nothing is known about the server's limit
    Generator,
}

impl Saturated {
    /// As written in tables.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Generator => "generator",
        }
    }
}

/// What an open loop saw of itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Course {
    /// How far it was behind at every look.
    pub(super) behind: [Duration; LOOKS],
    /// Share of the window in which it rested, averaged over its threads.
    pub(super) rest: f64,
    /// By how much it was late at most while a connection had room.
    pub(super) late: Duration,
}

/// Who could not follow, if the load fell behind all through the `window`.
pub(super) fn saturated(course: &Course, window: Duration) -> Option<Saturated> {
    let third = window / THIRDS as u32;
    let bound = third.mul_f64(GROWTH_SHARE).max(GROWTH_MIN);
    let mut medians = course.behind.chunks(LOOKS / THIRDS).map(median);
    let first = medians.next()?;
    let mut last = first;
    for after in medians {
        if after.saturating_sub(last) <= bound {
            return None;
        }
        last = after;
    }
    Some(if course.rest < REST_MIN || course.late >= last - first {
        Saturated::Generator
    } else {
        Saturated::Server
    })
}

fn median(of: &[Duration]) -> Duration {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// How long the calling thread has been on a core, or waiting for one, since it began.
///
/// # Errors
/// The kernel keeps no such account.
pub(super) fn busy() -> Result<Duration> {
    let path = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(path).map_err(|error| anyhow!("read {path}: {error}"))?;
    let mut nanos = text.split_whitespace().map(str::parse::<u64>);
    match (nanos.next(), nanos.next()) {
        (Some(Ok(running)), Some(Ok(waiting))) => Ok(Duration::from_nanos(running + waiting)),
        _ => Err(anyhow!("{path}: {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(2);

    fn check(behind_ms: impl Fn(u64) -> u64, rest: f64, expected: Option<Saturated>) {
        check_late(behind_ms, rest, 5, expected);
    }

    fn check_late(
        behind_ms: impl Fn(u64) -> u64,
        rest: f64,
        late_ms: u64,
        expected: Option<Saturated>,
    ) {
        let behind = std::array::from_fn(|look| Duration::from_millis(behind_ms(look as u64)));
        let late = Duration::from_millis(late_ms);
        let course = Course { behind, rest, late };
        assert_eq!(saturated(&course, WINDOW), expected, "{course:?}");
    }

    #[test]
    fn a_load_that_falls_behind_all_the_time_has_found_a_limit() {
        check(|look| look * 20, 0.5, Some(Saturated::Server));
        check(|look| look * 20, 0.01, Some(Saturated::Generator));
        check(|look| 900 + look * 3, 0.5, Some(Saturated::Server));
        let unsteady = |look| look * 20 + look % 2 * 30;
        check(unsteady, 0.5, Some(Saturated::Server));
    }

    #[test]
    fn a_generator_that_was_late_by_itself_does_not_blame_the_server() {
        check_late(|look| look * 20, 0.5, 190, Some(Saturated::Server));
        check_late(|look| look * 20, 0.5, 200, Some(Saturated::Generator));
        check_late(|_look| 0, 0.5, 200, None);
    }

    #[test]
    fn a_pause_is_not_a_limit() {
        for begin in 0..LOOKS as u64 {
            let pause = |look| {
                if look == begin || look == begin + 1 {
                    100
                } else {
                    0
                }
            };
            check(pause, 0.5, None);
            check(pause, 0.0, None);
        }
        check(|look| 500 - look * 30, 0.0, None);
    }

    #[test]
    fn a_load_that_keeps_up_is_not_saturated_however_hard_the_generator_works() {
        check(|_look| 0, 0.0, None);
        check(|_look| 300, 0.0, None);
        check(|look| look % 4 * 5, 0.0, None);
    }

    #[test]
    fn a_working_thread_has_been_busy() {
        // Reading the account is itself a switch into the kernel, so some time is in it sooner or
        // later; it never runs backwards.
        let before = busy().unwrap();
        assert!(busy().unwrap() >= before);
    }
}
