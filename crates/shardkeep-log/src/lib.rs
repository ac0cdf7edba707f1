#![doc = include_str!("../README.md")]

mod adopt;
#[cfg(unix)]
mod directory;
mod error;
#[doc(hidden)]
pub mod fault;
pub mod format;
pub mod limits;
mod log;
mod manifest;
mod options;
mod recovery;
mod replay;
mod segment;
mod snapshot;
pub mod storage;
mod walk;
mod write;

#[cfg(unix)]
pub use directory::{Directory, DirectoryError, DirectoryFile};
pub use error::{
    AdoptError, AppendError, Damage, DiskError, LogFailed, OpenError, Operation, SnapshotError,
    WriteError,
};
pub use format::{Lsn, StoreId};
pub use log::{Log, Synced};
pub use options::Options;
pub use recovery::{Progress, Record, Recovery, Warning};
pub use replay::Replay;
pub use snapshot::{Compression, FinishedSnapshot, FrameBuffer, SnapshotReader, SnapshotWriter};
pub use storage::{File, Storage};
