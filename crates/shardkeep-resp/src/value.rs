//! Replies as values, for clients and tests.
//!
//! Not for a hot path: every value owns its bytes. A program that only counts replies uses the
//! scanner alone.
//!
//! 1. A value is built only from a whole reply, so memory follows bytes received.
//! 2. Building needs no recursion, and the depth is bounded by [`REPLY_DEPTH_MAX`], so that
//!    dropping and comparing cannot exhaust the stack either.
//!
//! [`REPLY_DEPTH_MAX`]: crate::REPLY_DEPTH_MAX

use std::str;

use crate::error::ReplyError;
use crate::scan::{Item, ReplyScanner, item};

/// A reply, RESP2 or RESP3. The three nulls are told apart, as clients do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `+text`
    Simple(Vec<u8>),
    /// `-text` or `!text`: an error, its code first.
    Error(Vec<u8>),
    /// `:number`
    Integer(i64),
    /// `$bytes`
    Bulk(Vec<u8>),
    /// `$-1`: RESP2's missing bulk.
    NullBulk,
    /// `*-1`: RESP2's missing array.
    NullArray,
    /// `_`: RESP3's null.
    Null,
    /// `*elements`
    Array(Vec<Value>),
    /// `%pairs`
    Map(Vec<(Value, Value)>),
    /// `~elements`, in the order they came.
    Set(Vec<Value>),
    /// `>elements`: a message nobody asked for.
    Push(Vec<Value>),
    /// `,number`
    Double(f64),
    /// `#t` or `#f`
    Boolean(bool),
    /// `(number`, its decimal digits.
    BigNumber(Vec<u8>),
    /// `=format:text`
    Verbatim {
        /// Three bytes such as `txt`.
        format: [u8; 3],
        /// The text itself.
        text: Vec<u8>,
    },
}

impl Value {
    /// Whether this is one of the three nulls.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::NullBulk | Self::NullArray)
    }

    /// Whether this is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// The bytes of a simple string, error, bulk, big number or verbatim text.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes)
            | Self::Error(bytes)
            | Self::Bulk(bytes)
            | Self::BigNumber(bytes)
            | Self::Verbatim { text: bytes, .. } => Some(bytes),
            Self::Integer(_)
            | Self::NullBulk
            | Self::NullArray
            | Self::Null
            | Self::Array(_)
            | Self::Map(_)
            | Self::Set(_)
            | Self::Push(_)
            | Self::Double(_)
            | Self::Boolean(_) => None,
        }
    }
}

/// Reads the replies of one connection, one after the other. Resumable and bounded. Attributes
/// are checked and left out.
///
/// ```
/// use shardkeep_resp::{ReplyDecoder, Value};
/// let mut decoder = ReplyDecoder::new();
/// assert_eq!(decoder.decode(b"%1\r\n+answer\r\n:4"), Ok(None));
/// let map = Value::Map(vec![(Value::Simple(b"answer".to_vec()), Value::Integer(42))]);
/// assert_eq!(decoder.decode(b"%1\r\n+answer\r\n:42\r\n_\r\n"), Ok(Some((map, 18))));
/// assert_eq!(decoder.decode(b"_\r\n"), Ok(Some((Value::Null, 3))));
/// ```
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    scanner: ReplyScanner,
}

impl ReplyDecoder {
    /// A decoder for replies of up to [`FRAME_BYTES_MAX`](crate::FRAME_BYTES_MAX) bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder for replies of up to `frame_bytes_max` bytes.
    #[must_use]
    pub fn with_frame_bytes_max(frame_bytes_max: usize) -> Self {
        Self {
            scanner: ReplyScanner::with_frame_bytes_max(frame_bytes_max),
        }
    }

    /// Whether some bytes of an unfinished reply were seen.
    #[must_use]
    pub fn in_frame(&self) -> bool {
        self.scanner.in_frame()
    }

    /// The reply that begins `input` and its bytes, or `None` when it is unfinished. `input` must
    /// hold all bytes from the start of the reply. Never blocks.
    ///
    /// # Errors
    /// [`ReplyError`] when the bytes are no reply; the connection cannot be used further.
    pub fn decode(&mut self, input: &[u8]) -> Result<Option<(Value, usize)>, ReplyError> {
        match self.scanner.scan(input)? {
            Some(end) => Ok(Some((build(&input[..end])?, end))),
            None => Ok(None),
        }
    }
}

