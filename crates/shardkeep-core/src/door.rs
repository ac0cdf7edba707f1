//! Admission to something bounded: places, and waiting for one.
//!
//! Places are counted before anything is sent, so the queue behind the door is never found full.
//!
//! 1. `taken` counts the places taken; whoever takes one gives it back, or passes that duty on with
//!    what it sends.
//! 2. No lost wake-up at a full door. Who waits writes itself down, *then* asks for a place again;
//!    who gives one back does that, *then* looks who waits. All four are sequentially consistent, so
//!    one of them sees the other.
//! 3. Each place given back wakes one sleeper, which takes it, or passes the wake-up on, or finds that
//!    another took it; one that something else has turned away passes it on too. Those who registered
//!    without sleeping are all woken beside it: they may have lost interest, and must not swallow the
//!    wake-up of one that sleeps.
//! 4. A thread that waits for no place at all passes while no more than the bound are taken: see `pressure`,
//!    whose places are bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::clock;
use crate::deadline::Call;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Waiter, Wake, is_same};

pub(crate) struct Door {
    taken: AtomicUsize,
    someone_waits: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Asleep until they get a place.
    sleepers: VecDeque<Arc<dyn Wake>>,
    /// Doorbells, each at most once.
    registered: Vec<Arc<dyn Wake>>,
}

/// Why somebody who waited for a place went without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// The call was cancelled.
    Cancelled,
    /// The call's deadline passed.
    TooLate,
    /// Nobody is let in any more.
    Shut,
}

impl Door {
    pub(crate) fn new() -> Self {
        Self {
            taken: AtomicUsize::new(0),
            someone_waits: AtomicBool::new(false),
            waiting: Mutex::new(Waiting::default()),
        }
    }

    /// Places taken now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Takes `places`, all or none, where `bound` are there in all.
    pub(crate) fn try_take(&self, places: usize, bound: usize) -> bool {
        let more = |taken: usize| Some(taken + places).filter(|&sum| sum <= bound);
        self.taken.fetch_update(SeqCst, SeqCst, more).is_ok()
    }

