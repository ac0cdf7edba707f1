//! The servers by name: what each speaks, where its program is, and how it is started.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::wire::protocol::{KEY_BYTES, Protocol};

/// Connections a server is told to allow beside those of the load: loading, and a look from
/// outside.
const OTHER_CLIENTS: usize = 64;
/// What memcached may need for an item beside key and value: its header, and the rest of its slab
/// chunk, which is at most a quarter larger than the item.
const MEMCACHED_ITEM_BYTES: u64 = 128;
/// Megabytes memcached gets beside its items.
const MEMCACHED_OTHER_MB: u64 = 64;

/// The servers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerName {
    /// This project's server
    Shardkeep,
    /// `redis-server`, found by PATH, without persistence
    #[value(alias = "redis-server")]
    Redis,
    /// `valkey-server`, found by PATH, without persistence
    #[value(alias = "valkey-server")]
    Valkey,
    /// `memcached`, found by PATH, asked in its text protocol
    Memcached,
    /// Parses nothing and answers a constant: the limit of TCP on this machine
    Echo,
}

impl ServerName {
    /// All of them, in the order of the tables.
    const ALL: [Self; 5] = [
        Self::Shardkeep,
        Self::Redis,
        Self::Valkey,
        Self::Memcached,
        Self::Echo,
    ];

    /// As written on the command line and in results.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Shardkeep => "shardkeep",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Memcached => "memcached",
            Self::Echo => "echo",
        }
    }

    /// Whether it keeps what it is told; one that does not cannot be loaded, or asked for values.
    pub(crate) const fn stores(self) -> bool {
        match self {
            Self::Shardkeep | Self::Redis | Self::Valkey | Self::Memcached => true,
            Self::Echo => false,
        }
    }

    /// Whether it speaks RESP, and so both of its versions.
    pub(crate) const fn speaks_resp(self) -> bool {
        match self {
            Self::Shardkeep | Self::Redis | Self::Valkey => true,
            Self::Memcached | Self::Echo => false,
        }
    }

    /// What it is asked in, where RESP servers are asked in `resp`.
    pub(crate) const fn protocol(self, resp: Protocol) -> Protocol {
        match self {
            Self::Shardkeep | Self::Redis | Self::Valkey => resp,
            Self::Memcached => Protocol::MemcachedText,
            Self::Echo => Protocol::Echo,
        }
    }

    /// What stands in the log line that says it accepts connections.
    pub(super) const fn ready_text(self) -> &'static str {
        match self {
            Self::Shardkeep | Self::Echo => "ready: listening on ",
            Self::Redis | Self::Valkey => "Ready to accept connections",
            Self::Memcached => "server listening",
        }
    }

    /// Whether its log is its standard output, not its standard error.
    pub(super) const fn logs_to_output(self) -> bool {
        match self {
            Self::Redis | Self::Valkey => true,
            Self::Shardkeep | Self::Memcached | Self::Echo => false,
        }
    }
}

/// What a server must be able to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Connections at the same time.
    pub(crate) clients: usize,
    /// Keys.
    pub(crate) keys: u64,
    /// Bytes of each value.
    pub(crate) value_bytes: usize,
}

impl Capacity {
    /// Megabytes in which memcached forgets none of the keys.
    fn memcached_mb(self) -> u64 {
        let item = self.value_bytes as u64 + KEY_BYTES as u64 + MEMCACHED_ITEM_BYTES;
        (self.keys * item * 5 / 4).div_ceil(1 << 20) + MEMCACHED_OTHER_MB
    }
}

/// What outlives a server, and how surely.
#[derive(Clone, Debug)]
pub(crate) struct Keep {
    /// The directory, which exists.
    pub(crate) dir: PathBuf,
    /// What an acknowledged write survives.
    pub(crate) promise: Promise,
    /// The write window, for servers that have one; `None` is their default.
    pub(crate) window: Option<Duration>,
}

/// What an acknowledged write survives, in the words of this project; others have their own for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// A power cut: it is synced first (redis: `appendfsync always`)
    Always,
    /// A power cut, but for the last second (redis: `appendfsync everysec`)
    Interval,
    /// What the last snapshot contains; redis keeps no log then, ours always does
    Snapshots,
}

