//! The configuration of the server: flags over environment over file over defaults.
//!
//! Everything here is pure but `outside`, through which variables and files come in. It opens no
//! socket and starts nothing; a configuration that gets through is one the server can try.
//!
//! 1. Every layer is checked, also where a higher one wins.
//! 2. A refusal names the setting, its value, where it came from and what is allowed.
//! 3. An address that others can reach has a password.
//! 4. No text made here contains the password.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shardkeep::engine::watch::STALL_BOUND_DEFAULT;

pub mod bounds;
mod error;
mod file;
mod flags;
mod origin;
mod outside;
mod print;
mod secret;
mod setting;
mod value;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub(crate) use flags::{Cli, Command, ImportFlags, ServeFlags};
pub use origin::Origin;
#[cfg(test)]
pub(crate) use outside::Contents;
pub(crate) use outside::{Machine, Outside};
pub use secret::Secret;

use origin::Given;
pub(crate) use origin::echo;
use setting::SETTINGS;
pub(crate) use value::{parse_bytes, parse_duration, show_duration};

/// What every variable of ours begins with.
const VARIABLE_PREFIX: &str = "SHARDKEEP_";

/// The settings that mean nothing without a directory.
const OF_THE_LOG: [&str; 6] = [
    "sync",
    "sync_interval",
    "commit",
    "snapshot_log_bytes",
    "compress_snapshots",
    "disk_reserve",
];

/// The settings that can change while the server runs.
const CAN_CHANGE: [&str; 7] = [
    "overload",
    "max_memory",
    "deadline",
    "idle_timeout",
    "frame_timeout",
    "login_timeout",
    "output_timeout",
];

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

/// The variable that names the configuration file.
const CONFIG_VARIABLE: &str = "SHARDKEEP_CONFIG";

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

impl Sync {
    /// As it is written in the configuration.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval => "interval",
            Self::Never => "never",
        }
    }
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
            password: None,
        }
    }
}

/// Settings on their way: what the rows of the table read into.
#[derive(Clone, Debug, Default)]
struct Draft {
    /// Without the password.
    settings: Settings,
    password_file: Option<PathBuf>,
}

/// A configuration that got through.
#[derive(Debug)]
pub(crate) struct Resolved {
    draft: Draft,
    password: Option<Secret>,
    origins: BTreeMap<&'static str, Origin>,
    /// The file from which some of it was read.
    pub(crate) file: Option<PathBuf>,
    /// What is allowed and yet perhaps not meant; a line each.
    pub(crate) warnings: Vec<String>,
}

impl Resolved {
    /// Reads every layer and checks the whole. Blocks only to read the two files that the settings
    /// may name.
    ///
    /// # Errors
    /// The first thing that is refused.
    pub(crate) fn new(flags: &ServeFlags, outside: &dyn Outside) -> Result<Self, ConfigError> {
        let mut resolved = Self {
            draft: Draft::default(),
            password: None,
            origins: BTreeMap::new(),
            file: None,
            warnings: Vec::new(),
        };
        let (config, variables) = variables(outside);
        let config = match &flags.config {
            Some(path) => Some(flags::config_given(path)),
            None => config,
        };
        if let Some(config) = config {
            resolved.take(read_config(&config, outside)?)?;
            resolved.file = config.texts.first().map(PathBuf::from);
        }
        resolved.take(variables)?;
        resolved.take(flags.given())?;
        resolved.read_password(outside)?;
        resolved.check()?;
        Ok(resolved)
    }

