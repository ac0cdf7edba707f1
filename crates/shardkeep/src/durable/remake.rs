//! Making the state of one lost shard again, while the others go on.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shardkeep_core::{Call, Deadline, JournalDesk};
use shardkeep_log::FrameBuffer;

use super::error::{RecoverError, record};
use super::journal::LogJournal;
use super::replay::{Kept, Route, Unreadable};
use super::resting::Slices;
use crate::effect::{self, Effect};
use crate::limits;

/// Longest wait for the log: a sync that is stuck for longer has failed for whoever waits.
const LOG_WAIT_MAX: Duration = Duration::from_secs(60);

/// Replays into `state` what the log has kept of shard `shard`. What was queued for the log before this
/// call is in it. Blocks for the disk.
///
/// # Errors
/// The log cannot be read, or has failed.
pub fn remake<S: Kept>(
    shard: usize,
    mut state: S,
    journal: &JournalDesk<LogJournal>,
    route: &Route,
) -> Result<S, RecoverError> {
    let call = Call::by(Deadline::after(LOG_WAIT_MAX));
    let mut replay = journal.on_journal(&call, |journal| {
        let log = journal.log();
        let to = log.written();
        log.replay(to)
    })??;
    let (effects, mut slices) = (Cell::new(0), Slices::new());
    let mut rest = || {
        let most = limits::REMAKE_SLICE_EFFECTS;
        slices.add(effects.take(), most, limits::REMAKE_RESTS);
    };
    let mut restore = |record: &[u8]| -> Result<(), Unreadable> {
        for effect in effect::decode(record) {
            effects.set(effects.get() + 1);
            let effect = effect?;
            let is_here = match &effect {
                Effect::Set { key, .. } | Effect::Delete { key } => route(key)? == shard,
                Effect::Clear => true,
            };
            if is_here {
                state.restore(&effect)?;
            }
        }
        Ok(())
    };
    if let Some(snapshot) = replay.snapshot() {
        let mut buffer = FrameBuffer::default();
        for index in 0..snapshot.frames() {
            let frame = snapshot.read_frame(index, &mut buffer)?;
            let place = || format!("frame {index} of {}", snapshot.name());
            restore_at(&mut restore, frame, place)?;
            rest();
        }
    }
    while let Some(found) = replay.next_record()? {
        restore_at(&mut restore, found.payload, || record(found.lsn))?;
        rest();
    }
    Ok(state)
}

/// Restores a record; what goes wrong, a panic too, names its place.
fn restore_at(
    restore: &mut impl FnMut(&[u8]) -> Result<(), Unreadable>,
    record: &[u8],
    place: impl Fn() -> String,
) -> Result<(), RecoverError> {
    match catch_unwind(AssertUnwindSafe(|| restore(record))) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(RecoverError::Unreadable {
            place: place(),
            source,
        }),
        Err(_) => Err(RecoverError::PanickedAt { place: place() }),
    }
}
