//! Bytes to requests: where the arguments of each request lie.
//!
//! Owns no bytes and no socket, and never looks at what an argument means (an HTTP line is an
//! inline request like any other; refusing it is the server's business).
//!
//! 1. The result depends only on the bytes, never on how they were split into calls.
//! 2. Work is linear in the bytes received: what was scanned is not scanned again (save for the six
//!    bytes of one short header per call).
//! 3. Memory follows bytes received, never bytes or counts announced.
//! 4. No recursion; a request has one level.
//! 5. An error is final: every later call returns it again.

use memchr::memchr2;

use crate::args::Span;
use crate::error::ProtocolError;
use crate::inline;
use crate::limits::{BULK_BYTES_MAX, Limits};
use crate::number::parse_i64;
use crate::partial::Partial;

/// What came of looking at the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The frame is unfinished.
    NeedMore {
        /// Bytes that must at least be added before calling again makes sense; at least one. It
        /// is what the peer *announced*, so a hint for the reader, not a size to reserve.
        more: usize,
    },
    /// A whole request. A blank line, `*0` and `*-1` are requests without arguments: skip them.
    Request {
        /// Bytes of the input that belong to the request; the next one begins there.
        consumed: usize,
    },
}

/// Finds requests in the bytes of one connection. Resumable: remembers how far an unfinished frame
/// has been scanned.
///
/// ```
/// use shardkeep_resp::{Decoder, Limits, Step};
///
/// let mut decoder = Decoder::new(Limits::default());
/// let mut spans = Vec::new();
/// let mut input = b"*2\r\n$3\r\nGET\r\n$3\r\nk".to_vec();
/// assert_eq!(decoder.decode(&mut input, &mut spans), Ok(Step::NeedMore { more: 4 }));
/// assert!(decoder.in_frame() && spans.is_empty());
///
/// input.extend_from_slice(b"ey\r\nPING\r\n");
/// let Ok(Step::Request { consumed }) = decoder.decode(&mut input, &mut spans) else { panic!() };
/// assert_eq!(spans[1].of(&input), b"key");
///
/// spans.clear();
/// let rest = &mut input[consumed..];
/// assert_eq!(decoder.decode(rest, &mut spans), Ok(Step::Request { consumed: 6 }));
/// assert_eq!(spans[0].of(rest), b"PING");
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    state: State,
    /// Arguments found so far of a request that arrives in pieces; empty in other states.
    partial: Partial,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// No byte of the next frame was seen.
    Start,
    /// An inline line without an end in its first `scanned` bytes.
    Inline { scanned: usize },
    /// A line `*...` without an end in its first `scanned` bytes.
    ArrayHeader { scanned: usize },
    /// Arguments are due.
    Bulks(Progress),
    /// The connection is beyond repair.
    Failed(ProtocolError),
}

/// How far the arguments of a request were read.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// Arguments still to come, the current one included.
    left: usize,
    /// Where the current argument's header begins.
    at: usize,
    bulk: Bulk,
}

/// What is known of the current argument.
#[derive(Debug, Clone, Copy)]
enum Bulk {
    /// Its header has no end in its first `scanned` bytes.
    Header { scanned: usize },
    /// Its bytes are `start..start + len`, and not all there.
    Body { start: usize, len: usize },
}

/// A header line, looked for.
enum Line {
    /// Bytes before its CR, and where what follows begins, both counted from the line's start.
    Whole { end: usize, next: usize },
    /// No end in the first `scanned` bytes.
    Partial { scanned: usize },
    /// An LF without CR, or a CR without LF.
    Broken,
    /// No end within the limit.
    TooLong,
}

/// What came of reading one argument the long way.
enum LongBulk {
    Whole(Span),
    NeedMore(usize),
}

/// What came of reading arguments.
enum Bulks {
    Done,
    NeedMore(usize),
}

