//! What a keep offers to those who write: places in the log's queue, and waiting until a write is
//! durable.

use std::sync::Arc;
use std::time::Instant;

use crate::deadline::Call;
use crate::error::{Error, Lost, OpenError, Refused};
use crate::keep::Keep;
use crate::log::Intent;
use crate::log_stats::{LogDistributions, LogStats};
use crate::place::{Places, Reservation};
use crate::pressure::Pressure;
use crate::shared::Shared;
use crate::sync::Wake;
use crate::work::State;

impl<S: State> Keep<S> {
    /// Reserves a place in the log's queue for one change, waiting for it until the call ends. To be
    /// called with no shard in hand.
    ///
    /// # Errors
    /// Why nothing can be written now.
    #[inline]
    pub fn reserve(&self, call: &Call) -> Result<Reservation<'_, S>, Refused> {
        self.reserve_for(Intent::Write, call)
    }

    /// As [`Keep::reserve`], for a change that does nothing but remove entries: it has its place where
    /// there is no space for others, as long as some of the room is left that the journal keeps for that.
    ///
    /// # Errors
    /// As for [`Keep::reserve`].
    pub fn reserve_removal(&self, call: &Call) -> Result<Reservation<'_, S>, Refused> {
        self.reserve_for(Intent::Remove, call)
    }

    /// As [`Keep::reserve_removal`], for a change that removes everything in a few bytes: it has its place in
    /// the last of the room that the journal keeps, too.
    ///
    /// # Errors
    /// As for [`Keep::reserve`].
    pub fn reserve_clear(&self, call: &Call) -> Result<Reservation<'_, S>, Refused> {
        self.reserve_for(Intent::Clear, call)
    }

    #[inline]
    pub(crate) fn reserve_for(
        &self,
        intent: Intent,
        call: &Call,
    ) -> Result<Reservation<'_, S>, Refused> {
        let shared = &*self.shared;
        let places = match &shared.log {
            None => 0,
            Some(log) => {
                self.shared_here()?;
                log.take_place(intent, call)?;
                1
            }
        };
        Ok(Reservation::of(shared, places))
    }

    /// Reserves places for `changes` changes at once, or none of them, without waiting. If they are not
    /// to be had, `wake` is woken when they may be.
    ///
    /// # Errors
    /// Why nothing can be written now.
    pub fn try_reserve(
        &self,
        changes: usize,
        wake: Option<&Arc<dyn Wake>>,
    ) -> Result<Reservation<'_, S>, Refused> {
        self.try_reserve_for(changes, Intent::Write, wake)
    }

    /// As [`Keep::try_reserve`], for changes that do nothing but remove entries: see
    /// [`Keep::reserve_removal`].
    ///
    /// # Errors
    /// As for [`Keep::try_reserve`].
    pub fn try_reserve_removals(
        &self,
        changes: usize,
        wake: Option<&Arc<dyn Wake>>,
    ) -> Result<Reservation<'_, S>, Refused> {
        self.try_reserve_for(changes, Intent::Remove, wake)
    }

    #[inline]
    fn try_reserve_for(
        &self,
        changes: usize,
        intent: Intent,
        wake: Option<&Arc<dyn Wake>>,
    ) -> Result<Reservation<'_, S>, Refused> {
        let shared = &*self.shared;
        let places = match &shared.log {
            None => 0,
            Some(log) => {
                self.shared_here()?;
                log.try_take_places(changes, intent, wake)?;
                changes
            }
        };
        Ok(Reservation::of(shared, places))
    }

    #[inline]
    fn shared_here(&self) -> Result<&Shared<S>, Refused> {
        match self.shared.is_elsewhere() {
            true => Err(Refused::OtherProcess),
            false => Ok(&self.shared),
        }
    }

    /// No places yet, to be filled by [`Places::try_take`].
    #[must_use]
    pub fn no_places(&self) -> Places<S::Journal> {
        Places::none(self.shared.log.clone())
    }

    /// Moves `count` of `places` into a reservation.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn reserve_from(
        &self,
        places: &mut Places<S::Journal>,
        count: usize,
    ) -> Reservation<'_, S> {
        places.move_out(count);
        Reservation::of(&self.shared, count)
    }

    /// Waits until batch `number` of shard `index` is durable (see [`Effects::needs`]), carrying the
    /// commit out itself where it may and the journal is to be had. Number 0 is always durable.
    ///
    /// Blocks until then, until the log fails, or until the deadline of `call`. Beyond that only as long
    /// as syncs come: it ends when no write and no sync of the log has ended for as long as the call says
    /// ([`Call::standstill`]). A sync that this very thread carries out takes the disk's time.
    ///
    /// # Errors
    /// [`Lost`]: what was done may not survive.
    ///
    /// [`Effects::needs`]: crate::Effects::needs
    #[inline]
    pub fn wait_synced(&self, index: usize, number: u64, call: &Call) -> Result<(), Lost> {
        match &self.shared.log {
            Some(log) if number > 0 => log.wait_synced(index, number, call),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether batch `number` of shard `index` is durable.
    #[must_use]
    #[inline]
    pub fn is_synced(&self, index: usize, number: u64) -> bool {
        match &self.shared.log {
            Some(log) => log.synced(index) >= number,
            None => true,
        }
    }

    /// When a write or a sync of the log last ended (or the log was opened); `None` without one. What
    /// waits for a sync waits on as long as this moves.
    #[must_use]
    pub fn log_progress(&self) -> Option<Instant> {
        let log = self.shared.log.as_ref()?;
        Some(log.progress.last())
    }

    /// Waits until everything queued so far is durable, whatever the sync mode: as
    /// [`Keep::wait_synced`] does, for each shard in turn.
    ///
    /// # Errors
    /// [`Lost`]: some of it may not survive.
    pub fn sync(&self, call: &Call) -> Result<(), Lost> {
        let Some(log) = &self.shared.log else {
            return Ok(());
        };
        log.sync_all(call)
    }

    /// Has `wake` woken once, at the end of the next sync, or when the log has failed. For those who
    /// wait for many things at once; to be followed by another look.
    pub fn await_sync(&self, wake: &Arc<dyn Wake>) {
        if let Some(log) = &self.shared.log {
            log.await_sync(None, wake);
        }
    }

    /// Commits what is queued on this thread, if the journal is to be had at once; else makes sure that
    /// somebody does. Blocks for a write, and with `SyncMode::Always` for a sync.
    pub fn commit(&self) {
        if let Some(log) = &self.shared.log {
            log.commit_here();
        }
    }

    /// Makes sure that the committer looks at what was queued.
    pub fn wake_committer(&self) {
        self.shared.wake_committer();
    }

    /// What waits in the buffer of the walk that is under way. While that is more than half of what may wait
    /// ([`WALK_BUFFER_BYTES_MAX`](crate::limits::WALK_BUFFER_BYTES_MAX)), places for changes are not given out:
    /// a thread that reserves one waits as for a full queue.
    #[must_use]
    pub fn walk_pressure(&self) -> Arc<Pressure> {
        Arc::clone(&self.shared.pressure)
    }

    /// Why the log admits no writes, if so.
    #[must_use]
    pub fn log_refuses(&self) -> Option<(Refused, String)> {
        let log = self.shared.log.as_ref()?;
        log.admits(Intent::Write).err().map(|why| (why, log.why()))
    }

    /// What the log has seen; `None` without one.
    #[must_use]
    pub fn log_stats(&self) -> Option<LogStats> {
        let log = self.shared.log.as_ref()?;
        Some(log.counters.snapshot(log.places_taken(), log.places_max()))
    }

    /// How its work was distributed; `None` without a log.
    #[must_use]
    pub fn log_distributions(&self) -> Option<LogDistributions> {
        let log = self.shared.log.as_ref()?;
        Some(log.counters.distributions())
    }

    /// Puts the journal in its place and starts the committer: from now on writes are admitted.
    ///
    /// # Errors
    /// A thread that could not be started.
    ///
    /// # Panics
    /// When the keep was opened without durability, or has its journal already.
    pub fn install_journal(&self, journal: S::Journal) -> Result<(), OpenError> {
        let Some(log) = &self.shared.log else {
            panic!("a keep without durability has no journal");
        };
        log.install(journal);
        // Without it nothing would be written that nobody waits for.
        self.start_committer()
            .inspect_err(|error| log.fail(error.to_string(), 0))
    }

    /// Has the committer run `duty` with the journal in hand, after everything queued so far was
    /// written and synced (where there is no space, without that: it may make some). Blocks until that
    /// is done, or until the deadline of `call`.
    ///
    /// # Errors
    /// *Refused* where it will not run; *lost* where it may.
    pub fn on_journal<T: Send + 'static>(
        &self,
        call: &Call,
        duty: impl FnOnce(&mut S::Journal) -> T + Send + 'static,
    ) -> Result<T, Error> {
        match &self.shared_here()?.log {
            Some(log) => log.on_journal(call, duty),
            None => Err(Refused::LogFailed.into()),
        }
    }
}