/// What the items of an open aggregate become.
#[derive(Clone, Copy)]
enum Kind {
    Array,
    Map,
    Set,
    Push,
    Attributes,
}

/// An aggregate that still lacks `left` items.
struct Open {
    kind: Kind,
    left: u64,
    items: Vec<Value>,
}

/// Builds the value of one whole, scanned reply.
fn build(reply: &[u8]) -> Result<Value, ReplyError> {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    loop {
        let rest = &reply[at..];
        let end = memchr::memchr(b'\r', rest).ok_or(ReplyError::Malformed { at })?;
        let (line, body) = (&rest[..end], &rest[end + 2..]);
        at += end + 2;
        let value = match item(line, at)? {
            Item::Line => scalar(line, at)?,
            Item::Bytes(bytes) => {
                at += bytes + 2;
                text(line[0], &body[..bytes], at)?
            }
            Item::Attributes(0) => continue,
            Item::Items(0) => finish(kind(line[0]), Vec::new()),
            Item::Items(left) | Item::Attributes(left) => {
                open.push(Open {
                    kind: kind(line[0]),
                    left,
                    items: Vec::new(),
                });
                continue;
            }
        };
        if let Some(whole) = close(&mut open, value) {
            return Ok(whole);
        }
    }
}

/// Gives a finished value to the aggregates that wait for it; the whole reply when none is left.
fn close(open: &mut Vec<Open>, mut value: Value) -> Option<Value> {
    loop {
        let Some(mut last) = open.pop() else {
            return Some(value);
        };
        last.items.push(value);
        last.left -= 1;
        if last.left > 0 {
            open.push(last);
            return None;
        }
        match last.kind {
            // The value they describe is still to come, and takes their place.
            Kind::Attributes => return None,
            Kind::Array | Kind::Map | Kind::Set | Kind::Push => {
                value = finish(last.kind, last.items);
            }
        }
    }
}

fn kind(marker: u8) -> Kind {
    match marker {
        b'%' => Kind::Map,
        b'~' => Kind::Set,
        b'>' => Kind::Push,
        b'|' => Kind::Attributes,
        _ => Kind::Array,
    }
}

fn finish(kind: Kind, items: Vec<Value>) -> Value {
    match kind {
        Kind::Array | Kind::Attributes => Value::Array(items),
        Kind::Set => Value::Set(items),
        Kind::Push => Value::Push(items),
        Kind::Map => {
            let mut pairs = Vec::with_capacity(items.len() / 2);
            let mut items = items.into_iter();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Value::Map(pairs)
        }
    }
}

/// The value of a line that stands for itself.
fn scalar(line: &[u8], at: usize) -> Result<Value, ReplyError> {
    let (marker, text) = (line[0], &line[1..]);
    let malformed = ReplyError::Malformed { at };
    Ok(match marker {
        b'-' => Value::Error(text.to_vec()),
        b':' => Value::Integer(crate::parse_i64(text).ok_or(malformed)?),
        b'$' => Value::NullBulk,
        b'*' => Value::NullArray,
        b'_' => Value::Null,
        b'#' => Value::Boolean(text == b"t"),
        b'(' => Value::BigNumber(text.to_vec()),
        b',' => {
            let text = str::from_utf8(text).map_err(|_| malformed)?;
            Value::Double(text.parse().map_err(|_| malformed)?)
        }
        _ => Value::Simple(text.to_vec()),
    })
}

/// The value of a length and that many bytes.
fn text(marker: u8, bytes: &[u8], at: usize) -> Result<Value, ReplyError> {
    Ok(match (marker, bytes) {
        (b'=', [a, b, c, b':', text @ ..]) => Value::Verbatim {
            format: [*a, *b, *c],
            text: text.to_vec(),
        },
        (b'=', _) => return Err(ReplyError::Malformed { at }),
        (b'!', text) => Value::Error(text.to_vec()),
        (_, text) => Value::Bulk(text.to_vec()),
    })
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
