//! Taking a snapshot while the store goes on: the state at a cut, gathered by a walk.
//!
//! 1. A new segment begins right before the cut: the log before it goes when the snapshot is adopted.
//! 2. The snapshot holds nothing newer than its cut, and is made the newest only when the log is durable up to
//!    there. Together with every record behind the cut it is the state at any later moment.
//! 3. A walk that is overtaken begins again with shorter rests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shardkeep_core::{Keep, clock};
use shardkeep_log::limits::PAYLOAD_BYTES_MAX;
use shardkeep_log::{
    AdoptError, Compression, Directory, FinishedSnapshot, Log, SnapshotWriter, WriteError,
};

use super::error::SnapshotError;
use super::journal::LogJournal;
use super::replay::Persist;
use super::walker::{Purpose, Walker, step};
use crate::effect;
use crate::limits;
use crate::shard::{Moment, Pressure};

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

/// Takes a snapshot and removes the log that it makes superfluous. Blocks for the disk, and for the
/// shards, by [`limits::SNAPSHOT_STEP_MAX`] each time; `is_cancelled` is asked between two slices.
///
/// # Errors
/// The disk refuses, another snapshot is being written, a shard or the log is not to be had, or changes come
/// too fast for it. The log stays as it was.
pub fn snapshot<S: Persist>(
    keep: &Keep<S>,
    compression: Compression,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<SnapshotReport, SnapshotError> {
    let began = clock::now();
    let _turn = begin_turn(keep)?;
    let mut walker = Walker {
        keep,
        is_cancelled,
        rests: limits::SNAPSHOT_RESTS,
    };
    walker.make_ready()?;
    fits(&walker, compression)?;
    loop {
        match attempt(&walker, compression, began) {
            Err(SnapshotError::Overtaken { .. }) if walker.rests > 0 => {
                walker.rests /= 2;
                // What the attempt has left of its walk, if it was cancelled or a shard was away.
                walker.make_ready()?;
            }
            done => return done,
        }
    }
}

/// The right to walk through a store, which one snapshot or backup has at a time.
pub(super) type Turn = Arc<()>;

/// Takes the turn, if no other walk is under way.
pub(super) fn begin_turn<S: Persist>(keep: &Keep<S>) -> Result<Turn, SnapshotError> {
    if keep.log_stats().is_none() {
        return Err(SnapshotError::NotDurable);
    }
    let turn = keep.on_journal(&step(), LogJournal::begin_turn)?;
    turn.ok_or(SnapshotError::Log(shardkeep_log::SnapshotError::InProgress))
}

/// Begins a new segment, makes the cut, and gathers what stands at it.
fn attempt<S: Persist>(
    walker: &Walker<'_, S>,
    compression: Compression,
    began: Instant,
) -> Result<SnapshotReport, SnapshotError> {
    let keep = walker.keep;
    keep.on_journal(&step(), |journal| end_segment(journal.log()))?
        .map_err(SnapshotError::Log)?;
    let pressure = keep.walk_pressure();
    walker.cut(Moment::WithLog, &pressure)?;
    let written = write_at_cut(walker, compression, &pressure);
    if written.is_err() {
        // A shard that cannot be had now is made ready by the next snapshot. One that is cancelled is followed by
        // the end of the store, which need not wait for more than the writers do.
        drop(match (walker.is_cancelled)() {
            true => walker.give_up().map(drop),
            false => walker.make_ready(),
        });
    }
    let (writer, entries) = written?;
    finish(keep, writer, entries, began)
}

/// Writes what stands at the cut that was just made.
fn write_at_cut<S: Persist>(
    walker: &Walker<'_, S>,
    compression: Compression,
    pressure: &Pressure,
) -> Result<(SnapshotWriter<Directory>, u64), SnapshotError> {
    // It was queued before this, so it is appended when this runs.
    let begin = move |journal: &mut LogJournal| journal.snapshot_at_cut(compression);
    let begun = walker.keep.on_journal(&step(), begin)?;
    let mut writer = begun.map_err(SnapshotError::Log)?;
    let entries = walker.gather(pressure, &mut |bytes| write(&mut writer, bytes))?;
    Ok((writer, entries))
}

/// The log before the cut goes with the segment that ends here.
fn end_segment(log: &mut Log<Directory>) -> Result<(), shardkeep_log::SnapshotError> {
    match log.end_segment() {
        Err(WriteError::Failed(failed)) => Err(shardkeep_log::SnapshotError::Failed(failed)),
        // Without space the segment goes on, and a part of the log stays.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Refuses a snapshot that needs more space than is free. Looks at all entries where it may.
fn fits<S: Persist>(walker: &Walker<'_, S>, compression: Compression) -> Result<(), SnapshotError> {
    let look = |journal: &mut LogJournal| {
        let log = journal.log();
        (log.stored_bytes().ok(), log.space())
    };
    let (stored, Some(space)) = walker.keep.on_journal(&step(), look)? else {
        return Ok(());
    };
    let free = space.free.min(space.largest_file);
    let least = limits::SNAPSHOT_ROOM_BYTES;
    // Few entries have more bytes in a snapshot than in the files that they are read from (one that was filled
    // up with zeroes has); where it is too much, the disk refuses.
    if stored.is_some_and(|stored| stored.saturating_add(least) <= free) {
        return Ok(());
    }
    let mut needed = least;
    let mut add = |bytes: &[u8]| {
        let parts = effect::parts(bytes, PAYLOAD_BYTES_MAX).into_iter();
        needed += parts.map(|part| compression.frame_bytes(part)).sum::<u64>();
        Ok(())
    };
    for shard in 0..walker.keep.shards() {
        walker.shard(shard, Purpose::Measure, &mut add)?;
    }
    match needed <= free {
        true => Ok(()),
        false => Err(SnapshotError::DoesNotFit { needed, free }),
    }
}

/// Writes effects as frames of at most the largest payload.
fn write(writer: &mut SnapshotWriter<Directory>, bytes: &[u8]) -> Result<(), SnapshotError> {
    // Nothing is written for a slice without missing entries.
    effect::parts(bytes, PAYLOAD_BYTES_MAX)
        .into_iter()
        .try_for_each(|part| writer.frame(part))
        .map_err(SnapshotError::Log)
}

fn finish<S: Persist>(
    keep: &Keep<S>,
    writer: SnapshotWriter<Directory>,
    entries: u64,
    began: Instant,
) -> Result<SnapshotReport, SnapshotError> {
    let cut = writer.lsn();
    let finished = writer.finish(entries, cut).map_err(SnapshotError::Log)?;
    let bytes = finished.bytes();
    // Everything queued so far, the cut among it, is synced when this runs.
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
