//! Leaving the core to others between two slices of what may take its time.
//!
//! A thread that never rests is given whole slices of the scheduler, milliseconds in which somebody else's
//! request waits.

use std::time::Instant;

use shardkeep_core::clock;

use crate::limits;

/// Rests after a slice, `times` as long as it took. Blocks for [`limits::REST_MAX`] at most.
#[expect(
    clippy::disallowed_methods,
    reason = "blocking point B60: the rest between two slices"
)]
pub(super) fn rest(slice_began: Instant, times: u32) {
    let took = clock::now().saturating_duration_since(slice_began);
    // Ends with the time.
    std::thread::sleep((took * times).min(limits::REST_MAX));
}

/// The slices of a thread that counts what it does.
pub(super) struct Slices {
    began: Instant,
    done: usize,
}

impl Slices {
    pub(super) fn new() -> Self {
        Self {
            began: clock::now(),
            done: 0,
        }
    }

    /// So much more was done: rests, where a slice of `most` is full.
    pub(super) fn add(&mut self, done: usize, most: usize, times: u32) {
        self.done += done;
        if self.done >= most {
            rest(self.began, times);
            *self = Self::new();
        }
    }
}
