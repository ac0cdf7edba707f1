//! Every bound of this crate, with its unit and its reason.

/// Largest payload of one record, and of one frame of a snapshot, in bytes: a largest value (512 MiB)
/// with 16 MiB for its key, its framing and what else belongs to the same record.
pub const PAYLOAD_BYTES_MAX: usize = (512 + 16) * 1_024 * 1_024;

/// Default size of a segment in bytes, beyond which the next record begins a new one. Small enough
/// that little is kept for nothing behind a snapshot, large enough that the five syncs of a new
/// segment do not show.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1_024 * 1_024;

/// Smallest size of a segment in bytes: a header and a few records, for tests.
pub const SEGMENT_BYTES_MIN: u64 = 512;

/// Segments that a manifest lists at most. At the default size 4 TiB of log without a snapshot; a log
/// that has reached it goes on in its last segment.
pub const SEGMENTS_MAX: usize = 65_536;

/// Snapshots that are kept at most; each keeps the log behind it.
pub const SNAPSHOTS_KEPT_MAX: usize = 16;

/// Default of the room kept for a full disk, in bytes: what a queue of 64 MiB in front of the log may hold.
pub const RESERVE_BYTES_DEFAULT: u64 = 64 * 1_024 * 1_024;

/// Smallest room that is kept for a full disk, in bytes: a manifest, a segment and a snapshot begun many
/// times over, and some thousand removals.
pub const RESERVE_BYTES_MIN: u64 = 1_024 * 1_024;

/// Part of a file system that the default reserve takes at most, so that a small one is not filled by it.
pub const RESERVE_PART_OF_DISK: u64 = 16;

/// Part of a reserve that must be left free when it is taken again.
pub const RESERVE_PART_TO_SPARE: u64 = 4;

/// Last part of a reserve, which is for the beginning of a snapshot alone.
pub const RESERVE_PART_FOR_SNAPSHOT: u64 = 8;

/// Default of the zeros written ahead of the records, in bytes, so that most syncs find the blocks in
/// place and the size unchanged. On ext4 the median of write and sync then was 80 us instead of
/// 115 us for records of 120 bytes, and 80 us instead of 170 us for 4,000 bytes. Four times as much
/// gained nothing at the median and made the longest sync three times as long.
pub const AHEAD_BYTES_DEFAULT: u64 = 256 * 1_024;

/// Largest write, as a part of the zeros ahead, for which there are any: a larger one gains nothing.
pub const AHEAD_WRITE_PART: u64 = 8;

/// Memory in bytes that the buffer of a log keeps after a write; what a single large record needed
/// beyond it is given back.
pub const BUFFER_KEPT_BYTES: usize = 4 * 1_024 * 1_024;

/// Bytes of the fields in the header of a file: all that are known, and room for those to come.
pub const FIELDS_BYTES_MAX: usize = 4 * 1_024;

/// Bytes of the text that says what a store holds.
pub const CONTENT_BYTES_MAX: usize = 1_024;

/// Bytes read at a time. A larger record makes the window grow to its size, once its header has been
/// verified and the file has been seen to be long enough.
pub const WINDOW_BYTES: usize = 256 * 1_024;

/// Most bytes that one compressed byte can stand for in a block of LZ4. A frame that claims more is
/// damaged.
pub const LZ4_RATIO_MAX: usize = 255;

const _: () = assert!(PAYLOAD_BYTES_MAX < 1 << 30, "a length has thirty bits");
const _: () = assert!(CONTENT_BYTES_MAX < FIELDS_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MIN <= SEGMENT_BYTES_DEFAULT);
const _: () = assert!(AHEAD_BYTES_DEFAULT < SEGMENT_BYTES_DEFAULT);
const _: () = assert!(RESERVE_BYTES_MIN <= RESERVE_BYTES_DEFAULT);
