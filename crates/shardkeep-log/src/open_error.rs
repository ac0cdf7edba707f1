//! Why a store does not open: what is wrong with what was read, where, and what to do.
//!
//! 1. Whatever names a file names it as it stands in the directory, and with it an offset if there is one.

use std::fmt;

use crate::error::{DiskError, LogFailed};
use crate::format::{Lsn, StoreId, field_name, kind_name};

/// A store was not opened, or a part of it cannot be read. Nothing was changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is outside of what is allowed.
    Setting {
        /// Its name.
        name: &'static str,
        /// What was asked for.
        value: u64,
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// The disk refused: set that right and try again.
    Disk(DiskError),
    /// There is no store, and none was to be made.
    NotFound,
    /// There is no manifest, but there are files that only a store has.
    ManifestMissing {
        /// One of them.
        found: String,
    },
    /// The log cannot be replayed up to this record.
    OutOfRange {
        /// The record.
        lsn: Lsn,
        /// The first that is possible.
        lowest: Lsn,
        /// The last that is possible.
        highest: Lsn,
    },
    /// A file that the manifest names is not there.
    Missing {
        /// Its name.
        file: String,
    },
    /// A file holds records, and the manifest does not know it.
    Unlisted {
        /// Its name.
        file: String,
    },
    /// A file belongs to another store.
    Foreign {
        /// Its name.
        file: String,
        /// Whose it is.
        found: StoreId,
        /// Whose it should be.
        expected: StoreId,
    },
    /// A file was written by another version of this format.
    UnknownVersion {
        /// Its name.
        file: String,
        /// The version it says.
        version: u32,
    },
    /// A file says something that this version does not know, or makes no use of yet.
    UnknownField {
        /// Its name.
        file: String,
        /// The number of the field.
        field: u16,
    },
    /// The store holds something else than the opening program says.
    OtherContent {
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// Bytes are not what was written.
    Damaged {
        /// In which file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
}

impl OpenError {
    pub(crate) fn damaged(file: &str, offset: u64, damage: Damage) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            offset,
            damage,
        }
    }
}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// What to do about a store that does not open.
const ADVICE: &str = "; `shardkeep check DIR` shows what is there, `shardkeep repair DIR` mends what can be \
                      mended and keeps the originals";

/// An [`OpenError`] without what to do about it.
pub(crate) struct What<'e>(&'e OpenError);

impl OpenError {
    /// The error without advice, for those who have followed it.
    pub(crate) const fn what(&self) -> What<'_> {
        What(self)
    }

    /// Whether another version of this program may be able to read what this one cannot.
    pub(crate) const fn is_from_the_future(&self) -> bool {
        match self {
            Self::UnknownVersion { .. } | Self::UnknownField { .. } => true,
            Self::Damaged { damage, .. } => matches!(damage, Damage::Kind { .. }),
            Self::Setting { .. }
            | Self::Disk(_)
            | Self::NotFound
            | Self::OutOfRange { .. }
            | Self::ManifestMissing { .. }
            | Self::Missing { .. }
            | Self::Unlisted { .. }
            | Self::OtherContent { .. }
            | Self::Foreign { .. } => false,
        }
    }

    /// Whether looking at the store, and repairing it, may help.
    const fn is_about_content(&self) -> bool {
        match self {
            Self::Setting { .. }
            | Self::Disk(_)
            | Self::NotFound
            | Self::OutOfRange { .. }
            | Self::OtherContent { .. }
            | Self::UnknownField { .. }
            | Self::UnknownVersion { .. } => false,
            Self::ManifestMissing { .. }
            | Self::Missing { .. }
            | Self::Unlisted { .. }
            | Self::Foreign { .. }
            | Self::Damaged { .. } => true,
        }
    }
}

