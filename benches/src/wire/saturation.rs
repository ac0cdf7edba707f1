//! Whether an open loop kept its schedule, and if not, who could not follow.
//!
//! Pure: it is told how far the load was behind its schedule, and how long the generator rested.
//!
//! 1. Behind is how long the oldest request without a reply has been due, averaged over the
//!    connections. A pause makes it grow and shrink again; a load beyond somebody's limit makes it
//!    grow for ever.
//! 2. A generator rests when it is neither on a core nor waiting for one: it has sent what is due
//!    and read what has come. One that is behind and never rests would be behind with any server.

use std::fs;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::Serialize;

/// Growth of the time behind, as a share of the time it took, that counts as not following: with it
/// 1 % of the offered requests are not answered.
const GROWTH_SHARE: f64 = 0.01;
/// Growth below this is the scheduling of threads, not a limit.
const GROWTH_MIN: Duration = Duration::from_millis(10);
/// A generator that rested for less than this share of the window had no strength to spare.
const REST_MIN: f64 = 0.1;

/// Who could not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Saturated {
    /// The generator waited for replies
    Server,
    /// The generator never rested: nothing is known about the server's limit
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Course {
    /// How far it was behind at the beginning, in the middle and at the end of the window.
    pub(super) behind: [Duration; 3],
    /// Share of the window in which it rested, averaged over its threads.
    pub(super) rest: f64,
}

/// Who could not follow, if the load fell behind in both halves of the `window`.
pub(super) fn saturated(course: &Course, window: Duration) -> Option<Saturated> {
    let bound = (window / 2).mul_f64(GROWTH_SHARE).max(GROWTH_MIN);
    let [begin, middle, end] = course.behind;
    let grew = |from: Duration, to: Duration| to.saturating_sub(from) > bound;
    if !(grew(begin, middle) && grew(middle, end)) {
        return None;
    }
    Some(if course.rest < REST_MIN {
        Saturated::Generator
    } else {
        Saturated::Server
    })
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

    fn check(behind_ms: [u64; 3], rest: f64, expected: Option<Saturated>) {
        let course = Course {
            behind: behind_ms.map(Duration::from_millis),
            rest,
        };
        assert_eq!(saturated(&course, WINDOW), expected, "{course:?}");
    }

    #[test]
    fn a_load_that_falls_behind_all_the_time_has_found_a_limit() {
        check([0, 100, 200], 0.5, Some(Saturated::Server));
        check([0, 100, 200], 0.01, Some(Saturated::Generator));
        check([900, 950, 1_000], 0.5, Some(Saturated::Server));
    }

    #[test]
    fn a_pause_is_not_a_limit() {
        check([0, 0, 100], 0.5, None);
        check([0, 100, 0], 0.5, None);
        check([500, 200, 0], 0.0, None);
    }

    #[test]
    fn a_load_that_keeps_up_is_not_saturated_however_hard_the_generator_works() {
        check([0, 0, 0], 0.0, None);
        check([1, 5, 9], 0.0, None);
    }

    #[test]
    fn a_working_thread_has_been_busy() {
        // Reading the account is itself a switch into the kernel, so some time is in it sooner or
        // later; it never runs backwards.
        let before = busy().unwrap();
        assert!(busy().unwrap() >= before);
    }
}
