//! Lengths and strings.

use std::io::Read;

use super::error::{Malformed, ReadError};
use super::format::{LengthForm, Special};
use super::input::Input;
use super::lzf;

/// What the first bytes of a string say.
enum Head {
    Plain(u64),
    Special(Special),
}

/// What became of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Whole,
    /// It has so many bytes, more than it may, and was passed over.
    TooLong(u64),
}

impl<R: Read> Input<R> {
    fn head(&mut self) -> Result<Head, ReadError> {
        let offset = self.offset();
        let first = self.byte()?;
        Ok(match LengthForm::of(first) {
            Some(LengthForm::Six(length)) => Head::Plain(u64::from(length)),
            Some(LengthForm::Fourteen(high)) => {
                Head::Plain(u64::from(high) << 8 | u64::from(self.byte()?))
            }
            Some(LengthForm::ThirtyTwo) => {
                Head::Plain(u64::from(u32::from_be_bytes(self.array()?)))
            }
            Some(LengthForm::SixtyFour) => Head::Plain(u64::from_be_bytes(self.array()?)),
            Some(LengthForm::Special(special)) => Head::Special(special),
            None => return Self::malformed(offset, Malformed::Length(first)),
        })
    }

    /// A length, or a count, or a number.
    pub(super) fn length(&mut self) -> Result<u64, ReadError> {
        let offset = self.offset();
        match self.head()? {
            Head::Plain(length) => Ok(length),
            Head::Special(_) => Self::malformed(offset, Malformed::NotALength),
        }
    }

    /// The lengths of a compressed string: compressed, and not.
    fn compressed(&mut self) -> Result<(u64, u64), ReadError> {
        let offset = self.offset();
        let (packed, plain) = (self.length()?, self.length()?);
        if lzf::is_plausible(packed, plain) {
            Ok((packed, plain))
        } else {
            Self::malformed(offset, Malformed::CompressedLength)
        }
    }

    /// Passes over a string; returns how long it is.
    pub(super) fn skip_string(&mut self) -> Result<u64, ReadError> {
        let (stored, length) = match self.head()? {
            Head::Plain(length) => (length, length),
            Head::Special(Special::Int8) => (1, 1),
            Head::Special(Special::Int16) => (2, 2),
            Head::Special(Special::Int32) => (4, 4),
            Head::Special(Special::Lzf) => self.compressed()?,
        };
        self.skip(stored)?;
        Ok(length)
    }

    /// Reads a string of at most `bytes_max` bytes in place of what is in `into`; `packed` is memory
    /// for one that is compressed.
    pub(super) fn string(
        &mut self,
        bytes_max: usize,
        into: &mut Vec<u8>,
        packed: &mut Vec<u8>,
    ) -> Result<Taken, ReadError> {
        into.clear();
        let too_long = |bytes: u64| bytes > bytes_max as u64;
        match self.head()? {
            Head::Plain(length) if too_long(length) => {
                self.skip(length)?;
                return Ok(Taken::TooLong(length));
            }
            Head::Plain(length) => self.append(length as usize, into)?,
            Head::Special(Special::Int8) => number(i8::from_le_bytes(self.array()?).into(), into),
            Head::Special(Special::Int16) => number(i16::from_le_bytes(self.array()?).into(), into),
            Head::Special(Special::Int32) => number(i32::from_le_bytes(self.array()?), into),
            Head::Special(Special::Lzf) => {
                let offset = self.offset();
                let (stored, length) = self.compressed()?;
                if too_long(length) {
                    self.skip(stored)?;
                    return Ok(Taken::TooLong(length));
                }
                packed.clear();
                self.append(stored as usize, packed)?;
                if lzf::decompress(packed, length as usize, into).is_err() {
                    return Self::malformed(offset, Malformed::Compressed);
                }
            }
        }
        Ok(Taken::Whole)
    }
}

/// A number stands for its digits.
fn number(number: i32, into: &mut Vec<u8>) {
    into.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
