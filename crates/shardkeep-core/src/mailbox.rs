//! A shard's bounded queue: admission at its door, and waiting for a place.
//!
//! Places are counted before anything is sent, so the channel behind the door is never found full.
//!
//! 1. `depth` counts the places taken: posters take one before they send, a holder gives it back
//!    once it has received, and before the work is settled: whoever has its reply has its place.
//!    `depth <= works + reserved`.
//! 2. No lost wake-up at a full door. A waiting poster writes itself down, *then* asks for a place
//!    again; a holder gives the place back, *then* looks who waits. All four are sequentially
//!    consistent, so one of them sees the other.
//! 3. Each place given back wakes one sleeping poster, which takes it, or passes the wake-up on, or
//!    found that another took it. Those who registered without sleeping are all woken beside it:
//!    they may have lost interest, and must not swallow the wake-up of a poster that sleeps.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::clock;
use crate::deadline::Call;
use crate::error::Refused;
use crate::sync::channel::Queue;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Waiter, Wake, is_same};

pub(crate) struct Mailbox<M> {
    shard: usize,
    queue: Queue<M>,
    depth: AtomicUsize,
    /// Places for anybody.
    works: usize,
    /// Places beyond them, for posters that never wait.
    reserved: usize,
    someone_waits: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Asleep until they get a place.
    posters: VecDeque<Arc<dyn Wake>>,
    /// Doorbells, each at most once.
    registered: Vec<Arc<dyn Wake>>,
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
            waiting: Mutex::new(Waiting::default()),
        }
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth.load(Relaxed)
    }

    /// Mails that can wait here at once.
    pub(crate) fn places(&self) -> usize {
        self.works + self.reserved
    }

    fn take_place(&self, place: Place) -> bool {
        let bound = match place {
            Place::Open => self.works,
            Place::Reserved => self.places(),
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
            self.waiting.lock().posters.push_back(Arc::clone(&waiter));
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
            // Woken by a holder that gave a place back or by the cancel token; ends by the deadline.
            sleeper.wait_until(Some(call.deadline.instant()));
            self.forget(&waiter);
        };
        self.forget(&waiter);
        // The place that woke this poster, if one did, goes to the next.
        self.wake_waiting();
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
        {
            let mut waiting = self.waiting.lock();
            if !waiting.registered.iter().any(|other| is_same(other, wake)) {
                waiting.registered.push(Arc::clone(wake));
            }
        }
        self.someone_waits.store(true, SeqCst);
        // On success the registration stays, for others behind the same doorbell: a wake-up in vain.
        if self.take_place(Place::Open) {
            return self.send(mail);
        }
        Err((mail, self.full()))
    }

    fn forget(&self, waiter: &Arc<dyn Wake>) {
        self.waiting
            .lock()
            .posters
            .retain(|waiting| !is_same(waiting, waiter));
    }

    /// Takes the oldest mail, and gives its place back.
    ///
    /// Where a sender stands between claiming its cell of the channel and filling it, this spins
    /// until the cell is filled: nanoseconds, unless the sender is preempted just there. Measured with
    /// more busy threads than cores (example `try_recv_spin`): once or twice in millions of calls,
    /// and then for what is left of the others' time slice, 4 ms.
    pub(crate) fn take(&self) -> Option<M> {
        let mail = self.queue.try_recv()?;
        self.depth.fetch_sub(1, SeqCst);
        self.wake_waiting();
        Some(mail)
    }

    fn wake_waiting(&self) {
        if !self.someone_waits.load(SeqCst) {
            return;
        }
        let (poster, registered) = {
            let mut waiting = self.waiting.lock();
            let poster = waiting.posters.pop_front();
            let registered = std::mem::take(&mut waiting.registered);
            if waiting.posters.is_empty() {
                self.someone_waits.store(false, SeqCst);
            }
            (poster, registered)
        };
        for wake in poster.into_iter().chain(registered) {
            wake.wake();
        }
    }
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
            assert!(posting.join().unwrap());
        });
        assert_eq!(mailbox.take(), Some(2));
    }

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(&self) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_doorbell_that_lost_interest_does_not_swallow_the_wake_up_of_a_poster() {
        let mailbox = Mailbox::new(0, 1, 0);
        assert!(mailbox.try_post(1, Place::Open).is_ok());
        let bell = Arc::new(Bell::default());
        let wake: Arc<dyn Wake> = Arc::clone(&bell) as Arc<dyn Wake>;
        for _ in 0..3 {
            assert!(mailbox.post_or_register(2, &wake).is_err());
        }
        let sleeper = Arc::new(Bell::default());
        let waiter: Arc<dyn Wake> = Arc::clone(&sleeper) as Arc<dyn Wake>;
        mailbox.waiting.lock().posters.push_back(waiter);
        assert_eq!(mailbox.take(), Some(1));
        assert_eq!(bell.0.load(SeqCst), 1, "registered three times, woken once");
        assert_eq!(
            sleeper.0.load(SeqCst),
            1,
            "the one place wakes the poster too"
        );
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
