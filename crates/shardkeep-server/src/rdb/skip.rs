//! Values that are passed over, since they are no strings.
//!
//! Counts in the file are followed as they are: each element takes at least a byte, so a count that is
//! wrong ends with the file.

use std::io::Read;

use super::error::{Malformed, ReadError};
use super::format::{
    DECIMAL_SPECIAL_FROM, Kind, ModuleName, ModulePart, Opcode, Part, StreamForm, Type,
};
use super::input::Input;

/// Bytes of an entry's number in a stream.
const ENTRY_ID_BYTES: u64 = 16;

/// Bytes of a time.
const TIME_BYTES: u64 = 8;

impl<R: Read> Input<R> {
    /// Passes over a value; says what it is, or `None` for a string.
    pub(super) fn skip_value(&mut self, kind: Type) -> Result<Option<Kind>, ReadError> {
        let offset = self.offset();
        Ok(Some(match kind {
            Type::String => {
                self.skip_string()?;
                return Ok(None);
            }
            Type::Packed(kind) => {
                self.skip_string()?;
                kind
            }
            Type::Elements(kind, parts) => {
                for _ in 0..self.length()? {
                    self.skip_parts(parts)?;
                }
                kind
            }
            Type::Stream(form) => {
                self.skip_stream(form)?;
                Kind::Stream
            }
            Type::Module => {
                let name = ModuleName::of(self.length()?);
                self.skip_module()?;
                Kind::Module(name)
            }
            Type::OldModule => {
                let name = ModuleName::of(self.length()?);
                let what = format!("a value of module type {name} in a form that Redis 4 gave up");
                return Err(ReadError::Impassable { offset, what });
            }
        }))
    }

    fn skip_parts(&mut self, parts: &[Part]) -> Result<(), ReadError> {
        for part in parts {
            match part {
                Part::String => drop(self.skip_string()?),
                Part::Length => drop(self.length()?),
                Part::Binary => self.skip(8)?,
                Part::Decimal => {
                    let digits = self.byte()?;
                    if digits < DECIMAL_SPECIAL_FROM {
                        self.skip(u64::from(digits))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The parts of a module's value, up to their end.
    pub(super) fn skip_module(&mut self) -> Result<(), ReadError> {
        loop {
            let offset = self.offset();
            let code = self.length()?;
            match ModulePart::of(code) {
                Some(ModulePart::End) => return Ok(()),
                Some(ModulePart::Signed | ModulePart::Unsigned) => drop(self.length()?),
                Some(ModulePart::Float) => self.skip(4)?,
                Some(ModulePart::Double) => self.skip(8)?,
                Some(ModulePart::String) => drop(self.skip_string()?),
                None => return Self::malformed(offset, Malformed::ModulePart(code)),
            }
        }
    }

    fn skip_stream(&mut self, form: StreamForm) -> Result<(), ReadError> {
        for _ in 0..self.length()? {
            self.skip_parts(&[Part::String, Part::String])?;
        }
        // How many entries there are, and the number of the last.
        self.skip_parts(&[Part::Length; 3])?;
        if form >= StreamForm::WithCounts {
            // The numbers of the first entry and of the newest deletion; how many were ever added.
            self.skip_parts(&[Part::Length; 5])?;
        }
        for _ in 0..self.length()? {
            self.skip_group(form)?;
        }
        Ok(())
    }

    fn skip_group(&mut self, form: StreamForm) -> Result<(), ReadError> {
        // Its name, and the number of the entry that it read last.
        self.skip_parts(&[Part::String, Part::Length, Part::Length])?;
        if form >= StreamForm::WithCounts {
            self.skip_parts(&[Part::Length])?;
        }
        // What was delivered and not acknowledged: the entry, when, how often.
        for _ in 0..self.length()? {
            self.skip(ENTRY_ID_BYTES + TIME_BYTES)?;
            self.skip_parts(&[Part::Length])?;
        }
        for _ in 0..self.length()? {
            self.skip_consumer(form)?;
        }
        Ok(())
    }

    fn skip_consumer(&mut self, form: StreamForm) -> Result<(), ReadError> {
        self.skip_string()?;
        let times = if form >= StreamForm::WithActivity {
            2
        } else {
            1
        };
        self.skip(times * TIME_BYTES)?;
        for _ in 0..self.length()? {
            self.skip(ENTRY_ID_BYTES)?;
        }
        Ok(())
    }

    /// The next opcode.
    pub(super) fn opcode(&mut self) -> Result<Opcode, ReadError> {
        let offset = self.offset();
        let code = self.byte()?;
        Opcode::of(code).map_or_else(|| Self::malformed(offset, Malformed::Opcode(code)), Ok)
    }
}
