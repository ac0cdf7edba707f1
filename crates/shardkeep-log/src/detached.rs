//! A sync that runs while the log is written on.
//!
//! 1. It covers what was written when it was begun, and counts only once it has been ended.
//! 2. One at a time, and no other sync of the log meanwhile: the system tells an error to one of those who
//!    sync, and to the next that all is well. So no segment ends meanwhile; the active one grows.
//! 3. One that was begun and never ended leaves nothing certain: the next sync fails the log.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::error::{DiskError, LogFailed, Operation};
use crate::fault::{Fault, is_planted};
use crate::format::{Lsn, StoreId};
use crate::log::{Log, Synced};
use crate::manifest;
use crate::storage::Storage;

/// A sync that was begun, to be run by any thread. Made by [`Log::begin_sync`].
#[must_use = "the log syncs nothing else until this one has ended"]
pub struct DetachedSync<S: Storage> {
    store: StoreId,
    covers: Lsn,
    name: String,
    file: Arc<S::File>,
}

/// What a [`DetachedSync`] came to, for [`Log::end_sync`].
#[derive(Debug)]
#[must_use = "the log does not know of it yet"]
pub struct SyncEnd {
    store: StoreId,
    covers: Lsn,
    result: Result<(), DiskError>,
}

impl<S: Storage> DetachedSync<S> {
    /// The newest record that it makes durable.
    #[must_use]
    pub fn covers(&self) -> Lsn {
        self.covers
    }

    /// Carries it out. Blocks for the disk.
    pub fn run(self) -> SyncEnd {
        SyncEnd {
            store: self.store,
            covers: self.covers,
            result: manifest::sync(&*self.file, &self.name),
        }
    }
}

impl<S: Storage> Log<S> {
    /// Begins a sync of what was written, which needs no log while it runs: records may be appended and
    /// written meanwhile, and are not covered. Until [`Log::end_sync`] the log syncs nothing else, and
    /// begins no segment.
    ///
    /// # Errors
    /// The log has failed; or another sync was begun and has not ended, which fails it.
    pub fn begin_sync(&mut self) -> Result<DetachedSync<S>, LogFailed> {
        self.alive()?;
        self.none_detached()?;
        self.detached = Some(self.written);
        Ok(DetachedSync {
            store: self.store,
            covers: self.written,
            name: self.active.name.clone(),
            file: Arc::clone(&self.active.file),
        })
    }

    /// Takes in what a sync came to, and proves how far the log is durable.
    ///
    /// # Errors
    /// The disk has refused: the log has failed for good. Or it had failed before.
    ///
    /// # Panics
    /// When this log has not begun that sync.
    pub fn end_sync(&mut self, end: SyncEnd) -> Result<Synced, LogFailed> {
        let is_own = self.store == end.store && self.detached == Some(end.covers);
        assert!(is_own, "a sync ends where it was begun");
        self.detached = None;
        self.alive()?;
        match end.result {
            Ok(()) if is_planted(Fault::LaterCoveredToo) => self.synced = self.written,
            Ok(()) => self.synced = self.synced.max(end.covers),
            Err(error) => return Err(self.fail(error)),
        }
        Ok(self.synced())
    }

    /// Fails where a sync was begun and has not ended: it may have been told an error.
    pub(crate) fn none_detached(&mut self) -> Result<(), LogFailed> {
        if self.detached.is_none() {
            return Ok(());
        }
        let error = io::Error::other("a sync that was begun has not ended");
        Err(self.fail(DiskError::new(Operation::Sync, &self.active.name, error)))
    }
}

impl<S: Storage> fmt::Debug for DetachedSync<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachedSync")
            .field("covers", &self.covers)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