    /// The settings, complete.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            password: self.password.clone(),
            ..self.draft.settings.clone()
        }
    }

    /// The settings as a configuration file, with the origin of each as a comment.
    pub(crate) fn to_toml(&self) -> String {
        print::to_toml(self)
    }

    /// The settings that are otherwise in `other`, and cannot change while the server runs.
    pub(crate) fn restart_needed(&self, other: &Self) -> Vec<&'static str> {
        let differs = |setting: &&setting::Setting| {
            (setting.show)(&self.draft) != (setting.show)(&other.draft)
        };
        let names = SETTINGS.iter().filter(differs).map(|setting| setting.name);
        names.filter(|name| !CAN_CHANGE.contains(name)).collect()
    }

    fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }

    /// Lays one layer over what there is.
    fn take(&mut self, layer: Vec<Given>) -> Result<(), ConfigError> {
        for given in layer {
            let Some(setting) = setting::find(&given.key) else {
                return Err(unknown(&given));
            };
            if (setting.set)(&mut self.draft, &given.texts).is_none() {
                return Err(ConfigError::Value {
                    name: setting.name,
                    value: given.shown(),
                    origin: given.origin,
                    allowed: (setting.allowed)(),
                });
            }
            self.origins.insert(setting.name, given.origin);
        }
        Ok(())
    }

    fn read_password(&mut self, outside: &dyn Outside) -> Result<(), ConfigError> {
        let Some(path) = &self.draft.password_file else {
            return Ok(());
        };
        let origin = self.origin("password_file").clone();
        let contents = outside
            .read(path, bounds::PASSWORD_BYTES_MAX)
            .map_err(|error| ConfigError::Unreadable {
                name: "password_file",
                path: path.clone(),
                origin: origin.clone(),
                error,
            })?;
        let password = first_line(&contents.bytes);
        let refused = |problem: String| ConfigError::Password {
            path: path.clone(),
            origin: origin.clone(),
            problem,
        };
        if password.len() > bounds::PASSWORD_BYTES_MAX {
            return Err(refused(format!(
                "its first line is longer than {} bytes",
                bounds::PASSWORD_BYTES_MAX
            )));
        }
        let secret = Secret::new(password);
        let secret = secret.ok_or_else(|| refused("its first line is empty".to_owned()))?;
        if contents.world_readable {
            self.warnings.push(format!(
                "password_file = {} can be read by every user of this machine; chmod 600 would \
                 keep it to its owner",
                echo(&path.to_string_lossy())
            ));
        }
        self.password = Some(secret);
        Ok(())
    }

    /// What no setting can know alone.
    fn check(&mut self) -> Result<(), ConfigError> {
        let settings = &self.draft.settings;
        let bind_origin = || self.origin("bind").clone();
        if settings.bind.is_empty() && settings.unix_socket.is_none() {
            return Err(ConfigError::NowhereToListen {
                origin: bind_origin(),
            });
        }
        let open = settings.bind.iter().find(|address| !is_loopback(address));
        if let (Some(address), None) = (open, &self.password) {
            return Err(ConfigError::Unprotected {
                address: *address,
                origin: bind_origin(),
            });
        }
        if let AdminAt::At(address) = settings.admin
            && !is_loopback(&address)
        {
            self.warnings.push(format!(
                "admin = {address} can be reached by others, without a password: they see figures and \
                 names of commands, neither keys nor values"
            ));
        }
        let shards = settings
            .shards
            .unwrap_or_else(|| shardkeep::engine::Config::default().shards);
        if let Some(owners) = settings.owners.filter(|owners| *owners > shards) {
            return Err(ConfigError::Value {
                name: "owners",
                value: owners.to_string(),
                origin: self.origin("owners").clone(),
                allowed: format!("1 to shards, which is {shards} ({})", self.origin("shards")),
            });
        }
        self.check_log()
    }

    /// What concerns the log needs a directory.
    fn check_log(&mut self) -> Result<(), ConfigError> {
        let settings = &self.draft.settings;
        let refused = |name: &'static str, needs: String| ConfigError::Needs {
            name,
            origin: self.origin(name).clone(),
            needs,
        };
        let is_given = |name: &str| self.origins.contains_key(name);
        if settings.dir.is_none() {
            if let Some(name) = OF_THE_LOG.iter().find(|name| is_given(name)) {
                return Err(refused(name, "dir, where the log lies".to_owned()));
            }
            if settings.handover == Handover::Lend && settings.write_window.is_some() {
                self.warnings.push(format!(
                    "write_window ({}) has no effect without dir or handover = mail",
                    self.origin("write_window")
                ));
            }
            return Ok(());
        }
        if settings.sync != Sync::Interval && is_given("sync_interval") {
            let sync = self.origin("sync");
            return Err(refused(
                "sync_interval",
                format!("sync = interval, and not what {sync} says"),
            ));
        }
        if settings.sync != Sync::Always && settings.commit == Commit::Auto && is_given("commit") {
            self.warnings.push(format!(
                "commit ({}) has no effect without sync = always: nobody waits for the log",
                self.origin("commit")
            ));
        }
        Ok(())
    }
}

