//! `echo`: what the kernel's TCP can do here when a server does nothing.
//!
//! It counts bytes. Every [`GET_BYTES`] bytes it answers as a read of one value would be
//! answered, with as many bytes, so the traffic is that of reads and everything else is missing:
//! parsing, keys, memory.
//!
//! 1. Connections go to the threads in turn.
//! 2. A thread reads a socket until a short read, answers, and polls again: the loop of a
//!    reactor.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use crossbeam_channel::{Receiver, Sender, bounded};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::environment::cores;
use crate::threads;
use crate::wire::in_range;
use crate::wire::protocol::{GET_BYTES, VALUE_BYTES_MAX, VALUE_BYTES_USUAL, constant_reply};

/// Connections that may wait for their thread; the acceptor waits when there are more.
const NEW_CONNECTIONS_MAX: usize = 1_024;
/// Events taken per poll.
const EVENTS_MAX: usize = 1_024;
/// Bytes per read: more than any pipeline of the generator.
const READ_BYTES: usize = 64 * 1_024;
/// Bytes of the prepared run of answers, at least one: the usual answers to one full read.
const ANSWERS_BYTES: usize = 144 * 1_024;
/// Wakes a thread for a new connection.
const WAKE: Token = Token(usize::MAX);

/// The server without a store (started by `wire` itself).
///
/// Answers every 34 bytes with the constant reply to a read, 71 bytes as a rule: the limit of TCP on this
/// machine. Listens on a free port of 127.0.0.1, says so on standard error, and runs until it is
/// terminated.
#[derive(Args, Clone, Debug)]
pub(crate) struct Echo {
    /// Threads [default: the cores of this machine]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Bytes of the value it answers with
    #[arg(long, default_value_t = VALUE_BYTES_USUAL, value_parser = in_range(1, VALUE_BYTES_MAX))]
    value_bytes: usize,
}

/// Answers, end to end.
struct Answers {
    bytes: Vec<u8>,
    /// Bytes of each.
    each: usize,
}

/// One client.
struct Connection {
    stream: TcpStream,
    /// Bytes received of a request that is not complete.
    surplus: usize,
    /// Bytes of answers owed.
    owed: usize,
}

/// The acceptor's way to a thread.
struct Inlet {
    sender: Sender<TcpStream>,
    waker: Arc<Waker>,
}

impl Echo {
    /// Serves until the process is terminated.
    ///
    /// # Errors
    /// No port, no thread, or a thread that could not poll.
    pub(crate) fn run(&self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
        let address = listener.local_addr()?;
        let mut inlets = Vec::new();
        for index in 0..self.threads.map_or_else(cores, NonZeroUsize::get) {
            let poll = Poll::new()?;
            let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
            let (sender, receiver) = bounded(NEW_CONNECTIONS_MAX);
            inlets.push(Inlet { sender, waker });
            let answers = Answers::new(self.value_bytes);
            threads::spawn(&format!("echo-{index}"), move || {
                if let Err(error) = serve(poll, &receiver, &answers) {
                    eprintln!("echo: {error}");
                }
            })?;
        }
        eprintln!("ready: listening on {address}");
        for inlet in inlets.iter().cycle() {
            let (stream, _peer) = listener.accept().context("accept")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            inlet
                .sender
                .send(TcpStream::from_std(stream))
                .context("an echo thread has ended")?;
            inlet.waker.wake()?;
        }
        Ok(())
    }
}

fn serve(mut poll: Poll, arrivals: &Receiver<TcpStream>, answers: &Answers) -> io::Result<()> {
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == WAKE {
                for mut stream in arrivals.try_iter() {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry()
                        .register(&mut stream, Token(connections.len()), both)?;
                    connections.push(Some(Connection {
                        stream,
                        surplus: 0,
                        owed: 0,
                    }));
                }
                continue;
            }
            let place = &mut connections[event.token().0];
            if let Some(connection) = place
                && connection.advance(&mut buffer, answers).is_err()
            {
                *place = None;
            }
        }
    }
}

impl Answers {
    fn new(value_bytes: usize) -> Self {
        let one = constant_reply(value_bytes);
        Self {
            each: one.len(),
            bytes: one.repeat((ANSWERS_BYTES / one.len()).max(1)),
        }
    }
}

impl Connection {
    /// Reads what has arrived and answers it. An error is the end of the connection.
    fn advance(&mut self, buffer: &mut [u8], answers: &Answers) -> io::Result<()> {
        loop {
            self.answer(answers)?;
            if self.owed > 0 {
                // The peer does not read: neither do we, until it does.
                return Ok(());
            }
            let received = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = self.surplus + received;
            self.surplus = bytes % GET_BYTES;
            self.owed += bytes / GET_BYTES * answers.each;
            if received < buffer.len() {
                return self.answer(answers);
            }
        }
    }

    fn answer(&mut self, answers: &Answers) -> io::Result<()> {
        while self.owed > 0 {
            // Answers are all alike: what is left of the one under way decides where to go on.
            let begun = (answers.each - self.owed % answers.each) % answers.each;
            let end = answers.bytes.len().min(begun + self.owed);
            match self.stream.write(&answers.bytes[begun..end]) {
                Ok(sent) => self.owed -= sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
