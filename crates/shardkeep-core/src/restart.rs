//! Whether what has ended is started again, and when.
//!
//! Pure: no threads and no clock; time and chance come in as arguments.
//!
//! 1. At most `intensity.restarts` restarts within any `intensity.period`; the next failure escalates.
//! 2. A delay lies between half of what the back-off says and all of it, and never above its `max`.
//! 3. Once it has escalated it says so for ever.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When a child is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Always: it is not supposed to end.
    Permanent,
    /// Only when it failed.
    Transient,
    /// Never: that it ended is a failure that its parent must know of.
    FailStop,
}

/// Restarts that are allowed within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// So many.
    pub restarts: u32,
    /// In so long a time.
    pub period: Duration,
}

impl Default for Intensity {
    /// Five in ten seconds.
    fn default() -> Self {
        Self {
            restarts: 5,
            period: Duration::from_secs(10),
        }
    }
}

/// How long a restart is put off: twice as long for each restart within the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first restart.
    pub first: Duration,
    /// Longest.
    pub max: Duration,
}

impl Default for Backoff {
    /// 10 ms to 1 s: five restarts take 0.3 s at most, so that the default intensity can be exceeded.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(10),
            max: Duration::from_secs(1),
        }
    }
}

impl Backoff {
    /// The delay after `recent` restarts; `random` takes up to half of it away, so that what failed
    /// together is not started together.
    #[must_use]
    pub fn delay(&self, recent: u32, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(recent).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(factor).min(self.max);
        let half = (whole / 2).as_nanos() as u64;
        whole - Duration::from_nanos(random.checked_rem(half + 1).unwrap_or(0))
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It had nothing more to do.
    Finished,
    /// It gave an error, or panicked.
    Failed,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start it again after this delay.
    Restart(Duration),
    /// It has ended and stays so.
    Leave,
    /// Tell the parent: this cannot go on.
    Escalate,
}

/// Remembers the restarts of one child.
///
/// ```
/// use std::time::{Duration, Instant};
/// use shardkeep_core::restart::{Backoff, Decision, Ending, Intensity, Policy, Restarts};
///
/// let twice = Intensity { restarts: 2, period: Duration::from_secs(10) };
/// let mut restarts = Restarts::new(Policy::Permanent, Some(twice), Backoff::default());
/// # #[expect(clippy::disallowed_methods, reason = "an example")]
/// let now = Instant::now();
/// assert!(matches!(restarts.ended(Ending::Failed, now, 0), Decision::Restart(_)));
/// assert!(matches!(restarts.ended(Ending::Failed, now, 0), Decision::Restart(_)));
/// assert_eq!(restarts.ended(Ending::Failed, now, 0), Decision::Escalate);
/// ```
#[derive(Clone, Debug)]
pub struct Restarts {
    policy: Policy,
    /// `None` never gives up.
    intensity: Option<Intensity>,
    backoff: Backoff,
    recent: VecDeque<Instant>,
    total: u64,
    escalated: bool,
}

/// Restarts that are remembered for the back-off of a child that is never given up: it has reached
/// its longest delay long before.
const REMEMBERED_MAX: u32 = 32;

impl Restarts {
    /// A child that was not restarted yet; without an `intensity` it is never given up.
    #[must_use]
    pub fn new(policy: Policy, intensity: Option<Intensity>, backoff: Backoff) -> Self {
        Self {
            policy,
            intensity,
            backoff,
            recent: VecDeque::new(),
            total: 0,
            escalated: false,
        }
    }

    /// Restarts in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// It ended at `now`: decides what is done. `random` is any number, for the delay.
    pub fn ended(&mut self, ending: Ending, now: Instant, random: u64) -> Decision {
        if self.escalated {
            return Decision::Escalate;
        }
        match (self.policy, ending) {
            (Policy::Transient, Ending::Finished) => Decision::Leave,
            (Policy::Permanent, Ending::Finished | Ending::Failed)
            | (Policy::Transient, Ending::Failed) => self.restart(now, random),
            (Policy::FailStop, Ending::Finished | Ending::Failed) => self.escalate(),
        }
    }

    fn escalate(&mut self) -> Decision {
        self.escalated = true;
        Decision::Escalate
    }

