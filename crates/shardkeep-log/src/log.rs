//! The log being written: records in, in order, and the proof that they are durable.
//!
//! Not a queue and not a thread: the caller decides when to write and when to sync, and nothing here
//! waits for anything but the disk.
//!
//! 1. Records are written in the order in which they were appended, each whole within one segment; a large one
//!    is several, its parts, with consecutive numbers.
//! 2. `synced <= written <= appended`; only a sync that succeeded moves `synced`, and a [`Synced`] is made
//!    of nothing else.
//! 3. After a failed sync nothing is accepted any more, whatever later calls would say.
//! 4. What a mark says is true when it is written, and nothing depends on one: the next record is written
//!    over it.
//! 5. A segment gets its first record only when all before it are synced and the manifest lists it.
//! 6. Before a segment is begun, a snapshot begun or adopted, a file removed and the log closed, it is
//!    looked whether directory and active segment are where they were left; if not, the log has failed and
//!    nothing is changed.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::error::{AppendError, DiskError, LogFailed, Operation, WriteError};
use crate::fault::{Fault, is_planted};
use crate::format::{ABANDONED, CUT, Fields, HEAD_BYTES, Head, Lsn, RECORD, StoreId, VERSION};
use crate::limits::BUFFER_KEPT_BYTES;
use crate::manifest::{self, Manifest};
use crate::names::{segment_name, snapshot_name};
use crate::options::Options;
use crate::parts::Pieces;
use crate::records::Large;
use crate::reserve::Kept;
use crate::storage::{Displacement, File, Storage, is_no_space, write_all_at};

/// Proof that all records up to one are durable. Only a log makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Synced {
    lsn: Lsn,
}

impl Synced {
    /// The newest record that is durable, with all before it.
    #[must_use]
    pub const fn lsn(self) -> Lsn {
        self.lsn
    }

    /// Whether `lsn` is durable.
    #[must_use]
    pub fn covers(self, lsn: Lsn) -> bool {
        lsn <= self.lsn
    }
}

/// A file of the store, held by all who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Segment(Lsn),
    Snapshot(Lsn),
}

impl Part {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Segment(first) => segment_name(first),
            Self::Snapshot(lsn) => snapshot_name(lsn),
        }
    }

    pub(crate) const fn lsn(self) -> Lsn {
        match self {
            Self::Segment(lsn) | Self::Snapshot(lsn) => lsn,
        }
    }
}

/// The segment that gets the records.
pub(crate) struct Active<F> {
    /// Its name.
    pub(crate) name: String,
    pub(crate) file: Arc<F>,
    /// In which version it was begun.
    pub(crate) version: u32,
    /// Where its first record goes.
    pub(crate) begins: u64,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// Bytes of the file: a mark or not, and zeros, from `end` on.
    pub(crate) sized: u64,
}

/// A log to append to. It comes from [`Recovery::into_log`](crate::Recovery::into_log).
pub struct Log<S: Storage> {
    pub(crate) storage: Arc<S>,
    pub(crate) store: StoreId,
    pub(crate) options: Options,
    pub(crate) reserve: Kept,
    /// What the manifest says beside its lists.
    fields: Fields,
    seed: u32,
    /// Ascending.
    pub(crate) snapshots: Vec<Arc<Part>>,
    /// Ascending; the last one is active.
    pub(crate) segments: Vec<Arc<Part>>,
    /// No longer listed, and to be removed when nobody reads them.
    pub(crate) condemned: Vec<Arc<Part>>,
    pub(crate) active: Active<S::File>,
    /// Records that are not written, each head and payload.
    pub(crate) buffer: Vec<u8>,
    appended: Lsn,
    /// The newest cut.
    last_cut: Option<Lsn>,
    /// The large records behind the newest snapshot, ascending: few, since each takes more than a part.
    pub(crate) large: Vec<Large>,
    pub(crate) written: Lsn,
    pub(crate) synced: Lsn,
    /// What the manifest says is synced.
    pub(crate) recorded: Lsn,
    /// What the mark behind the records says is written and synced, if there is one.
    marked: Option<(Lsn, Lsn)>,
    /// How far a sync reaches that was begun and has not ended.
    pub(crate) detached: Option<Lsn>,
    failed: Option<LogFailed>,
    /// Alive while a snapshot is being written.
    pub(crate) writing: Weak<()>,
    /// Called when a sync has succeeded that is one of several of a call.
    pub(crate) progress: Arc<dyn Fn() + Send + Sync>,
}

