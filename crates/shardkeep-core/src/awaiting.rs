//! Who waits for a sync.
//!
//! 1. No lost wake-up. Who waits writes itself down, *then* looks at what it waits for; who releases
//!    changes that, *then* looks who waits. All four are sequentially consistent.
//! 2. `someone` changes under the list's lock alone: it is set exactly while the list is not empty.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use crate::sync::{AtomicBool, Mutex, Wake, is_same};

/// What is waited for: a batch, by shard and number; `None` is the next sync, whatever it covers.
pub(crate) type What = Option<(usize, u64)>;

pub(crate) struct Awaiting {
    list: Mutex<Vec<(What, Arc<dyn Wake>)>>,
    someone: AtomicBool,
}

impl Awaiting {
    pub(crate) fn new() -> Self {
        Self {
            list: Mutex::new(Vec::new()),
            someone: AtomicBool::new(false),
        }
    }

    /// Has `wake` woken once, when `what` is over. Written down at most once for each `wake`.
    pub(crate) fn add(&self, what: What, wake: &Arc<dyn Wake>) {
        let mut list = self.list.lock();
        if !list.iter().any(|(_, other)| is_same(other, wake)) {
            list.push((what, Arc::clone(wake)));
        }
        self.someone.store(true, SeqCst);
    }

    pub(crate) fn forget(&self, wake: &Arc<dyn Wake>) {
        let mut list = self.list.lock();
        list.retain(|(_, other)| !is_same(other, wake));
        self.someone.store(!list.is_empty(), SeqCst);
    }

    /// Whether anybody waits.
    pub(crate) fn is_someone(&self) -> bool {
        self.someone.load(SeqCst)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.lock().len()
    }

    /// Wakes everybody whose waiting is over.
    pub(crate) fn wake_where(&self, mut is_over: impl FnMut(What) -> bool) {
        if !self.is_someone() {
            return;
        }
        let over: Vec<_> = {
            let mut list = self.list.lock();
            let over = list.extract_if(.., |(what, _)| is_over(*what)).collect();
            self.someone.store(!list.is_empty(), SeqCst);
            over
        };
        for (_, wake) in over {
            wake.wake();
        }
    }
}