impl Decoder {
    /// A decoder at the start of a connection, under `limits` until
    /// [`set_limits`](Self::set_limits).
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: limits.normalised(),
            state: State::Start,
            partial: Partial::default(),
        }
    }

    /// Replaces the limits, for what has not been scanned yet. Meant for a peer that has just
    /// authenticated.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits.normalised();
    }

    /// Whether some bytes of an unfinished frame were seen: then its deadline runs.
    #[inline]
    #[must_use]
    pub fn in_frame(&self) -> bool {
        !matches!(self.state, State::Start)
    }

    /// Bytes of memory that an unfinished request takes here, beside the input: a fraction of what has
    /// arrived of it.
    #[inline]
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial.held_bytes()
    }

    /// Looks for one request at the start of `input`, which must hold all bytes from the start of
    /// the current frame: the same ones as in the last call, and those that came since.
    ///
    /// When the request is complete, appends the spans of its arguments to `spans`; else leaves
    /// `spans` alone. Quoted words of an inline request are unescaped in place, which is why
    /// `input` is mutable; the bytes of a request must not be decoded twice.
    ///
    /// Never blocks, and allocates only when `spans` is full or a request arrives in pieces.
    ///
    /// # Errors
    /// [`ProtocolError`] when the bytes are no request. It is final: every later call returns it.
    #[inline]
    pub fn decode(
        &mut self,
        input: &mut [u8],
        spans: &mut Vec<Span>,
    ) -> Result<Step, ProtocolError> {
        let result = match self.state {
            State::Start => match input.first() {
                None => Ok(Step::NeedMore { more: 1 }),
                Some(b'*') => self.array(input, 0, spans),
                Some(_) => self.inline(input, 0, spans),
            },
            State::Inline { scanned } => self.inline(input, scanned, spans),
            State::ArrayHeader { scanned } => self.array(input, scanned, spans),
            State::Bulks(progress) => self.resume(input, progress, spans),
            State::Failed(error) => Err(error),
        };
        if let Err(error) = result {
            self.state = State::Failed(error);
        }
        result
    }

    /// A line that does not begin with `*`.
    fn inline(
        &mut self,
        input: &mut [u8],
        scanned: usize,
        spans: &mut Vec<Span>,
    ) -> Result<Step, ProtocolError> {
        let max = self.limits.inline_bytes_max;
        let seen = input.len().min(max.saturating_add(1));
        let from = scanned.min(seen);
        let Some(found) = memchr2(b'\n', 0, &input[from..seen]) else {
            if input.len() > max {
                return Err(ProtocolError::InlineTooLong);
            }
            self.state = State::Inline { scanned: seen };
            return Ok(Step::NeedMore { more: 1 });
        };
        let newline = from + found;
        if input[newline] == 0 {
            return Err(ProtocolError::NulInInline);
        }
        let line = &mut input[..newline];
        let line = match line {
            [line @ .., b'\r'] => line,
            line => line,
        };
        let before = spans.len();
        if let Err(error) = inline::split(line, spans) {
            spans.truncate(before);
            return Err(error);
        }
        self.state = State::Start;
        Ok(Step::Request {
            consumed: newline + 1,
        })
    }

    /// `*<count>` CR LF, and the arguments as far as they are there.
    #[inline]
    fn array(
        &mut self,
        input: &[u8],
        scanned: usize,
        spans: &mut Vec<Span>,
    ) -> Result<Step, ProtocolError> {
        let (count, next) = match short_length(input.get(1..).unwrap_or_default()) {
            Some((count, taken)) if count <= self.limits.args_max => (count, 1 + taken),
            Some(_) | None => match self.array_header(input, scanned)? {
                Some(header) => header,
                None => return Ok(Step::NeedMore { more: 1 }),
            },
        };
        let mut progress = Progress {
            left: count,
            at: next,
            bulk: Bulk::Header { scanned: 0 },
        };
        let before = spans.len();
        match read_bulks(input, &mut progress, &self.limits, spans) {
            Ok(Bulks::Done) => {
                self.state = State::Start;
                Ok(Step::Request {
                    consumed: progress.at,
                })
            }
            Ok(Bulks::NeedMore(more)) => {
                self.partial.begin(next);
                self.partial.note(&spans[before..]);
                spans.truncate(before);
                self.state = State::Bulks(progress);
                Ok(Step::NeedMore { more })
            }
            Err(error) => {
                spans.truncate(before);
                Err(error)
            }
        }
    }

    /// The count and where the arguments begin, or `None` when the line is unfinished.
    #[cold]
    fn array_header(
        &mut self,
        input: &[u8],
        scanned: usize,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        let (end, next) = match find_line(input, scanned, self.limits.inline_bytes_max) {
            Line::Whole { end, next } => (end, next),
            Line::Partial { scanned } => {
                self.state = State::ArrayHeader { scanned };
                return Ok(None);
            }
            Line::Broken => return Err(ProtocolError::InvalidArrayLength),
            Line::TooLong => return Err(ProtocolError::ArrayHeaderTooLong),
        };
        let count = input
            .get(1..end)
            .and_then(parse_i64)
            .ok_or(ProtocolError::InvalidArrayLength)?;
        // Anything below one is a request without arguments, as in Redis.
        let count = usize::try_from(count).unwrap_or(0);
        if count <= self.limits.args_max {
            Ok(Some((count, next)))
        } else if self.limits.unauthenticated && count <= i32::MAX as usize {
            Err(ProtocolError::UnauthenticatedArrayLength)
        } else {
            Err(ProtocolError::InvalidArrayLength)
        }
    }

    /// Goes on with the arguments of a request that arrives in pieces.
    fn resume(
        &mut self,
        input: &[u8],
        mut progress: Progress,
        spans: &mut Vec<Span>,
    ) -> Result<Step, ProtocolError> {
        let before = spans.len();
        match read_bulks(input, &mut progress, &self.limits, spans) {
            Ok(Bulks::Done) => {
                let found = spans.len() - before;
                self.partial.move_to(spans);
                // Those that came first stand behind the others.
                spans[before..].rotate_left(found);
                self.state = State::Start;
                Ok(Step::Request {
                    consumed: progress.at,
                })
            }
            Ok(Bulks::NeedMore(more)) => {
                self.partial.note(&spans[before..]);
                spans.truncate(before);
                self.state = State::Bulks(progress);
                Ok(Step::NeedMore { more })
            }
            Err(error) => {
                spans.truncate(before);
                Err(error)
            }
        }
    }
}

