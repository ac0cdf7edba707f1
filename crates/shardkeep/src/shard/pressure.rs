//! Bytes in the buffers of a walk, over all shards.
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes in the buffers of a walk, over all shards, with their bound.
#[derive(Debug)]
pub struct Pressure {
    bytes: AtomicUsize,
    bound: usize,
}

impl Pressure {
    /// None yet, of `bound`.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            bound,
        }
    }
    /// More.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Relaxed);
    }
    /// Fewer.
    pub fn take(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }
    /// How many.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
    /// How many at most.
    pub fn bound(&self) -> usize {
        self.bound
    }
}
