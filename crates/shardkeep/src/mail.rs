//! Operations that travel: what is mailed when a shard is away, and what comes back.
//!
//! 1. Whatever was mailed, and whatever it took out of the map, comes back with its reply and is dropped
//!    by the caller, not by the holder of the shard.
//! 2. What the caller does not want any more is handed over, to be dropped when the shard is back.

use std::sync::Arc;

use shardkeep_core::{Deadline, Discarded, Error, Outcome, Ticket, Work};

use crate::reply::{Insertion, Reply};
use crate::state::{Removed, ShardState};
use crate::{Key, Value};

/// One operation with its key.
pub(crate) enum Op<K, V> {
    Get(K),
    Contains(K),
    Remove(K),
    Insert(Insertion<K, V>),
}

/// One operation with its reply.
pub(crate) struct Step<K, V> {
    pub(crate) hash: u64,
    pub(crate) op: Op<K, V>,
    pub(crate) reply: Option<Reply<V>>,
    /// What a removal took out of the map beside its reply.
    pub(crate) left: Option<(K, Option<V>)>,
}

impl<K: Key, V: Value> Step<K, V> {
    fn run(&mut self, state: &mut ShardState<K, V>) {
        let hash = self.hash;
        self.reply = Some(match &mut self.op {
            Op::Get(key) => Reply::Value(state.get(hash, key)),
            Op::Contains(key) => Reply::Flag(state.contains(hash, key)),
            Op::Remove(key) => match state.remove(hash, key).map(Removed::into_parts) {
                Some((value, left)) => {
                    self.left = Some(left);
                    Reply::Value(value)
                }
                None => Reply::Value(None),
            },
            Op::Insert(insertion) => state.run_insertion(hash, insertion),
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

fn discard<K: Key, V: Value>(load: Load<K, V>, discarded: &mut Discarded) {
    if std::mem::needs_drop::<(K, V)>() {
        match load {
            Load::One(step) => discarded.push(Box::new(vec![step])),
            Load::Many(steps) => discarded.push(Box::new(steps)),
        }
    }
}

/// The work of a typed store.
pub(crate) struct Mailed<K, V> {
    pub(crate) load: Load<K, V>,
    pub(crate) ticket: LoadTicket<K, V>,
    pub(crate) deadline: Deadline,
}

/// Behind a pointer: every mailbox has places for a thousand of them.
impl<K: Key, V: Value> Work<ShardState<K, V>> for Box<Mailed<K, V>> {
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
        self.settle_into(outcome, &mut Discarded::new());
    }

    fn settle_into(self, outcome: Outcome, discarded: &mut Discarded) {
        let Mailed { load, ticket, .. } = *self;
        let result = match outcome {
            Outcome::Done => Ok(load),
            Outcome::Refused(refused) => {
                discard(load, discarded);
                Err(Error::Refused(refused))
            }
            Outcome::Lost(lost) => {
                discard(load, discarded);
                Err(Error::Lost(lost))
            }
        };
        match ticket.settle(result) {
            // A caller that panicked has left its reply behind.
            Ok(()) => {
                if let Some(unread) = Arc::into_inner(ticket)
                    && std::mem::needs_drop::<(K, V)>()
                {
                    discarded.push(Box::new(vec![unread]));
                }
            }
            // The caller has given up.
            Err(Ok(load)) => discard(load, discarded),
            Err(Err(_)) => {}
        }
    }

    fn is_write(&self) -> bool {
        match &self.load {
            Load::One(step) => step.is_write(),
            Load::Many(steps) => steps.iter().any(Step::is_write),
        }
    }
}
