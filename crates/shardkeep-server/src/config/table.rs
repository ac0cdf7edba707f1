//! The settings: one table that drives flags, `--help`, environment, file, errors, the printed form, CONFIG GET
//! and CONFIG SET.
//!
//! A row says what a setting is called, what it means and which value it is about. It does not know where a
//! text came from, and never looks at another row (that is `check`'s part).

use std::path::PathBuf;
use std::time::Duration;

use super::bounds;
use super::field::Field;
use super::parameter::{Form, Parameter};
use super::settings::{Settings, Sync};

/// Settings on their way: what the rows of the table read into.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    /// Without the password.
    pub(super) settings: Settings,
    pub(super) password_file: Option<PathBuf>,
}

impl Draft {
    /// What `settings` came from, but for the password.
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            password_file: None,
        }
    }

    /// Connections at once.
    pub(crate) fn max_clients(&self) -> usize {
        self.settings.max_clients
    }

    /// Has so many connections admitted at once.
    pub(crate) fn set_max_clients(&mut self, max: usize) {
        self.settings.max_clients = max;
    }
}

/// One row of the table.
pub(crate) struct Setting {
    /// The key in the file; with dashes it is the flag, in capitals after the prefix the variable.
    pub(super) name: &'static str,
    /// What stands for a value in `--help`.
    pub(super) value: &'static str,
    /// What it does, in a sentence without its full stop.
    pub(super) help: &'static str,
    /// What else there is to say of it.
    pub(super) more: &'static str,
    /// The value that it is about.
    pub(super) field: fn(&mut Draft) -> Field<'_>,
    /// When it means something; else it is neither shown nor taken.
    pub(super) needs: Needs,
    /// How CONFIG knows it; `None` where it does not.
    pub(super) parameter: Option<Parameter>,
    /// Whether it can change while the server runs.
    pub(super) can_change: bool,
}

/// What a setting needs to mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// A directory, where the log lies.
    Log,
    /// The log, synced at intervals.
    SyncInterval,
}

impl Setting {
    /// The default as `--help` names it.
    pub(super) fn default_shown(&self) -> String {
        match (self.field)(&mut Draft::default()).show() {
            Ok(toml::Value::String(text)) => text,
            Ok(toml::Value::Array(values)) => {
                let texts = values.iter().filter_map(toml::Value::as_str);
                texts.collect::<Vec<_>>().join(",")
            }
            Ok(value) => value.to_string(),
            Err(absent) => absent.to_owned(),
        }
    }

    /// Whether it takes several values.
    pub(super) fn takes_many(&self) -> bool {
        matches!((self.field)(&mut Draft::default()), Field::Addresses(_))
    }

    /// The value in `draft` as TOML, or why there is none.
    pub(super) fn show(&self, draft: &Draft) -> Result<toml::Value, &'static str> {
        let mut draft = draft.clone();
        let (has_log, sync) = (draft.settings.dir.is_some(), draft.settings.sync);
        let is_sync_interval = has_log && sync == Sync::Interval;
        match self.needs {
            Needs::Log if !has_log => Err("not without dir"),
            Needs::SyncInterval if !is_sync_interval => Err("not with this sync"),
            Needs::Nothing | Needs::Log | Needs::SyncInterval => (self.field)(&mut draft).show(),
        }
    }
}

