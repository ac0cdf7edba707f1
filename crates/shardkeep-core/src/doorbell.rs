//! What wakes an owner.
//!
//! 1. Whoever rings has published first; the owner marks itself asleep, then looks once more by the
//!    very same read-modify-write. Both go through one cell, so one of them sees the other.

use std::sync::atomic::Ordering::AcqRel;
use std::sync::atomic::Ordering::Acquire;
use std::time::Instant;

use crate::sync::{AtomicU8, Waiter, Wake};

const AWAKE: u8 = 0;
const RUNG: u8 = 1;
const ASLEEP: u8 = 2;

pub(crate) struct Doorbell {
    state: AtomicU8,
    waiter: Waiter,
}

impl Doorbell {
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU8::new(AWAKE),
            waiter: Waiter::new(),
        }
    }

    /// To be called after publishing. Costs a system call only if the owner sleeps.
    pub(crate) fn ring(&self) {
        if self.state.swap(RUNG, AcqRel) == ASLEEP {
            self.waiter.wake();
        }
    }

    /// To be called by the owner before it looks what there is to do.
    pub(crate) fn answer(&self) {
        self.state.swap(AWAKE, AcqRel);
    }

    /// Sleeps until rung, or until `until`. Returns at once if it was rung since `answer`.
    pub(crate) fn sleep(&self, until: Option<Instant>) {
        if self
            .state
            .compare_exchange(AWAKE, ASLEEP, AcqRel, Acquire)
            .is_ok()
        {
            // Woken by `ring`, which closing a keep does too; else by the owner's next duty.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B07: rung, or its time"
            )]
            self.waiter.wait_until(until);
        }
    }
}

impl Wake for Doorbell {
    fn wake(&self) {
        self.ring();
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_sleep_is_not_slept_through() {
        let doorbell = Doorbell::new();
        doorbell.answer();
        doorbell.ring();
        doorbell.sleep(None);
    }

    #[test]
    fn a_ring_ends_sleep() {
        let doorbell = Doorbell::new();
        doorbell.answer();
        std::thread::scope(|scope| {
            scope.spawn(|| doorbell.sleep(None));
            doorbell.ring();
        });
    }
}
