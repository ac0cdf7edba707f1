//! What can go wrong between a store and its files.

use std::fmt;
use std::io;

use shardkeep_core::Error;
use shardkeep_log::{AdoptError, Directory, DirectoryError, OpenError};

use super::new_store::NewStoreError;
use super::replay::Unreadable;

/// A store was not recovered; nothing of it was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecoverError {
    /// The directory is in use, or the operating system refuses.
    Directory(DirectoryError),
    /// The log or the snapshot is damaged, incomplete or foreign.
    Log(OpenError),
    /// The store was written with other types, or other codecs.
    OtherTypes {
        /// What it holds, as it was noted.
        found: String,
        /// As what it was opened.
        expected: String,
    },
    /// A record is whole, but what it says cannot be understood: it was written by a program with
    /// other types, or a newer one.
    Unreadable {
        /// Where: a record of the log, or a frame of the snapshot.
        place: String,
        /// Why.
        source: Unreadable,
    },
    /// A thread could not be started.
    Thread(io::Error),
    /// The store was closed meanwhile.
    Store(Error),
    /// A thread that was recovering panicked.
    Panicked,
    /// What a record or a frame says makes the state panic.
    PanickedAt {
        /// Where: a record of the log, or a frame of the snapshot.
        place: String,
    },
    /// It was given up.
    Cancelled,
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => error.fmt(f),
            Self::Log(error) => error.fmt(f),
            Self::OtherTypes { found, expected } => write!(
                f,
                "the store holds {found}, but is to be opened as {expected}: open it as what it is, or, \
                 where the bytes mean the same, with `Durable::accept_other_types`"
            ),
            Self::Unreadable { place, source } => write!(f, "{place} cannot be read: {source}"),
            Self::Thread(error) => write!(f, "a thread for recovery could not be started: {error}"),
            Self::Store(error) => error.fmt(f),
            Self::PanickedAt { place } => write!(f, "a thread panicked at {place}"),
            Self::Panicked => write!(f, "a thread panicked during recovery"),
            Self::Cancelled => write!(f, "the recovery was given up before its end"),
        }
    }
}

impl std::error::Error for RecoverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory(error) => error.source(),
            Self::Log(error) => error.source(),
            Self::Unreadable { source, .. } => source.source(),
            Self::Thread(error) => error.source(),
            Self::Store(error) => error.source(),
            Self::OtherTypes { .. }
            | Self::Panicked
            | Self::PanickedAt { .. }
            | Self::Cancelled => None,
        }
    }
}

impl From<DirectoryError> for RecoverError {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

impl From<OpenError> for RecoverError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::OtherContent { found, expected } => Self::OtherTypes { found, expected },
            other => Self::Log(other),
        }
    }
}

impl From<Error> for RecoverError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// A snapshot was not taken. The store goes on, with the log as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The store has no log.
    NotDurable,
    /// The disk refuses, one is being written already, or the log has failed.
    Log(shardkeep_log::SnapshotError),
    /// It was written and could not be made the newest.
    Adopt(AdoptError<Directory>),
    /// The store refused a call, or the log did not come back in time.
    Store(Error),
    /// An entry could not be encoded.
    Unencodable(String),
    /// Changes came faster than what they handed over was written, again and again.
    Overtaken {
        /// Bytes that may wait to be written.
        bound: usize,
    },
    /// A shard was lost meanwhile.
    ShardLost {
        /// Its number.
        shard: usize,
    },
    /// There is not enough space: nothing was begun.
    DoesNotFit {
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that are free for it.
        free: u64,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDurable => write!(f, "the store has no log"),
            Self::Log(error) => error.fmt(f),
            Self::Adopt(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Unencodable(why) => write!(f, "an entry could not be encoded: {why}"),
            Self::Overtaken { bound } => write!(
                f,
                "changes came faster than the snapshot was written: more than {bound} bytes of what they \
                 changed were waiting"
            ),
            Self::ShardLost { shard } => write!(f, "shard {shard} was lost while it was taken"),
            Self::DoesNotFit { needed, free } => write!(
                f,
                "no space for the snapshot: it takes {needed} bytes, and {free} are free for it"
            ),
        }
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Log(error) => error.source(),
            Self::Adopt(error) => error.source(),
            Self::Store(error) => error.source(),
            Self::NotDurable
            | Self::Unencodable(_)
            | Self::Overtaken { .. }
            | Self::ShardLost { .. }
            | Self::DoesNotFit { .. } => None,
        }
    }
}

impl From<Error> for SnapshotError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// A backup was not taken. The store goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// The store was not walked through.
    Walk(SnapshotError),
    /// The new store was not written.
    New(NewStoreError),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Walk(error) => error.fmt(f),
            Self::New(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BackupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Walk(error) => error.source(),
            Self::New(error) => error.source(),
        }
    }
}

impl From<SnapshotError> for BackupError {
    fn from(error: SnapshotError) -> Self {
        Self::Walk(error)
    }
}

impl From<NewStoreError> for BackupError {
    fn from(error: NewStoreError) -> Self {
        Self::New(error)
    }
}

impl From<Error> for BackupError {
    fn from(error: Error) -> Self {
        Self::Walk(error.into())
    }
}
