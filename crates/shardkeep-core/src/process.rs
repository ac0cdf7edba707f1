//! The process that a keep belongs to: the one that opened it.
//!
//! A child of `fork` has a copy of every map, every open file and every lock, and none of the threads.
//! What it wrote would go into the parent's log, and what it waited for would never come.
//!
//! 1. A generation is a number that only a child's copy of this memory changes: the handler that `fork`
//!    runs in the child raises it, before any other code runs there. So a keep whose generation is another
//!    one was opened by a process further up.
//! 2. Looking at it takes no lock and makes no system call: it is one load of memory that is never written
//!    in the process that reads it.
//! 3. `vfork` and `posix_spawn`, whose child shares this memory, run no handler; nor does a bare `clone`
//!    system call, of which nothing is known here.

use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Never the generation of a process: what is compared with it is never at home.
pub(crate) const NONE: u32 = u32::MAX;

/// How many forks lie between this process and the one that loaded this code, as far as they were watched.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The generation of this process.
#[inline(always)]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Relaxed)
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
    use std::sync::atomic::Ordering::SeqCst;

    static WATCHED: AtomicBool = AtomicBool::new(false);

    /// Runs in a child, on its only thread: one store into memory, which is all that is allowed there.
    extern "C" fn raise() {
        use std::sync::atomic::Ordering::Relaxed;
        let raised = super::GENERATION.load(Relaxed).saturating_add(1);
        super::GENERATION.store(raised.min(super::NONE - 1), Relaxed);
    }

    pub(super) fn watch_forks() -> io::Result<()> {
        // Two that come at once register it twice, which raises by two: as good as one. A lock would be
        // in the way of a child that is made meanwhile.
        if WATCHED.load(SeqCst) {
            return Ok(());
        }
        // SAFETY: the handler is a function without arguments that lives as long as this code does (the
        // C library drops it together with the code where that is unloaded). It touches one atomic
        // number, so it may run at any moment at which a fork may happen.
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
