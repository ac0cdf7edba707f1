//! The command line: what `--help` teaches.
//!
//! Takes every value as text; what it means, and whether it is allowed, is decided in one place for
//! flags, environment and file. So a bad value is a bad configuration wherever it stands, and only
//! an unknown or repeated flag is a usage error.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::origin::{Given, Origin};

const AFTER_HELP: &str = "\
Exit codes: 0 clean, 1 fatal, 2 usage, 3 drain cut short, 78 bad configuration.";

const AFTER_SERVE_HELP: &str = "\
Every setting can be given in three places, of which the first wins:
  a flag                      --max-clients 500
  the environment             SHARDKEEP_MAX_CLIENTS=500
  the file named by --config  max_clients = 500
Then come the defaults. Sizes are bytes or 512mb, 2gb; durations are 500ms, 1s, 2m or plain seconds.

When the server serves it says `ready: listening on ADDR:PORT` on standard error, one line for each
address. With --dir it accepts connections before, and answers -LOADING while it reads the directory. SIGTERM or SIGINT drains it: no new connections, what was read is answered,
then it exits. A second signal ends it at once.

Exit codes: 0 clean, 1 fatal, 2 usage, 3 drain cut short, 78 bad configuration.

Examples:
  shardkeep serve
  shardkeep serve --bind 127.0.0.1:0 --max-memory 512mb
  shardkeep serve --bind 0.0.0.0:6379 --password-file shardkeep.password
  shardkeep serve --dir data --sync always
  shardkeep serve --config shardkeep.toml --print-config";

const AFTER_IMPORT_HELP: &str = "\
Reads a file that Redis has written with SAVE or BGSAVE (dump.rdb), versions 9 to 11, which is Redis
5.0 to 7.2. Strings are imported with their expiry; keys that have expired already are counted, and
vanish when the store is opened.

Nothing is dropped silently: if the file has a value of another type, keys in another database than
0, functions or modules' data, each is named (the first 20, the rest is counted) and nothing is
imported. A file that is damaged or not whole is refused, by its checksum or the place of the damage.

DIR gets its name only when all is imported and durable. Until then the store is in DIR.unfinished;
what an interrupted import leaves there can be removed.

When done it prints one line on standard output:
  imported keys=3 expiring=1 expired=0 data_bytes=96 disk_bytes=288 rdb_version=10 took=... into DIR

Exit codes: 0 imported, 1 not imported, 2 usage.

Examples:
  redis-cli SAVE
  shardkeep import-rdb /var/lib/redis/dump.rdb store";

/// An in-memory key-value store that every Redis client can talk to.
#[derive(Debug, Parser)]
#[command(
    name = "shardkeep",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = AFTER_HELP
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server until it is told to stop.
    #[command(allow_negative_numbers = true, after_long_help = AFTER_SERVE_HELP)]
    Serve(Box<ServeFlags>),

    /// Make a new store from a file that Redis has saved (RDB).
    #[command(after_long_help = AFTER_IMPORT_HELP)]
    ImportRdb(ImportFlags),

    /// Look at the directory of a server that does not run: what is there, and whether it opens.
    ///
    /// Reads all of it and writes nothing. Exit code 0: it opens; 1: it does not, or cannot be read.
    Check(AtDirectory),

    /// Make the directory of a server that does not run open again, by giving up what is damaged.
    ///
    /// Says what is lost, and keeps every file that it gives up beside the others, under another name.
    /// Does nothing where all is sound. `shardkeep check` tells before what there is to repair.
    Repair(AtDirectory),
}

/// The arguments of `import-rdb`.
#[derive(Debug, Args)]
pub(crate) struct ImportFlags {
    /// The file that Redis has saved.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where the new store is to be: nothing may be there, or an empty directory.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// The directory to look at, or to repair.
#[derive(Debug, Args)]
pub(crate) struct AtDirectory {
    /// What was given to `serve --dir`.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// The flags of `serve`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServeFlags {
    /// Listen on this address; repeat it or separate by commas for several [default: 127.0.0.1:6379].
    ///
    /// Port 0 takes any free port. `none` listens on the unix socket only. An address that others
    /// can reach needs --password-file.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) bind: Vec<String>,

    /// Listen on a unix socket too [default: none].
    #[arg(long, value_name = "PATH")]
    pub(crate) unix_socket: Option<String>,

    /// Serve metrics, health and a status page over HTTP here, or off [default: 127.0.0.1:9379].
    ///
    /// `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever starts and restarts it, `/` for
    /// people. Nothing can be changed there, and no keys or values are shown. If the default is taken, the
    /// server says so and starts without.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) admin: Option<String>,

