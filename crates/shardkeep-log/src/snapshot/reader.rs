//! A snapshot being read, frame by frame, by as many threads as there are.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{DiskError, Operation};
use crate::fault::{Fault, is_planted};
use crate::format::{
    FRAME_FOOTER, FRAME_LZ4, FRAME_PLAIN, FileKind, Footer, HEAD_BYTES, Head, Lsn, StoreId,
};
use crate::limits::{LZ4_RATIO_MAX, PAYLOAD_BYTES_MAX};
use crate::names::snapshot_name;
use crate::open_error::{Damage, OpenError};
use crate::segment::open_file;
use crate::storage::{File, Storage, read_exact_at};

/// Memory for the frame that was read last; used again for the next.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    stored: Vec<u8>,
    plain: Vec<u8>,
}

/// A whole snapshot: its end was found and fits. Frames are verified when they are read.
pub struct SnapshotReader<S: Storage> {
    file: S::File,
    name: String,
    lsn: Lsn,
    footer: Footer,
    bytes: u64,
    frames: Vec<(u64, Head)>,
    /// Bytes of the frames that were read, for progress.
    read: AtomicU64,
}

impl<S: Storage> SnapshotReader<S> {
    /// Opens the snapshot at `lsn` and looks through its heads.
    pub(crate) fn open(storage: &S, store: StoreId, lsn: Lsn) -> Result<Self, OpenError> {
        let name = snapshot_name(lsn);
        let (file, header) = open_file(storage, &name, FileKind::Snapshot, store, lsn)?;
        let unreadable = |error| DiskError::new(Operation::Read, &name, error);
        let bytes = file.len().map_err(unreadable)?;
        let seed = store.frames_seed(lsn);
        let (mut at, mut frames) = (header.bytes, Vec::new());
        let (footer_at, footer) = loop {
            let index = frames.len() as u64;
            let damaged = |damage| OpenError::damaged(&name, at, damage);
            let frame = Damage::Frame { index };
            if bytes - at < HEAD_BYTES as u64 {
                return Err(damaged(frame));
            }
            let mut head = [0; HEAD_BYTES];
            read_exact_at(&file, &mut head, at).map_err(unreadable)?;
            let head = Head::decode(seed, &head).filter(|head| head.number == index);
            let Some(head) = head else {
                return Err(damaged(frame));
            };
            if !matches!(head.kind, FRAME_PLAIN | FRAME_LZ4 | FRAME_FOOTER) {
                return Err(damaged(Damage::Kind { kind: head.kind }));
            }
            if head.total_bytes() > bytes - at || !is_plausible(&head) {
                return Err(damaged(frame));
            }
            if head.kind == FRAME_FOOTER {
                break (at, head);
            }
            frames.push((at, head));
            at += head.total_bytes();
        };
        let mut reader = Self {
            file,
            name,
            lsn,
            footer: Footer {
                frames: 0,
                entries: 0,
                needs: lsn,
            },
            bytes,
            frames,
            read: AtomicU64::new(0),
        };
        reader.read_footer(footer_at, &footer)?;
        Ok(reader)
    }

    fn read_footer(&mut self, at: u64, head: &Head) -> Result<(), OpenError> {
        let mut buffer = FrameBuffer::default();
        let index = self.frames.len() as u64;
        let footer = Footer::decode(self.read(index, at, head, &mut buffer)?);
        let ends = at + head.total_bytes() == self.bytes;
        match footer.filter(|footer| ends && footer.frames == index && footer.needs >= self.lsn) {
            Some(footer) => self.footer = footer,
            None => return Err(OpenError::damaged(&self.name, at, Damage::Footer)),
        }
        self.read.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// The record at which it began: replay begins with the next.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The newest record it may contain.
    #[must_use]
    pub fn needs(&self) -> Lsn {
        self.footer.needs
    }

    /// Entries, as its writer counted them.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.footer.entries
    }

    /// Bytes of its file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of its frames that were read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed).min(self.bytes)
    }

    /// How many frames there are.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Reads frame `index`, in any order and from any thread. Blocks for the disk.
    ///
    /// # Errors
    /// It is damaged, or the disk refuses.
    ///
    /// # Panics
    /// There is no such frame.
    pub fn read_frame<'b>(
        &self,
        index: usize,
        buffer: &'b mut FrameBuffer,
    ) -> Result<&'b [u8], OpenError> {
        let (at, head) = &self.frames[index];
        self.read(index as u64, *at, head, buffer)
    }

    fn read<'b>(
        &self,
        index: u64,
        at: u64,
        head: &Head,
        buffer: &'b mut FrameBuffer,
    ) -> Result<&'b [u8], OpenError> {
        let damaged = || OpenError::damaged(&self.name, at, Damage::Frame { index });
        let FrameBuffer { stored, plain } = buffer;
        stored.resize(head.length as usize, 0);
        read_exact_at(&self.file, stored, at + HEAD_BYTES as u64)
            .map_err(|error| DiskError::new(Operation::Read, &self.name, error))?;
        if !head.fits(stored) && !is_planted(Fault::ChecksumIgnored) {
            return Err(damaged());
        }
        self.read.fetch_add(head.total_bytes(), Ordering::Relaxed);
        if head.kind != FRAME_LZ4 {
            return Ok(stored);
        }
        plain.resize(head.extra as usize, 0);
        match lz4_flex::block::decompress_into(stored, plain) {
            Ok(bytes) if bytes == plain.len() => Ok(plain),
            Ok(_) | Err(_) => Err(damaged()),
        }
    }
}

/// Whether the plain length can be true.
fn is_plausible(head: &Head) -> bool {
    let (stored, plain) = (head.length as usize, head.extra as usize);
    match head.kind {
        FRAME_LZ4 => {
            let most = stored.saturating_mul(LZ4_RATIO_MAX).min(PAYLOAD_BYTES_MAX);
            stored < plain && plain <= most
        }
        _ => stored == plain,
    }
}

impl<S: Storage> fmt::Debug for SnapshotReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SnapshotReader({}, {} frames)",
            self.name,
            self.frames.len()
        )
    }
}
