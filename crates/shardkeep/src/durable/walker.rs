//! A walk through all shards while the store goes on: the cut, one slice of one shard at a time, the end.
//!
//! 1. One shard is in hand at a time, for one slice; nothing is written meanwhile.
//! 2. What changes hand over is fetched from all shards before its buffer is half full.
//! 3. A walk that is given up goes on in silence before the next one begins: here, or at the next cut.
//! 4. Memory is one slice and what was handed over.

use std::sync::Arc;

use shardkeep_core::{Call, Deadline, Keep, Loans, Refused, clock};

use super::error::SnapshotError;
use super::replay::Persist;
use super::resting::rest;
use crate::limits;
use crate::shard::{Image, Moment, Pressure, Saved, Slice, WalkPoint};

/// What is taken at a time.
const SLICE: Slice = Slice {
    entries: limits::SNAPSHOT_SLICE_ENTRIES,
    bytes: limits::SNAPSHOT_SLICE_BYTES,
};

/// Bytes that the buffer of a walk keeps from one slice to the next.
const KEPT_BYTES: usize = 2 * limits::SNAPSHOT_SLICE_BYTES;

/// What a shard is gone through for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To see all entries as they are.
    Measure,
    /// For a walk that was cut.
    Walk,
    /// For the bits of a walk that is void.
    Silence,
}

/// The call of one step: a wait for a shard, or for the log.
pub(super) fn step() -> Call {
    Call::by(Deadline::after(limits::SNAPSHOT_STEP_MAX))
}

/// Goes through the shards of a keep.
pub(super) struct Walker<'k, S: Persist> {
    pub(super) keep: &'k Keep<S>,
    pub(super) is_cancelled: &'k dyn Fn() -> bool,
    /// How long it rests after a slice, in times of what the slice took.
    pub(super) rests: u32,
}

impl<S: Persist> Walker<'_, S> {
    /// Ends in silence what an earlier walk has left, so that a cut can be made.
    pub(super) fn make_ready(&self) -> Result<(), SnapshotError> {
        for shard in self.give_up()? {
            self.shard(shard, Purpose::Silence, &mut |_| Ok(()))?;
        }
        Ok(())
    }

    /// Drops what waits to be written, and hands over no more; gives the shards in which a walk is left, which goes on
    /// in silence.
    pub(super) fn give_up(&self) -> Result<Vec<usize>, SnapshotError> {
        let mut left = Vec::new();
        for shard in 0..self.keep.shards() {
            let mut loans = self.borrow(shard)?;
            let is_left = loans.shard(shard).change(|state| {
                let walks = state.walks().filter(|walks| walks.is_under_way());
                walks.map(|walks| walks.void()).is_some()
            });
            if is_left {
                left.push(shard);
            }
        }
        Ok(left)
    }

    /// Makes the cut. Blocks until it has had all shards in hand for a moment.
    pub(super) fn cut(
        &self,
        moment: Moment,
        pressure: &Arc<Pressure>,
    ) -> Result<(), SnapshotError> {
        self.keep
            .cut(&step(), |_, state| state.cut(moment, pressure))?;
        Ok(())
    }

    /// Gives every entry as it was at the cut to `each`, in pieces and in any order, with nothing in hand; says how
    /// many there were. What is left of a walk that fails is gone through in silence, unless it was cancelled.
    pub(super) fn gather(
        &self,
        pressure: &Pressure,
        each: &mut dyn FnMut(&[u8]) -> Result<(), SnapshotError>,
    ) -> Result<u64, SnapshotError> {
        let mut entries = 0;
        for shard in 0..self.keep.shards() {
            entries += self.valid_shard(shard, pressure, each)?;
        }
        Ok(entries)
    }

    /// Walks through one shard, and fetches what the others hand over meanwhile.
    fn valid_shard(
        &self,
        shard: usize,
        pressure: &Pressure,
        each: &mut dyn FnMut(&[u8]) -> Result<(), SnapshotError>,
    ) -> Result<u64, SnapshotError> {
        let mut handed = 0;
        let entries = self.shard(shard, Purpose::Walk, &mut |bytes| {
            each(bytes)?;
            if pressure.bytes() > pressure.bound() / 4 {
                handed += self.fetch(shard + 1, each)?;
            }
            Ok(())
        })?;
        Ok(entries + handed)
    }

    /// Fetches what was handed over in the shards from `first` on.
    fn fetch(
        &self,
        first: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), SnapshotError>,
    ) -> Result<u64, SnapshotError> {
        let (mut entries, mut image) = (0, Image::default());
        for shard in first..self.keep.shards() {
            let mut loans = self.borrow(shard)?;
            entries += loans.shard(shard).change(|state| {
                is_valid(shard, state)?;
                let walks = state.walks();
                Ok::<_, SnapshotError>(walks.map_or(0, |walks| walks.take_handed(&mut image)))
            })?;
            drop(loans);
            image.drain(KEPT_BYTES, each)?;
        }
        Ok(entries)
    }

    /// Walks through one shard to its end, slice by slice.
    pub(super) fn shard(
        &self,
        shard: usize,
        purpose: Purpose,
        each: &mut dyn FnMut(&[u8]) -> Result<(), SnapshotError>,
    ) -> Result<u64, SnapshotError> {
        let (mut entries, mut image) = (0, Image::default());
        let (mut at, mut slice) = (Some(WalkPoint::START), SLICE);
        while let Some(from) = at {
            if (self.is_cancelled)() {
                return Err(SnapshotError::Store(Refused::Cancelled.into()));
            }
            let began = clock::now();
            let saved = self.slice(shard, purpose, (from, slice), &mut image)?;
            image.drain(KEPT_BYTES, each)?;
            rest(began, self.rests);
            entries += saved.entries;
            at = saved.next;
            if saved.restarted {
                // However often entries move under the walk, it ends.
                slice = slice.doubled();
            }
        }
        Ok(entries)
    }

    /// One slice, with its shard in hand.
    fn slice(
        &self,
        shard: usize,
        purpose: Purpose,
        (from, slice): (WalkPoint, Slice),
        image: &mut Image,
    ) -> Result<Saved, SnapshotError> {
        let mut loans = self.borrow(shard)?;
        loans.shard(shard).change(|state| {
            if purpose == Purpose::Walk {
                is_valid(shard, state)?;
            }
            let saved = state.slice(from, slice, image);
            let saved = saved.map_err(|error| SnapshotError::Unencodable(error.to_string()))?;
            if let (None, Some(walks)) = (saved.next, state.walks()) {
                walks.end();
            }
            Ok(saved)
        })
    }

    fn borrow(&self, shard: usize) -> Result<Loans<S>, SnapshotError> {
        Ok(self.keep.acquire(&[shard], step())?)
    }
}

/// Looks whether the walk in this shard is still of use.
fn is_valid<S: Persist>(shard: usize, state: &mut S) -> Result<(), SnapshotError> {
    match state.walks() {
        Some(walks) if walks.is_valid() => Ok(()),
        Some(walks) if walks.is_under_way() => Err(SnapshotError::Overtaken {
            bound: shardkeep_core::limits::WALK_BUFFER_BYTES_MAX,
        }),
        // It was made anew.
        Some(_) | None => Err(SnapshotError::ShardLost { shard }),
    }
}
