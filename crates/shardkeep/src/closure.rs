//! Closures that run with a shard in hand, and the rule that they must not call a store.
//!
//! A closure that called its own store would wait for the shard it holds itself. So each call looks
//! at a flag of its thread first, and is refused instead.
//!
//! 1. The flag is set exactly while a user's closure runs with a shard in hand on this thread.

use std::cell::Cell;

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside of a closure that holds a shard.
#[inline]
pub(crate) fn is_running() -> bool {
    RUNNING.get()
}

/// Runs a user's closure with the flag set; unwinding clears it too.
#[inline]
pub(crate) fn run<R>(closure: impl FnOnce() -> R) -> R {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            RUNNING.set(false);
        }
    }
    RUNNING.set(true);
    let _clear = Clear;
    closure()
}
