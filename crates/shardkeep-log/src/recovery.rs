//! From a directory to a log that can be written: the snapshot, the records behind it, the tail.
//!
//! Not an interpreter: what payloads mean is the caller's business, and so is reading frames in
//! parallel.
//!
//! 1. Nothing is changed before all of the log has been read and found sound: see `into_log`.
//! 2. Every step of `into_log` may be the last before a crash; the next recovery then does the rest.
//! 3. What was read from the log is durable before the log is handed out, even if an earlier sync has
//!    failed: records not proven to be synced are written again, since the system may believe that it
//!    has written what it has lost.
//! 4. Bytes that are cut off can never stand behind new ones: the cut is synced first. Before that they are
//!    laid aside, durable, under a name of their own.
//! 5. Nothing follows from the manifest that was read before its name is durable.
//! 6. Before the log is handed out, a large record that a crash has cut short is marked as abandoned: nothing
//!    stands behind its parts that could be taken for the rest.
//! 7. The present boot is noted only when all of that is durable.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::error::{DiskError, Operation};
use crate::fault::{Fault, is_planted};
use crate::format::{BootId, FILE_HEADER_BYTES, Fields, FileKind, Lsn, StoreId, VERSION};
use crate::limits::{SEGMENT_BYTES_MIN, WINDOW_BYTES};
use crate::log::{Active, Found, Log};
use crate::manifest::{Manifest, sync_directory};
use crate::names::{
    MANIFEST, Name, segment_name, segment_temporary_name, snapshot_name, torn_name,
};
use crate::open_error::OpenError;
use crate::options::Options;
use crate::records::Records;
use crate::repair::copy;
use crate::reserve::make_room_to_open;
use crate::segment::{Cursor, Step, open_file, read_header};
use crate::snapshot::SnapshotReader;
use crate::storage::{File, Storage, is_no_space, read_exact_at, write_all_at};
use crate::walk::{Known, Tail, Walk};
use crate::write::{NotBegun, begin_segment};

/// A record of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// What was appended.
    pub payload: &'a [u8],
}

/// How much of a recovery is done, in bytes of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes to read in all.
    pub total: u64,
}

/// What a recovery did that somebody may want to know. The store is sound.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Warning {
    /// The log ended with a write that a crash has cut short. It was never proven to be synced, and was cut
    /// off.
    TornTail {
        /// The segment.
        file: String,
        /// Where it ends now.
        offset: u64,
        /// Bytes that were cut off.
        bytes: u64,
        /// Whole records among them, behind what is missing.
        records: u64,
        /// The file in which they are kept; `None` where there was no space for it, and no whole record.
        kept: Option<String>,
        /// The number that the next record gets.
        next: Lsn,
    },
    /// The log ended with some parts of a large record, whose last part a crash has kept from being written. It
    /// was never acknowledged, and is marked as abandoned.
    Unfinished {
        /// The first part.
        first: Lsn,
        /// The last that was there.
        last: Lsn,
    },
    /// A file that is not needed any more could not be removed.
    NotRemoved(DiskError),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail {
                file,
                offset,
                bytes,
                records,
                kept,
                next,
            } => {
                let are = match records {
                    1 => "record is",
                    _ => "records are",
                };
                write!(
                    f,
                    "{file} ended with {bytes} bytes of a write that a crash has cut short, in which {records} \
                     whole {are} left; they were cut off at offset {offset}, where record {next} begins, and "
                )?;
                match kept {
                    Some(kept) => write!(f, "are kept as {kept}"),
                    None => write!(f, "are gone, since there was no space to keep them"),
                }
            }
            Self::Unfinished { first, last } => write!(
                f,
                "the log ended with records {first} to {last}, parts of a larger one that a crash has cut short; \
                 they are passed over"
            ),
            Self::NotRemoved(error) => write!(f, "a file that is not needed stays: {error}"),
        }
    }
}

