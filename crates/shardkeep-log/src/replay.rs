//! The state up to a record, read while the log goes on being written: to rebuild what was lost.
//!
//! 1. The files it needs stay as long as it lives, whatever snapshots become newer meanwhile.
//! 2. It reads no byte that may still change.

use std::fmt;
use std::sync::Arc;

use crate::format::Lsn;
use crate::log::{Log, Part};
use crate::open_error::OpenError;
use crate::records::Records;
use crate::recovery::Record;
use crate::snapshot::SnapshotReader;
use crate::storage::Storage;
use crate::walk::{Bound, Known, Walk};

/// The newest snapshot and the records behind it, up to one. Another thread may write the log meanwhile.
pub struct Replay<S: Storage> {
    snapshot: Option<SnapshotReader<S>>,
    records: Records<S>,
    /// Keeps the files.
    _pins: Vec<Arc<Part>>,
}

impl<S: Storage> Log<S> {
    /// What is needed to rebuild the state as it was after record `to`, which must have been written.
    /// Removes nothing that it reads before it is dropped. Blocks for the disk.
    ///
    /// # Errors
    /// `OutOfRange`: `to` is not written yet, or the newest snapshot may hold records behind it. Else as
    /// for [`Recovery::open`](crate::Recovery::open).
    pub fn replay(&self, to: Lsn) -> Result<Replay<S>, OpenError> {
        let newest = self.snapshots.last();
        let snapshot = newest
            .map(|part| SnapshotReader::open(&*self.storage, self.store, part.lsn()))
            .transpose()?;
        let lowest = snapshot.as_ref().map_or(Lsn::ZERO, SnapshotReader::needs);
        let highest = self.written;
        if to < lowest || to > highest {
            return Err(OpenError::OutOfRange {
                lsn: to,
                lowest,
                highest,
            });
        }
        let covered = newest.map_or(Lsn::ZERO, |part| part.lsn());
        let segments: Vec<Lsn> = self.segments.iter().map(|part| part.lsn()).collect();
        let bound = Bound {
            to,
            last_segment_bytes: self.active.end,
        };
        let storage = Arc::clone(&self.storage);
        let walk = Walk::new(
            storage,
            self.store,
            &segments,
            covered.next(),
            Some(bound),
            Known {
                synced: to,
                in_this_boot: true,
            },
        );
        Ok(Replay {
            snapshot,
            records: Records::new(walk, covered),
            _pins: newest.into_iter().chain(&self.segments).cloned().collect(),
        })
    }
}

impl<S: Storage> Replay<S> {
    /// The snapshot to begin with, if there is one.
    #[must_use]
    pub fn snapshot(&self) -> Option<&SnapshotReader<S>> {
        self.snapshot.as_ref()
    }

    /// The next record, in order; `None` after the last. A large one comes in one piece, and only where its
    /// last part is among them. Blocks for the disk.
    ///
    /// # Errors
    /// The log is damaged, or the disk refuses.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, OpenError> {
        self.records.next()
    }
}

impl<S: Storage> fmt::Debug for Replay<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Replay({:?}, next {})",
            self.snapshot,
            self.records.walk.next_lsn()
        )
    }
}
