//! From bytes to states: effects, each to its shard, in the order of the log.

use std::fmt;

use shardkeep_core::State;
use shardkeep_log::{Directory, OpenError, Record, Recovery, Replay, SnapshotReader};

use super::journal::LogJournal;
use crate::codec::{DecodeError, EncodeError};
use crate::effect::{Effect, Malformed};
use crate::shard::{Saved, Slice, WalkPoint, Walks};

/// A state that outlives its process: its effects are kept in a log, and walks take it into snapshots.
pub trait Persist: State<Journal = LogJournal> {
    /// Makes an effect that the restart has undone happen again. Expires nothing, hands nothing over, and
    /// produces no effect.
    ///
    /// # Errors
    /// Its bytes are no key, no value or no command of this state.
    fn replay(&mut self, effect: &Effect<'_>) -> Result<(), DecodeError>;

    /// What walks through this state are under way; `None` where its effects are not kept.
    fn walks(&mut self) -> Option<&mut Walks>;

    /// One slice of a walk, as [`Walks::slice`] does it in each table: what was handed over, and missing entries
    /// from `from` on, expired ones included.
    ///
    /// # Errors
    /// An entry has no form as bytes.
    fn slice(
        &mut self,
        from: WalkPoint,
        slice: Slice,
        into: &mut Vec<u8>,
    ) -> Result<Saved, EncodeError>;
}

/// The shard of a key, from its bytes.
pub type Route = dyn Fn(&[u8]) -> Result<usize, DecodeError> + Send + Sync;

/// A whole record that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is no effect of any known form.
    Malformed(Malformed),
    /// A key or a value is not of the type that this store has.
    Decode(DecodeError),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unreadable {}

impl From<Malformed> for Unreadable {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl From<DecodeError> for Unreadable {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// Where effects are read from: a store that is being opened, or one that goes on.
pub(super) trait Source {
    /// The snapshot to begin with.
    fn snapshot(&self) -> Option<&SnapshotReader<Directory>>;

    /// The next record behind it.
    fn next_record(&mut self) -> Result<Option<Record<'_>>, OpenError>;
}

impl Source for Recovery<Directory> {
    fn snapshot(&self) -> Option<&SnapshotReader<Directory>> {
        Self::snapshot(self)
    }

    fn next_record(&mut self) -> Result<Option<Record<'_>>, OpenError> {
        Self::next_record(self)
    }
}

impl Source for Replay<Directory> {
    fn snapshot(&self) -> Option<&SnapshotReader<Directory>> {
        Self::snapshot(self)
    }

    fn next_record(&mut self) -> Result<Option<Record<'_>>, OpenError> {
        Self::next_record(self)
    }
}
