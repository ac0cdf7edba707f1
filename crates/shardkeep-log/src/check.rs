//! What is in a directory, and whether it is a store that opens. Changes nothing.
//!
//! 1. The verdict is that of recovery itself, which has read every frame and every record.
//! 2. Each file is also read on its own, so that all damage is shown and not the first alone.

use std::fmt;
use std::sync::Arc;

use crate::error::{DiskError, Operation};
use crate::format::{FileKind, HEAD_BYTES, Lsn, StoreId};
use crate::manifest::Manifest;
use crate::names::{Name, segment_name};
use crate::open_error::{Damage, OpenError};
use crate::options::Options;
use crate::recovery::{Recovery, names};
use crate::segment::{Cursor, Step, read_header};
use crate::sequence::Sequence;
use crate::snapshot::{FrameBuffer, SnapshotReader};
use crate::storage::{File, Storage};

/// What a file holds, as far as it can be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Content {
    /// What belongs to the store.
    Manifest {
        /// How many snapshots.
        snapshots: usize,
        /// How many segments.
        segments: usize,
        /// The newest record known to be synced when it was written.
        synced: Lsn,
    },
    /// Records.
    Segment {
        /// The first.
        first: Lsn,
        /// The last that can be read; the one before the first when there is none.
        last: Lsn,
        /// Bytes of header and records.
        bytes: u64,
        /// Records behind the damage whose heads are whole.
        behind: u64,
    },
    /// A snapshot.
    Snapshot {
        /// The record at which it began.
        lsn: Lsn,
        /// The newest record it may contain.
        needs: Lsn,
        /// How many frames.
        frames: usize,
        /// How many entries.
        entries: u64,
    },
    /// Something that was being written, and is worth nothing.
    Temporary,
    /// What a repair has laid aside.
    LaidAside,
    /// A torn tail that an opening has laid aside.
    Torn,
    /// Nothing that can be read at all.
    Unreadable,
}

/// One file.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it holds.
    pub content: Content,
    /// Whether the manifest knows it.
    pub is_listed: bool,
    /// What is wrong with it. In the last segment this may be a torn tail, which is no damage.
    pub fault: Option<OpenError>,
}

/// What there is.
#[derive(Clone, Debug)]
pub struct Report {
    /// The store, if the manifest can be read.
    pub store: Option<StoreId>,
    /// All files of a store, by name.
    pub files: Vec<Checked>,
    /// The last record, if the store opens; else why it does not.
    pub verdict: Result<Lsn, OpenError>,
    /// Bytes of a torn tail, which the next opening lays aside.
    pub torn_bytes: u64,
    /// The first part of a large record in which the log ends, which the next opening marks as abandoned.
    pub unfinished: Option<Lsn>,
}

impl Report {
    /// Whether the store opens.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.verdict.is_ok()
    }
}

/// Looks at everything. Reads all of it and writes nothing; blocks for the disk.
///
/// # Errors
/// The names in the directory cannot be read.
pub fn check<S: Storage>(storage: &Arc<S>) -> Result<Report, OpenError> {
    let names = names(&**storage)?;
    let manifest = Manifest::read(&**storage).ok().flatten();
    let mut files = Vec::new();
    for name in &names {
        if let Some(mut checked) = look(&**storage, name) {
            checked.is_listed = match (Name::of(name), &manifest) {
                (Name::Manifest, _) => true,
                (Name::Segment(first), Some(manifest)) => manifest.segments.contains(&first),
                (Name::Snapshot(lsn), Some(manifest)) => manifest.snapshots.contains(&lsn),
                (Name::Segment(_) | Name::Snapshot(_), None)
                | (
                    Name::Reserve | Name::Temporary | Name::Damaged | Name::Torn | Name::Foreign,
                    _,
                ) => false,
            };
            files.push(checked);
        }
    }
    let sound = try_to_open(storage);
    Ok(Report {
        store: manifest.map(|manifest| manifest.store),
        files,
        torn_bytes: sound.as_ref().map_or(0, |sound| sound.torn_bytes),
        unfinished: sound.as_ref().ok().and_then(|sound| sound.unfinished),
        verdict: sound.map(|sound| sound.last),
    })
}

