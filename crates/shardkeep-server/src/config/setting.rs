//! The settings: one table that drives flags, environment, file, errors and the printed form.
//!
//! A row knows how its text is read, what is allowed and how it is shown; it does not know where
//! the text came from, and never looks at another row (that is `check`'s part).
//!
//! 1. What `show` gives, `set` takes and arrives at the same value.
//! 2. A refused text changes nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::bounds;
use super::value::{parse_bytes, parse_count, parse_duration, show_bytes, show_duration};
use super::{AdminAt, Commit, Draft, Handover, LogFormat, Overload, Sync};

/// The word for an empty list of addresses.
const NONE: &str = "none";

/// One row of the table.
pub(super) struct Setting {
    /// The key in the file; with dashes it is the flag, in capitals after the prefix the variable.
    pub(super) name: &'static str,
    /// What it may be, for people.
    pub(super) allowed: fn() -> String,
    /// Reads one or more texts into the draft; `None` when they are not allowed.
    pub(super) set: fn(&mut Draft, &[String]) -> Option<()>,
    /// The value as TOML, or why there is none.
    pub(super) show: fn(&Draft) -> Result<toml::Value, &'static str>,
}

/// The row named `name`.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Every setting, in the order in which they are printed.
pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        name: "bind",
        allowed: || {
            format!(
                "up to {} different IP addresses with ports, such as 127.0.0.1:6379 or [::1]:0, \
                 or none",
                bounds::BIND_ADDRESSES_MAX
            )
        },
        set: |draft, texts| {
            draft.settings.bind = addresses(texts)?;
            Some(())
        },
        show: |draft| {
            let shown = draft.settings.bind.iter();
            Ok(shown.map(SocketAddr::to_string).collect::<Vec<_>>().into())
        },
    },
    Setting {
        name: "unix_socket",
        allowed: || {
            format!(
                "a path of 1 to {} bytes, in UTF-8",
                bounds::SOCKET_PATH_BYTES_MAX
            )
        },
        set: |draft, texts| {
            let path = path(texts).filter(|path| fits_socket(path))?;
            draft.settings.unix_socket = Some(path);
            Some(())
        },
        show: |draft| show_path(draft.settings.unix_socket.as_ref(), "no unix socket"),
    },
    Setting {
        name: "admin",
        allowed: || "an IP address with its port, such as 127.0.0.1:9379, or off".to_owned(),
        set: |draft, texts| {
            draft.settings.admin = match only(texts)? {
                "off" => AdminAt::Off,
                address => AdminAt::At(address.parse().ok()?),
            };
            Some(())
        },
        show: |draft| match draft.settings.admin {
            AdminAt::Off => Ok("off".into()),
            AdminAt::IfFree(_) => Err("127.0.0.1:9379 if that is free"),
            AdminAt::At(address) => Ok(address.to_string().into()),
        },
    },
    Setting {
        name: "log_format",
        allowed: || "text or json".to_owned(),
        set: |draft, texts| {
            draft.settings.log_format = match only(texts)? {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return None,
            };
            Some(())
        },
        show: |draft| {
            Ok(match draft.settings.log_format {
                LogFormat::Text => "text".into(),
                LogFormat::Json => "json".into(),
            })
        },
    },
    Setting {
        name: "shards",
        allowed: || format!("a power of two from 1 to {}", bounds::SHARDS_MAX),
        set: |draft, texts| {
            let shards = count(texts, bounds::SHARDS_MAX).filter(|n| n.is_power_of_two())?;
            draft.settings.shards = Some(shards);
            Some(())
        },
        show: |draft| show_count(draft.settings.shards),
    },
    Setting {
        name: "owners",
        allowed: || format!("1 to {}, and no more than shards", bounds::OWNERS_MAX),
        set: |draft, texts| {
            draft.settings.owners = Some(count(texts, bounds::OWNERS_MAX)?);
            Some(())
        },
        show: |draft| show_count(draft.settings.owners),
    },
    Setting {
        name: "reactors",
        allowed: || format!("1 to {}", bounds::REACTORS_MAX),
        set: |draft, texts| {
            draft.settings.reactors = Some(count(texts, bounds::REACTORS_MAX)?);
            Some(())
        },
        show: |draft| show_count(draft.settings.reactors),
    },
    Setting {
        name: "handover",
        allowed: || "lend or mail".to_owned(),
        set: |draft, texts| {
            let handover = match only(texts)? {
                "lend" => Handover::Lend,
                "mail" => Handover::Mail,
                _ => return None,
            };
            draft.settings.handover = handover;
            Some(())
        },
        show: |draft| {
            Ok(match draft.settings.handover {
                Handover::Lend => "lend".into(),
                Handover::Mail => "mail".into(),
            })
        },
    },
    Setting {
        name: "write_window",
        allowed: || durations(Duration::ZERO, bounds::WRITE_WINDOW_MAX),
        set: |draft, texts| {
            let window = duration(texts, Duration::ZERO, bounds::WRITE_WINDOW_MAX)?;
            draft.settings.write_window = Some(window);
            Some(())
        },
        show: |draft| {
            let window = draft.settings.write_window;
            Ok(show_duration(window.ok_or("500us for the log, none for mail")?).into())
        },
    },
    Setting {
        name: "dir",
        allowed: || "the path, in UTF-8, of a directory; it is made if it is not there".to_owned(),
        set: |draft, texts| {
            draft.settings.dir = Some(path(texts)?);
            Some(())
        },
        show: |draft| show_path(draft.settings.dir.as_ref(), "in memory only"),
    },
    Setting {
        name: "sync",
        allowed: || "always, interval or never".to_owned(),
        set: |draft, texts| {
            draft.settings.sync = match only(texts)? {
                "always" => Sync::Always,
                "interval" => Sync::Interval,
                "never" => Sync::Never,
                _ => return None,
            };
            Some(())
        },
        show: |draft| {
            of_the_log(
                draft,
                match draft.settings.sync {
                    Sync::Always => "always".into(),
                    Sync::Interval => "interval".into(),
                    Sync::Never => "never".into(),
                },
            )
        },
    },
    Setting {
        name: "sync_interval",
        allowed: || durations(bounds::SYNC_INTERVAL_MIN, bounds::SYNC_INTERVAL_MAX),
        set: |draft, texts| {
            let interval = duration(texts, bounds::SYNC_INTERVAL_MIN, bounds::SYNC_INTERVAL_MAX)?;
            draft.settings.sync_interval = interval;
            Some(())
        },
        show: |draft| {
            if draft.settings.sync != Sync::Interval {
                return Err("not with this sync");
            }
            of_the_log(draft, show_duration(draft.settings.sync_interval).into())
        },
    },
    Setting {
        name: "commit",
        allowed: || "auto or thread".to_owned(),
        set: |draft, texts| {
            draft.settings.commit = match only(texts)? {
                "auto" => Commit::Auto,
                "thread" => Commit::Thread,
                _ => return None,
            };
            Some(())
        },
        show: |draft| {
            of_the_log(
                draft,
                match draft.settings.commit {
                    Commit::Auto => "auto".into(),
                    Commit::Thread => "thread".into(),
                },
            )
        },
    },
    Setting {
        name: "snapshot_log_bytes",
        allowed: || "bytes, or a number with a unit such as 512mb; 0 for never".to_owned(),
        set: |draft, texts| {
            draft.settings.snapshot_log_bytes = parse_bytes(only(texts)?)?;
            Some(())
        },
        show: |draft| of_the_log(draft, show_bytes(draft.settings.snapshot_log_bytes).into()),
    },
    Setting {
        name: "compress_snapshots",
        allowed: || "yes or no".to_owned(),
        set: |draft, texts| {
            draft.settings.compress_snapshots = match only(texts)? {
                "yes" => true,
                "no" => false,
                _ => return None,
            };
            Some(())
        },
        show: |draft| {
            let shown = if draft.settings.compress_snapshots {
                "yes"
            } else {
                "no"
            };
            of_the_log(draft, shown.into())
        },
    },
    Setting {
        name: "disk_reserve",
        allowed: || {
            let least = show_bytes(bounds::DISK_RESERVE_BYTES_MIN);
            format!("auto, 0 for none, or {least} and more, as bytes or with a unit such as 64mb")
        },
        set: |draft, texts| {
            draft.settings.disk_reserve = match only(texts)? {
                "auto" => None,
                text => Some(
                    parse_bytes(text)
                        .filter(|&bytes| bytes == 0 || bytes >= bounds::DISK_RESERVE_BYTES_MIN)?,
                ),
            };
            Some(())
        },
        show: |draft| {
            let reserve = draft.settings.disk_reserve;
            of_the_log(
                draft,
                reserve.map_or_else(|| "auto".into(), |bytes| show_bytes(bytes).into()),
            )
        },
    },
    Setting {
        name: "overload",
        allowed: || "block or reject".to_owned(),
        set: |draft, texts| {
            draft.settings.overload = match only(texts)? {
                "block" => Overload::Block,
                "reject" => Overload::Reject,
                _ => return None,
            };
            Some(())
        },
        show: |draft| {
            Ok(match draft.settings.overload {
                Overload::Block => "block".into(),
                Overload::Reject => "reject".into(),
            })
        },
    },
    Setting {
        name: "databases",
        allowed: || format!("1 to {}", bounds::DATABASES_MAX),
        set: |draft, texts| {
            let databases = count(texts, bounds::DATABASES_MAX as usize)?;
            draft.settings.databases = u32::try_from(databases).ok()?;
            Some(())
        },
        show: |draft| show_count(Some(draft.settings.databases as usize)),
    },
    Setting {
        name: "max_clients",
        allowed: || format!("1 to {}", bounds::MAX_CLIENTS_MAX),
        set: |draft, texts| {
            draft.settings.max_clients = count(texts, bounds::MAX_CLIENTS_MAX)?;
            Some(())
        },
        show: |draft| show_count(Some(draft.settings.max_clients)),
    },
    Setting {
        name: "max_memory",
        allowed: || {
            "bytes, or a number with a unit such as 512mb or 2gb (k, m, g are decimal; kb, mb, gb \
             binary); 0 for no limit"
                .to_owned()
        },
        set: |draft, texts| {
            let bytes = parse_bytes(only(texts)?)?;
            draft.settings.max_memory = (bytes != 0).then_some(bytes);
            Some(())
        },
        show: |draft| Ok(show_bytes(draft.settings.max_memory.unwrap_or(0)).into()),
    },
    Setting {
        name: "deadline",
        allowed: || durations(bounds::DEADLINE_MIN, bounds::DEADLINE_MAX),
        set: |draft, texts| {
            let deadline = duration(texts, bounds::DEADLINE_MIN, bounds::DEADLINE_MAX)?;
            draft.settings.deadline = deadline;
            Some(())
        },
        show: |draft| Ok(show_duration(draft.settings.deadline).into()),
    },
    Setting {
        name: "idle_timeout",
        allowed: || {
            let range = durations(Duration::ZERO, bounds::IDLE_TIMEOUT_MAX);
            format!("{range}; 0 for never")
        },
        set: |draft, texts| {
            let idle = duration(texts, Duration::ZERO, bounds::IDLE_TIMEOUT_MAX)?;
            draft.settings.idle_timeout = (!idle.is_zero()).then_some(idle);
            Some(())
        },
        show: |draft| Ok(show_duration(draft.settings.idle_timeout.unwrap_or_default()).into()),
    },
    Setting {
        name: "frame_timeout",
        allowed: || durations(bounds::CLIENT_TIMEOUT_MIN, bounds::IDLE_TIMEOUT_MAX),
        set: |draft, texts| {
            let allowed = duration(texts, bounds::CLIENT_TIMEOUT_MIN, bounds::IDLE_TIMEOUT_MAX)?;
            draft.settings.frame_timeout = allowed;
            Some(())
        },
        show: |draft| Ok(show_duration(draft.settings.frame_timeout).into()),
    },
    Setting {
        name: "login_timeout",
        allowed: || {
            let range = durations(Duration::ZERO, bounds::IDLE_TIMEOUT_MAX);
            format!("{range}; 0 for never")
        },
        set: |draft, texts| {
            let allowed = duration(texts, Duration::ZERO, bounds::IDLE_TIMEOUT_MAX)?;
            draft.settings.login_timeout = (!allowed.is_zero()).then_some(allowed);
            Some(())
        },
        show: |draft| Ok(show_duration(draft.settings.login_timeout.unwrap_or_default()).into()),
    },
    Setting {
        name: "login_delay",
        allowed: || durations(Duration::ZERO, bounds::LOGIN_DELAY_MAX),
        set: |draft, texts| {
            draft.settings.login_delay = duration(texts, Duration::ZERO, bounds::LOGIN_DELAY_MAX)?;
            Some(())
        },
        show: |draft| Ok(show_duration(draft.settings.login_delay).into()),
    },
    Setting {
        name: "output_timeout",
        allowed: || durations(bounds::CLIENT_TIMEOUT_MIN, bounds::IDLE_TIMEOUT_MAX),
        set: |draft, texts| {
            let allowed = duration(texts, bounds::CLIENT_TIMEOUT_MIN, bounds::IDLE_TIMEOUT_MAX)?;
            draft.settings.output_timeout = allowed;
            Some(())
        },
        show: |draft| Ok(show_duration(draft.settings.output_timeout).into()),
    },
    Setting {
        name: "drain_timeout",
        allowed: || durations(Duration::ZERO, bounds::DRAIN_TIMEOUT_MAX),
        set: |draft, texts| {
            let cap = duration(texts, Duration::ZERO, bounds::DRAIN_TIMEOUT_MAX)?;
            draft.settings.drain_timeout = cap;
            Some(())
        },
        show: |draft| Ok(show_duration(draft.settings.drain_timeout).into()),
    },
    Setting {
        name: "pre_stop_delay",
        allowed: || durations(Duration::ZERO, bounds::PRE_STOP_DELAY_MAX),
        set: |draft, texts| {
            let delay = duration(texts, Duration::ZERO, bounds::PRE_STOP_DELAY_MAX)?;
            draft.settings.pre_stop_delay = delay;
            Some(())
        },
        show: |draft| Ok(show_duration(draft.settings.pre_stop_delay).into()),
    },
    Setting {
        name: "stall_bound",
        allowed: || durations(bounds::STALL_BOUND_MIN, bounds::STALL_BOUND_MAX),
        set: |draft, texts| {
            let (min, max) = (bounds::STALL_BOUND_MIN, bounds::STALL_BOUND_MAX);
            draft.settings.stall_bound = duration(texts, min, max)?;
            Some(())
        },
        show: |draft| Ok(show_duration(draft.settings.stall_bound).into()),
    },
    Setting {
        name: "password_file",
        allowed: || "the path, in UTF-8, of a file whose first line is the password".to_owned(),
        set: |draft, texts| {
            draft.password_file = Some(path(texts)?);
            Some(())
        },
        show: |draft| show_path(draft.password_file.as_ref(), "no password"),
    },
];