impl Promise {
    /// As written in results.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval => "interval",
            Self::Snapshots => "snapshots",
        }
    }

    /// As `--sync` of ours wants it.
    const fn sync(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval | Self::Snapshots => "interval",
        }
    }
}

impl Keep {
    /// For ours. Snapshots are taken when the load says so, never by themselves.
    fn of_shardkeep(&self, command: &mut Command) {
        command.arg("--dir").arg(&self.dir);
        command.args(["--sync", self.promise.sync(), "--snapshot-log-bytes", "0"]);
        if let Some(window) = self.window {
            command.args(["--write-window", &format!("{}us", window.as_micros())]);
        }
    }

    /// For redis: a log that is a log and nothing else, never rewritten by itself.
    fn of_redis(&self, command: &mut Command) {
        let appendfsync = match self.promise {
            Promise::Always => "always",
            Promise::Interval => "everysec",
            Promise::Snapshots => {
                command.args(["--appendonly", "no", "--dir"]).arg(&self.dir);
                return;
            }
        };
        command.args(["--appendonly", "yes", "--appendfsync", appendfsync]);
        command.args(["--aof-use-rdb-preamble", "no"]);
        command.args(["--auto-aof-rewrite-percentage", "0"]);
        command.arg("--dir").arg(&self.dir);
    }
}

/// How to find and start servers.
#[derive(Args, Clone, Debug)]
pub(crate) struct Launch {
    /// The shardkeep server's binary [default: `shardkeep` beside this program]
    #[arg(long, value_name = "PATH")]
    shardkeep: Option<PathBuf>,
    /// One more argument for `shardkeep serve`; may be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) shardkeep_arg: Vec<String>,
    /// What is added to the environment of ours.
    #[arg(skip)]
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Threads of the echo server [default: the cores of this machine]
    #[arg(long, value_name = "N")]
    echo_threads: Option<usize>,
}

/// How one server is started.
pub(super) struct Start {
    pub(super) command: Command,
    /// Where it will listen, if that was chosen for it.
    pub(super) address: Option<SocketAddr>,
}

impl Launch {
    /// The servers to compare: those asked for, which must all be installed, or else every one that
    /// is `wanted` and installed. Beside them, why each other wanted one is left out.
    ///
    /// # Errors
    /// A server was asked for and is not installed.
    pub(crate) fn choose(
        &self,
        asked: &[ServerName],
        wanted: fn(ServerName) -> bool,
    ) -> Result<(Vec<ServerName>, Vec<String>)> {
        for &name in asked {
            self.program(name)?;
        }
        if !asked.is_empty() {
            return Ok((asked.to_vec(), Vec::new()));
        }
        let mut servers = Vec::new();
        let mut skipped = Vec::new();
        for name in ServerName::ALL.into_iter().filter(|&name| wanted(name)) {
            match self.program(name) {
                Ok(_path) => servers.push(name),
                Err(why) => skipped.push(format!("{}: {why}", name.label())),
            }
        }
        Ok((servers, skipped))
    }

    /// The program of a server.
    fn program(&self, name: ServerName) -> Result<PathBuf> {
        let own = std::env::current_exe().context("find this program")?;
        match name {
            ServerName::Shardkeep => {
                let beside = || own.with_file_name("shardkeep");
                let program = self.shardkeep.clone().unwrap_or_else(beside);
                if !program.is_file() {
                    bail!(
                        "{} is missing: build it (cargo build --release), or name it \
                         (--shardkeep PATH)",
                        program.display()
                    );
                }
                Ok(program)
            }
            ServerName::Redis => in_path("redis-server"),
            ServerName::Valkey => in_path("valkey-server"),
            ServerName::Memcached => in_path("memcached"),
            ServerName::Echo => Ok(own),
        }
    }

