//! CONFIG GET and CONFIG SET: the settings under the names that clients and tools ask for.

use shardkeep_resp::Reply;

use shardkeep_data::commands::Args;
use shardkeep_data::commands::glob::{Case, Glob};

use crate::config::{Sync, show_duration};
use crate::context::Context;
use crate::{limits, live, slowlog};

/// Answers CONFIG GET with all parameters that match one of the patterns.
pub(crate) fn get(context: &Context, args: Args<'_>, reply: &mut Reply<'_>) {
    let all = all(context);
    let mut is_wanted = vec![false; all.len()];
    let mut before = None;
    for pattern in args.iter_from(2) {
        // C's string functions, which Redis uses here, take a zero byte for the end.
        let pattern = &pattern[..memchr::memchr(0, pattern).unwrap_or(pattern.len())];
        // The same again, and anything once all are wanted, changes nothing.
        if before.replace(pattern) == Some(pattern) || !is_wanted.contains(&false) {
            continue;
        }
        let glob = match Glob::parse(pattern, Case::Ignored) {
            Ok(glob) => glob,
            Err(error) => return reply.error(&error.to_string()),
        };
        for (is_wanted, (name, _)) in is_wanted.iter_mut().zip(&all) {
            *is_wanted = *is_wanted || glob.matches_short(name);
        }
    }
    let wanted = all.iter().zip(is_wanted).filter(|(_, wanted)| *wanted);
    reply.map(wanted.clone().count());
    for ((name, value), _) in wanted {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

/// Answers CONFIG SET.
pub(crate) fn set(context: &Context, args: Args<'_>, reply: &mut Reply<'_>) {
    if !args.len().is_multiple_of(2) {
        return reply.error("ERR wrong number of arguments for 'config|set' command");
    }
    match live::set(context, args.iter_from(2)) {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(&error),
    }
}

/// The present value of the parameter of this name.
pub(crate) fn value(context: &Context, name: &str) -> Option<String> {
    let found = all(context).into_iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| value)
}

fn all(context: &Context) -> Vec<(&'static str, String)> {
    let settings = &context.settings;
    let bind: Vec<String> = settings.bind.iter().map(|at| at.ip().to_string()).collect();
    let seconds = |time: Option<std::time::Duration>| time.map_or(0, |time| time.as_secs());
    let has_log = settings.dir.is_some();
    let yes_or_no = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let appendfsync = match settings.sync {
        Sync::Always => "always",
        Sync::Interval => "everysec",
        Sync::Never => "no",
    };
    let reserve = settings
        .disk_reserve
        .map_or_else(|| "auto".to_owned(), |bytes| bytes.to_string());
    let dir = settings.dir.as_ref();
    let overload = match context.live.rejects() {
        true => "reject",
        false => "block",
    };
    vec![
        ("appendfsync", appendfsync.into()),
        ("appendonly", yes_or_no(has_log)),
        ("bind", bind.join(" ")),
        ("databases", context.gauges.databases().to_string()),
        ("deadline", show_duration(context.live.deadline())),
        (
            "dir",
            dir.map_or(String::new(), |dir| dir.display().to_string()),
        ),
        ("disk-reserve", reserve),
        ("frame-timeout", show_duration(context.live.frame_timeout())),
        // Nothing is watched by events: see LATENCY DOCTOR.
        ("latency-monitor-threshold", "0".into()),
        ("latency-tracking", "yes".into()),
        ("latency-tracking-info-percentiles", "50 99 99.9".into()),
        (
            "login-timeout",
            show_duration(context.live.login_timeout().unwrap_or_default()),
        ),
        ("maxclients", context.clients.max().to_string()),
        (
            "maxmemory",
            context.live.max_memory().unwrap_or(0).to_string(),
        ),
        ("maxmemory-policy", "noeviction".into()),
        (
            "output-timeout",
            show_duration(context.live.output_timeout()),
        ),
        ("overload", overload.into()),
        ("port", context.port.to_string()),
        (
            "proto-max-bulk-len",
            shardkeep_resp::Limits::default().bulk_bytes_max.to_string(),
        ),
        ("rdbcompression", yes_or_no(settings.compress_snapshots)),
        ("replica-read-only", "yes".into()),
        ("save", String::new()),
        ("shards", context.routes.shards().to_string()),
        ("slowlog-log-slower-than", slower_than(context)),
        ("slowlog-max-len", context.gauges.slow.max().to_string()),
        (
            "snapshot-log-bytes",
            settings.snapshot_log_bytes.to_string(),
        ),
        ("tcp-keepalive", limits::KEEPALIVE_SECONDS.to_string()),
        ("timeout", seconds(context.live.idle_timeout()).to_string()),
        (
            "unixsocket",
            settings
                .unix_socket
                .as_ref()
                .map_or(String::new(), |at| at.display().to_string()),
        ),
    ]
}

/// In microseconds; -1 for never.
fn slower_than(context: &Context) -> String {
    match context.gauges.slow.threshold_us() {
        slowlog::NEVER => "-1".to_owned(),
        us => us.to_string(),
    }
}
