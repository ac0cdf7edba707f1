//! The table of metrics.

use crate::engine::Gauge;
use std::sync::atomic::Ordering::Relaxed;

use shardkeep::durable::Disk;
use shardkeep::engine::histogram::Distribution;

use super::{Family, Kind, Samples};
use crate::admin::health::Reason;
use crate::admin::seen::{LOG_STATES, Seen};
use crate::clock;

type Collect = fn(&Seen<'_>, &mut Samples<'_>);

const fn counter(name: &'static str, help: &'static str, collect: Collect) -> Family {
    family(name, Kind::Counter, &[], help, collect)
}

const fn gauge(name: &'static str, help: &'static str, collect: Collect) -> Family {
    family(name, Kind::Gauge, &[], help, collect)
}

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    collect: Collect,
) -> Family {
    Family {
        name,
        kind,
        labels,
        help,
        collect,
    }
}

fn unix_seconds() -> f64 {
    clock::unix_micros() as f64 / 1e6
}

/// Every metric there is.
pub(super) static FAMILIES: &[Family] = &[
    family(
        "shardkeep_build_info",
        Kind::Gauge,
        &["version"],
        "Always 1; which version runs.",
        |_, out| out.with(&[env!("CARGO_PKG_VERSION")], 1),
    ),
    gauge(
        "shardkeep_start_time_seconds",
        "When the server started, in seconds since 1970.",
        |seen, out| out.one(unix_seconds() - seen.uptime.as_secs_f64()),
    ),
    gauge(
        "shardkeep_uptime_seconds",
        "How long the server has been running.",
        |seen, out| out.one(seen.uptime.as_secs_f64()),
    ),
    gauge(
        "shardkeep_ready",
        "1 when the server should be sent work, else 0.",
        |seen, out| out.one(u8::from(seen.health.ready().is_ok())),
    ),
    family(
        "shardkeep_not_ready",
        Kind::Gauge,
        &["reason"],
        "1 for each reason not to send the server work.",
        |seen, out| reasons(seen, out, false),
    ),
    family(
        "shardkeep_degraded",
        Kind::Gauge,
        &["reason"],
        "1 for each reason why writes are refused although the server is ready.",
        |seen, out| reasons(seen, out, true),
    ),
    gauge(
        "shardkeep_threads",
        "Threads that are alive.",
        |seen, out| out.one(seen.process.threads),
    ),
    family(
        "shardkeep_thread_restarts_total",
        Kind::Counter,
        &["thread"],
        "Times the thread was started again after a failure.",
        |seen, out| {
            for thread in &seen.threads {
                out.with(&[&thread.name], thread.restarts);
            }
        },
    ),
    gauge(
        "shardkeep_stalled",
        "Threads and holders of shards that have work and make no progress.",
        |seen, out| out.one(seen.stalls.len()),
    ),
    counter(
        "shardkeep_stalls_total",
        "Times that one of them was found without progress.",
        |seen, out| out.one(seen.context.watch.stalls_total()),
    ),
    gauge(
        "shardkeep_open_descriptors",
        "File descriptors that are open.",
        |seen, out| out.one(seen.process.descriptors),
    ),
    gauge(
        "shardkeep_resident_memory_bytes",
        "Memory of the process, as the kernel counts it.",
        |seen, out| out.one(seen.process.resident_bytes),
    ),
    gauge(
        "shardkeep_allocator_allocated_bytes",
        "Memory that the allocator has given out; 0 where it does not tell.",
        |seen, out| out.one(seen.heap.allocated),
    ),
    gauge(
        "shardkeep_allocator_resident_bytes",
        "Memory that the allocator has in pages, free ones on their way back included; 0 where it does not tell.",
        |seen, out| out.one(seen.heap.resident),
    ),
    family(
        "shardkeep_cpu_seconds_total",
        Kind::Counter,
        &["mode"],
        "Processor time of the process.",
        |seen, out| {
            out.with(&["user"], seen.process.cpu_user_seconds);
            out.with(&["system"], seen.process.cpu_system_seconds);
        },
    ),
    gauge(
        "shardkeep_memory_bytes",
        "Memory of the data: tables, keys and values.",
        |seen, out| out.one(seen.context.gauges.memory_bytes()),
    ),
    gauge(
        "shardkeep_memory_limit_bytes",
        "Memory of the data beyond which writes are refused; 0 for no limit.",
        |seen, out| out.one(seen.context.runtime.max_memory().unwrap_or(0)),
    ),
    gauge("shardkeep_keys", "Keys in the store.", |seen, out| {
        out.one(seen.context.gauges.iter().map(Gauge::keys).sum::<u64>());
    }),
    gauge(
        "shardkeep_keys_expiring",
        "Keys in the store that have a time to live.",
        |seen, out| out.one(seen.context.gauges.iter().map(Gauge::expires).sum::<u64>()),
    ),
    family(
        "shardkeep_database_keys",
        Kind::Gauge,
        &["database"],
        "Keys of each database that is in use.",
        |seen, out| {
            let databases = seen.context.gauges.by_database(|_, _| true);
            for (database, counts) in databases.iter().enumerate() {
                if counts.keys > 0 || database == 0 {
                    out.with(&[&database.to_string()], counts.keys as u64);
                }
            }
        },
    ),
    counter(
        "shardkeep_keys_expired_total",
        "Keys removed because their time had come.",
        |seen, out| out.one(seen.gauges(|gauge| &gauge.expired)),
    ),
    counter(
        "shardkeep_keys_evicted_total",
        "Keys removed for want of memory: none, until there is a policy for that.",
        |_, out| out.one(0),
    ),
    counter(
        "shardkeep_key_hits_total",
        "Keys looked up and found.",
        |seen, out| out.one(seen.gauges(|gauge| &gauge.hits)),
    ),
    counter(
        "shardkeep_key_misses_total",
        "Keys looked up and not found.",
        |seen, out| out.one(seen.gauges(|gauge| &gauge.misses)),
    ),
    family(
        "shardkeep_connections",
        Kind::Gauge,
        &["reactor"],
        "Connections of clients now, by the thread that serves them.",
        |seen, out| {
            for (number, reactor) in seen.context.reactors.iter().enumerate() {
                out.with(&[&number.to_string()], reactor.connections.get());
            }
        },
    ),
    gauge(
        "shardkeep_connections_limit",
        "Connections of clients at most.",
        |seen, out| out.one(seen.context.clients.max()),
    ),
    counter(
        "shardkeep_connections_accepted_total",
        "Connections accepted.",
        |seen, out| out.one(seen.context.clients.accepted_total.load(Relaxed)),
    ),
    counter(
        "shardkeep_connections_refused_total",
        "Connections refused because there were too many.",
        |seen, out| out.one(seen.context.clients.refused_total.load(Relaxed)),
    ),
    counter(
        "shardkeep_connections_timed_out_total",
        "Connections closed because the client was silent, too slow, or did not read.",
        |seen, out| out.one(seen.reactors(|reactor| &reactor.timed_out)),
    ),
    counter(
        "shardkeep_connections_given_up_total",
        "Connections closed in a drain because the client had stopped reading.",
        |seen, out| out.one(seen.reactors(|reactor| &reactor.given_up)),
    ),
    counter(
        "shardkeep_login_timeouts_total",
        "Connections closed because the client had not logged in in time.",
        |seen, out| out.one(seen.reactors(|reactor| &reactor.login_timeouts)),
    ),
    counter(
        "shardkeep_logins_failed_total",
        "Logins with a wrong password.",
        |seen, out| out.one(seen.reactors(|reactor| &reactor.failed_logins)),
    ),
    counter(
        "shardkeep_protocol_errors_total",
        "Requests that could not be decoded.",
        |seen, out| out.one(seen.reactors(|reactor| &reactor.protocol_errors)),
    ),
    counter(
        "shardkeep_received_bytes_total",
        "Bytes received from clients.",
        |seen, out| out.one(seen.reactors(|reactor| &reactor.input_bytes)),
    ),
    counter(
        "shardkeep_sent_bytes_total",
        "Bytes of replies to clients.",
        |seen, out| out.one(seen.reactors(|reactor| &reactor.output_bytes)),
    ),
    family(
        "shardkeep_commands_total",
        Kind::Counter,
        &["command"],
        "Commands begun.",
        |seen, out| {
            for command in &seen.commands {
                out.with(&[command.spec.name], command.calls);
            }
        },
    ),
    family(
        "shardkeep_commands_failed_total",
        Kind::Counter,
        &["command"],
        "Commands answered with an error.",
        |seen, out| {
            for command in &seen.commands {
                out.with(&[command.spec.name], command.failed);
            }
        },
    ),
    family(
        "shardkeep_commands_rejected_total",
        Kind::Counter,
        &["command"],
        "Commands refused before they began: arguments, login, memory, draining, the log.",
        |seen, out| {
            for command in &seen.commands {
                out.with(&[command.spec.name], command.rejected);
            }
        },
    ),
    family(
        "shardkeep_command_duration_seconds",
        Kind::Histogram,
        &["command"],
        "From the arrival of a command's bytes to its reply being handed to the socket.",
        |seen, out| {
            for command in &seen.commands {
                out.histogram(&[command.spec.name], &command.latencies);
            }
        },
    ),
    counter(
        "shardkeep_slow_commands_total",
        "Commands that took longer on their shards than slowlog-log-slower-than.",
        |seen, out| out.one(seen.context.gauges.slow.total()),
    ),
    counter(
        "shardkeep_service_seconds_total",
        "Time that commands took on their shards, estimated from one round in sixteen.",
        |seen, out| out.one(seen.service_seconds),
    ),
    family(
        "shardkeep_wait_seconds",
        Kind::Histogram,
        &[],
        "Time that mailed works waited for their shard.",
        |seen, out| out.times(&[], &seen.of_shards(|shard| &shard.waits)),
    ),
    gauge(
        "shardkeep_wait_max_seconds",
        "The longest that a mailed work waited for its shard, since the start.",
        |seen, out| {
            let waited = seen.shards.iter().map(|shard| shard.waited_max);
            out.one(waited.max().unwrap_or_default().as_secs_f64());
        },
    ),
    family(
        "shardkeep_visit_commands",
        Kind::Histogram,
        &[],
        "Commands that a reactor ran in one visit of a shard.",
        |seen, out| {
            let mut sizes = Distribution::default();
            for reactor in &seen.context.reactors {
                sizes.add(&reactor.visits.read());
            }
            out.sizes(&[], &sizes);
        },
    ),
    family(
        "shardkeep_shard_depth",
        Kind::Gauge,
        &["shard"],
        "Works waiting for the shard now.",
        |seen, out| by_shard(seen, out, |shard| shard.depth as u64),
    ),
    family(
        "shardkeep_shard_depth_max",
        Kind::Gauge,
        &["shard"],
        "Works waiting for the shard at most, since the start.",
        |seen, out| by_shard(seen, out, |shard| shard.depth_max),
    ),
    family(
        "shardkeep_shard_borrowed_total",
        Kind::Counter,
        &["shard"],
        "Times the shard was taken off its desk.",
        |seen, out| by_shard(seen, out, |shard| shard.borrowed),
    ),
    family(
        "shardkeep_shard_mailed_total",
        Kind::Counter,
        &["shard"],
        "Works mailed to the shard because it was in other hands.",
        |seen, out| by_shard(seen, out, |shard| shard.mailed),
    ),
    family(
        "shardkeep_shard_keys",
        Kind::Gauge,
        &["shard"],
        "Keys of the shard.",
        |seen, out| {
            for (number, gauge) in seen.context.gauges.iter().enumerate() {
                out.with(&[&number.to_string()], gauge.keys());
            }
        },
    ),
    gauge(
        "shardkeep_shards_lost",
        "Shards that are lost and not back yet.",
        |seen, out| out.one(seen.shards(|shard| u64::from(shard.is_lost))),
    ),
    counter(
        "shardkeep_shard_losses_total",
        "Times a shard was lost to a panic.",
        |seen, out| out.one(seen.shards(|shard| shard.times_lost)),
    ),
    counter(
        "shardkeep_served_for_others_total",
        "Mailed works served by whoever held the shard.",
        |seen, out| out.one(seen.shards(|shard| shard.served_for_others)),
    ),
    counter(
        "shardkeep_handed_to_owner_total",
        "Times a shard went to its owner because its mail exceeded the bound of service.",
        |seen, out| out.one(seen.shards(|shard| shard.handed_to_owner)),
    ),
    counter(
        "shardkeep_lent_by_mail_total",
        "Times a shard was passed on to whoever had asked for it.",
        |seen, out| out.one(seen.shards(|shard| shard.lent_by_mail)),
    ),
    counter(
        "shardkeep_found_away_total",
        "Times a command over several shards found one in other hands, and was mailed.",
        |seen, out| out.one(seen.shards(|shard| shard.refused.busy)),
    ),
    counter(
        "shardkeep_batches_total",
        "Batches of gathered writes applied, with handover = mail.",
        |seen, out| out.one(seen.shards(|shard| shard.batches)),
    ),
    counter(
        "shardkeep_batch_writes_total",
        "Writes in those batches.",
        |seen, out| out.one(seen.shards(|shard| shard.batch_writes)),
    ),
    family(
        "shardkeep_batch_window_seconds",
        Kind::Histogram,
        &[],
        "Time that the first write of such a batch waited for its window.",
        |seen, out| {
            let windows = seen.of_shards(|shard| &shard.batch_windows);
            if windows.count() > 0 {
                out.times(&[], &windows);
            }
        },
    ),
    family(
        "shardkeep_refused_total",
        Kind::Counter,
        &["reason"],
        "Works and writes refused, certainly not applied.",
        |seen, out| {
            for (reason, count) in seen.refused() {
                out.with(&[reason], count);
            }
        },
    ),
    counter(
        "shardkeep_throttled_total",
        "Commands answered with THROTTLED.",
        |seen, out| out.one(seen.reactors(|reactor| &reactor.throttled)),
    ),
    counter(
        "shardkeep_lost_total",
        "Commands answered with LOST: the outcome is unknown.",
        |seen, out| out.one(seen.reactors(|reactor| &reactor.lost)),
    ),
    counter(
        "shardkeep_reactor_panics_total",
        "Panics outside of a shard; each closed the connections of one round.",
        |seen, out| out.one(seen.reactors(|reactor| &reactor.panics)),
    ),
    family(
        "shardkeep_log_state",
        Kind::Gauge,
        &["state"],
        "1 for the state of the log, 0 for the others.",
        |seen, out| {
            for state in LOG_STATES {
                out.with(&[state], u8::from(state == seen.log_state));
            }
        },
    ),
    counter(
        "shardkeep_log_bytes_total",
        "Bytes appended to the log.",
        |seen, out| of_log(seen, |log| out.one(log.bytes)),
    ),
    gauge(
        "shardkeep_log_waiting_bytes",
        "Bytes that wait to be appended to the log.",
        |seen, out| of_log(seen, |log| out.one(log.bytes_waiting)),
    ),
    gauge(
        "shardkeep_log_places",
        "Places in the log's queue that are taken.",
        |seen, out| of_log(seen, |log| out.one(log.places_taken)),
    ),
    gauge(
        "shardkeep_log_places_limit",
        "Places in the log's queue.",
        |seen, out| of_log(seen, |log| out.one(log.places)),
    ),
    counter(
        "shardkeep_log_batches_total",
        "Batches of changes queued for the log.",
        |seen, out| of_log(seen, |log| out.one(log.batches)),
    ),
    counter(
        "shardkeep_log_writes_total",
        "Times the log's queue was written out.",
        |seen, out| of_log(seen, |log| out.one(log.writes)),
    ),
    family(
        "shardkeep_log_write_batches",
        Kind::Histogram,
        &[],
        "Batches of changes, each one record, written out at once.",
        |seen, out| distributed(seen, |log| out.sizes(&[], &log.commits)),
    ),
    family(
        "shardkeep_log_window_seconds",
        Kind::Histogram,
        &[],
        "Time that the committer waited for more writes: the longest that one of them waited for it.",
        |seen, out| distributed(seen, |log| out.times(&[], &log.windows)),
    ),
    family(
        "shardkeep_log_sync_seconds",
        Kind::Histogram,
        &[],
        "Time that syncs of the log took.",
        |seen, out| distributed(seen, |log| out.times(&[], &log.syncs)),
    ),
    gauge(
        "shardkeep_log_sync_max_seconds",
        "Time of the longest sync of the log, since the start.",
        |seen, out| of_log(seen, |log| out.one(log.sync_time_max.as_secs_f64())),
    ),
    counter(
        "shardkeep_walk_cuts_total",
        "Cuts of snapshots: moments at which all shards were in hand.",
        |seen, out| of_log(seen, |log| out.one(log.cuts)),
    ),
    gauge(
        "shardkeep_walk_cut_attempts",
        "Attempts that the last cut took.",
        |seen, out| of_log(seen, |log| out.one(log.cut_attempts)),
    ),
    gauge(
        "shardkeep_walk_cut_held_max_seconds",
        "Longest time that a cut had shards in hand, since the start.",
        |seen, out| of_log(seen, |log| out.one(log.cut_held_max.as_secs_f64())),
    ),
    gauge(
        "shardkeep_walk_buffer_bytes",
        "Bytes of old states that wait to be written into a snapshot.",
        |seen, out| of_log(seen, |_| out.one(seen.context.keep.walk_pressure().bytes())),
    ),
    counter(
        "shardkeep_walk_refused_total",
        "Writes refused because a snapshot was behind.",
        |seen, out| of_log(seen, |log| out.one(log.walk_refused)),
    ),
    gauge(
        "shardkeep_disk_free_bytes",
        "Bytes that are free on the disk under the log, beside the reserve.",
        |seen, out| {
            if let Some(free) = disk(seen).and_then(Disk::free_bytes) {
                out.one(free);
            }
        },
    ),
    gauge(
        "shardkeep_disk_reserve_bytes",
        "Bytes of the disk that are kept for when it is full.",
        |seen, out| {
            if let Some(disk) = disk(seen) {
                out.one(disk.reserve_bytes());
            }
        },
    ),
    gauge(
        "shardkeep_disk_reserve_whole",
        "1 when that room is there, 0 when it was given up, or none is kept.",
        |seen, out| {
            if let Some(disk) = disk(seen) {
                let is_whole = disk.reserve_bytes() > 0 && !disk.is_reserve_spent();
                out.one(u8::from(is_whole));
            }
        },
    ),
    gauge(
        "shardkeep_recovery_bytes",
        "Bytes to be read by the recovery.",
        |seen, out| {
            if let Some(persistence) = &seen.context.persistence {
                out.one(persistence.progress().total);
            }
        },
    ),
    gauge(
        "shardkeep_recovery_read_bytes",
        "Bytes that the recovery has read.",
        |seen, out| {
            if let Some(persistence) = &seen.context.persistence {
                out.one(persistence.progress().done);
            }
        },
    ),
    counter(
        "shardkeep_snapshots_total",
        "Snapshots taken.",
        |seen, out| of_saves(seen, |saves| out.one(saves.count)),
    ),
    gauge(
        "shardkeep_snapshot_running_seconds",
        "For how long a snapshot is under way; 0 when none is.",
        |seen, out| {
            of_saves(seen, |saves| {
                let since = saves
                    .since
                    .map(|since| clock::now().saturating_duration_since(since));
                out.one(since.unwrap_or_default().as_secs_f64());
            });
        },
    ),
    gauge(
        "shardkeep_snapshot_age_seconds",
        "Age of the last good snapshot; since the start if there was none.",
        |seen, out| {
            let age =
                |saves: &crate::persistence::Saves| unix_seconds() - saves.last_seconds as f64;
            of_saves(seen, |saves| out.one(age(saves).max(0.0)));
        },
    ),
    gauge(
        "shardkeep_snapshot_duration_seconds",
        "How long the last snapshot took.",
        |seen, out| {
            of_saves(seen, |saves| {
                if let Some(took) = saves.last_took {
                    out.one(took.as_secs_f64());
                }
            });
        },
    ),
    gauge(
        "shardkeep_snapshot_ok",
        "1 when the last snapshot was good, or there was none yet.",
        |seen, out| of_saves(seen, |saves| out.one(u8::from(saves.last_is_good))),
    ),
];

