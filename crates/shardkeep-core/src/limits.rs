//! Every bound of this crate, with its unit and its reason.

use std::time::Duration;

/// Shards of one store at most. Routing takes the shard from 16 bits of the hash; more shards than
/// this would cost more in headers than they could win in parallelism.
pub const SHARDS_MAX: usize = 1 << 16;

/// Owner threads of one store at most: more than any machine has cores.
pub const OWNERS_MAX: usize = 1_024;

/// Default shards per core. Few favour batches, many favour single operations: on two cores 16
/// shards in all gave 9 M single operations per second and 64 gave 11 M, while batches of 512 fell
/// from 30.7 M to 27.3 M.
pub const SHARDS_PER_CORE: usize = 32;

/// Default places of one mailbox, in works. Enough for 1 ms of work at 1 M op/s on one shard; more
/// would only hide a stuck holder.
pub const MAILBOX_WORKS_DEFAULT: usize = 1_024;

/// Places of one mailbox at most, in works: a mailbox is allocated for its first work.
pub const MAILBOX_WORKS_MAX: usize = 1 << 20;

/// Groups of values that wait to be dropped by a store's own thread, each of one sweep of a shard, of
/// the works of one loan or of those that were given up during one. Enough for what the sweeps of all owners leave while a
/// `Drop` takes its time; then the sweeps leave entries where they are, and the thread that has served mail drops
/// what was given up.
pub const DISCARDS_MAX: usize = 64;

/// Works a passing holder serves for others before it hands the shard to its owner. At 0.1 to
/// 1 us a work a caller is captured for some tens of microseconds at most.
///
/// (The schedule explorer's build has a smaller one, so that short schedules reach it.)
pub const SERVICE_WORKS_MAX: usize = if cfg!(shuttle) { 2 } else { 64 };

/// Times a caller that has returned a shard takes it up again because new mail came meanwhile;
/// after that the shard's owner serves. Without it a caller would stay as long as others post.
pub const SERVICE_ROUNDS_MAX: usize = if cfg!(shuttle) { 2 } else { 8 };

/// Works an owner serves on one shard before it looks at its other shards and duties.
pub const OWNER_SERVICE_WORKS_MAX: usize = if cfg!(shuttle) { 3 } else { 256 };

/// Writes that one open batch holds at most; a fuller one is due at once.
pub const BATCH_WRITES_MAX: usize = if cfg!(shuttle) { 2 } else { 512 };

/// How often an owner tends a shard that asked for it (expiry): a compromise between memory held by
/// dead entries and wake-ups of an idle process.
pub const TEND_INTERVAL: Duration = Duration::from_millis(100);

/// Longest delay between two attempts to make a lost shard again; short enough that the attempts of
/// the restart intensity fall into its period.
pub const REMAKE_DELAY_MAX: Duration = Duration::from_millis(800);

/// Slices of tending in a row on one shard before its owner lets others have it.
pub const TEND_SLICES_MAX: usize = 4;

/// Works under way on one owner for several shards at once; one place per poster is what the
/// server asks for.
pub const TRANSACTIONS_DEFAULT: usize = if cfg!(shuttle) { 2 } else { 64 };

/// Places of the log's queue. A place holds a batch of up to [`LOG_PLACE_BYTES`]; a larger one takes
/// several, so that the queue holds 64 MiB and what those who had a place bring beyond that. Enough for
/// 20 ms of a server's batches, the time of a slow sync.
pub const LOG_PLACES: usize = if cfg!(shuttle) { 3 } else { 16_384 };

/// Bytes of a batch that one place of the log's queue stands for.
pub const LOG_PLACE_BYTES: usize = 4_096;

/// Places of the log's queue at least, where the journal keeps little room free: enough for a batch of
/// each shard of a usual store.
pub const LOG_PLACES_MIN: usize = if cfg!(shuttle) { 3 } else { 256 };

/// Bytes that the places of the log's queue stand for.
pub const LOG_QUEUE_BYTES: u64 = (LOG_PLACES * LOG_PLACE_BYTES) as u64;

/// Bytes after which a commit writes and syncs what it has appended before it appends more, at least: so
/// that those who wait see the log come forward. 0.4 s of a disk that takes 10 MB/s.
pub const LOG_STEP_BYTES: usize = 4 * 1_024 * 1_024;

