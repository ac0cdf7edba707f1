//! The seam between the hand-over and the machine: atomics, locks, waiting.
//!
//! The real build uses `std` atomics, `parking_lot` and `crossbeam-channel`. `--cfg shuttle` swaps
//! in a schedule explorer for everything, `--cfg loom` a memory-model checker for the atomics of
//! the desk. Both are chosen by `--cfg`, never by a feature, so that no dependency can switch them
//! on behind a user's back.
//!
//! 1. Nothing else in this crate names a lock, a condition variable or a channel.
//! 2. The only call in this crate that blocks a thread is [`Waiter::wait_until`] (joins aside).

#[cfg(shuttle)]
mod imp {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize};

    pub(crate) mod desk {
        pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicPtr};
    }

    /// Few, because every round is a scheduling point that multiplies the schedules.
    pub(crate) const SPIN_ROUNDS: usize = 1;

    /// Nothing: a yield would let all others go first, and hide what happens to those who do not
    /// wait; the look at the atomic that follows each round is a scheduling point already.
    pub(crate) fn spin_loop() {}

    /// None: to the explorer they are more of the same.
    pub(crate) const YIELD_ROUNDS: usize = 0;

    /// As for spinning.
    pub(crate) fn yield_now() {}

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        /// Explored threads share one thread of the machine, so a panic in one poisons what another
        /// holds: poison means nothing here.
        pub(crate) fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
            self.0
                .lock()
                .unwrap_or_else(shuttle::sync::PoisonError::into_inner)
        }
    }

    pub(crate) struct Waiter {
        woken: Mutex<bool>,
        condvar: shuttle::sync::Condvar,
    }

    impl Waiter {
        pub(crate) fn new() -> Self {
            Self {
                woken: Mutex::new(false),
                condvar: shuttle::sync::Condvar::new(),
            }
        }

        pub(crate) fn wake(&self) {
            *self.woken.lock() = true;
            self.condvar.notify_one();
        }

        /// The explorer has no time: a wait whose deadline may fire (see `clock`) either ends at
        /// once or waits for its wake-up, by the schedule's own choice.
        pub(crate) fn wait_until(&self, until: Option<std::time::Instant>) {
            use shuttle::rand::Rng;
            if until.is_some_and(crate::clock::may_fire)
                && shuttle::rand::thread_rng().gen_bool(0.5)
            {
                crate::clock::fire();
                return;
            }
            let mut woken = self.woken.lock();
            while !*woken {
                woken = self
                    .condvar
                    .wait(woken)
                    .unwrap_or_else(shuttle::sync::PoisonError::into_inner);
            }
            *woken = false;
        }
    }

    pub(crate) mod channel {
        use std::collections::VecDeque;

        pub(crate) struct Queue<T> {
            items: super::Mutex<VecDeque<T>>,
            capacity: usize,
        }

        impl<T> Queue<T> {
            pub(crate) fn bounded(capacity: usize) -> Self {
                Self {
                    items: super::Mutex::new(VecDeque::new()),
                    capacity,
                }
            }

            pub(crate) fn try_send(&self, item: T) -> Result<(), T> {
                let mut items = self.items.lock();
                if items.len() >= self.capacity {
                    return Err(item);
                }
                items.push_back(item);
                Ok(())
            }

            pub(crate) fn try_recv(&self) -> Option<T> {
                self.items.lock().pop_front()
            }

            pub(crate) fn is_full(&self) -> bool {
                self.items.lock().len() >= self.capacity
            }
        }
    }

    pub(crate) mod thread {
        pub(crate) type JoinHandle = shuttle::thread::JoinHandle<()>;
        pub(crate) type ThreadId = shuttle::thread::ThreadId;

        pub(crate) fn spawn(
            name: String,
            run: impl FnOnce() + Send + 'static,
        ) -> std::io::Result<JoinHandle> {
            shuttle::thread::Builder::new().name(name).spawn(run)
        }

        pub(crate) fn current_id() -> ThreadId {
            shuttle::thread::current().id()
        }

        pub(crate) fn id_of(handle: &JoinHandle) -> ThreadId {
            handle.thread().id()
        }
    }
}

