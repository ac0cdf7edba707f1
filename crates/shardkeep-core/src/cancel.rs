//! The caller's revocation, binding until the work begins.
//!
//! 1. A waiter registers itself before it looks at the flag; `cancel` sets the flag before it looks
//!    at the waiters. So one of them sees the other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use crate::sync::{AtomicBool, Mutex, Wake, is_same};

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
}

impl CancelToken {
    /// A token that nobody has used.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            cancelled: AtomicBool::new(false),
            waiters: Mutex::new(Vec::new()),
        }))
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

pub(crate) struct Registration<'t> {
    token: &'t CancelToken,
    waiter: Arc<dyn Wake>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut waiters = self.token.0.waiters.lock();
        if let Some(at) = waiters
            .iter()
            .position(|waiter| is_same(waiter, &self.waiter))
        {
            waiters.swap_remove(at);
        }
    }
}