/// What recovery has found out.
pub(crate) struct Found<S: Storage> {
    pub(crate) storage: Arc<S>,
    pub(crate) options: Options,
    /// As it is on the disk.
    pub(crate) manifest: Manifest,
    /// What it is to say from now on.
    pub(crate) fields: Fields,
    pub(crate) active: Active<S::File>,
    /// The last record; it is durable.
    pub(crate) last: Lsn,
    /// The newest cut.
    pub(crate) last_cut: Option<Lsn>,
    /// The large records behind the newest snapshot.
    pub(crate) large: Vec<Large>,
}

impl<S: Storage> Log<S> {
    pub(crate) fn new(found: Found<S>) -> Self {
        let arcs = |parts: &[Lsn], part: fn(Lsn) -> Part| -> Vec<Arc<Part>> {
            parts.iter().map(|lsn| Arc::new(part(*lsn))).collect()
        };
        Self {
            seed: found.manifest.store.records_seed(),
            store: found.manifest.store,
            snapshots: arcs(&found.manifest.snapshots, Part::Snapshot),
            segments: arcs(&found.manifest.segments, Part::Segment),
            condemned: Vec::new(),
            fields: found.fields,
            recorded: found.manifest.synced,
            marked: None,
            storage: found.storage,
            reserve: Kept::new(found.options.reserve),
            options: found.options,
            active: found.active,
            buffer: Vec::new(),
            appended: found.last,
            last_cut: found.last_cut,
            large: found.large,
            written: found.last,
            synced: found.last,
            detached: None,
            failed: None,
            writing: Weak::new(),
            progress: Arc::new(|| {}),
        }
    }

    /// Has `progress` called from now on after each sync that has succeeded, of a file or of the names,
    /// where a call makes several: when a segment ends, a snapshot is adopted or the log is closed. Not for
    /// the one sync of [`Log::sync`], nor for the steps of [`Log::write_in_steps`]: their caller sees them.
    pub fn on_progress(&mut self, progress: Arc<dyn Fn() + Send + Sync>) {
        self.progress = progress;
    }

    /// Takes a record with these bytes, of any length, and returns its number: that of its last part, where it
    /// is large. It is recovered whole or not at all. Does not touch the disk; allocates only while the buffer
    /// grows to what is usual between two writes.
    ///
    /// # Errors
    /// The log has failed. The record has not been taken.
    pub fn append(&mut self, payload: &[u8]) -> Result<Lsn, AppendError> {
        self.append_pieces(&[payload])
    }

    /// As [`Log::append`], for a payload that lies in several places.
    ///
    /// # Errors
    /// As for [`Log::append`].
    pub fn append_pieces(&mut self, pieces: &[&[u8]]) -> Result<Lsn, AppendError> {
        self.alive().map_err(AppendError::Failed)?;
        let pieces = Pieces::new(pieces);
        if pieces.bytes() <= self.options.part_bytes {
            return Ok(self.push(RECORD, pieces));
        }
        Ok(self.append_large(pieces))
    }

    /// Takes a record as several: parts with consecutive numbers.
    #[cold]
    fn append_large(&mut self, pieces: Pieces<'_>) -> Lsn {
        let first = self.appended.next();
        let parts = pieces.bytes().div_ceil(self.options.part_bytes);
        self.buffer.reserve(parts * HEAD_BYTES + pieces.bytes());
        for (kind, part) in pieces.parts(self.options.part_bytes) {
            self.push(kind, part);
        }
        let last = self.appended;
        self.large.push(Large { first, last });
        last
    }

    /// Takes the cut of a walk: a record without bytes, which no reader returns. Its number is the walk's.
    ///
    /// # Errors
    /// The log has failed. The cut has not been taken.
    pub fn append_cut(&mut self) -> Result<Lsn, AppendError> {
        self.alive().map_err(AppendError::Failed)?;
        let lsn = self.push(CUT, Pieces::new(&[]));
        self.last_cut = Some(lsn);
        Ok(lsn)
    }

    /// Ends the large record that begins with `first` and whose last part was never written. Where there is
    /// space it is durable at once.
    pub(crate) fn abandon(&mut self, first: Lsn) -> Result<(), LogFailed> {
        if is_planted(Fault::AbandonedLeftOut) {
            return Ok(());
        }
        let last = self.push(ABANDONED, Pieces::new(&[]));
        self.large.push(Large { first, last });
        match self.write() {
            Ok(()) => self.sync().map(drop),
            // It is in the buffer, before all that comes.
            Err(WriteError::NoSpace(_)) => Ok(()),
            Err(WriteError::Failed(failed)) => Err(failed),
        }
    }

