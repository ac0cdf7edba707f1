//! Options of a socket that no crate of ours offers: a receive buffer that is made small for a while, and what
//! the peer has not taken yet.
//!
//! `unsafe` because each of them is a call of the C library that gets a pointer: to a number or a struct of
//! this frame, with its size, which the kernel reads or fills before the call returns. Nothing is kept.
//!
//! 1. No call waits, and an error changes nothing: a socket that is broken says so when it is used.
//! 2. A buffer that is set by hand is never grown by the kernel again, until it is handed back.

#![expect(unsafe_code, reason = "options that no crate offers, see above")]

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::SockRef;

/// `SO_BUF_LOCK` of Linux, since 5.14: which of the buffers were set by hand. In no crate yet; the same number
/// on every architecture that Rust has Linux for but SPARC, where the call fails.
const SO_BUF_LOCK: c_int = 72;

/// Segments that a receive buffer holds at least: a sender with less room than one of its segments is woken by
/// its timer only, five times a second. The kernel's own share of the buffer may be half of it.
const SEGMENTS_MIN: usize = 2;

/// Makes the receive buffer small: `bytes`, or what a few of the largest segments take, but no larger than it
/// is. Gives its size before, as the kernel counts it, for [`widen`].
pub(super) fn narrow(socket: BorrowedFd<'_>, bytes: usize) -> usize {
    let options = SockRef::from(&socket);
    let before = options.recv_buffer_size().unwrap_or(0);
    let bytes = bytes.max(SEGMENTS_MIN * largest_segment(socket));
    // The kernel takes twice what it is told, for what it needs itself.
    drop(options.set_recv_buffer_size(bytes.min(before / 2)));
    before
}

/// Hands the receive buffer back to the kernel, as large as it was `before`, to grow as it sees fit. Where the
/// kernel cannot take it back (before 5.14), it stays at what may be set by hand (`net.core.rmem_max`).
pub(super) fn widen(socket: BorrowedFd<'_>, before: usize) {
    let options = SockRef::from(&socket);
    drop(options.set_recv_buffer_size(before / 2));
    set(socket, SO_BUF_LOCK, 0);
    if options.recv_buffer_size().is_ok_and(|now| now < before) {
        // The kernel makes room for what the reader says it waits for, up to the largest that it grows a buffer
        // to by itself.
        set(socket, libc::SO_RCVLOWAT, (before / 2).try_into().unwrap_or(c_int::MAX));
        set(socket, libc::SO_RCVLOWAT, 1);
    }
}

fn set(socket: BorrowedFd<'_>, option: c_int, value: c_int) {
    let size = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the value lives until the call returns, and is as long as the kernel is told.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size,
        );
    }
}

/// Bytes of the largest segment that the peer may send: what the network allows, and what its window has
/// allowed it so far at most.
fn largest_segment(socket: BorrowedFd<'_>) -> usize {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel fills at most `size` bytes of it.
    unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut size,
        );
    }
    // SAFETY: whole numbers alone, of which all zeros is one.
    let info = unsafe { info.assume_init() };
    info.tcpi_advmss as usize
}

/// Bytes that were sent and that the peer has not taken yet.
pub(super) fn untaken(socket: BorrowedFd<'_>) -> u64 {
    let mut bytes: c_int = 0;
    // SAFETY: the kernel fills the one number.
    unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes);
    }
    u64::try_from(bytes).unwrap_or(0)
}
