//! Making the state of one lost shard again, while the others go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shardkeep_core::{Call, Deadline, JournalDesk};

use super::error::RecoverError;
use super::journal::LogJournal;
use super::replay::{Persist, Place, Route, Sink, Unreadable, read_all};
use super::resting::Slices;
use crate::effect;
use crate::limits;

/// Longest wait for the log: a sync that is stuck for longer has failed for whoever waits.
const LOG_WAIT_MAX: Duration = Duration::from_secs(60);

/// Replays into `state` what the log has kept of shard `shard`. What was queued for the log before this
/// call is in it. Blocks for the disk.
///
/// # Errors
/// The log cannot be read, or has failed.
pub fn remake<S: Persist>(
    shard: usize,
    state: S,
    journal: &JournalDesk<LogJournal>,
    route: &Route,
) -> Result<S, RecoverError> {
    let call = Call::by(Deadline::after(LOG_WAIT_MAX));
    let mut replay = journal.on_journal(&call, |journal| {
        let log = journal.log();
        let to = log.written();
        log.replay(to)
    })??;
    let mut one = OneShard {
        shard,
        state,
        route,
        slices: Slices::new(),
    };
    read_all(&mut replay, &mut one)?;
    Ok(one.state)
}

/// The state of one shard, which takes what belongs to it, and rests now and then.
struct OneShard<'r, S> {
    shard: usize,
    state: S,
    route: &'r Route,
    slices: Slices,
}

impl<S: Persist> OneShard<'_, S> {
    fn replay(&mut self, record: &[u8]) -> Result<(), Unreadable> {
        let mut effects = 0;
        for effect in effect::decode(record) {
            let effect = effect?;
            effects += 1;
            let shard = effect.key.map(self.route).transpose()?;
            if shard.is_none_or(|shard| shard == self.shard) {
                self.state.replay(&effect)?;
            }
        }
        let most = limits::REMAKE_SLICE_EFFECTS;
        self.slices.add(effects, most, limits::REMAKE_RESTS);
        Ok(())
    }
}

impl<S: Persist, R> Sink<R> for OneShard<'_, S> {
    type Error = RecoverError;

    /// Replays a piece; what goes wrong, a panic too, names its place.
    fn take(&mut self, place: Place<'_>, effects: &[u8]) -> Result<(), RecoverError> {
        let place = || place.to_string();
        match catch_unwind(AssertUnwindSafe(|| self.replay(effects))) {
            Ok(replayed) => replayed.map_err(|source| {
                let place = place();
                RecoverError::Unreadable { place, source }
            }),
            Err(_) => Err(RecoverError::PanickedAt { place: place() }),
        }
    }
}