#[cfg(not(shuttle))]
mod imp {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize};

    #[cfg(not(loom))]
    pub(crate) mod desk {
        pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr};
    }

    #[cfg(loom)]
    pub(crate) mod desk {
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr};
    }

    /// Looks at an empty desk before mailing, and at an open ticket before sleeping. A shard is
    /// held for 0.1 to 0.5 us by a single operation; a round of the pause instruction costs 10 to
    /// 50 ns, so this covers one or two holders and gives up long before a thread switch (5 us).
    pub(crate) const SPIN_ROUNDS: usize = 64;

    /// Looks at an empty desk after that and before mailing, each after giving the core away. With
    /// more threads than cores whoever holds the shard may have been preempted, and this lets it end;
    /// to mail at once makes every later caller sleep too (8 threads on 2 cores: 3.4 against 7.8
    /// million operations per second, 99th percentile 125 against 0.5 us). 2 to 32 rounds are alike.
    pub(crate) const YIELD_ROUNDS: usize = 8;

    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::thread::yield_now;

    pub(crate) use parking_lot::Mutex;

    /// One sleeping thread, woken by `wake`; a wake that comes first is remembered.
    pub(crate) struct Waiter {
        woken: parking_lot::Mutex<bool>,
        condvar: parking_lot::Condvar,
    }

    impl Waiter {
        pub(crate) fn new() -> Self {
            Self {
                woken: parking_lot::Mutex::new(false),
                condvar: parking_lot::Condvar::new(),
            }
        }

        pub(crate) fn wake(&self) {
            *self.woken.lock() = true;
            self.condvar.notify_one();
        }

        /// Sleeps until woken or until `until`; `None` waits for the wake-up alone, which the
        /// caller must have argued will come.
        pub(crate) fn wait_until(&self, until: Option<std::time::Instant>) {
            let mut woken = self.woken.lock();
            while !*woken {
                match until {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "blocking point B01: woken alone"
                    )]
                    None => self.condvar.wait(&mut woken),
                    Some(until) =>
                    {
                        #[expect(
                            clippy::disallowed_methods,
                            reason = "blocking point B02: woken, or its time"
                        )]
                        if self.condvar.wait_until(&mut woken, until).timed_out() {
                            break;
                        }
                    }
                }
            }
            *woken = false;
        }
    }

    pub(crate) mod channel {
        use std::sync::OnceLock;

        use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

        /// A bounded queue that is never waited on: both ends try.
        ///
        /// Its channel is made for the first item: a channel allocates all its places at once, and
        /// most queues of a store are never used.
        pub(crate) struct Queue<T> {
            channel: OnceLock<(Sender<T>, Receiver<T>)>,
            capacity: usize,
        }

        impl<T> Queue<T> {
            pub(crate) fn bounded(capacity: usize) -> Self {
                Self {
                    channel: OnceLock::new(),
                    capacity,
                }
            }

            /// Hands the item back when the queue is full.
            pub(crate) fn try_send(&self, item: T) -> Result<(), T> {
                let (sender, _) = self.channel.get_or_init(|| bounded(self.capacity));
                sender.try_send(item).map_err(TrySendError::into_inner)
            }

            pub(crate) fn try_recv(&self) -> Option<T> {
                self.channel.get()?.1.try_recv().ok()
            }

            pub(crate) fn is_full(&self) -> bool {
                let channel = self.channel.get();
                channel.is_some_and(|(sender, _)| sender.is_full())
            }
        }
    }

    pub(crate) mod thread {
        pub(crate) type JoinHandle = std::thread::JoinHandle<()>;
        pub(crate) type ThreadId = std::thread::ThreadId;

        /// The one place where this crate starts a thread.
        pub(crate) fn spawn(
            name: String,
            run: impl FnOnce() + Send + 'static,
        ) -> std::io::Result<JoinHandle> {
            crate::fail_point::refused_at("thread.start", || &name)?;
            std::thread::Builder::new().name(name).spawn(run)
        }

        pub(crate) fn current_id() -> ThreadId {
            std::thread::current().id()
        }

        pub(crate) fn id_of(handle: &JoinHandle) -> ThreadId {
            handle.thread().id()
        }
    }
}

pub(crate) use imp::*;

/// Something that can be woken: a sleeping caller, an owner's doorbell, a reactor.
pub trait Wake: Send + Sync {
    /// Wakes it. Never blocks; may be called any number of times and from any thread.
    fn wake(&self);
}

impl Wake for Waiter {
    fn wake(&self) {
        Waiter::wake(self);
    }
}

/// Whether two handles lead to the same sleeper.
pub(crate) fn is_same(one: &std::sync::Arc<dyn Wake>, other: &std::sync::Arc<dyn Wake>) -> bool {
    std::ptr::addr_eq(std::sync::Arc::as_ptr(one), std::sync::Arc::as_ptr(other))
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::Mutex;

    #[test]
    fn a_panic_while_a_lock_is_held_leaves_it_to_others() {
        let lock = Mutex::new(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            *lock.lock() += 1;
            let _held = lock.lock();
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(*lock.lock(), 1);
    }
}
