//! The log as the journal of a keep.
//!
//! 1. Nothing here decides anything: it translates.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use shardkeep_core::{DetachedSync, Journal, JournalError, Room};
use shardkeep_log::{
    AppendError, Compression, Directory, Log, LogFailed, SnapshotError, SnapshotWriter, SyncEnd,
    Synced, WriteError,
};

use super::disk::Known;
use super::options::{DiskStep, Gate};

/// The log of a durable store.
pub struct LogJournal {
    log: Log<Directory>,
    /// Bytes appended since it was opened, for whoever decides when the next snapshot is due.
    bytes: Arc<AtomicU64>,
    gate: Option<Gate>,
    known: Arc<Known>,
    /// What the store holds, as it is noted there.
    content: Option<String>,
    /// Alive while a walk is under way.
    turn: Weak<()>,
    /// What an append met; told by the write that follows.
    failed: Option<AppendError>,
}

impl LogJournal {
    pub(super) fn new(log: Log<Directory>, gate: Option<Gate>, content: Option<String>) -> Self {
        let known = Known::default();
        known
            .reserve_bytes
            .store(log.reserve_bytes(), Ordering::Relaxed);
        Self {
            log,
            known: Arc::new(known),
            bytes: Arc::new(AtomicU64::new(0)),
            gate,
            content,
            turn: Weak::new(),
            failed: None,
        }
    }

    /// The log itself.
    pub(super) fn log(&mut self) -> &mut Log<Directory> {
        &mut self.log
    }

    /// The turn to walk through the store; `None` while another has it.
    pub(super) fn begin_turn(&mut self) -> Option<Arc<()>> {
        if self.turn.strong_count() > 0 {
            return None;
        }
        let turn = Arc::new(());
        self.turn = Arc::downgrade(&turn);
        Some(turn)
    }

    /// What the store holds, as it is noted there.
    pub(super) fn content(&self) -> Option<String> {
        self.content.clone()
    }

    /// Begins the snapshot at the cut that was appended last.
    pub(super) fn snapshot_at_cut(
        &mut self,
        compression: Compression,
    ) -> Result<SnapshotWriter<Directory>, SnapshotError> {
        match self.log.last_cut() {
            Some(cut) => self.log.snapshot_at(cut, compression),
            // The caller has made one; the newest record is as good.
            None => self.log.snapshot(compression),
        }
    }

    /// What is shown of the disk.
    pub(super) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// Has `is_short` shown, and whether the reserve is there.
    #[cold]
    fn note_room(&self, is_short: bool) {
        let (spent, known) = (self.log.is_reserve_spent(), &self.known);
        let bytes = self.log.reserve_bytes();
        known.reserve_bytes.store(bytes, Ordering::Relaxed);
        known.is_reserve_spent.store(spent, Ordering::Relaxed);
        known.is_short.store(is_short, Ordering::Relaxed);
    }

    /// What a write came to, as the keep hears it.
    fn note_written(&self, written: Result<(), WriteError>) -> Result<(), JournalError> {
        written.map_err(|error| {
            if matches!(error, WriteError::NoSpace(_)) {
                self.note_room(true);
            }
            unwritten(error)
        })
    }

    /// Bytes of effects appended since the log was opened; goes on counting.
    pub(super) fn bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }
}

/// A sync of the log that runs while the log is written on.
pub struct LogSync {
    sync: shardkeep_log::DetachedSync<Directory>,
    gate: Option<Gate>,
}

impl DetachedSync for LogSync {
    type End = Result<SyncEnd, JournalError>;

    fn run(self) -> Self::End {
        pass(self.gate.as_ref(), DiskStep::Sync)?;
        Ok(self.sync.run())
    }
}

impl fmt::Debug for LogSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogSync").field(&self.sync).finish()
    }
}

fn pass(gate: Option<&Gate>, step: DiskStep) -> Result<(), JournalError> {
    gate.map_or(Ok(()), |gate| (gate.0)(step))
}

