//! Makes a store that opens out of one that does not, by giving up what cannot be read.
//!
//! Not automatic: whoever calls it accepts the loss that it reports.
//!
//! 1. Nothing is removed: what is given up is laid aside under another name, whole.
//! 2. What remains is the state after some record, exactly: a snapshot is used only if the log that can be
//!    read reaches what it needs.
//! 3. Of all such states it is the latest.
//! 4. A large record that lost parts is given up as a whole: what is left of it ends the log, and the next
//!    opening marks it as abandoned.
//! 5. A repair that a crash has ended can be called again.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::check::{Scan, open, read_frames, scan_segment, try_to_open};
use crate::error::{DiskError, Operation};
use crate::format::{Fields, FileKind, Lsn, StoreId, VERSION};
use crate::limits::WINDOW_BYTES;
use crate::manifest::{self, Manifest};
use crate::names::{MANIFEST, Name, segment_name, snapshot_name};
use crate::open_error::OpenError;
use crate::recovery::names;
use crate::reserve::make_room_to_open;
use crate::segment::read_header;
use crate::sequence::Sequence;
use crate::snapshot::SnapshotReader;
use crate::storage::{File, Storage, read_exact_at, write_all_at};
use crate::write::{NotBegun, begin_segment};

/// What a repair has done.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// What was laid aside: the file, its new name, its bytes.
    pub laid_aside: Vec<(String, String, u64)>,
    /// The segment that was cut, and where.
    pub cut: Option<(String, u64)>,
    /// The snapshot that is used now, if any.
    pub snapshot: Option<Lsn>,
    /// The last record of the store now.
    pub last: Lsn,
    /// The first part of the large record in which the log ends now, which the next opening marks as abandoned.
    pub unfinished: Option<Lsn>,
    /// The first and the last record that are lost, as far as anything tells.
    pub lost: Option<(Lsn, Lsn)>,
    /// Whether anything had to be done.
    pub was_sound: bool,
}

/// A store cannot be repaired. Nothing was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RepairError {
    /// The disk refuses, or the format is unknown.
    Open(OpenError),
    /// Files belong to different stores, and no manifest says which is meant.
    Ambiguous {
        /// One of them.
        one: StoreId,
        /// Another.
        other: StoreId,
    },
    /// No snapshot can be used, and the log does not reach back to record 1.
    NothingToBeginWith {
        /// Why the newest snapshot is of no use, or the log without any.
        why: String,
    },
}

impl fmt::Display for RepairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => write!(f, "cannot be repaired: {}", error.what()),
            Self::Ambiguous { one, other } => write!(
                f,
                "cannot be repaired: files of stores {one} and {other}, and no manifest; take away \
                 those that do not belong here"
            ),
            Self::NothingToBeginWith { why } => write!(f, "cannot be repaired: {why}"),
        }
    }
}

impl std::error::Error for RepairError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) => error.source(),
            Self::Ambiguous { .. } | Self::NothingToBeginWith { .. } => None,
        }
    }
}

impl From<OpenError> for RepairError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<DiskError> for RepairError {
    fn from(error: DiskError) -> Self {
        Self::Open(error.into())
    }
}

/// Repairs the store, if it does not open. Writes the disk; blocks for it.
///
/// # Errors
/// It cannot be repaired.
pub fn repair<S: Storage>(storage: &Arc<S>) -> Result<Repaired, RepairError> {
    match try_to_open(storage) {
        Ok(sound) => {
            return Ok(Repaired {
                last: sound.last,
                unfinished: sound.unfinished,
                was_sound: true,
                ..Repaired::default()
            });
        }
        Err(error @ OpenError::NotFound) => return Err(error.into()),
        Err(error) if error.is_from_the_future() => return Err(error.into()),
        Err(_) => {}
    }
    let remains = Remains::gather(&**storage)?;
    let plan = remains.plan(storage)?;
    make_room_to_open(&**storage);
    let repaired = plan.carry_out(&**storage, &remains)?;
    try_to_open(storage)?;
    Ok(repaired)
}

/// What can still be read.
struct Remains {
    store: StoreId,
    manifest: Option<Manifest>,
    names: BTreeSet<String>,
    /// Segments of this store, ascending.
    segments: Vec<(Lsn, Scan)>,
    /// Snapshots of this store, ascending.
    snapshots: Vec<Lsn>,
    /// The newest record that anything speaks of.
    newest: Lsn,
}

