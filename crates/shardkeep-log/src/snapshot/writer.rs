//! A snapshot being written, by whoever has it, while the log goes on.

use std::fmt;
use std::sync::Arc;

use crate::error::{DiskError, Operation, SnapshotError};
use crate::format::{
    FILE_HEADER_BYTES, FRAME_FOOTER, FRAME_LZ4, FRAME_PLAIN, FileHeader, FileKind, Footer,
    HEAD_BYTES, Head, Lsn, StoreId,
};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::manifest;
use crate::names::snapshot_temporary_name;
use crate::storage::{Storage, is_no_space, is_retryable_create, write_all_at};

/// Whether frames are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// They are written as they are given.
    #[default]
    None,
    /// Each frame becomes one block of LZ4, unless that would be longer.
    Lz4,
}

impl Compression {
    /// Bytes that a frame with this payload takes.
    #[must_use]
    pub fn frame_bytes(self, payload: &[u8]) -> u64 {
        let mut buffer = Vec::new();
        let stored = match self {
            Self::Lz4 if compress(payload, &mut buffer) => buffer.len(),
            Self::Lz4 | Self::None => HEAD_BYTES + payload.len(),
        };
        stored as u64
    }
}

/// A file under a name that recovery ignores; removed unless it becomes a snapshot.
struct Temporary<S: Storage> {
    storage: Arc<S>,
    name: String,
    file: S::File,
    /// Whether it has got another name.
    is_adopted: bool,
    /// Tells the log that a snapshot is being written.
    _writing: Arc<()>,
}

impl<S: Storage> Drop for Temporary<S> {
    fn drop(&mut self) {
        // Nothing is removed that is not ours. Recovery removes what stays.
        if !self.is_adopted && self.storage.look(&self.name, &self.file).is_ok() {
            drop(self.storage.remove(&self.name));
        }
    }
}

/// Writes a snapshot. Needs nothing of the log, so that any thread can do it while another one writes
/// the log. Dropped before [`SnapshotWriter::finish`], it removes what it has written.
///
/// ```
/// # use shardkeep_log::{Compression, Directory, Options, Recovery, StoreId};
/// # let path = std::env::temp_dir().join(format!("shardkeep-log-doc-snapshot-{}", std::process::id()));
/// # let options = Options { create: Some(StoreId::new([7; 16])), ..Options::new() };
/// # let (mut log, _) = Recovery::open(Directory::create(&path)?.into(), options)?.into_log()?;
/// log.append(b"SET k v")?;
/// let mut writer = log.snapshot(Compression::None)?;  // holds what was appended before
/// writer.frame(b"k=v")?;
/// log.append(b"SET k w")?;                            // goes on meanwhile
/// let finished = writer.finish(1, log.appended())?;   // may contain what was appended by now
/// log.write()?;
/// let synced = log.sync()?;
/// log.adopt(finished, synced)?;                       // the log before it is removed
/// # std::fs::remove_dir_all(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SnapshotWriter<S: Storage> {
    temporary: Temporary<S>,
    lsn: Lsn,
    seed: u32,
    compression: Compression,
    end: u64,
    frames: u64,
    /// Why it cannot be completed any more.
    broken: Option<SnapshotError>,
    /// Head and payload of one frame, when they have to be put together.
    buffer: Vec<u8>,
}

impl<S: Storage> SnapshotWriter<S> {
    pub(crate) fn begin(
        storage: Arc<S>,
        store: StoreId,
        lsn: Lsn,
        compression: Compression,
        writing: Arc<()>,
    ) -> Result<Self, SnapshotError> {
        let name = snapshot_temporary_name(lsn);
        let file = manifest::create(&*storage, &name)
            .map_err(|error| refused(is_retryable_create(&error.error), error))?;
        let mut writer = Self {
            temporary: Temporary {
                storage,
                name,
                file,
                is_adopted: false,
                _writing: writing,
            },
            lsn,
            seed: store.frames_seed(lsn),
            compression,
            end: 0,
            frames: 0,
            broken: None,
            buffer: Vec::new(),
        };
        let header = FileHeader::new(FileKind::Snapshot, store, lsn);
        writer.put(&header.encode())?;
        Ok(writer)
    }

    /// The record at which it began: replay begins with the next.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Adds a frame: any bytes, which the reader gets back as one piece. Frames of some 64 KiB to 1 MiB
    /// can be read in parallel and cost little memory. Blocks for the disk at times.
    ///
    /// # Errors
    /// After any but `TooLarge` the snapshot cannot be completed, and every later call says so: drop it.
    pub fn frame(&mut self, payload: &[u8]) -> Result<(), SnapshotError> {
        let (bytes, limit) = (payload.len(), PAYLOAD_BYTES_MAX);
        if bytes > limit {
            return Err(SnapshotError::TooLarge { bytes, limit });
        }
        let kind = match self.compression {
            Compression::None => FRAME_PLAIN,
            Compression::Lz4 => FRAME_LZ4,
        };
        self.add(kind, payload)?;
        self.frames += 1;
        Ok(())
    }

