//! What can be wrong with bytes from the other side.
//!
//! Not the errors of commands: those are replies. Everything here is fatal for its connection,
//! because after it nobody knows where the next frame begins.
//!
//! 1. Texts that Redis has are Redis' texts, without its `ERR Protocol error: `.
//! 2. A text never contains a line end, whatever byte it quotes.

use std::fmt;

/// Why a request cannot be decoded. Answer with
/// [`Reply::protocol_error`](crate::Reply::protocol_error), then close the connection.
///
/// `Display` is what Redis 7.0 says after `-ERR Protocol error: `.
///
/// ```
/// use shardkeep_resp::ProtocolError;
/// assert_eq!(ProtocolError::ExpectedBulk { got: b'*' }.to_string(), "expected '$', got '*'");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The line after `*` is no number, a line without its CR LF, or above the limit.
    InvalidArrayLength,
    /// The line after `$` is no number, negative, a line without its CR LF, or above the limit; or
    /// the bulk is not followed by CR LF.
    InvalidBulkLength,
    /// An argument began with another byte than `$`.
    ExpectedBulk {
        /// The byte found instead.
        got: u8,
    },
    /// The line after `*` does not end within the limit for a line.
    ArrayHeaderTooLong,
    /// The line after `$` does not end within the limit for a line.
    BulkHeaderTooLong,
    /// An inline line does not end within its limit.
    InlineTooLong,
    /// An inline line has an open quote, or a closing quote not followed by a blank.
    UnbalancedQuotes,
    /// An inline line contains a NUL byte. (Redis waits for ever here.)
    NulInInline,
    /// More arguments than a peer may send before it has authenticated.
    UnauthenticatedArrayLength,
    /// A larger bulk than a peer may send before it has authenticated.
    UnauthenticatedBulkLength,
    /// The request as a whole would exceed the limit for one frame.
    FrameTooBig {
        /// The limit in bytes.
        limit: usize,
    },
}

impl ProtocolError {
    /// The fixed text, or what comes before and after the quoted byte.
    fn text(self) -> &'static str {
        match self {
            Self::InvalidArrayLength => "invalid multibulk length",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::ExpectedBulk { .. } => "expected '$', got ",
            Self::ArrayHeaderTooLong => "too big mbulk count string",
            Self::BulkHeaderTooLong => "too big bulk count string",
            Self::InlineTooLong => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::NulInInline => "NUL byte in inline request",
            Self::UnauthenticatedArrayLength => "unauthenticated multibulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::FrameTooBig { .. } => "too big request, limit in bytes: ",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())?;
        match *self {
            // Redis quotes the byte as it is, but turns a line end into a space.
            Self::ExpectedBulk { got: b'\r' | b'\n' } => f.write_str("' '"),
            Self::ExpectedBulk {
                got: got @ b' '..=b'~',
            } => write!(f, "'{}'", char::from(got)),
            Self::ExpectedBulk { got } => write!(f, "'\\x{got:02x}'"),
            Self::FrameTooBig { limit } => write!(f, "{limit}"),
            Self::InvalidArrayLength
            | Self::InvalidBulkLength
            | Self::ArrayHeaderTooLong
            | Self::BulkHeaderTooLong
            | Self::InlineTooLong
            | Self::UnbalancedQuotes
            | Self::NulInInline
            | Self::UnauthenticatedArrayLength
            | Self::UnauthenticatedBulkLength => Ok(()),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// Why a reply from a server cannot be decoded. The connection cannot be used further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyError {
    /// A reply began with a byte that names no type.
    UnknownType {
        /// The byte found.
        got: u8,
    },
    /// A length, number, boolean or double is not written as its type demands, or a line end is
    /// missing.
    Malformed {
        /// Where, in bytes from the start of the reply.
        at: usize,
    },
    /// Aggregates nested deeper than [`REPLY_DEPTH_MAX`](crate::REPLY_DEPTH_MAX).
    TooDeep,
    /// The reply as a whole, or one line of it, would exceed the limit.
    TooBig {
        /// The limit in bytes.
        limit: usize,
    },
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnknownType { got } => write!(f, "no reply type begins with byte 0x{got:02x}"),
            Self::Malformed { at } => write!(f, "malformed reply at byte {at}"),
            Self::TooDeep => {
                write!(
                    f,
                    "reply nested deeper than {} levels",
                    crate::REPLY_DEPTH_MAX
                )
            }
            Self::TooBig { limit } => write!(f, "reply exceeds {limit} bytes"),
        }
    }
}

impl std::error::Error for ReplyError {}
