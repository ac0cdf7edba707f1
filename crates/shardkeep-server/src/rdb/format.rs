//! The codes of the format and what they stand for.
//!
//! From the sources of Redis 5 to 7.2, which wrote the versions 9 to 11.

use std::fmt;
use std::ops::RangeInclusive;

/// What every file begins with; four digits of the version follow.
pub(super) const MAGIC: [u8; 5] = *b"REDIS";

/// Digits of the version.
pub(super) const VERSION_DIGITS: usize = 4;

/// The versions that can be read: those of Redis 5.0 to 7.2.
pub const VERSIONS: RangeInclusive<u32> = 9..=11;

/// What stands in front of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    /// A key and its value.
    Value(Type),
    /// What belongs to the key that follows.
    Attribute(Attribute),
    /// What belongs to no key.
    Section(Section),
}

/// What belongs to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    ExpiryMillis,
    ExpirySeconds,
    /// How long it was not used.
    Idle,
    /// How often it was used.
    Frequency,
}

/// What belongs to no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Functions,
    /// In the form of the release candidates of Redis 7.
    CandidateFunctions,
    ModuleData,
    Note,
    /// How large the tables are to be made.
    Sizes,
    Database,
    End,
}

impl Opcode {
    pub(super) fn of(code: u8) -> Option<Self> {
        Some(match code {
            245 => Self::Section(Section::Functions),
            246 => Self::Section(Section::CandidateFunctions),
            247 => Self::Section(Section::ModuleData),
            248 => Self::Attribute(Attribute::Idle),
            249 => Self::Attribute(Attribute::Frequency),
            250 => Self::Section(Section::Note),
            251 => Self::Section(Section::Sizes),
            252 => Self::Attribute(Attribute::ExpiryMillis),
            253 => Self::Attribute(Attribute::ExpirySeconds),
            254 => Self::Section(Section::Database),
            255 => Self::Section(Section::End),
            code => Self::Value(Type::of(code)?),
        })
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    String,
    /// One string that holds all of it.
    Packed(Kind),
    /// A count, then so many elements of these parts.
    Elements(Kind, &'static [Part]),
    Stream(StreamForm),
    /// Of the present form, which can be passed over.
    Module,
    /// Of the form before Redis 4.0, whose length only the module knows.
    OldModule,
}

/// A part of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    String,
    Length,
    /// Eight bytes.
    Binary,
    /// A length of one byte and so many digits, or one of three special lengths without.
    Decimal,
}

/// What streams of each version of the format have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StreamForm {
    First,
    /// Its first entry, its newest deletion and counts of what was read.
    WithCounts,
    /// Also when consumers were last active.
    WithActivity,
}

impl Type {
    fn of(code: u8) -> Option<Self> {
        use Part::{Binary, Decimal, Length, String};
        Some(match code {
            0 => Self::String,
            1 | 14 => Self::Elements(Kind::List, &[String]),
            2 => Self::Elements(Kind::Set, &[String]),
            3 => Self::Elements(Kind::SortedSet, &[String, Decimal]),
            4 => Self::Elements(Kind::Hash, &[String, String]),
            5 => Self::Elements(Kind::SortedSet, &[String, Binary]),
            6 => Self::OldModule,
            7 => Self::Module,
            9 | 13 | 16 => Self::Packed(Kind::Hash),
            10 => Self::Packed(Kind::List),
            11 | 20 => Self::Packed(Kind::Set),
            12 | 17 => Self::Packed(Kind::SortedSet),
            15 => Self::Stream(StreamForm::First),
            18 => Self::Elements(Kind::List, &[Length, String]),
            19 => Self::Stream(StreamForm::WithCounts),
            21 => Self::Stream(StreamForm::WithActivity),
            _ => return None,
        })
    }
}

/// What kind of value a key has, if not a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    SortedSet,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
    /// What a module has made.
    Module(ModuleName),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str("a list"),
            Self::Set => f.write_str("a set"),
            Self::SortedSet => f.write_str("a sorted set"),
            Self::Hash => f.write_str("a hash"),
            Self::Stream => f.write_str("a stream"),
            Self::Module(name) => write!(f, "a value of module type {name}"),
        }
    }
}

/// The name of a module's type: nine characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleName(u64);

/// Characters that such a name may have, by their six bits.
const NAME_CHARACTERS: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl ModuleName {
    /// From the number in the file: six bits for each character, then ten of a version.
    pub(super) const fn of(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in 0..9 {
            let bits = (self.0 >> (58 - 6 * place)) & 63;
            write!(f, "{}", char::from(NAME_CHARACTERS[bits as usize]))?;
        }
        Ok(())
    }
}

/// The first byte of a length: its two high bits, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LengthForm {
    /// The length itself.
    Six(u8),
    /// Its high six bits; a byte follows.
    Fourteen(u8),
    /// Four bytes follow.
    ThirtyTwo,
    /// Eight bytes follow.
    SixtyFour,
    /// No length: a string of another form.
    Special(Special),
}

/// A string that is not written as its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    Int8,
    Int16,
    Int32,
    Lzf,
}

impl LengthForm {
    pub(super) fn of(byte: u8) -> Option<Self> {
        Some(match (byte >> 6, byte & 63) {
            (0, bits) => Self::Six(bits),
            (1, bits) => Self::Fourteen(bits),
            (2, 0) => Self::ThirtyTwo,
            (2, 1) => Self::SixtyFour,
            (3, 0) => Self::Special(Special::Int8),
            (3, 1) => Self::Special(Special::Int16),
            (3, 2) => Self::Special(Special::Int32),
            (3, 3) => Self::Special(Special::Lzf),
            (_, _) => return None,
        })
    }
}

/// What stands in front of the parts of a module's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModulePart {
    End,
    Signed,
    Unsigned,
    Float,
    Double,
    String,
}

impl ModulePart {
    pub(super) fn of(code: u64) -> Option<Self> {
        Some(match code {
            0 => Self::End,
            1 => Self::Signed,
            2 => Self::Unsigned,
            3 => Self::Float,
            4 => Self::Double,
            5 => Self::String,
            _ => return None,
        })
    }
}

/// Special lengths of a [`Part::Decimal`]: from here on there are no digits (not a number, the two
/// infinities).
pub(super) const DECIMAL_SPECIAL_FROM: u8 = 253;
