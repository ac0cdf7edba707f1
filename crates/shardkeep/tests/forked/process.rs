//! Forking, for the tests that need it: there is no safe fork.
//!
//! A child runs on the one thread that it has, calls what is tested, and ends by `_exit`, so that nothing of
//! the test program is run twice. It allocates, whose locks the C library keeps in order across a fork.

#![expect(
    unsafe_code,
    reason = "there is no safe fork; the argument stands above"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};

/// After so many seconds a child that hangs is ended by a signal.
const CHILD_SECONDS: u32 = 20;

/// A child that was forked, for its parent.
#[must_use]
pub(crate) struct Child(libc::pid_t);

/// Forks; gives the child to the parent, and nothing to the child, which must end by [`end`].
pub(crate) fn fork() -> Option<Child> {
    // SAFETY: see the head of this module.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no child was made");
    if pid == 0 {
        // SAFETY: it concerns the child alone.
        unsafe { libc::alarm(CHILD_SECONDS) };
        return None;
    }
    Some(Child(pid))
}

/// Ends a child at once.
pub(crate) fn end(code: u8) -> ! {
    // SAFETY: it runs nothing else of this program.
    unsafe { libc::_exit(i32::from(code)) }
}

impl Child {
    /// Runs `child` in a forked process, which ends with what it returns.
    pub(crate) fn running(child: impl FnOnce() -> u8) -> Self {
        match fork() {
            Some(forked) => forked,
            // A panic must not come back to the test in the child.
            None => end(catch_unwind(AssertUnwindSafe(child)).unwrap_or(101)),
        }
    }

    /// What it ends with; fails if a signal has ended it.
    pub(crate) fn ends_with(self) -> i32 {
        let mut status = 0;
        // SAFETY: it waits for a child of this process, into a number that is ours.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        assert_eq!(waited, self.0);
        assert!(libc::WIFEXITED(status), "the child was ended: {status:#x}");
        libc::WEXITSTATUS(status)
    }
}