/// The row named `name`.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Position of the row named `name`, when it is compiled.
///
/// # Panics
/// Where there is none, which stops the compiler.
pub(super) const fn position(name: &str) -> usize {
    let mut at = 0;
    while at < SETTINGS.len() {
        if is_same(SETTINGS[at].name.as_bytes(), name.as_bytes()) {
            return at;
        }
        at += 1;
    }
    panic!("there is no setting of this name")
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// What most rows have alike.
const ROW: Setting = Setting {
    name: "",
    value: "",
    help: "",
    more: "",
    field: |draft| Field::Reserve(&mut draft.settings.disk_reserve),
    needs: Needs::Nothing,
    parameter: Some(Parameter::own(Form::Same)),
    can_change: false,
};

/// Every setting, in the order in which they are printed.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: "bind",
        value: "ADDR:PORT",
        help: "Listen on this address; repeat it or separate by commas for several",
        more: "Port 0 takes any free port. `none` listens on the unix socket only. An address that others can \
               reach needs --password-file.",
        field: |draft| Field::Addresses(&mut draft.settings.bind),
        parameter: Some(Parameter::own(Form::Hosts)),
        ..ROW
    },
    Setting {
        name: "unix_socket",
        value: "PATH",
        help: "Listen on a unix socket too",
        field: |draft| Field::Path {
            path: &mut draft.settings.unix_socket,
            bytes_max: bounds::SOCKET_PATH_BYTES_MAX,
            allowed: format!(
                "a path of 1 to {} bytes, in UTF-8",
                bounds::SOCKET_PATH_BYTES_MAX
            ),
            absent: "no unix socket",
        },
        parameter: Some(Parameter::named("unixsocket", Form::Same)),
        ..ROW
    },
    Setting {
        name: "admin",
        value: "ADDR:PORT",
        help: "Serve metrics, health and a status page over HTTP here, or off",
        more: "`/metrics` for Prometheus, `/healthz` and `/readyz` for what starts and restarts the server, `/` \
               for people. Nothing can be changed there, and no keys or values are shown. If the default is \
               taken, the server says so and starts without.",
        field: |draft| Field::Admin(&mut draft.settings.admin),
        ..ROW
    },
    Setting {
        name: "log_format",
        value: "FORMAT",
        help: "How the lines on standard error are written: text or json",
        field: |draft| Field::Word(&mut draft.settings.log_format),
        ..ROW
    },
    Setting {
        name: "shards",
        value: "COUNT",
        help: "Parts of the keyspace, a power of two",
        more: "Each is in one thread's hands at a time. Many favour single commands, few favour pipelines.",
        field: |draft| Field::ByCores {
            count: &mut draft.settings.shards,
            fits: |count| count.is_power_of_two() && count <= bounds::SHARDS_MAX,
            allowed: format!("a power of two from 1 to {}", bounds::SHARDS_MAX),
        },
        ..ROW
    },
    Setting {
        name: "owners",
        value: "COUNT",
        help: "Threads that look after the shards",
        field: |draft| Field::ByCores {
            count: &mut draft.settings.owners,
            fits: |count| (1..=bounds::OWNERS_MAX).contains(&count),
            allowed: format!("1 to {}, and no more than shards", bounds::OWNERS_MAX),
        },
        ..ROW
    },
    Setting {
        name: "reactors",
        value: "COUNT",
        help: "Threads that read and answer connections",
        field: |draft| Field::ByCores {
            count: &mut draft.settings.reactors,
            fits: |count| (1..=bounds::REACTORS_MAX).contains(&count),
            allowed: format!("1 to {}", bounds::REACTORS_MAX),
        },
        parameter: Some(Parameter::named("io-threads", Form::Same)),
        ..ROW
    },
    Setting {
        name: "handover",
        value: "HOW",
        help: "How a shard and its work meet: lend or mail",
        more: "`lend`: a thread that has work takes the idle shard, works and puts it back. `mail`: every command \
               travels to the shard's owner; slower, kept for comparison.",
        field: |draft| Field::Word(&mut draft.settings.handover),
        ..ROW
    },
    Setting {
        name: "write_window",
        value: "DURATION",
        help: "Gather writes this long before they are written together",
        more: "With --dir: before the log is written and synced for all of them at once; a longer time means fewer \
               syncs, and each writer that waits for one pays it. A writer that is the only one about does not \
               wait. With --handover mail: before they are applied in one go.",
        field: |draft| Field::Window {
            time: &mut draft.settings.write_window,
            max: bounds::WRITE_WINDOW_MAX,
            absent: "500us for the log, none for mail",
        },
        ..ROW
    },
    Setting {
        name: "dir",
        value: "PATH",
        help: "Keep the data in this directory, so that it outlives the process",
        more: "Everything that is written goes to a log there; snapshots keep the log short. The next start with \
               the same directory finds it all again, answering -LOADING until then. One process at a time may \
               use it.",
        field: |draft| Field::Path {
            path: &mut draft.settings.dir,
            bytes_max: usize::MAX,
            allowed: "the path, in UTF-8, of a directory; it is made if it is not there".to_owned(),
            absent: "in memory only",
        },
        parameter: Some(Parameter::own(Form::Absolute)),
        ..ROW
    },
    Setting {
        name: "sync",
        value: "WHEN",
        help: "When a write is safe from a power cut: always, interval or never",
        more: "`always`: before it is acknowledged, and nothing is shown that a power cut could take back. \
               `interval`: within --sync-interval. `never`: when the operating system pleases. A crash of the \
               process alone takes what was not written yet: what came within --write-window, and what waits in \
               the log's queue while the disk takes what is before it, 64 MiB at most (nothing with `always`).",
        field: |draft| Field::Word(&mut draft.settings.sync),
        needs: Needs::Log,
        parameter: Some(Parameter::named(
            "appendfsync",
            Form::Words(&[("interval", "everysec"), ("never", "no")]),
        )),
        ..ROW
    },
    Setting {
        name: "sync_interval",
        value: "DURATION",
        help: "With --sync interval: the most that a power cut may take",
        field: |draft| {
            let range = bounds::SYNC_INTERVAL_MIN..=bounds::SYNC_INTERVAL_MAX;
            Field::Time(&mut draft.settings.sync_interval, range)
        },
        needs: Needs::SyncInterval,
        ..ROW
    },
    Setting {
        name: "commit",
        value: "WHO",
        help: "Which thread syncs with --sync always: auto or thread",
        more: "`auto`: while syncs are short, the thread that waits for one; it saves two thread switches, but a \
               sync that hangs keeps that thread's connections waiting, reads included. `thread`: always a thread \
               of its own; a sync that hangs stops writes alone.",
        field: |draft| Field::Word(&mut draft.settings.commit),
        needs: Needs::Log,
        ..ROW
    },
    Setting {
        name: "snapshot_log_bytes",
        value: "BYTES",
        help: "Take a snapshot when the log has grown by so much; 0 for never",
        more: "A snapshot makes the log before it superfluous: it limits disk space and the time of the next start. \
               It is taken while the server goes on, without a second process.",
        field: |draft| Field::Bytes {
            bytes: &mut draft.settings.snapshot_log_bytes,
            zero: "never",
        },
        needs: Needs::Log,
        parameter: Some(Parameter::own(Form::Bytes)),
        ..ROW
    },
    Setting {
        name: "compress_snapshots",
        value: "YES|NO",
        help: "Compress snapshots (LZ4): yes or no",
        field: |draft| Field::Word(&mut draft.settings.compress_snapshots),
        needs: Needs::Log,
        parameter: Some(Parameter::named("rdbcompression", Form::Same)),
        ..ROW
    },
    Setting {
        name: "disk_reserve",
        value: "BYTES",
        help: "Keep so much of the disk for when it is full; 0 for none",
        more: "`auto`: 64mb, but a sixteenth of the file system and half of what is free at most. Without space for \
               the log ordinary writes are refused; what is queued, what only removes keys and the beginning of a \
               snapshot are written into this room, which is taken again, and writes are admitted again, when \
               there is space. The log's queue holds no more than it; at least 1mb.",
        field: |draft| Field::Reserve(&mut draft.settings.disk_reserve),
        needs: Needs::Log,
        parameter: Some(Parameter::own(Form::Bytes)),
        ..ROW
    },
    Setting {
        name: "overload",
        value: "HOW",
        help: "Commands for a shard with 1024 waiting before them: block or reject",
        more: "`block`: they wait until their deadline. `reject`: they are refused at once. Either way the error is \
               -THROTTLED with the time after which to try again, and the command was not applied.",
        field: |draft| Field::Word(&mut draft.settings.overload),
        can_change: true,
        ..ROW
    },
    Setting {
        name: "databases",
        value: "COUNT",
        help: "Databases that clients may SELECT",
        more: "Those that nothing is written to take no memory.",
        field: |draft| Field::Databases(&mut draft.settings.databases),
        ..ROW
    },
    Setting {
        name: "max_clients",
        value: "COUNT",
        help: "Connections at once; one more is refused",
        more: "While the server runs it can be changed up to what it was at the start.",
        field: |draft| Field::Count(&mut draft.settings.max_clients, 1..=bounds::MAX_CLIENTS_MAX),
        parameter: Some(Parameter::named("maxclients", Form::Same)),
        can_change: true,
        ..ROW
    },
    Setting {
        name: "max_memory",
        value: "BYTES",
        help: "Memory of the data; writes beyond it are refused with -OOM; 0 for no limit",
        field: |draft| Field::Limit(&mut draft.settings.max_memory),
        parameter: Some(Parameter::named("maxmemory", Form::Bytes)),
        can_change: true,
        ..ROW
    },
    Setting {
        name: "deadline",
        value: "DURATION",
        help: "Answer a command with an error that waits longer for its shard, or for a log that stands still",
        field: |draft| {
            let range = bounds::DEADLINE_MIN..=bounds::DEADLINE_MAX;
            Field::Time(&mut draft.settings.deadline, range)
        },
        can_change: true,
        ..ROW
    },
    Setting {
        name: "idle_timeout",
        value: "DURATION",
        help: "Close a connection that is silent for so long; 0 for never",
        field: |draft| Field::Timeout(&mut draft.settings.idle_timeout, bounds::IDLE_TIMEOUT_MAX),
        parameter: Some(Parameter::named("timeout", Form::Seconds)),
        can_change: true,
        ..ROW
    },
    Setting {
        name: "frame_timeout",
        value: "DURATION",
        help: "Close a connection that stops in the middle of a request for so long, or sends less than 16 KiB/s of \
               it beyond that time",
        field: |draft| Field::Time(&mut draft.settings.frame_timeout, CLIENT_TIMEOUTS),
        can_change: true,
        ..ROW
    },
    Setting {
        name: "login_timeout",
        value: "DURATION",
        help: "Close a connection that has not given the password for so long, where there is one; 0 for never",
        field: |draft| Field::Timeout(&mut draft.settings.login_timeout, bounds::IDLE_TIMEOUT_MAX),
        can_change: true,
        ..ROW
    },
    Setting {
        name: "login_delay",
        value: "DURATION",
        help: "How late logins are answered at most after wrong passwords",
        more: "100 ms for the first wrong password of an address, twice as long for each that follows within a \
               minute, and as long for a right one meanwhile. A client behind the same address as one that guesses \
               waits with it. With 0 no login is late.",
        field: |draft| {
            let range = Duration::ZERO..=bounds::LOGIN_DELAY_MAX;
            Field::Time(&mut draft.settings.login_delay, range)
        },
        ..ROW
    },
    Setting {
        name: "output_timeout",
        value: "DURATION",
        help: "Close a connection that leaves over 1 MiB of replies unread and takes none of them for so long, or \
               less than 16 KiB/s beyond that time",
        field: |draft| Field::Time(&mut draft.settings.output_timeout, CLIENT_TIMEOUTS),
        can_change: true,
        ..ROW
    },
    Setting {
        name: "drain_timeout",
        value: "DURATION",
        help: "Stop at the latest so long after the first signal",
        field: |draft| {
            let range = Duration::ZERO..=bounds::DRAIN_TIMEOUT_MAX;
            Field::Time(&mut draft.settings.drain_timeout, range)
        },
        parameter: Some(Parameter::named("shutdown-timeout", Form::Seconds)),
        ..ROW
    },
    Setting {
        name: "pre_stop_delay",
        value: "DURATION",
        help: "Go on serving so long after the first signal, but say that the server is not ready",
        field: |draft| {
            let range = Duration::ZERO..=bounds::PRE_STOP_DELAY_MAX;
            Field::Time(&mut draft.settings.pre_stop_delay, range)
        },
        ..ROW
    },
    Setting {
        name: "stall_bound",
        value: "DURATION",
        help: "Report a thread that has work and makes no progress for so long",
        field: |draft| {
            let range = bounds::STALL_BOUND_MIN..=bounds::STALL_BOUND_MAX;
            Field::Time(&mut draft.settings.stall_bound, range)
        },
        ..ROW
    },
    Setting {
        name: "slowlog_slower_than",
        value: "DURATION",
        help: "Note commands in SLOWLOG that take longer than this, or never",
        more: "Below 1 ms every command is timed, which costs about a hundredth of the throughput.",
        field: |draft| Field::Threshold(&mut draft.settings.slowlog_slower_than),
        parameter: Some(Parameter::named("slowlog-log-slower-than", Form::Micros)),
        can_change: true,
        ..ROW
    },
    Setting {
        name: "slowlog_max_len",
        value: "COUNT",
        help: "Commands that SLOWLOG keeps, the newest",
        field: |draft| {
            Field::Count(
                &mut draft.settings.slowlog_max_len,
                0..=bounds::SLOWLOG_ENTRIES_MAX,
            )
        },
        can_change: true,
        ..ROW
    },
    Setting {
        name: "password_file",
        value: "PATH",
        help: "A file whose first line is the password that clients must give",
        field: |draft| Field::Path {
            path: &mut draft.password_file,
            bytes_max: usize::MAX,
            allowed: "the path, in UTF-8, of a file whose first line is the password".to_owned(),
            absent: "no password",
        },
        parameter: None,
        ..ROW
    },
];

/// How long a client may be slow.
const CLIENT_TIMEOUTS: std::ops::RangeInclusive<Duration> =
    bounds::CLIENT_TIMEOUT_MIN..=bounds::IDLE_TIMEOUT_MAX;