impl From<LogFailed> for OpenError {
    fn from(failed: LogFailed) -> Self {
        Self::Disk(failed.cause)
    }
}

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            OpenError::Setting {
                name,
                value,
                allowed,
            } => write!(f, "{name} = {value} is not possible: allowed is {allowed}"),
            OpenError::Disk(error) => error.fmt(f),
            OpenError::NotFound => write!(f, "there is no store here"),
            OpenError::OutOfRange {
                lsn,
                lowest,
                highest,
            } => write!(
                f,
                "the log cannot be replayed up to record {lsn}: {lowest} to {highest} is possible"
            ),
            OpenError::ManifestMissing { found } => {
                write!(f, "the manifest is missing, but {found} is there")
            }
            OpenError::Missing { file } => {
                write!(
                    f,
                    "{file} is missing, and the manifest says that it belongs here"
                )
            }
            OpenError::Unlisted { file } => {
                write!(f, "{file} holds records, and the manifest does not know it")
            }
            OpenError::Foreign {
                file,
                found,
                expected,
            } => write!(
                f,
                "{file} belongs to store {found}, and this is store {expected}"
            ),
            OpenError::UnknownVersion { file, version } => write!(
                f,
                "{file} was written in version {version} of the format, and this program knows versions \
                 {} and {}: use the program that wrote it",
                crate::format::VERSION_BEFORE,
                crate::format::VERSION
            ),
            OpenError::UnknownField { file, field } => {
                write!(f, "{file} has the field {field}")?;
                if let Some(name) = field_name(*field) {
                    write!(f, " ({name})")?;
                }
                write!(
                    f,
                    ", which is of a later version of this program: use the program that wrote it"
                )
            }
            OpenError::OtherContent { found, expected } => write!(
                f,
                "the store holds {found}, and was opened as one that holds {expected}"
            ),
            OpenError::Damaged {
                file,
                offset,
                damage,
            } => write!(f, "{file} is damaged at offset {offset}: {damage}"),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = if self.is_about_content() { ADVICE } else { "" };
        write!(f, "{}{advice}", self.what())
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(error) => error.source(),
            Self::Setting { .. }
            | Self::NotFound
            | Self::OutOfRange { .. }
            | Self::ManifestMissing { .. }
            | Self::Missing { .. }
            | Self::Unlisted { .. }
            | Self::Foreign { .. }
            | Self::UnknownVersion { .. }
            | Self::UnknownField { .. }
            | Self::OtherContent { .. }
            | Self::Damaged { .. } => None,
        }
    }
}

/// What is wrong with bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The header of the file.
    Header,
    /// The file says another LSN than its name.
    Misnamed {
        /// What it says.
        says: Lsn,
    },
    /// The lists of a manifest.
    Lists,
    /// There is no record where it should begin.
    Record {
        /// The record that should begin here.
        lsn: Lsn,
    },
    /// The payload of a record.
    Payload {
        /// The record.
        lsn: Lsn,
    },
    /// A record that had been synced cannot be read: what is behind it says so.
    SyncedRecord {
        /// The record that should begin here.
        lsn: Lsn,
        /// The newest record known to have been synced.
        synced: Lsn,
    },
    /// A record cannot be read, and whole ones stand behind it, although the system has not been started
    /// anew since they were written: nothing of it can be missing.
    SameBoot {
        /// The record that should begin here.
        lsn: Lsn,
        /// The newest record behind it.
        last: Lsn,
    },
    /// A record stands where it cannot: parts of a large record that do not follow upon each other.
    OutOfSequence {
        /// The record.
        lsn: Lsn,
        /// Its kind.
        kind: u8,
    },
    /// Records that should be here are not.
    Gap {
        /// The first of them.
        from: Lsn,
        /// The last of them.
        to: Lsn,
    },
    /// The log is intact but ends too early.
    EndsEarly {
        /// Its last record.
        last: Lsn,
        /// A record that was synced, or that a snapshot needs.
        needed: Lsn,
    },
    /// A kind of record or frame that this version does not know.
    Kind {
        /// The kind.
        kind: u8,
    },
    /// A frame of a snapshot.
    Frame {
        /// Its place, from 0.
        index: u64,
    },
    /// The end of a snapshot.
    Footer,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => write!(f, "its header is not whole"),
            Self::Misnamed { says } => write!(f, "its header says {says}"),
            Self::Lists => write!(f, "its lists make no sense"),
            Self::Record { lsn } => write!(f, "record {lsn} should begin here"),
            Self::Payload { lsn } => write!(f, "the checksum of record {lsn} is wrong"),
            Self::SyncedRecord { lsn, synced } => {
                write!(
                    f,
                    "record {lsn} cannot be read, and up to {synced} all was synced"
                )
            }
            Self::SameBoot { lsn, last } => {
                write!(
                    f,
                    "record {lsn} cannot be read, and up to {last} all was written since the system was \
                     started"
                )
            }
            Self::OutOfSequence { lsn, kind } => {
                let name = kind_name(*kind).unwrap_or("unknown");
                write!(
                    f,
                    "record {lsn} ({name}) does not follow upon what is before it"
                )
            }
            Self::Gap { from, to } => write!(f, "records {from} to {to} are missing"),
            Self::EndsEarly { last, needed } => {
                write!(
                    f,
                    "the log ends with record {last}, and it had reached record {needed}"
                )
            }
            Self::Kind { kind } => match kind_name(*kind) {
                Some(name) => write!(f, "kind {kind} ({name}) has no meaning here"),
                None => write!(f, "kind {kind} is unknown"),
            },
            Self::Frame { index } => write!(f, "frame {index} is not whole"),
            Self::Footer => write!(f, "its end does not fit its frames"),
        }
    }
}