impl Remains {
    fn gather(storage: &impl Storage) -> Result<Self, RepairError> {
        let names = names(storage)?;
        let manifest = match Manifest::read(storage) {
            Ok(manifest) => manifest,
            Err(OpenError::Damaged { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let store = whose(storage, &names, manifest.as_ref())?;
        let mut remains = Self {
            store,
            newest: manifest
                .as_ref()
                .map_or(Lsn::ZERO, |manifest| manifest.synced),
            manifest,
            names,
            segments: Vec::new(),
            snapshots: Vec::new(),
        };
        for name in &remains.names {
            match Name::of(name) {
                Name::Segment(first) => match scan_segment(storage, first) {
                    Ok(scan) if scan.store == store => {
                        remains.newest = remains.newest.max(scan.newest);
                        remains.segments.push((first, scan));
                    }
                    Ok(_) => {}
                    Err(error) => give_up(error)?,
                },
                Name::Snapshot(lsn) => match whole_snapshot(storage, store, lsn) {
                    Ok(needs) => {
                        remains.newest = remains.newest.max(needs);
                        remains.snapshots.push(lsn);
                    }
                    Err(error) => give_up(error)?,
                },
                Name::Manifest
                | Name::Reserve
                | Name::Temporary
                | Name::Damaged
                | Name::Torn
                | Name::Foreign => {}
            }
        }
        Ok(remains)
    }

    /// The latest state that can be had.
    fn plan<S: Storage>(&self, storage: &Arc<S>) -> Result<Plan, RepairError> {
        let (mut best, mut why) = (None::<Plan>, None);
        let snapshots = self.snapshots.iter().rev().copied().map(Some);
        for snapshot in snapshots.chain([None]) {
            let base = snapshot.unwrap_or(Lsn::ZERO);
            let needs = match snapshot {
                Some(lsn) => SnapshotReader::open(&**storage, self.store, lsn)?.needs(),
                None => Lsn::ZERO,
            };
            let plan = self.log_behind(snapshot);
            let begins = plan
                .segments
                .first()
                .is_some_and(|first| *first <= base.next());
            let is_usable = match snapshot {
                Some(_) => plan.last >= needs,
                None => begins,
            };
            if !is_usable {
                why.get_or_insert_with(|| match snapshot {
                    Some(lsn) => format!(
                        "the snapshot at {lsn} needs records up to {needs}, and they can be read up to {}",
                        plan.last
                    ),
                    None => "there is no whole snapshot, and record 1 cannot be read".to_owned(),
                });
                continue;
            }
            if best.as_ref().is_none_or(|best| plan.last > best.last) {
                best = Some(plan);
            }
        }
        best.ok_or_else(|| RepairError::NothingToBeginWith {
            why: why.unwrap_or_default(),
        })
    }

    /// The records from `snapshot` on, as far as they can be read without a gap.
    fn log_behind(&self, snapshot: Option<Lsn>) -> Plan {
        let base = snapshot.unwrap_or(Lsn::ZERO);
        let mut plan = Plan {
            snapshot,
            segments: Vec::new(),
            last: base,
            cut: None,
            sequence: Sequence::Whole,
        };
        let begin = self
            .segments
            .iter()
            .rposition(|(first, _)| *first <= base.next());
        for (first, scan) in &self.segments[begin.unwrap_or(self.segments.len())..] {
            let is_next = plan.segments.is_empty() || *first == plan.last.next();
            // What the snapshot holds may be the end of a large record that began before it.
            let fits = *first <= base || scan.continues == plan.sequence.is_within();
            if !is_next || plan.cut.is_some() || !(fits || scan.last < *first) {
                break;
            }
            plan.segments.push(*first);
            plan.last = scan.last;
            plan.sequence = match scan.sequence {
                // It holds no record, or none but middle parts.
                Sequence::Unknown | Sequence::Within { first: None } => plan.sequence,
                known => known,
            };
            plan.cut = scan.damage.map(|_| (*first, scan.end));
        }
        // A log that ends before its snapshot has nothing to add to it.
        if plan.last < base {
            plan.segments.clear();
            plan.last = base;
            plan.cut = None;
            plan.sequence = Sequence::Whole;
        }
        plan
    }
}

/// Does without a file that cannot be read as what it should be; refuses where others might read it.
fn give_up(error: OpenError) -> Result<(), RepairError> {
    match error {
        error if error.is_from_the_future() => Err(error.into()),
        OpenError::Damaged { .. } | OpenError::Foreign { .. } => Ok(()),
        other => Err(other.into()),
    }
}

/// What is to be kept.
struct Plan {
    snapshot: Option<Lsn>,
    segments: Vec<Lsn>,
    last: Lsn,
    /// The last segment, and where it is to be cut.
    cut: Option<(Lsn, u64)>,
    /// How the log ends.
    sequence: Sequence,
}

impl Plan {
    fn carry_out<S: Storage>(
        self,
        storage: &S,
        remains: &Remains,
    ) -> Result<Repaired, RepairError> {
        let unfinished = self.sequence.first_part();
        let lost = unfinished.unwrap_or(self.last.next());
        let mut repaired = Repaired {
            snapshot: self.snapshot,
            last: self.last,
            unfinished,
            lost: (remains.newest > self.last).then_some((lost, remains.newest)),
            ..Repaired::default()
        };
        let mut aside = Aside {
            storage,
            names: remains.names.clone(),
            laid: Vec::new(),
        };
        if let Some((first, end)) = self.cut {
            let name = segment_name(first);
            aside.copy(&name)?;
            shorten(storage, &name, end)?;
            repaired.cut = Some((name, end));
        }
        let is_kept = |name: &str| match Name::of(name) {
            Name::Segment(first) => self.segments.contains(&first),
            Name::Snapshot(lsn) => self.snapshot == Some(lsn),
            Name::Manifest
            | Name::Reserve
            | Name::Temporary
            | Name::Damaged
            | Name::Torn
            | Name::Foreign => true,
        };
        for name in remains.names.iter().filter(|name| !is_kept(name)) {
            aside.rename(name)?;
        }
        if remains.manifest.is_none() && remains.names.contains(MANIFEST) {
            aside.copy(MANIFEST)?;
        }
        for first in &self.segments {
            let name = segment_name(*first);
            manifest::sync(&open(storage, &name)?, &name)?;
        }
        manifest::sync_directory(storage, MANIFEST)?;
        let mut segments = self.segments;
        if segments.is_empty() {
            let first = self.last.next();
            begin_segment(storage, remains.store, first, &|| {}).map_err(|error| match error {
                NotBegun::NoSpace(error) | NotBegun::Failed(error) => error,
            })?;
            segments.push(first);
        }
        let known = remains.manifest.as_ref();
        let manifest = Manifest {
            version: VERSION,
            store: remains.store,
            fields: Fields {
                boot: storage.boot(),
                content: known.and_then(|manifest| manifest.fields.content.clone()),
            },
            synced: self.last,
            snapshots: self.snapshot.into_iter().collect(),
            segments,
        };
        manifest
            .replace(storage, &|| {})
            .map_err(|refused| refused.error)?;
        repaired.laid_aside = aside.laid;
        Ok(repaired)
    }
}

/// Where what is given up goes.
struct Aside<'s, S> {
    storage: &'s S,
    names: BTreeSet<String>,
    laid: Vec<(String, String, u64)>,
}

impl<S: Storage> Aside<'_, S> {
    /// A name that is free.
    fn name(&mut self, name: &str) -> String {
        let mut number = 1_u64;
        loop {
            let aside = format!("{name}.damaged-{number}");
            if self.names.insert(aside.clone()) {
                return aside;
            }
            number += 1;
        }
    }

    fn laid(&mut self, name: &str, aside: String) -> Result<(), DiskError> {
        let bytes = open(self.storage, &aside)?.len();
        let bytes = bytes.map_err(|error| DiskError::new(Operation::Read, &aside, error))?;
        self.laid.push((name.to_owned(), aside, bytes));
        Ok(())
    }

    /// The whole file under another name.
    fn rename(&mut self, name: &str) -> Result<(), DiskError> {
        let aside = self.name(name);
        self.storage
            .rename(name, &aside)
            .map_err(|error| DiskError::new(Operation::Rename, name, error))?;
        self.laid(name, aside)
    }

    /// A copy of the whole file under another name; the file itself is still needed.
    fn copy(&mut self, name: &str) -> Result<(), DiskError> {
        let aside = self.name(name);
        let from = open(self.storage, name)?;
        let bytes = from
            .len()
            .map_err(|error| DiskError::new(Operation::Read, name, error))?;
        copy(self.storage, &from, name, &aside, 0..bytes)?;
        manifest::sync_directory(self.storage, &aside)?;
        self.laid(name, aside)
    }
}

/// Makes file `to` of the bytes of `from` that `part` says, durable but for its name.
pub(crate) fn copy<S: Storage>(
    storage: &S,
    from: &S::File,
    from_name: &str,
    to: &str,
    part: Range<u64>,
) -> Result<(), DiskError> {
    let file = manifest::create(storage, to)?;
    let bytes = part.end - part.start;
    let mut window = vec![0; WINDOW_BYTES.min(bytes as usize)];
    let mut done = 0;
    while done < bytes {
        let piece = window.len().min((bytes - done) as usize);
        read_exact_at(from, &mut window[..piece], part.start + done)
            .map_err(|error| DiskError::new(Operation::Read, from_name, error))?;
        write_all_at(&file, &window[..piece], done)
            .map_err(|unwritten| DiskError::new(Operation::Write, to, unwritten.error))?;
        done += piece as u64;
    }
    manifest::sync_new(&file, to)
}

/// Replaces file `name` by its first `bytes` bytes, in one step.
fn shorten<S: Storage>(storage: &S, name: &str, bytes: u64) -> Result<(), DiskError> {
    let temporary = format!("{name}.tmp");
    copy(storage, &open(storage, name)?, name, &temporary, 0..bytes)?;
    storage
        .rename(&temporary, name)
        .map_err(|error| DiskError::new(Operation::Rename, &temporary, error))?;
    manifest::sync_directory(storage, name)
}

/// Verifies all of a snapshot, and says what it needs.
fn whole_snapshot(storage: &impl Storage, store: StoreId, lsn: Lsn) -> Result<Lsn, OpenError> {
    let snapshot = SnapshotReader::open(storage, store, lsn)?;
    read_frames(&snapshot)?;
    Ok(snapshot.needs())
}

/// The store that is meant: the manifest's, else the one to which all files belong.
fn whose(
    storage: &impl Storage,
    names: &BTreeSet<String>,
    manifest: Option<&Manifest>,
) -> Result<StoreId, RepairError> {
    if let Some(manifest) = manifest {
        return Ok(manifest.store);
    }
    let mut found = None;
    for name in names {
        let kind = match Name::of(name) {
            Name::Segment(_) => FileKind::Segment,
            Name::Snapshot(_) => FileKind::Snapshot,
            Name::Manifest
            | Name::Reserve
            | Name::Temporary
            | Name::Damaged
            | Name::Torn
            | Name::Foreign => {
                continue;
            }
        };
        let other = match read_header(&open(storage, name)?, name, kind) {
            Ok((header, _)) => header.store,
            Err(OpenError::Damaged { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        match found {
            Some(one) if one != other => return Err(RepairError::Ambiguous { one, other }),
            _ => found = Some(other),
        }
    }
    found.ok_or_else(|| RepairError::NothingToBeginWith {
        why: "no file says which store it belongs to".to_owned(),
    })
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.was_sound {
            return write!(f, "nothing to repair: sound up to record {}", self.last);
        }
        for (name, aside, bytes) in &self.laid_aside {
            writeln!(f, "{name} ({bytes} bytes) is kept as {aside}")?;
        }
        if let Some((name, offset)) = &self.cut {
            writeln!(f, "{name} was cut at offset {offset}")?;
        }
        match self.snapshot {
            Some(lsn) => writeln!(f, "the store begins with {}", snapshot_name(lsn))?,
            None => writeln!(f, "the store begins with record 1, without a snapshot")?,
        }
        match self.lost {
            Some((from, to)) if from == to => writeln!(f, "lost: record {from}")?,
            Some((from, to)) => writeln!(f, "lost: records {from} to {to}")?,
            None => writeln!(f, "lost: no record that anything tells of")?,
        }
        write!(f, "sound up to record {}", self.last)?;
        match self.unfinished {
            Some(first) => write!(
                f,
                "; the large record that begins with {first} has no end and is abandoned by the next opening"
            ),
            None => Ok(()),
        }
    }
}
