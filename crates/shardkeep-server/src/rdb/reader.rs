//! A file, item after item.
//!
//! Decides nothing about what it finds: it says what there is.
//!
//! 1. An item is handed out only when all of its bytes were there and made sense.
//! 2. The end is reported only after the checksum was compared, and nothing followed it.
//! 3. After an error, or the end, there are no further items.

use std::fmt;
use std::io::Read;

use shardkeep_data::keyspace::record::STRING_BYTES_MAX;

use super::STRING_KEPT_BYTES;
use super::error::{Malformed, ReadError};
use super::format::{
    Attribute, Kind, MAGIC, ModuleName, Opcode, Section, Type, VERSION_DIGITS, VERSIONS,
};
use super::input::Input;
use super::text::Taken;

/// Milliseconds of a second.
const SECOND_MILLIS: i64 = 1_000;

/// What a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item<'r> {
    /// A note about the file: the program that wrote it, when, its memory.
    Note {
        /// What it is about.
        name: &'r [u8],
        /// What it says.
        value: &'r [u8],
    },
    /// A key and its value.
    Entry {
        /// The number of the database it is in.
        database: u64,
        /// The key.
        key: &'r [u8],
        /// The value.
        value: Value<'r>,
        /// When it expires, in milliseconds since 1970, if it does.
        expires: Option<i64>,
    },
    /// A library of functions: its source text.
    Functions(&'r [u8]),
    /// What a module keeps beside the keys.
    ModuleData(ModuleName),
}

/// The value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<'r> {
    /// A string.
    String(&'r [u8]),
    /// A string that is longer than [`STRING_BYTES_MAX`]; it was passed over.
    TooLong {
        /// Its bytes.
        bytes: u64,
    },
    /// A value of another kind; it was passed over.
    Other(Kind),
}

/// What was read, before it is lent out.
enum Found {
    Note,
    Entry(Option<i64>, FoundValue),
    Functions,
    ModuleData(ModuleName),
}

#[derive(Clone, Copy)]
enum FoundValue {
    String,
    TooLong(u64),
    Other(Kind),
}

/// What stands in front of a key.
#[derive(Default)]
struct Attributes {
    expires: Option<i64>,
    are_any: bool,
}

/// How far a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Items,
    Failed,
    Ended { is_verified: bool },
}

/// Reads a file. Memory is one buffer, a key and a value.
///
/// ```
/// use shardkeep_server::rdb::{Item, Reader, Value, checksum};
///
/// let mut file = b"REDIS0010\x00\x03key\x05value\xff".to_vec();
/// file.extend(checksum(&file).to_le_bytes());
/// let mut reader = Reader::new(file.as_slice())?;
/// while let Some(item) = reader.next_item()? {
///     let Item::Entry { key: b"key", value: Value::String(b"value"), .. } = item else {
///         panic!("{item:?}");
///     };
/// }
/// assert!(reader.is_verified());
/// # Ok::<(), shardkeep_server::rdb::ReadError>(())
/// ```
pub struct Reader<R> {
    input: Input<R>,
    version: u32,
    database: u64,
    key: Vec<u8>,
    value: Vec<u8>,
    /// A compressed string.
    packed: Vec<u8>,
    phase: Phase,
}

impl<R: Read> Reader<R> {
    /// Reads the first bytes. Blocks for the file.
    ///
    /// # Errors
    /// It is no such file, of a version that is unknown, or cannot be read.
    pub fn new(source: R) -> Result<Self, ReadError> {
        let mut input = Input::new(source);
        let (magic, digits) = match (input.array(), input.array::<VERSION_DIGITS>()) {
            (Ok(magic), Ok(digits)) => (magic, digits),
            (Err(ReadError::Truncated { .. }), _) | (_, Err(ReadError::Truncated { .. })) => {
                return Err(ReadError::NotRdb);
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        if magic != MAGIC || !digits.iter().all(u8::is_ascii_digit) {
            return Err(ReadError::NotRdb);
        }
        let digit = |number, digit: &u8| 10 * number + u32::from(digit - b'0');
        let version = digits.iter().fold(0, digit);
        if !VERSIONS.contains(&version) {
            return Err(ReadError::Version { version });
        }
        Ok(Self {
            input,
            version,
            database: 0,
            key: Vec::new(),
            value: Vec::new(),
            packed: Vec::new(),
            phase: Phase::Items,
        })
    }

    /// The version of the format.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// How many bytes were read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// Whether the end was reached and a checksum vouches for all before it. Redis writes none if told
    /// so (`rdbchecksum no`).
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.phase == (Phase::Ended { is_verified: true })
    }

    /// The next item, or `None` at the end. Blocks for the file.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read. What was returned before may be damaged as well.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        if self.phase != Phase::Items {
            return Ok(None);
        }
        for buffer in [&mut self.key, &mut self.value, &mut self.packed] {
            if buffer.capacity() > STRING_KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        match self.find() {
            Ok(found) => Ok(found.map(|found| self.lend(found))),
            Err(error) => {
                self.phase = Phase::Failed;
                Err(error)
            }
        }
    }

