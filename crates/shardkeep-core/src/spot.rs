//! The places of one shard: its desk, and what lies beside it.

use crate::desk::Desk;
use crate::loan::Shard;
use crate::mail::Mail;
use crate::mailbox::Mailbox;
use crate::stats::{HolderCount, ShardCounters};
use crate::sync::AtomicBool;
use crate::work::State;

/// The hot part of a shard's place: one cache line that moves with the shard.
pub(crate) struct Spot<S: State> {
    pub(crate) desk: Desk<Shard<S>>,
    pub(crate) borrowed: HolderCount,
}

impl<S: State> Spot<S> {
    /// Takes the shard off its desk if it lies there. The caller owes it a loan.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<Box<Shard<S>>> {
        let shard = self.desk.borrow()?;
        self.borrowed.add(1);
        Some(shard)
    }
}

/// What lies beside a desk.
pub(crate) struct Beside<S: State> {
    pub(crate) mailbox: Mailbox<Mail<S>>,
    pub(crate) counters: ShardCounters,
    /// Asks the owner to tend the shard.
    pub(crate) wants_tending: AtomicBool,
    /// The shard was lost and is not back: it is being made again, or its owner has ended. Who posts
    /// refuses.
    pub(crate) gone: AtomicBool,
    /// It will not come back.
    pub(crate) given_up: AtomicBool,
}
