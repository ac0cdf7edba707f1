//! Where works come back to a reactor.
//!
//! 1. The queue has a place for everything its reactor can have out: one work for each shard,
//!    [`TRANSACTIONS_OUT_MAX`] transactions and one snapshot. So nobody who settles ever finds it full.
//! 2. Whoever settles has published first, then rings; the reactor marks itself asleep by the same
//!    cell after it has looked. The waker's system call happens only if the reactor sleeps.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use crossbeam_channel::{Receiver, Sender};
use mio::Waker;
use shardkeep::engine::Wake;

use super::{ShardWork, ShardsWork};
use crate::limits::TRANSACTIONS_OUT_MAX;

/// A work that has come back, settled.
pub(crate) enum Reply {
    Shard(Box<ShardWork>),
    Shards(Box<ShardsWork>),
    /// A snapshot was taken, or an error says why not.
    Saved(Option<String>),
}

const AWAKE: u8 = 0;
const RUNG: u8 = 1;
const ASLEEP: u8 = 2;

pub(crate) struct ReplyPort {
    sender: Sender<Reply>,
    receiver: Receiver<Reply>,
    state: AtomicU8,
    waker: Waker,
}

/// Woken when something is durable.
impl Wake for ReplyPort {
    fn wake(&self) {
        self.ring();
    }
}

impl ReplyPort {
    pub(crate) fn new(shards: usize, waker: Waker) -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(shards + TRANSACTIONS_OUT_MAX + 1);
        Self {
            sender,
            receiver,
            state: AtomicU8::new(AWAKE),
            waker,
        }
    }

    pub(crate) fn send(&self, reply: Reply) {
        // Never full (invariant 1), never disconnected: both ends live here.
        let sent = self.sender.try_send(reply);
        debug_assert!(
            sent.is_ok(),
            "a reactor had more works out than its port has places"
        );
        self.ring();
    }

    pub(crate) fn ring(&self) {
        if self.state.swap(RUNG, AcqRel) == ASLEEP {
            // An error would mean that the reactor's own poll is gone; it then ends by itself.
            drop(self.waker.wake());
        }
    }

    /// The reactor, before it looks what has come.
    pub(crate) fn answer(&self) {
        self.state.swap(AWAKE, AcqRel);
    }

    /// The reactor, before it polls: `false` when something came since `answer`.
    pub(crate) fn may_sleep(&self) -> bool {
        self.state
            .compare_exchange(AWAKE, ASLEEP, AcqRel, Acquire)
            .is_ok()
    }

    pub(crate) fn try_recv(&self) -> Option<Reply> {
        self.receiver.try_recv().ok()
    }
}
