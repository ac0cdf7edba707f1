//! Places in the log's queue in the hands of somebody who takes them at one time and uses them at
//! another: a reactor, which meets its writes one by one and carries them out together.
//!
//! 1. Places that are dropped go back to the door.

use std::sync::Arc;

use crate::error::Refused;
use crate::journal::Journal;
use crate::keep::Keep;
use crate::log::Log;
use crate::reserve::Reservation;
use crate::sync::Wake;
use crate::work::State;

/// Places in the log's queue, taken ahead. Of a keep without a journal there is no end of them, and
/// taking one costs nothing.
pub struct Places<J: Journal> {
    log: Option<Arc<Log<J>>>,
    count: usize,
}

impl<S: State> Keep<S> {
    /// No places yet, to be filled by [`Places::try_take`].
    #[must_use]
    pub fn no_places(&self) -> Places<S::Journal> {
        Places {
            log: self.shared.log.clone(),
            count: 0,
        }
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
}

impl<J: Journal> Places<J> {
    /// Takes one more, without waiting. If it is not to be had, `wake` is woken when it may be.
    ///
    /// # Errors
    /// Why nothing can be written now.
    pub fn try_take(&mut self, wake: &Arc<dyn Wake>) -> Result<(), Refused> {
        if let Some(log) = &self.log {
            log.try_take_places(1, Some(wake))?;
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

    pub(crate) fn of(log: Option<Arc<Log<J>>>, count: usize) -> Self {
        Self { log, count }
    }

    fn move_out(&mut self, count: usize) {
        assert!(
            self.count >= count,
            "{count} places of {} taken",
            self.count
        );
        self.count -= count;
    }
}

impl<J: Journal> Drop for Places<J> {
    fn drop(&mut self) {
        if let (Some(log), true) = (&self.log, self.count > 0) {
            log.give_places(self.count);
        }
    }
}
