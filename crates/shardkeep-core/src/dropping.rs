//! The thread on which values are dropped that left a shard on somebody else's account.
//!
//! What a caller's own operation discards is dropped by that caller. What works leave in their state
//! ([`State::discarded`]), what an owner's sweep removes, what a caller has given up and a holder found in
//! the mail, and the map of a lost shard are nobody's:
//! an owner that dropped them would serve nobody while a `Drop` blocks, and could not serve the store
//! call that a `Drop` makes.
//!
//! 1. Nothing is sent here while a thread waits for it: the queue is tried, and where it is full, or no
//!    thread can be had, the sender drops the values itself, with no shard in hand.
//! 2. The thread is started when it is first needed, and ends with the keep.

use crate::discard::Discarded;
use crate::doorbell::Doorbell;
use crate::event::Event;
use crate::limits;
use crate::loan::Shard;
use crate::shared::Shared;
use crate::sync::Mutex;
use crate::sync::channel::Queue;
use crate::work::State;

/// What waits to be dropped, and for whom the thread listens.
pub(crate) struct Dropping {
    queue: Queue<(usize, Discarded)>,
    doorbell: Doorbell,
    started: Mutex<bool>,
}

impl Dropping {
    pub(crate) fn new() -> Self {
        Self {
            queue: Queue::bounded(limits::DISCARDS_MAX),
            doorbell: Doorbell::new(),
            started: Mutex::new(false),
        }
    }

    /// Whether nothing more can be sent: who can leave values where they are does.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// The keep is closed: the thread ends.
    pub(crate) fn end(&self) {
        self.doorbell.ring();
    }
}

impl<S: State> Shard<S> {
    /// Keeps what is to be dropped when this shard is back.
    pub(crate) fn discard(&mut self, discarded: Discarded) {
        if !discarded.is_empty() {
            self.discards = true;
            self.discarded.append(discarded);
        }
    }

    /// Whether something is to be dropped when this shard is back.
    #[inline(always)]
    pub(crate) fn has_discarded(&self) -> bool {
        self.discards || self.state.has_discarded()
    }

    /// Takes out what is to be dropped once this shard is back.
    #[inline(always)]
    pub(crate) fn take_discarded(&mut self) -> Discarded {
        if S::DISCARDS && self.has_discarded() {
            return self.take_some_discarded();
        }
        Discarded::new()
    }

    #[cold]
    #[inline(never)]
    fn take_some_discarded(&mut self) -> Discarded {
        self.discards = false;
        let mut discarded = std::mem::take(&mut self.discarded);
        if let Some(values) = self.state.discarded() {
            discarded.push(values);
        }
        discarded
    }
}

impl<S: State> Shared<S> {
    /// Returns a shard, looks at its mail, and has dropped what it carries.
    #[cold]
    #[inline(never)]
    pub(crate) fn put_and_discard(&self, index: usize, mut shard: Box<Shard<S>>) {
        let discarded = shard.take_discarded();
        self.put(index, shard);
        self.look_again(index);
        self.discard(index, discarded);
    }

    /// Has values dropped that came out of shard `index`, which is back.
    #[inline(always)]
    pub(crate) fn discard(&self, index: usize, discarded: Discarded) {
        if S::DISCARDS && !discarded.is_empty() {
            self.discard_some(index, discarded);
        }
    }

    #[cold]
    #[inline(never)]
    fn discard_some(&self, index: usize, discarded: Discarded) {
        if !self.starts_dropping() {
            return self.drop_discarded(index, discarded);
        }
        match self.dropping.queue.try_send((index, discarded)) {
            Ok(()) => self.dropping.doorbell.ring(),
            Err((_, discarded)) => return self.drop_discarded(index, discarded),
        }
        // The thread may have ended just before: one of the two sees the other.
        if self.is_stopping() {
            self.drop_queued();
        }
    }

    /// Whether there is a thread to drop values, now that there are some.
    fn starts_dropping(&self) -> bool {
        if self.is_stopping() {
            return false;
        }
        let mut started = self.dropping.started.lock();
        if !*started {
            let name = format!("{}-drops", self.config.name);
            let shared = self.arc();
            *started = self
                .threads
                .start(name, move || shared.run_dropping())
                .is_ok();
        }
        *started
    }

    fn run_dropping(&self) {
        loop {
            self.dropping.doorbell.answer();
            self.drop_queued();
            if self.is_stopping() {
                return;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B70: values to drop, or the close"
            )]
            self.dropping.doorbell.sleep(None);
        }
    }

    fn drop_queued(&self) {
        while let Some((index, discarded)) = self.dropping.queue.try_recv() {
            self.drop_discarded(index, discarded);
        }
    }

    /// Drops values on this thread; a panic of one is counted and told, and ends there.
    fn drop_discarded(&self, index: usize, mut discarded: Discarded) {
        let panics = discarded.drop_all();
        let Some(why) = panics.first else {
            return;
        };
        let counters = &self.beside(index).counters;
        counters.drops_panicked.add(panics.count);
        self.tell(Event::DropPanicked { shard: index, why });
    }
}
