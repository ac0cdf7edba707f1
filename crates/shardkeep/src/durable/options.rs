//! What the user chooses for a store that outlives its process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shardkeep_core::{Durability, JournalError, SyncMode};
use shardkeep_log::limits::{CONTENT_BYTES_MAX, SEGMENT_BYTES_DEFAULT};
use shardkeep_log::{Compression, Reserve};

use crate::limits;

/// How a store is kept on disk.
///
/// ```
/// use std::time::Duration;
/// use shardkeep::{Durable, SyncMode};
///
/// let durable = Durable::new().sync(SyncMode::Interval(Duration::from_millis(200)));
/// # drop(durable);
/// ```
#[derive(Clone, Debug)]
#[must_use = "settings do nothing before the store is opened"]
pub struct Durable {
    pub(crate) durability: Durability,
    pub(crate) create: bool,
    pub(crate) compression: Compression,
    pub(crate) snapshot_bytes: u64,
    pub(crate) segment_bytes: Option<u64>,
    pub(crate) reserve: Reserve,
    pub(crate) content: Option<String>,
    pub(crate) accepts_other_types: bool,
    pub(crate) gate: Option<Gate>,
}

/// What the log is about to do with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskStep {
    /// To write what was appended.
    Write,
    /// To make what was written durable.
    Sync,
}

/// Asked before each step; it may wait, or answer with an error instead of the disk.
#[derive(Clone)]
pub(crate) struct Gate(pub(crate) Arc<dyn Fn(DiskStep) -> Result<(), JournalError> + Send + Sync>);

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Durable {
    /// Synced before each acknowledgement; the store is made if it is not there.
    pub fn new() -> Self {
        Self {
            durability: Durability {
                sync: SyncMode::Always,
                window: Duration::ZERO,
                lend: true,
            },
            create: true,
            compression: Compression::None,
            snapshot_bytes: limits::SNAPSHOT_LOG_BYTES_DEFAULT,
            segment_bytes: None,
            reserve: Reserve::Fitting,
            content: None,
            accepts_other_types: false,
            gate: None,
        }
    }

    /// When writes are made durable; [`SyncMode::Always`] by default.
    pub fn sync(mut self, sync: SyncMode) -> Self {
        self.durability.sync = sync;
        self
    }

    /// How long writes are gathered before they are written together; not at all by default, and
    /// [`WINDOW_MAX`](shardkeep_core::limits::WINDOW_MAX), 1 s, at most. A lone writer never waits for
    /// company.
    pub fn window(mut self, window: Duration) -> Self {
        self.durability.window = window;
        self
    }

    /// Leaves every write and sync to the committer thread. By default a caller that waits for its own
    /// acknowledgement writes and syncs itself when nobody else is at it, which saves two thread
    /// switches.
    pub fn commit_by_thread(mut self) -> Self {
        self.durability.lend = false;
        self
    }

    /// Refuses to open a directory with no store in it, instead of making one.
    pub fn must_exist(mut self) -> Self {
        self.create = false;
        self
    }

    /// Compresses snapshots (LZ4).
    pub fn compress_snapshots(mut self) -> Self {
        self.compression = Compression::Lz4;
        self
    }

    /// Takes a snapshot by itself whenever the log has grown by so many bytes since the last one;
    /// 0: never. [`limits::SNAPSHOT_LOG_BYTES_DEFAULT`] by default.
    pub fn snapshot_after_bytes(mut self, bytes: u64) -> Self {
        self.snapshot_bytes = bytes;
        self
    }

    /// Keeps these bytes of the disk free, in a file of the directory, for when the disk is full: what is
    /// queued is written there, entries can still be removed, and a snapshot can begin that makes room.
    /// 0: none. By default [`limits::DISK_RESERVE_BYTES_DEFAULT`], which is what the queue in front of the
    /// log holds, but a sixteenth of the file system and half of what is free at the opening at most; with a smaller reserve the queue holds less.
    /// Other than 0, at least [`limits::DISK_RESERVE_BYTES_MIN`].
    ///
    /// Ordinary writes are refused while it is given up
    /// ([`Refused::LogHasNoSpace`](crate::Refused::LogHasNoSpace)), and admitted again when it has been taken
    /// again. A file that would become larger than the system lets the process write (`RLIMIT_FSIZE`) counts
    /// as a full disk too, in a program that ignores SIGXFSZ; in others that signal ends the process.
    pub fn disk_reserve(mut self, bytes: u64) -> Self {
        self.reserve = match bytes {
            0 => Reserve::None,
            bytes => Reserve::Bytes(bytes),
        };
        self
    }

    /// How large a segment of the log is: a part of what it may grow by between two snapshots, so that a
    /// snapshot gives room back.
    pub(super) fn segment_size(&self) -> u64 {
        let share = self.snapshot_bytes / limits::SEGMENT_PART_OF_SNAPSHOT;
        let largest = SEGMENT_BYTES_DEFAULT;
        self.segment_bytes.unwrap_or(match self.snapshot_bytes {
            0 => largest,
            _ => share.clamp(limits::SEGMENT_BYTES_MIN, largest),
        })
    }

    /// Opens a store too that was written with other types or codecs, whose bytes the present ones
    /// understand: one whose types were renamed, or that another program has made. From then on it counts
    /// as written with the present ones. By default it is refused, and what it holds is named.
    pub fn accept_other_types(mut self) -> Self {
        self.accepts_other_types = true;
        self
    }

    /// What the effects are about, for states that are not typed stores. A [`Builder`](crate::Builder)
    /// says it by the forms of its codecs.
    pub fn content(mut self, content: impl Into<String>) -> Self {
        self.content = Some(within_limit(content.into()));
        self
    }

    /// Segments of another size, in bytes: for tests that need many.
    #[doc(hidden)]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = Some(bytes);
        self
    }

    /// Is asked before each step that the log takes with the disk: for tests that hold one back, or let
    /// it fail.
    #[doc(hidden)]
    pub fn gate(
        mut self,
        gate: impl Fn(DiskStep) -> Result<(), JournalError> + Send + Sync + 'static,
    ) -> Self {
        self.gate = Some(Gate(Arc::new(gate)));
        self
    }

    /// How effects are kept, for the keep.
    #[must_use]
    pub fn durability(&self) -> &Durability {
        &self.durability
    }
}

/// `content`, or so much of it as can be noted, and a number that stands for all of it.
pub(super) fn within_limit(content: String) -> String {
    const NUMBER_BYTES: usize = 20;
    if content.len() <= CONTENT_BYTES_MAX {
        return content;
    }
    // FNV-1a: the same in every version of this program.
    let number = content
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut end = CONTENT_BYTES_MAX - NUMBER_BYTES;
    while !content.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}... {number:016x}", &content[..end])
}

impl Default for Durable {
    fn default() -> Self {
        Self::new()
    }
}