/// What recovery says of a store that opens.
pub(crate) struct Sound {
    pub(crate) last: Lsn,
    torn_bytes: u64,
    /// The first part of a large record in which the log ends.
    pub(crate) unfinished: Option<Lsn>,
}

/// All of a recovery that does not write.
pub(crate) fn try_to_open<S: Storage>(storage: &Arc<S>) -> Result<Sound, OpenError> {
    let mut recovery = Recovery::<S>::open(Arc::clone(storage), Options::new())?;
    if let Some(snapshot) = recovery.snapshot() {
        read_frames(snapshot)?;
    }
    while recovery.next_record()?.is_some() {}
    let (last, torn_bytes) = recovery.found();
    Ok(Sound {
        last,
        torn_bytes,
        unfinished: recovery.unfinished(),
    })
}

/// Verifies every frame.
pub(crate) fn read_frames<S: Storage>(snapshot: &SnapshotReader<S>) -> Result<(), OpenError> {
    let mut buffer = FrameBuffer::default();
    for index in 0..snapshot.frames() {
        snapshot.read_frame(index, &mut buffer)?;
    }
    Ok(())
}

/// One file on its own; `None` if it is not of a store.
fn look<S: Storage>(storage: &S, name: &str) -> Option<Checked> {
    let bytes = storage.open(name).and_then(|file| file.len());
    let looked = match Name::of(name) {
        Name::Foreign | Name::Reserve => return None,
        Name::Temporary => Ok((Content::Temporary, None)),
        Name::Damaged => Ok((Content::LaidAside, None)),
        Name::Torn => Ok((Content::Torn, None)),
        Name::Manifest => look_at_manifest(storage),
        Name::Segment(first) => look_at_segment(storage, first),
        Name::Snapshot(lsn) => look_at_snapshot(storage, name, lsn),
    };
    let looked = match &bytes {
        Ok(_) => looked,
        Err(error) => {
            let error = std::io::Error::from(error.kind());
            Err(DiskError::new(Operation::Open, name, error).into())
        }
    };
    let (content, fault) = looked.unwrap_or_else(|error| (Content::Unreadable, Some(error)));
    Some(Checked {
        name: name.to_owned(),
        bytes: bytes.unwrap_or(0),
        content,
        is_listed: false,
        fault,
    })
}

type Looked = Result<(Content, Option<OpenError>), OpenError>;

fn look_at_manifest(storage: &impl Storage) -> Looked {
    let manifest = Manifest::read(storage)?.ok_or(OpenError::NotFound)?;
    let content = Content::Manifest {
        snapshots: manifest.snapshots.len(),
        segments: manifest.segments.len(),
        synced: manifest.synced,
    };
    Ok((content, None))
}

fn look_at_segment<S: Storage>(storage: &S, first: Lsn) -> Looked {
    let scan = scan_segment(storage, first)?;
    let content = Content::Segment {
        first,
        last: scan.last,
        bytes: scan.end,
        behind: scan.behind,
    };
    let name = segment_name(first);
    let fault = scan
        .damage
        .map(|damage| OpenError::damaged(&name, scan.end, damage));
    Ok((content, fault))
}

fn look_at_snapshot<S: Storage>(storage: &S, name: &str, lsn: Lsn) -> Looked {
    let file = open(storage, name)?;
    let store = read_header(&file, name, FileKind::Snapshot)?.0.store;
    let snapshot = SnapshotReader::open(storage, store, lsn)?;
    let content = Content::Snapshot {
        lsn,
        needs: snapshot.needs(),
        frames: snapshot.frames(),
        entries: snapshot.entries(),
    };
    Ok((content, read_frames(&snapshot).err()))
}

pub(crate) fn open<S: Storage>(storage: &S, name: &str) -> Result<S::File, DiskError> {
    storage
        .open(name)
        .map_err(|error| DiskError::new(Operation::Open, name, error))
}