    /// Puts a record of this kind into the buffer.
    fn push(&mut self, kind: u8, pieces: Pieces<'_>) -> Lsn {
        let (lsn, bytes) = (self.appended.next(), pieces.bytes());
        let checksum = pieces.fold(0, crc32c::crc32c_append);
        let head = Head {
            kind,
            ..Head::record(lsn, self.synced, bytes as u32, checksum)
        };
        self.buffer.reserve(HEAD_BYTES + bytes);
        self.buffer.extend_from_slice(&head.encode(self.seed));
        pieces.fold((), |(), piece| self.buffer.extend_from_slice(piece));
        self.appended = lsn;
        lsn
    }

    /// Bytes that were appended and are not written: the caller bounds them by not appending more.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The newest record that was appended.
    #[must_use]
    pub fn appended(&self) -> Lsn {
        self.appended
    }

    /// The newest cut: one that was appended, or that the recovery has read; `None` where the log that it read
    /// has none.
    #[must_use]
    pub fn last_cut(&self) -> Option<Lsn> {
        self.last_cut
    }

    /// The newest record that was written: it survives a crash of the process, not a power cut.
    #[must_use]
    pub fn written(&self) -> Lsn {
        self.written
    }

    /// The proof of the last sync.
    #[must_use]
    pub fn synced(&self) -> Synced {
        Synced { lsn: self.synced }
    }

    /// The store's identity.
    #[must_use]
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// The record at which the newest snapshot began, if there is one.
    #[must_use]
    pub fn newest_snapshot(&self) -> Option<Lsn> {
        self.snapshots.last().map(|part| part.lsn())
    }

    /// How many segments there are.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The first error, when the log has failed.
    #[must_use]
    pub fn failed(&self) -> Option<&LogFailed> {
        self.failed.as_ref()
    }

    /// Makes durable what was written, and proves it. Blocks for the disk, unless there is nothing to
    /// do. What is only appended is not covered: [`Log::write`] comes first.
    ///
    /// # Errors
    /// The disk refuses, out of space included: the log has failed for good, and every later call says
    /// so with this first error. So has a log with a sync that was begun and has not ended.
    pub fn sync(&mut self) -> Result<Synced, LogFailed> {
        self.alive()?;
        self.none_detached()?;
        if self.written > self.synced {
            self.sync_active()?;
        }
        Ok(self.synced())
    }

    /// Looks whether the directory and the segment that gets the records are where they were left, and as
    /// they were left. To be called about once a second while the log is written, so that what is
    /// acknowledged is not written to where nothing finds it. Cheap: reads no content, waits for nothing.
    ///
    /// # Errors
    /// They are not: the log has failed for good, and nothing of what is there now is changed.
    pub fn look(&mut self) -> Result<(), LogFailed> {
        self.alive()?;
        if is_planted(Fault::DisplacementIgnored) {
            return Ok(());
        }
        let Active {
            name, file, sized, ..
        } = &self.active;
        let looked = self.storage.look(name, file).and_then(|bytes| {
            // After a write that went wrong it is not known.
            if bytes == *sized || *sized == u64::MAX {
                return Ok(());
            }
            let left = *sized;
            Err(Displacement::Length { bytes, left }.of(name))
        });
        looked.map_err(|displaced| self.fail(DiskError::displaced(displaced)))
    }

    /// Looks whether the active segment is as long as it was left, before it becomes longer: then nobody
    /// could tell any more that it was cut meanwhile.
    pub(crate) fn look_at_length(&mut self) -> Result<(), LogFailed> {
        let Active {
            name, file, sized, ..
        } = &self.active;
        let error = match file.len() {
            _ if is_planted(Fault::DisplacementIgnored) => return Ok(()),
            Ok(bytes) if bytes == *sized => return Ok(()),
            Ok(bytes) => {
                let left = *sized;
                DiskError::displaced(Displacement::Length { bytes, left }.of(name))
            }
            Err(error) => DiskError::new(Operation::Look, name, error),
        };
        Err(self.fail(error))
    }

    /// Writes and syncs all, gives back what was written ahead, and records in the manifest how far the
    /// log is synced: so that the next opening notices if anything of it is gone. The log may be used
    /// on. Blocks for the disk.
    ///
    /// # Errors
    /// As for [`Log::write`]: after `NoSpace` it may be called again.
    pub fn close(&mut self) -> Result<Synced, WriteError> {
        self.look()?;
        self.write()?;
        self.cut()?;
        if self.written > self.synced {
            self.sync()?;
            (self.progress)();
        }
        self.none_detached()?;
        self.sweep()?;
        if self.recorded < self.synced {
            self.replace_manifest(&self.manifest())?;
        }
        Ok(self.synced())
    }