    /// Ends the snapshot and syncs it. `entries` is what the caller counted, for the reader to compare
    /// or to show; `needs` is the newest record that any frame may contain. Blocks for the disk.
    ///
    /// # Errors
    /// The disk refuses. What was written is removed; the log is as it was.
    pub fn finish(
        mut self,
        entries: u64,
        needs: Lsn,
    ) -> Result<FinishedSnapshot<S>, SnapshotError> {
        let needs = needs.max(self.lsn);
        let footer = Footer {
            frames: self.frames,
            entries,
            needs,
        };
        self.add(FRAME_FOOTER, &footer.encode())?;
        manifest::sync_new(&self.temporary.file, &self.temporary.name).map_err(|error| {
            let is_space = is_no_space(&error.error);
            refused(is_space, error)
        })?;
        Ok(FinishedSnapshot {
            temporary: self.temporary,
            lsn: self.lsn,
            needs,
            bytes: self.end,
        })
    }

    fn add(&mut self, kind: u8, payload: &[u8]) -> Result<(), SnapshotError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let compressed = match kind {
            FRAME_LZ4 => compress(payload, &mut buffer),
            _ => false,
        };
        if !compressed {
            buffer.resize(HEAD_BYTES, 0);
            buffer.extend_from_slice(payload);
        }
        let stored = &buffer[HEAD_BYTES..];
        let head = Head {
            kind: if kind == FRAME_LZ4 && !compressed {
                FRAME_PLAIN
            } else {
                kind
            },
            length: stored.len() as u32,
            extra: payload.len() as u32,
            number: self.frames,
            payload_checksum: crc32c::crc32c(stored),
        };
        buffer[..HEAD_BYTES].copy_from_slice(&head.encode(self.seed));
        let put = self.put(&buffer);
        self.buffer = buffer;
        // What was written of the frame would stand behind the next.
        self.broken = put.as_ref().err().cloned();
        put
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        write_all_at(&self.temporary.file, bytes, self.end).map_err(|unwritten| {
            let is_space = is_no_space(&unwritten.error);
            let name = &self.temporary.name;
            refused(
                is_space,
                DiskError::new(Operation::Write, name, unwritten.error),
            )
        })?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

impl<S: Storage> fmt::Debug for SnapshotWriter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotWriter({}, {} bytes)", self.lsn, self.end)
    }
}

fn refused(is_space: bool, error: DiskError) -> SnapshotError {
    if is_space {
        SnapshotError::NoSpace(error)
    } else {
        SnapshotError::Disk(error)
    }
}

/// Puts `payload` compressed into `buffer`, behind room for a head; `false` when that saves nothing.
fn compress(payload: &[u8], buffer: &mut Vec<u8>) -> bool {
    buffer.resize(
        HEAD_BYTES + lz4_flex::block::get_maximum_output_size(payload.len()),
        0,
    );
    match lz4_flex::block::compress_into(payload, &mut buffer[HEAD_BYTES..]) {
        Ok(bytes) if bytes < payload.len() => {
            buffer.truncate(HEAD_BYTES + bytes);
            true
        }
        Ok(_) | Err(_) => {
            buffer.clear();
            false
        }
    }
}

/// A snapshot that is whole and durable, but does not count yet: see [`Log::adopt`](crate::Log::adopt).
/// Dropped, it removes itself.
pub struct FinishedSnapshot<S: Storage> {
    temporary: Temporary<S>,
    lsn: Lsn,
    needs: Lsn,
    bytes: u64,
}

impl<S: Storage> FinishedSnapshot<S> {
    /// The record at which it began.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The newest record it may contain.
    #[must_use]
    pub fn needs(&self) -> Lsn {
        self.needs
    }

    /// Bytes of its file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn temporary_name(&self) -> &str {
        &self.temporary.name
    }

    /// It has got its own name and is not to be removed any more.
    pub(crate) fn renamed(mut self) {
        self.temporary.is_adopted = true;
    }
}

impl<S: Storage> fmt::Debug for FinishedSnapshot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FinishedSnapshot({}, needs {})", self.lsn, self.needs)
    }
}

const _: () = assert!(
    FILE_HEADER_BYTES >= HEAD_BYTES,
    "a file is never shorter than a head"
);
