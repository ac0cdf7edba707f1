//! Entries of a file into a new store, or nothing.
//!
//! 1. The store gets its name only after the end of the file was read and found right.
//! 2. After the first problem nothing more is written; the file is read to its end all the same, for
//!    the other problems.
//! 3. Cancelled, it ends at the next item, and leaves nothing behind.
//! 4. Keys are compared by 128 bits of two keyed hashes: sixteen bytes of memory for each.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;
use std::path::Path;

use ahash::RandomState;
use shardkeep::durable::{NewStore, NewStoreError};
use shardkeep::engine::CancelToken;
use shardkeep::table::UnixMillis;

use crate::limits::LOGGED_KEY_BYTES_MAX;
use shardkeep_data::keyspace::record::STRING_BYTES_MAX;
use shardkeep_data::keyspace::{CONTENT, DATABASES_MAX};

use super::error::ReadError;
use super::problem::{Key, Problem, Problems};
use super::reader::{Item, Reader, Value};

/// A file was not imported, and there is no store.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// The file is damaged, or cannot be read.
    File(ReadError),
    /// The file has what cannot be imported.
    Refused(Problems),
    /// The store cannot be made.
    Store(NewStoreError),
    /// It was given up.
    Cancelled,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Refused(problems) => write!(f, "it has what cannot be imported:\n{problems}"),
            Self::Store(error) => error.fmt(f),
            Self::Cancelled => f.write_str("it was given up before its end"),
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => error.source(),
            Self::Refused(_) | Self::Cancelled => None,
            Self::Store(error) => error.source(),
        }
    }
}

impl From<ReadError> for ImportError {
    fn from(error: ReadError) -> Self {
        Self::File(error)
    }
}

impl From<NewStoreError> for ImportError {
    fn from(error: NewStoreError) -> Self {
        Self::Store(error)
    }
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The version of the file.
    pub version: u32,
    /// Keys in all.
    pub keys: u64,
    /// How many databases a server must have for them: one more than the highest number of one with keys.
    pub databases: u32,
    /// Keys that expire.
    pub expiring: u64,
    /// Keys that have expired already; they are in the store, and go when it is opened.
    pub expired: u64,
    /// Bytes of keys and values.
    pub data_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Whether a checksum vouches for the file.
    pub is_verified: bool,
    /// Whether the file says that it is the beginning of an append-only file, and so not all.
    pub is_base: bool,
    /// Scripts that Redis before 7 had in its cache. They are in no database, and are not imported.
    pub scripts: u64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file that were read.
    pub bytes: u64,
    /// Keys that were found.
    pub keys: u64,
}

/// Imports the file `source` into a new store at `place`; `now` tells what has expired. `progress` is
/// called for every item; when `cancel` is cancelled the import is given up at the next. Blocks for the
/// disk.
///
/// # Errors
/// The file is damaged or has what cannot be imported, or the store cannot be made, or it was cancelled.
/// Then there is none.
pub fn import(
    source: impl Read,
    place: &Path,
    now: UnixMillis,
    cancel: &CancelToken,
    progress: &mut dyn FnMut(Progress),
) -> Result<Imported, ImportError> {
    let mut reader = Reader::new(source)?;
    let store = NewStore::begin_with_content(place, CONTENT)?;
    let mut importer = Importer::new(store, now);
    loop {
        let at = reader.offset();
        let item = reader.next_item();
        if cancel.is_cancelled() {
            return Err(ImportError::Cancelled);
        }
        match item {
            Ok(Some(item)) => importer.take(&item, at)?,
            Ok(None) => break,
            Err(ReadError::Impassable { offset, what }) => {
                importer.problems.add(Problem::Impassable { offset, what });
                return Err(ImportError::Refused(importer.problems));
            }
            Err(error) => return Err(error.into()),
        }
        let (bytes, keys) = (reader.offset(), importer.imported.keys);
        progress(Progress { bytes, keys });
    }
    importer.imported.version = reader.version();
    importer.imported.is_verified = reader.is_verified();
    importer.finish()
}

struct Importer {
    store: NewStore,
    now: UnixMillis,
    seen: Seen,
    problems: Problems,
    imported: Imported,
}

/// The keys that were there.
struct Seen {
    hashers: [RandomState; 2],
    keys: HashSet<u128, RandomState>,
}

impl Seen {
    fn new() -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            keys: HashSet::default(),
        }
    }

    /// Whether it is a new one.
    fn is_new(&mut self, database: u32, key: &[u8]) -> bool {
        let hashers = self.hashers.each_ref();
        let [high, low] = hashers.map(|hasher| hasher.hash_one((database, key)));
        self.keys.insert(u128::from(high) << 64 | u128::from(low))
    }
}

