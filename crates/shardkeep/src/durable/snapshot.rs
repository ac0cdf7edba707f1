//! Taking a snapshot while the store goes on: one shard in hand at a time, for one slice of entries that
//! are copied; then it goes back, and they are written with nothing in hand.
//!
//! 1. The log is written up to where the snapshot begins before the first slice is copied: every change
//!    that is not in a copy comes later in the log.
//! 2. An entry that was there then and has not been written since is in some slice, wherever it has moved
//!    meanwhile; one may be in two, of which the later one is newer.
//! 3. The snapshot is made the newest only when the log is durable beyond every change in it.
//! 4. Memory is one slice, here and in the writer.

use std::time::{Duration, Instant};

use shardkeep_core::{Call, Deadline, Keep, clock};
use shardkeep_log::limits::PAYLOAD_BYTES_MAX;
use shardkeep_log::{AdoptError, Compression, Directory, FinishedSnapshot, SnapshotWriter};

use super::error::SnapshotError;
use super::replay::{Kept, Saved, Slice};
use super::resting::rest;
use crate::effect;
use crate::limits;
use crate::table::Spot;

/// A snapshot that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// Entries in it.
    pub entries: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// Takes a snapshot and removes the log that it makes superfluous. Blocks for the disk, and for each
/// shard, by [`limits::SNAPSHOT_STEP_MAX`] each time; `is_cancelled` is asked between two slices.
///
/// # Errors
/// The disk refuses, another snapshot is being written, a shard or the log is not to be had. The log
/// stays as it was.
pub fn snapshot<S: Kept>(
    keep: &Keep<S>,
    compression: Compression,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<SnapshotReport, SnapshotError> {
    if keep.log_stats().is_none() {
        return Err(SnapshotError::NotDurable);
    }
    let began = clock::now();
    let mut writer = keep
        .on_journal(&step(), move |journal| journal.log().snapshot(compression))?
        .map_err(SnapshotError::Log)?;
    let mut entries = 0;
    let mut buffer = Vec::new();
    for shard in 0..keep.shards() {
        let (mut at, mut slice) = (Some(Spot::START), SLICE);
        while let Some(spot) = at {
            if is_cancelled() {
                return Err(SnapshotError::Store(
                    shardkeep_core::Refused::Cancelled.into(),
                ));
            }
            let slice_began = clock::now();
            let saved = copy(keep, shard, spot, slice, &mut buffer)?;
            write(&mut writer, &buffer)?;
            rest(slice_began, limits::SNAPSHOT_RESTS);
            buffer.clear();
            buffer.shrink_to(2 * limits::SNAPSHOT_SLICE_BYTES);
            entries += saved.entries;
            at = saved.walked.next;
            if saved.walked.restarted {
                // However often entries move under the walk, it ends.
                slice = slice.doubled();
            }
        }
    }
    finish(keep, writer, entries, began)
}

/// What is copied at a time.
const SLICE: Slice = Slice {
    entries: limits::SNAPSHOT_SLICE_ENTRIES,
    bytes: limits::SNAPSHOT_SLICE_BYTES,
};

fn step() -> Call {
    Call::by(Deadline::after(limits::SNAPSHOT_STEP_MAX))
}

/// Copies one slice with its shard in hand.
fn copy<S: Kept>(
    keep: &Keep<S>,
    shard: usize,
    spot: Spot,
    slice: Slice,
    buffer: &mut Vec<u8>,
) -> Result<Saved, SnapshotError> {
    let mut loans = keep.acquire(&[shard], step())?;
    let saved = (loans.shard(shard)).look(|state| state.save(spot, slice, buffer));
    saved.map_err(|error| SnapshotError::Unencodable(error.to_string()))
}

/// Writes effects as frames of at most the largest payload.
fn write(writer: &mut SnapshotWriter<Directory>, bytes: &[u8]) -> Result<(), SnapshotError> {
    effect::parts(bytes, PAYLOAD_BYTES_MAX)
        .into_iter()
        .try_for_each(|part| writer.frame(part))
        .map_err(SnapshotError::Log)
}

fn finish<S: Kept>(
    keep: &Keep<S>,
    writer: SnapshotWriter<Directory>,
    entries: u64,
    began: Instant,
) -> Result<SnapshotReport, SnapshotError> {
    // Everything queued so far is appended and synced when this runs: the copies hold nothing newer.
    let newest = keep.on_journal(&step(), |journal| journal.log().appended())?;
    let finished = writer.finish(entries, newest).map_err(SnapshotError::Log)?;
    let bytes = finished.bytes();
    keep.on_journal(&step(), move |journal| adopt(journal.log(), finished))?
        .map_err(SnapshotError::Adopt)?;
    Ok(SnapshotReport {
        entries,
        bytes,
        took: clock::now().saturating_duration_since(began),
    })
}

fn adopt(
    log: &mut shardkeep_log::Log<Directory>,
    finished: FinishedSnapshot<Directory>,
) -> Result<(), AdoptError<Directory>> {
    let synced = log.synced();
    log.adopt(finished, synced)
}