/// A store that is being read. In this order: frames of the snapshot, if there is one; records; the log.
///
/// ```
/// use std::sync::Arc;
/// use shardkeep_log::{Directory, FrameBuffer, Options, Recovery, StoreId};
/// # let path = std::env::temp_dir().join(format!("shardkeep-log-doc-recovery-{}", std::process::id()));
/// let directory = Arc::new(Directory::create(&path)?);
/// let create = Some(StoreId::new([7; 16])); // from the system's source of randomness
/// let mut recovery = Recovery::open(directory, Options { create, ..Options::new() })?;
/// if let Some(snapshot) = recovery.snapshot() {
///     let mut buffer = FrameBuffer::default();
///     for index in 0..snapshot.frames() {
///         let frame = snapshot.read_frame(index, &mut buffer)?;
///         // ... the state as it was, from any number of threads
/// #       let _ = frame;
///     }
/// }
/// while let Some(record) = recovery.next_record()? {
///     // ... what happened since, in order
/// #   let _ = record;
/// }
/// let (mut log, warnings) = recovery.into_log()?;
/// assert!(warnings.is_empty());
/// log.append(b"SET k v")?;
/// log.write()?;
/// assert!(log.sync()?.covers(log.appended()));
/// # std::fs::remove_dir_all(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Recovery<S: Storage> {
    storage: Arc<S>,
    options: Options,
    /// `None`: the store is yet to be made.
    manifest: Option<Manifest>,
    snapshot: Option<SnapshotReader<S>>,
    records: Records<S>,
    leftovers: Vec<String>,
    total: u64,
    boot: Option<BootId>,
}

impl<S: Storage> Recovery<S> {
    /// Looks at what is there. Reads the manifest, the headers of all files and the heads of the newest
    /// snapshot's frames; changes nothing. Blocks for the disk.
    ///
    /// # Errors
    /// What is there is not a whole store, or a setting is out of bounds.
    pub fn open(storage: Arc<S>, options: Options) -> Result<Self, OpenError> {
        options.verify()?;
        let names = names(&*storage)?;
        let Some(manifest) = Manifest::read(&*storage)? else {
            return Self::make(storage, options, &names);
        };
        verify_content(&manifest, &options)?;
        let leftovers = leftovers(&*storage, &manifest, &names)?;
        let mut lengths = Vec::new();
        for first in &manifest.segments {
            lengths.push(header_of_segment(&*storage, manifest.store, *first)?);
        }
        let newest = manifest.snapshots.last().copied();
        let snapshot = newest
            .map(|lsn| SnapshotReader::open(&*storage, manifest.store, lsn))
            .transpose()?;
        let covered = newest.unwrap_or(Lsn::ZERO);
        let needs = snapshot.as_ref().map_or(Lsn::ZERO, SnapshotReader::needs);
        let boot = storage.boot();
        let walk = Walk::new(
            Arc::clone(&storage),
            manifest.store,
            &manifest.segments,
            covered.next(),
            None,
            Known {
                synced: manifest.synced.max(needs),
                in_this_boot: boot.is_some() && manifest.fields.boot == boot,
            },
        );
        let to_read = lengths.iter().rev().take(walk.segments().count());
        let of_snapshot = snapshot.as_ref().map_or(0, SnapshotReader::bytes);
        Ok(Self {
            total: to_read.sum::<u64>() + of_snapshot,
            storage,
            options,
            manifest: Some(manifest),
            snapshot,
            records: Records::new(walk, covered),
            leftovers,
            boot,
        })
    }

    /// A store that is not there yet.
    fn make(
        storage: Arc<S>,
        options: Options,
        names: &BTreeSet<String>,
    ) -> Result<Self, OpenError> {
        let (mut leftovers, mut of_a_store) = (Vec::new(), None);
        for name in names {
            match Name::of(name) {
                Name::Temporary if name.starts_with(MANIFEST) => leftovers.push(name.clone()),
                Name::Foreign => {}
                Name::Manifest
                | Name::Segment(_)
                | Name::Snapshot(_)
                | Name::Reserve
                | Name::Temporary
                | Name::Damaged
                | Name::Torn => of_a_store = Some(name.clone()),
            }
        }
        if let Some(found) = of_a_store {
            return Err(OpenError::ManifestMissing { found });
        }
        let store = options.create.ok_or(OpenError::NotFound)?;
        let walk = Walk::new(
            Arc::clone(&storage),
            store,
            &[],
            Lsn::ZERO.next(),
            None,
            Known::default(),
        );
        Ok(Self {
            boot: storage.boot(),
            storage,
            options,
            manifest: None,
            snapshot: None,
            records: Records::new(walk, Lsn::ZERO),
            leftovers,
            total: 0,
        })
    }

    /// The newest snapshot, if there is one. Its frames can be read from several threads at once.
    #[must_use]
    pub fn snapshot(&self) -> Option<&SnapshotReader<S>> {
        self.snapshot.as_ref()
    }

