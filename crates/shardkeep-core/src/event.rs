//! What a keep says to whoever opened it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::child::ChildEvent;
use crate::log::LogEvent;

/// What is said to the callback of a keep.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A panic while the shard was held: its map was dropped, it starts again empty.
    ShardLost {
        /// The shard.
        shard: usize,
    },
    /// The state of a lost shard could not be made again; its owner goes on trying, and refuses its
    /// mail meanwhile.
    RebuildFailed {
        /// The shard.
        shard: usize,
        /// Why: what the panic said.
        why: String,
    },
    /// A lost shard could not be made again, too often: it is refused from now on, and the others
    /// serve. Whoever opened the keep should close it.
    ShardGivenUp {
        /// The shard.
        shard: usize,
        /// Why, the last time.
        why: String,
    },
    /// The `Drop` of a value panicked that no caller's operation discarded: one that expired, one whose
    /// caller had given up, or one of a map that was lost. Nothing else is lost by it.
    DropPanicked {
        /// The shard it was in.
        shard: usize,
        /// What the panic said; of several together, the first.
        why: String,
    },
    /// An owner has panicked outside of a work, and goes on. When that happens too often
    /// ([`ChildEvent::Escalated`]) the keep admits nothing more, and should be closed.
    Thread(ChildEvent),
    /// The log stands otherwise than before.
    Log(LogEvent),
}

pub(crate) type Events = Arc<dyn Fn(Event) + Send + Sync>;
/// A panic in the user's callback is the user's: the keep goes on.
pub(crate) fn tell(events: &Events, event: Event) {
    drop(catch_unwind(AssertUnwindSafe(|| events(event))));
}
