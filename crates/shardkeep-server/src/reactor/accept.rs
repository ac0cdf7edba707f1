//! The acceptor: one thread that takes new connections and hands each to the reactor with the
//! fewest.
//!
//! 1. One blocking call: the poll. It ends by a connection, by the waker, or by the back-off.
//! 2. An error in accept (no descriptors left) backs off; it neither spins nor ends the server.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use crossbeam_channel::Sender;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Token};
use shardkeep::engine::fail_point;

use super::{Arrival, Stream, WAKER};
use crate::clock;
use crate::context::Context;
use crate::engine::ReplyPort;
use crate::limits;

/// What Redis says when there are too many.
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, String),
}

/// Where a reactor takes its new connections.
pub(crate) struct Door {
    pub(crate) arrivals: Sender<Arrival>,
    pub(crate) port: Arc<ReplyPort>,
}

pub(crate) struct Acceptor {
    pub(crate) context: Arc<Context>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) doors: Vec<Door>,
    pub(crate) poll: Poll,
}

impl Listener {
    fn register(&mut self, poll: &Poll, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => poll
                .registry()
                .register(listener, token, Interest::READABLE),
            Self::Unix(listener, _) => {
                poll.registry()
                    .register(listener, token, Interest::READABLE)
            }
        }
    }

    /// The next connection, its peer's address and ours.
    fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>, String)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                let local = stream
                    .local_addr()
                    .map_or_else(|_| "?".into(), |at| at.to_string());
                Ok((Stream::Tcp(stream), Some(peer), local))
            }
            Self::Unix(listener, path) => {
                let (stream, _) = listener.accept()?;
                Ok((Stream::Unix(stream), None, path.clone()))
            }
        }
    }
}

impl Acceptor {
    /// Runs until the server drains.
    ///
    /// # Errors
    /// When the poll itself fails.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            listener.register(&self.poll, Token(at))?;
        }
        let mut events = Events::with_capacity(limits::EVENTS_MAX);
        let mut back_off = false;
        while self.context.accepting.load(SeqCst) {
            let timeout = back_off.then_some(limits::ACCEPT_BACKOFF);
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B35: an arrival, a wake"
            )]
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            fail_point::hit("acceptor.tick");
            let ready = events.iter().any(|event| event.token() != WAKER);
            if ready || back_off {
                back_off = !self.accept_all();
            }
        }
        Ok(())
    }

    /// Takes all that wait; `false` when it had to stop early and must try again.
    fn accept_all(&self) -> bool {
        let mut all = true;
        for listener in &self.listeners {
            while self.context.accepting.load(SeqCst) {
                match listener.accept() {
                    Ok((stream, peer, local)) => self.admit(stream, peer, local),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The peer went away between its arrival and now.
                    Err(error) if is_passing(&error) => {}
                    Err(_) => {
                        all = false;
                        break;
                    }
                }
            }
        }
        all
    }

    fn admit(&self, stream: Stream, peer: Option<SocketAddr>, local: String) {
        let fd = stream.fd();
        let Some(client) = self.context.clients.admit(peer, local, fd, clock::now()) else {
            return refuse(stream);
        };
        let output_timeout = self.context.runtime.output_timeout();
        if stream.prepare(output_timeout).is_err() {
            return self.context.clients.leave(client.id);
        }
        let Some(door) = self.door() else {
            return self.context.clients.leave(client.id);
        };
        let id = client.id;
        // One place for each client there may be: full only if a reactor has died.
        if door.arrivals.try_send(Arrival { stream, client }).is_err() {
            return self.context.clients.leave(id);
        }
        door.port.ring();
    }

    /// The reactor with the fewest connections, those on their way included.
    fn door(&self) -> Option<&Door> {
        let load = |at: usize| {
            self.context.reactors[at].connections.get() + self.doors[at].arrivals.len() as u64
        };
        (0..self.doors.len())
            .min_by_key(|&at| load(at))
            .map(|at| &self.doors[at])
    }
}

/// Whether it is the end of one connection and says nothing of the next.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Tells one client too many, without waiting for it.
fn refuse(mut stream: Stream) {
    #[expect(clippy::disallowed_methods, reason = "blocking point B36: never waits")]
    drop(match &mut stream {
        Stream::Tcp(stream) => stream.write(TOO_MANY),
        Stream::Unix(stream) => stream.write(TOO_MANY),
    });
    stream.end_of_output();
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Somebody may have removed it already.
            drop(std::fs::remove_file(path));
        }
    }
}