    /// Says behind the records how far they are written and synced, so that the next opening notices if
    /// anything of them is gone, although none follows. For a log that rests: a record says so of those
    /// before it. Writes 24 bytes, unless they stand there already, and syncs nothing; where there is no
    /// space for them it does nothing. Blocks for the disk at times.
    ///
    /// # Errors
    /// The log has failed.
    pub fn mark(&mut self) -> Result<(), LogFailed> {
        self.alive()?;
        let synced = match is_planted(Fault::MarkClaimsWritten) {
            true => self.written,
            false => self.synced,
        };
        let says = Some((self.written, synced));
        let is_known = self.marked == says || self.recorded >= self.written;
        if is_known || self.active.version < VERSION || self.active_is_empty() {
            return Ok(());
        }
        let bytes = Head::mark(self.written, synced).encode(self.seed);
        let Active { end, sized, .. } = self.active;
        if end + HEAD_BYTES as u64 >= sized {
            self.look_at_length()?;
        }
        match write_all_at(&*self.active.file, &bytes, end) {
            Ok(()) => {
                self.active.sized = sized.max(end + HEAD_BYTES as u64);
                self.marked = says;
                Ok(())
            }
            Err(unwritten) => {
                // Some of it may be there, whatever was said.
                self.active.sized = u64::MAX;
                self.cut()?;
                if is_no_space(&unwritten.error) {
                    return Ok(());
                }
                let name = &self.active.name;
                Err(self.fail(DiskError::new(Operation::Write, name, unwritten.error)))
            }
        }
    }

    /// The manifest as it should be now.
    pub(crate) fn manifest(&self) -> Manifest {
        let lsns = |parts: &[Arc<Part>]| parts.iter().map(|part| part.lsn()).collect();
        Manifest {
            version: VERSION,
            store: self.store,
            fields: self.fields.clone(),
            synced: self.synced,
            snapshots: lsns(&self.snapshots),
            segments: lsns(&self.segments),
        }
    }

    /// Makes `manifest` the one in force.
    pub(crate) fn replace_manifest(&mut self, manifest: &Manifest) -> Result<(), WriteError> {
        loop {
            let refused = match manifest.replace(&*self.storage, &*self.progress) {
                Ok(()) => {
                    self.recorded = manifest.synced;
                    return Ok(());
                }
                Err(refused) => refused,
            };
            if !refused.is_retryable {
                return Err(self.fail(refused.error).into());
            }
            if !self.gives_up_reserve(&refused.error.error) {
                return Err(WriteError::NoSpace(refused.error));
            }
        }
    }

    /// Cuts off what was written ahead, and the mark.
    pub(crate) fn cut(&mut self) -> Result<(), LogFailed> {
        if self.active.sized > self.active.end {
            if let Err(error) = self.active.file.set_len(self.active.end) {
                let error = DiskError::new(Operation::Cut, &self.active.name, error);
                return Err(self.fail(error));
            }
            self.active.sized = self.active.end;
            self.marked = None;
        }
        Ok(())
    }

    /// Syncs the active segment.
    pub(crate) fn sync_active(&mut self) -> Result<(), LogFailed> {
        if is_planted(Fault::SyncSkipped) {
            self.synced = self.written;
            return Ok(());
        }
        match manifest::sync(&*self.active.file, &self.active.name) {
            Ok(()) => {
                self.synced = self.written;
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Removes what nobody needs any more, as far as nobody reads it. What cannot be removed is tried
    /// again at the next occasion, and by recovery.
    pub(crate) fn sweep(&mut self) -> Result<(), LogFailed> {
        let is_read = |part: &Arc<Part>| Arc::strong_count(part) > 1;
        if self.condemned.iter().all(is_read) {
            return Ok(());
        }
        self.look()?;
        let storage = &self.storage;
        self.condemned
            .retain(|part| is_read(part) || storage.remove(&part.name()).is_err());
        Ok(())
    }

    /// Whether the active segment holds no record.
    pub(crate) fn active_is_empty(&self) -> bool {
        self.active.end <= self.active.begins
    }

    /// Refuses after a failure.
    pub(crate) fn alive(&self) -> Result<(), LogFailed> {
        match &self.failed {
            Some(failed) if !is_planted(Fault::FailureForgotten) => Err(failed.clone()),
            Some(_) | None => Ok(()),
        }
    }

    /// The log has failed for good.
    pub(crate) fn fail(&mut self, cause: DiskError) -> LogFailed {
        self.failed.get_or_insert(LogFailed { cause }).clone()
    }

    /// Forgets the first `bytes` of the buffer.
    pub(crate) fn forget_written(&mut self, bytes: usize) {
        if bytes == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_KEPT_BYTES);
        } else {
            self.buffer.drain(..bytes);
        }
    }
}

impl<S: Storage> fmt::Debug for Log<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("store", &self.store)
            .field("appended", &self.appended)
            .field("written", &self.written)
            .field("synced", &self.synced)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