/// The same, at most: syncs that take 0.2 s whatever they cover then still take in 80 MB/s, and a disk that
/// suddenly takes no more than 20 MB/s has ended the step that is under way within the default deadline.
pub const LOG_STEP_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// How long one step is to take: a quarter of the default deadline, and longer than most disks need for a
/// sync of anything, so that the steps grow where it is the sync that takes the time, not its bytes.
pub const LOG_STEP_TIME: Duration = Duration::from_millis(250);

/// Buffers of written batches kept to be used again: as many as are written together at a usual load.
pub const LOG_SPARE_BUFFERS: usize = if cfg!(shuttle) { 1 } else { 1_024 };

/// Bytes of the largest buffer that is kept; with [`LOG_SPARE_BUFFERS`] of them 16 MiB.
pub const LOG_SPARE_BYTES_MAX: usize = 16_384;

/// Things that wait to be done with the journal in hand: a snapshot to be adopted, a lost shard to be
/// made again; each is one at a time, or few.
pub const LOG_DUTIES_MAX: usize = 16;

/// Bytes of old states that wait in the buffer of a walk at most, over all shards: as many as wait in the log's
/// queue. Beyond half of them a thread that wants a place in that queue waits, so that what is under way then has the
/// other half.
pub const WALK_BUFFER_BYTES_MAX: usize = if cfg!(shuttle) { 8 } else { 64 << 20 };

/// How long one attempt of a cut waits in all for shards that are away, holding those it has: callers that meet a
/// held shard wait as long, which is the time of a slow sync.
pub const CUT_WAIT_MAX: Duration = Duration::from_millis(20);

/// Rest after the first attempt of a cut that failed; each later one is twice as long. As long as the attempt, so
/// that attempts hold shards for half of the time at most.
///
/// (None in the schedule explorer's build, where a rest would wait for nothing.)
pub const CUT_REST_MIN: Duration = Duration::from_millis(if cfg!(shuttle) { 0 } else { 20 });

/// Longest rest between two attempts of a cut: they then hold shards for 4 % of the time, and one that succeeds is
/// not much later than it could be.
pub const CUT_REST_MAX: Duration = Duration::from_millis(500);

/// How often a log without space is asked whether there is some again.
pub const LOG_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// How long nothing must have been written before the log is marked as far as it is synced: far longer than
/// the time between two commits under load, where the next record says so. A mark comes twice this time
/// after the last write at the latest.
pub const LOG_MARK_DELAY: Duration = Duration::from_millis(50);

/// How often it is looked whether the log's files are still where they were left: what has been moved or
/// removed is noticed within a second, with half of it to spare for a busy machine.
///
/// (Never in the schedule explorer's build, whose journals are nowhere.)
pub const LOG_LOOK_INTERVAL: Duration = if cfg!(shuttle) {
    Duration::from_secs(1_000_000)
} else {
    Duration::from_millis(500)
};

/// Longest window in which writes are gathered, whatever was asked for: a window is there to save
/// syncs, and after a second most callers have given up.
pub const WINDOW_MAX: Duration = Duration::from_secs(1);

/// How long a store that is dropped without being closed waits for its own threads.
///
/// (Never in the schedule explorer's build, so that it finds what would have to wait for it.)
pub const DROP_DEADLINE: Duration = Duration::from_secs(if cfg!(shuttle) { 1_000_000 } else { 10 });

/// How long a close waits for its owner threads when waiting for a shard has used up its deadline.
/// They end by themselves as soon as the keep is closed, whoever still holds a shard; this is time
/// for a busy machine to run them.
pub const JOIN_GRACE: Duration = Duration::from_millis(500);

const _: () = assert!(SERVICE_WORKS_MAX <= OWNER_SERVICE_WORKS_MAX);
const _: () = assert!(BATCH_WRITES_MAX <= MAILBOX_WORKS_DEFAULT);
const _: () = assert!(LOG_STEP_BYTES <= LOG_STEP_BYTES_MAX);
const _: () = assert!(LOG_PLACE_BYTES <= LOG_STEP_BYTES && LOG_SPARE_BYTES_MAX <= LOG_STEP_BYTES);
const _: () = assert!(LOG_SPARE_BUFFERS <= LOG_PLACES);
const _: () = assert!(LOG_PLACES_MIN <= LOG_PLACES);
const _: () = assert!(CUT_REST_MIN.as_millis() <= CUT_REST_MAX.as_millis());
const _: () = assert!(cfg!(shuttle) || CUT_WAIT_MAX.as_millis() <= CUT_REST_MIN.as_millis());
const _: () = assert!(MAILBOX_WORKS_DEFAULT <= MAILBOX_WORKS_MAX);