    /// How to start a server, in memory or with what it keeps. One that keeps something listens where
    /// we say, so that it can be asked before it is ready.
    pub(super) fn prepare(
        &self,
        name: ServerName,
        capacity: Capacity,
        keep: Option<&Keep>,
    ) -> Result<Start> {
        let mut command = Command::new(self.program(name)?);
        let clients = (capacity.clients + OTHER_CLIENTS).to_string();
        let address = match name {
            ServerName::Shardkeep => {
                let address = match keep {
                    Some(_) => Some(free_address()?),
                    None => None,
                };
                let bind = address.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
                command.args(["serve", "--bind", &bind.to_string()]);
                command.args(["--max-clients", &clients]);
                if let Some(keep) = keep {
                    keep.of_shardkeep(&mut command);
                }
                command.args(&self.shardkeep_arg);
                command.envs(self.environment.iter().map(|(name, value)| (name, value)));
                address
            }
            ServerName::Redis | ServerName::Valkey => {
                let address = free_address()?;
                command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"]);
                command.args(["--save", "", "--daemonize", "no"]);
                match keep {
                    Some(keep) => keep.of_redis(&mut command),
                    None => {
                        command.args(["--appendonly", "no"]);
                    }
                }
                command.args(["--loglevel", "notice", "--maxclients", &clients]);
                Some(address)
            }
            ServerName::Memcached => {
                let address = free_address()?;
                command.args([
                    "-l",
                    "127.0.0.1",
                    "-p",
                    &address.port().to_string(),
                    "-U",
                    "0",
                ]);
                command.args(["-c", &clients, "-m", &capacity.memcached_mb().to_string()]);
                // Without a user it refuses to be started by root; started by others it ignores
                // the name. -vv makes it say when it listens.
                command.args(["-u", "root", "-vv"]);
                Some(address)
            }
            ServerName::Echo => {
                command.args(["echo", "--value-bytes", &capacity.value_bytes.to_string()]);
                if let Some(count) = self.echo_threads {
                    command.args(["--threads", &count.to_string()]);
                }
                None
            }
        };
        Ok(Start { command, address })
    }
}

/// A program that a shell would find.
fn in_path(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    found_in(&path, program).with_context(|| format!("{program} is not in the PATH"))
}

fn found_in(path: &OsString, program: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|directory| directory.join(program))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// A port nobody uses now. Another process may take it before the server does; then the server
/// ends at once and says why.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(shardkeep: &str) -> Launch {
        Launch {
            shardkeep: Some(shardkeep.into()),
            shardkeep_arg: Vec::new(),
            environment: Vec::new(),
            echo_threads: None,
        }
    }

    #[test]
    fn a_missing_server_is_named_and_left_out_unless_it_was_asked_for() {
        let launch = launch("/nonexistent/shardkeep");
        let ours = |name| matches!(name, ServerName::Shardkeep | ServerName::Echo);
        let (servers, skipped) = launch.choose(&[], ours).unwrap();
        assert_eq!(servers, [ServerName::Echo]);
        assert_eq!(skipped.len(), 1);
        assert!(skipped[0].starts_with("shardkeep: /nonexistent/shardkeep is missing"));
        let asked = [ServerName::Echo, ServerName::Shardkeep];
        let error = launch.choose(&asked, ours).unwrap_err().to_string();
        assert!(error.contains("is missing"), "{error}");
    }

    #[test]
    fn a_program_is_an_executable_file_in_the_path() {
        let path = std::env::join_paths(["/nonexistent", "/proc", "/bin", "/usr/bin"]).unwrap();
        assert!(found_in(&path, "sh").is_some());
        for other in ["no-such-program", "version", "self"] {
            assert_eq!(found_in(&path, other), None, "{other}");
        }
    }

    #[test]
    fn memcached_gets_room_for_every_key() {
        let capacity = |keys, value_bytes| Capacity {
            clients: 1,
            keys,
            value_bytes,
        };
        assert!(capacity(1_000_000, 64).memcached_mb() * 1_000_000 > 206_000_000);
        assert!(capacity(1, 1).memcached_mb() >= MEMCACHED_OTHER_MB);
        assert!(capacity(1_000_000, 4_096).memcached_mb() > 4_096);
    }

    #[test]
    fn every_name_can_be_written_on_the_command_line() {
        for name in ServerName::ALL {
            assert_eq!(ServerName::from_str(name.label(), false), Ok(name));
        }
        for (written, name) in [
            ("redis-server", ServerName::Redis),
            ("valkey-server", ServerName::Valkey),
        ] {
            assert_eq!(ServerName::from_str(written, false), Ok(name));
        }
    }
}
