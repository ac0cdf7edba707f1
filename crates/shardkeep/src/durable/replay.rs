//! From bytes to states: effects, each to its shard, in the order of the log.
//!
//! Reads the frames of the newest snapshot and the records behind it; who applies them, and in which thread,
//! is the business of a recovery or a rebuild.

use std::fmt;
use std::sync::Arc;

use shardkeep_core::State;
use shardkeep_log::{
    Directory, FrameBuffer, Lsn, OpenError, Record, Recovery, Replay, SnapshotReader,
};

use super::journal::LogJournal;
use crate::codec::{DecodeError, EncodeError};
use crate::effect::{Effect, Malformed};
use crate::shard::{Image, Moment, Pressure, Saved, Slice, WalkPoint, Walks};

/// A state that outlives its process: its effects are kept in a log, and walks take it into snapshots.
pub trait Persist: State<Journal = LogJournal> {
    /// Makes an effect that the restart has undone happen again. Expires nothing, hands nothing over, and
    /// produces no effect.
    ///
    /// # Errors
    /// Its bytes are no key, no value or no command of this state.
    fn replay(&mut self, effect: &Effect<'_>) -> Result<(), DecodeError>;

    /// Makes the cut of a walk, where effects are kept.
    fn cut(&mut self, moment: Moment, pressure: &Arc<Pressure>);

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
        into: &mut Image,
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

/// Where bytes of effects were read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'p> {
    /// A frame of the snapshot of this name, and how many it has.
    Frame(usize, &'p str, usize),
    /// A record of the log.
    Record(Lsn),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(index, name, _) => write!(f, "frame {index} of {name}"),
            Self::Record(lsn) => write!(f, "record {lsn} of the log"),
        }
    }
}

/// What takes in what is read.
pub(super) trait Sink<S> {
    /// Why it stops.
    type Error: From<OpenError>;

    /// Takes a piece of effects.
    fn take(&mut self, place: Place<'_>, effects: &[u8]) -> Result<(), Self::Error>;

    /// Looks at how much of `source` is read, after each piece.
    fn look(&mut self, _source: &S, _place: Place<'_>) {}
}

/// Reads the snapshot, and then the log behind it, into `sink`. Blocks for the disk.
///
/// # Errors
/// What cannot be read, and the first error of the sink.
pub(super) fn read_all<S: Source, K: Sink<S>>(
    source: &mut S,
    sink: &mut K,
) -> Result<(), K::Error> {
    if let Some(snapshot) = source.snapshot() {
        let (mut buffer, frames) = (FrameBuffer::default(), snapshot.frames());
        for index in 0..frames {
            let frame = snapshot.read_frame(index, &mut buffer)?;
            let place = Place::Frame(index, snapshot.name(), frames);
            sink.take(place, frame)?;
            sink.look(source, place);
        }
    }
    loop {
        let place = match source.next_record()? {
            Some(found) => {
                let place = Place::Record(found.lsn);
                sink.take(place, found.payload)?;
                place
            }
            None => return Ok(()),
        };
        sink.look(source, place);
    }
}
