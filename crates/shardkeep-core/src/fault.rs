//! Faults that the proof of the hand-over plants on purpose, to show that it would notice them.
//!
//! Only the explorers' builds (`--cfg shuttle`, `--cfg loom`) can plant one; everywhere else
//! [`is_planted`] is the constant `false` and the branches behind it are not compiled.

/// One way to get the hand-over wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// The holder empties the mailbox first and clears the flag afterwards.
    ClearedAfterEmptying = 1,
    /// The holder stops at its bound of service and leaves the flag cleared.
    StoppedWithFlagCleared,
    /// The poster looks whether the shard is on its desk before it swaps it out. (Harmless where
    /// memory is sequentially consistent, so only the memory model's checker can notice it.)
    LookBeforeBorrow,
    /// The holder does not look at the flag after it has put the shard back.
    NoSecondLook,
    /// The shard is put back by a store.
    ReturnByStore,
    /// The flag is set by a store.
    FlagByStore,
    /// A borrower that reaches the bound of service does its own work before the rest of the mail.
    OwnWorkFirst,
    /// A loan that is dropped on its way is forgotten instead of returned.
    DroppedInTransit,
    /// Mail that reaches a closed shard is left lying.
    LateMailIgnored,
    /// The journal's holder empties the log's queue first and clears the flag afterwards.
    LogFlagClearedLate,
    /// The journal's holder does not look at the flag after it has put the journal back.
    LogNoSecondLook,
    /// The committer finds the journal away, and does not ask for it.
    JournalNotAskedFor,
    /// The committer lays the journal back after its last commit, to put it away from there.
    JournalLaidBack,
    /// Who waits is released before the sync.
    ReleasedBeforeSync,
    /// Who waits is woken before `synced` is raised.
    WokenBeforeRaised,
    /// Who waits looks first, and writes itself down afterwards.
    AwaitedAfterLook,
    /// A sync that failed counts as one.
    FailedSyncAcknowledged,
    /// A batch enters the queue after its shard was put back.
    QueuedAfterReturn,
    /// A cut enters the queue after the shards were put back.
    CutQueuedLate,
    /// The effects of a transaction stand in its record shard by shard.
    EffectsByShard,
    /// A mailed work is answered before what it wrote is queued.
    AnsweredBeforeQueued,
    /// A commit stops at a write although somebody wants everything synced.
    SyncWantedOverlooked,
    /// What was written while a sync ran counts as covered by it.
    LaterReleasedToo,
    /// A sync has ended, and the committer is not rung.
    SyncEndsUnheard,
    /// The journal is put away while a sync is under way.
    PutAwayDuringSync,
    /// A place that nobody used is not given back.
    PlaceKept,
    /// Who has waited for a place does not look at the log again.
    PlaceTakenAfterFailure,
    /// Who waits for a place is not woken when the log fails.
    WaitersLeftAtTheDoor,
    /// A walk has written enough, and the threads that wait for that are not woken.
    ReliefUnheard,
    /// What a broken change has written is kept.
    BrokenChangeKept,
    /// A map that a panic left half changed is used again.
    BrokenMapReused,
}

#[cfg(not(any(shuttle, loom)))]
#[inline(always)]
pub(crate) const fn is_planted(_: Fault) -> bool {
    false
}

#[cfg(any(shuttle, loom))]
mod planted {
    use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

    use super::Fault;

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants `fault`, or none, in every keep of this process.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.store(fault.map_or(0, |fault| fault as u8), SeqCst);
    }

    pub(crate) fn is_planted(fault: Fault) -> bool {
        PLANTED.load(SeqCst) == fault as u8
    }
}

#[cfg(any(shuttle, loom))]
pub(crate) use planted::is_planted;
#[cfg(any(shuttle, loom))]
pub use planted::plant;