    /// How the lines on standard error are written: text or json [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,

    /// Parts of the keyspace, a power of two [default: by the number of cores].
    ///
    /// Each is in one thread's hands at a time. Many favour single commands, few favour pipelines.
    #[arg(long, value_name = "COUNT")]
    pub(crate) shards: Option<String>,

    /// Threads that look after the shards [default: by the number of cores].
    #[arg(long, value_name = "COUNT")]
    pub(crate) owners: Option<String>,

    /// Threads that read and answer connections [default: by the number of cores].
    #[arg(long, value_name = "COUNT")]
    pub(crate) reactors: Option<String>,

    /// How a shard and its work meet: lend or mail [default: lend].
    ///
    /// `lend`: whoever has work takes the idle shard, works and puts it back. `mail`: every command
    /// travels to the shard's owner; slower, kept for comparison.
    #[arg(long, value_name = "HOW")]
    pub(crate) handover: Option<String>,

    /// Gather writes this long before they are written together [default: 500us with --dir].
    ///
    /// With --dir: before the log is written and synced for all of them at once; a longer time means
    /// fewer syncs, and each writer that waits for one pays it. A writer that is the only one about does
    /// not wait. With --handover mail: before they are applied in one go [default: 0s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) write_window: Option<String>,

    /// Keep the data in this directory, so that it outlives the process [default: in memory only].
    ///
    /// Everything that is written goes to a log there; snapshots keep the log short. The next start
    /// with the same directory finds it all again, answering -LOADING until then. One process at a time
    /// may use it.
    #[arg(long, value_name = "PATH")]
    pub(crate) dir: Option<String>,

    /// When a write is safe from a power cut: always, interval or never [default: interval].
    ///
    /// `always`: before it is acknowledged, and nothing is shown that a power cut could take back.
    /// `interval`: within --sync-interval. `never`: when the operating system pleases. A crash of the
    /// process alone takes what was not written yet: what came within --write-window, and what waits in
    /// the log's queue while the disk takes what is before it, 64 MiB at most (nothing with `always`).
    #[arg(long, value_name = "WHEN")]
    pub(crate) sync: Option<String>,

    /// With --sync interval: the most that a power cut may take [default: 1s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) sync_interval: Option<String>,

    /// Who syncs with --sync always: auto or thread [default: auto].
    ///
    /// `auto`: while syncs are short, the thread that waits for one; it saves two thread switches, but a
    /// sync that hangs keeps that thread's connections waiting, reads included. `thread`: always a thread
    /// of its own; a sync that hangs stops writes alone.
    #[arg(long, value_name = "WHO")]
    pub(crate) commit: Option<String>,

    /// Take a snapshot when the log has grown by so much [default: 256mb; 0 for never].
    ///
    /// A snapshot makes the log before it superfluous: it limits disk space and the time of the next
    /// start. It is taken while the server goes on, without a second process.
    #[arg(long, value_name = "BYTES")]
    pub(crate) snapshot_log_bytes: Option<String>,

    /// Compress snapshots (LZ4): yes or no [default: no].
    #[arg(long, value_name = "YES|NO")]
    pub(crate) compress_snapshots: Option<String>,

    /// Keep so much of the disk for when it is full [default: auto; 0 for none].
    ///
    /// `auto`: 64mb, but a sixteenth of the file system and half of what is free at most. Without space for the log ordinary writes
    /// are refused; what is queued, what only removes keys and the beginning of a snapshot are written into
    /// this room, which is taken again, and writes are admitted again, when there is space. The log's queue
    /// holds no more than it; at least 1mb.
    #[arg(long, value_name = "BYTES")]
    pub(crate) disk_reserve: Option<String>,

    /// Commands for a shard with 1024 waiting before them: block or reject [default: block].
    ///
    /// `block`: they wait until their deadline. `reject`: they are refused at once. Either way the error is
    /// -THROTTLED with the time after which to try again, and the command was not applied.
    #[arg(long, value_name = "HOW")]
    pub(crate) overload: Option<String>,

    /// Databases that clients may SELECT, from 1 to 1024 [default: 16].
    ///
    /// Those that nothing is written to take no memory.
    #[arg(long, value_name = "COUNT")]
    pub(crate) databases: Option<String>,

    /// Connections at once; one more is refused [default: 10000].
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_clients: Option<String>,

    /// Memory of the data; writes beyond it are refused with -OOM [default: 0, no limit].
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_memory: Option<String>,

