//! Keys and values that a call discards, dropped by that call when its shards are back.
//!
//! 1. Whatever one `Drop` does, all of them run; the first panic goes on to the caller.

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs what drops values until nothing is left: again after each panic, with the value that panicked
/// gone. The first panic goes on afterwards, unless this thread is unwinding already.
pub(crate) fn until_done(mut drop_values: impl FnMut()) {
    let mut first = None;
    while let Err(panic) = catch_unwind(AssertUnwindSafe(&mut drop_values)) {
        match first {
            None => first = Some(panic),
            // What a panic carries may panic in its own `Drop`.
            Some(_) => std::mem::forget(panic),
        }
    }
    match first {
        Some(panic) if !std::thread::panicking() => resume_unwind(panic),
        Some(_) | None => {}
    }
}

/// Drops items one by one, also when several of them panic.
pub(crate) fn all<T>(items: impl IntoIterator<Item = T>) {
    let mut items = items.into_iter();
    // An item is out of the iterator before it is dropped, so each round has one less.
    until_done(|| items.by_ref().for_each(drop));
}

/// Drops a value whose panic concerns nobody.
pub(crate) fn quietly<T>(value: T) {
    if std::mem::needs_drop::<T>()
        && let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value)))
    {
        std::mem::forget(panic);
    }
}

/// A list whose items are dropped as by [`all`].
pub(crate) struct Bag<T>(Vec<T>);

impl<T> Bag<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Bag<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> DerefMut for Bag<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T> Drop for Bag<T> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<T>() {
            all(self.0.drain(..));
        }
    }
}