/// The variable that names the configuration file, and all others that are meant for us.
fn variables(outside: &dyn Outside) -> (Option<Given>, Vec<Given>) {
    let mut given: Vec<_> = outside
        .variables(VARIABLE_PREFIX)
        .into_iter()
        .filter(|(name, _)| !is_service_link(name))
        .map(|(name, value)| Given {
            key: variable_key(&name),
            texts: vec![value],
            origin: Origin::Environment(name),
        })
        .collect();
    // The environment has no order of its own; errors should not depend on chance.
    given.sort_by(|a, b| a.key.cmp(&b.key));
    let config = |given: &Given| given.origin == Origin::Environment(CONFIG_VARIABLE.to_owned());
    let named = given.iter().find(|given| config(given)).cloned();
    given.retain(|given| !config(given));
    (named, given)
}

/// The key of a variable, if it is written as variables are; else no key at all.
fn variable_key(name: &str) -> String {
    let key = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
    if key.contains(|letter: char| letter.is_ascii_lowercase()) {
        key.to_owned() + " (not in capitals)"
    } else {
        key.to_ascii_lowercase()
    }
}

/// Container managers describe a service called `shardkeep` to its neighbours by variables such as
/// `SHARDKEEP_SERVICE_HOST` and `SHARDKEEP_PORT_6379_TCP`. They are no settings and no mistakes.
fn is_service_link(name: &str) -> bool {
    let numbered_port = name
        .split("_PORT_")
        .skip(1)
        .any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    numbered_port
        || name.ends_with("_PORT")
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
}

fn read_config(config: &Given, outside: &dyn Outside) -> Result<Vec<Given>, ConfigError> {
    let path = Path::new(config.texts.first().map_or("", String::as_str));
    let unreadable = |error| ConfigError::Unreadable {
        name: "config",
        path: path.to_owned(),
        origin: config.origin.clone(),
        error,
    };
    let contents = outside
        .read(path, bounds::CONFIG_FILE_BYTES_MAX)
        .map_err(unreadable)?;
    if contents.bytes.len() > bounds::CONFIG_FILE_BYTES_MAX {
        return Err(unreadable(std::io::Error::other(format!(
            "longer than {} bytes",
            bounds::CONFIG_FILE_BYTES_MAX
        ))));
    }
    let text = String::from_utf8(contents.bytes)
        .map_err(|_| unreadable(std::io::Error::other("not UTF-8")))?;
    file::parse(path, &text)
}

fn unknown(given: &Given) -> ConfigError {
    let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    let hint = if given.sounds_secret() {
        "password_file, the path of a file whose first line is the password; and "
    } else {
        ""
    };
    let key = match &given.origin {
        Origin::Environment(name) => name.clone(),
        Origin::Default | Origin::File { .. } | Origin::Flag(_) => given.key.clone(),
    };
    ConfigError::UnknownKey {
        key,
        value: given.shown(),
        origin: given.origin.clone(),
        allowed: format!("{hint}{}", names.join(", ")),
    }
}

/// Without its end, which may be that of another system.
fn first_line(bytes: &[u8]) -> &[u8] {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
