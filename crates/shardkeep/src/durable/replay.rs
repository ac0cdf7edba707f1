//! From bytes to states: effects, each to its shard, in the order of the log.

use std::fmt;

use shardkeep_core::State;
use shardkeep_log::{Directory, OpenError, Record, Recovery, Replay, SnapshotReader};

use super::journal::LogJournal;
use crate::codec::{DecodeError, EncodeError};
use crate::effect::{Effect, Malformed};
use crate::table::{Spot, Walked};

/// A state whose effects are kept in a log.
pub trait Kept: State<Journal = LogJournal> {
    /// Makes an effect undone by the restart happen again. Expires nothing, and produces no effect.
    ///
    /// # Errors
    /// Its bytes are no key or no value of this state.
    fn restore(&mut self, effect: &Effect<'_>) -> Result<(), DecodeError>;

    /// Appends entries from `spot` on, expired ones included, as effects, and ends with the one that
    /// fills the slice, or earlier.
    ///
    /// # Errors
    /// An entry has no form as bytes.
    fn save(&self, spot: Spot, slice: Slice, into: &mut Vec<u8>) -> Result<Saved, EncodeError>;
}

/// How much of a state is saved with its shard in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Entries.
    pub entries: usize,
    /// Bytes of effects; a single entry may have more.
    pub bytes: usize,
}

impl Slice {
    /// Whether so much fills it.
    #[must_use]
    pub const fn is_filled_by(self, entries: u64, bytes: usize) -> bool {
        entries >= self.entries as u64 || bytes >= self.bytes
    }

    /// Twice as much.
    #[must_use]
    pub const fn doubled(self) -> Self {
        Self {
            entries: self.entries.saturating_mul(2),
            bytes: self.bytes.saturating_mul(2),
        }
    }
}

/// What one slice came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Entries appended.
    pub entries: u64,
    /// Where to go on, and whether something is saved again.
    pub walked: Walked,
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
