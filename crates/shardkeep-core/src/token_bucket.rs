//! How much may go now, at a rate.
//!
//! Pure: time comes in as an argument; whoever asks does the waiting.
//!
//! 1. Within any time `t` at most `burst + rate * t` tokens are given.
//! 2. A time that runs backwards gives nothing and takes nothing.

use std::time::{Duration, Instant};

const NANOS: u128 = 1_000_000_000;

/// Fills with tokens at a rate, up to a burst; each thing that goes takes some.
///
/// ```
/// use std::time::{Duration, Instant};
/// use shardkeep_core::token_bucket::TokenBucket;
///
/// # #[expect(clippy::disallowed_methods, reason = "an example")]
/// let now = Instant::now();
/// let mut bucket = TokenBucket::new(1_000, 2, now);
/// assert_eq!(bucket.take(2, now), Ok(()));
/// assert_eq!(bucket.take(1, now), Err(Duration::from_millis(1)));
/// assert_eq!(bucket.take(1, now + Duration::from_millis(1)), Ok(()));
/// ```
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Tokens in a second.
    rate: u64,
    /// Most of what lies in it, in billionths of a token.
    full: u128,
    /// What lies in it, in billionths of a token.
    level: u128,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full one, that gets `rate` tokens in each second and holds `burst`; of either at least one.
    #[must_use]
    pub fn new(rate: u64, burst: u64, now: Instant) -> Self {
        let full = u128::from(burst.max(1)) * NANOS;
        Self {
            rate: rate.max(1),
            full,
            level: full,
            filled_at: now,
        }
    }

    /// Takes `tokens`, all or none. More than the burst are given for a full bucket: otherwise never.
    ///
    /// # Errors
    /// There are too few: how long it takes until there are enough, if nobody else takes any.
    pub fn take(&mut self, tokens: u64, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.filled_at);
        self.filled_at = self.filled_at.max(now);
        let gained = passed.as_nanos().saturating_mul(u128::from(self.rate));
        self.level = self.level.saturating_add(gained).min(self.full);
        let wanted = (u128::from(tokens) * NANOS).min(self.full);
        if let Some(left) = self.level.checked_sub(wanted) {
            self.level = left;
            return Ok(());
        }
        let nanos = (wanted - self.level).div_ceil(u128::from(self.rate));
        Err(Duration::from_nanos(
            u64::try_from(nanos).unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        crate::clock::now()
    }

    #[test]
    fn within_any_time_no_more_than_the_burst_and_the_rate_are_given() {
        let begin = start();
        for (rate, burst, gap) in [
            (1_000, 1, 999_999),
            (1_000, 3, 400_000),
            (333, 7, 1_000_001),
            (77_777, 50, 1_234),
        ] {
            let mut bucket = TokenBucket::new(rate, burst, begin);
            let mut given: Vec<(u64, u64)> = Vec::new();
            for ask in 0..300_u64 {
                let (at, tokens) = (ask * gap, 1 + ask % burst.min(3));
                if bucket
                    .take(tokens, begin + Duration::from_nanos(at))
                    .is_ok()
                {
                    given.push((at, tokens));
                }
            }
            for (from, &(first, _)) in given.iter().enumerate() {
                let mut sum = 0;
                for &(at, tokens) in &given[from..] {
                    sum += tokens;
                    let most =
                        u128::from(burst) * NANOS + u128::from(at - first) * u128::from(rate);
                    assert!(u128::from(sum) * NANOS <= most, "{rate} {burst} {gap}");
                }
            }
        }
    }

    #[test]
    fn after_the_time_it_names_there_are_enough_and_not_before() {
        let now = start();
        for (rate, burst, tokens) in [(1, 1, 1), (3, 5, 2), (7, 5, 9), (999_999, 100, 64)] {
            let mut bucket = TokenBucket::new(rate, burst, now);
            while bucket.take(1, now).is_ok() {}
            let wait = bucket.take(tokens, now).unwrap_err();
            let nearly = wait - Duration::from_nanos(1);
            assert!(bucket.clone().take(tokens, now + nearly).is_err());
            assert_eq!(bucket.take(tokens, now + wait), Ok(()), "{rate} {burst}");
        }
    }

    #[test]
    fn a_time_that_runs_backwards_gives_nothing() {
        let now = start() + Duration::from_secs(10);
        let mut bucket = TokenBucket::new(1, 1, now);
        assert_eq!(bucket.take(1, now), Ok(()));
        assert!(bucket.take(1, now - Duration::from_secs(5)).is_err());
        assert!(bucket.take(1, now).is_err());
        assert_eq!(bucket.take(1, now + Duration::from_secs(1)), Ok(()));
    }
}
