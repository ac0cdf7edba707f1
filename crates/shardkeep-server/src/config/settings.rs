//! The settings as values: what a server is started with.
//!
//! Data alone. What each may be, and how it is written, says the table.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use shardkeep::engine::watch::STALL_BOUND_DEFAULT;

use super::bounds;
use super::field::Named;
use super::secret::Secret;

/// What becomes of a command whose shard is in other hands, with many waiting before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overload {
    /// It waits until its deadline.
    #[default]
    Block,
    /// It is refused at once.
    Reject,
}

/// How the lines on standard error are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object for each line.
    Json,
}

/// How a shard and its work come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handover {
    /// Whoever has work takes the idle shard, works and puts it back.
    #[default]
    Lend,
    /// Every command travels to the shard's owner as a message.
    Mail,
}

/// When what was written to the log is made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Before it is acknowledged.
    Always,
    /// So often, in the background: [`Settings::sync_interval`].
    #[default]
    Interval,
    /// When the operating system pleases, and at the end.
    Never,
}

/// Where the admin endpoint listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAt {
    /// Nowhere.
    Off,
    /// Here, or nowhere if the address is taken.
    IfFree(SocketAddr),
    /// Here.
    At(SocketAddr),
}

impl Default for AdminAt {
    fn default() -> Self {
        Self::IfFree(bounds::ADMIN_DEFAULT)
    }
}

/// Who writes and syncs the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// With [`Sync::Always`], the reactor that needs it while syncs are short; else the thread.
    #[default]
    Auto,
    /// A thread of its own.
    Thread,
}

impl Named for Overload {
    const WORDS: &'static [(&'static str, Self)] =
        &[("block", Self::Block), ("reject", Self::Reject)];
}

impl Named for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Named for Handover {
    const WORDS: &'static [(&'static str, Self)] = &[("lend", Self::Lend), ("mail", Self::Mail)];
}

impl Named for Sync {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("always", Self::Always),
        ("interval", Self::Interval),
        ("never", Self::Never),
    ];
}

impl Named for Commit {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("thread", Self::Thread)];
}

/// Everything the server can be told when it starts.
///
/// ```
/// use shardkeep_server::config::Settings;
///
/// let settings = Settings {
///     bind: vec!["127.0.0.1:0".parse()?],
///     max_memory: Some(512 << 20),
///     ..Settings::default()
/// };
/// assert_eq!(settings.max_clients, 10_000);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// TCP addresses to listen on; port 0 takes any free one. May be empty with a unix socket.
    pub bind: Vec<SocketAddr>,
    /// A unix socket to listen on.
    pub unix_socket: Option<PathBuf>,
    /// Where metrics, health and the status page are.
    pub admin: AdminAt,
    /// How the lines on standard error are written.
    pub log_format: LogFormat,
    /// Shards, a power of two; `None` leaves it to the number of cores.
    pub shards: Option<usize>,
    /// Owner threads; `None` leaves it to the number of cores.
    pub owners: Option<usize>,
    /// Reactor threads; `None` leaves it to the number of cores.
    pub reactors: Option<usize>,
    /// How a shard and its work come together.
    pub handover: Handover,
    /// How long writes are gathered: before they go to the log together, and with [`Handover::Mail`]
    /// before they are applied. `None` is [`bounds::LOG_WINDOW_DEFAULT`] for the log, and no time for the
    /// mail.
    pub write_window: Option<Duration>,
    /// The directory in which the store outlives the process; `None` keeps it in memory alone.
    pub dir: Option<PathBuf>,
    /// When the log is made durable.
    pub sync: Sync,
    /// How often, with [`Sync::Interval`].
    pub sync_interval: Duration,
    /// Who writes and syncs the log.
    pub commit: Commit,
    /// A snapshot is taken whenever the log has grown by so many bytes; 0 for never.
    pub snapshot_log_bytes: u64,
    /// Whether snapshots are compressed.
    pub compress_snapshots: bool,
    /// Bytes of the disk that are kept for when it is full; 0 for none, `None` for what fits.
    pub disk_reserve: Option<u64>,
    /// What becomes of commands for a shard that has too much to do.
    pub overload: Overload,
    /// Databases that clients may select.
    pub databases: u32,
    /// Connections at once.
    pub max_clients: usize,
    /// Bytes of memory beyond which writes are refused; `None` for no limit.
    pub max_memory: Option<u64>,
    /// From a command's arrival to its refusal.
    pub deadline: Duration,
    /// How long a connection may be silent; `None` for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a client may stop in the middle of a request, or send less of it than
    /// [`PEER_BYTES_PER_SECOND_MIN`](crate::limits::PEER_BYTES_PER_SECOND_MIN).
    pub frame_timeout: Duration,
    /// How long a client may stay without the password, where there is one; `None` for ever.
    pub login_timeout: Option<Duration>,
    /// How late logins of an address that gave wrong passwords are answered at most.
    pub login_delay: Duration,
    /// How long a client that leaves more replies unread than
    /// [`OUTPUT_SOFT_BYTES`](crate::limits::OUTPUT_SOFT_BYTES) may take none of them, or less than
    /// [`PEER_BYTES_PER_SECOND_MIN`](crate::limits::PEER_BYTES_PER_SECOND_MIN).
    pub output_timeout: Duration,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// How long the server goes on serving after the first signal, and says that it is not ready.
    pub pre_stop_delay: Duration,
    /// How long a thread may have work and make no progress before it is reported.
    pub stall_bound: Duration,
    /// How long a command takes that SLOWLOG notes; `None` notes none.
    pub slowlog_slower_than: Option<Duration>,
    /// Entries that SLOWLOG keeps.
    pub slowlog_max_len: usize,
    /// What clients must give before anything else; `None` lets everybody in.
    pub password: Option<Secret>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: vec![bounds::BIND_DEFAULT],
            unix_socket: None,
            admin: AdminAt::default(),
            log_format: LogFormat::default(),
            shards: None,
            owners: None,
            reactors: None,
            handover: Handover::default(),
            write_window: None,
            dir: None,
            sync: Sync::default(),
            sync_interval: bounds::SYNC_INTERVAL_DEFAULT,
            commit: Commit::default(),
            snapshot_log_bytes: bounds::SNAPSHOT_LOG_BYTES_DEFAULT,
            compress_snapshots: false,
            disk_reserve: None,
            overload: Overload::default(),
            databases: bounds::DATABASES_DEFAULT,
            max_clients: bounds::MAX_CLIENTS_DEFAULT,
            max_memory: None,
            deadline: bounds::DEADLINE_DEFAULT,
            idle_timeout: None,
            frame_timeout: bounds::FRAME_TIMEOUT_DEFAULT,
            login_timeout: Some(bounds::LOGIN_TIMEOUT_DEFAULT),
            login_delay: bounds::LOGIN_DELAY_DEFAULT,
            output_timeout: bounds::OUTPUT_TIMEOUT_DEFAULT,
            drain_timeout: bounds::DRAIN_TIMEOUT_DEFAULT,
            pre_stop_delay: Duration::ZERO,
            stall_bound: STALL_BOUND_DEFAULT,
            slowlog_slower_than: Some(bounds::SLOWLOG_SLOWER_THAN_DEFAULT),
            slowlog_max_len: bounds::SLOWLOG_ENTRIES_DEFAULT,
            password: None,
        }
    }
}
