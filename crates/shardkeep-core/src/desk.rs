//! The desk: the one-place slot where an idle shard lies, and the flag that says mail is waiting.
//!
//! Not a lock: nobody waits here. Whoever takes the shard owns it, and owes its return.
//!
//! 1. The slot holds either null or a pointer that came out of `Box::into_raw` and that nobody else
//!    has. `borrow` and `put` are its only users, both by `swap`, so a pointer that was taken out
//!    cannot be taken out again before it is put back.
//! 2. No lost mail. A poster publishes the mail, sets the flag, *then* borrows; a holder puts the
//!    shard back, *then* looks at the flag. All four are ordered through one cell, the slot: if the
//!    poster's borrowing swap finds the slot empty, it stands before the holder's returning swap in
//!    the slot's modification order, so the returning swap reads what the poster's swap released and
//!    the holder's look at the flag sees it set. This needs both to be read-modify-writes: a `store`
//!    would not read, and a look before the borrowing swap would not be ordered.
//! 3. A holder clears the flag *before* it empties the mailbox, with a swap, because it must acquire
//!    what the poster released; a poster sets it with a swap, because with two posters a plain store
//!    would break the chain through which the holder acquires the first one's mail.

#![expect(
    unsafe_code,
    reason = "moves a Box through an atomic pointer; argument in invariant 1"
)]

use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::fault::{Fault, is_planted};
use crate::sync::desk::{AtomicBool, AtomicPtr};

/// Whatever lies here may leave on another thread than it came from, hence `Send`.
pub(crate) struct Desk<T: Send> {
    slot: AtomicPtr<T>,
    mail: AtomicBool,
}

impl<T: Send> Desk<T> {
    pub(crate) fn empty() -> Self {
        Self {
            slot: AtomicPtr::new(ptr::null_mut()),
            mail: AtomicBool::new(false),
        }
    }

    /// Takes what lies on the desk. The caller becomes its only owner.
    #[inline]
    pub(crate) fn borrow(&self) -> Option<Box<T>> {
        if is_planted(Fault::LookBeforeBorrow) && self.looks_empty() {
            return None;
        }
        let taken = self.slot.swap(ptr::null_mut(), AcqRel);
        if taken.is_null() {
            return None;
        }
        // SAFETY: non-null pointers in the slot come from `Box::into_raw` in `put`, and the swap
        // took this one out, so this is the only Box made from it (invariant 1). `T: Send`, so it
        // may continue on this thread.
        Some(unsafe { Box::from_raw(taken) })
    }

    /// Whether something lies there just now. A hint for those who would rather do something else
    /// first; never a reason not to borrow after posting mail.
    #[inline]
    pub(crate) fn looks_empty(&self) -> bool {
        self.slot.load(Relaxed).is_null()
    }

    /// Puts it back. The holder must then look at [`Desk::has_mail`].
    ///
    /// # Panics
    /// When something lies there already: two shards for one desk would mean two owners.
    #[inline]
    pub(crate) fn put(&self, shard: Box<T>) {
        let shard = Box::into_raw(shard);
        if is_planted(Fault::ReturnByStore) {
            self.slot.store(shard, Release);
            return;
        }
        let before = self.slot.swap(shard, AcqRel);
        if !before.is_null() {
            // SAFETY: as in `borrow`: the swap took it out, so nobody else has it.
            drop(unsafe { Box::from_raw(before) });
            panic!("a shard was returned to a desk that is not empty");
        }
    }

    /// To be called after the mail is in the mailbox; the caller must then try to borrow.
    pub(crate) fn set_mail(&self) {
        if is_planted(Fault::FlagByStore) {
            self.mail.store(true, Release);
            return;
        }
        self.mail.swap(true, AcqRel);
    }

    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.mail.load(Acquire)
    }

    /// To be called by the holder before it empties the mailbox.
    pub(crate) fn clear_mail(&self) {
        self.mail.swap(false, AcqRel);
    }
}

impl<T: Send> Drop for Desk<T> {
    fn drop(&mut self) {
        drop(self.borrow());
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_can_be_borrowed_once() {
        let desk = Desk::empty();
        assert!(desk.borrow().is_none());
        desk.put(Box::new(7));
        assert!(!desk.looks_empty());
        assert_eq!(desk.borrow().as_deref(), Some(&7));
        assert!(desk.borrow().is_none());
    }

    #[test]
    fn the_flag_stays_until_it_is_cleared() {
        let desk = Desk::<u32>::empty();
        desk.set_mail();
        assert!(desk.has_mail());
        desk.clear_mail();
        assert!(!desk.has_mail());
    }

    #[test]
    fn a_desk_drops_what_lies_on_it() {
        let shard = std::sync::Arc::new(());
        let desk = Desk::empty();
        desk.put(Box::new(std::sync::Arc::clone(&shard)));
        drop(desk);
        assert_eq!(std::sync::Arc::strong_count(&shard), 1);
    }

    #[test]
    #[should_panic(expected = "not empty")]
    fn a_second_return_is_caught() {
        let desk = Desk::empty();
        desk.put(Box::new(1));
        desk.put(Box::new(2));
    }

    #[test]
    fn threads_that_borrow_and_return_never_hold_it_together() {
        let desk = Desk::empty();
        desk.put(Box::new(0_u64));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut done = 0;
                    while done < 200 {
                        if let Some(mut count) = desk.borrow() {
                            *count += 1;
                            desk.put(count);
                            done += 1;
                        } else {
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
        assert_eq!(desk.borrow().as_deref(), Some(&800));
    }
}

/// The desk under a memory model's checker: every order in which these threads can run, and every
/// value that the memory model lets them read, within the bound on preemptions.
#[cfg(all(test, loom))]
#[expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that says how much it has checked"
)]
mod checked {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicBool;
    use loom::thread;

