//! The work itself: a few tasks to try the system with. Replace this file by your own.

use std::time::Duration;

use shardkeep_core::{CancelToken, Deadline};

/// The token was cancelled before the task was done.
pub(crate) struct Interrupted;

/// Longest that `wait` may wait.
const WAIT_MS_MAX: u64 = 3_600_000;

/// How often a long task looks whether it was interrupted.
const STEPS_PER_LOOK: u64 = 65_536;

/// What can be asked for.
pub(crate) enum Task<'t> {
    /// `upper TEXT`
    Upper(&'t str),
    /// `sum N`: the sum of the numbers up to N, one by one.
    Sum(u64),
    /// `wait MILLISECONDS`
    Wait(Duration),
    /// `fail N`: panics in its first N attempts.
    Fail(u32),
}

impl<'t> Task<'t> {
    /// # Errors
    /// Nobody knows such a task.
    pub(crate) fn parse(text: &'t str) -> Result<Self, &'static str> {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let task = match verb {
            "upper" => Some(Self::Upper(rest)),
            "sum" => rest.parse().ok().map(Self::Sum),
            "wait" => {
                let millis = rest.parse().ok().filter(|&millis| millis <= WAIT_MS_MAX);
                millis.map(|millis| Self::Wait(Duration::from_millis(millis)))
            }
            "fail" => rest.parse().ok().map(Self::Fail),
            _ => None,
        };
        task.ok_or("a task is: upper TEXT, sum N, wait MILLISECONDS, fail N")
    }

    /// Does it; `attempt` counts from 1.
    pub(crate) fn run(self, attempt: u32, token: &CancelToken) -> Result<String, Interrupted> {
        match self {
            Self::Upper(text) => Ok(text.to_uppercase()),
            Self::Sum(last) => {
                let mut sum = 0_u64;
                for number in 1..=last {
                    if number % STEPS_PER_LOOK == 0 && token.is_cancelled() {
                        return Err(Interrupted);
                    }
                    sum = std::hint::black_box(sum.wrapping_add(number));
                }
                Ok(sum.to_string())
            }
            Self::Wait(time) => match token.wait_until(Deadline::after(time).instant()) {
                true => Err(Interrupted),
                false => Ok(format!("waited {time:?}")),
            },
            Self::Fail(attempts) => {
                assert!(attempt > attempts, "attempt {attempt} fails as it was told");
                Ok(format!("attempt {attempt} went well"))
            }
        }
    }
}
