//! What a setting may be: every bound with its unit and its reason.
//!
//! Bounds of what peers may send lie with the code that meets peers, not here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where the server listens unless told otherwise: only this machine, on the port clients expect.
pub const BIND_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6379);

/// Where the admin endpoint listens unless told otherwise: only this machine.
pub const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9379);

/// TCP addresses of one server at most. Each costs a descriptor and a turn of the acceptor; real
/// machines have a handful.
pub const BIND_ADDRESSES_MAX: usize = 16;

/// Bytes of a unix socket's path at most: what the kernel's address has room for (108 with the
/// closing zero).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Shards at most. The cursor of SCAN keeps the shard in 16 bits, and routing takes as many from
/// the hash.
pub const SHARDS_MAX: usize = 1 << 16;

/// Owner threads at most: more than any machine has cores.
pub const OWNERS_MAX: usize = 1_024;

/// Reactor threads at most. Every mailbox keeps a place for each of them, so they cost memory per
/// shard.
pub const REACTORS_MAX: usize = 1_024;

/// Databases unless told otherwise, and at most.
pub use shardkeep_data::keyspace::{DATABASES_DEFAULT, DATABASES_MAX};

/// Connections at once unless told otherwise.
pub const MAX_CLIENTS_DEFAULT: usize = 10_000;

/// Connections at once at most: as many descriptors as a Linux process may have without raising
/// `fs.nr_open`.
pub const MAX_CLIENTS_MAX: usize = 1 << 20;

/// Longest time from a command's arrival to its refusal, unless told otherwise. Clients give up
/// after 5 s; they should hear from us before.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(1);

/// Shortest deadline: below this a thread that merely waits for its core would be refused.
pub const DEADLINE_MIN: Duration = Duration::from_millis(1);

/// Longest deadline.
pub const DEADLINE_MAX: Duration = Duration::from_secs(60 * 60);

/// Longest idle time that can be asked for; far from where adding it to a clock overflows.
pub const IDLE_TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long a client may stop in the middle of a request unless told otherwise: longer than any
/// network recovers from a lost packet in.
pub const FRAME_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How long a client may stay without the password, where one is asked for, unless told otherwise: a person
/// types one in, and a network recovers from lost packets, in less.
pub const LOGIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How late logins of an address that gave wrong passwords are answered at most, unless told otherwise: a
/// person who mistypes waits for it, and clients do not give up yet.
pub const LOGIN_DELAY_DEFAULT: Duration = Duration::from_secs(2);

/// Longest such time: most clients give up after it.
pub const LOGIN_DELAY_MAX: Duration = Duration::from_secs(30);

/// How long a client may leave too many replies unread unless told otherwise.
pub const OUTPUT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Shortest such time that can be asked for: reactors look ten times a second.
pub const CLIENT_TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// How long a drain may take unless told otherwise: under the 30 s after which the supervisors
/// people use send SIGKILL.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(25);

/// Longest time that the server may go on serving after it has said that it will stop.
pub const PRE_STOP_DELAY_MAX: Duration = Duration::from_secs(10 * 60);

/// How long a thread may make no progress before it is reported, at least: the watchdog looks four
/// times in that time, and a busy machine may not run a thread for some tens of milliseconds.
pub const STALL_BOUND_MIN: Duration = Duration::from_millis(100);

/// How long a thread may make no progress before it is reported, at most.
pub const STALL_BOUND_MAX: Duration = Duration::from_secs(10 * 60);

/// Longest drain that can be asked for.
pub const DRAIN_TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

/// Longest time writes may be gathered. Every waiting writer pays it.
pub const WRITE_WINDOW_MAX: Duration = Duration::from_secs(1);

/// How long writes are gathered before they go to the log together, unless told otherwise. A lone
/// writer does not wait for it where somebody waits for the sync, and neither do the reactors of
/// `--commit auto`: it keeps the committer from taking the log between them. Measured with 50 connections
/// on 2 cores: 110,000 changes in a second with 100 us, 117,000 with 500 us and with 1 ms; with 1 and 8
/// connections there is no difference.
pub const LOG_WINDOW_DEFAULT: Duration = Duration::from_micros(500);

/// How often the log is synced unless told otherwise: what a power cut may take.
pub const SYNC_INTERVAL_DEFAULT: Duration = Duration::from_secs(1);

/// Shortest time between two syncs: below it `sync = always` promises more and costs as little.
pub const SYNC_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Longest time between two syncs.
pub const SYNC_INTERVAL_MAX: Duration = Duration::from_secs(60 * 60);

/// How far the log grows before a snapshot is taken, unless told otherwise.
pub const SNAPSHOT_LOG_BYTES_DEFAULT: u64 = shardkeep::limits::SNAPSHOT_LOG_BYTES_DEFAULT;

/// Bytes of the disk that are kept for when it is full, at least, where any are.
pub const DISK_RESERVE_BYTES_MIN: u64 = shardkeep::limits::DISK_RESERVE_BYTES_MIN;

/// A command that takes longer is noted in SLOWLOG unless told otherwise; as in Redis.
pub const SLOWLOG_SLOWER_THAN_DEFAULT: Duration = Duration::from_millis(10);

/// Entries that SLOWLOG keeps unless told otherwise; as in Redis.
pub const SLOWLOG_ENTRIES_DEFAULT: usize = 128;

/// Entries that SLOWLOG keeps at most: four megabytes of arguments.
pub const SLOWLOG_ENTRIES_MAX: usize = 1_024;

/// Bytes of a password at most. AUTH comes over connections that may hold 64 KiB before they are
/// known; this leaves room for the rest of the command many times over.
pub const PASSWORD_BYTES_MAX: usize = 4_096;

/// Bytes of a configuration file at most: every setting fits in a few hundred.
pub const CONFIG_FILE_BYTES_MAX: usize = 1024 * 1024;

/// Characters of somebody's value that an error repeats.
pub const ECHO_CHARACTERS_MAX: usize = 80;

const _: () = assert!(SHARDS_MAX.is_power_of_two());
const _: () = assert!(SLOWLOG_ENTRIES_DEFAULT <= SLOWLOG_ENTRIES_MAX);
const _: () = assert!(MAX_CLIENTS_DEFAULT <= MAX_CLIENTS_MAX);
const _: () = assert!(PASSWORD_BYTES_MAX <= CONFIG_FILE_BYTES_MAX);
const _: () = assert!(DEADLINE_MIN.as_nanos() < DEADLINE_DEFAULT.as_nanos());
const _: () = assert!(DEADLINE_DEFAULT.as_nanos() <= DEADLINE_MAX.as_nanos());
const _: () = assert!(LOG_WINDOW_DEFAULT.as_nanos() <= WRITE_WINDOW_MAX.as_nanos());
const _: () = assert!(SYNC_INTERVAL_MIN.as_nanos() <= SYNC_INTERVAL_DEFAULT.as_nanos());
const _: () = assert!(SYNC_INTERVAL_DEFAULT.as_nanos() <= SYNC_INTERVAL_MAX.as_nanos());
const _: () = assert!(DRAIN_TIMEOUT_DEFAULT.as_nanos() <= DRAIN_TIMEOUT_MAX.as_nanos());
