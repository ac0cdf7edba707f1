//! How a snapshot becomes the newest, and what goes with those before it.
//!
//! 1. Renamed, its name synced, then listed: a crash in between leaves what was before.
//! 2. The log behind the oldest snapshot that is kept stays; what is before it goes, once the manifest
//!    without it is durable and nobody reads it.

use std::sync::Arc;

use crate::error::{AdoptError, DiskError, Operation, SnapshotError, WriteError};
use crate::fault::{Fault, is_planted};
use crate::format::Lsn;
use crate::log::{Log, Part, Synced};
use crate::manifest::{Manifest, sync_directory};
use crate::names::snapshot_name;
use crate::records::Large;
use crate::snapshot::{Compression, FinishedSnapshot, SnapshotWriter};
use crate::storage::{File, Space, Storage, is_no_space};

impl<S: Storage> Log<S> {
    /// Begins a snapshot. It holds all that was appended so far, and may hold more. As [`Log::snapshot_at`] for
    /// the newest record.
    ///
    /// # Errors
    /// One is being written already, the disk refuses, or the log has failed.
    pub fn snapshot(
        &mut self,
        compression: Compression,
    ) -> Result<SnapshotWriter<S>, SnapshotError> {
        self.snapshot_at(self.appended(), compression)
    }

    /// Begins a snapshot of what stands at record `lsn`, the newest or an older one: replay begins with the next.
    ///
    /// # Errors
    /// One is being written already, the disk refuses, or the log has failed.
    ///
    /// # Panics
    /// When `lsn` was not appended yet, is before the newest snapshot, or in the middle of a large record.
    pub fn snapshot_at(
        &mut self,
        lsn: Lsn,
        compression: Compression,
    ) -> Result<SnapshotWriter<S>, SnapshotError> {
        self.look().map_err(SnapshotError::Failed)?;
        let oldest = self.newest_snapshot().unwrap_or(Lsn::ZERO);
        let is_there = (oldest..=self.appended()).contains(&lsn);
        assert!(
            is_there,
            "a snapshot is of what was appended since the last one"
        );
        let is_between = |large: &Large| large.first <= lsn && lsn < large.last;
        let is_whole = !self.large.iter().any(is_between);
        assert!(
            is_whole,
            "a snapshot never begins between the parts of a record"
        );
        if self.writing.strong_count() > 0 {
            return Err(SnapshotError::InProgress);
        }
        let writing = Arc::new(());
        self.writing = Arc::downgrade(&writing);
        loop {
            let (storage, writing) = (Arc::clone(&self.storage), Arc::clone(&writing));
            match SnapshotWriter::begin(storage, self.store, lsn, compression, writing) {
                Err(SnapshotError::NoSpace(error)) if self.gives_up_reserve(&error.error) => {}
                begun => return begun,
            }
        }
    }

    /// Bytes of the files that the store consists of: a snapshot of all that is in it now is not larger, but
    /// for some framing. Blocks for the disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn stored_bytes(&self) -> Result<u64, DiskError> {
        let mut sum = 0;
        for part in self.snapshots.iter().chain(&self.segments) {
            let name = part.name();
            let disk = |operation, error| DiskError::new(operation, &name, error);
            let file = (self.storage.open(&name)).map_err(|error| disk(Operation::Open, error))?;
            sum += file.len().map_err(|error| disk(Operation::Read, error))?;
        }
        Ok(sum)
    }

    /// How much space there is on the disk; `None` where that is not known.
    #[must_use]
    pub fn space(&self) -> Option<Space> {
        self.storage.space()
    }

    /// Makes `snapshot` the newest, and removes what is not needed any more: older snapshots beyond
    /// those to keep, and the log before them. Where one at the same record is the newest already, that
    /// one stays. Blocks for the disk.
    ///
    /// # Errors
    /// `NotSynced`: sync the log and try again with the same snapshot. `NoSpace`: the log goes on, the
    /// snapshot is gone. `Failed`: see [`Log::sync`].
    pub fn adopt(
        &mut self,
        snapshot: FinishedSnapshot<S>,
        synced: Synced,
    ) -> Result<(), AdoptError<S>> {
        self.alive().map_err(AdoptError::Failed)?;
        let (lsn, needs) = (snapshot.lsn(), snapshot.needs());
        if !synced.covers(needs) && !is_planted(Fault::SnapshotTooEarly) {
            return Err(AdoptError::NotSynced {
                snapshot,
                needs,
                synced: synced.lsn(),
            });
        }
        if self.newest_snapshot().is_some_and(|newest| newest >= lsn) {
            return Ok(());
        }
        self.look().map_err(AdoptError::Failed)?;
        let name = snapshot_name(lsn);
        let temporary = snapshot.temporary_name();
        let renamed = match self.storage.rename(temporary, &name) {
            Err(error) if self.gives_up_reserve(&error) => self.storage.rename(temporary, &name),
            renamed => renamed,
        };
        if let Err(error) = renamed {
            let is_space = is_no_space(&error);
            let error = DiskError::new(Operation::Rename, temporary, error);
            return Err(match is_space {
                true => AdoptError::NoSpace(error),
                false => AdoptError::Failed(self.fail(error)),
            });
        }
        snapshot.renamed();
        if let Err(error) = sync_directory(&*self.storage, &name) {
            return Err(AdoptError::Failed(self.fail(error)));
        }
        (self.progress)();
        self.list(lsn)
    }

    /// Replaces the manifest by one with the snapshot at `lsn`, without what it makes superfluous.
    fn list(&mut self, lsn: Lsn) -> Result<(), AdoptError<S>> {
        let mut manifest = self.manifest();
        manifest.snapshots.push(lsn);
        self.reduce(&mut manifest);
        match self.replace_manifest(&manifest) {
            Ok(()) => {}
            Err(WriteError::NoSpace(error)) => {
                // No manifest knows it. If it stays, recovery removes it.
                drop(self.storage.remove(&snapshot_name(lsn)));
                return Err(AdoptError::NoSpace(error));
            }
            Err(WriteError::Failed(failed)) => return Err(AdoptError::Failed(failed)),
        }
        self.snapshots.push(Arc::new(Part::Snapshot(lsn)));
        self.large.retain(|large| large.last > lsn);
        let condemned = &mut self.condemned;
        for (parts, listed) in [
            (&mut self.snapshots, &manifest.snapshots),
            (&mut self.segments, &manifest.segments),
        ] {
            let is_gone = |part: &mut Arc<Part>| !listed.contains(&part.lsn());
            condemned.extend(parts.extract_if(.., is_gone));
        }
        self.sweep().map_err(AdoptError::Failed)
    }

    /// Takes from `manifest` what is not to be kept.
    fn reduce(&self, manifest: &mut Manifest) {
        let kept = self.options.snapshots_kept;
        let Some(superfluous) = manifest.snapshots.len().checked_sub(kept) else {
            // The log from its beginning counts as the one before the first snapshot.
            return;
        };
        manifest.snapshots.drain(..superfluous);
        let oldest = manifest.snapshots.first().copied().unwrap_or(Lsn::ZERO);
        let successors = manifest.segments.iter().skip(1);
        let covered = successors
            .take_while(|first| **first <= oldest.next())
            .count();
        manifest.segments.drain(..covered);
    }
}