    fn restart(&mut self, now: Instant, random: u64) -> Decision {
        let Intensity { restarts, period } = self.intensity.unwrap_or(Intensity {
            restarts: REMEMBERED_MAX,
            ..Intensity::default()
        });
        self.recent
            .retain(|&at| now.saturating_duration_since(at) < period);
        let recent = self.recent.len() as u32;
        if recent >= restarts {
            if self.intensity.is_some() {
                return self.escalate();
            }
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.total += 1;
        Decision::Restart(self.backoff.delay(recent, random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        crate::clock::now()
    }

    fn restarts(policy: Policy, restarts: u32) -> Restarts {
        let period = Duration::from_secs(10);
        Restarts::new(
            policy,
            Some(Intensity { restarts, period }),
            Backoff::default(),
        )
    }

    #[test]
    fn each_policy_decides_by_how_it_ended() {
        let cases = [
            (Policy::Permanent, Ending::Finished, true, false),
            (Policy::Permanent, Ending::Failed, true, false),
            (Policy::Transient, Ending::Finished, false, false),
            (Policy::Transient, Ending::Failed, true, false),
            (Policy::FailStop, Ending::Finished, false, true),
            (Policy::FailStop, Ending::Failed, false, true),
        ];
        for (policy, ending, again, escalates) in cases {
            let decision = restarts(policy, 5).ended(ending, start(), 0);
            assert_eq!(
                matches!(decision, Decision::Restart(_)),
                again,
                "{policy:?}"
            );
            assert_eq!(decision == Decision::Escalate, escalates, "{policy:?}");
        }
    }

    #[test]
    fn a_child_that_is_allowed_no_restart_escalates_at_once() {
        let mut none = restarts(Policy::Permanent, 0);
        assert_eq!(none.ended(Ending::Failed, start(), 0), Decision::Escalate);
    }

    #[test]
    fn an_escalation_is_final() {
        let mut one = restarts(Policy::Permanent, 1);
        let now = start();
        one.ended(Ending::Failed, now, 0);
        for after in [0, 1_000_000] {
            let later = now + Duration::from_secs(after);
            assert_eq!(one.ended(Ending::Failed, later, 0), Decision::Escalate);
        }
        assert_eq!(one.total(), 1);
    }

    /// Every history of failures on a grid of moments, against a count over the window.
    #[test]
    fn every_short_history_agrees_with_a_count_over_the_window() {
        let begin = start();
        let gaps = [0_u64, 1, 4, 9, 10, 11];
        for allowed in 0..4_u32 {
            for history in 0..gaps.len().pow(5) {
                let (mut child, mut done) = (restarts(Policy::Permanent, allowed), Vec::new());
                let (mut rest, mut second, mut over) = (history, 0, false);
                for _ in 0..5 {
                    second += gaps[rest % gaps.len()];
                    rest /= gaps.len();
                    let recent = done.iter().filter(|&&at| second - at < 10).count();
                    over |= recent >= allowed as usize;
                    let now = begin + Duration::from_secs(second);
                    let decision = child.ended(Ending::Failed, now, history as u64);
                    assert_eq!(decision == Decision::Escalate, over, "{allowed} {history}");
                    if !over {
                        done.push(second);
                    }
                }
            }
        }
    }

    #[test]
    fn delays_double_up_to_the_longest_and_chance_takes_half_at_most() {
        let backoff = Backoff::default();
        for recent in 0..70 {
            let whole = backoff.delay(recent, 0);
            let expected = 10_u64.checked_shl(recent.min(40)).unwrap_or(0).min(1_000);
            assert_eq!(whole, Duration::from_millis(expected), "{recent}");
            for random in [1, 77, u64::MAX / 3, u64::MAX] {
                let delay = backoff.delay(recent, random);
                assert!(delay <= whole && delay >= whole / 2, "{recent} {random}");
            }
        }
    }

    #[test]
    fn a_delay_of_nothing_is_possible() {
        let none = Backoff {
            first: Duration::ZERO,
            max: Duration::ZERO,
        };
        assert_eq!(none.delay(3, 12_345), Duration::ZERO);
    }

    #[test]
    fn without_an_intensity_it_is_never_given_up_and_remembers_little() {
        let mut child = Restarts::new(Policy::Permanent, None, Backoff::default());
        let now = start();
        for _ in 0..1_000 {
            let decision = child.ended(Ending::Failed, now, 0);
            assert!(matches!(decision, Decision::Restart(_)));
        }
        assert_eq!(child.total(), 1_000);
        assert!(child.recent.len() <= REMEMBERED_MAX as usize);
    }
}
