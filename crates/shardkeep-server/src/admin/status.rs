//! What the status page shows, as JSON: counters since the start and the present state. The page takes
//! differences itself, so nothing is kept here for anybody.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use shardkeep::engine::supervisor::ChildState;

use super::seen::{CommandSeen, Seen};
use crate::clock;
use crate::config::Named as _;
use crate::engine::Gauge;

/// Slow commands that are shown.
const SLOW_SHOWN: usize = 20;

#[derive(Serialize)]
struct Status {
    version: &'static str,
    run_id: String,
    unix_seconds: f64,
    uptime_seconds: f64,
    /// Why it is not ready; empty when it is.
    problems: Vec<String>,
    /// What it refuses although it is ready.
    degraded: Vec<String>,
    connections: usize,
    connections_max: usize,
    commands: u64,
    failed: u64,
    throttled: u64,
    lost: u64,
    refused: Vec<(&'static str, u64)>,
    received_bytes: u64,
    sent_bytes: u64,
    /// Where each bucket ends (microseconds), and what is in it.
    latency: Vec<(u64, u64)>,
    by_command: Vec<Command>,
    keys: u64,
    expiring: u64,
    expired: u64,
    hits: u64,
    misses: u64,
    memory_bytes: u64,
    memory_max_bytes: Option<u64>,
    resident_bytes: u64,
    cpu_seconds: f64,
    threads: u64,
    descriptors: u64,
    tree: Vec<Thread>,
    reactors: Vec<Reactor>,
    shards: Vec<Shard>,
    log: Option<Log>,
    snapshot: Option<Snapshot>,
    slow: Vec<Slow>,
    slow_total: u64,
    slow_threshold_us: u64,
}

#[derive(Serialize)]
struct Command {
    name: &'static str,
    calls: u64,
    failed: u64,
    rejected: u64,
    seconds: f64,
    latency: Vec<(u64, u64)>,
}

#[derive(Serialize)]
struct Thread {
    name: String,
    standing: String,
    restarts: u64,
    last_reason: Option<String>,
    is_stalled: bool,
}

#[derive(Serialize)]
struct Reactor {
    connections: u64,
    commands: u64,
    panics: u64,
}

#[derive(Serialize)]
struct Shard {
    keys: u64,
    bytes: u64,
    depth: usize,
    depth_max: u64,
    borrowed: u64,
    served: u64,
    mailed: u64,
    waited_us: u64,
    waited_max_us: u64,
    refused: u64,
    losses: u64,
    is_lost: bool,
    is_stalled: bool,
}

#[derive(Serialize)]
struct Log {
    state: &'static str,
    sync: &'static str,
    bytes: u64,
    waiting_bytes: u64,
    places: usize,
    places_max: usize,
    batches: u64,
    writes: u64,
    syncs: u64,
    sync_seconds: f64,
    sync_max_seconds: f64,
    recovered_bytes: u64,
    to_recover_bytes: u64,
}

#[derive(Serialize)]
struct Snapshot {
    running_seconds: Option<f64>,
    age_seconds: u64,
    took_seconds: Option<f64>,
    is_good: bool,
    count: u64,
}

#[derive(Serialize)]
struct Slow {
    command: &'static str,
    arguments: usize,
    seconds: f64,
    age_seconds: u64,
    client: u64,
}

/// The text for the page.
pub(super) fn json(seen: &Seen<'_>) -> Vec<u8> {
    // There is nothing in it that has no JSON; without it the page says that it hears nothing.
    serde_json::to_vec(&status(seen)).unwrap_or_default()
}

fn status(seen: &Seen<'_>) -> Status {
    let context = seen.context;
    let process = &seen.process;
    let reactors = context.reactors.iter().map(|reactor| Reactor {
        connections: reactor.connections.get(),
        commands: reactor.commands.get(),
        panics: reactor.panics.get(),
    });
    Status {
        version: env!("CARGO_PKG_VERSION"),
        run_id: context.run_id.clone(),
        unix_seconds: clock::unix_micros() as f64 / 1e6,
        uptime_seconds: seen.uptime.as_secs_f64(),
        problems: seen.health.ready().err().unwrap_or_default(),
        degraded: seen.health.degraded(),
        connections: context.clients.connected(),
        connections_max: context.clients.max(),
        commands: seen.reactors(|reactor| &reactor.commands),
        failed: seen.commands.iter().map(|command| command.failed).sum(),
        throttled: seen.reactors(|reactor| &reactor.throttled),
        lost: seen.reactors(|reactor| &reactor.lost),
        refused: seen.refused().to_vec(),
        received_bytes: seen.reactors(|reactor| &reactor.input_bytes),
        sent_bytes: seen.reactors(|reactor| &reactor.output_bytes),
        latency: seen.latencies.buckets(),
        by_command: seen.commands.iter().map(command).collect(),
        keys: context.gauges.iter().map(Gauge::keys).sum(),
        expiring: context.gauges.iter().map(Gauge::expires).sum(),
        expired: seen.gauges(|gauge| &gauge.expired),
        hits: seen.gauges(|gauge| &gauge.hits),
        misses: seen.gauges(|gauge| &gauge.misses),
        memory_bytes: context.gauges.memory_bytes(),
        memory_max_bytes: context.runtime.max_memory(),
        resident_bytes: process.resident_bytes,
        cpu_seconds: process.cpu_user_seconds + process.cpu_system_seconds,
        threads: process.threads,
        descriptors: process.descriptors,
        tree: tree(seen),
        reactors: reactors.collect(),
        shards: shards(seen),
        log: log(seen),
        snapshot: snapshot(seen),
        slow: slow(seen),
        slow_total: context.gauges.slow.total(),
        slow_threshold_us: context.gauges.slow.threshold_us(),
    }
}

fn tree(seen: &Seen<'_>) -> Vec<Thread> {
    let threads = seen.threads.iter();
    let thread = |child: &ChildState| Thread {
        name: child.name.clone(),
        standing: format!("{:?}", child.standing).to_lowercase(),
        restarts: child.restarts,
        last_reason: child.last_reason.clone(),
        is_stalled: seen.stalls.iter().any(|stall| stall.name == child.name),
    };
    threads.map(thread).collect()
}

fn command(seen: &CommandSeen) -> Command {
    Command {
        name: seen.spec.name,
        calls: seen.calls,
        failed: seen.failed,
        rejected: seen.rejected,
        seconds: seen.latencies.seconds(),
        latency: seen.latencies.buckets(),
    }
}

fn shards(seen: &Seen<'_>) -> Vec<Shard> {
    let both = seen.shards.iter().zip(seen.context.gauges.iter());
    let shard = |(stats, gauge): (&shardkeep::engine::ShardStats, &Gauge)| Shard {
        keys: gauge.keys(),
        bytes: gauge.memory_bytes.load(Relaxed),
        depth: stats.depth,
        depth_max: stats.depth_max,
        borrowed: stats.borrowed,
        served: stats.served_for_others,
        mailed: stats.mailed,
        waited_us: stats.waited.as_micros() as u64,
        waited_max_us: stats.waited_max.as_micros() as u64,
        refused: stats.refused.sum(),
        losses: stats.times_lost,
        is_lost: stats.is_lost,
        is_stalled: seen
            .stalls
            .iter()
            .any(|stall| stall.shard == Some(stats.shard)),
    };
    both.map(shard).collect()
}

fn log(seen: &Seen<'_>) -> Option<Log> {
    let persistence = seen.context.persistence.as_ref()?;
    let progress = persistence.progress();
    let stats = seen.log.clone().unwrap_or_default();
    Some(Log {
        state: seen.log_state,
        sync: seen.context.settings.sync.word(),
        bytes: stats.bytes,
        waiting_bytes: stats.bytes_waiting,
        places: stats.places_taken,
        places_max: stats.places,
        batches: stats.batches,
        writes: stats.writes,
        syncs: stats.syncs,
        sync_seconds: stats.sync_time.as_secs_f64(),
        sync_max_seconds: stats.sync_time_max.as_secs_f64(),
        recovered_bytes: progress.done,
        to_recover_bytes: progress.total,
    })
}

fn snapshot(seen: &Seen<'_>) -> Option<Snapshot> {
    let saves = seen.saves.as_ref()?;
    let now = clock::now();
    let running = saves
        .since
        .map(|since| now.saturating_duration_since(since));
    Some(Snapshot {
        running_seconds: running.map(|time| time.as_secs_f64()),
        age_seconds: (clock::unix_micros() / 1_000_000).saturating_sub(saves.last_seconds),
        took_seconds: saves.last_took.map(|took| took.as_secs_f64()),
        is_good: saves.last_is_good,
        count: saves.count,
    })
}

/// Without their keys: whoever may look at the page need not be allowed to read the store.
fn slow(seen: &Seen<'_>) -> Vec<Slow> {
    let now = clock::unix_micros() / 1_000_000;
    let slow = seen.context.gauges.slow.newest(SLOW_SHOWN).into_iter();
    slow.map(|slow| Slow {
        command: slow.command,
        arguments: slow.arguments.saturating_sub(1),
        seconds: slow.took.as_secs_f64(),
        age_seconds: now.saturating_sub(slow.unix_seconds),
        client: slow.client,
    })
    .collect()
}
