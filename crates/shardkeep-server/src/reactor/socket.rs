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

/// Makes the receive buffer small: `bytes` and as much again for the kernel, or what two of the peer's segments
/// take, but no larger than it is. Gives its size before, as the kernel counts it, for [`widen`].
///
/// Two segments, because the kernel offers its room again when half of it is free: where that is less than a
/// segment, the peer sends nothing before its timer runs out, five times a second.
pub(super) fn narrow(socket: BorrowedFd<'_>, bytes: usize) -> usize {
    let options = SockRef::from(&socket);
    let before = options.recv_buffer_size().unwrap_or(0);
    let segment = largest_segment(socket);
    // The kernel takes twice what it is told. An eighth is for its own share: little beside large segments.
    let bytes = bytes.max(segment + segment / 8);
    drop(options.set_recv_buffer_size(bytes.min(before / 2)));
    before
}

/// Hands the receive buffer back to the kernel, as large as it was `before`, to grow as it sees fit. Where the
/// kernel cannot take it back (before 5.14), it stays at what may be set by hand (`net.core.rmem_max`).
pub(super) fn widen(socket: BorrowedFd<'_>, before: usize) {
    let options = SockRef::from(&socket);
    drop(options.set_recv_buffer_size(before / 2));
    set(socket, SO_BUF_LOCK, 0);
    if options
        .recv_buffer_size()
        .is_ok_and(|now| now < before / 2 * 2)
    {
        // The kernel makes room for what the reader says it waits for, up to the largest that it grows a buffer
        // to by itself.
        set(
            socket,
            libc::SO_RCVLOWAT,
            (before / 2).try_into().unwrap_or(c_int::MAX),
        );
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

/// Bytes of the largest segment that the peer sends: what the network allows, and half of the largest window
/// that it was ever offered.
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
    info.tcpi_advmss.min(info.tcpi_rcv_ssthresh / 2) as usize
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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::thread;

    use super::*;

    /// More than any buffer of the kernel grows to.
    const BYTES: usize = 64 * 1024 * 1024;

    /// The two ends of a connection over the loopback device, whose segments are larger than any.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// The server's end reads all that the client sends: the kernel makes its buffer larger meanwhile.
    fn upload(client: &TcpStream, server: &TcpStream) {
        let (mut client, mut server) = (client, server);
        thread::scope(|scope| {
            scope.spawn(move || client.write_all(&vec![0; BYTES]).unwrap());
            let (mut piece, mut left) = (vec![0; 256 * 1024], BYTES);
            while left > 0 {
                left -= server.read(&mut piece).unwrap();
            }
        });
    }

    fn size(stream: &TcpStream) -> usize {
        SockRef::from(stream).recv_buffer_size().unwrap()
    }

    /// Whether the buffer was set by hand, so that the kernel leaves it alone.
    fn is_locked(stream: &TcpStream) -> bool {
        let (mut value, mut bytes): (c_int, _) = (0, size_of::<c_int>() as libc::socklen_t);
        // SAFETY: the kernel fills the one number.
        let got = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_BUF_LOCK,
                (&raw mut value).cast(),
                &raw mut bytes,
            )
        };
        assert_eq!(got, 0, "a kernel from before 5.14");
        value != 0
    }

    #[test]
    fn a_buffer_made_small_still_holds_segments_of_the_largest_size() {
        let (client, server) = connection();
        upload(&client, &server);
        let before = narrow(server.as_fd(), 4_096);
        let segment = largest_segment(server.as_fd());
        assert!(segment > 32_768, "{segment}");
        assert!(size(&server) < before, "{} of {before}", size(&server));
        assert!(
            size(&server) > 2 * segment,
            "{} for {segment}",
            size(&server)
        );
        // Seconds for each megabyte if a segment did not fit.
        upload(&client, &server);
    }

    #[test]
    fn a_buffer_that_is_small_is_not_made_larger() {
        let (_client, server) = connection();
        let before = size(&server);
        assert_eq!(narrow(server.as_fd(), 10 * before), before);
        assert_eq!(size(&server), before);
        assert!(is_locked(&server));
    }

    #[test]
    fn a_buffer_handed_back_is_as_large_as_before_and_the_kernel_s_again() {
        let (client, server) = connection();
        upload(&client, &server);
        for _ in 0..20 {
            let before = narrow(server.as_fd(), 32_768);
            assert!(is_locked(&server));
            widen(server.as_fd(), before);
            assert!(!is_locked(&server));
            // No smaller, but for what the kernel keeps of it for itself; and no larger each time.
            let after = size(&server);
            assert!(
                (before / 2..=before).contains(&after),
                "{before} to {after}"
            );
        }
    }

    #[test]
    fn a_buffer_that_was_handed_back_grows_again() {
        let (client, server) = connection();
        let before = narrow(server.as_fd(), 32_768);
        widen(server.as_fd(), before);
        upload(&client, &server);
        assert!(size(&server) > before, "{} from {before}", size(&server));
    }

    #[test]
    fn what_the_peer_takes_is_seen_while_the_kernel_has_no_room() {
        let (client, server) = connection();
        assert_eq!(untaken(server.as_fd()), 0);
        server.set_nonblocking(true).unwrap();
        let piece = vec![0; 65_536];
        while (&server).write(&piece).is_ok() {}
        let before = untaken(server.as_fd());
        assert!(before > 0);
        let mut taken = vec![0; 65_536];
        while untaken(server.as_fd()) == before {
            (&client).read_exact(&mut taken).unwrap();
        }
        assert!(untaken(server.as_fd()) < before);
    }
}
