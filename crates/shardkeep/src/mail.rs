//! Operations that travel: what is mailed when a shard is away, and what comes back.
//!
//! 1. A key that was mailed comes back with its reply and is dropped by the caller, not by the
//!    holder of the shard.

use std::sync::Arc;

use shardkeep_core::{Deadline, Error, Outcome, Ticket, Work};

use crate::reply::{Inserted, Insertion, Reply};
use crate::state::ShardState;
use crate::{Key, Value};

/// One operation with its key.
pub(crate) enum Op<K, V> {
    Get(K),
    Contains(K),
    Remove(K),
    /// Taken when it runs.
    Insert(Option<Insertion<K, V>>),
}

/// One operation with its reply.
pub(crate) struct Step<K, V> {
    pub(crate) hash: u64,
    pub(crate) op: Op<K, V>,
    pub(crate) reply: Option<Reply<V>>,
}

impl<K: Key, V: Value> Step<K, V> {
    fn run(&mut self, state: &mut ShardState<K, V>) {
        let hash = self.hash;
        self.reply = Some(match &mut self.op {
            Op::Get(key) => Reply::Value(state.get(hash, key)),
            Op::Contains(key) => Reply::Flag(state.contains(hash, key)),
            Op::Remove(key) => Reply::Value(state.remove(hash, key).map(|entry| entry.value)),
            Op::Insert(insertion) => match insertion.take().map(|it| state.insert(hash, it)) {
                Some(Ok(Inserted::Stored(old))) => Reply::Value(old),
                Some(Ok(Inserted::Kept)) | None => Reply::Kept,
                Some(Err(refused)) => Reply::Failed(refused.into()),
            },
        });
    }

    fn is_write(&self) -> bool {
        match self.op {
            Op::Get(_) | Op::Contains(_) => false,
            Op::Remove(_) | Op::Insert(_) => true,
        }
    }
}

/// What one mail carries.
pub(crate) enum Load<K, V> {
    /// A single call; no allocation beside the ticket.
    One(Step<K, V>),
    /// Operations of one batch on one shard; the buffer comes back with the replies.
    Many(Vec<Step<K, V>>),
}

/// Where a load comes back.
pub(crate) type LoadTicket<K, V> = Arc<Ticket<Load<K, V>>>;

/// The work of a typed store.
pub(crate) struct Mailed<K, V> {
    pub(crate) load: Load<K, V>,
    pub(crate) ticket: LoadTicket<K, V>,
    pub(crate) deadline: Deadline,
}

impl<K: Key, V: Value> Work<ShardState<K, V>> for Mailed<K, V> {
    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn begin(&mut self) -> bool {
        self.ticket.begin()
    }

    fn run(&mut self, state: &mut ShardState<K, V>) {
        match &mut self.load {
            Load::One(step) => step.run(state),
            Load::Many(steps) => steps.iter_mut().for_each(|step| step.run(state)),
        }
    }

    fn settle(self, outcome: Outcome) {
        let result = match outcome {
            Outcome::Done => Ok(self.load),
            Outcome::Refused(refused) => Err(Error::Refused(refused)),
            Outcome::Lost(lost) => Err(Error::Lost(lost)),
        };
        // What comes back here has nobody waiting for it any more.
        drop(self.ticket.settle(result));
    }

    fn is_write(&self) -> bool {
        match &self.load {
            Load::One(step) => step.is_write(),
            Load::Many(steps) => steps.iter().any(Step::is_write),
        }
    }
}
