//! A shard's bounded queue, behind a door.
//!
//! 1. Posters take a place at the door before they send, a holder gives it back once it has received,
//!    and before the work is settled: whoever has its reply has its place. So the channel behind the
//!    door is never found full. `depth <= works + reserved`.

use std::sync::Arc;

use crate::deadline::Call;
use crate::door::{Door, Turned};
use crate::error::Refused;
use crate::sync::Wake;
use crate::sync::channel::Queue;

pub(crate) struct Mailbox<M> {
    shard: usize,
    queue: Queue<M>,
    door: Door,
    /// Places for anybody.
    works: usize,
    /// Places beyond them, for posters that never wait.
    reserved: usize,
}

/// Who asks for a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Anybody.
    Open,
    /// A poster for whom a place is kept.
    Reserved,
}

impl<M> Mailbox<M> {
    pub(crate) fn new(shard: usize, works: usize, reserved: usize) -> Self {
        Self {
            shard,
            queue: Queue::bounded(works + reserved),
            door: Door::new(),
            works,
            reserved,
        }
    }

    pub(crate) fn depth(&self) -> usize {
        self.door.taken()
    }

    /// Mails that can wait here at once.
    pub(crate) fn places(&self) -> usize {
        self.works + self.reserved
    }

    /// Posts without waiting; returns the depth it found.
    pub(crate) fn try_post(&self, mail: M, place: Place) -> Result<usize, (M, Refused)> {
        let bound = match place {
            Place::Open => self.works,
            Place::Reserved => self.places(),
        };
        if !self.door.try_take(1, bound) {
            return Err((mail, self.full()));
        }
        self.send(mail)
    }

    fn send(&self, mail: M) -> Result<usize, (M, Refused)> {
        match self.queue.try_send(mail) {
            Ok(()) => Ok(self.depth()),
            // Cannot happen while invariant 1 holds; told as what it would be.
            Err(mail) => {
                self.door.give(1);
                Err((mail, self.full()))
            }
        }
    }

    fn full(&self) -> Refused {
        Refused::MailboxFull {
            shard: self.shard,
            depth: self.depth().min(self.works),
        }
    }

    /// Posts, waiting for a place until the call's deadline.
    pub(crate) fn post(&self, mail: M, call: &Call) -> Result<usize, (M, Refused)> {
        let refused = match self.door.take(1, self.works, call, || false) {
            Ok(()) => return self.send(mail),
            Err(Turned::Cancelled) => Refused::Cancelled,
            Err(Turned::TooLate | Turned::Shut) => Refused::DeadlinePassed {
                shard: self.shard,
                depth: self.depth(),
            },
        };
        Err((mail, refused))
    }

    /// Posts without waiting; without a place, `wake` is woken when there may be one.
    pub(crate) fn post_or_register(
        &self,
        mail: M,
        wake: &Arc<dyn Wake>,
    ) -> Result<usize, (M, Refused)> {
        if self.door.take_or_register(1, self.works, wake) {
            return self.send(mail);
        }
        Err((mail, self.full()))
    }

    /// Takes the oldest mail, and gives its place back.
    ///
    /// Where a sender stands between claiming its cell of the channel and filling it, this spins
    /// until the cell is filled: nanoseconds, unless the sender is preempted just there. Measured with
    /// more busy threads than cores (example `try_recv_spin`): once or twice in millions of calls,
    /// and then for what is left of the others' time slice, 4 ms.
    pub(crate) fn take(&self) -> Option<M> {
        let mail = self.queue.try_recv()?;
        self.door.give(1);
        Some(mail)
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::deadline::Deadline;

    #[test]
    fn a_full_mailbox_hands_the_mail_back_with_its_depth() {
        let mailbox = Mailbox::new(5, 2, 0);
        assert_eq!(mailbox.try_post('a', Place::Open).ok(), Some(1));
        assert_eq!(mailbox.try_post('b', Place::Open).ok(), Some(2));
        let refused = Refused::MailboxFull { shard: 5, depth: 2 };
        assert_eq!(mailbox.try_post('c', Place::Open), Err(('c', refused)));
    }

    #[test]
    fn reserved_places_are_beyond_those_for_anybody() {
        let mailbox = Mailbox::new(0, 1, 2);
        assert!(mailbox.try_post(1, Place::Open).is_ok());
        assert!(mailbox.try_post(2, Place::Open).is_err());
        assert!(mailbox.try_post(3, Place::Reserved).is_ok());
        assert!(mailbox.try_post(4, Place::Reserved).is_ok());
        assert!(mailbox.try_post(5, Place::Reserved).is_err());
    }

    #[test]
    fn a_poster_that_waits_gets_the_place_that_is_given_back() {
        let mailbox = Mailbox::new(0, 1, 0);
        assert!(mailbox.try_post(1, Place::Open).is_ok());
        let call = Call::by(Deadline::after(Duration::from_secs(60)));
        std::thread::scope(|scope| {
            let posting = scope.spawn(|| mailbox.post(2, &call).is_ok());
            assert_eq!(mailbox.take(), Some(1));
            assert!(posting.join().unwrap());
        });
        assert_eq!(mailbox.take(), Some(2));
    }

    #[test]
    fn whoever_has_its_reply_has_its_place_back() {
        let mailbox = Mailbox::new(0, 1, 1);
        assert!(mailbox.try_post(1, Place::Open).is_ok());
        assert!(mailbox.try_post(2, Place::Reserved).is_ok());
        assert_eq!(mailbox.take(), Some(1));
        assert_eq!(mailbox.take(), Some(2));
        assert_eq!(mailbox.depth(), 0);
        assert!(mailbox.try_post(3, Place::Open).is_ok());
        assert!(mailbox.try_post(4, Place::Reserved).is_ok());
    }

    #[test]
    fn a_poster_that_waits_in_vain_is_refused_by_its_deadline() {
        let mailbox = Mailbox::new(7, 1, 0);
        assert!(mailbox.try_post(1, Place::Open).is_ok());
        let call = Call::by(Deadline::after(Duration::from_millis(1)));
        let refused = Refused::DeadlinePassed { shard: 7, depth: 1 };
        assert_eq!(mailbox.post(2, &call), Err((2, refused)));
    }
}
