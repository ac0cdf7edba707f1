//! The threads of a keep: started, counted out, joined by a deadline.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use crate::clock;
use crate::deadline::Deadline;
use crate::error::OpenError;
use crate::sync::{AtomicUsize, Mutex, Waiter, thread};

/// Threads that are started one by one, and joined together.
pub(crate) struct Threads {
    handles: Mutex<Vec<thread::JoinHandle>>,
    gone: Arc<Gone>,
}

/// Counts threads out, so that they can be waited for by a deadline.
struct Gone {
    left: AtomicUsize,
    waiter: Waiter,
}

struct CountOut(Arc<Gone>);

impl Drop for CountOut {
    fn drop(&mut self) {
        self.0.left.fetch_sub(1, AcqRel);
        self.0.waiter.wake();
    }
}

impl Threads {
    pub(crate) fn new() -> Self {
        Self {
            handles: Mutex::new(Vec::new()),
            gone: Arc::new(Gone {
                left: AtomicUsize::new(0),
                waiter: Waiter::new(),
            }),
        }
    }

    /// Starts a thread that the close waits for and joins.
    pub(crate) fn start(
        &self,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), OpenError> {
        self.gone.left.fetch_add(1, AcqRel);
        let count_out = CountOut(Arc::clone(&self.gone));
        let run = move || {
            let _count_out = count_out;
            body();
        };
        let handle = thread::spawn(name.clone(), run)
            .map_err(|source| OpenError::Thread { name, source })?;
        self.handles.lock().push(handle);
        Ok(())
    }

    /// Whether the current thread is one of them.
    pub(crate) fn has_current(&self) -> bool {
        let me = thread::current_id();
        let handles = self.handles.lock();
        handles.iter().any(|handle| thread::id_of(handle) == me)
    }

    /// Lets those that have not ended go on by themselves.
    pub(crate) fn let_go(&self) {
        drop(std::mem::take(&mut *self.handles.lock()));
    }

    /// Whether there is nothing left to join.
    pub(crate) fn are_joined(&self) -> bool {
        self.handles.lock().is_empty()
    }

    /// Joins them; says how many had not ended by `deadline`. They stay, for the next time.
    pub(crate) fn join(&self, deadline: Deadline) -> usize {
        // The last handle can be dropped on an owner thread, by a value's own drop: it cannot join
        // itself, and ends right after.
        let own = usize::from(self.has_current());
        loop {
            let left = self.gone.left.load(Acquire);
            if left <= own {
                break;
            }
            if deadline.has_passed(clock::now()) {
                // The handles stay, for the next close or the drop.
                return left - own;
            }
            // Woken by each owner that ends; ends by the deadline.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B15: an owner ends, or the deadline"
            )]
            self.gone.waiter.wait_until(Some(deadline.instant()));
        }
        // Another close may be waiting too, and a wake-up is for one.
        self.gone.waiter.wake();
        let me = thread::current_id();
        let handles = std::mem::take(&mut *self.handles.lock());
        for handle in handles {
            if thread::id_of(&handle) == me {
                continue;
            }
            // It has counted itself out as its last act, so this does not wait for anything. An
            // owner that ended by a panic has nothing left to say.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B16: it has counted itself out"
            )]
            drop(handle.join());
        }
        0
    }
}