/// Reads arguments until none is left or the input ends.
#[inline]
fn read_bulks(
    input: &[u8],
    progress: &mut Progress,
    limits: &Limits,
    out: &mut Vec<Span>,
) -> Result<Bulks, ProtocolError> {
    // Beyond the limit for a frame the short way sees nothing; the long way then says why.
    let window = &input[..input.len().min(limits.frame_bytes_max)];
    while progress.left > 0 {
        let span = match short_bulk(window, progress.at, limits.bulk_bytes_max) {
            Some(span) => span,
            None => match long_bulk(input, progress, limits)? {
                LongBulk::Whole(span) => span,
                LongBulk::NeedMore(more) => return Ok(Bulks::NeedMore(more)),
            },
        };
        out.push(span);
        progress.at = span.end() + 2;
        progress.left -= 1;
        progress.bulk = Bulk::Header { scanned: 0 };
    }
    Ok(Bulks::Done)
}

/// A whole argument of up to 999 bytes that begins at `at`. `None` settles nothing.
#[inline]
fn short_bulk(window: &[u8], at: usize, bulk_bytes_max: usize) -> Option<Span> {
    let [b'$', rest @ ..] = window.get(at..)? else {
        return None;
    };
    let (len, taken) = short_length(rest)?;
    let tail = rest.get(taken + len..)?;
    if len > bulk_bytes_max || !tail.starts_with(b"\r\n") {
        return None;
    }
    // The window is no longer than a frame, whose offsets fit.
    Some(Span {
        start: (at + 1 + taken) as u32,
        len: len as u32,
    })
}

