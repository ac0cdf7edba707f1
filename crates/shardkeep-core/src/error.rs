//! Errors by what the caller may do next: *refused* was certainly not applied, *lost* may have been.

use std::fmt;

/// The work was certainly not applied. Trying again is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The mailbox of the shard had no place (and the caller asked not to wait, or waited in vain).
    MailboxFull {
        /// The shard whose mailbox is full.
        shard: usize,
        /// Works waiting in it.
        depth: usize,
    },
    /// The deadline passed before the work began.
    DeadlinePassed {
        /// The shard it waited for.
        shard: usize,
        /// Works waiting in its mailbox when the caller gave up.
        depth: usize,
    },
    /// The caller's cancel token was used before the work began.
    Cancelled,
    /// The shard is in somebody's hands, and the caller asked neither to mail nor to wait.
    Busy {
        /// The shard that was not on its desk.
        shard: usize,
    },
    /// The store is draining: it finishes what it has admitted and admits nothing new.
    Draining,
    /// The store is closed.
    Closed,
    /// The shard was lost to a panic while the work waited; it had not begun.
    ShardLost {
        /// The shard that was lost.
        shard: usize,
    },
    /// The log's queue had no place (and the caller asked not to wait, or waited in vain): the disk is
    /// slower than the writers.
    LogFull {
        /// Places taken.
        places: usize,
    },
    /// A walk through the store (a snapshot) is behind: more old states wait to be written than half of what there may
    /// be. Places in the log's queue are given out as it writes them (and the caller asked not to wait, or waited in
    /// vain).
    WalkBehind {
        /// Bytes that wait.
        bytes: usize,
        /// Bytes that may wait; at half of them places are given out again.
        bound: usize,
    },
    /// There is no space for the log. Writes are admitted again when there is.
    LogHasNoSpace,
    /// The log failed for good: nothing is written until the store is opened again.
    LogFailed,
    /// The store is still being recovered.
    Recovering,
    /// A key or a value has no form as bytes, so the log cannot keep it.
    Unencodable,
    /// A limit of the store stands against it.
    OverLimit {
        /// The name of the limit.
        limit: &'static str,
        /// What it allows.
        allowed: u64,
        /// What the work would have needed.
        needed: u64,
    },
    /// The store was called from inside a closure that it was running itself.
    Reentrant,
    /// The store belongs to the process that opened it, and this is a child that was forked from that one.
    OtherProcess,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MailboxFull { shard, depth } => {
                write!(
                    f,
                    "refused: mailbox of shard {shard} is full ({depth} works)"
                )
            }
            Self::DeadlinePassed { shard, depth } => write!(
                f,
                "refused: deadline passed before the work began on shard {shard} ({depth} works \
                 waiting)"
            ),
            Self::Cancelled => write!(f, "refused: cancelled by the caller before the work began"),
            Self::Busy { shard } => write!(f, "refused: shard {shard} is in other hands"),
            Self::Draining => write!(f, "refused: the store is draining"),
            Self::Closed => write!(f, "refused: the store is closed"),
            Self::ShardLost { shard } => {
                write!(f, "refused: shard {shard} was lost before the work began")
            }
            Self::LogFull { places } => {
                write!(
                    f,
                    "refused: the log's queue is full ({places} places taken)"
                )
            }
            Self::WalkBehind { bytes, bound } => write!(
                f,
                "refused: the snapshot under way is behind ({bytes} bytes of old states wait to be \
                 written, of {bound}); try again when it has written some"
            ),
            Self::LogHasNoSpace => write!(f, "refused: there is no space for the log"),
            Self::LogFailed => write!(
                f,
                "refused: the log failed; nothing is written until the store is opened again"
            ),
            Self::Unencodable => {
                write!(
                    f,
                    "refused: the key or the value cannot be encoded for the log"
                )
            }
            Self::Recovering => write!(f, "refused: the store is still being recovered"),
            Self::OverLimit {
                limit,
                allowed,
                needed,
            } => {
                write!(
                    f,
                    "refused: {limit} allows {allowed}, {needed} would be needed"
                )
            }
            Self::Reentrant => {
                write!(
                    f,
                    "refused: the store was called from inside one of its own closures"
                )
            }
            Self::OtherProcess => write!(
                f,
                "refused: the store was opened by another process, of which this one was forked; open \
                 a store of its own here, or exec"
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// The work may have been applied, or not. Only looking again can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// The deadline passed after the work had begun.
    DeadlinePassed {
        /// The shard it ran on.
        shard: usize,
    },
    /// The shard died of a panic while the work was under way.
    ShardLost {
        /// The shard that was lost.
        shard: usize,
    },
    /// It was done, but the deadline passed before that was durable, and the log stood still.
    NotSynced {
        /// The shard it was done on.
        shard: usize,
    },
    /// It was done, but the log failed before that was durable.
    LogFailed,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeadlinePassed { shard } => {
                write!(
                    f,
                    "lost: deadline passed while the work ran on shard {shard}"
                )
            }
            Self::ShardLost { shard } => {
                write!(f, "lost: shard {shard} died while the work was under way")
            }
            Self::NotSynced { shard } => write!(
                f,
                "lost: the deadline passed before the change on shard {shard} was durable; the log stands \
                 still"
            ),
            Self::LogFailed => write!(f, "lost: the log failed before the change was durable"),
        }
    }
}

impl std::error::Error for Lost {}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Certainly not applied.
    Refused(Refused),
    /// Outcome unknown.
    Lost(Lost),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Lost(lost) => lost.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(refused) => refused.source(),
            Self::Lost(lost) => lost.source(),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// Why a store did not open.
#[derive(Debug)]
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
    /// The operating system gave no thread.
    Thread {
        /// The thread that could not be started.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// Forks of this process could not be watched for: a child might take the store for its own.
    Forks(std::io::Error),
    /// What was kept on disk could not be read; it was not changed.
    Recovery(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting {
                name,
                value,
                allowed,
            } => {
                write!(f, "{name} = {value} is not possible: allowed is {allowed}")
            }
            Self::Thread { name, .. } => write!(f, "thread {name} could not be started"),
            Self::Forks(_) => write!(f, "forks of this process could not be watched for"),
            Self::Recovery(_) => write!(f, "the store could not be recovered"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Setting { .. } => None,
            Self::Thread { source, .. } | Self::Forks(source) => Some(source),
            Self::Recovery(source) => Some(&**source),
        }
    }
}
