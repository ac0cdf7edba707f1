//! A store written at once, from what another program has kept.
//!
//! Not for a store that runs: nobody reads or changes this one before it is whole.
//!
//! 1. Nothing stands at the store's place before all of it is durable. It is written beside it, in
//!    `DIRECTORY.unfinished`, and gets its name by one rename.
//! 2. What is at the place already is never touched: the place is free, or an empty directory, or
//!    refused.
//! 3. Given up, it removes what it has written. What a crash leaves is refused by name the next time.
//! 4. What somebody else puts in the place of the unfinished directory meanwhile is neither changed nor
//!    removed.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shardkeep_log::limits::PAYLOAD_BYTES_MAX;
use shardkeep_log::{
    Compression, Directory, DirectoryError, Log, NewDirectory, Options, Recovery, SnapshotWriter,
};

#[cfg(doc)]
use super::options::Durable;
use super::options::within_limit;
use super::recover::random_id;
use crate::effect;
use crate::limits::NEW_STORE_FRAME_BYTES;
use crate::table::UnixMillis;

/// Bytes of an effect beside its key and value, at most: the words and numbers of the command.
const FRAMING_BYTES_MAX: usize = 128;

/// What the directory is called until the store is whole: the store's name with this at its end.
const UNFINISHED: &str = ".unfinished";

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A new store was not made, or not gone on with. Nothing stands at its place, unless the error is
/// `NotDurable`.
#[derive(Debug)]
#[non_exhaustive]
pub enum NewStoreError {
    /// There is something at the place: choose another.
    Occupied {
        /// The place.
        path: PathBuf,
        /// What is there, in words.
        found: String,
    },
    /// A store that was begun at the same place is not finished: if nobody is at work on it any more,
    /// remove it.
    Leftover {
        /// Where that is.
        path: PathBuf,
    },
    /// A directory of this name cannot be made in one step: choose another.
    Impossible {
        /// The place.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The entry has not been taken; the store can be gone on with.
    TooLarge {
        /// Bytes of key and value.
        bytes: usize,
        /// Bytes that both may have.
        limit: usize,
    },
    /// The disk refuses.
    NotWritten {
        /// What was written.
        path: PathBuf,
        /// Why.
        source: Source,
    },
    /// The store is whole and at its place, but a power cut may take it away.
    NotDurable {
        /// The place.
        path: PathBuf,
        /// Why.
        source: Source,
    },
}

impl fmt::Display for NewStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Occupied { path, found } => write!(
                f,
                "{} is there already ({found}); a new store needs a place that is free or an empty \
                 directory",
                path.display()
            ),
            Self::Leftover { path } => write!(
                f,
                "{} is there: a store that is being made, or was begun and never finished; if nobody \
                 is at work on it, remove it and try again",
                path.display()
            ),
            Self::Impossible { path, why } => {
                write!(f, "no store can be made at {}: {why}", path.display())
            }
            Self::TooLarge { bytes, limit } => write!(
                f,
                "key and value have {bytes} bytes together, and {limit} is the limit"
            ),
            Self::NotWritten { path, source } => {
                write!(f, "{} cannot be written: {source}", path.display())
            }
            Self::NotDurable { path, source } => write!(
                f,
                "{} is written, but the system does not confirm its name, and a power cut may take \
                 it away: {source}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for NewStoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotWritten { source, .. } | Self::NotDurable { source, .. } => source.source(),
            Self::Occupied { .. }
            | Self::Leftover { .. }
            | Self::Impossible { .. }
            | Self::TooLarge { .. } => None,
        }
    }
}

/// A store that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewStoreReport {
    /// Entries in it.
    pub entries: u64,
    /// Bytes of its snapshot, which is all that it consists of.
    pub bytes: u64,
}

