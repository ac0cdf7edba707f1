//! Replies to bytes, in the dialect the client asked for.
//!
//! Appends to a buffer and knows nothing of sockets, nor of which reply belongs to which command.
//!
//! 1. Every call appends one whole reply, or the header of an aggregate whose elements the caller
//!    appends next.
//! 2. No text, whatever it quotes, can end a line early (no reply injection).
//! 3. What exists only in RESP3 is written to a RESP2 client as Redis writes it there.

use std::sync::Arc;

use crate::error::ProtocolError;
use crate::limits::ERROR_BYTES_MAX;
use crate::number::format_f64;
use crate::shared::Segments;

/// The reply `+OK`, the same in both dialects.
pub const OK: &[u8] = b"+OK\r\n";
/// The reply to a PING without argument.
pub const PONG: &[u8] = b"+PONG\r\n";
/// The reply to a command that waits for EXEC.
pub const QUEUED: &[u8] = b"+QUEUED\r\n";
/// No value, in RESP2.
pub const NIL_RESP2: &[u8] = b"$-1\r\n";
/// No value, in RESP3.
pub const NIL_RESP3: &[u8] = b"_\r\n";

/// Bytes around a bulk's content at most: `$`, twenty digits, two line ends.
const BULK_OVERHEAD_MAX: usize = 25;

/// The dialect of a connection: RESP2 until `HELLO 3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// Strings, errors, integers, bulks, arrays.
    #[default]
    Resp2,
    /// All of it, with maps, sets, pushes, doubles, booleans, big numbers and one null.
    Resp3,
}

impl Protocol {
    /// The reply that says "no value" in this dialect.
    #[inline]
    #[must_use]
    pub const fn nil(self) -> &'static [u8] {
        match self {
            Self::Resp2 => NIL_RESP2,
            Self::Resp3 => NIL_RESP3,
        }
    }
}

