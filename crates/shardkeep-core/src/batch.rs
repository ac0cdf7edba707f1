//! What waits to be applied together, and when it is due.
//!
//! Pure: no thread, no channel, no clock, no shard.
//!
//! 1. `opened_at` is set exactly while `writes` is non-empty.
//! 2. `writes.len() <= BATCH_WRITES_MAX`.

use std::time::{Duration, Instant};

use crate::limits::BATCH_WRITES_MAX;

pub(crate) struct Batch<W> {
    writes: Vec<W>,
    opened_at: Option<Instant>,
    window: Duration,
}

impl<W> Batch<W> {
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            writes: Vec::new(),
            opened_at: None,
            window,
        }
    }

    /// Whether writes are gathered at all.
    pub(crate) fn gathers(&self) -> bool {
        !self.window.is_zero()
    }

    /// Adds a write.
    ///
    /// # Panics
    /// When the batch is full: the caller asks `is_due` after every push.
    pub(crate) fn push(&mut self, write: W, now: Instant) {
        assert!(
            self.writes.len() < BATCH_WRITES_MAX,
            "a full batch was not applied"
        );
        self.opened_at.get_or_insert(now);
        self.writes.push(write);
    }

    /// Due when its window has passed or it is full.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        match self.opened_at {
            Some(opened_at) => {
                // Subtracted, not added: a window may be as long as a time can be.
                self.writes.len() >= BATCH_WRITES_MAX
                    || now.saturating_duration_since(opened_at) >= self.window
            }
            None => false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Takes the writes out, oldest first, into `into`; the batch is closed. Says when it was opened.
    pub(crate) fn take(&mut self, into: &mut Vec<W>) -> Option<Instant> {
        into.append(&mut self.writes);
        self.opened_at.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Instant {
        use std::sync::OnceLock;
        static BASE: OnceLock<Instant> = OnceLock::new();
        *BASE.get_or_init(crate::clock::now) + Duration::from_micros(us)
    }

    #[test]
    fn a_batch_is_due_when_its_window_has_passed_since_its_first_write() {
        let mut batch = Batch::new(Duration::from_micros(100));
        assert!(!batch.is_due(at(1_000_000)), "an empty batch is never due");
        batch.push('a', at(0));
        batch.push('b', at(90));
        for (now, due) in [(0, false), (99, false), (100, true), (500, true)] {
            assert_eq!(batch.is_due(at(now)), due, "at {now} us");
        }
    }

    #[test]
    fn a_full_batch_is_due_at_once() {
        let mut batch = Batch::new(Duration::MAX);
        for n in 0..BATCH_WRITES_MAX {
            assert!(!batch.is_due(at(1)), "with {n} writes");
            batch.push(n, at(0));
        }
        assert!(batch.is_due(at(1)));
    }

    #[test]
    fn taking_closes_the_batch_and_keeps_the_order() {
        let mut batch = Batch::new(Duration::from_secs(1));
        batch.push(1, at(0));
        batch.push(2, at(1));
        let mut taken = vec![];
        assert_eq!(batch.take(&mut taken), Some(at(0)));
        assert_eq!(taken, [1, 2]);
        assert!(batch.is_empty() && !batch.is_due(at(9_000_000)));
    }

    #[test]
    fn a_window_of_zero_gathers_nothing() {
        assert!(!Batch::<()>::new(Duration::ZERO).gathers());
        assert!(Batch::<()>::new(Duration::from_nanos(1)).gathers());
    }
}
