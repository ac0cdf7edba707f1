//! Every bound of the store, with its unit and its reason.

use std::time::Duration;

/// How long a call may wait unless the store was told otherwise. Far above anything a healthy
/// store needs, and below the 5 s after which most callers' own callers give up.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(1);

/// Operations of one batch that run under one loan, in operations: some 20 us of work; then the
/// shard goes back to its desk for a moment, so that a huge batch starves nobody.
pub const GROUP_OPS_MAX: usize = 512;

/// Rounds in which a batch passes over a shard that is away, before it mails what is left for it.
pub const BATCH_ROUNDS: usize = 3;

/// Loads under way in one shard, in keys. Each has a caller that runs it, so more would mean more
/// threads than any machine runs well.
pub const FLIGHTS_MAX: usize = 1_024;

/// Keys of one transaction. It holds all their shards at once; a program that wants more wants to
/// divide its work.
pub const TRANSACTION_KEYS_MAX: usize = 65_536;

const _: () = assert!(BATCH_ROUNDS >= 1 && GROUP_OPS_MAX >= 1);

/// How far the log may grow, in bytes, before a snapshot is taken by itself: half a second of recovery.
pub const SNAPSHOT_LOG_BYTES_DEFAULT: u64 = 256 * 1_024 * 1_024;

/// Part of that growth which one segment of the log holds at most.
pub const SEGMENT_PART_OF_SNAPSHOT: u64 = 4;

/// Bytes of a segment at least, however small that growth: a new one takes five syncs.
pub const SEGMENT_BYTES_MIN: u64 = 1_024 * 1_024;

/// Default of the room kept for a full disk, in bytes: what the queue in front of the log may hold.
pub const DISK_RESERVE_BYTES_DEFAULT: u64 = shardkeep_log::limits::RESERVE_BYTES_DEFAULT;

/// Least room kept for a full disk, in bytes, where any is.
pub const DISK_RESERVE_BYTES_MIN: u64 = shardkeep_log::limits::RESERVE_BYTES_MIN;

const _: () = assert!(DISK_RESERVE_BYTES_DEFAULT >= shardkeep_core::limits::LOG_QUEUE_BYTES);
const _: () = assert!(
    DISK_RESERVE_BYTES_MIN
        >= (shardkeep_core::limits::LOG_PLACES_MIN * shardkeep_core::limits::LOG_PLACE_BYTES)
            as u64,
    "the shortest queue fits into the smallest reserve"
);

/// Bytes that a snapshot needs beside its entries: heads, a manifest, the beginning of a segment.
pub const SNAPSHOT_ROOM_BYTES: u64 = 64 * 1_024;

/// How often the growth of the log is looked at.
pub const SNAPSHOT_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How soon a snapshot that was due and could not be taken is tried again; then twice as late each time.
pub const SNAPSHOT_RETRY_FIRST: Duration = Duration::from_secs(1);

/// Longest that such a snapshot is put off: a disk that was full is not left without one for long.
pub const SNAPSHOT_RETRY_MAX: Duration = Duration::from_secs(60);

/// Longest wait for one shard, or for the log, while a snapshot is taken.
pub const SNAPSHOT_STEP_MAX: Duration = Duration::from_secs(60);

/// Entries of a snapshot that are copied with their shard in hand, at most: some 20 us even where each
/// of them lies in cold memory.
pub const SNAPSHOT_SLICE_ENTRIES: usize = 512;

/// Bytes of a snapshot that are copied with their shard in hand, unless one entry alone has more: some
/// 20 us, and enough that writing them in one piece runs at full speed.
pub const SNAPSHOT_SLICE_BYTES: usize = 64 * 1_024;

/// How long a snapshot rests after a slice, in times of what the slice took. Measured with 50 connections
/// at full load on 2 cores: without a rest the 99th percentile is 4.6 times that without a snapshot and a
/// third of the operations is lost, with twice the time 1.4 times, with four times the time no difference.
pub const SNAPSHOT_RESTS: u32 = 4;

/// Longest rest between two slices: a disk that is slow already need not be waited for twice.
pub const REST_MAX: Duration = Duration::from_millis(1);

/// Effects that are read in a row when a lost shard is made again: about 100 us.
pub const REMAKE_SLICE_EFFECTS: usize = 256;

/// How long whoever makes a lost shard again rests after a slice, in times of what the slice took: less
/// than a snapshot, because the shard is refused meanwhile.
pub const REMAKE_RESTS: u32 = 2;

/// Bytes of effects that a new store puts into one frame of its snapshot, unless one entry alone has
/// more: large enough to be written at full speed, small enough to be read in parallel.
pub const NEW_STORE_FRAME_BYTES: usize = 256 * 1_024;
