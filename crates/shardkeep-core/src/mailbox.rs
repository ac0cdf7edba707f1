//! A shard's bounded queue: admission at its door, and waiting for a place.
//!
//! Places are counted before anything is sent, so the channel behind the door is never found full.
//!
//! 1. `depth` counts the places taken: posters take one before they send, holders give them back
//!    after they received. `depth <= works + reserved`.
//! 2. No lost wake-up at a full door. A waiting poster writes itself down, *then* asks for a place
//!    again; a holder gives places back, *then* looks who waits. All four are sequentially
//!    consistent, so one of them sees the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::clock;
use crate::deadline::Call;
use crate::error::Refused;
use crate::sync::channel::Queue;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Waiter, Wake};

pub(crate) struct Mailbox<M> {
    shard: usize,
    queue: Queue<M>,
    depth: AtomicUsize,
    /// Places for anybody.
    works: usize,
    /// Places beyond them, for posters that never wait.
    reserved: usize,
    someone_waits: AtomicBool,
    waiting: Mutex<VecDeque<Arc<dyn Wake>>>,
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
            depth: AtomicUsize::new(0),
            works,
            reserved,
            someone_waits: AtomicBool::new(false),
            waiting: Mutex::new(VecDeque::new()),
        }
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth.load(Relaxed)
    }

    fn take_place(&self, place: Place) -> bool {
        let bound = match place {
            Place::Open => self.works,
            Place::Reserved => self.works + self.reserved,
        };
        let one_more = |depth| (depth < bound).then_some(depth + 1);
        self.depth.fetch_update(SeqCst, SeqCst, one_more).is_ok()
    }

    /// Posts without waiting; returns the depth it found.
    pub(crate) fn try_post(&self, mail: M, place: Place) -> Result<usize, (M, Refused)> {
        if !self.take_place(place) {
            return Err((mail, self.full()));
        }
        self.send(mail)
    }

    fn send(&self, mail: M) -> Result<usize, (M, Refused)> {
        match self.queue.try_send(mail) {
            Ok(()) => Ok(self.depth()),
            // Cannot happen while invariant 1 holds; told as what it would be.
            Err(mail) => {
                self.depth.fetch_sub(1, SeqCst);
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
        if self.take_place(Place::Open) {
            return self.send(mail);
        }
        let sleeper = Arc::new(Waiter::new());
        let waiter: Arc<dyn Wake> = Arc::clone(&sleeper) as Arc<dyn Wake>;
        let _registration = call
            .cancel
            .as_ref()
            .map(|token| token.register(Arc::clone(&waiter)));
        let refused = loop {
            self.waiting.lock().push_back(Arc::clone(&waiter));
            self.someone_waits.store(true, SeqCst);
            if self.take_place(Place::Open) {
                self.forget(&waiter);
                return self.send(mail);
            }
            if call.is_cancelled() {
                break Refused::Cancelled;
            }
            if call.deadline.has_passed(clock::now()) {
                break Refused::DeadlinePassed {
                    shard: self.shard,
                    depth: self.depth(),
                };
            }
            // Woken by a holder that gave places back or by the cancel token; ends by the deadline.
            sleeper.wait_until(Some(call.deadline.instant()));
            self.forget(&waiter);
        };
        self.forget(&waiter);
        // The place that woke this poster, if one did, goes to the next.
        self.wake_waiting(1);
        Err((mail, refused))
    }

    /// Posts without waiting; without a place, `wake` is woken when there may be one.
    pub(crate) fn post_or_register(
        &self,
        mail: M,
        wake: &Arc<dyn Wake>,
    ) -> Result<usize, (M, Refused)> {
        if self.take_place(Place::Open) {
            return self.send(mail);
        }
        self.waiting.lock().push_back(Arc::clone(wake));
        self.someone_waits.store(true, SeqCst);
        if self.take_place(Place::Open) {
            self.forget(wake);
            return self.send(mail);
        }
        Err((mail, self.full()))
    }

    fn forget(&self, waiter: &Arc<dyn Wake>) {
        self.waiting
            .lock()
            .retain(|waiting| !is_same(waiting, waiter));
    }

    /// Takes the oldest mail. The place stays taken until [`Mailbox::give_back`].
    pub(crate) fn take(&self) -> Option<M> {
        self.queue.try_recv()
    }

    /// Gives back the places of what was taken: once for many.
    pub(crate) fn give_back(&self, places: usize) {
        if places == 0 {
            return;
        }
        self.depth.fetch_sub(places, SeqCst);
        self.wake_waiting(places);
    }

    fn wake_waiting(&self, places: usize) {
        if !self.someone_waits.load(SeqCst) {
            return;
        }
        let mut waiting = self.waiting.lock();
        for _ in 0..places {
            match waiting.pop_front() {
                Some(waiter) => waiter.wake(),
                None => break,
            }
        }
        if waiting.is_empty() {
            self.someone_waits.store(false, SeqCst);
        }
    }
}

/// Whether two handles lead to the same sleeper.
pub(crate) fn is_same(one: &Arc<dyn Wake>, other: &Arc<dyn Wake>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

#[cfg(all(test, not(loom), not(shuttle)))]
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
            mailbox.give_back(1);
            assert!(posting.join().unwrap());
        });
        assert_eq!(mailbox.take(), Some(2));
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