    use super::Desk;
    use crate::fault::{Fault, plant};

    /// Switches between threads that nothing forces, with three threads: 68,000 executions, seconds.
    /// (Five: 450,000 and most of a minute, nothing found.) Two threads are checked without a bound.
    const PREEMPTIONS_MAX: usize = 4;

    /// Which posters' mail was served. The checker complains when two threads touch it without
    /// the desk having ordered them.
    struct Shard(UnsafeCell<[bool; 2]>);

    /// A desk with the weakest mailbox there can be: its cells are relaxed, so that a holder sees
    /// mail only because the flag or the slot says so.
    struct Place {
        desk: Desk<Shard>,
        mailbox: [AtomicBool; 2],
    }

    impl Place {
        fn new() -> Arc<Self> {
            let place = Self {
                desk: Desk::empty(),
                mailbox: [AtomicBool::new(false), AtomicBool::new(false)],
            };
            place
                .desk
                .put(Box::new(Shard(UnsafeCell::new([false, false]))));
            Arc::new(place)
        }

        fn post(&self, poster: usize) {
            self.mailbox[poster].store(true, Relaxed);
            self.desk.set_mail();
            self.attend();
        }

        fn attend(&self) {
            while self.desk.has_mail() {
                let Some(shard) = self.desk.borrow() else {
                    return;
                };
                self.desk.clear_mail();
                for (poster, mail) in self.mailbox.iter().enumerate() {
                    let came = mail.load(Relaxed);
                    shard.0.with_mut(|served| {
                        // SAFETY: the shard is in this thread's hands alone; the checker checks it.
                        unsafe { (*served)[poster] |= came };
                    });
                }
                self.desk.put(shard);
            }
        }

        /// Holds the shard for work of its own.
        fn visit(&self) {
            if let Some(shard) = self.desk.borrow() {
                // SAFETY: as above.
                shard.0.with_mut(|served| unsafe { (*served)[0] |= false });
                self.desk.put(shard);
            }
            self.attend();
        }

        fn served(&self) -> Option<[bool; 2]> {
            let shard = self.desk.borrow()?;
            // SAFETY: as above.
            Some(shard.0.with(|served| unsafe { *served }))
        }
    }

    /// Posters post while the shard is in other hands or on its way there or back; afterwards all
    /// their mail must be served. Says how many executions there were, or what went wrong in one.
    fn check(posters: usize, planted: bool) -> Result<usize, String> {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = (posters > 1).then_some(PREEMPTIONS_MAX);
        let executions = std::sync::Arc::new(AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&executions);
        let run = AssertUnwindSafe(|| {
            model.check(move || {
                count.fetch_add(1, Relaxed);
                let place = Place::new();
                let threads: Vec<_> = (0..posters)
                    .map(|poster| {
                        let place = Arc::clone(&place);
                        thread::spawn(move || place.post(poster))
                    })
                    .collect();
                place.visit();
                for thread in threads {
                    thread.join().unwrap();
                }
                let Some(served) = place.served() else {
                    // The checker lets a planted plain store come before a swap that it has seen.
                    assert!(planted, "the shard is not back");
                    return;
                };
                assert!(served[..posters].iter().all(|&is| is), "mail was lost");
            });
        });
        let checked = catch_unwind(run);
        checked.map(|()| executions.load(Relaxed)).map_err(|panic| {
            match panic.downcast_ref::<&str>() {
                Some(text) => (*text).to_owned(),
                None => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
            }
        })
    }

    /// One test, because a planted fault is a setting of the whole process.
    #[test]
    fn no_mail_is_lost_and_each_planted_fault_is_noticed() {
        for posters in [1, 2] {
            let executions = check(posters, false).unwrap();
            println!("{posters} posters and a holder: {executions} executions");
        }
        let planted = [
            (Fault::LookBeforeBorrow, 1),
            (Fault::ReturnByStore, 1),
            (Fault::FlagByStore, 2),
        ];
        for (fault, posters) in planted {
            plant(Some(fault));
            let noticed = check(posters, true);
            plant(None);
            println!("{fault:?}: {noticed:?}");
            assert_eq!(noticed, Err("mail was lost".to_owned()), "{fault:?}");
        }
    }
}
