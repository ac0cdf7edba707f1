//! The one-shot place where a reply, or a loan, arrives.
//!
//! One transition of its state decides every race: begin against abandon, settle against abandon.
//!
//! 1. Queued -> Begun -> Settled -> Taken, or Queued -> Settled, or Queued/Begun -> Abandoned.
//! 2. What is settled into an abandoned ticket comes back to who settled it.
//! 3. A ticket that was abandoned while queued was *refused*: its work will not begin. One that was
//!    abandoned after it had begun is *lost*.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

use crate::clock;
use crate::deadline::Call;
use crate::error::{Error, Lost, Refused};
use crate::sync::{AtomicBool, Mutex, SPIN_ROUNDS, Waiter, Wake, spin_loop};

/// Where the result of one mailed work arrives.
pub struct Ticket<T> {
    shard: usize,
    slot: Mutex<Slot<T>>,
    settled: AtomicBool,
    waiter: Waiter,
    also_wake: Option<Arc<dyn Wake>>,
}

enum Slot<T> {
    Queued,
    Begun,
    Settled(Result<T, Error>),
    Taken,
    Abandoned,
}

impl<T> Ticket<T> {
    /// A ticket for work on `shard`.
    #[must_use]
    pub fn new(shard: usize) -> Arc<Self> {
        Arc::new(Self::with_wake(shard, None))
    }

    /// A ticket that also wakes `wake`, for those who wait for many things at once.
    #[must_use]
    pub fn waking(shard: usize, wake: Arc<dyn Wake>) -> Arc<Self> {
        Arc::new(Self::with_wake(shard, Some(wake)))
    }

    fn with_wake(shard: usize, also_wake: Option<Arc<dyn Wake>>) -> Self {
        Self {
            shard,
            slot: Mutex::new(Slot::Queued),
            settled: AtomicBool::new(false),
            waiter: Waiter::new(),
            also_wake,
        }
    }

    /// Claims the work for running; `false` when the caller has given it up.
    pub fn begin(&self) -> bool {
        let mut slot = self.slot.lock();
        match *slot {
            Slot::Queued => {
                *slot = Slot::Begun;
                true
            }
            Slot::Abandoned => false,
            Slot::Begun | Slot::Settled(_) | Slot::Taken => {
                unreachable!("a work begins once")
            }
        }
    }

    /// Delivers the result.
    ///
    /// # Errors
    /// Gives it back when nobody waits for it any more.
    pub fn settle(&self, result: Result<T, Error>) -> Result<(), Result<T, Error>> {
        {
            let mut slot = self.slot.lock();
            match *slot {
                Slot::Queued | Slot::Begun => *slot = Slot::Settled(result),
                Slot::Abandoned | Slot::Settled(_) | Slot::Taken => return Err(result),
            }
        }
        self.settled.store(true, Release);
        self.waiter.wake();
        if let Some(wake) = &self.also_wake {
            wake.wake();
        }
        Ok(())
    }

    /// Takes the result if it has arrived. Never waits.
    pub fn take(&self) -> Option<Result<T, Error>> {
        if !self.settled.load(Acquire) {
            return None;
        }
        let mut slot = self.slot.lock();
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Settled(result) => Some(result),
            before @ (Slot::Queued | Slot::Begun | Slot::Taken | Slot::Abandoned) => {
                *slot = before;
                None
            }
        }
    }

    /// Gives up. A result that has arrived in the meantime wins over `why`.
    pub fn abandon(&self, why: Refused) -> Result<T, Error> {
        let mut slot = self.slot.lock();
        match std::mem::replace(&mut *slot, Slot::Abandoned) {
            Slot::Settled(result) => {
                *slot = Slot::Taken;
                result
            }
            Slot::Begun => Err(Lost::DeadlinePassed { shard: self.shard }.into()),
            Slot::Queued | Slot::Abandoned | Slot::Taken => Err(why.into()),
        }
    }

    /// Gives up what has not begun; `None` when it has: it cannot be revoked any more.
    fn revoke(&self) -> Option<Result<T, Error>> {
        let mut slot = self.slot.lock();
        match std::mem::replace(&mut *slot, Slot::Abandoned) {
            Slot::Settled(result) => {
                *slot = Slot::Taken;
                Some(result)
            }
            Slot::Begun => {
                *slot = Slot::Begun;
                None
            }
            Slot::Queued | Slot::Abandoned | Slot::Taken => Some(Err(Refused::Cancelled.into())),
        }
    }
}

