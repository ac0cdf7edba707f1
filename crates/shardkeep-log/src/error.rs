//! Errors by what the caller may do next.
//!
//! A disk that is full is not a disk that has failed: the first passes, the second never does. What
//! was read and is wrong is neither: it waits for a person.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::format::{Lsn, StoreId};
use crate::snapshot::FinishedSnapshot;
use crate::storage::Storage;

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
    /// To make its content durable.
    Sync,
    /// To rename it.
    Rename,
    /// To remove it.
    Remove,
    /// To make the names in the directory durable.
    SyncDirectory,
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
            Self::Sync => "syncing",
            Self::Rename => "renaming",
            Self::Remove => "removing",
            Self::SyncDirectory => "syncing the directory of",
        })
    }
}

/// The disk refused something.
#[derive(Clone, Debug)]
pub struct DiskError {
    /// What.
    pub operation: Operation,
    /// The name of the file it was about.
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
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.file, self.error)
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.error)
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
        Some(&self.cause)
    }
}

/// A record was not taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AppendError {
    /// It is too large for any record.
    TooLarge {
        /// Bytes of its payload.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The log has failed.
    Failed(LogFailed),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit } => {
                write!(
                    f,
                    "a record holds {limit} bytes at most, {bytes} were given"
                )
            }
            Self::Failed(failed) => failed.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Failed(failed) => Some(failed),
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
            Self::NoSpace(error) => Some(error),
            Self::Failed(failed) => Some(failed),
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
            Self::NoSpace(error) | Self::Disk(error) => Some(error),
            Self::Failed(failed) => Some(failed),
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
            Self::NoSpace(error) => Some(error),
            Self::Failed(failed) => Some(failed),
        }
    }
}

/// A store was not opened, or a part of it cannot be read. Nothing was changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is outside of what is allowed.
    Setting {
        /// Its name.
        name: &'static str,
        /// What was asked for.
        value: u64,
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// The disk refused: set that right and try again.
    Disk(DiskError),
    /// There is no store, and none was to be made.
    NotFound,
    /// There is no manifest, but there are files that only a store has.
    ManifestMissing {
        /// One of them.
        found: String,
    },
    /// The log cannot be replayed up to this record.
    OutOfRange {
        /// The record.
        lsn: Lsn,
        /// The first that is possible.
        lowest: Lsn,
        /// The last that is possible.
        highest: Lsn,
    },
    /// A file that the manifest names is not there.
    Missing {
        /// Its name.
        file: String,
    },
    /// A file holds records, and the manifest does not know it.
    Unlisted {
        /// Its name.
        file: String,
    },
    /// A file belongs to another store.
    Foreign {
        /// Its name.
        file: String,
        /// Whose it is.
        found: StoreId,
        /// Whose it should be.
        expected: StoreId,
    },
    /// A file was written by another version of this format.
    UnknownVersion {
        /// Its name.
        file: String,
        /// The version it says.
        version: u32,
    },
    /// Bytes are not what was written.
    Damaged {
        /// In which file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
}

impl OpenError {
    pub(crate) fn damaged(file: &str, offset: u64, damage: Damage) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            offset,
            damage,
        }
    }
}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting {
                name,
                value,
                allowed,
            } => {
                return write!(f, "{name} = {value} is not possible: allowed is {allowed}");
            }
            Self::Disk(error) => return error.fmt(f),
            Self::OutOfRange {
                lsn,
                lowest,
                highest,
            } => {
                return write!(
                    f,
                    "the log cannot be replayed up to record {lsn}: {lowest} to {highest} is possible"
                );
            }
            Self::NotFound => return write!(f, "there is no store here"),
            Self::ManifestMissing { found } => {
                write!(f, "the manifest is missing, but {found} is there")
            }
            Self::Missing { file } => {
                write!(
                    f,
                    "{file} is missing, and the manifest says that it belongs here"
                )
            }
            Self::Unlisted { file } => {
                write!(f, "{file} holds records, and the manifest does not know it")
            }
            Self::Foreign {
                file,
                found,
                expected,
            } => write!(
                f,
                "{file} belongs to store {found}, and this is store {expected}"
            ),
            Self::UnknownVersion { file, version } => {
                return write!(
                    f,
                    "{file} was written in version {version} of the format, and this program knows \
                     version {}: use the program that wrote it",
                    crate::format::VERSION
                );
            }
            Self::Damaged {
                file,
                offset,
                damage,
            } => write!(f, "{file} is damaged at offset {offset}: {damage}"),
        }?;
        write!(
            f,
            "; `shardkeep check DIR` shows what is there, `shardkeep repair DIR` mends what can be \
             mended and keeps the originals"
        )
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(error) => Some(error),
            _ => None,
        }
    }
}

/// What is wrong with bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The header of the file.
    Header,
    /// The file says another LSN than its name.
    Misnamed {
        /// What it says.
        says: Lsn,
    },
    /// The lists of a manifest.
    Lists,
    /// There is no record where it should begin.
    Record {
        /// The record that should begin here.
        lsn: Lsn,
    },
    /// The payload of a record.
    Payload {
        /// The record.
        lsn: Lsn,
    },
    /// A record that had been synced cannot be read: what is behind it says so.
    SyncedRecord {
        /// The record that should begin here.
        lsn: Lsn,
        /// The newest record known to have been synced.
        synced: Lsn,
    },
    /// Records that should be here are not.
    Gap {
        /// The first of them.
        from: Lsn,
        /// The last of them.
        to: Lsn,
    },
    /// The log is intact but ends too early.
    EndsEarly {
        /// Its last record.
        last: Lsn,
        /// The record that was synced, or that a snapshot needs.
        needed: Lsn,
    },
    /// A kind of record or frame that this version does not know.
    Kind {
        /// The kind.
        kind: u8,
    },
    /// A frame of a snapshot.
    Frame {
        /// Its place, from 0.
        index: u64,
    },
    /// The end of a snapshot.
    Footer,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => write!(f, "its header is not whole"),
            Self::Misnamed { says } => write!(f, "its header says {says}"),
            Self::Lists => write!(f, "its lists make no sense"),
            Self::Record { lsn } => write!(f, "record {lsn} should begin here"),
            Self::Payload { lsn } => write!(f, "the checksum of record {lsn} is wrong"),
            Self::SyncedRecord { lsn, synced } => {
                write!(
                    f,
                    "record {lsn} cannot be read, and up to {synced} all was synced"
                )
            }
            Self::Gap { from, to } => write!(f, "records {from} to {to} are missing"),
            Self::EndsEarly { last, needed } => {
                write!(
                    f,
                    "the log ends with record {last}, and record {needed} was synced"
                )
            }
            Self::Kind { kind } => write!(f, "kind {kind} is unknown"),
            Self::Frame { index } => write!(f, "frame {index} is not whole"),
            Self::Footer => write!(f, "its end does not fit its frames"),
        }
    }
}
