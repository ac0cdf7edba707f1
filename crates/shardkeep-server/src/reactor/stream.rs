//! A client's socket: TCP or Unix, without blocking.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::io::ioctl_fionread;
use socket2::{SockRef, TcpKeepalive};

use super::backlog::SHORT_QUEUE_BYTES;
#[cfg(target_os = "linux")]
use super::socket;

/// A silent peer is asked after this long, and then every [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_IDLE: Duration = Duration::from_secs(crate::limits::KEEPALIVE_SECONDS);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Unanswered questions after which the peer counts as gone: 60 s in all.
const KEEPALIVE_PROBES: u32 = 3;
/// Bytes sent but unacknowledged for this long mean that the peer is gone. It also runs while the peer
/// reads nothing, so it is never shorter than what slow readers are allowed.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Sets what every client connection needs.
    ///
    /// # Errors
    /// What the operating system says; the connection is then of no use.
    pub(crate) fn prepare(&self, output_timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                let socket = SockRef::from(stream);
                let keepalive = TcpKeepalive::new()
                    .with_time(KEEPALIVE_IDLE)
                    .with_interval(KEEPALIVE_INTERVAL)
                    .with_retries(KEEPALIVE_PROBES);
                socket.set_tcp_keepalive(&keepalive)?;
                #[cfg(target_os = "linux")]
                socket.set_tcp_user_timeout(Some(USER_TIMEOUT.max(output_timeout)))?;
                Ok(())
            }
            Self::Unix(_) => Ok(()),
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        // Edge-triggered: one registration for the connection's whole life.
        let interests = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interests),
            Self::Unix(stream) => stream.register(registry, token, interests),
        }
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // Closing the socket removes it anyway; an error changes nothing.
        drop(match self {
            Self::Tcp(stream) => stream.deregister(registry),
            Self::Unix(stream) => stream.deregister(registry),
        });
    }

    #[inline]
    #[expect(clippy::disallowed_methods, reason = "blocking point B37: never waits")]
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    #[inline]
    #[expect(clippy::disallowed_methods, reason = "blocking point B37: never waits")]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    pub(crate) fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(parts),
            Self::Unix(stream) => stream.write_vectored(parts),
        }
    }

    /// Bytes that wait to be read.
    pub(crate) fn waiting(&self) -> u64 {
        // One that is broken says so when it is read.
        match self {
            Self::Tcp(stream) => ioctl_fionread(stream).unwrap_or(0),
            Self::Unix(stream) => ioctl_fionread(stream).unwrap_or(0),
        }
    }

    /// Bytes that were sent and not yet taken by the peer.
    pub(crate) fn untaken(&self) -> u64 {
        #[cfg(target_os = "linux")]
        return match self {
            Self::Tcp(stream) => socket::untaken(stream.as_fd()),
            Self::Unix(stream) => socket::untaken(stream.as_fd()),
        };
        #[cfg(not(target_os = "linux"))]
        0
    }

    /// Lets no more than [`SHORT_QUEUE_BYTES`] wait from now on, or two of the peer's largest segments where
    /// these are more. Gives what [`Stream::keep_a_wide_queue`] needs. What a Unix socket holds is the client's
    /// business.
    pub(crate) fn keep_a_short_queue(&self) -> usize {
        match self {
            #[cfg(target_os = "linux")]
            Self::Tcp(stream) => socket::narrow(stream.as_fd(), SHORT_QUEUE_BYTES),
            // Without it more waits than is good: nothing that could not go on.
            #[cfg(not(target_os = "linux"))]
            Self::Tcp(_) => 0,
            Self::Unix(_) => 0,
        }
    }

    /// Lets as much wait as the kernel sees fit, as before [`Stream::keep_a_short_queue`].
    pub(crate) fn keep_a_wide_queue(&self, before: usize) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Tcp(stream) => socket::widen(stream.as_fd(), before),
            #[cfg(not(target_os = "linux"))]
            Self::Tcp(_) => {}
            Self::Unix(_) => {}
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end_of_output(&self) {
        // The peer may be gone already: then there is nobody to tell.
        drop(match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        });
    }

    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }
}
