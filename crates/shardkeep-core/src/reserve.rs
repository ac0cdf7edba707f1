//! Places in the log's queue, taken before the first write, and waiting until a write is durable.
//!
//! 1. A reservation that is dropped gives back the places nobody used, and makes sure that what was
//!    queued in the others is looked at.
//! 2. A place lies in the shard while the shard is changed; when the shard is put back, it goes into
//!    the queue with what was done, or back to the door.

use std::ops::Deref;
use std::sync::Arc;

use crate::config::SyncMode;
use crate::deadline::Call;
use crate::error::{Error, Lost, OpenError, Refused};
use crate::journal::Journal;
use crate::keep::Keep;
use crate::loan::{Loan, Loans, Shard};
use crate::log::{Extent, Log};
use crate::log_stats::LogStats;
use crate::places::Places;
use crate::shared::Shared;
use crate::sync::Wake;
use crate::work::State;

/// Places in the log's queue for what is about to be written. Of a keep without a journal it is empty,
/// and costs nothing.
pub struct Reservation<'k, S: State> {
    shared: &'k Shared<S>,
    places: usize,
    /// Whether its drop makes sure that what was queued is looked at.
    rings: bool,
}

/// A place that travels with a work.
pub(crate) struct Place<J: Journal>(Option<Arc<Log<J>>>);

impl<J: Journal> Drop for Place<J> {
    fn drop(&mut self) {
        if let Some(log) = self.0.take() {
            log.give_places(1);
        }
    }
}

impl<J: Journal> Place<J> {
    /// The place stays taken: whoever calls this has it now.
    pub(crate) fn take_over(mut self) {
        self.0 = None;
    }
}

impl<S: State> Keep<S> {
    /// Reserves a place in the log's queue for one change, waiting for it until the call ends. To be
    /// called with no shard in hand.
    ///
    /// # Errors
    /// Why nothing can be written now.
    #[inline]
    pub fn reserve(&self, call: &Call) -> Result<Reservation<'_, S>, Refused> {
        let shared = &*self.shared;
        let places = match &shared.log {
            None => 0,
            Some(log) => {
                log.take_place(call)?;
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
        let shared = &*self.shared;
        let places = match &shared.log {
            None => 0,
            Some(log) => {
                log.try_take_places(changes, wake)?;
                changes
            }
        };
        Ok(Reservation::of(shared, places))
    }

    /// Waits until batch `number` of shard `index` is durable (see [`Effects::needs`]), carrying the
    /// commit out itself where it may and the journal is to be had. Number 0 is always durable.
    ///
    /// Blocks until then, until the log fails, or until the deadline of `call`; not beyond it, except
    /// for a sync that this very thread carries out.
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

    /// Waits until everything queued so far is durable, whatever the sync mode.
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

    /// Why the log admits no writes, if so.
    #[must_use]
    pub fn log_refuses(&self) -> Option<(Refused, String)> {
        let log = self.shared.log.as_ref()?;
        log.admits().err().map(|why| (why, log.why()))
    }

    /// What the log has seen; `None` without one.
    #[must_use]
    pub fn log_stats(&self) -> Option<LogStats> {
        let log = self.shared.log.as_ref()?;
        Some(log.counters.snapshot(log.places_taken()))
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
        self.start_committer()
    }

    /// Has the committer run `duty` with the journal in hand, after everything queued so far was
    /// written and synced. Blocks until that is done, or until the deadline of `call`.
    ///
    /// # Errors
    /// *Refused* where it will not run; *lost* where it may.
    pub fn on_journal<T: Send + 'static>(
        &self,
        call: &Call,
        duty: impl FnOnce(&mut S::Journal) -> T + Send + 'static,
    ) -> Result<T, Error> {
        match &self.shared.log {
            Some(log) => log.on_journal(call, duty),
            None => Err(Refused::LogFailed.into()),
        }
    }
}