/// Why the log has failed; that it has, its hearers say.
fn failed(LogFailed { cause }: LogFailed) -> JournalError {
    JournalError::Failed(cause.to_string())
}

fn unwritten(error: WriteError) -> JournalError {
    match error {
        WriteError::NoSpace(error) => JournalError::NoSpace(error.to_string()),
        WriteError::Failed(error) => failed(error),
        other => JournalError::Failed(other.to_string()),
    }
}

impl Journal for LogJournal {
    type Synced = Synced;
    type Detached = LogSync;

    fn append(&mut self, record: &[u8]) {
        match self.log.append(record) {
            Ok(_) => {
                self.bytes.fetch_add(record.len() as u64, Ordering::Relaxed);
            }
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }

    fn append_cut(&mut self) {
        if let Err(error) = self.log.append_cut() {
            self.failed.get_or_insert(error);
        }
    }

    fn write(&mut self) -> Result<(), JournalError> {
        if let Some(error) = &self.failed {
            return Err(JournalError::Failed(error.to_string()));
        }
        pass(self.gate.as_ref(), DiskStep::Write)?;
        let written = self.log.write();
        self.note_written(written)
    }

    fn write_in_steps(
        &mut self,
        bytes: usize,
        step: &mut dyn FnMut(usize) -> usize,
    ) -> Result<(), JournalError> {
        if let Some(error) = &self.failed {
            return Err(JournalError::Failed(error.to_string()));
        }
        pass(self.gate.as_ref(), DiskStep::Write)?;
        let written = self.log.write_in_steps(bytes, step);
        self.note_written(written)
    }

    fn sync(&mut self) -> Result<Synced, JournalError> {
        pass(self.gate.as_ref(), DiskStep::Sync)?;
        self.log.sync().map_err(failed)
    }

    fn look(&mut self) -> Result<(), JournalError> {
        self.log.look().map_err(failed)
    }

    fn begin_sync(&mut self) -> Result<LogSync, JournalError> {
        Ok(LogSync {
            sync: self.log.begin_sync().map_err(failed)?,
            gate: self.gate.clone(),
        })
    }

    fn end_sync(&mut self, end: Result<SyncEnd, JournalError>) -> Result<Synced, JournalError> {
        self.log.end_sync(end?).map_err(failed)
    }

    fn room(&mut self) -> Room {
        if !self.log.is_reserve_spent() && !self.known.is_short.load(Ordering::Relaxed) {
            return Room::Ample;
        }
        let room = self.log.room();
        if let shardkeep_log::Room::Scarce(why) | shardkeep_log::Room::None(why) = &room
            && let Some(free) = why.free
        {
            self.known.free_bytes.store(free, Ordering::Relaxed);
        }
        let room = match room {
            shardkeep_log::Room::Ample => Room::Ample,
            shardkeep_log::Room::Scarce(why) => {
                Room::Scarce(format!("{why}; what only removes is admitted"))
            }
            shardkeep_log::Room::None(why) => Room::None(why.to_string()),
        };
        self.note_room(room != Room::Ample);
        room
    }

    fn bytes_kept_free(&self) -> u64 {
        match self.log.reserve_bytes() {
            // None is wanted: the queue is as long as it may be.
            0 => u64::MAX,
            bytes => bytes,
        }
    }

    fn on_progress(&mut self, progress: Arc<dyn Fn() + Send + Sync>) {
        self.log.on_progress(progress);
    }

    fn mark(&mut self) -> Result<(), JournalError> {
        self.log.mark().map_err(failed)
    }
}

impl Drop for LogJournal {
    fn drop(&mut self) {
        // Everything that was to be durable is: this records how far, and gives back what was written
        // ahead. If it fails, recovery finds out by itself.
        drop(self.log.close());
    }
}

impl fmt::Debug for LogJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogJournal")
            .field("bytes", &self.bytes)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
