//! A backup: a new store that holds the state of another at one moment, taken while that goes on.
//!
//! 1. It shows the state at its cut and nothing newer, by itself: every entry that changes meanwhile hands over what it
//!    was.
//! 2. It is complete only when the log is durable up to the cut: it holds nothing that a crash could take back.

use std::path::Path;

use shardkeep_core::Keep;

use super::error::{BackupError, SnapshotError};
use super::new_store::{NewStore, NewStoreReport};
use super::replay::Persist;
use super::snapshot::{Turn, begin_turn};
use super::walker::{Walker, step};
use crate::limits;
use crate::shard::Moment;

/// Takes a backup to `place`, which must be free or an empty directory. Blocks for the disk, and for the shards, by
/// [`limits::SNAPSHOT_STEP_MAX`] each time.
///
/// # Errors
/// Of the new store, or of the walk through this one: see [`BackupError`]. Nothing is left at the place.
pub fn backup<S: Persist>(keep: &Keep<S>, place: &Path) -> Result<NewStoreReport, BackupError> {
    let _turn: Turn = begin_turn(keep)?;
    let content = keep
        .on_journal(&step(), |journal| journal.content())
        .map_err(SnapshotError::from)?;
    let mut walker = Walker {
        keep,
        is_cancelled: &|| false,
        rests: limits::SNAPSHOT_RESTS,
    };
    loop {
        match attempt(&walker, place, content.clone()) {
            Err(BackupError::Walk(SnapshotError::Overtaken { .. })) if walker.rests > 0 => {
                walker.rests /= 2;
            }
            done => return done,
        }
    }
}

fn attempt<S: Persist>(
    walker: &Walker<'_, S>,
    place: &Path,
    content: Option<String>,
) -> Result<NewStoreReport, BackupError> {
    walker.make_ready()?;
    let mut new = NewStore::begin_as(place, content)?;
    let pressure = walker.keep.walk_pressure();
    walker.cut(Moment::Exact, &pressure)?;
    let gathered = gather(walker, &mut new);
    if gathered.is_err() {
        // A shard that cannot be had now is made ready by the next walk.
        drop(walker.make_ready());
    }
    let entries = gathered?;
    // Runs when everything queued before is synced, the cut among it.
    let synced = walker.keep.on_journal(&step(), |_| ());
    synced.map_err(SnapshotError::from)?;
    Ok(new.finish_with(entries)?)
}

fn gather<S: Persist>(walker: &Walker<'_, S>, new: &mut NewStore) -> Result<u64, BackupError> {
    let pressure = walker.keep.walk_pressure();
    let mut failed = None;
    let gathered = walker.gather(&pressure, &mut |effects| {
        new.put_effects(effects).map_err(|error| {
            let why = error.to_string();
            failed = Some(error);
            SnapshotError::Unencodable(why)
        })
    });
    match (gathered, failed) {
        (_, Some(error)) => Err(error.into()),
        (gathered, None) => Ok(gathered?),
    }
}
