//! Where a reply ends, without building it.
//!
//! For clients that only count, such as a load generator, and the first pass of the reply decoder.
//! It checks structure, lengths and bounds, not the spelling of doubles or big numbers.
//!
//! 1. The result depends only on the bytes, never on how they were split into calls.
//! 2. What was scanned is not scanned again, and nothing is allocated but one counter per level.
//! 3. Depth, line length and frame size are bounded; no recursion.

use memchr::memchr;

use crate::error::ReplyError;
use crate::limits::{FRAME_BYTES_MAX, INLINE_BYTES_MAX, REPLY_DEPTH_MAX};
use crate::number::parse_i64;

/// Finds the end of each reply of one connection, RESP2 or RESP3. Resumable.
///
/// ```
/// use shardkeep_resp::ReplyScanner;
/// let mut scanner = ReplyScanner::new();
/// assert_eq!(scanner.scan(b"*2\r\n:1\r\n"), Ok(None));
/// assert_eq!(scanner.scan(b"*2\r\n:1\r\n+OK\r\n:7\r\n"), Ok(Some(13)));
/// assert_eq!(scanner.scan(b":7\r\n"), Ok(Some(4)));
/// ```
#[derive(Debug)]
pub struct ReplyScanner {
    frame_bytes_max: usize,
    /// Where the current item begins.
    at: usize,
    /// Bytes of the current line known to hold no line end.
    scanned: usize,
    /// Items still to come on each open level.
    open: Vec<u64>,
}

/// What one item asks for.
pub(crate) enum Item {
    /// It ends with its line.
    Line,
    /// It ends that many bytes, and a line end, after its line.
    Bytes(usize),
    /// That many items follow.
    Items(u64),
    /// That many items follow, and then the value they describe.
    Attributes(u64),
}

impl Default for ReplyScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplyScanner {
    /// A scanner for replies of up to [`FRAME_BYTES_MAX`] bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_frame_bytes_max(FRAME_BYTES_MAX)
    }

    /// A scanner for replies of up to `frame_bytes_max` bytes.
    #[must_use]
    pub fn with_frame_bytes_max(frame_bytes_max: usize) -> Self {
        Self {
            frame_bytes_max,
            at: 0,
            scanned: 0,
            open: Vec::new(),
        }
    }

    /// Whether some bytes of an unfinished reply were seen.
    #[must_use]
    pub fn in_frame(&self) -> bool {
        self.at > 0 || self.scanned > 0
    }

    /// Looks for the end of the reply that begins `input`: the number of its bytes, or `None` when
    /// it is unfinished. `input` must hold all bytes from the start of the reply. Never blocks.
    ///
    /// # Errors
    /// [`ReplyError`] when the bytes are no reply; the connection cannot be used further.
    #[inline]
    pub fn scan(&mut self, input: &[u8]) -> Result<Option<usize>, ReplyError> {
        loop {
            let Some(end) = self.line_end(input)? else {
                return Ok(None);
            };
            let next = match item(&input[self.at..end], self.at)? {
                Item::Line => end + 2,
                Item::Bytes(bytes) => {
                    let next = end.saturating_add(bytes).saturating_add(4);
                    self.check_size(next)?;
                    match input.get(next - 2..next) {
                        None => return Ok(None),
                        Some(b"\r\n") => next,
                        Some(_) => return Err(ReplyError::Malformed { at: next - 2 }),
                    }
                }
                Item::Items(0) => end + 2,
                Item::Items(items) => {
                    self.enter(end + 2, items)?;
                    continue;
                }
                Item::Attributes(items) => {
                    self.enter(end + 2, items.saturating_add(1))?;
                    continue;
                }
            };
            self.at = next;
            self.scanned = 0;
            if self.leave() {
                self.at = 0;
                return Ok(Some(next));
            }
        }
    }

    /// Where the CR of the current line lies.
    #[inline]
    fn line_end(&mut self, input: &[u8]) -> Result<Option<usize>, ReplyError> {
        let from = (self.at + self.scanned).min(input.len());
        let seen = input.len().min(self.at.saturating_add(INLINE_BYTES_MAX));
        match memchr(b'\r', input.get(from..seen).unwrap_or_default()) {
            Some(found) => {
                let end = from + found;
                self.scanned = end - self.at;
                self.check_size(end + 2)?;
                match input.get(end + 1) {
                    _ if end == self.at => Err(ReplyError::Malformed { at: end }),
                    None => Ok(None),
                    Some(b'\n') => Ok(Some(end)),
                    Some(_) => Err(ReplyError::Malformed { at: end }),
                }
            }
            None if seen < input.len() => Err(ReplyError::TooBig {
                limit: INLINE_BYTES_MAX,
            }),
            None => {
                self.scanned = seen.saturating_sub(self.at);
                self.check_size(seen)?;
                Ok(None)
            }
        }
    }

    fn check_size(&self, end: usize) -> Result<(), ReplyError> {
        if end > self.frame_bytes_max {
            return Err(ReplyError::TooBig {
                limit: self.frame_bytes_max,
            });
        }
        Ok(())
    }

    /// Opens an aggregate of at least one item, which begin at `at`.
    fn enter(&mut self, at: usize, items: u64) -> Result<(), ReplyError> {
        if self.open.len() == REPLY_DEPTH_MAX {
            return Err(ReplyError::TooDeep);
        }
        self.open.push(items);
        self.at = at;
        self.scanned = 0;
        Ok(())
    }

    /// Counts a finished item; whether it was the last of the whole reply.
    #[inline]
    fn leave(&mut self) -> bool {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }
}

/// What the header line `line` (at least one byte, without its end) asks for; `at` is its place.
pub(crate) fn item(line: &[u8], at: usize) -> Result<Item, ReplyError> {
    let (marker, text) = (line[0], &line[1..]);
    let malformed = ReplyError::Malformed { at };
    let count = || {
        parse_i64(text)
            .and_then(|n| u64::try_from(n).ok())
            .ok_or(malformed)
    };
    Ok(match marker {
        b'+' | b'-' | b',' | b'(' => Item::Line,
        b':' => parse_i64(text).map(|_| Item::Line).ok_or(malformed)?,
        b'_' if text.is_empty() => Item::Line,
        b'#' if matches!(text, b"t" | b"f") => Item::Line,
        b'_' | b'#' => return Err(malformed),
        b'$' | b'*' if text == b"-1" => Item::Line,
        b'$' | b'=' | b'!' => Item::Bytes(usize::try_from(count()?).map_err(|_| malformed)?),
        b'*' | b'~' | b'>' => Item::Items(count()?),
        b'%' => Item::Items(count()?.saturating_mul(2)),
        b'|' => Item::Attributes(count()?.saturating_mul(2)),
        got => return Err(ReplyError::UnknownType { got }),
    })
}