/// A segment read as far as it goes.
pub(crate) struct Scan {
    pub(crate) store: StoreId,
    /// The last record that can be read.
    pub(crate) last: Lsn,
    /// Where it ends.
    pub(crate) end: u64,
    /// Why it goes no further.
    pub(crate) damage: Option<Damage>,
    /// Whole heads behind the damage.
    pub(crate) behind: u64,
    /// The newest record that anything here speaks of.
    pub(crate) newest: Lsn,
    /// Whether its first record goes on with a large one.
    pub(crate) continues: bool,
    /// How it ends, by what stands in it alone.
    pub(crate) sequence: Sequence,
}

pub(crate) fn scan_segment<S: Storage>(storage: &S, first: Lsn) -> Result<Scan, OpenError> {
    let name = segment_name(first);
    let store = read_header(&open(storage, &name)?, &name, FileKind::Segment)?
        .0
        .store;
    let mut cursor = Cursor::open(storage, store, first, u64::MAX)?;
    let (mut next, mut of_mark) = (first, 0);
    let (mut sequence, mut continues) = (Sequence::at_segment(first), false);
    let damage = loop {
        match cursor.step(next)? {
            Step::Record(head, _) => {
                let (lsn, kind) = (next, head.kind);
                let Some(behind) = sequence.behind(kind, lsn) else {
                    cursor.step_back(&head);
                    break Some(Damage::OutOfSequence { lsn, kind });
                };
                continues |= next == first && Sequence::continues(kind);
                sequence = behind;
                next = next.next();
            }
            Step::End => break None,
            Step::Mark(_) => {
                of_mark = HEAD_BYTES as u64;
                break Some(Damage::Record { lsn: next });
            }
            Step::Invalid(damage) => break Some(damage),
        }
    };
    let survey = cursor.survey(next)?;
    let last = next.previous();
    Ok(Scan {
        store,
        last,
        end: cursor.at(),
        // A mark, and zeros that were written ahead, are as it should be.
        damage: damage.filter(|_| survey.bytes > of_mark),
        behind: survey.records,
        newest: last.max(survey.last).max(survey.synced),
        continues,
        sequence,
    })
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest {
                snapshots,
                segments,
                synced,
            } => write!(
                f,
                "segments: {segments}, snapshots: {snapshots}, synced up to {synced}"
            ),
            Self::Segment { first, last, .. } if last < first => write!(f, "no records"),
            Self::Segment { first, last, .. } => write!(f, "records {first} to {last}"),
            Self::Snapshot {
                lsn,
                needs,
                frames,
                entries,
            } => write!(
                f,
                "{entries} entries in {frames} frames, replay after {lsn}, needs {needs}"
            ),
            Self::Temporary => write!(f, "left by a crash, will be removed"),
            Self::LaidAside => write!(f, "laid aside by a repair"),
            Self::Torn => write!(f, "a torn tail, laid aside"),
            Self::Unreadable => write!(f, "unreadable"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.store {
            Some(store) => writeln!(f, "store {store}")?,
            None => writeln!(f, "no manifest that can be read")?,
        }
        for file in &self.files {
            write!(
                f,
                "{:<42} {:>12} bytes  {}",
                file.name, file.bytes, file.content
            )?;
            let is_part = matches!(
                file.content,
                Content::Segment { .. } | Content::Snapshot { .. }
            );
            if is_part && !file.is_listed {
                write!(f, ", not listed in the manifest")?;
            }
            if let Some(OpenError::Damaged { offset, damage, .. }) = &file.fault {
                write!(f, "; from offset {offset} on: {damage}")?;
            } else if let Some(fault) = &file.fault {
                write!(f, "; {}", fault.what())?;
            }
            if let Content::Segment { behind, .. } = file.content
                && behind > 0
            {
                write!(f, ", and {behind} records behind")?;
            }
            writeln!(f)?;
        }
        match &self.verdict {
            Ok(last) => {
                write!(f, "sound up to record {last}")?;
                if self.torn_bytes > 0 {
                    write!(
                        f,
                        "; the next opening lays {} bytes aside, of a write that a crash has cut short",
                        self.torn_bytes
                    )?;
                }
                match self.unfinished {
                    Some(first) => write!(
                        f,
                        "; the next opening abandons the large record that begins with {first} and has no end"
                    ),
                    None => Ok(()),
                }
            }
            Err(error) => write!(f, "does not open: {}", error.what()),
        }
    }
}
