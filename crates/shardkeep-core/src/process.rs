//! The process that a keep belongs to: the one that opened it.
//!
//! A child of `fork` has a copy of every map, every open file and every lock, and none of the threads.
//! What it wrote would go into the parent's log, and what it waited for would never come.
//!
//! 1. A generation is a number that only a child's copy of this memory changes: the handler that `fork`
//!    runs in the child raises it, before any other code runs there. So a keep of another generation was
//!    opened by a process further up.
//! 2. Looking at it takes no lock and makes no system call.
//! 3. A thread that is marked *settled* runs in a process of the first generation, to which every keep
//!    belongs: a call that finds the mark looks no further. The handler takes it off the one thread that a
//!    child has; a thread begins without it.
//! 4. `vfork` and `posix_spawn`, whose child shares this memory, run no handler; nor does a bare `clone`
//!    system call, of which nothing is known here.

use std::cell::Cell;
use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// How many forks lie between this process and the one that opened the first keep.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// This thread may run in another process than that of some keep.
const UNSETTLED: u8 = 1;

/// A closure runs on this thread with a shard in hand.
const HOLDING: u8 = 2;

thread_local! {
    static THREAD: Cell<u8> = const { Cell::new(UNSETTLED) };
}

/// The generation of this process.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

/// Whether this thread is settled and holds no shard: then a call may begin. One look on the way of every
/// operation.
#[must_use]
#[inline]
pub fn is_free() -> bool {
    THREAD.get() == 0
}

/// Whether a closure runs on this thread with a shard in hand.
#[must_use]
#[inline]
pub fn is_holding() -> bool {
    THREAD.get() & HOLDING != 0
}

/// Settles this thread, if it runs in a process of the first generation.
pub fn settle() {
    if generation() == 0 {
        THREAD.set(THREAD.get() & !UNSETTLED);
    }
}

/// Runs a closure that has a shard in hand, marked so; unwinding takes the mark off too.
#[inline]
pub fn holding<R>(closure: impl FnOnce() -> R) -> R {
    struct Clear;
    impl Drop for Clear {
        #[inline]
        fn drop(&mut self) {
            THREAD.set(THREAD.get() & !HOLDING);
        }
    }
    THREAD.set(THREAD.get() | HOLDING);
    let _clear = Clear;
    closure()
}

/// Has `fork` raise the generation of each child from now on. Called before a keep opens.
///
/// # Errors
/// There was no memory for it.
pub(crate) fn watch_forks() -> io::Result<()> {
    imp::watch_forks()
}

#[cfg(unix)]
#[expect(
    unsafe_code,
    reason = "registering a fork handler has no safe form; the argument stands beside it"
)]
mod imp {
    use std::io;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::{Relaxed, SeqCst};

    static WATCHED: AtomicBool = AtomicBool::new(false);

    /// Runs in a child, on its only thread: stores into its memory, which are all that is allowed there.
    extern "C" fn raise() {
        let raised = super::GENERATION.load(Relaxed).saturating_add(1);
        super::GENERATION.store(raised, Relaxed);
        super::THREAD.set(super::THREAD.get() | super::UNSETTLED);
    }

    pub(super) fn watch_forks() -> io::Result<()> {
        // Two that come at once register it twice, which raises by two: as good as one. A lock would be in
        // the way of a child that is made meanwhile.
        if WATCHED.load(SeqCst) {
            return Ok(());
        }
        // SAFETY: the handler is a function without arguments that lives as long as this code does (the
        // C library drops it together with the code where that is unloaded). It touches one atomic number
        // and one cell of its own thread, which has no destructor, and cannot panic: so it may run at any
        // moment at which a fork may happen.
        let refused = unsafe { libc::pthread_atfork(None, None, Some(raise)) };
        if refused != 0 {
            return Err(io::Error::from_raw_os_error(refused));
        }
        WATCHED.store(true, SeqCst);
        Ok(())
    }
}

#[cfg(not(unix))]
mod imp {
    /// There is no fork.
    pub(super) fn watch_forks() -> std::io::Result<()> {
        Ok(())
    }
}
