//! Every bound of the server, with its unit and its reason.

use std::time::Duration;

use shardkeep_data::commands::REPLY_BYTES_MAX;

/// Bytes read from one connection at a time: a pipeline of some hundred commands, and small enough
/// that one busy client does not keep the others waiting.
pub const READ_BYTES: usize = 16 * 1024;

/// Bytes of requests that one round of a reactor works on: every connection's share is read into one
/// arena, so an idle connection owns no input buffer.
pub const ARENA_BYTES: usize = 1024 * 1024;

/// Bytes read at a time for a request that is larger than [`READ_BYTES`].
pub const LARGE_READ_BYTES: usize = 256 * 1024;

/// Commands of one connection in one round; the rest waits for the next, so that others get a turn.
pub const ROUND_COMMANDS_MAX: usize = 1_024;

/// Rounds between two looks at the sockets: a pipeline full of commands over several shards needs one
/// for each.
pub const ROUNDS_MAX: usize = 16;

/// Bytes of replies a client may leave unread before nothing more is read from it.
pub const OUTPUT_SOFT_BYTES: usize = 1024 * 1024;

/// Bytes of replies, the largest of them not counted, after which further commands of one pipeline are
/// refused, and the connection is closed: one reply may be as large as a value, but not each of a thousand.
pub const PIPELINE_REPLY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of replies one connection may have pending in all: what a pipeline may come to, and the replies that
/// it found unread. A connection that exceeds it is closed.
pub const OUTPUT_HARD_BYTES: usize =
    PIPELINE_REPLY_BYTES_MAX + 2 * REPLY_BYTES_MAX + 2 * OUTPUT_SOFT_BYTES;

/// Bytes of replies, the largest of them not counted, that one work may bring back before its further commands
/// are refused. Works of all shards may be under way at once.
pub const WORK_REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of requests that may wait for one shard in one reactor. Also keeps offsets within 32 bits: a
/// request is at most as large again.
pub const WORK_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Commands over several shards of one reactor that owners carry at once: enough that one which waits for a shard in
/// use does not keep the others waiting.
pub const TRANSACTIONS_OUT_MAX: usize = 16;

/// Bytes of commands that one transaction may hold: as many as one request, which may have a largest value. Also
/// keeps offsets within 32 bits.
pub const TRANSACTION_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Keys that one connection may watch: each costs some hundred bytes in a shard.
pub const WATCHED_KEYS_MAX: usize = 65_536;

/// While draining, a client that goes on sending is told goodbye after this long all the same.
pub const GOODBYE_AFTER: Duration = Duration::from_secs(1);

/// While draining, a client that takes none of its replies for this long is given up: it has stopped reading,
/// and its replies would hold up the end for everybody. Longer than a network needs to send a lost packet again.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(1);

/// Bytes per second that a client must send of a request, or read of its replies, to be waited for longer than
/// its timeout: any network that a store is used over has several times as much, and whoever wants to hold a
/// connection and its buffers has to pay for it.
pub const PEER_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;

/// Bytes of input or output held for a client that has not authenticated.
pub const UNAUTHENTICATED_BYTES: usize = 64 * 1024;

/// A client that has been told goodbye is read from for this long, so that its last replies are not
/// torn by a reset.
pub const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// How often a reactor looks for connections whose time is up.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// After an error in accept (no descriptors left) the acceptor waits this long.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Events taken from the poll at a time.
pub const EVENTS_MAX: usize = 1_024;

/// Buffers above this are given back to the allocator when they are empty again.
pub const BUFFER_KEEP_BYTES: usize = 64 * 1024;

/// A client that says nothing is asked whether it is still there after this many seconds.
pub const KEEPALIVE_SECONDS: u64 = 30;

/// Bytes of a key of a store with a directory at most: one entry is one record of the log at most, which
/// holds a largest value and 16 MiB beside it.
pub const LOGGED_KEY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// With overload = reject: commands that may wait in one reactor for a shard in other hands. Enough for a
/// millisecond of work; with more to do, a client should hear of it while it can still go elsewhere.
pub const REJECT_COMMANDS: usize = 1_024;

/// After a command that took longer than this the time is read anew for the next one: a time to live is
/// in milliseconds.
pub const TIME_GOES_ON: Duration = Duration::from_millis(1);

/// A SCAN that has held its shards for this long ends where it is, whatever its COUNT: a small part of any
/// deadline of those that wait for them.
pub const SCAN_SLICE: Duration = Duration::from_millis(20);

/// Commands with more arguments than this are timed one by one, for SLOWLOG.
pub const TIMED_ARGS: usize = 32;

/// Commands with a longer value than this are timed one by one, for SLOWLOG.
pub const TIMED_VALUE_BYTES: usize = READ_BYTES;

/// Works kept for reuse by one reactor.
pub const WORKS_KEEP: usize = 64;

const _: () = assert!(READ_BYTES <= LARGE_READ_BYTES && LARGE_READ_BYTES <= ARENA_BYTES);
const _: () = assert!(OUTPUT_SOFT_BYTES <= OUTPUT_HARD_BYTES);
const _: () = assert!(WORK_REPLY_BYTES_MAX <= PIPELINE_REPLY_BYTES_MAX);
const _: () = assert!(PIPELINE_REPLY_BYTES_MAX <= REPLY_BYTES_MAX);
const _: () = assert!(2 * WORK_BYTES_MAX < u32::MAX as usize);