    /// A command that waits longer for its shard, or for a log that stands still, is answered with an error
    /// [default: 1s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) deadline: Option<String>,

    /// Close a connection that is silent for so long [default: 0, never].
    #[arg(long, value_name = "DURATION")]
    pub(crate) idle_timeout: Option<String>,

    /// Close a connection that stops in the middle of a request for so long, or sends less than 16 KiB/s of it
    /// beyond that time [default: 30s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) frame_timeout: Option<String>,

    /// Close a connection that has not given the password for so long, where there is one [default: 10s; 0:
    /// never].
    #[arg(long, value_name = "DURATION")]
    pub(crate) login_timeout: Option<String>,

    /// How late logins are answered at most: 100 ms for the first wrong password of an address, twice as long
    /// for each that follows within a minute, and as long for a right one meanwhile. A client behind the same
    /// address as one that guesses waits with it, at most so long [default: 2s; 0: never late].
    #[arg(long, value_name = "DURATION")]
    pub(crate) login_delay: Option<String>,

    /// Close a connection that leaves over 1 MiB of replies unread and takes none of them for so long, or less
    /// than 16 KiB/s beyond that time [default: 60s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) output_timeout: Option<String>,

    /// Stop at the latest so long after the first signal [default: 25s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) drain_timeout: Option<String>,

    /// Go on serving so long after the first signal, but say that the server is not ready
    /// [default: 0s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) pre_stop_delay: Option<String>,

    /// Report a thread that has work and makes no progress for so long [default: 1s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) stall_bound: Option<String>,

    /// A file whose first line is the password that clients must give [default: none].
    #[arg(long, value_name = "PATH")]
    pub(crate) password_file: Option<String>,

    /// Read settings from this TOML file (also SHARDKEEP_CONFIG).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<String>,

    /// Check the configuration, say so, and exit.
    #[arg(long, conflicts_with = "print_config")]
    pub(crate) check_config: bool,

    /// Print the settings in force as TOML, each with where it came from, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
}

impl ServeFlags {
    /// The settings among the flags, as they were written.
    pub(super) fn given(&self) -> Vec<Given> {
        // Taken apart by name, so that a new flag cannot be forgotten here.
        let Self {
            bind,
            unix_socket,
            admin,
            log_format,
            shards,
            owners,
            reactors,
            handover,
            write_window,
            dir,
            sync,
            sync_interval,
            commit,
            snapshot_log_bytes,
            compress_snapshots,
            disk_reserve,
            overload,
            databases,
            max_clients,
            max_memory,
            deadline,
            idle_timeout,
            frame_timeout,
            login_timeout,
            login_delay,
            output_timeout,
            drain_timeout,
            pre_stop_delay,
            stall_bound,
            password_file,
            config: _,
            check_config: _,
            print_config: _,
        } = self;
        let single = [
            ("unix_socket", unix_socket),
            ("admin", admin),
            ("log_format", log_format),
            ("shards", shards),
            ("owners", owners),
            ("reactors", reactors),
            ("handover", handover),
            ("write_window", write_window),
            ("dir", dir),
            ("sync", sync),
            ("sync_interval", sync_interval),
            ("commit", commit),
            ("snapshot_log_bytes", snapshot_log_bytes),
            ("compress_snapshots", compress_snapshots),
            ("disk_reserve", disk_reserve),
            ("overload", overload),
            ("databases", databases),
            ("max_clients", max_clients),
            ("max_memory", max_memory),
            ("deadline", deadline),
            ("idle_timeout", idle_timeout),
            ("frame_timeout", frame_timeout),
            ("login_timeout", login_timeout),
            ("login_delay", login_delay),
            ("output_timeout", output_timeout),
            ("drain_timeout", drain_timeout),
            ("pre_stop_delay", pre_stop_delay),
            ("stall_bound", stall_bound),
            ("password_file", password_file),
        ];
        let mut given: Vec<_> = single
            .into_iter()
            .filter_map(|(key, text)| Some(flag(key, vec![text.clone()?])))
            .collect();
        if !bind.is_empty() {
            given.push(flag("bind", bind.clone()));
        }
        given
    }
}

/// The configuration file that a flag names.
pub(super) fn config_given(path: &str) -> Given {
    flag("config", vec![path.to_owned()])
}

fn flag(key: &str, texts: Vec<String>) -> Given {
    Given {
        key: key.to_owned(),
        texts,
        origin: Origin::Flag(key.replace('_', "-")),
    }
}
