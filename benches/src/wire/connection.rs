//! One connection in a closed loop: send a bundle of requests, wait for all replies, send the next.
//!
//! 1. `answered` of the `pipeline` requests from `first` have their replies.
//! 2. `unsent` is what the socket has not taken of the bundle's bytes; usually empty.
//! 3. `partial` holds the beginning of one reply, never a whole one.

use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::Range;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;

use super::reply::{Front, LINE_BYTES_MAX, front};
use super::tape::Tape;
use crate::clock;

/// Bytes per read: above the replies to the longest pipeline, so one read takes them all.
pub(super) const READ_BYTES: usize = 64 * 1_024;
const _: () = assert!(LINE_BYTES_MAX < READ_BYTES);
/// One reply in so many has its value compared: making the value costs as much as many replies.
const CHECK_EVERY: u64 = 64;

/// What all connections of a thread share.
pub(super) struct Shared<'a> {
    /// The requests.
    pub(super) tape: &'a Tape,
    /// Requests per bundle; a power of two no longer than the tape.
    pub(super) pipeline: usize,
    /// Whether one reply in [`CHECK_EVERY`], counted over all connections, has its value compared.
    pub(super) check_values: bool,
    /// Replies judged so far.
    pub(super) replies: u64,
    /// Replies that were wrong.
    pub(super) wrong: u64,
    /// Where every read goes first.
    pub(super) buffer: Vec<u8>,
}

/// One connection.
pub(super) struct Connection {
    /// Its socket.
    pub(super) stream: TcpStream,
    first: usize,
    answered: usize,
    unsent: Range<usize>,
    sent_at: Instant,
    partial: Vec<u8>,
}

impl Connection {
    /// A connection whose first bundle begins at request `first`, a multiple of the pipeline.
    pub(super) fn new(stream: TcpStream, first: usize) -> Self {
        let sent_at = clock::now();
        Self {
            stream,
            first,
            answered: 0,
            unsent: 0..0,
            sent_at,
            partial: Vec::new(),
        }
    }

    /// Sends the bundle that begins at `first`; its latency counts from `now`.
    pub(super) fn begin(&mut self, shared: &Shared<'_>, now: Instant) -> Result<()> {
        self.sent_at = now;
        self.answered = 0;
        self.unsent = shared
            .tape
            .place(&(self.first..self.first + shared.pipeline));
        self.send(shared.tape)
    }

    /// Goes on sending what the socket did not take at first.
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

    /// Reads what has arrived; when a bundle is answered, sends the next. `record` learns of
    /// every moment replies came: since when they were awaited, the moment, how many.
    pub(super) fn receive(
        &mut self,
        shared: &mut Shared<'_>,
        mut record: impl FnMut(Instant, Instant, u64),
    ) -> Result<()> {
        loop {
            let kept = self.partial.len();
            shared.buffer[..kept].copy_from_slice(&self.partial);
            let received = match self.stream.read(&mut shared.buffer[kept..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("read replies"),
            };
            let filled = kept + received;
            let now = clock::now();
            let before = self.answered;
            let used = self.judge(shared, filled)?;
            self.partial.clear();
            self.partial.extend_from_slice(&shared.buffer[used..filled]);
            let count = (self.answered - before) as u64;
            if count > 0 {
                record(self.sent_at, now, count);
            }
            if self.answered == shared.pipeline {
                ensure!(used == filled, "the server sent more than was asked for");
                self.first = (self.first + shared.pipeline) % shared.tape.len();
                return self.begin(shared, now);
            }
            // A short read has emptied the socket: what comes later is a new event.
            if filled < shared.buffer.len() {
                return Ok(());
            }
        }
    }

    /// Judges the replies in the first `filled` bytes of the buffer; returns how many bytes they
    /// are.
    fn judge(&mut self, shared: &mut Shared<'_>, filled: usize) -> Result<usize> {
        let requests = shared
            .tape
            .requests(self.first..self.first + shared.pipeline);
        let mut used = 0;
        for &request in &requests[self.answered..] {
            let check = shared.check_values && shared.replies.is_multiple_of(CHECK_EVERY);
            match front(&shared.buffer[used..filled], request, check) {
                Front::Right(bytes) => used += bytes,
                Front::Wrong(bytes) => {
                    shared.wrong += 1;
                    used += bytes;
                }
                Front::Partial => break,
                Front::Broken => {
                    let end = filled.min(used + LINE_BYTES_MAX);
                    bail!("not a reply: {}", shared.buffer[used..end].escape_ascii());
                }
            }
            shared.replies += 1;
            self.answered += 1;
        }
        Ok(used)
    }
}