    /// The next record that the snapshot does not cover, in order; `None` after the last. A large one comes in
    /// one piece, under the number of its last part, and not at all where that is missing; cuts are passed
    /// over. Memory is one window, or the largest record and one of its parts. Blocks for the disk.
    ///
    /// # Errors
    /// The log is damaged, or the disk refuses. What was returned before must not be used as a store.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, OpenError> {
        self.records.next()
    }

    /// The last record, and the bytes of a torn tail, once all records have been read.
    pub(crate) fn found(&self) -> (Lsn, u64) {
        let torn_bytes = self.records.walk.tail().map_or(0, |tail| tail.bytes);
        (self.records.walk.next_lsn().previous(), torn_bytes)
    }

    /// The first part of the large record in which the log ends, once all records have been read.
    pub(crate) fn unfinished(&self) -> Option<Lsn> {
        self.records.unfinished()
    }

    /// How much was read so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let of_snapshot = self.snapshot.as_ref().map_or(0, SnapshotReader::bytes_read);
        Progress {
            done: (of_snapshot + self.records.walk.bytes()).min(self.total),
            total: self.total,
        }
    }

    /// No segment grows to what the system lets a file have: where one may not grow, nothing can be written
    /// that would make room.
    fn keep_segments_allowed(&mut self) {
        let largest = self
            .storage
            .space()
            .map_or(u64::MAX, |space| space.largest_file);
        let bytes = self.options.segment_bytes.min(largest / 2);
        self.options.segment_bytes = bytes.max(SEGMENT_BYTES_MIN);
    }

    /// Reads what is left, sets right what a crash has left behind, and hands out the log. Now the disk is
    /// written, for the first time. Blocks for the disk.
    ///
    /// # Errors
    /// The log is damaged, or the disk refuses. Recovery can be tried again.
    pub fn into_log(mut self) -> Result<(Log<S>, Vec<Warning>), OpenError> {
        while self.records.next()?.is_some() {}
        // Where others are at work too, nothing is written at all.
        if let Some((name, file)) = self.records.walk.file() {
            self.storage
                .look(name, file)
                .map_err(DiskError::displaced)?;
        }
        self.keep_segments_allowed();
        let mut warnings = Vec::new();
        let given_up = make_room_to_open(&*self.storage);
        let mut manifest = match self.manifest.take() {
            Some(manifest) => {
                // A process that was killed may have given it its name and not synced that: a power cut
                // must not bring the older one back once something follows from this one.
                sync_directory(&*self.storage, MANIFEST)?;
                manifest
            }
            None => {
                let store = self.options.create.ok_or(OpenError::NotFound)?;
                let manifest = Manifest::new(store, self.fields(None));
                manifest
                    .replace(&*self.storage, &|| {})
                    .map_err(|refused| refused.error)?;
                manifest
            }
        };
        if is_planted(Fault::BootNotedEarly) {
            self.note(&mut manifest)?;
        }
        // First of all: one of them may have the name of what is to be begun.
        for name in &self.leftovers {
            if let Err(error) = self.storage.remove(name)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                warnings.push(Warning::NotRemoved(DiskError::new(
                    Operation::Remove,
                    name,
                    error,
                )));
            }
        }
        let active = match manifest.segments.last() {
            Some(first) => self.settle(manifest.store, *first, &mut warnings)?,
            None => self.begin(&mut manifest)?,
        };
        sync_directory(&*self.storage, MANIFEST)?;
        self.note(&mut manifest)?;
        let fields = self.fields(Some(&manifest));
        let mut log = Log::new(Found {
            storage: self.storage,
            options: self.options,
            manifest,
            fields,
            active,
            last: self.records.walk.next_lsn().previous(),
            last_cut: self.records.last_cut(),
            large: self.records.take_large(),
        });
        log.raise()?;
        log.open_reserve(given_up)?;
        if let Some(first) = self.records.unfinished() {
            warnings.push(Warning::Unfinished {
                first,
                last: log.appended(),
            });
            log.abandon(first)?;
        }
        log.mark()?;
        Ok((log, warnings))
    }

    /// What manifests say from now on.
    fn fields(&self, manifest: Option<&Manifest>) -> Fields {
        let known = manifest.and_then(|manifest| manifest.fields.content.clone());
        Fields {
            boot: self.boot,
            content: self.options.content.clone().or(known),
        }
    }

    /// Notes the boot and the content, and that all that was found is durable, unless that is known. Where
    /// there is no space, the next manifest does.
    fn note(&self, manifest: &mut Manifest) -> Result<(), OpenError> {
        let noted = Manifest {
            version: VERSION,
            fields: self.fields(Some(manifest)),
            synced: self.records.walk.next_lsn().previous(),
            ..manifest.clone()
        };
        if manifest.version == noted.version && manifest.fields == noted.fields {
            return Ok(());
        }
        match noted.replace(&*self.storage, &|| {}) {
            Ok(()) => *manifest = noted,
            Err(refused) if refused.is_retryable => {}
            Err(refused) => return Err(refused.error.into()),
        }
        Ok(())
    }

    /// The first segment of a store.
    fn begin(&self, manifest: &mut Manifest) -> Result<Active<S::File>, OpenError> {
        let first = self.records.walk.next_lsn();
        let active =
            begin_segment(&*self.storage, manifest.store, first, &|| {}).map_err(|error| {
                match error {
                    NotBegun::NoSpace(error) | NotBegun::Failed(error) => error,
                }
            })?;
        manifest.segments.push(first);
        manifest.fields = self.fields(Some(manifest));
        manifest
            .replace(&*self.storage, &|| {})
            .map_err(|refused| refused.error)?;
        manifest.version = VERSION;
        Ok(active)
    }

    /// Makes the last segment durable as it was read, and ready for more.
    fn settle(
        &mut self,
        store: StoreId,
        first: Lsn,
        warnings: &mut Vec<Warning>,
    ) -> Result<Active<S::File>, OpenError> {
        let name = segment_name(first);
        let disk = |operation, error| DiskError::new(operation, &name, error);
        let mut cursor = Cursor::open(&*self.storage, store, first, u64::MAX)?;
        let (last, proven) = (
            self.records.walk.next_lsn().previous(),
            self.records.walk.synced(),
        );
        let (mut lsn, mut unproven) = (first, None);
        while lsn <= last {
            if lsn > proven {
                unproven.get_or_insert(cursor.at());
            }
            match cursor.step(lsn)? {
                Step::Record(..) => lsn = lsn.next(),
                // It was there a moment ago.
                Step::End | Step::Mark(_) | Step::Invalid(_) => {
                    let error = std::io::ErrorKind::InvalidData.into();
                    return Err(disk(Operation::Read, error).into());
                }
            }
        }
        let (end, length, begins) = (cursor.at(), cursor.file_bytes(), cursor.begins());
        let version = cursor.version();
        let file = cursor.into_file();
        if !is_planted(Fault::TailNotWrittenAgain) {
            write_again(&file, &name, unproven.unwrap_or(end), end)?;
        }
        if let Some(tail) = self.records.walk.tail().filter(|tail| tail.bytes > 0) {
            let records = self.records.walk.records_in_tail()?;
            warnings.push(Warning::TornTail {
                kept: lay_aside(&*self.storage, &file, first, tail, records)?,
                file: name.clone(),
                offset: tail.offset,
                bytes: tail.bytes,
                records,
                next: last.next(),
            });
        }
        // A cut whose sync has failed may not be on the disk although the system says so: it is made again.
        if length == end {
            match file.set_len(end + 1) {
                Err(error) if !is_no_space(&error) => {
                    return Err(disk(Operation::Cut, error).into());
                }
                Ok(()) | Err(_) => {}
            }
        }
        file.set_len(end)
            .map_err(|error| disk(Operation::Cut, error))?;
        if !is_planted(Fault::CutNotSynced) {
            crate::manifest::sync(&file, &name)?;
        }
        Ok(Active {
            name,
            file: Arc::new(file),
            version,
            begins,
            end,
            sized: end,
        })
    }
}

