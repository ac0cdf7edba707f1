//! CONFIG GET and CONFIG SET: the settings under the names that clients and tools ask for.
//!
//! 1. What CONFIG GET shows, CONFIG SET takes: for what cannot change, the present value alone.
//! 2. CONFIG SET changes all that it names, or nothing.

use shardkeep_resp::Reply;

use shardkeep_data::commands::Args;
use shardkeep_data::commands::glob::{Case, Glob};

use crate::config::{Draft, Known, Resolved, echo, known};
use crate::context::Context;
use crate::limits;

/// What clients and tools ask for and no setting changes: here it is always so.
const FIXED: &[(&str, &str)] = &[
    ("activerehashing", "yes"),
    ("cluster-enabled", "no"),
    ("daemonize", "no"),
    // Nothing is watched by events: see LATENCY DOCTOR.
    ("latency-monitor-threshold", "0"),
    ("latency-tracking", "yes"),
    ("latency-tracking-info-percentiles", "50 99 99.9"),
    ("lazyfree-lazy-expire", "yes"),
    ("lazyfree-lazy-server-del", "yes"),
    ("lazyfree-lazy-user-del", "yes"),
    ("lazyfree-lazy-user-flush", "yes"),
    ("logfile", ""),
    ("maxmemory-policy", "noeviction"),
    ("protected-mode", "yes"),
    ("replica-read-only", "yes"),
    ("save", ""),
];

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
    match changed(context, args.iter_from(2)) {
        Ok(mut draft) => {
            put_in_force(context, &mut draft);
            reply.ok();
        }
        Err(error) => reply.error(&error),
    }
}

/// Has the settings that can change be as in `wanted`; names what takes a restart.
pub(crate) fn reload(
    context: &Context,
    in_force: &Resolved,
    wanted: &Resolved,
) -> Vec<&'static str> {
    let mut draft = wanted.draft();
    let mut restart_needed = in_force.restart_needed(wanted);
    let most = context.clients.most();
    if draft.max_clients() > most {
        if draft.max_clients() != in_force.draft().max_clients() {
            restart_needed.push("max_clients");
        }
        draft.set_max_clients(most);
    }
    put_in_force(context, &mut draft);
    restart_needed
}

fn put_in_force(context: &Context, draft: &mut Draft) {
    context.runtime.take(draft);
    context.put_in_force();
}

/// The settings with what CONFIG SET changes, given in pairs of name and value.
///
/// # Errors
/// What is wrong, in the words of Redis.
fn changed<'a>(
    context: &Context,
    mut words: impl Iterator<Item = &'a [u8]>,
) -> Result<Draft, String> {
    let mut draft = context.runtime.draft(&context.settings);
    let mut names: Vec<String> = Vec::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let text = std::str::from_utf8(value).unwrap_or("\u{fffd}");
        change(context, &mut draft, &name, text)?;
        if names.contains(&name) {
            return Err(refused(&name, "duplicate parameter"));
        }
        names.push(name);
    }
    Ok(draft)
}

fn change(context: &Context, draft: &mut Draft, name: &str, text: &str) -> Result<(), String> {
    let found = known().find(|known| known.can_change() && known.name() == name);
    let Some(known) = found else {
        return is_so_already(context, name, text);
    };
    let read = known.read(draft, text);
    let most = context.clients.most();
    let read = read.and_then(|()| match draft.max_clients() > most {
        true => Err(format!("argument must be between 1 and {most} inclusive")),
        false => Ok(()),
    });
    read.map_err(|why| refused(name, &why))
}

fn is_so_already(context: &Context, name: &str, text: &str) -> Result<(), String> {
    let all = all(context);
    match all.iter().find(|(known, _)| known == name) {
        Some((_, value)) if value == text => Ok(()),
        Some(_) => Err(refused(name, "can't set immutable config")),
        None => Err(format!(
            "ERR Unknown option or number of arguments for CONFIG SET - '{}'",
            echo(name)
        )),
    }
}

fn refused(name: &str, why: &str) -> String {
    let name = echo(name);
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
}

/// Every parameter with its present value, by name.
fn all(context: &Context) -> Vec<(String, String)> {
    let draft = context.runtime.draft(&context.settings);
    let yes_or_no = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let bulk_max = shardkeep_resp::Limits::default().bulk_bytes_max;
    let known = known().map(|known: Known| (known.name(), known.show(&draft)));
    let fixed = FIXED
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    let started = [
        ("databases", context.gauges.databases().to_string()),
        ("appendonly", yes_or_no(context.settings.dir.is_some())),
        ("port", context.port.to_string()),
        ("proto-max-bulk-len", bulk_max.to_string()),
        ("shards", context.routes.shards().to_string()),
        ("io-threads", context.reactors.len().to_string()),
        ("tcp-keepalive", limits::KEEPALIVE_SECONDS.to_string()),
    ];
    let others = fixed
        .chain(started)
        .map(|(name, value)| (name.to_owned(), value));
    let all: std::collections::BTreeMap<_, _> = known.chain(others).collect();
    all.into_iter().collect()
}
