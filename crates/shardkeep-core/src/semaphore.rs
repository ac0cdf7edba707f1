//! So many at a time.
//!
//! 1. At most as many permits are out as there are in all; one goes back when it is dropped.
//! 2. A wait ends with a permit, at the call's deadline, or by its cancel token.

use std::sync::Arc;

use crate::deadline::Call;
use crate::door::Door;

/// Lets so many in at a time; for those who wait, until their deadline or their cancellation.
///
/// ```
/// use std::time::Duration;
/// use shardkeep_core::{Call, Deadline, semaphore::Semaphore};
///
/// let semaphore = Semaphore::new(1);
/// let call = Call::by(Deadline::after(Duration::from_millis(1)));
/// let permit = semaphore.acquire(&call).expect("nobody else wants one");
/// assert!(semaphore.acquire(&call).is_none());
/// drop(permit);
/// assert!(semaphore.try_acquire().is_some());
/// ```
#[derive(Clone)]
pub struct Semaphore(Arc<Inner>);

struct Inner {
    door: Door,
    permits: usize,
}

/// The right to be in; goes back when it is dropped. It may travel between threads.
#[must_use = "a permit goes back when it is dropped"]
pub struct Permit(Arc<Inner>);

impl Semaphore {
    /// With so many permits. Without any it lets nobody in.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        let door = Door::new();
        Self(Arc::new(Inner { door, permits }))
    }

    /// Waits for a permit. Blocks until one comes back, the deadline of `call` passes, or its token is
    /// cancelled: then there is none.
    #[must_use]
    pub fn acquire(&self, call: &Call) -> Option<Permit> {
        let Inner { door, permits } = &*self.0;
        let taken = door.take(1, *permits, call, || false);
        taken.ok().map(|()| self.permit())
    }

    /// A permit, if there is one at once.
    #[must_use]
    pub fn try_acquire(&self) -> Option<Permit> {
        let Inner { door, permits } = &*self.0;
        door.try_take(1, *permits).then(|| self.permit())
    }

    /// Permits that are out.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.door.taken()
    }

    fn permit(&self) -> Permit {
        Permit(Arc::clone(&self.0))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.door.give(1);
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::CancelToken;

    fn patient() -> Call {
        Call::by((Instant::now() + Duration::from_secs(60)).into())
    }

    #[test]
    fn no_more_are_in_than_there_are_permits_and_all_come_in() {
        let (semaphore, inside, passed) =
            (Semaphore::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let _permit = semaphore.acquire(&patient()).unwrap();
                        assert!(inside.fetch_add(1, SeqCst) < 3);
                        std::thread::yield_now();
                        inside.fetch_sub(1, SeqCst);
                        passed.fetch_add(1, SeqCst);
                    }
                });
            }
        });
        assert_eq!((passed.into_inner(), semaphore.taken()), (4_000, 0));
    }

    #[test]
    fn a_cancellation_ends_the_wait_for_a_permit() {
        let (semaphore, token) = (Semaphore::new(0), CancelToken::new());
        std::thread::scope(|scope| {
            let call = Call {
                cancel: Some(token.clone()),
                ..patient()
            };
            let semaphore = &semaphore;
            let waits = scope.spawn(move || semaphore.acquire(&call).is_none());
            token.cancel();
            assert!(waits.join().unwrap());
        });
    }

    #[test]
    fn a_permit_goes_back_from_another_thread_and_by_a_panic() {
        let semaphore = Semaphore::new(1);
        for _ in 0..3 {
            let permit = semaphore.acquire(&patient()).unwrap();
            let died = std::thread::scope(|scope| {
                let dies = scope.spawn(move || {
                    let _held = permit;
                    panic!("with a permit in hand");
                });
                dies.join().is_err()
            });
            assert!(died);
        }
        assert_eq!(semaphore.taken(), 0);
    }
}