    /// Takes `places`, waiting for them until the call ends, or the door `is_shut`: who shuts it does
    /// that, *then* calls [`Door::wake_all`].
    pub(crate) fn take(
        &self,
        places: usize,
        bound: usize,
        call: &Call,
        is_shut: impl Fn() -> bool,
    ) -> Result<(), Turned> {
        if self.try_take(places, bound) {
            return Ok(());
        }
        let sleeper = Arc::new(Waiter::new());
        let waiter: Arc<dyn Wake> = Arc::clone(&sleeper) as Arc<dyn Wake>;
        let _registration = call
            .cancel
            .as_ref()
            .map(|token| token.register(Arc::clone(&waiter)));
        let turned = loop {
            self.waiting.lock().sleepers.push_back(Arc::clone(&waiter));
            self.someone_waits.store(true, SeqCst);
            if self.try_take(places, bound) {
                self.forget(&waiter);
                return Ok(());
            }
            if is_shut() {
                break Turned::Shut;
            }
            if call.is_cancelled() {
                break Turned::Cancelled;
            }
            if call.deadline.has_passed(clock::now()) {
                break Turned::TooLate;
            }
            // Woken by whoever gives a place back or shuts the door, or by the cancel token; ends by
            // the deadline.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B05: a place, or the deadline"
            )]
            sleeper.wait_until(Some(call.deadline.instant()));
            self.forget(&waiter);
        };
        self.forget(&waiter);
        // The place that woke this one, if one did, goes to the next.
        self.wake_waiting(1);
        Err(turned)
    }

    /// Takes `places`, all or none, without waiting; without them, `wake` is woken when there may be
    /// some.
    pub(crate) fn take_or_register(
        &self,
        places: usize,
        bound: usize,
        wake: &Arc<dyn Wake>,
    ) -> bool {
        if self.try_take(places, bound) {
            return true;
        }
        {
            let mut waiting = self.waiting.lock();
            if !waiting.registered.iter().any(|other| is_same(other, wake)) {
                waiting.registered.push(Arc::clone(wake));
            }
        }
        self.someone_waits.store(true, SeqCst);
        // On success the registration stays, for others behind the same doorbell: a wake-up in vain.
        self.try_take(places, bound)
    }

    /// Takes places beyond any bound: for what turns out larger than a place. Says how many are taken then.
    pub(crate) fn force(&self, places: usize) -> usize {
        self.taken.fetch_add(places, SeqCst) + places
    }

    /// Gives places back.
    pub(crate) fn give(&self, places: usize) {
        self.give_quietly(places);
        self.wake_waiting(places);
    }

    /// Gives places back; the caller wakes the threads that can use them. Says how many were taken before.
    pub(crate) fn give_quietly(&self, places: usize) -> usize {
        self.taken.fetch_sub(places, SeqCst)
    }

    /// Has everybody who waits look again.
    pub(crate) fn wake_all(&self) {
        self.wake_waiting(usize::MAX);
    }

    fn forget(&self, waiter: &Arc<dyn Wake>) {
        self.waiting
            .lock()
            .sleepers
            .retain(|waiting| !is_same(waiting, waiter));
    }

    fn wake_waiting(&self, places: usize) {
        if !self.someone_waits.load(SeqCst) {
            return;
        }
        let (sleepers, registered) = {
            let mut waiting = self.waiting.lock();
            let count = places.min(waiting.sleepers.len());
            let sleepers: Vec<_> = waiting.sleepers.drain(..count).collect();
            let registered = std::mem::take(&mut waiting.registered);
            if waiting.sleepers.is_empty() {
                self.someone_waits.store(false, SeqCst);
            }
            (sleepers, registered)
        };
        for wake in sleepers.into_iter().chain(registered) {
            wake.wake();
        }
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::deadline::Deadline;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(&self) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn waking(bell: &Arc<Bell>) -> Arc<dyn Wake> {
        Arc::clone(bell) as Arc<dyn Wake>
    }

    #[test]
    fn places_are_taken_all_or_none() {
        let door = Door::new();
        assert!(door.try_take(3, 4));
        assert!(!door.try_take(2, 4));
        assert!(door.try_take(1, 4));
        assert_eq!(door.taken(), 4);
        door.give(4);
        assert!(door.try_take(4, 4));
    }

    #[test]
    fn a_doorbell_that_lost_interest_does_not_swallow_the_wake_up_of_a_sleeper() {
        let door = Door::new();
        assert!(door.try_take(1, 1));
        let bell = Arc::new(Bell::default());
        for _ in 0..3 {
            assert!(!door.take_or_register(1, 1, &waking(&bell)));
        }
        let sleeper = Arc::new(Bell::default());
        door.waiting.lock().sleepers.push_back(waking(&sleeper));
        door.give(1);
        assert_eq!(bell.0.load(SeqCst), 1, "registered three times, woken once");
        assert_eq!(sleeper.0.load(SeqCst), 1, "the one place wakes it too");
    }

    #[test]
    fn as_many_sleepers_are_woken_as_places_came_back() {
        let door = Door::new();
        assert!(door.try_take(2, 2));
        let bells = [(); 3].map(|()| Arc::new(Bell::default()));
        for bell in &bells {
            door.waiting.lock().sleepers.push_back(waking(bell));
        }
        door.someone_waits.store(true, SeqCst);
        door.give(2);
        assert_eq!(bells.map(|bell| bell.0.load(SeqCst)), [1, 1, 0]);
    }

    #[test]
    fn who_waits_in_vain_is_turned_away_by_its_deadline() {
        let door = Door::new();
        assert!(door.try_take(1, 1));
        let call = Call::by(Deadline::after(Duration::from_millis(1)));
        assert_eq!(door.take(1, 1, &call, || false), Err(Turned::TooLate));
    }

    #[test]
    fn who_waits_at_a_door_that_is_shut_is_turned_away() {
        let door = Door::new();
        assert!(door.try_take(1, 1));
        let shut = AtomicBool::new(false);
        let call = Call::by(Deadline::after(Duration::from_secs(60)));
        std::thread::scope(|scope| {
            let waits =
                [(); 2].map(|()| scope.spawn(|| door.take(1, 1, &call, || shut.load(SeqCst))));
            shut.store(true, SeqCst);
            door.wake_all();
            for wait in waits {
                assert_eq!(wait.join().unwrap(), Err(Turned::Shut));
            }
        });
    }
}
