//! What goes through the pipeline, what holds it back, and what is counted.
//!
//! 1. An event has a permit from the moment it is read until it stands in a batch, in the order of its
//!    source. Both queues have a place for each permit: so whoever has an event never waits to pass it
//!    on, and readers wait at one point only.
//! 2. Numbers of a source's events have no gaps.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use parking_lot::Mutex;
use shardkeep_core::semaphore::{Permit, Semaphore};
use shardkeep_core::token_bucket::TokenBucket;
use shardkeep_core::{Call, CancelToken};

/// How much of a source is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offset {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

/// What the peer of a source is told.
pub(crate) enum Word {
    /// More is stored; how much stands beside the channel.
    Stored,
    /// What it sent is not taken.
    Refused(String),
}

/// Where events come from: a file, or a connection while it lasts.
pub(crate) struct Source {
    pub(crate) name: String,
    /// The number of the event that comes next into a batch. Only the writer changes it.
    pub(crate) next: AtomicU64,
    /// What is stored, for the peer.
    pub(crate) stored: Arc<AtomicU64>,
    /// Has a place for one word: whoever finds it full knows that the peer will be told.
    pub(crate) peer: Option<Sender<Word>>,
    names: Names,
}

/// The names of the sources that are in use: each by one at a time.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<HashSet<String>>>);

impl Names {
    /// A source of this name, from `offset` on, unless there is one that still has events under way.
    /// The offset is looked up when the name is taken: nobody changes it any more.
    pub(crate) fn source<E>(
        &self,
        name: &str,
        peer: Option<Sender<Word>>,
        offset: impl FnOnce() -> Result<Offset, E>,
    ) -> Option<Result<(Arc<Source>, Offset), E>> {
        if !self.0.lock().insert(name.to_owned()) {
            return None;
        }
        let mut source = Source {
            name: name.to_owned(),
            next: AtomicU64::new(0),
            stored: Arc::new(AtomicU64::new(0)),
            peer,
            names: self.clone(),
        };
        let offset = match offset() {
            Ok(offset) => offset,
            Err(error) => return Some(Err(error)),
        };
        source.next = AtomicU64::new(offset.lines);
        source.stored.store(offset.lines, Relaxed);
        Some(Ok((Arc::new(source), offset)))
    }
}

impl Source {
    /// Its events up to this number are stored.
    pub(crate) fn stored(&self, lines: u64) {
        self.stored.store(lines, Relaxed);
        if let Some(peer) = &self.peer {
            match peer.try_send(Word::Stored) {
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    }
}

impl Drop for Source {
    /// The last of its events is gone: the name is free.
    fn drop(&mut self) {
        self.names.0.lock().remove(&self.name);
    }
}

/// One line on its way.
pub(crate) struct Event {
    pub(crate) source: Arc<Source>,
    pub(crate) number: u64,
    /// What of its source is stored when it is.
    pub(crate) until: Offset,
    pub(crate) text: String,
    /// Given back when it stands in a batch.
    pub(crate) permit: Option<Permit>,
}

/// What was counted.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) read: AtomicU64,
    pub(crate) stored: AtomicU64,
    pub(crate) batches: AtomicU64,
    /// How often, and for how many microseconds in all, readers waited for what is behind them.
    pub(crate) held_back: AtomicU64,
    pub(crate) held_back_us: AtomicU64,
    /// How often readers waited for the rate.
    pub(crate) slowed: AtomicU64,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        write!(
            f,
            "read {} stored {} batches {} held-back {} held-back-ms {} slowed {}",
            count(&self.read),
            count(&self.stored),
            count(&self.batches),
            count(&self.held_back),
            count(&self.held_back_us) / 1_000,
            count(&self.slowed),
        )
    }
}

/// What a reader needs.
#[derive(Clone)]
pub(crate) struct Flow {
    /// Readers stop when it is cancelled; what they have read goes on.
    pub(crate) stop: CancelToken,
    /// All stops when it is cancelled.
    pub(crate) abort: CancelToken,
    pub(crate) permits: Semaphore,
    pub(crate) rate: Option<Arc<Mutex<TokenBucket>>>,
    pub(crate) events: Sender<Event>,
    pub(crate) counts: Arc<Counts>,
}

impl Flow {
    /// Waits until one more event may come in, by the rate and by what is under way; `None` when the
    /// reader is to stop.
    pub(crate) fn admit(&self) -> Option<Permit> {
        if !self.is_in_time() {
            return None;
        }
        if let Some(permit) = self.permits.try_acquire() {
            return Some(permit);
        }
        let began = Instant::now();
        // Ends by a permit, which the writer gives back, or by a failure that cancels everything.
        let permit = self.permits.acquire(&Call {
            cancel: Some(self.abort.clone()),
            ..Call::within(Duration::MAX)
        });
        let waited = Instant::now().saturating_duration_since(began).as_micros();
        self.counts.held_back.fetch_add(1, Relaxed);
        self.counts
            .held_back_us
            .fetch_add(u64::try_from(waited).unwrap_or(u64::MAX), Relaxed);
        permit
    }

    fn is_in_time(&self) -> bool {
        let Some(rate) = &self.rate else {
            return !self.stop.is_cancelled();
        };
        let mut slowed = false;
        loop {
            let now = Instant::now();
            let taken = rate.lock().take(1, now);
            match taken {
                Ok(()) => return !self.stop.is_cancelled(),
                Err(wait) if self.stop.wait_until(now + wait) => return false,
                Err(_) if slowed => {}
                Err(_) => {
                    self.counts.slowed.fetch_add(1, Relaxed);
                    slowed = true;
                }
            }
        }
    }
}