/// A setting that means nothing without a directory is shown with one only: so that the printed form
/// can be read back.
fn of_the_log(draft: &Draft, shown: toml::Value) -> Result<toml::Value, &'static str> {
    if draft.settings.dir.is_some() {
        Ok(shown)
    } else {
        Err("not without dir")
    }
}

fn only(texts: &[String]) -> Option<&str> {
    match texts {
        [text] => Some(text),
        _ => None,
    }
}

fn count(texts: &[String], max: usize) -> Option<usize> {
    parse_count(only(texts)?).filter(|count| (1..=max).contains(count))
}

fn duration(texts: &[String], min: Duration, max: Duration) -> Option<Duration> {
    parse_duration(only(texts)?).filter(|duration| (min..=max).contains(duration))
}

fn durations(min: Duration, max: Duration) -> String {
    format!(
        "a duration from {} to {}, such as 500ms, 1s or 2m (a plain number is seconds)",
        show_duration(min),
        show_duration(max)
    )
}

/// A path must be Unicode, since the printed form is; what was not has a replacement mark by now.
fn path(texts: &[String]) -> Option<PathBuf> {
    let text = only(texts)?;
    let possible = !text.is_empty() && !text.contains(['\0', char::REPLACEMENT_CHARACTER]);
    possible.then(|| PathBuf::from(text))
}

fn fits_socket(path: &std::path::Path) -> bool {
    path.as_os_str().len() <= bounds::SOCKET_PATH_BYTES_MAX
}

fn addresses(texts: &[String]) -> Option<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    if texts == [NONE] {
        return Some(addresses);
    }
    for text in texts.iter().flat_map(|text| text.split(',')) {
        let address: SocketAddr = text.trim().parse().ok()?;
        // Port 0 is a different port each time.
        let is_new = address.port() == 0 || !addresses.contains(&address);
        if !is_new || addresses.len() == bounds::BIND_ADDRESSES_MAX {
            return None;
        }
        addresses.push(address);
    }
    (!addresses.is_empty()).then_some(addresses)
}

fn show_path(path: Option<&PathBuf>, absent: &'static str) -> Result<toml::Value, &'static str> {
    let path = path.ok_or(absent)?;
    Ok(path.to_string_lossy().into_owned().into())
}

fn show_count(count: Option<usize>) -> Result<toml::Value, &'static str> {
    let count = count.ok_or("by the number of cores")?;
    Ok(i64::try_from(count).unwrap_or(i64::MAX).into())
}