fn reasons(seen: &Seen<'_>, out: &mut Samples<'_>, degrades: bool) {
    let reasons = Reason::ALL.into_iter();
    for reason in reasons.filter(|reason| reason.degrades() == degrades) {
        out.with(&[reason.word()], u8::from(seen.health.has(reason)));
    }
}

fn by_shard(
    seen: &Seen<'_>,
    out: &mut Samples<'_>,
    figure: fn(&shardkeep::engine::ShardStats) -> u64,
) {
    for shard in &seen.shards {
        out.with(&[&shard.shard.to_string()], figure(shard));
    }
}

fn disk<'s>(seen: &'s Seen<'_>) -> Option<&'s Disk> {
    seen.context.persistence.as_ref()?.disk()
}

fn of_log(seen: &Seen<'_>, collect: impl FnOnce(&shardkeep::engine::LogStats)) {
    if let Some(log) = &seen.log {
        collect(log);
    }
}

fn distributed(seen: &Seen<'_>, collect: impl FnOnce(&shardkeep::engine::LogDistributions)) {
    if let Some(log) = seen.context.keep.log_distributions() {
        collect(&log);
    }
}

fn of_saves(seen: &Seen<'_>, collect: impl FnOnce(&crate::persistence::Saves)) {
    if let Some(saves) = &seen.saves {
        collect(saves);
    }
}
