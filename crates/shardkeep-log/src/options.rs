//! What the caller chooses.

use crate::format::StoreId;
use crate::limits::{
    AHEAD_BYTES_DEFAULT, CONTENT_BYTES_MAX, PAYLOAD_BYTES_MAX, RESERVE_BYTES_MIN,
    SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MIN, SNAPSHOTS_KEPT_MAX,
};
use crate::open_error::OpenError;
use crate::reserve::Reserve;

/// How a store is opened and its log written.
#[derive(Clone, Debug)]
pub struct Options {
    /// Make a store of this identity when there is none; `None`: there must be one. The bytes come from
    /// the system's source of randomness, since this crate has none.
    pub create: Option<StoreId>,
    /// Size of a segment in bytes beyond which the next record begins a new one.
    pub segment_bytes: u64,
    /// Bytes of the parts into which a larger record is cut; at most, and by default, what one payload may have.
    pub part_bytes: usize,
    /// Zeros written ahead of the records in bytes, so that syncs are cheaper; 0: none.
    pub ahead_bytes: u64,
    /// Snapshots to keep, with the log behind the oldest of them. With more than one, a damaged
    /// snapshot can be repaired without loss.
    pub snapshots_kept: usize,
    /// Room kept for a full disk, so that what makes room can still be written.
    pub reserve: Reserve,
    /// What the payloads are, in words that stay the same as long as they do: noted in the store, and
    /// compared with what is noted there. `None`: not compared, for those who do not look into payloads.
    pub content: Option<String>,
    /// Open a store with other content too; from then on it is said to hold `content`.
    pub accepts_other_content: bool,
}

impl Options {
    /// A store that must be there, with default sizes, one snapshot, and no reserve.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            create: None,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            part_bytes: PAYLOAD_BYTES_MAX,
            ahead_bytes: AHEAD_BYTES_DEFAULT,
            snapshots_kept: 1,
            reserve: Reserve::None,
            content: None,
            accepts_other_content: false,
        }
    }

    pub(crate) fn verify(&self) -> Result<(), OpenError> {
        if self.segment_bytes < SEGMENT_BYTES_MIN {
            return Err(OpenError::Setting {
                name: "segment_bytes",
                value: self.segment_bytes,
                allowed: "512 and more",
            });
        }
        if !(1..=PAYLOAD_BYTES_MAX).contains(&self.part_bytes) {
            return Err(OpenError::Setting {
                name: "part_bytes",
                value: self.part_bytes as u64,
                allowed: "1 to 553648128",
            });
        }
        if let Reserve::Bytes(bytes) = self.reserve
            && bytes < RESERVE_BYTES_MIN
        {
            return Err(OpenError::Setting {
                name: "disk_reserve",
                value: bytes,
                allowed: "1048576 and more",
            });
        }
        if !(1..=SNAPSHOTS_KEPT_MAX).contains(&self.snapshots_kept) {
            return Err(OpenError::Setting {
                name: "snapshots_kept",
                value: self.snapshots_kept as u64,
                allowed: "1 to 16",
            });
        }
        if let Some(content) = &self.content
            && content.len() > CONTENT_BYTES_MAX
        {
            return Err(OpenError::Setting {
                name: "content",
                value: content.len() as u64,
                allowed: "1024 bytes and fewer",
            });
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(
    SEGMENT_BYTES_MIN == 512
        && SNAPSHOTS_KEPT_MAX == 16
        && RESERVE_BYTES_MIN == 1_048_576
        && CONTENT_BYTES_MAX == 1_024
        && PAYLOAD_BYTES_MAX == 553_648_128,
    "as the texts say"
);
