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
use shardkeep_log::{
    AdoptError, Compression, Directory, FinishedSnapshot, Log, SnapshotWriter, WriteError,
};

use super::error::SnapshotError;
use super::journal::LogJournal;
use super::replay::{Kept, Saved, Slice};
use super::resting::rest;
use crate::effect;
use crate::limits;
use crate::table::WalkCursor;

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
    fits(keep, compression, is_cancelled)?;
    let mut writer = keep
        .on_journal(&step(), move |journal| begin(journal.log(), compression))?
        .map_err(SnapshotError::Log)?;
    let entries = walk(keep, is_cancelled, |bytes| write(&mut writer, bytes))?;
    finish(keep, writer, entries, began)
}

/// Begins a snapshot. All of the log so far is in it, and goes with the segment that ends here.
fn begin(
    log: &mut Log<Directory>,
    compression: Compression,
) -> Result<SnapshotWriter<Directory>, shardkeep_log::SnapshotError> {
    match log.end_segment() {
        // Without space the segment goes on, and a part of the log stays.
        Ok(()) | Err(WriteError::NoSpace(_)) => log.snapshot(compression),
        Err(WriteError::Failed(failed)) => Err(shardkeep_log::SnapshotError::Failed(failed)),
        Err(_) => log.snapshot(compression),
    }
}

/// Refuses a snapshot that needs more space than is free. Looks at all entries where it may.
fn fits<S: Kept>(
    keep: &Keep<S>,
    compression: Compression,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(), SnapshotError> {
    let look = |journal: &mut LogJournal| {
        let log = journal.log();
        (log.stored_bytes().ok(), log.space())
    };
    let (stored, Some(space)) = keep.on_journal(&step(), look)? else {
        return Ok(());
    };
    let free = space.free.min(space.largest_file);
    let least = limits::SNAPSHOT_ROOM_BYTES;
    // No entry has more bytes in a snapshot than it has in the files that it is read from.
    if stored.is_some_and(|stored| stored.saturating_add(least) <= free) {
        return Ok(());
    }
    let mut needed = least;
    walk(keep, is_cancelled, |bytes| {
        let parts = effect::parts(bytes, PAYLOAD_BYTES_MAX).into_iter();
        needed += parts.map(|part| compression.frame_bytes(part)).sum::<u64>();
        Ok(())
    })?;
    match needed <= free {
        true => Ok(()),
        false => Err(SnapshotError::DoesNotFit { needed, free }),
    }
}

/// Copies all entries, slice by slice, and gives each slice to `each` with nothing in hand. Says how many
/// there were.
fn walk<S: Kept>(
    keep: &Keep<S>,
    is_cancelled: &dyn Fn() -> bool,
    mut each: impl FnMut(&[u8]) -> Result<(), SnapshotError>,
) -> Result<u64, SnapshotError> {
    let mut entries = 0;
    let mut buffer = Vec::new();
    for shard in 0..keep.shards() {
        let (mut at, mut slice) = (Some(WalkCursor::START), SLICE);
        while let Some(spot) = at {
            if is_cancelled() {
                return Err(SnapshotError::Store(
                    shardkeep_core::Refused::Cancelled.into(),
                ));
            }
            let slice_began = clock::now();
            let saved = copy(keep, shard, spot, slice, &mut buffer)?;
            each(&buffer)?;
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
    Ok(entries)
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
    spot: WalkCursor,
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
    log: &mut Log<Directory>,
    finished: FinishedSnapshot<Directory>,
) -> Result<(), AdoptError<Directory>> {
    let synced = log.synced();
    log.adopt(finished, synced)
}