/// A store that is being made.
///
/// ```
/// use shardkeep::durable::NewStore;
/// use shardkeep::{Durable, Store};
///
/// # let place = std::env::temp_dir().join(format!("shardkeep-doc-new-store-{}", std::process::id()));
/// # let _ = std::fs::remove_dir_all(&place);
/// let mut new = NewStore::begin(&place)?;
/// new.put(0, b"k", b"v", None)?;
/// assert!(!place.exists());
/// assert_eq!(new.finish()?.entries, 1);
///
/// let store: Store<Vec<u8>, Vec<u8>> = Store::builder()
///     .durable(&place, Durable::new().must_exist())
///     .open()?;
/// assert_eq!(store.get(b"k".as_slice())?, Some(b"v".to_vec()));
/// # drop(store);
/// # std::fs::remove_dir_all(&place)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// The fields are dropped in this order: first those that write, then the directory they write to.
#[derive(Debug)]
#[must_use = "a store that is not finished is removed"]
pub struct NewStore {
    writer: SnapshotWriter<Directory>,
    log: Log<Directory>,
    /// Effects of the next frame.
    frame: Vec<u8>,
    entries: u64,
    unfinished: NewDirectory,
    place: PathBuf,
}

impl NewStore {
    /// Begins a store that will stand at `place`, which must be free or an empty directory, and not a
    /// mount point. What is above it must be there. What it holds is not noted: its first opener
    /// notes it. Blocks for the disk.
    ///
    /// # Errors
    /// The place is not to be had, or the disk refuses.
    pub fn begin(place: impl AsRef<Path>) -> Result<Self, NewStoreError> {
        Self::begin_as(place.as_ref(), None)
    }

    /// As [`NewStore::begin`], for a store that holds `content`: see [`Durable::content`].
    ///
    /// # Errors
    /// As for [`NewStore::begin`].
    pub fn begin_with_content(
        place: impl AsRef<Path>,
        content: impl Into<String>,
    ) -> Result<Self, NewStoreError> {
        Self::begin_as(place.as_ref(), Some(within_limit(content.into())))
    }

    pub(super) fn begin_as(place: &Path, content: Option<String>) -> Result<Self, NewStoreError> {
        let place = find(place)?;
        let unfinished = make_beside(&place)?;
        let options = Options {
            create: Some(random_id()),
            ahead_bytes: 0,
            content,
            ..Options::new()
        };
        let begin = || -> Result<_, Source> {
            let directory = Arc::clone(unfinished.directory());
            let (mut log, _) = Recovery::open(directory, options)?.into_log()?;
            let writer = log.snapshot(Compression::None)?;
            Ok((log, writer))
        };
        let (log, writer) = begin().map_err(not_written(&place))?;
        Ok(Self {
            writer,
            log,
            frame: Vec::new(),
            entries: 0,
            unfinished,
            place,
        })
    }

    /// Gives a key of a database a value, and the moment of its expiry if it has one. The order counts, as in a
    /// log. Blocks for the disk at times.
    ///
    /// # Errors
    /// The entry is too large, or the disk refuses; then drop this.
    pub fn put(
        &mut self,
        database: u32,
        key: &[u8],
        value: &[u8],
        expires: Option<UnixMillis>,
    ) -> Result<(), NewStoreError> {
        let (bytes, limit) = (key.len() + value.len(), Self::ENTRY_BYTES_MAX);
        if bytes > limit {
            return Err(NewStoreError::TooLarge { bytes, limit });
        }
        if self.frame.len() + bytes > NEW_STORE_FRAME_BYTES {
            self.write()?;
        }
        effect::set(&mut self.frame, database, key, value, expires);
        self.entries += 1;
        Ok(())
    }

    /// Adds whole effects, of entries that are not counted here.
    pub(super) fn put_effects(&mut self, effects: &[u8]) -> Result<(), NewStoreError> {
        for part in effect::parts(effects, PAYLOAD_BYTES_MAX) {
            if self.frame.len() + part.len() > NEW_STORE_FRAME_BYTES {
                self.write()?;
            }
            self.frame.extend_from_slice(part);
        }
        Ok(())
    }

    /// As [`NewStore::finish`], with entries that were added as effects.
    pub(super) fn finish_with(mut self, entries: u64) -> Result<NewStoreReport, NewStoreError> {
        self.entries += entries;
        self.finish()
    }

    /// Bytes that a key and its value may have together.
    pub const ENTRY_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - FRAMING_BYTES_MAX;