/// Appends replies to a buffer. Nothing here fails or blocks; the buffer grows by what is appended
/// (bounding it is its owner's business).
///
/// ```
/// use shardkeep_resp::{Protocol, Reply};
///
/// let mut out = Vec::new();
/// let mut reply = Reply::new(&mut out, Protocol::Resp3);
/// reply.map(1);
/// reply.bulk(b"hits");
/// reply.integer(-7);
/// assert_eq!(out, b"%1\r\n$4\r\nhits\r\n:-7\r\n");
/// ```
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    segments: Option<&'a mut Segments>,
    protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// An encoder that appends to `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self {
            out,
            segments: None,
            protocol,
        }
    }

    /// An encoder that appends to `out` and notes in `segments` what is shared instead.
    #[inline]
    pub fn sharing(out: &'a mut Vec<u8>, segments: &'a mut Segments, protocol: Protocol) -> Self {
        Self {
            out,
            segments: Some(segments),
            protocol,
        }
    }

    /// The dialect replies are written in.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Bytes in the buffer so far, those of earlier replies included.
    #[inline]
    #[must_use]
    pub fn written(&self) -> usize {
        self.out.len()
    }

    /// As [`Reply::written`], with the bytes of shared values.
    #[must_use]
    pub fn size(&self) -> usize {
        let shared = self
            .segments
            .as_ref()
            .map_or(0, |segments| segments.bytes());
        self.out.len() + shared
    }

    /// Takes back what was written since [`Reply::written`] said `to`.
    pub fn take_back(&mut self, to: usize) {
        self.out.truncate(to);
        if let Some(segments) = &mut self.segments {
            drop(segments.split_off(to));
        }
    }

    /// Appends one or more replies already encoded, such as [`OK`].
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    /// `+text`. Line ends in `text` become spaces.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.out.push(b'+');
        self.line(text.as_bytes());
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.raw(OK);
    }

    /// `-text`, see [`error_bytes`](Self::error_bytes).
    #[inline]
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// `-text`, where `text` begins with its code (`ERR`, `WRONGTYPE`) and may echo what the client
    /// sent. Line ends at its end go, others become spaces as in Redis; other control bytes
    /// are written `\xHH`; everything beyond [`ERROR_BYTES_MAX`] bytes is cut off.
    #[cold]
    pub fn error_bytes(&mut self, text: &[u8]) {
        let last = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
        let text = &text[..last.map_or(0, |last| last + 1)];
        self.out.push(b'-');
        let start = self.out.len();
        for &byte in text {
            let mut escape = *b"\\x00";
            let shown: &[u8] = match byte {
                b'\r' | b'\n' => b" ",
                0..=0x1f | 0x7f => {
                    escape[2] = hex_digit(byte >> 4);
                    escape[3] = hex_digit(byte & 15);
                    &escape
                }
                _ => &[byte],
            };
            if self.out.len() - start + shown.len() > ERROR_BYTES_MAX {
                break;
            }
            self.out.extend_from_slice(shown);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// `-ERR Protocol error: ...`, the last reply before the connection is closed.
    #[cold]
    pub fn protocol_error(&mut self, error: ProtocolError) {
        let mut text = b"ERR Protocol error: ".to_vec();
        match error {
            // Redis quotes any byte above ASCII as it is.
            ProtocolError::ExpectedBulk { got: got @ 0x80.. } => {
                text.extend_from_slice(b"expected '$', got '");
                text.extend_from_slice(&[got, b'\'']);
            }
            other => text.extend_from_slice(other.to_string().as_bytes()),
        }
        self.error_bytes(&text);
    }

    /// `:number`.
    #[inline]
    pub fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// `$len`, the bytes: any bytes at all.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + BULK_OVERHEAD_MAX);
        self.length(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// As [`Reply::bulk`], without a copy of the bytes where the buffer can do without.
    #[cold]
    pub fn shared(&mut self, value: Arc<Vec<u8>>) {
        let Some(segments) = &mut self.segments else {
            return self.bulk(&value);
        };
        let mut length = itoa::Buffer::new();
        self.out.push(b'$');
        (self.out).extend_from_slice(length.format(value.len()).as_bytes());
        self.out.extend_from_slice(b"\r\n");
        segments.push(self.out.len(), value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A text with its format, such as `b"txt"` or `b"mkd"`; to a RESP2 client a bulk.
    pub fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.length(b'=', text.len() + format.len() + 1);
                self.out.extend_from_slice(format);
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// No value: `$-1`, or `_` in RESP3.
    #[inline]
    pub fn null(&mut self) {
        self.raw(self.protocol.nil());
    }

    /// No array: `*-1`, or `_` in RESP3.
    pub fn null_array(&mut self) {
        self.raw(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => NIL_RESP3,
        });
    }

    /// The header of an array; `elements` replies must follow.
    #[inline]
    pub fn array(&mut self, elements: usize) {
        self.length(b'*', elements);
    }

    /// The header of a map; `pairs` times two replies must follow. In RESP2 an array of twice the
    /// length.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.length(b'*', pairs * 2),
            Protocol::Resp3 => self.length(b'%', pairs),
        }
    }

    /// The header of a set; `elements` replies must follow. In RESP2 an array.
    #[inline]
    pub fn set(&mut self, elements: usize) {
        match self.protocol {
            Protocol::Resp2 => self.length(b'*', elements),
            Protocol::Resp3 => self.length(b'~', elements),
        }
    }

    /// The header of a message nobody asked for; `elements` replies must follow. In RESP2 an array.
    #[inline]
    pub fn push(&mut self, elements: usize) {
        match self.protocol {
            Protocol::Resp2 => self.length(b'*', elements),
            Protocol::Resp3 => self.length(b'>', elements),
        }
    }

    /// A double with seventeen significant digits; to a RESP2 client a bulk.
    pub fn double(&mut self, number: f64) {
        match self.protocol {
            Protocol::Resp2 => {
                let mut text = Vec::new();
                format_f64(number, &mut text);
                self.bulk(&text);
            }
            Protocol::Resp3 => {
                self.out.push(b',');
                format_f64(number, self.out);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// `#t` or `#f`; to a RESP2 client `:1` or `:0`.
    #[inline]
    pub fn boolean(&mut self, truth: bool) {
        self.raw(match (self.protocol, truth) {
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
        });
    }

    /// A decimal number of any length; to a RESP2 client a bulk.
    pub fn big_number(&mut self, decimal: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(decimal.as_bytes()),
            Protocol::Resp3 => {
                self.out.push(b'(');
                self.line(decimal.as_bytes());
            }
        }
    }

    /// `text` and a line end, with any line end inside `text` made harmless.
    #[inline]
    fn line(&mut self, text: &[u8]) {
        let start = self.out.len();
        self.out.extend_from_slice(text);
        for byte in &mut self.out[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn length(&mut self, marker: u8, length: usize) {
        // Nothing in memory is longer than an i64 can tell.
        self.header(marker, length as i64);
    }

    /// A marker, a number, a line end. Up to three digits by hand: nearly all lengths are such.
    #[inline]
    fn header(&mut self, marker: u8, number: i64) {
        let digit = |number: i64| b'0' + (number % 10) as u8;
        match number {
            0..=9 => self.raw(&[marker, digit(number), b'\r', b'\n']),
            10..=99 => self.raw(&[marker, digit(number / 10), digit(number), b'\r', b'\n']),
            100..=999 => {
                let (hundreds, tens) = (digit(number / 100), digit(number / 10));
                self.raw(&[marker, hundreds, tens, digit(number), b'\r', b'\n']);
            }
            long => {
                let mut buffer = itoa::Buffer::new();
                let digits = buffer.format(long).as_bytes();
                self.out.reserve(digits.len() + 3);
                self.out.push(marker);
                self.out.extend_from_slice(digits);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }
}

fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Write = fn(&mut Reply<'_>);

    fn check(write: Write, resp2: &[u8], resp3: &[u8]) {
        for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
            let mut out = b"before".to_vec();
            write(&mut Reply::new(&mut out, protocol));
            let written = out[6..].escape_ascii().to_string();
            assert_eq!(written, expected.escape_ascii().to_string());
        }
    }

    #[test]
    fn what_both_dialects_have_is_the_same_in_both() {
        let table: [(Write, &[u8]); 14] = [
            (|r| r.simple("PONG"), PONG),
            (|r| r.simple("a\r\nb"), b"+a  b\r\n"),
            (|r| r.ok(), OK),
            (|r| r.error("ERR no"), b"-ERR no\r\n"),
            (|r| r.integer(0), b":0\r\n"),
            (|r| r.integer(-1), b":-1\r\n"),
            (|r| r.integer(10), b":10\r\n"),
            (|r| r.integer(907), b":907\r\n"),
            (|r| r.integer(1_000), b":1000\r\n"),
            (|r| r.integer(i64::MIN), b":-9223372036854775808\r\n"),
            (|r| r.bulk(b""), b"$0\r\n\r\n"),
            (|r| r.bulk(b"\r\n\0\xff"), b"$4\r\n\r\n\0\xff\r\n"),
            (|r| r.bulk(b"0123456789"), b"$10\r\n0123456789\r\n"),
            (|r| r.array(3), b"*3\r\n"),
        ];
        for (write, expected) in table {
            check(write, expected, expected);
        }
    }

    #[test]
    fn what_only_resp3_has_is_written_to_resp2_as_redis_writes_it() {
        check(|r| r.null(), b"$-1\r\n", b"_\r\n");
        check(|r| r.null_array(), b"*-1\r\n", b"_\r\n");
        check(|r| r.map(2), b"*4\r\n", b"%2\r\n");
        check(|r| r.set(2), b"*2\r\n", b"~2\r\n");
        check(|r| r.push(2), b"*2\r\n", b">2\r\n");
        check(|r| r.double(3.5), b"$3\r\n3.5\r\n", b",3.5\r\n");
        check(
            |r| r.double(f64::NEG_INFINITY),
            b"$4\r\n-inf\r\n",
            b",-inf\r\n",
        );
        check(|r| r.boolean(true), b":1\r\n", b"#t\r\n");
        check(|r| r.boolean(false), b":0\r\n", b"#f\r\n");
        check(|r| r.big_number("123"), b"$3\r\n123\r\n", b"(123\r\n");
        check(
            |r| r.verbatim(b"txt", b"a b"),
            b"$3\r\na b\r\n",
            b"=7\r\ntxt:a b\r\n",
        );
    }

    #[test]
    fn an_error_cannot_inject_a_reply() {
        let expected = b"-ERR '+OK  \\x00\\x1b\\x7f\xff'\r\n";
        check(
            |r| r.error_bytes(b"ERR '+OK\r\n\0\x1b\x7f\xff'\r\n\n"),
            expected,
            expected,
        );
        check(|r| r.error_bytes(b""), b"-\r\n", b"-\r\n");
    }

    #[test]
    fn an_error_is_capped() {
        for echoed in [b'x', 0] {
            let mut out = Vec::new();
            Reply::new(&mut out, Protocol::Resp2).error_bytes(&[echoed; 4 * ERROR_BYTES_MAX]);
            assert!(out.len() <= ERROR_BYTES_MAX + 3 && out.ends_with(b"\r\n"));
        }
    }

    #[test]
    fn a_protocol_error_says_what_redis_says() {
        let redis = b"-ERR Protocol error: expected '$', got 'x'\r\n";
        check(
            |r| r.protocol_error(ProtocolError::ExpectedBulk { got: b'x' }),
            redis,
            redis,
        );
        let redis = b"-ERR Protocol error: expected '$', got '\xff'\r\n";
        check(
            |r| r.protocol_error(ProtocolError::ExpectedBulk { got: 0xff }),
            redis,
            redis,
        );
        let redis = b"-ERR Protocol error: expected '$', got ' '\r\n";
        check(
            |r| r.protocol_error(ProtocolError::ExpectedBulk { got: b'\r' }),
            redis,
            redis,
        );
    }
}
