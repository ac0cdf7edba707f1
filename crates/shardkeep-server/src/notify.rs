//! Tells a service manager how the server stands: `sd_notify(3)`, a datagram to the socket that the
//! environment names.
//!
//! 1. Never blocks, and never fails the server: a manager that does not listen is none of its business.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where the manager listens.
pub(crate) const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// What a manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Commands on keys are served.
    Ready,
    /// It drains.
    Stopping,
    /// Nobody is stalled.
    Alive,
}

impl State {
    fn message(self) -> &'static str {
        match self {
            Self::Ready => "READY=1\n",
            Self::Stopping => "STOPPING=1\n",
            Self::Alive => "WATCHDOG=1\n",
        }
    }
}

/// The way to a service manager.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Notifier {
    /// The way to the socket at `address`: a path, or a name that begins with `@`.
    ///
    /// # Errors
    /// No such address is possible, or the system gives no socket.
    pub(crate) fn new(address: &OsStr) -> io::Result<Self> {
        let manager = match address.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, manager })
    }

    #[expect(clippy::disallowed_methods, reason = "blocking point B50: never waits")]
    pub(crate) fn tell(&self, state: State) {
        // Full, or gone: it will see that nothing comes.
        drop(
            self.socket
                .send_to_addr(state.message().as_bytes(), &self.manager),
        );
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn hears(listener: &UnixDatagram, address: &OsStr) {
        listener
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let notifier = Notifier::new(address).unwrap();
        let mut bytes = [0; 64];
        for state in [State::Ready, State::Alive, State::Stopping] {
            notifier.tell(state);
            let len = listener.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..len], state.message().as_bytes());
        }
    }

    #[test]
    fn a_manager_hears_at_a_path() {
        let name = format!("shardkeep-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixDatagram::bind(&path).unwrap();
        hears(&listener, path.as_os_str());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_manager_hears_at_an_abstract_name() {
        let name = format!("shardkeep-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        hears(&listener, OsStr::new(&format!("@{name}")));
    }

    #[test]
    fn a_manager_that_is_gone_harms_nobody() {
        let notifier = Notifier::new(OsStr::new("@nobody-listens-here")).unwrap();
        notifier.tell(State::Ready);
        assert!(Notifier::new(OsStr::new(&"x".repeat(200))).is_err());
    }
}
