//! One connection of a flood: what it sends when it is due, and what comes back.
//!
//! 1. `sent` has an entry for each request that was begun and has no reply yet, in order.
//! 2. The last of them alone may lack bytes, those of `unsent`; its `taken` is not known until then.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;

use super::super::arrivals::Arrivals;
use super::super::reply::{Front, Judge, LINE_BYTES_MAX};
use super::super::tape::Tape;
use super::{Frame, STRETCH, Tally};
use crate::figures::record;

/// Longest wait for the answer to a connection's first words.
const GREETING_MAX: Duration = Duration::from_secs(10);
/// One reply in so many has its value compared.
const CHECK_EVERY: u64 = 64;

/// A request without a reply.
struct Sent {
    intended: u64,
    taken: u64,
}

/// What the lines of a thread share.
pub(super) struct Desk {
    pub(super) frame: Frame,
    /// Where every read goes first.
    pub(super) buffer: Vec<u8>,
    /// Intended starts of what is due, of one line.
    pub(super) due: Vec<u64>,
    pub(super) tallies: Vec<Tally>,
}

pub(super) struct Line<'a> {
    pub(super) stream: TcpStream,
    group: usize,
    tape: &'a Tape,
    judge: Judge,
    arrivals: Arrivals,
    /// Place on the tape of the next request to be sent, and of the oldest without a reply.
    next: usize,
    awaited: usize,
    sent: VecDeque<Sent>,
    unsent: Range<usize>,
    /// The socket has taken all it was given.
    has_room: bool,
    partial: Vec<u8>,
    replies: u64,
}

impl<'a> Line<'a> {
    pub(super) fn new(
        stream: TcpStream,
        tape: &'a Tape,
        group: usize,
        arrivals: Arrivals,
        first: usize,
    ) -> Self {
        Self {
            stream,
            group,
            tape,
            judge: Judge::new(tape.wording()),
            arrivals,
            next: first,
            awaited: first,
            sent: VecDeque::new(),
            unsent: 0..0,
            has_room: true,
            partial: Vec::new(),
            replies: 0,
        }
    }

