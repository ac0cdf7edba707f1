//! The way to an owner: its doorbell, and the queues it looks into when it was rung.
//!
//! 1. Every queue holds a place for each item that can exist, so nobody who sends ever waits.

use std::sync::Arc;

use crate::child::{ChildState, Standing};
use crate::doorbell::Doorbell;
use crate::limits;
use crate::loan::{Loan, Shard};
use crate::place::Place;
use crate::restart::Policy;
use crate::sync::Mutex;
use crate::sync::channel::Queue;
use crate::watch::Pulse;
use crate::work::State;

/// A lost shard that was made again, or why it was not.
pub(crate) type Made<S> = Result<Box<Shard<S>>, String>;

/// What others reach an owner by. Every queue holds a place for each item that can exist.
pub(crate) struct Port<S: State> {
    pub(crate) doorbell: Arc<Doorbell>,
    /// One place for each of its shards.
    pub(crate) handovers: Queue<Loan<S>>,
    /// One place for each of its shards.
    pub(crate) losses: Queue<(usize, Box<Shard<S>>)>,
    /// Lost shards that were made again, or why not. One place for each of its shards.
    pub(crate) remade: Queue<(usize, Made<S>)>,
    /// Bounded by `TRANSACTIONS_DEFAULT`, or one place for each reserved poster if they are more.
    pub(crate) transactions: Queue<Sent<S>>,
    pub(crate) pulse: Pulse,
    /// How the owner does.
    pub(crate) state: Mutex<ChildState>,
}

/// A transaction on its way to an owner.
pub(crate) struct Sent<S: State> {
    pub(crate) transaction: S::Transaction,
    /// In the log's queue, for what it will write.
    pub(crate) place: Option<Place<S::Journal>>,
}

impl<S: State> Port<S> {
    pub(crate) fn new(name: String, shards: usize, reserved: usize) -> Self {
        Self {
            doorbell: Arc::new(Doorbell::new()),
            handovers: Queue::bounded(shards),
            losses: Queue::bounded(shards),
            remade: Queue::bounded(shards),
            transactions: Queue::bounded(reserved.max(limits::TRANSACTIONS_DEFAULT)),
            pulse: Pulse::default(),
            state: Mutex::new(ChildState {
                name,
                policy: Policy::Permanent,
                standing: Standing::Running,
                restarts: 0,
                last_reason: None,
            }),
        }
    }
}