    /// Makes all of it durable, and puts it at its place. Blocks for the disk.
    ///
    /// # Errors
    /// The disk refuses, or somebody has put something at the place meanwhile.
    pub fn finish(mut self) -> Result<NewStoreReport, NewStoreError> {
        self.write()?;
        let Self {
            writer,
            mut log,
            entries,
            mut unfinished,
            place,
            frame: _,
        } = self;
        let finish = || -> Result<_, Source> {
            let finished = writer.finish(entries, log.appended())?;
            let bytes = finished.bytes();
            let synced = log.sync()?;
            log.adopt(finished, synced)?;
            log.close()?;
            unfinished.rename(place.file_name().unwrap_or_default())?;
            Ok(bytes)
        };
        let bytes = finish().map_err(not_written(&place))?;
        if let Err(error) = unfinished.sync_name() {
            let source = error.into();
            return Err(NewStoreError::NotDurable {
                path: place,
                source,
            });
        }
        Ok(NewStoreReport { entries, bytes })
    }

    fn write(&mut self) -> Result<(), NewStoreError> {
        if !self.frame.is_empty() {
            let written = self.writer.frame(&self.frame);
            written.map_err(|error| not_written(&self.place)(error.into()))?;
            self.frame.clear();
            self.frame.shrink_to(2 * NEW_STORE_FRAME_BYTES);
        }
        Ok(())
    }
}

fn not_written(place: &Path) -> impl FnOnce(Source) -> NewStoreError {
    let path = place.to_owned();
    move |source| NewStoreError::NotWritten { path, source }
}

/// Makes the directory that is not a store yet.
fn make_beside(place: &Path) -> Result<NewDirectory, NewStoreError> {
    let mut path = OsString::from(place);
    path.push(UNFINISHED);
    let path = PathBuf::from(path);
    match NewDirectory::make(&path) {
        Ok(made) => Ok(made),
        Err(DirectoryError::Refused { source, .. })
            if source.kind() == io::ErrorKind::AlreadyExists =>
        {
            Err(NewStoreError::Leftover { path })
        }
        Err(DirectoryError::Refused { source, .. }) => Err(not_written(&path)(source.into())),
        Err(error) => Err(not_written(&path)(error.into())),
    }
}

/// The place without links and dots, if a store can be made there.
fn find(place: &Path) -> Result<PathBuf, NewStoreError> {
    let refused = |error: io::Error| not_written(place)(error.into());
    let impossible = |why| {
        let path = place.to_owned();
        NewStoreError::Impossible { path, why }
    };
    let there = match fs::symlink_metadata(place) {
        Ok(_) => {
            // Follows links; one that leads nowhere is an error.
            let path = fs::canonicalize(place).map_err(refused)?;
            let metadata = fs::metadata(&path).map_err(refused)?;
            Some((path, metadata))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(refused(error)),
    };
    let Some((path, metadata)) = there else {
        let name = place.file_name().ok_or(impossible("it has no name"))?;
        let above = match place.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            Some(_) | None => Path::new("."),
        };
        let above = fs::canonicalize(above).map_err(refused)?;
        return Ok(above.join(name));
    };
    if let Some(found) = found_in(&path, &metadata).map_err(refused)? {
        return Err(NewStoreError::Occupied { path, found });
    }
    let above = path.parent().ok_or(impossible("it is the root"))?;
    if fs::metadata(above).map_err(refused)?.dev() != metadata.dev() {
        return Err(impossible(
            "it is a mount point, which cannot be replaced; choose a directory below it",
        ));
    }
    Ok(path)
}

/// What keeps a store from being made here.
fn found_in(path: &Path, metadata: &Metadata) -> io::Result<Option<String>> {
    if !metadata.is_dir() {
        return Ok(Some("it is no directory".to_owned()));
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name());
    }
    let found = names.iter().min();
    Ok(found.map(|name| {
        let name = name.to_string_lossy();
        match names.len() {
            1 => format!("with {name:?} in it"),
            all => format!("with {name:?} and {} more in it", all - 1),
        }
    }))
}
