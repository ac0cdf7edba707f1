//! Places in the log's queue: reserved before the first write, and where they are until it is queued.
//!
//! 1. A reservation that is dropped gives back the places nobody used, and makes sure that what was
//!    queued in the others is looked at.
//! 2. A place lies in the shard while the shard is changed; when the shard is put back, it goes into
//!    the queue with what was done, or back to the door.

use std::any::Any;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::error::Refused;
use crate::fail_point;
use crate::fault::{Fault, is_planted};
use crate::journal::Journal;
use crate::loan::{Loan, Loans, Shard};
use crate::log::{Intent, Log};
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

/// Places in the log's queue in the hands of somebody who takes them at one time and uses them at
/// another: a reactor, which meets its writes one by one and carries them out together. Those that are
/// left when it is dropped go back. Of a keep without a journal there is no end of them.
pub struct Places<J: Journal> {
    log: Option<Arc<Log<J>>>,
    count: usize,
}

/// What a panic came with.
pub(crate) type Panic = Box<dyn Any + Send>;

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

    /// Uses it for a cut. Called by the holder of all shards.
    pub(crate) fn queue_cut(mut self) {
        if let Some(log) = self.0.take() {
            log.queue_cut();
        }
    }
}

impl<J: Journal> Drop for Places<J> {
    fn drop(&mut self) {
        if let (Some(log), true) = (&self.log, self.count > 0) {
            log.give_places(self.count);
        }
    }
}

impl<J: Journal> Places<J> {
    /// Takes one more, without waiting. If it is not to be had, `wake` is woken when it may be.
    ///
    /// # Errors
    /// Why nothing can be written now.
    pub fn try_take(&mut self, wake: &Arc<dyn Wake>) -> Result<(), Refused> {
        self.try_take_for(Intent::Write, wake)
    }

    /// As [`Places::try_take`], for a change that does nothing but remove entries: there may be a place for
    /// it where there is no space for others.
    ///
    /// # Errors
    /// As for [`Places::try_take`].
    #[cold]
    pub fn try_take_for_removal(&mut self, wake: &Arc<dyn Wake>) -> Result<(), Refused> {
        self.try_take_for(Intent::Remove, wake)
    }

    /// As [`Places::try_take_for_removal`], for a change that removes everything in a few bytes.
    ///
    /// # Errors
    /// As for [`Places::try_take`].
    #[cold]
    pub fn try_take_for_clear(&mut self, wake: &Arc<dyn Wake>) -> Result<(), Refused> {
        self.try_take_for(Intent::Clear, wake)
    }

    #[inline]
    fn try_take_for(&mut self, intent: Intent, wake: &Arc<dyn Wake>) -> Result<(), Refused> {
        if let Some(log) = &self.log {
            log.try_take_places(1, intent, Some(wake))?;
            self.count += 1;
        }
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Moves one of them out, for something that is carried out later.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn split_one(&mut self) -> Self {
        let log = self.log.clone();
        let count = usize::from(log.is_some());
        self.move_out(count);
        Self { log, count }
    }

    pub(crate) fn none(log: Option<Arc<Log<J>>>) -> Self {
        Self { log, count: 0 }
    }

    pub(crate) fn move_out(&mut self, count: usize) {
        let all = self.count;
        assert!(all >= count, "{count} places of {all} are wanted");
        self.count -= count;
    }
}

impl<'k, S: State> Reservation<'k, S> {
    pub(crate) fn of(shared: &'k Shared<S>, places: usize) -> Self {
        Self {
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
        Places { log, count }
    }

    /// Gives back what nobody used, and leaves it to the caller that what was queued is looked at: by
    /// [`Keep::commit`](crate::Keep::commit) or
    /// [`Keep::wake_committer`](crate::Keep::wake_committer).
    pub fn leave(mut self) {
        self.rings = false;
    }
}

impl<S: State> Reservation<'_, S> {
    /// Whether there is a place left. Always, of a keep without a journal.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.places > 0 || self.shared.log.is_none()
    }

    /// Puts a place into a shard that is about to be changed; what is then done is queued when the
    /// shard is put back. The reservation is to outlive the loan: it then sees to what was queued.
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
        if self.shared.log.is_none() || loans.is_empty() {
            return;
        }
        self.take_one();
        loans.put_place();
    }

    /// A place that goes with a mailed work, or with a cut.
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
    ///
    /// # Errors
    /// A panic of that: nobody can tell whether it was queued, so the map must not be used again.
    #[cold]
    #[inline(never)]
    pub(crate) fn settle_place(&self, index: usize, shard: &mut Shard<S>) -> Result<(), Panic> {
        shard.place = false;
        let Some(log) = &self.log else {
            return Ok(());
        };
        catch_unwind(AssertUnwindSafe(|| match shard.state.effects() {
            Some(effects) if effects.is_dirty() => {
                fail_point::hit_at("log.queue", || self.place_name(index));
                log.queue_batch(index, effects);
                fail_point::hit_at("log.queued", || self.place_name(index));
            }
            Some(_) | None if is_planted(Fault::PlaceKept) => {}
            Some(_) | None => log.give_places(1),
        }))
    }

    /// A shard whose changes could not be queued is lost, and the panic goes on.
    #[cold]
    #[inline(never)]
    pub(crate) fn unsettled(&self, index: usize, shard: Box<Shard<S>>, panic: Panic) {
        self.report_lost(index, shard);
        if !std::thread::panicking() {
            resume_unwind(panic);
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