impl<S: State> Reservation<'_, S> {
    /// Whether there is a place left. Always, of a keep without a journal.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.places > 0 || self.shared.log.is_none()
    }

    /// Puts a place into a shard that is about to be changed; what is then done is queued when the
    /// shard is put back.
    ///
    /// # Panics
    /// When no place is left.
    #[inline]
    pub fn deposit<R: Deref<Target = Shared<S>>>(&mut self, loan: &mut Loan<S, R>) {
        if self.shared.log.is_none() {
            return;
        }
        self.take_one();
        let index = loan.index();
        self.shared.put_place(index, loan.shard_mut());
    }

    /// As [`Reservation::deposit`], for a transaction: what is done to all its shards is one record.
    ///
    /// # Panics
    /// When no place is left.
    pub fn deposit_all(&mut self, loans: &mut Loans<S>) {
        if self.shared.log.is_none() {
            return;
        }
        self.take_one();
        loans.put_place();
    }

    pub(crate) fn of(shared: &'_ Shared<S>, places: usize) -> Reservation<'_, S> {
        Reservation {
            shared,
            places,
            rings: true,
        }
    }

    /// Puts a place aside for a change that is made later.
    ///
    /// # Panics
    /// When no place is left.
    #[must_use]
    pub fn put_aside(&mut self) -> Places<S::Journal> {
        let log = self.shared.log.clone();
        let count = usize::from(log.is_some());
        if count > 0 {
            self.take_one();
        }
        Places::of(log, count)
    }

    /// Gives back what nobody used, and leaves it to the caller that what was queued is looked at: by
    /// [`Keep::commit`] or [`Keep::wake_committer`].
    pub fn leave(mut self) {
        if let Some(log) = &self.shared.log
            && self.places > 0
        {
            log.give_places(self.places);
        }
        self.places = 0;
        self.rings = false;
    }

    /// A place that goes with a mailed work.
    pub(crate) fn detach(&mut self) -> Option<Place<S::Journal>> {
        let log = self.shared.log.as_ref()?;
        self.take_one();
        Some(Place(Some(Arc::clone(log))))
    }

    /// Takes back what was detached and not sent.
    pub(crate) fn attach(&mut self, place: Option<Place<S::Journal>>) {
        if let Some(place) = place {
            place.take_over();
            self.places += 1;
        }
    }

    fn take_one(&mut self) {
        assert!(
            self.places > 0,
            "a change without a place in the log's queue"
        );
        self.places -= 1;
    }
}

impl<S: State> Drop for Reservation<'_, S> {
    #[inline]
    fn drop(&mut self) {
        let Some(log) = &self.shared.log else {
            return;
        };
        if self.places > 0 {
            log.give_places(self.places);
        }
        if self.rings {
            log.ring_if_queued();
        }
    }
}

impl<S: State> Shared<S> {
    /// From here on what is done on this shard is gathered for the log. A shard has one place at most:
    /// a second one is given back.
    #[cold]
    pub(crate) fn put_place(&self, index: usize, shard: &mut Shard<S>) {
        let Some(log) = &self.log else {
            return;
        };
        if shard.place {
            return log.give_places(1);
        }
        shard.place = true;
        self.begin_gathering(index, shard);
    }

    /// Numbers what is about to be done on this shard.
    pub(crate) fn begin_gathering(&self, index: usize, shard: &mut Shard<S>) {
        let Some(log) = &self.log else {
            return;
        };
        let (number, synced) = (log.next_number(index), log.synced(index));
        if let Some(effects) = shard.state.effects() {
            effects.begin(number, synced);
        }
    }

    /// Queues what was gathered on a shard, while it is still held, or gives its place back.
    #[cold]
    #[inline(never)]
    pub(crate) fn settle_place(&self, index: usize, shard: &mut Shard<S>) {
        shard.place = false;
        let Some(log) = &self.log else {
            return;
        };
        match shard.state.effects() {
            Some(effects) if effects.is_dirty() => log.queue_batch(index, effects),
            Some(_) | None => log.give_places(1),
        }
    }
}

impl<S: State> Shared<S> {
    /// Makes sure that what was queued is looked at.
    pub(crate) fn wake_committer(&self) {
        if let Some(log) = &self.log {
            log.ring_if_queued();
        }
    }
}

impl<J: Journal> Log<J> {
    fn commit_here(&self) {
        if !self.has_queued() {
            return;
        }
        match self.borrow() {
            Some(mut holding) => {
                let extent = match self.durability.sync {
                    SyncMode::Always => Extent::Sync,
                    SyncMode::Interval(_) | SyncMode::Never => Extent::Write,
                };
                holding.commit(extent);
            }
            // Whoever has it looks at the flag when it puts it back.
            None => self.ring_if_queued(),
        }
    }
}