/// A length of one to three digits with its CR LF, and the bytes it took. `None` settles nothing.
/// (Every whole argument has at least five bytes after its `$`.)
#[inline]
fn short_length(text: &[u8]) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte - b'0');
    match *text.first_chunk::<5>()? {
        [a @ b'0'..=b'9', b'\r', b'\n', _, _] => Some((digit(a), 3)),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', _] => Some((digit(a) * 10 + digit(b), 4)),
        [
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            b'\r',
            b'\n',
        ] => Some((digit(a) * 100 + digit(b) * 10 + digit(c), 5)),
        _ => None,
    }
}

/// The current argument, the long way: any length, and every reason why there is none.
fn long_bulk(
    input: &[u8],
    progress: &mut Progress,
    limits: &Limits,
) -> Result<LongBulk, ProtocolError> {
    let (start, len) = match progress.bulk {
        Bulk::Body { start, len } => (start, len),
        Bulk::Header { scanned } => {
            let line = input.get(progress.at..).unwrap_or_default();
            match line.first() {
                Some(b'$') => {}
                Some(&got) => return Err(ProtocolError::ExpectedBulk { got }),
                None => return Ok(LongBulk::NeedMore(1)),
            }
            match find_line(line, scanned, limits.inline_bytes_max) {
                Line::Whole { end, next } => {
                    let start = progress.at + next;
                    (start, bulk_length(&line[1..end], start, limits)?)
                }
                Line::Partial { scanned } => {
                    progress.bulk = Bulk::Header { scanned };
                    return Ok(LongBulk::NeedMore(1));
                }
                Line::Broken => return Err(ProtocolError::InvalidBulkLength),
                Line::TooLong => return Err(ProtocolError::BulkHeaderTooLong),
            }
        }
    };
    progress.bulk = Bulk::Body { start, len };
    let end = start + len;
    match input.get(end..end + 2) {
        // Checked against the limit for a frame, so both fit.
        Some(b"\r\n") => Ok(LongBulk::Whole(Span {
            start: start as u32,
            len: len as u32,
        })),
        Some(_) => Err(ProtocolError::InvalidBulkLength),
        None => Ok(LongBulk::NeedMore(end + 2 - input.len())),
    }
}

/// The announced length of a bulk whose bytes begin at `start`, if it is within the limits.
fn bulk_length(text: &[u8], start: usize, limits: &Limits) -> Result<usize, ProtocolError> {
    let len = parse_i64(text)
        .and_then(|len| usize::try_from(len).ok())
        .ok_or(ProtocolError::InvalidBulkLength)?;
    if len > limits.bulk_bytes_max {
        return Err(if limits.unauthenticated && len <= BULK_BYTES_MAX {
            ProtocolError::UnauthenticatedBulkLength
        } else {
            ProtocolError::InvalidBulkLength
        });
    }
    let frame = start.saturating_add(len).saturating_add(2);
    if frame > limits.frame_bytes_max {
        return Err(ProtocolError::FrameTooBig {
            limit: limits.frame_bytes_max,
        });
    }
    Ok(len)
}

/// Looks for the end of the header line that begins `line`, of which `scanned` bytes hold none.
fn find_line(line: &[u8], scanned: usize, max: usize) -> Line {
    let seen = line.len().min(max.saturating_add(1));
    let from = scanned.min(seen);
    let Some(found) = memchr2(b'\r', b'\n', &line[from..seen]) else {
        return if line.len() > max {
            Line::TooLong
        } else {
            Line::Partial { scanned: seen }
        };
    };
    let end = from + found;
    match (line[end], line.get(end + 1)) {
        (b'\r', Some(b'\n')) => Line::Whole { end, next: end + 2 },
        (b'\r', None) => Line::Partial { scanned: end },
        (_, _) => Line::Broken,
    }
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
pub(crate) mod tests;
