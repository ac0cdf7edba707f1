//! Errors by what the caller may do next.
//!
//! A disk that is full is not a disk that has failed: the first passes, the second never does. Here are
//! the errors of writing; what is wrong with what was read is in `open_error`.
//!
//! 1. The text of an error holds that of its cause, and `source` leads on from there: a chain of causes
//!    says everything once.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::format::Lsn;
use crate::snapshot::FinishedSnapshot;
use crate::storage::{Displaced, Storage};

/// What was asked of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// To say which files there are.
    List,
    /// To make a file.
    Create,
    /// To open a file.
    Open,
    /// To read from it.
    Read,
    /// To write to it.
    Write,
    /// To cut it.
    Cut,
    /// To take space for it.
    Allocate,
    /// To make its content durable.
    Sync,
    /// To rename it.
    Rename,
    /// To remove it.
    Remove,
    /// To make the names in the directory durable.
    SyncDirectory,
    /// To say whether it is where it was left.
    Look,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "listing",
            Self::Create => "creating",
            Self::Open => "opening",
            Self::Read => "reading",
            Self::Write => "writing",
            Self::Cut => "cutting",
            Self::Allocate => "taking space for",
            Self::Sync => "syncing",
            Self::Rename => "renaming",
            Self::Remove => "removing",
            Self::SyncDirectory => "syncing the directory of",
            Self::Look => "looking for",
        })
    }
}

/// The disk refused something.
#[derive(Clone, Debug)]
pub struct DiskError {
    /// What.
    pub operation: Operation,
    /// The name of the file it was about, or the directory.
    pub file: String,
    /// Why.
    pub error: Arc<io::Error>,
}

impl DiskError {
    pub(crate) fn new(operation: Operation, file: &str, error: io::Error) -> Self {
        Self {
            operation,
            file: file.to_owned(),
            error: Arc::new(error),
        }
    }

    pub(crate) fn displaced(displaced: Displaced) -> Self {
        let Displaced { what, how } = displaced;
        Self::new(Operation::Look, &what, io::Error::other(how))
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.file, self.error)
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// The log has failed for good: what was not yet proven to be synced may or may not survive, and
/// nothing is accepted until the store is opened again.
#[derive(Clone, Debug)]
pub struct LogFailed {
    /// The first error, which decided.
    pub cause: DiskError,
}

impl fmt::Display for LogFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the log has failed and the store must be reopened: {}",
            self.cause
        )
    }
}

impl std::error::Error for LogFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

/// A record was not taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AppendError {
    /// The log has failed.
    Failed(LogFailed),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failed) => failed.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(failed) => failed.source(),
        }
    }
}

/// Not all records were written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// There is no space, or no file to be had. What was not written is kept and written first the next
    /// time: try again later.
    NoSpace(DiskError),
    /// The log has failed.
    Failed(LogFailed),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace(error) => write!(f, "no space for the log for now: {error}"),
            Self::Failed(failed) => failed.fmt(f),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSpace(error) => error.source(),
            Self::Failed(failed) => failed.source(),
        }
    }
}

impl From<LogFailed> for WriteError {
    fn from(failed: LogFailed) -> Self {
        Self::Failed(failed)
    }
}

/// A snapshot cannot be made, or not gone on with. The log is as it was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Another one is being written.
    InProgress,
    /// A frame is too large.
    TooLarge {
        /// Bytes of it.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// There is no space: drop it and try again later.
    NoSpace(DiskError),
    /// The disk refused: drop it.
    Disk(DiskError),
    /// The log has failed.
    Failed(LogFailed),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProgress => write!(f, "a snapshot is being written already"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "a frame holds {limit} bytes at most, {bytes} were given")
            }
            Self::NoSpace(error) => write!(f, "no space for the snapshot: {error}"),
            Self::Disk(error) => write!(f, "the snapshot cannot be written: {error}"),
            Self::Failed(failed) => failed.fmt(f),
        }
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InProgress | Self::TooLarge { .. } => None,
            Self::NoSpace(error) | Self::Disk(error) => error.source(),
            Self::Failed(failed) => failed.source(),
        }
    }
}

/// A finished snapshot did not become the newest.
#[non_exhaustive]
pub enum AdoptError<S: Storage> {
    /// The log is not synced as far as the snapshot needs: sync it and give the snapshot again.
    NotSynced {
        /// What was given.
        snapshot: FinishedSnapshot<S>,
        /// What it needs.
        needs: Lsn,
        /// What was proven.
        synced: Lsn,
    },
    /// There is no space for the manifest; the snapshot is gone, the log is as it was.
    NoSpace(DiskError),
    /// The log has failed.
    Failed(LogFailed),
}

impl<S: Storage> fmt::Display for AdoptError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSynced { needs, synced, .. } => write!(
                f,
                "the snapshot needs the log synced up to record {needs}, and it is up to {synced}"
            ),
            Self::NoSpace(error) => write!(f, "no space to adopt the snapshot: {error}"),
            Self::Failed(failed) => failed.fmt(f),
        }
    }
}

impl<S: Storage> fmt::Debug for AdoptError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdoptError({self})")
    }
}

impl<S: Storage> std::error::Error for AdoptError<S> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotSynced { .. } => None,
            Self::NoSpace(error) => error.source(),
            Self::Failed(failed) => failed.source(),
        }
    }
}