    fn lend(&self, found: Found) -> Item<'_> {
        let (key, text) = (self.key.as_slice(), self.value.as_slice());
        match found {
            Found::Note => Item::Note {
                name: key,
                value: text,
            },
            Found::Functions => Item::Functions(text),
            Found::ModuleData(name) => Item::ModuleData(name),
            Found::Entry(expires, value) => Item::Entry {
                database: self.database,
                key,
                value: match value {
                    FoundValue::String => Value::String(text),
                    FoundValue::TooLong(bytes) => Value::TooLong { bytes },
                    FoundValue::Other(kind) => Value::Other(kind),
                },
                expires,
            },
        }
    }

    /// Reads up to the end of the next item.
    fn find(&mut self) -> Result<Option<Found>, ReadError> {
        let mut attributes = Attributes::default();
        loop {
            let offset = self.input.offset();
            let section = match self.input.opcode()? {
                Opcode::Value(kind) => {
                    let value = self.entry(kind)?;
                    return Ok(Some(Found::Entry(attributes.expires, value)));
                }
                Opcode::Attribute(attribute) => {
                    self.attribute(attribute, offset, &mut attributes)?;
                    continue;
                }
                Opcode::Section(_) if attributes.are_any => {
                    return Input::<R>::malformed(offset, Malformed::NoKey);
                }
                Opcode::Section(section) => section,
            };
            if section == Section::End {
                self.end()?;
                return Ok(None);
            }
            if let Some(found) = self.section(section, offset)? {
                return Ok(Some(found));
            }
        }
    }

    fn entry(&mut self, kind: Type) -> Result<FoundValue, ReadError> {
        let offset = self.input.offset();
        let Self {
            input, key, packed, ..
        } = self;
        if let Taken::TooLong(bytes) = input.string(STRING_BYTES_MAX, key, packed)? {
            return Input::<R>::malformed(offset, Malformed::KeyLength { bytes });
        }
        if kind == Type::String {
            return Ok(match self.text()? {
                Taken::Whole => FoundValue::String,
                Taken::TooLong(bytes) => FoundValue::TooLong(bytes),
            });
        }
        let kind = self.input.skip_value(kind)?;
        Ok(kind.map_or(FoundValue::String, FoundValue::Other))
    }

    /// Reads a string into `value`.
    fn text(&mut self) -> Result<Taken, ReadError> {
        self.input
            .string(STRING_BYTES_MAX, &mut self.value, &mut self.packed)
    }

    fn attribute(
        &mut self,
        attribute: Attribute,
        offset: u64,
        attributes: &mut Attributes,
    ) -> Result<(), ReadError> {
        attributes.are_any = true;
        let input = &mut self.input;
        let expires = match attribute {
            Attribute::ExpiryMillis => i64::from_le_bytes(input.array()?),
            Attribute::ExpirySeconds => {
                i64::from(i32::from_le_bytes(input.array()?)) * SECOND_MILLIS
            }
            Attribute::Idle => return input.length().map(drop),
            Attribute::Frequency => return input.skip(1),
        };
        match attributes.expires.replace(expires) {
            None => Ok(()),
            Some(_) => Input::<R>::malformed(offset, Malformed::SecondExpiry),
        }
    }

    /// Reads what belongs to no key, and is not the end.
    fn section(&mut self, section: Section, offset: u64) -> Result<Option<Found>, ReadError> {
        let Self {
            input, key, packed, ..
        } = self;
        match section {
            Section::Database => self.database = input.length()?,
            Section::Sizes => drop((input.length()?, input.length()?)),
            Section::Note => {
                input.string(STRING_BYTES_MAX, key, packed)?;
                self.text()?;
                return Ok(Some(Found::Note));
            }
            Section::Functions => {
                self.text()?;
                return Ok(Some(Found::Functions));
            }
            Section::ModuleData => {
                let name = ModuleName::of(input.length()?);
                input.skip_module()?;
                return Ok(Some(Found::ModuleData(name)));
            }
            Section::CandidateFunctions => {
                let what = "functions in a form of release candidates of Redis 7".to_owned();
                return Err(ReadError::Impassable { offset, what });
            }
            Section::End => {}
        }
        Ok(None)
    }

    /// Behind the last item: the checksum, and nothing.
    fn end(&mut self) -> Result<(), ReadError> {
        let actual = self.input.checksum();
        let stated = u64::from_le_bytes(self.input.array()?);
        if stated != 0 && stated != actual {
            return Err(ReadError::Checksum { stated, actual });
        }
        let offset = self.input.offset();
        if !self.input.is_at_end()? {
            return Input::<R>::malformed(offset, Malformed::Trailing);
        }
        let is_verified = stated != 0;
        self.phase = Phase::Ended { is_verified };
        Ok(())
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("version", &self.version)
            .field("database", &self.database)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