impl<T: Send + 'static> Ticket<T> {
    /// Waits for the result: until it arrives, or the deadline passes, or the call is cancelled
    /// before the work began.
    ///
    /// # Errors
    /// What was settled; *refused* when it was given up before it began, *lost* after.
    pub fn wait(self: &Arc<Self>, call: &Call, depth: impl Fn() -> usize) -> Result<T, Error> {
        for _ in 0..SPIN_ROUNDS {
            if let Some(result) = self.take() {
                return result;
            }
            spin_loop();
        }
        let _registration = call
            .cancel
            .as_ref()
            .map(|token| token.register(Arc::clone(self) as Arc<dyn Wake>));
        loop {
            if let Some(result) = self.take() {
                return result;
            }
            if call.deadline.has_passed(clock::now()) {
                let shard = self.shard;
                return self.abandon(Refused::DeadlinePassed {
                    shard,
                    depth: depth(),
                });
            }
            // What has begun cannot be revoked: it ends by itself, or by the deadline. Looking and
            // giving up are one step: work that begins in between is not lost, it is waited for.
            if call.is_cancelled()
                && let Some(result) = self.revoke()
            {
                return result;
            }
            // Woken by `settle` or by the cancel token; ends by the deadline.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B04: settled, or the deadline"
            )]
            self.waiter.wait_until(Some(call.deadline.instant()));
        }
    }
}

impl<T: Send> Wake for Ticket<T> {
    fn wake(&self) {
        self.waiter.wake();
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cancel::CancelToken;
    use crate::deadline::Deadline;

    fn call(ms: u64) -> Call {
        Call::by(Deadline::after(Duration::from_millis(ms)))
    }

    #[test]
    fn a_result_that_has_arrived_is_taken_once() {
        let ticket = Ticket::new(3);
        assert!(ticket.begin());
        assert!(ticket.settle(Ok(5)).is_ok());
        assert_eq!(ticket.wait(&call(60_000), || 0), Ok(5));
        assert_eq!(ticket.take(), None);
    }

    #[test]
    fn giving_up_before_the_work_began_is_refused_and_keeps_it_from_beginning() {
        let ticket = Ticket::<()>::new(3);
        let refused = Refused::DeadlinePassed { shard: 3, depth: 9 };
        assert_eq!(ticket.wait(&call(0), || 9), Err(refused.into()));
        assert!(!ticket.begin());
        assert_eq!(
            ticket.settle(Ok(())),
            Err(Ok(())),
            "what comes late goes back"
        );
    }

    #[test]
    fn giving_up_after_the_work_began_is_lost() {
        let ticket = Ticket::<()>::new(3);
        assert!(ticket.begin());
        assert_eq!(
            ticket.wait(&call(0), || 0),
            Err(Lost::DeadlinePassed { shard: 3 }.into())
        );
    }

    #[test]
    fn what_has_begun_cannot_be_revoked_and_what_has_not_can() {
        let begun = Ticket::<u8>::new(0);
        assert!(begun.begin());
        assert_eq!(begun.revoke(), None, "it goes on");
        assert!(begun.settle(Ok(1)).is_ok());
        assert_eq!(
            begun.revoke(),
            Some(Ok(1)),
            "a result that has arrived wins"
        );
        let queued = Ticket::<u8>::new(0);
        assert_eq!(queued.revoke(), Some(Err(Refused::Cancelled.into())));
        assert!(!queued.begin());
    }

    #[test]
    fn a_cancel_token_ends_the_wait_of_a_queued_work_but_not_of_a_begun_one() {
        let token = CancelToken::new();
        let cancelled = Call {
            cancel: Some(token.clone()),
            ..call(60_000)
        };
        let queued = Ticket::<()>::new(0);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queued.wait(&cancelled, || 0));
            token.cancel();
            assert_eq!(waiting.join().unwrap(), Err(Refused::Cancelled.into()));
        });
        let begun = Ticket::new(0);
        assert!(begun.begin());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| begun.wait(&cancelled, || 0));
            assert!(begun.settle(Ok(1)).is_ok());
            assert_eq!(waiting.join().unwrap(), Ok(1));
        });
    }
}
