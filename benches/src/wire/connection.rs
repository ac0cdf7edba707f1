//! One connection: sends requests from the tape, and judges the replies in their order.
//!
//! It does not know when to send: that is what tells a closed loop from an open one.
//!
//! 1. The `in_flight` requests from `awaited` on were given to [`ask`](Connection::ask) and have no
//!    reply yet.
//! 2. `unsent` is what the socket has not taken of their bytes; usually empty.
//! 3. `partial` holds the beginning of one reply, never a whole one.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;

use super::protocol::Wording;
use super::reply::{Front, Judge, LINE_BYTES_MAX, REPLY_BYTES_MAX};
use super::tape::Tape;

/// Bytes per read: above the replies of usual size to the longest pipeline, so one read takes them
/// all.
const READ_BYTES: usize = 256 * 1_024;
// Room to read more behind the beginning of any reply.
const _: () = assert!(2 * REPLY_BYTES_MAX <= READ_BYTES);
/// One reply in so many has its value compared as a rule: making the value costs as much as many
/// replies.
pub(crate) const CHECK_EVERY: NonZeroU64 = NonZeroU64::MIN.saturating_add(63);
/// Longest silence of a server that is greeted.
const GREETING_MAX: Duration = Duration::from_secs(10);

/// What all connections of a thread share.
pub(super) struct Shared<'a> {
    /// The requests.
    pub(super) tape: &'a Tape,
    /// What replies must be.
    judge: Judge,
    /// One reply in so many, counted over all connections, has its value compared.
    check_every: Option<NonZeroU64>,
    /// Replies until the next that has its value compared.
    until_check: Option<u64>,
    /// Replies judged so far.
    pub(super) replies: u64,
    /// Replies that were wrong.
    pub(super) wrong: u64,
    /// Where every read goes first.
    buffer: Vec<u8>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(tape: &'a Tape, check_every: Option<NonZeroU64>) -> Self {
        Self {
            tape,
            judge: Judge::new(tape.wording()),
            check_every,
            until_check: check_every.map(|_first_at_once| 0),
            replies: 0,
            wrong: 0,
            buffer: vec![0; READ_BYTES],
        }
    }
}

/// What one read of the socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// Whole replies.
    pub(super) replies: usize,
    /// Whether the socket may have more: a short read has emptied it, and what comes later is a
    /// new event.
    pub(super) more: bool,
}

/// One connection.
pub(super) struct Connection {
    /// Its socket.
    pub(super) stream: TcpStream,
    awaited: usize,
    in_flight: usize,
    unsent: Range<usize>,
    partial: Vec<u8>,
}

impl Connection {
    /// Connects and speaks the greeting of the protocol, blocking.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses the protocol.
    pub(super) fn open(address: SocketAddr, wording: Wording) -> Result<TcpStream> {
        let mut stream = std::net::TcpStream::connect(address)
            .with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GREETING_MAX))?;
        wording.greet(&mut stream)?;
        stream.set_nonblocking(true)?;
        Ok(TcpStream::from_std(stream))
    }

    /// A connection whose first request is the `first` of the tape.
    pub(super) fn new(stream: TcpStream, first: usize) -> Self {
        Self {
            stream,
            awaited: first,
            in_flight: 0,
            unsent: 0..0,
            partial: Vec::new(),
        }
    }

    /// Requests without a reply.
    #[inline]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many more requests may be asked now with at most `pipeline` in flight, in one piece.
    #[inline]
    pub(super) fn room(&self, tape: &Tape, pipeline: usize) -> usize {
        if !self.unsent.is_empty() {
            return 0;
        }
        let next = tape.behind(self.awaited, self.in_flight);
        (pipeline - self.in_flight).min(tape.len() - next)
    }

    /// Sends the next `count` requests, no more than there is [`room`](Self::room) for.
    pub(super) fn ask(&mut self, tape: &Tape, count: usize) -> Result<()> {
        let next = tape.behind(self.awaited, self.in_flight);
        self.in_flight += count;
        self.unsent = tape.place(&(next..next + count));
        self.send(tape)
    }

    /// Goes on sending what the socket did not take at first.
    #[inline]
    pub(super) fn send(&mut self, tape: &Tape) -> Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(tape.bytes(self.unsent.clone())) {
                Ok(sent) => self.unsent.start += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("send requests"),
            }
        }
        Ok(())
    }

    /// Reads once, and judges what has arrived.
    pub(super) fn receive(&mut self, shared: &mut Shared<'_>) -> Result<Received> {
        let kept = self.partial.len();
        if kept > 0 {
            shared.buffer[..kept].copy_from_slice(&self.partial);
        }
        let received = loop {
            match self.stream.read(&mut shared.buffer[kept..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(received) => break received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Received {
                        replies: 0,
                        more: false,
                    });
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read replies"),
            }
        };
        let filled = kept + received;
        let before = self.in_flight;
        let used = self.judge(shared, filled)?;
        self.partial.clear();
        if used < filled {
            self.partial.extend_from_slice(&shared.buffer[used..filled]);
        }
        ensure!(
            self.in_flight > 0 || used == filled,
            "the server sent more than was asked for"
        );
        Ok(Received {
            replies: before - self.in_flight,
            more: filled == shared.buffer.len(),
        })
    }

    /// Judges the replies in the first `filled` bytes of the buffer; returns how many bytes they
    /// are.
    fn judge(&mut self, shared: &mut Shared<'_>, filled: usize) -> Result<usize> {
        let tape = shared.tape;
        let mut used = 0;
        let mut answered = 0;
        while answered < self.in_flight {
            let request = tape.request(tape.behind(self.awaited, answered));
            let check = shared.until_check == Some(0);
            let bytes = match shared
                .judge
                .front(&shared.buffer[used..filled], request, check)
            {
                Front::Right(bytes) => bytes,
                Front::Wrong(bytes) => {
                    shared.wrong += 1;
                    bytes
                }
                Front::Partial => break,
                Front::Broken => {
                    let end = filled.min(used + LINE_BYTES_MAX);
                    bail!("not a reply: {}", shared.buffer[used..end].escape_ascii());
                }
            };
            used += bytes;
            answered += 1;
            shared.until_check = if check {
                shared.check_every.map(|every| every.get() - 1)
            } else {
                shared.until_check.map(|left| left - 1)
            };
        }
        shared.replies += answered as u64;
        self.in_flight -= answered;
        self.awaited = tape.behind(self.awaited, answered);
        Ok(used)
    }
}
