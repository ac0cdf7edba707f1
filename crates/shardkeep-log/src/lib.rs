#![doc = include_str!("../README.md")]

mod adopt;
mod check;
mod detached;
#[cfg(unix)]
mod directory;
mod error;
#[doc(hidden)]
pub mod fault;
pub mod format;
pub mod limits;
mod log;
#[cfg(unix)]
mod making;
mod manifest;
pub mod names;
mod open_error;
mod options;
mod parts;
mod records;
mod recovery;
mod repair;
mod replay;
mod reserve;
mod segment;
mod sequence;
mod snapshot;
pub mod storage;
mod walk;
mod write;

pub use check::{Checked, Content, Report, check};
pub use detached::{DetachedSync, SyncEnd};
#[cfg(unix)]
pub use directory::{Directory, DirectoryError, DirectoryFile};
pub use error::{
    AdoptError, AppendError, DiskError, LogFailed, Operation, SnapshotError, WriteError,
};
pub use format::{BootId, Lsn, StoreId};
pub use log::{Log, Synced};
#[cfg(unix)]
pub use making::NewDirectory;
pub use open_error::{Damage, OpenError};
pub use options::Options;
pub use recovery::{Progress, Record, Recovery, Warning};
pub use repair::{RepairError, Repaired, repair};
pub use replay::Replay;
pub use reserve::{Reserve, Room, Shortage};
pub use snapshot::{Compression, FinishedSnapshot, FrameBuffer, SnapshotReader, SnapshotWriter};
pub use storage::{Displaced, Displacement, File, Space, Storage};
