//! What can be wrong with a file, and where.

use std::fmt;
use std::io;

use super::format::VERSIONS;

/// A file was not read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The operating system refuses to read it.
    Unreadable {
        /// Where it stopped, in bytes from the beginning.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// It does not begin as such a file does.
    NotRdb,
    /// It is of a version that cannot be read.
    Version {
        /// Its version.
        version: u32,
    },
    /// It ends before its end.
    Truncated {
        /// How many bytes there are.
        offset: u64,
    },
    /// It has bytes that make no sense: it is damaged, or was not written by Redis.
    Malformed {
        /// Where they are, in bytes from the beginning.
        offset: u64,
        /// What is wrong with them.
        what: Malformed,
    },
    /// It is damaged: its checksum is not that of its bytes.
    Checksum {
        /// What the file says.
        stated: u64,
        /// What its bytes give.
        actual: u64,
    },
    /// It has something that cannot be read, nor passed over.
    Impassable {
        /// Where it begins, in bytes from the beginning.
        offset: u64,
        /// What it is.
        what: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { offset, source } => {
                write!(f, "it cannot be read at byte {offset}: {source}")
            }
            Self::NotRdb => write!(f, "it is no RDB file: those begin with REDIS and a version"),
            Self::Version { version } => write!(
                f,
                "it is of RDB version {version}, and versions {} to {} can be imported",
                VERSIONS.start(),
                VERSIONS.end()
            ),
            Self::Truncated { offset } => write!(
                f,
                "it ends at byte {offset}, in the middle: a part of it is missing"
            ),
            Self::Malformed { offset, what } => {
                write!(f, "it is damaged at byte {offset}: {what}")
            }
            Self::Checksum { stated, actual } => write!(
                f,
                "it is damaged: its checksum is {stated:016x}, and its bytes give {actual:016x}"
            ),
            Self::Impassable { offset, what } => write!(
                f,
                "its byte {offset} begins {what}, and what comes after that cannot be read"
            ),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => source.source(),
            Self::NotRdb
            | Self::Version { .. }
            | Self::Truncated { .. }
            | Self::Malformed { .. }
            | Self::Checksum { .. }
            | Self::Impassable { .. } => None,
        }
    }
}

/// Bytes that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// No item begins with this byte.
    Opcode(u8),
    /// No length begins with this byte.
    Length(u8),
    /// A string stands where only a length may.
    NotALength,
    /// A compressed string cannot have the length that it claims.
    CompressedLength,
    /// A compressed string is not sound.
    Compressed,
    /// A key is longer than any may be.
    KeyLength {
        /// Its bytes.
        bytes: u64,
    },
    /// An expiry, or another attribute, has no key behind it.
    NoKey,
    /// A key has two expiries.
    SecondExpiry,
    /// Parts of a module's value are unknown.
    ModulePart(u64),
    /// There is something behind the end.
    Trailing,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opcode(byte) => write!(f, "nothing of these versions begins with 0x{byte:02x}"),
            Self::Length(byte) => write!(f, "no length begins with 0x{byte:02x}"),
            Self::NotALength => write!(f, "a string stands where only a length may"),
            Self::CompressedLength => {
                write!(f, "a compressed string cannot have the length it claims")
            }
            Self::Compressed => write!(f, "a compressed string is not sound"),
            Self::KeyLength { bytes } => write!(
                f,
                "a key has {bytes} bytes, and {} is the limit",
                shardkeep_data::keyspace::record::STRING_BYTES_MAX
            ),
            Self::NoKey => write!(f, "an expiry or another attribute has no key behind it"),
            Self::SecondExpiry => write!(f, "a key has two expiries"),
            Self::ModulePart(code) => write!(f, "a module's value has a part of kind {code}"),
            Self::Trailing => write!(
                f,
                "more follows the end of the data set (an append-only file that begins with one \
                 cannot be imported; let Redis SAVE one)"
            ),
        }
    }
}
