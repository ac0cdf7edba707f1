//! The caller's revocation, binding until the work begins; handed down, it stops whole groups.
//!
//! 1. A waiter registers itself before it looks at the flag; `cancel` sets the flag before it looks
//!    at the waiters. So one of them sees the other.
//! 2. A token's children are cancelled with it, never the other way round.

use std::fmt;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::clock;
use crate::sync::{AtomicBool, Mutex, Waiter, Wake, is_same};

/// Cancels every call it was given to, as long as their work has not begun.
///
/// ```
/// let token = shardkeep_core::CancelToken::new();
/// let for_another_thread = token.clone();
/// for_another_thread.cancel();
/// assert!(token.is_cancelled());
/// ```
#[derive(Clone)]
pub struct CancelToken(Arc<Inner>);

struct Inner {
    cancelled: AtomicBool,
    waiters: Mutex<Vec<Arc<dyn Wake>>>,
    /// The token it was made from, and what stands for it there.
    parent: Option<(CancelToken, Arc<dyn Wake>)>,
}

/// Passes a cancellation on.
struct Down(Weak<Inner>);

impl Wake for Down {
    fn wake(&self) {
        if let Some(inner) = self.0.upgrade() {
            CancelToken(inner).cancel();
        }
    }
}

impl CancelToken {
    /// A token that nobody has used.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            cancelled: AtomicBool::new(false),
            waiters: Mutex::new(Vec::new()),
            parent: None,
        }))
    }

    /// A token that is cancelled with this one, and that can be cancelled without it.
    ///
    /// ```
    /// let all = shardkeep_core::CancelToken::new();
    /// let (one, other) = (all.child(), all.child());
    /// one.cancel();
    /// assert!(!all.is_cancelled() && !other.is_cancelled());
    /// all.cancel();
    /// assert!(other.is_cancelled());
    /// ```
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self(Arc::new_cyclic(|me| Inner {
            cancelled: AtomicBool::new(false),
            waiters: Mutex::new(Vec::new()),
            parent: Some((self.clone(), Arc::new(Down(Weak::clone(me))))),
        }));
        if let Some((_, down)) = &child.0.parent {
            self.0.waiters.lock().push(Arc::clone(down));
        }
        if self.is_cancelled() {
            child.cancel();
        }
        child
    }

    /// Sleeps until it is cancelled, or until `until`; says whether it is cancelled.
    pub fn wait_until(&self, until: Instant) -> bool {
        let waiter = Arc::new(Waiter::new());
        let _registration = self.register(Arc::clone(&waiter) as Arc<dyn Wake>);
        while !self.is_cancelled() {
            if clock::now() >= until {
                return false;
            }
            // Ends by the cancellation, which looks at the waiters, or by `until`.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B03: cancelled, or its time"
            )]
            waiter.wait_until(Some(until));
        }
        true
    }

    /// Revokes; for good, and without blocking. Work that has begun is not stopped.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, SeqCst);
        let waiters = std::mem::take(&mut *self.0.waiters.lock());
        for waiter in waiters {
            waiter.wake();
        }
    }

    /// Whether it was used.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(SeqCst)
    }

    /// Wakes `waiter` on cancellation, until the registration is dropped.
    pub(crate) fn register(&self, waiter: Arc<dyn Wake>) -> Registration<'_> {
        self.0.waiters.lock().push(Arc::clone(&waiter));
        Registration {
            token: self,
            waiter,
        }
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("cancelled", &self.is_cancelled())
            .finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some((parent, down)) = &self.parent {
            parent.0.forget(down);
        }
    }
}

impl Inner {
    fn forget(&self, waiter: &Arc<dyn Wake>) {
        let mut waiters = self.waiters.lock();
        let at = waiters.iter().position(|other| is_same(other, waiter));
        let gone = at.map(|at| waiters.swap_remove(at));
        // Outside of the lock: it may be the last of a token of its own.
        drop(waiters);
        drop(gone);
    }
}

pub(crate) struct Registration<'t> {
    token: &'t CancelToken,
    waiter: Arc<dyn Wake>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.token.0.forget(&self.waiter);
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_child_is_cancelled_with_its_parent_and_leaves_nothing_behind() {
        let parent = CancelToken::new();
        for _ in 0..3 {
            drop(parent.child().child());
        }
        assert!(parent.0.waiters.lock().is_empty());
        let grandchild = parent.child().child();
        parent.cancel();
        assert!(grandchild.is_cancelled());
        assert!(parent.child().is_cancelled());
    }

    #[test]
    fn a_cancellation_ends_a_wait() {
        let token = CancelToken::new();
        let far = clock::now() + Duration::from_secs(60);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| token.child().wait_until(far));
            token.cancel();
            assert!(waits.join().unwrap());
        });
        assert!(!CancelToken::new().wait_until(clock::now()));
    }
}
