//! Replies on their way to a client: their bytes, and the large values that stand in them uncopied.

use std::io::IoSlice;

use shardkeep_resp::{Protocol, Reply, Segment, Segments};

use crate::buffer::append;

/// Parts of one write at most.
pub(crate) const PARTS: usize = 32;

/// Replies, one behind the other. Places in them count the bytes that are not of shared values.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    pub(crate) segments: Segments,
}

/// Some replies of an output.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'o> {
    pub(crate) bytes: &'o [u8],
    segments: &'o [Segment],
    /// Where they begin in their output.
    start: usize,
}

impl<'o> From<&'o [u8]> for Piece<'o> {
    fn from(bytes: &'o [u8]) -> Self {
        Self {
            bytes,
            segments: &[],
            start: 0,
        }
    }
}

impl Piece<'_> {
    /// Bytes that the client gets.
    pub(crate) fn size(&self) -> usize {
        let shared = self.segments.iter().map(|segment| segment.bytes().len());
        self.bytes.len() + shared.sum::<usize>()
    }
}

impl Output {
    /// An encoder that appends to it.
    #[inline]
    pub(crate) fn reply(&mut self, protocol: Protocol) -> Reply<'_> {
        Reply::sharing(&mut self.bytes, &mut self.segments, protocol)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that the client gets.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.segments.bytes()
    }

    /// Bytes that the client gets of the replies between two bytes.
    #[inline]
    pub(crate) fn size_of(&self, start: usize, end: usize) -> usize {
        match self.segments.is_empty() {
            true => end - start,
            false => self.piece(start, end).size(),
        }
    }

    #[inline]
    pub(crate) fn piece(&self, start: usize, end: usize) -> Piece<'_> {
        Piece {
            bytes: &self.bytes[start..end],
            segments: self.segments.within(start, end),
            start,
        }
    }

    /// Adds what another output has.
    pub(crate) fn append(&mut self, piece: Piece<'_>) {
        let at = self.bytes.len();
        append(&mut self.bytes, piece.bytes);
        for segment in piece.segments {
            let mut segment = segment.clone();
            segment.at = segment.at - piece.start + at;
            self.segments.add(segment);
        }
    }

    /// Forgets what stands from the byte `at` on.
    pub(crate) fn truncate(&mut self, at: usize) {
        drop(self.split_off(at));
    }

    /// Takes what stands from the byte `at` on out.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let mut segments = self.segments.split_off(at);
        segments.shift(at);
        let bytes = self.bytes.split_off(at);
        Self { bytes, segments }
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.segments.clear();
    }

    /// Takes the first bytes away, which are sent, and no value among them is left.
    pub(crate) fn cut(&mut self, sent: usize) {
        self.bytes.drain(..sent);
        self.segments.shift(sent);
    }

    /// The parts of what stands between two bytes, up to the room that there is; how many they are.
    pub(crate) fn parts<'o>(
        &'o self,
        from: usize,
        end: usize,
        parts: &mut [IoSlice<'o>; PARTS],
    ) -> usize {
        let (mut at, mut count) = (from, 0);
        // One that has begun stands at the very beginning.
        for segment in self.segments.before(end) {
            if count + 2 > PARTS {
                return count;
            }
            parts[count] = IoSlice::new(&self.bytes[at..segment.at]);
            parts[count + 1] = IoSlice::new(segment.bytes());
            (at, count) = (segment.at, count + 2);
        }
        if count < PARTS && at < end {
            parts[count] = IoSlice::new(&self.bytes[at..end]);
            count += 1;
        }
        count
    }

    /// `count` bytes from the byte `from` on are sent. Gives the first byte that is not.
    pub(crate) fn advance(&mut self, from: usize, mut count: usize) -> usize {
        let mut at = from;
        while let Some(segment) = self.segments.first() {
            let (gap, value) = (segment.at - at, segment.bytes().len());
            if count <= gap {
                break;
            }
            at = segment.at;
            let of_value = value.min(count - gap);
            count -= gap + of_value;
            self.segments.advance(of_value);
            if of_value < value {
                break;
            }
        }
        at + count
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Replies with two values, and all bytes as the client gets them.
    fn mixed() -> (Output, Vec<u8>) {
        let mut output = Output::default();
        let mut reply = output.reply(Protocol::Resp2);
        reply.ok();
        reply.shared(Arc::new(vec![b'a'; 20]));
        reply.bulk(b"between");
        reply.shared(Arc::new(vec![b'b'; 5]));
        reply.integer(7);
        let mut all = b"+OK\r\n$20\r\n".to_vec();
        all.extend_from_slice(&[b'a'; 20]);
        all.extend_from_slice(b"\r\n$7\r\nbetween\r\n$5\r\nbbbbb\r\n:7\r\n");
        (output, all)
    }

    /// What the client gets when the socket takes `at_once` bytes of each write.
    fn taken(output: &mut Output, at_once: usize) -> Vec<u8> {
        let (mut got, mut sent) = (Vec::new(), 0);
        while sent < output.len() {
            let mut parts = [IoSlice::new(&[]); PARTS];
            let count = output.parts(sent, output.len(), &mut parts);
            let write: Vec<u8> = parts[..count]
                .iter()
                .flat_map(|part| part.to_vec())
                .collect();
            let takes = at_once.min(write.len());
            got.extend_from_slice(&write[..takes]);
            sent = output.advance(sent, takes);
            if at_once.is_multiple_of(2) {
                output.cut(sent);
                sent = 0;
            }
        }
        got
    }

    #[test]
    fn a_client_gets_every_byte_once_however_little_the_socket_takes() {
        for at_once in 1..100 {
            let (mut output, all) = mixed();
            assert_eq!(output.size(), all.len());
            assert_eq!(taken(&mut output, at_once), all, "{at_once} at once");
            assert_eq!(output.segments.bytes(), 0);
        }
    }

    #[test]
    fn replies_keep_their_values_when_they_move_on() {
        let (mut output, all) = mixed();
        let mut second = Output::default();
        second.append(output.piece(5, output.len()));
        assert_eq!(second.size(), all.len() - 5);
        second.append(b"+last\r\n"[..].into());
        let tail = second.split_off(7);
        assert_eq!(second.size() + tail.size(), all.len() - 5 + 7);
        second.append(tail.piece(0, tail.len()));
        let expected = [&all[5..], b"+last\r\n"].concat();
        assert_eq!(taken(&mut second, 1_000), expected);
        output.truncate(5);
        assert_eq!((output.size(), output.bytes), (5, b"+OK\r\n".to_vec()));
    }

    #[test]
    fn more_values_than_one_write_has_parts_go_out_one_write_after_the_other() {
        let mut output = Output::default();
        for _ in 0..3 * PARTS {
            output
                .reply(Protocol::Resp3)
                .shared(Arc::new(vec![b'v'; 3]));
        }
        let expected = b"$3\r\nvvv\r\n".repeat(3 * PARTS);
        assert_eq!(taken(&mut output, 1_001), expected);
    }
}
