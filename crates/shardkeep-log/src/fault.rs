//! Faults that the proof of the log plants on purpose, to show that it would notice them.
//!
//! Only builds with debug assertions can plant one, each thread for itself; in all others
//! `is_planted` is the constant `false` and the branches behind it are not compiled.

/// One way to get the log wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// A sync of records says that it is done and does nothing.
    SyncSkipped = 1,
    /// A sync of a new file says that it is done and does nothing.
    NewFileSyncSkipped,
    /// A sync of the directory says that it is done and does nothing.
    DirectorySyncSkipped,
    /// A sync that fails counts as done.
    FailedSyncIgnored,
    /// After a sync has failed the next one is believed.
    FailureForgotten,
    /// No payload's checksum is looked at.
    ChecksumIgnored,
    /// Damage in the middle of the log is cut off as if it were a torn tail.
    DamageCutAsTail,
    /// The last record before a new segment is left out.
    LastRecordDroppedAtRotation,
    /// Memory is taken by the length a record declares, before anything is known of it.
    DeclaredLengthAllocated,
    /// What recovery cuts off is not synced before new records follow.
    CutNotSynced,
    /// Records that are not proven to be synced are not written again by recovery.
    TailNotWrittenAgain,
    /// A snapshot becomes the newest before the log is synced as far as it needs.
    SnapshotTooEarly,
    /// A segment ends while a sync of it is under way.
    RotatedDuringSync,
    /// A sync counts for what was written while it ran, too.
    LaterCoveredToo,
    /// A mark says that what is written is synced.
    MarkClaimsWritten,
    /// Damage that cannot be a torn tail, since the system goes on running, is cut off like one.
    BootForgotten,
    /// A boot is noted before what was written in the one before is durable.
    BootNotedEarly,
    /// That a file or the directory is not where it was left is not looked at.
    DisplacementIgnored,
    /// Each part of a large record is returned as if it were one.
    PartAppliedAlone,
    /// A large record that was never finished is not marked as abandoned before others follow.
    AbandonedLeftOut,
    /// Replay leaves out the first record behind a snapshot.
    ReplayBegunLate,
    /// Replay begins with the record at which a snapshot began.
    ReplayBegunEarly,
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) const fn is_planted(_: Fault) -> bool {
    false
}

#[cfg(debug_assertions)]
mod planted {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<u8> = const { Cell::new(0) };
    }

    /// Plants `fault`, or none, in every log that this thread uses.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault.map_or(0, |fault| fault as u8));
    }

    pub(crate) fn is_planted(fault: Fault) -> bool {
        PLANTED.get() == fault as u8
    }
}

#[cfg(debug_assertions)]
pub(crate) use planted::is_planted;
#[cfg(debug_assertions)]
pub use planted::plant;