impl Importer {
    fn new(store: NewStore, now: UnixMillis) -> Self {
        Self {
            store,
            now,
            seen: Seen::new(),
            problems: Problems::default(),
            imported: Imported::default(),
        }
    }

    /// Takes the item that begins at byte `at`.
    fn take(&mut self, item: &Item<'_>, at: u64) -> Result<(), NewStoreError> {
        match *item {
            Item::Entry {
                database,
                key,
                value,
                expires,
            } => {
                self.imported.keys += 1;
                self.check_key(key, at);
                let number = self.database(database, key);
                let value = self.string(database, key, value);
                let expires = self.expiry(key, expires);
                if let (Some(number), Some(value), Some(expires)) = (number, value, expires) {
                    self.put(number, key, value, expires)?;
                }
            }
            Item::Note { name, value } => self.note(name, value),
            Item::Functions(code) => self.problems.add_functions(code),
            Item::ModuleData(module) => self.problems.add(Problem::ModuleData { module }),
        }
        Ok(())
    }

    fn note(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"lua" => self.imported.scripts += 1,
            b"aof-base" | b"aof-preamble" => self.imported.is_base |= value == b"1",
            _ => {}
        }
    }

    /// A key is as commands have it: what cannot be written by one is not imported.
    fn check_key(&mut self, key: &[u8], at: u64) {
        let (bytes, limit) = (key.len() as u64, LOGGED_KEY_BYTES_MAX as u64);
        if bytes > limit {
            let key = Key::of(key);
            self.problems.add(Problem::KeyTooLong {
                key,
                at,
                bytes,
                limit,
            });
        }
    }

    /// The number of the database, if there can be one and the key is new in it.
    fn database(&mut self, database: u64, key: &[u8]) -> Option<u32> {
        let number = u32::try_from(database).ok();
        let Some(number) = number.filter(|number| *number < DATABASES_MAX) else {
            self.problems.add_elsewhere(database, key);
            return None;
        };
        if !self.seen.is_new(number, key) {
            let key = Key::of(key);
            self.problems.add(Problem::Duplicate { key });
        }
        self.imported.databases = self.imported.databases.max(number + 1);
        Some(number)
    }

    /// The value, if it is a string.
    fn string<'v>(&mut self, database: u64, key: &[u8], value: Value<'v>) -> Option<&'v [u8]> {
        match value {
            Value::String(value) => return Some(value),
            Value::TooLong { bytes } => self.problems.add(Problem::TooLong {
                key: Key::of(key),
                what: "the value",
                bytes,
                limit: STRING_BYTES_MAX as u64,
            }),
            Value::Other(kind) => self.problems.add(Problem::NotAString {
                key: Key::of(key),
                database,
                kind,
            }),
        }
        None
    }

    /// The expiry or none, if it is possible.
    fn expiry(&mut self, key: &[u8], expires: Option<i64>) -> Option<Option<UnixMillis>> {
        let Some(millis) = expires else {
            return Some(None);
        };
        self.imported.expiring += 1;
        match u64::try_from(millis) {
            Ok(at) if at > 0 => {
                let at = UnixMillis::new(at);
                self.imported.expired += u64::from(at <= self.now);
                Some(Some(at))
            }
            Ok(_) | Err(_) => {
                let key = Key::of(key);
                self.problems.add(Problem::Expiry { key, millis });
                None
            }
        }
    }

    fn put(
        &mut self,
        database: u32,
        key: &[u8],
        value: &[u8],
        expires: Option<UnixMillis>,
    ) -> Result<(), NewStoreError> {
        if !self.problems.is_empty() {
            return Ok(());
        }
        self.imported.data_bytes += (key.len() + value.len()) as u64;
        match self.store.put(database, key, value, expires) {
            Err(NewStoreError::TooLarge { bytes, limit }) => {
                self.problems.add(Problem::TooLong {
                    key: Key::of(key),
                    what: "the key and the value",
                    bytes: bytes as u64,
                    limit: limit as u64,
                });
                Ok(())
            }
            put => put,
        }
    }

    fn finish(mut self) -> Result<Imported, ImportError> {
        if !self.problems.is_empty() {
            return Err(ImportError::Refused(self.problems));
        }
        self.imported.disk_bytes = self.store.finish()?.bytes;
        Ok(self.imported)
    }
}