/// Refuses a store that holds something else than `options` say.
fn verify_content(manifest: &Manifest, options: &Options) -> Result<(), OpenError> {
    match (&manifest.fields.content, &options.content) {
        (Some(found), Some(expected)) if found != expected && !options.accepts_other_content => {
            Err(OpenError::OtherContent {
                found: found.clone(),
                expected: expected.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// Keeps a torn tail of `file` under a name of its own, which it returns. Where there is no space, a tail
/// without a whole record is not worth refusing the store for.
fn lay_aside<S: Storage>(
    storage: &S,
    file: &S::File,
    first: Lsn,
    tail: Tail,
    records: u64,
) -> Result<Option<String>, OpenError> {
    let names = names(storage)?;
    let is_free = |number: &u64| !names.contains(&torn_name(first, *number));
    let number = (1..).find(is_free).unwrap_or(u64::MAX);
    let (aside, temporary) = (torn_name(first, number), segment_temporary_name(first));
    let bytes = tail.offset..tail.offset + tail.bytes;
    if let Err(error) = copy(storage, file, &segment_name(first), &temporary, bytes) {
        // Recovery removes it, if this does not.
        drop(storage.remove(&temporary));
        return match is_no_space(&error.error) && records == 0 {
            true => Ok(None),
            false => Err(error.into()),
        };
    }
    storage
        .rename(&temporary, &aside)
        .map_err(|error| DiskError::new(Operation::Rename, &temporary, error))?;
    sync_directory(storage, &aside)?;
    Ok(Some(aside))
}

/// Writes the bytes of `file` from `at` to `end` as they are, so that a sync has something to do.
fn write_again(file: &impl File, name: &str, mut at: u64, end: u64) -> Result<(), DiskError> {
    let mut window = vec![0; WINDOW_BYTES.min((end - at) as usize)];
    while at < end {
        let piece = window.len().min((end - at) as usize);
        read_exact_at(file, &mut window[..piece], at)
            .map_err(|error| DiskError::new(Operation::Read, name, error))?;
        write_all_at(file, &window[..piece], at)
            .map_err(|unwritten| DiskError::new(Operation::Write, name, unwritten.error))?;
        at += piece as u64;
    }
    Ok(())
}

/// The names in the directory.
pub(crate) fn names(storage: &impl Storage) -> Result<BTreeSet<String>, OpenError> {
    let names = storage
        .list()
        .map_err(|error| DiskError::new(Operation::List, MANIFEST, error))?;
    Ok(names.into_iter().collect())
}

/// Verifies the header of a segment, and returns the bytes of its file.
pub(crate) fn header_of_segment<S: Storage>(
    storage: &S,
    store: StoreId,
    first: Lsn,
) -> Result<u64, OpenError> {
    let name = segment_name(first);
    let (file, _) = open_file(storage, &name, FileKind::Segment, store, first)?;
    Ok(file
        .len()
        .map_err(|error| DiskError::new(Operation::Read, &name, error))?)
}

/// The files that are of no use any more; refuses where the manifest does not fit what is there.
pub(crate) fn leftovers(
    storage: &impl Storage,
    manifest: &Manifest,
    names: &BTreeSet<String>,
) -> Result<Vec<String>, OpenError> {
    let segments = manifest.segments.iter().map(|lsn| segment_name(*lsn));
    let snapshots = manifest.snapshots.iter().map(|lsn| snapshot_name(*lsn));
    let listed: BTreeSet<String> = segments.chain(snapshots).collect();
    if let Some(file) = listed.iter().find(|file| !names.contains(*file)) {
        let file = file.clone();
        return Err(OpenError::Missing { file });
    }
    let mut leftovers = Vec::new();
    for name in names.difference(&listed) {
        match Name::of(name) {
            Name::Manifest | Name::Reserve | Name::Damaged | Name::Torn | Name::Foreign => {}
            Name::Temporary => leftovers.push(name.clone()),
            Name::Snapshot(_) => {
                is_own(storage, name, FileKind::Snapshot, manifest.store)?;
                leftovers.push(name.clone());
            }
            Name::Segment(first) => {
                is_own(storage, name, FileKind::Segment, manifest.store)?;
                let is_old = manifest
                    .segments
                    .first()
                    .is_some_and(|oldest| first < *oldest);
                if !is_old && holds_records(storage, name)? {
                    let file = name.clone();
                    return Err(OpenError::Unlisted { file });
                }
                leftovers.push(name.clone());
            }
        }
    }
    Ok(leftovers)
}

/// Refuses a file that says that it belongs to another store: it is not for this one to remove it.
fn is_own(
    storage: &impl Storage,
    name: &str,
    kind: FileKind,
    store: StoreId,
) -> Result<(), OpenError> {
    let file = storage
        .open(name)
        .map_err(|error| DiskError::new(Operation::Open, name, error))?;
    match read_header(&file, name, kind) {
        Ok((header, _)) if header.store != store => Err(OpenError::Foreign {
            file: name.to_owned(),
            found: header.store,
            expected: store,
        }),
        // What cannot be read is worth nothing to anybody.
        Ok(_)
        | Err(
            OpenError::Damaged { .. }
            | OpenError::UnknownVersion { .. }
            | OpenError::UnknownField { .. },
        ) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a segment is more than a header of any version. (One that was begun and not listed never is.)
fn holds_records(storage: &impl Storage, name: &str) -> Result<bool, OpenError> {
    let disk = |operation, error| DiskError::new(operation, name, error);
    let file = storage
        .open(name)
        .map_err(|error| disk(Operation::Open, error))?;
    let bytes = file.len().map_err(|error| disk(Operation::Read, error))?;
    Ok(bytes > FILE_HEADER_BYTES as u64)
}

impl<S: Storage> fmt::Debug for Recovery<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery")
            .field("snapshot", &self.snapshot)
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}
