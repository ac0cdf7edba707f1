//! Faults that the tests of the server plant on purpose, to show that they would notice them.
//!
//! Only builds with debug assertions can plant one, for the whole process; in all others `is_planted` is
//! the constant `false` and the branches behind it are not compiled.

/// One way to get the server wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// A client that reads nothing is served on, whatever it leaves unread.
    UnreadRepliesUnbounded = 1,
    /// A connection that is reset leaves a thread behind.
    ThreadLeakedOnReset,
    /// Memory is taken by the length a request announces.
    AnnouncedLengthAllocated,
    /// A drain ends before what was admitted is written and synced.
    EndedBeforeLastSync,
}

/// All of them.
pub const ALL: [Fault; 4] = [
    Fault::UnreadRepliesUnbounded,
    Fault::ThreadLeakedOnReset,
    Fault::AnnouncedLengthAllocated,
    Fault::EndedBeforeLastSync,
];

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) const fn is_planted(_: Fault) -> bool {
    false
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) const fn announced(_: usize) {}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) const fn reset() {}

#[cfg(debug_assertions)]
mod planted {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU8;
    use std::sync::atomic::Ordering::Relaxed;

    use super::Fault;

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// What was taken on a peer's word; nothing is ever given back.
    static TAKEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    /// Plants `fault` in every server of this process, for good.
    pub fn plant(fault: Fault) {
        PLANTED.store(fault as u8, Relaxed);
    }

    pub(crate) fn is_planted(fault: Fault) -> bool {
        PLANTED.load(Relaxed) == fault as u8
    }

    /// A peer has announced so many bytes.
    pub(crate) fn announced(bytes: usize) {
        if is_planted(Fault::AnnouncedLengthAllocated)
            && let Ok(mut taken) = TAKEN.lock()
        {
            taken.push(vec![1; bytes]);
        }
    }

    /// A peer has reset its connection.
    pub(crate) fn reset() {
        if is_planted(Fault::ThreadLeakedOnReset) {
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B47: a planted leak"
            )]
            let leaked = std::thread::Builder::new().spawn(std::thread::park);
            drop(leaked);
        }
    }
}

#[cfg(debug_assertions)]
pub use planted::plant;
#[cfg(debug_assertions)]
pub(crate) use planted::{announced, is_planted, reset};