    /// Tells the server how long commands may wait; before anything else is said.
    pub(super) fn say_patience(&mut self, patience: Duration) -> Result<()> {
        let stream = std::os::fd::AsFd::as_fd(&self.stream)
            .try_clone_to_owned()
            .context("the connection once more")?;
        let mut stream = std::net::TcpStream::from(stream);
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(GREETING_MAX))?;
        write!(stream, "CLIENT DEADLINE {}\r\n", patience.as_millis())?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        ensure!(
            &answer == b"+OK\r\n",
            "CLIENT DEADLINE was answered by {}",
            answer.escape_ascii()
        );
        Ok(stream.set_nonblocking(true)?)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.sent.len()
    }

    /// Sends what is due by `now`, as far as the socket has room; the rest is never sent.
    pub(super) fn send_due(&mut self, desk: &mut Desk, now: u64) -> Result<()> {
        self.send_rest(desk)?;
        desk.due.clear();
        loop {
            let intended = self.arrivals.next();
            if intended > now || intended >= desk.frame.until {
                break;
            }
            desk.due.push(intended);
            self.arrivals.advance();
        }
        let mut begun = 0;
        while begun < desk.due.len() && self.has_room {
            begun += self.write(&desk.due[begun..], desk.frame)?;
        }
        let counts = |due: &[u64]| due.iter().filter(|&&at| at >= desk.frame.from).count() as u64;
        let (offered, blocked) = (counts(&desk.due), counts(&desk.due[begun..]));
        let tally = &mut desk.tallies[self.group];
        tally.offered += offered;
        tally.blocked += blocked;
        Ok(())
    }

    /// Gives the socket some requests in one piece; says how many were begun.
    fn write(&mut self, due: &[u64], frame: Frame) -> Result<usize> {
        let count = due.len().min(self.tape.len() - self.next);
        let place = self.tape.place(&(self.next..self.next + count));
        let bytes = self.give(place.clone())?;
        let taken = frame.now();
        let end = place.start + bytes;
        let mut begun = 0;
        while begun < count {
            let request = self.tape.place(&(self.next..self.next + 1));
            if request.start >= end {
                break;
            }
            let intended = due[begun];
            self.sent.push_back(Sent { intended, taken });
            self.unsent = end.min(request.end)..request.end;
            self.next = self.tape.behind(self.next, 1);
            begun += 1;
        }
        Ok(begun)
    }

    /// Goes on with the request that the socket took a part of.
    fn send_rest(&mut self, desk: &Desk) -> Result<()> {
        if self.unsent.is_empty() || !self.has_room {
            return Ok(());
        }
        self.unsent.start += self.give(self.unsent.clone())?;
        if self.unsent.is_empty()
            && let Some(last) = self.sent.back_mut()
        {
            last.taken = desk.frame.now();
        }
        Ok(())
    }

    /// What the socket takes of a place on the tape; with less than all it has no room.
    fn give(&mut self, place: Range<usize>) -> Result<usize> {
        let bytes = self.tape.bytes(place);
        loop {
            match self.stream.write(bytes) {
                Ok(taken) => {
                    self.has_room = taken == bytes.len();
                    return Ok(taken);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.has_room = false;
                    return Ok(0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("send requests"),
            }
        }
    }

    /// The socket has room again.
    pub(super) fn has_room_again(&mut self, desk: &Desk) -> Result<()> {
        self.has_room = true;
        self.send_rest(desk)
    }

    /// Reads and counts all that has arrived.
    pub(super) fn receive(&mut self, desk: &mut Desk) -> Result<()> {
        loop {
            let kept = self.partial.len();
            desk.buffer[..kept].copy_from_slice(&self.partial);
            let received = match self.stream.read(&mut desk.buffer[kept..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("read replies"),
            };
            let filled = kept + received;
            let used = self.count(desk, filled)?;
            self.partial.clear();
            self.partial.extend_from_slice(&desk.buffer[used..filled]);
            // A short read has emptied the socket: what comes later is a new event.
            if filled < desk.buffer.len() {
                return Ok(());
            }
        }
    }

    /// Counts the replies in the first bytes of the buffer; says how many bytes they are.
    fn count(&mut self, desk: &mut Desk, filled: usize) -> Result<usize> {
        let now = desk.frame.now();
        let is_counted = desk.frame.contains(now);
        let tally = &mut desk.tallies[self.group];
        let (mut used, mut right) = (0, 0);
        while used < filled {
            let Some(sent) = self.sent.front() else {
                let end = filled.min(used + LINE_BYTES_MAX);
                bail!(
                    "an answer to nothing: {}",
                    desk.buffer[used..end].escape_ascii()
                );
            };
            let bytes = &desk.buffer[used..filled];
            let request = self.tape.request(self.awaited);
            self.replies += 1;
            let check = self.replies.is_multiple_of(CHECK_EVERY);
            match self.judge.front(bytes, request, check) {
                Front::Right(length) => {
                    used += length;
                    right += 1;
                    if is_counted {
                        let since = |at| Duration::from_nanos(now.saturating_sub(at));
                        record(&mut tally.from_taken, since(sent.taken), 1);
                        record(&mut tally.from_intended, since(sent.intended), 1);
                    }
                }
                Front::Wrong(length) => {
                    if is_counted {
                        if bytes[0] == b'-' {
                            note(tally, &bytes[1..length]);
                        } else {
                            tally.wrong += 1;
                        }
                    }
                    used += length;
                }
                Front::Partial => break,
                Front::Broken => {
                    let end = filled.min(used + LINE_BYTES_MAX);
                    bail!("not a reply: {}", desk.buffer[used..end].escape_ascii());
                }
            }
            self.sent.pop_front();
            self.awaited = self.tape.behind(self.awaited, 1);
        }
        if is_counted {
            tally.served += right;
        }
        let stretch = (now / STRETCH.as_nanos() as u64) as usize;
        if tally.course.len() <= stretch {
            tally.course.resize(stretch + 1, 0);
        }
        tally.course[stretch] += right;
        Ok(used)
    }

    /// When the next request is due.
    pub(super) fn next_due(&self) -> u64 {
        self.arrivals.next()
    }

    /// What has no reply counts so.
    pub(super) fn end(&self, desk: &mut Desk) {
        desk.tallies[self.group].unanswered += self.sent.len() as u64;
    }
}

/// Counts an error by its first word.
#[cold]
fn note(tally: &mut Tally, line: &[u8]) {
    let word = line.split(|byte| *byte <= b' ').next().unwrap_or_default();
    let word = String::from_utf8_lossy(word);
    match tally.errors.get_mut(word.as_ref()) {
        Some(count) => *count += 1,
        None => {
            tally.errors.insert(word.into_owned(), 1);
        }
    }
}

impl Desk {
    /// An empty one, for lines of so many groups.
    pub(super) fn new(frame: Frame, groups: usize, bytes: usize) -> Result<Self> {
        let tallies: Result<Vec<Tally>> = (0..groups).map(|_group| Tally::new()).collect();
        Ok(Self {
            frame,
            buffer: vec![0; bytes],
            due: Vec::new(),
            tallies: tallies?,
        })
    }
}
