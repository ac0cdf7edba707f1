//! The pressure of a walk: bytes of old states that wait in its buffer.
//!
//! A change of an entry that the walk has not reached hands the old state over, with the shard in hand: it never
//! waits. A thread that wants a place in the log's queue does, so that a walk under load ends: above half of the bound
//! places are given out as fast as the buffer empties.
//!
//! 1. Bytes are added by the holders of shards, and taken by the thread that writes the walk; or when the walk is void or
//!    over, all that are left.
//! 2. No lost wake-up: see `door`. A thread that waits passes while half of the bound or less is taken, and takes nothing;
//!    the one that brings the bytes from above half to half or less wakes all who wait.

use std::sync::Arc;

use crate::deadline::Call;
use crate::door::{Door, Turned};
use crate::error::Refused;
use crate::fault::{Fault, is_planted};
use crate::sync::Wake;

/// Bytes that wait in the buffer of a walk, counted over all shards, with a bound.
///
/// ```
/// let pressure = shardkeep_core::Pressure::new(100);
/// assert!(pressure.add(60) && pressure.add(40));
/// assert!(!pressure.add(1), "more than there may be: the walk is void");
/// pressure.take(101);
/// assert_eq!(pressure.bytes(), 0);
/// ```
pub struct Pressure {
    /// Its places are bytes.
    door: Door,
    bound: usize,
    /// Half of that.
    half: usize,
}

impl Pressure {
    /// No bytes yet, and at most `bound_bytes`.
    #[must_use]
    pub fn new(bound_bytes: usize) -> Self {
        Self {
            door: Door::new(),
            bound: bound_bytes,
            half: bound_bytes / 2,
        }
    }

    /// Adds what is handed over; `false` when that is more than the bound allows: the walk is void, and the thread that ends
    /// it takes all that was added. Never blocks.
    #[must_use]
    pub fn add(&self, bytes: usize) -> bool {
        self.door.force(bytes) <= self.bound
    }

    /// Takes what was written, or will not be.
    pub fn take(&self, bytes: usize) {
        let before = self.door.give_quietly(bytes);
        let is_relief = before > self.half && before - bytes <= self.half;
        if is_relief && !is_planted(Fault::ReliefUnheard) {
            self.door.wake_all();
        }
    }

    /// Bytes that wait now.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> usize {
        self.door.taken()
    }

    /// Bytes that may wait at most.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// Whether changes that need a place wait.
    #[inline]
    pub(crate) fn is_high(&self) -> bool {
        self.bytes() > self.half
    }

    /// Waits until it is not high, the call ends, or the log `is_shut`: who shuts it then calls
    /// [`Pressure::wake_all`].
    pub(crate) fn wait(&self, call: &Call, is_shut: impl Fn() -> bool) -> Result<(), Turned> {
        self.door.take(0, self.half, call, is_shut)
    }

    /// Whether it is not high; otherwise `wake`, if there is one, is woken when it is not.
    pub(crate) fn pass_or_register(&self, wake: Option<&Arc<dyn Wake>>) -> bool {
        match wake {
            Some(wake) => self.door.take_or_register(0, self.half, wake),
            None => self.door.try_take(0, self.half),
        }
    }

    /// Has everybody who waits look again.
    pub(crate) fn wake_all(&self) {
        self.door.wake_all();
    }

    /// Why there is no place.
    pub(crate) fn refusal(&self) -> Refused {
        Refused::WalkBehind {
            bytes: self.bytes(),
            bound: self.bound,
        }
    }
}

impl std::fmt::Debug for Pressure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pressure")
            .field("bytes", &self.bytes())
            .field("bound", &self.bound)
            .finish()
    }
}
