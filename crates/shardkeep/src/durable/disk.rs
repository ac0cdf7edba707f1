//! What is known of the disk under a log, for those who show it or wait for room.
//!
//! 1. It keeps no directory: one whose store has ended is gone.

use std::fmt;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use shardkeep_log::{Directory, Storage as _};

/// The disk under the log of a store. Clones are the same.
#[derive(Clone)]
pub struct Disk {
    directory: Weak<Directory>,
    known: Arc<Known>,
}

/// No number of bytes.
const UNKNOWN: u64 = u64::MAX;

/// What the log tells of it.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) reserve_bytes: AtomicU64,
    /// [`UNKNOWN`] where the system does not say.
    pub(super) free_bytes: AtomicU64,
    pub(super) is_reserve_spent: AtomicBool,
    /// Ordinary writes are refused for want of space.
    pub(super) is_short: AtomicBool,
}

impl Disk {
    pub(super) fn new(directory: Weak<Directory>, known: &Arc<Known>) -> Self {
        Self {
            directory,
            known: Arc::clone(known),
        }
    }

    /// Bytes that are kept for a full disk; 0 for none.
    #[must_use]
    pub fn reserve_bytes(&self) -> u64 {
        self.known.reserve_bytes.load(Relaxed)
    }

    /// Whether the reserve was given up, and not taken again.
    #[must_use]
    pub fn is_reserve_spent(&self) -> bool {
        self.known.is_reserve_spent.load(Relaxed)
    }

    /// Whether ordinary writes are refused for want of space.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.known.is_short.load(Relaxed)
    }

    /// Bytes that were free beside the reserve when somebody looked last; `None` where the system does not say.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        Some(self.known.free_bytes.load(Relaxed)).filter(|bytes| *bytes != UNKNOWN)
    }

    /// Looks how much is free. Takes the file system's time.
    pub fn look(&self) {
        let space = (self.directory.upgrade()).and_then(|directory| directory.space());
        let free = space.map_or(UNKNOWN, |space| space.free);
        self.known.free_bytes.store(free, Relaxed);
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}
