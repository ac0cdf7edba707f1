//! What a keep is made of, to be filled in by its user: a state, the works done on it.
//!
//! 1. A work that was posted is settled exactly once: done, refused or lost.
//! 2. `run` is called at most once, and only after `begin` said yes.
//! 3. `run`, `tend` and `settle` may panic; what that means is written beside them. Everything else
//!    here is a plain answer and must not.

use crate::deadline::Deadline;
use crate::discard::{Discard, Discarded};
use crate::error::{Lost, Refused};
use crate::journal::{Effects, Journal};
use crate::loan::Loans;

/// The private map of one shard. Only the holder of the shard ever touches it.
pub trait State: Sized + Send + 'static {
    /// What is done on one shard and can travel to it by mail.
    type Work: Work<Self>;
    /// What is done on several shards at once and can travel to an owner. States without such works
    /// use [`NoTransaction`].
    type Transaction: Transaction<Self>;
    /// Where effects are kept. States that keep none use [`NoJournal`](crate::NoJournal).
    type Journal: Journal;

    /// Whether values that leave this map may have a `Drop` of somebody else's. They are then dropped
    /// when their shard is back: what [`State::discarded`] and [`Work::settle_into`] hand over, and
    /// [`State::abandoned`].
    const DISCARDS: bool = false;

    /// Whether the state has something to do by itself (expiry). Asked at each return of the shard,
    /// so it must cost next to nothing.
    #[inline]
    fn wants_tending(&self) -> bool {
        false
    }

    /// The effects of what is done on this shard; `None` where they are not kept. Must be the same
    /// thing at every call.
    #[inline]
    fn effects(&mut self) -> Option<&mut Effects> {
        None
    }

    /// One bounded slice of what the state does by itself. Called by the owner about every
    /// [`TEND_INTERVAL`](crate::limits::TEND_INTERVAL) while [`State::wants_tending`].
    fn tend(&mut self) -> Tended {
        Tended::Done
    }

    /// Whether works have left something for [`State::discarded`]. Asked at each return of the shard, so
    /// it must cost next to nothing.
    #[inline]
    fn has_discarded(&self) -> bool {
        false
    }

    /// What works and slices of tending have taken out and not dropped.
    fn discarded(&mut self) -> Option<Box<dyn Discard>> {
        None
    }

    /// What is in the map of a shard that was lost, and is not used again.
    fn abandoned(&mut self) -> Option<Box<dyn Discard>> {
        None
    }
}

/// What a slice of tending left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tended {
    /// Nothing more for now.
    Done,
    /// Another slice would have work at once.
    More,
}

/// How a posted work ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to its end.
    Done,
    /// It certainly did not run.
    Refused(Refused),
    /// It began, and nobody knows how far it came.
    Lost(Lost),
}

/// Something to be done on one shard, with its buffers and its reply address.
pub trait Work<S>: Send + 'static {
    /// When it is refused instead of run.
    fn deadline(&self) -> Deadline;

    /// Claims it for running; `false` when its caller has given it up.
    fn begin(&mut self) -> bool;

    /// Does it. A panic in here loses the shard.
    fn run(&mut self, state: &mut S);

    /// Delivers the outcome, and with it the results that `run` left in the work. Must not block.
    fn settle(self, outcome: Outcome);

    /// As [`Work::settle`], with the shard in hand: what nobody waits for any more is handed over
    /// instead of dropped.
    fn settle_into(self, outcome: Outcome, _discarded: &mut Discarded)
    where
        Self: Sized,
    {
        self.settle(outcome);
    }

    /// Whether it may wait in a batch of writes (`Handover::Mail` with a window).
    fn is_write(&self) -> bool;
}

/// Something to be done on several shards at once.
pub trait Transaction<S: State>: Send + 'static {
    /// The shards it needs: ascending, without repetition, at least one.
    fn shards(&self) -> &[usize];

    /// When it is refused instead of run.
    fn deadline(&self) -> Deadline;

    /// Claims it for running; `false` when its caller has given it up.
    fn begin(&mut self) -> bool;

    /// Does it, with all its shards in hand. A panic in here loses them all.
    fn run(&mut self, shards: &mut Loans<S>);

    /// Delivers the outcome. Must not block.
    fn settle(self, outcome: Outcome);
}

/// The transaction of states that have none to send: it has no values.
#[derive(Clone, Copy, Debug)]
pub enum NoTransaction {}

impl<S: State> Transaction<S> for NoTransaction {
    fn shards(&self) -> &[usize] {
        match *self {}
    }

    fn deadline(&self) -> Deadline {
        match *self {}
    }

    fn begin(&mut self) -> bool {
        match *self {}
    }

    fn run(&mut self, _: &mut Loans<S>) {
        match *self {}
    }

    fn settle(self, _: Outcome) {
        match self {}
    }
}
