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
