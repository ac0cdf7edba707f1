//! A store that outlives its process: the log plugged into the hand-over, recovery, snapshots.
//!
//! For states of any kind whose effects are bytes ([`crate::effect`]); the typed store is one of them.
//!
//! 1. Only the holder of the log, recovery and whoever writes a snapshot wait for the disk; none of
//!    them holds a shard then (recovery does, while nobody else is let in).
//! 2. Replay goes in the order of the log for each shard, and expires nothing.
//! 3. A snapshot is taken while the store changes, and holds nothing newer than its cut: replay applies every
//!    record behind the cut, once. It counts only when the log is durable up to there.

mod automatic;
mod backup;
mod disk;
mod error;
mod journal;
mod new_store;
mod options;
#[cfg(test)]
mod overtaken_tests;
mod recover;
mod remake;
mod replay;
mod resting;
mod schedule;
mod snapshot;
mod walker;

pub use automatic::Automatic;
pub use backup::backup;
pub use disk::Disk;
pub use error::{BackupError, RecoverError, SnapshotError};
pub use journal::LogJournal;
pub use new_store::{NewStore, NewStoreError, NewStoreReport};
pub use options::{DiskStep, Durable};
pub use recover::{Recovered, RecoveryProgress, recover};
pub use remake::remake;
pub use replay::{Persist, Route, Unreadable};
pub use schedule::Schedule;
pub use shardkeep_log::{
    Compression, Directory, DirectoryError, RepairError, Repaired, Report, check, repair,
};
pub use snapshot::{SnapshotReport, snapshot};
