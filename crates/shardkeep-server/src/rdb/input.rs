//! The bytes of a file in their order, with their place and their checksum.
//!
//! 1. An error of the operating system is never taken for the end of the file.
//! 2. Memory for a string grows with what was read of it.

use std::io::{ErrorKind, Read};

use crc::{CRC_64_REDIS, Crc, Digest, Table};

use super::error::{Malformed, ReadError};
use super::{INPUT_BYTES, STRING_STEP_BYTES};

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// The checksum that a file of these bytes, its last eight left out, must state in those (little
/// endian).
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    CHECKSUM.checksum(bytes)
}

/// What is read from, byte by byte as it seems.
pub(super) struct Input<R> {
    source: R,
    buffer: Box<[u8]>,
    /// What of the buffer is taken.
    at: usize,
    /// What of the buffer was read.
    end: usize,
    /// Where the buffer begins in the file.
    base: u64,
    /// Covers what is before the buffer, and what of it is before `summed`.
    digest: Digest<'static, u64, Table<16>>,
    summed: usize,
}

impl<R: Read> Input<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; INPUT_BYTES].into_boxed_slice(),
            at: 0,
            end: 0,
            base: 0,
            digest: CHECKSUM.digest(),
            summed: 0,
        }
    }

    /// How many bytes were taken.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The checksum of all that was taken.
    pub(super) fn checksum(&mut self) -> u64 {
        self.digest.update(&self.buffer[self.summed..self.at]);
        self.summed = self.at;
        self.digest.clone().finalize()
    }

    /// Whether nothing is left. Blocks for the file.
    pub(super) fn is_at_end(&mut self) -> Result<bool, ReadError> {
        Ok(self.at == self.end && !self.fill()?)
    }

    pub(super) fn byte(&mut self) -> Result<u8, ReadError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut array = [0; N];
        let mut filled = 0;
        while filled < N {
            let piece = self.piece((N - filled) as u64)?;
            array[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        Ok(array)
    }

    /// Appends the next `bytes` bytes.
    pub(super) fn append(&mut self, bytes: usize, into: &mut Vec<u8>) -> Result<(), ReadError> {
        let mut left = bytes;
        while left > 0 {
            let piece = self.piece(left as u64)?;
            if into.capacity() - into.len() < piece.len() {
                let step = into.len().max(STRING_STEP_BYTES).max(piece.len());
                into.reserve_exact(step.min(left));
            }
            into.extend_from_slice(piece);
            left -= piece.len();
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), ReadError> {
        let mut left = bytes;
        while left > 0 {
            left -= self.piece(left)?.len() as u64;
        }
        Ok(())
    }

    /// An error about what begins at `offset`.
    pub(super) fn malformed<T>(offset: u64, what: Malformed) -> Result<T, ReadError> {
        Err(ReadError::Malformed { offset, what })
    }

    /// Takes at least one byte, and at most so many.
    fn piece(&mut self, bytes_max: u64) -> Result<&[u8], ReadError> {
        if self.at == self.end && !self.fill()? {
            let offset = self.offset();
            return Err(ReadError::Truncated { offset });
        }
        let there = self.end - self.at;
        let taken = usize::try_from(bytes_max).map_or(there, |bytes| bytes.min(there));
        let piece = &self.buffer[self.at..self.at + taken];
        self.at += taken;
        Ok(piece)
    }

    /// Reads more into the buffer, all of which is taken; `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, ReadError> {
        self.digest.update(&self.buffer[self.summed..self.end]);
        self.base += self.end as u64;
        (self.at, self.end, self.summed) = (0, 0, 0);
        loop {
            #[expect(clippy::disallowed_methods, reason = "blocking point B55: the file")]
            match self.source.read(&mut self.buffer) {
                Ok(bytes) => {
                    self.end = bytes;
                    return Ok(bytes > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset = self.base;
                    return Err(ReadError::Unreadable { offset, source });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_redis() {
        assert_eq!(checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(checksum(b""), 0);
    }

    #[test]
    fn the_checksum_covers_what_was_taken_whatever_was_read() {
        let bytes: Vec<u8> = (0..3 * INPUT_BYTES)
            .map(|number| (number % 251) as u8)
            .collect();
        let mut input = Input::new(bytes.as_slice());
        let mut string = Vec::new();
        for step in [0, 1, 7, INPUT_BYTES, INPUT_BYTES - 8, 1, INPUT_BYTES - 1] {
            input.append(step, &mut string).unwrap();
            assert_eq!(input.offset(), string.len() as u64);
            assert_eq!(input.checksum(), checksum(&string));
        }
        assert!(input.is_at_end().unwrap());
        assert!(
            matches!(input.byte(), Err(ReadError::Truncated { offset }) if offset == bytes.len() as u64)
        );
    }

    #[test]
    fn a_declared_length_reserves_nothing() {
        let mut input = Input::new(&[0; 10][..]);
        let mut string = Vec::new();
        assert!(input.append(usize::MAX / 2, &mut string).is_err());
        assert!(
            string.capacity() <= STRING_STEP_BYTES,
            "{}",
            string.capacity()
        );
    }
}
