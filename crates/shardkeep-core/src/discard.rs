//! Values that left a map, on their way to their own `Drop`.
//!
//! The `Drop` of a value is its owner's code: it may call its store, panic, or block. So whatever
//! leaves a map while its shard is in hand is gathered here, and dropped when the shard is back.
//!
//! Knows no threads and no shards.
//!
//! 1. What is gathered is dropped one value after the other; a panic of one costs the others nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::panicked;

/// Values of one kind that are dropped one by one.
pub trait Discard: Send {
    /// Takes the next value out, then drops it; `false` when none was left. A value whose `Drop`
    /// panics must be gone by then.
    fn drop_next(&mut self) -> bool;
}

impl<T: Send> Discard for Vec<T> {
    fn drop_next(&mut self) -> bool {
        self.pop().is_some()
    }
}

/// The values that an iterator has left.
pub struct Remaining<I>(pub I);

impl<I: Iterator + Send> Discard for Remaining<I> {
    fn drop_next(&mut self) -> bool {
        self.0.next().is_some()
    }
}

/// Values that are to be dropped when the shard is back. Empty, it owns nothing.
#[derive(Default)]
pub struct Discarded(Vec<Box<dyn Discard>>);

/// Panics of the values that were dropped.
#[derive(Default)]
pub(crate) struct DropPanics {
    pub(crate) count: u64,
    /// What the first one said.
    pub(crate) first: Option<String>,
}

impl Discarded {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Gathers what is to be dropped later.
    pub fn push(&mut self, values: Box<dyn Discard>) {
        self.0.push(values);
    }

    /// Whether there is nothing to be dropped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Drops all values, whatever each of them does.
    pub(crate) fn drop_all(&mut self) -> DropPanics {
        let mut panics = DropPanics::default();
        for mut values in std::mem::take(&mut self.0) {
            // The value that panicked is gone; those behind it have their turn.
            while let Err(panic) = catch_unwind(AssertUnwindSafe(|| while values.drop_next() {})) {
                panics.count += 1;
                panics.first.get_or_insert_with(|| panicked::text(&*panic));
                // What it carries may panic in its own `Drop`.
                std::mem::forget(panic);
            }
        }
        panics
    }
}

impl Drop for Discarded {
    /// Where nobody is left to be told.
    fn drop(&mut self) {
        if !self.is_empty() {
            self.drop_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    struct Counted(Arc<AtomicU32>, bool);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            assert!(!self.1, "as planned");
        }
    }

    #[test]
    fn values_whose_drop_panics_keep_none_of_the_others_from_being_dropped() {
        let dropped = Arc::new(AtomicU32::new(0));
        let value = |panics| Counted(Arc::clone(&dropped), panics);
        let mut discarded = Discarded::new();
        discarded.push(Box::new(vec![value(true), value(false), value(true)]));
        discarded.push(Box::new(vec![value(false), value(true)]));
        let panics = discarded.drop_all();
        assert_eq!(dropped.load(SeqCst), 5);
        assert_eq!(panics.count, 3);
        assert_eq!(panics.first.as_deref(), Some("as planned"));
        assert!(discarded.is_empty());
    }
}
