//! The arguments found so far of a request that arrives in pieces, as few bytes as they can be told in.
//!
//! A length has one spelling, and arguments follow each other without a gap: so where an argument lies
//! follows from the lengths of those before it, and a length is one byte where it is below 128. Six bytes
//! of input are the least for an argument.
//!
//! 1. `lengths` has `count` lengths, seven bits in a byte, the lowest first; the last byte of each is below
//!    128.
//! 2. What is allocated is at most an eighth more than what is needed, and [`ROOM_BYTES_MIN`].

use crate::args::Span;

/// Least that is allocated at a time, in bytes.
const ROOM_BYTES_MIN: usize = 32;

/// Bytes kept allocated for the next request that arrives in pieces. More is given back, so that one
/// enormous request does not weigh on its connection for ever.
const KEPT_BYTES: usize = 256;

/// A header is `$`, the length, CR LF; behind the bytes comes CR LF.
const HEADER_BYTES: usize = 3;
const END_BYTES: usize = 2;

#[derive(Debug, Default)]
pub(crate) struct Partial {
    /// Where the header of the first argument begins.
    begins: usize,
    count: usize,
    lengths: Vec<u8>,
}

impl Partial {
    /// Bytes allocated.
    #[inline]
    pub(crate) fn held_bytes(&self) -> usize {
        self.lengths.capacity()
    }

    /// A request whose first argument begins there.
    pub(crate) fn begin(&mut self, begins: usize) {
        debug_assert!(self.count == 0 && self.lengths.is_empty());
        self.begins = begins;
    }

    /// Takes in the next arguments.
    pub(crate) fn note(&mut self, spans: &[Span]) {
        for span in spans {
            let mut left = span.len;
            while left >= 128 {
                self.push(left as u8 | 128);
                left >>= 7;
            }
            self.push(left as u8);
        }
        self.count += spans.len();
    }

    fn push(&mut self, byte: u8) {
        if self.lengths.len() == self.lengths.capacity() {
            let more = (self.lengths.len() / 8).max(ROOM_BYTES_MIN);
            self.lengths.reserve_exact(more);
        }
        self.lengths.push(byte);
    }

    /// Appends the spans of all of them to `spans`, and forgets them.
    pub(crate) fn move_to(&mut self, spans: &mut Vec<Span>) {
        spans.reserve(self.count);
        let mut at = self.begins;
        let (mut len, mut shift) = (0_usize, 0);
        for &byte in &self.lengths {
            len |= usize::from(byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                let start = at + HEADER_BYTES + digits(len);
                // As large as the spans were that this was made of.
                spans.push(Span {
                    start: start as u32,
                    len: len as u32,
                });
                at = start + len + END_BYTES;
                (len, shift) = (0, 0);
            }
        }
        self.count = 0;
        self.lengths.clear();
        if self.lengths.capacity() > KEPT_BYTES {
            self.lengths = Vec::new();
        }
    }
}

/// Decimal digits of a length.
fn digits(len: usize) -> usize {
    len.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_back_where_they_lay() {
        let lengths = [
            0, 1, 9, 10, 99, 100, 127, 128, 999, 1_000, 16_383, 16_384, 99_999, 5_000_000,
        ];
        let (mut at, mut spans) = (4, Vec::new());
        for len in lengths {
            let start = at + format!("${len}\r\n").len();
            spans.push(Span {
                start: start as u32,
                len: len as u32,
            });
            at = start + len + 2;
        }
        let mut partial = Partial::default();
        for _ in 0..2 {
            partial.begin(4);
            for piece in spans.chunks(3) {
                partial.note(piece);
            }
            let mut back = Vec::new();
            partial.move_to(&mut back);
            assert_eq!(back, spans);
            assert_eq!((partial.count, partial.lengths.len()), (0, 0));
        }
    }

    #[test]
    fn a_short_argument_takes_one_byte_and_an_eighth() {
        let mut partial = Partial::default();
        partial.begin(0);
        let count = 100_000;
        partial.note(&vec![Span { start: 0, len: 1 }; count]);
        assert!(partial.held_bytes() <= count * 9 / 8 + ROOM_BYTES_MIN);
        partial.move_to(&mut Vec::new());
        assert!(partial.held_bytes() <= KEPT_BYTES);
    }
}
