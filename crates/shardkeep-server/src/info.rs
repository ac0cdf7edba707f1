//! INFO: what the server tells of itself, in the field names of Redis where they exist.

use std::sync::atomic::Ordering::Relaxed;

use shardkeep::engine::ShardStats;

use crate::clients::Client;
use crate::clock;
use crate::context::Context;
use crate::figures::{self, Counted};
use crate::heap::{self, Holding};
use crate::info_persistence::persistence;
use crate::process::Process;
use crate::session::REDIS_VERSION;
use shardkeep_data::commands::Args;
use shardkeep_data::keyspace::Counts;

type Section = (&'static str, fn(&Context, &mut String));

const SECTIONS: &[Section] = &[
    ("server", server),
    ("clients", clients),
    ("memory", memory),
    ("persistence", persistence),
    ("stats", stats),
    ("replication", replication),
    ("cpu", cpu),
    ("commandstats", commandstats),
    ("latencystats", latencystats),
    ("cluster", cluster),
    ("keyspace", keyspace),
    ("shards", shards),
];

/// Sections that only come when they are asked for.
const ON_REQUEST: [&str; 3] = ["commandstats", "latencystats", "shards"];

/// The text for `INFO [section ...]`.
pub(crate) fn text(context: &Context, args: Args<'_>) -> String {
    let mut out = String::new();
    for &(name, write) in SECTIONS {
        let asked = |word: &[u8]| word.eq_ignore_ascii_case(name.as_bytes());
        let everything = |word: &[u8]| {
            word.eq_ignore_ascii_case(b"all") || word.eq_ignore_ascii_case(b"everything")
        };
        let default = |word: &[u8]| word.eq_ignore_ascii_case(b"default");
        let usual = !ON_REQUEST.contains(&name);
        let wanted = args.len() == 1 && usual
            || args
                .iter_from(1)
                .any(|word| asked(word) || everything(word) || default(word) && usual);
        if wanted {
            if !out.is_empty() {
                out.push_str("\r\n");
            }
            let mut title = name.to_owned();
            title[..1].make_ascii_uppercase();
            line(&mut out, format_args!("# {title}"));
            write(context, &mut out);
        }
    }
    out
}

pub(crate) fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.push_str(&text.to_string());
    out.push_str("\r\n");
}

fn server(context: &Context, out: &mut String) {
    let uptime = clock::now()
        .saturating_duration_since(context.started)
        .as_secs();
    line(out, format_args!("redis_version:{REDIS_VERSION}"));
    line(
        out,
        format_args!("shardkeep_version:{}", env!("CARGO_PKG_VERSION")),
    );
    line(out, format_args!("redis_mode:standalone"));
    line(
        out,
        format_args!("os:{} {}", std::env::consts::OS, std::env::consts::ARCH),
    );
    line(out, format_args!("arch_bits:{}", usize::BITS));
    line(out, format_args!("multiplexing_api:epoll"));
    line(out, format_args!("process_id:{}", std::process::id()));
    line(out, format_args!("run_id:{}", context.run_id));
    line(out, format_args!("tcp_port:{}", context.port));
    line(
        out,
        format_args!("server_time_usec:{}", clock::unix_micros()),
    );
    line(out, format_args!("uptime_in_seconds:{uptime}"));
    line(out, format_args!("uptime_in_days:{}", uptime / 86_400));
    line(
        out,
        format_args!("io_threads_active:{}", u8::from(context.reactors.len() > 1)),
    );
    let program = std::env::current_exe().unwrap_or_default();
    line(out, format_args!("executable:{}", program.display()));
    let file = context.config_file.get().cloned().unwrap_or_default();
    line(out, format_args!("config_file:{}", file.display()));
    line(out, format_args!("reactors:{}", context.reactors.len()));
    line(out, format_args!("owners:{}", context.keep.config().owners));
    line(out, format_args!("shards:{}", context.routes.shards()));
}

fn clients(context: &Context, out: &mut String) {
    line(
        out,
        format_args!("connected_clients:{}", context.clients.connected()),
    );
    line(out, format_args!("maxclients:{}", context.clients.max()));
    let all = context.clients.all();
    let most = |bytes: fn(&Client) -> usize| all.iter().map(|client| bytes(client)).max();
    let input = most(|client| client.pending_bytes.load(Relaxed)).unwrap_or(0);
    let output = most(|client| client.output_bytes.load(Relaxed)).unwrap_or(0);
    line(out, format_args!("client_recent_max_input_buffer:{input}"));
    line(
        out,
        format_args!("client_recent_max_output_buffer:{output}"),
    );
    line(out, format_args!("cluster_connections:0"));
    line(out, format_args!("blocked_clients:0"));
    line(out, format_args!("tracking_clients:0"));
    line(out, format_args!("clients_in_timeout_table:0"));
}

fn memory(context: &Context, out: &mut String) {
    let used = context.gauges.memory_bytes();
    line(out, format_args!("used_memory:{used}"));
    line(out, format_args!("used_memory_human:{}", human(used)));
    let process = Process::look();
    let resident = process.resident_bytes;
    line(out, format_args!("used_memory_rss:{resident}"));
    line(
        out,
        format_args!("used_memory_rss_human:{}", human(resident)),
    );
    let peak = process.resident_bytes_max;
    line(out, format_args!("used_memory_peak:{peak}"));
    line(out, format_args!("used_memory_peak_human:{}", human(peak)));
    line(out, format_args!("used_memory_dataset:{used}"));
    let buffers: usize = context
        .clients
        .all()
        .iter()
        .map(|one| one.buffer_bytes())
        .sum();
    line(out, format_args!("mem_clients_normal:{buffers}"));
    line(out, format_args!("mem_allocator:{}", heap::name()));
    let freeing = &context.gauges.freeing;
    for (name, figure) in [
        ("lazyfree_pending_objects", &freeing.pending),
        ("lazyfree_pending_bytes", &freeing.pending_bytes),
        ("lazyfreed_objects", &freeing.freed),
    ] {
        line(out, format_args!("{name}:{}", figure.load(Relaxed)));
    }
    if let Some(holding) = heap::look() {
        allocator(holding, resident, out);
    }
    let beyond = resident as i64 - used as i64;
    line(out, format_args!("mem_fragmentation_bytes:{beyond}"));
    let machine = process.machine_bytes;
    line(out, format_args!("total_system_memory:{machine}"));
    line(
        out,
        format_args!("total_system_memory_human:{}", human(machine)),
    );
    let ratio = resident as f64 / used.max(1) as f64;
    line(out, format_args!("mem_fragmentation_ratio:{ratio:.2}"));
    let max = context.runtime.max_memory().unwrap_or(0);
    line(out, format_args!("maxmemory:{max}"));
    line(out, format_args!("maxmemory_human:{}", human(max)));
    line(out, format_args!("maxmemory_policy:noeviction"));
}

fn allocator(holding: Holding, process: u64, out: &mut String) {
    let Holding {
        allocated,
        active,
        resident,
        retained,
    } = holding;
    line(out, format_args!("allocator_allocated:{allocated}"));
    line(out, format_args!("allocator_active:{active}"));
    line(out, format_args!("allocator_resident:{resident}"));
    line(out, format_args!("allocator_retained:{retained}"));
    let over = [
        ("allocator_frag", active, allocated),
        ("allocator_rss", resident, active),
        ("rss_overhead", process, resident),
    ];
    for (name, all, part) in over {
        let ratio = all as f64 / part.max(1) as f64;
        line(out, format_args!("{name}_ratio:{ratio:.2}"));
        let beyond = all as i64 - part as i64;
        line(out, format_args!("{name}_bytes:{beyond}"));
    }
}

/// Bytes as Redis shows them to people.
fn human(bytes: u64) -> String {
    let units = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    for (unit, letter) in units {
        if bytes >= unit {
            return format!("{:.2}{letter}", bytes as f64 / unit as f64);
        }
    }
    format!("{bytes}B")
}

fn stats(context: &Context, out: &mut String) {
    let rates = context.figures.rates();
    let told = |what| Told::Counted(what);
    let fields = [
        ("total_connections_received", told(Counted::Accepted)),
        ("total_commands_processed", told(Counted::Commands)),
        ("instantaneous_ops_per_sec", Told::Whole(rates.commands)),
        ("total_net_input_bytes", told(Counted::Received)),
        ("total_net_output_bytes", told(Counted::Sent)),
        ("instantaneous_input_kbps", Told::Kilo(rates.received)),
        ("instantaneous_output_kbps", Told::Kilo(rates.sent)),
        ("rejected_connections", told(Counted::Refused)),
        ("expired_keys", told(Counted::Expired)),
        ("evicted_keys", Told::Whole(0.0)),
        ("keyspace_hits", told(Counted::Hits)),
        ("keyspace_misses", told(Counted::Misses)),
        ("pubsub_channels", Told::Whole(0.0)),
        ("pubsub_patterns", Told::Whole(0.0)),
        ("total_error_replies", Told::Errors),
        ("slow_commands", told(Counted::Slow)),
        ("protocol_errors", told(Counted::ProtocolErrors)),
        ("timed_out_connections", told(Counted::TimedOut)),
        ("given_up_connections", told(Counted::GivenUp)),
        ("login_timeouts", told(Counted::LoginTimeouts)),
        ("failed_logins", told(Counted::FailedLogins)),
        ("reactor_panics", told(Counted::Panics)),
        ("works_mailed", told(Counted::Mailed)),
        ("throttled_commands", told(Counted::Throttled)),
        ("lost_commands", told(Counted::Lost)),
        ("refused_draining", told(Counted::RefusedDraining)),
    ];
    let get = |what| context.figures.get(context, what);
    for (name, told) in fields {
        match told {
            Told::Counted(what) => line(out, format_args!("{name}:{}", get(what))),
            Told::Whole(figure) => line(out, format_args!("{name}:{figure:.0}")),
            Told::Kilo(bytes) => line(out, format_args!("{name}:{:.2}", bytes / 1_024.0)),
            Told::Errors => {
                let errors = get(Counted::Failed) + get(Counted::Rejected);
                line(out, format_args!("{name}:{errors}"));
            }
        }
    }
}

/// How a figure of the section is told.
enum Told {
    Counted(Counted),
    Whole(f64),
    Kilo(f64),
    /// Commands that failed or were rejected.
    Errors,
}

fn replication(context: &Context, out: &mut String) {
    line(out, format_args!("role:master"));
    line(out, format_args!("connected_slaves:0"));
    line(out, format_args!("master_failover_state:no-failover"));
    line(out, format_args!("master_replid:{}", context.run_id));
    line(out, format_args!("master_repl_offset:0"));
    line(out, format_args!("second_repl_offset:-1"));
    line(out, format_args!("repl_backlog_active:0"));
}

fn cpu(_: &Context, out: &mut String) {
    let process = Process::look();
    let (system, user) = (process.cpu_system_seconds, process.cpu_user_seconds);
    line(out, format_args!("used_cpu_sys:{system:.6}"));
    line(out, format_args!("used_cpu_user:{user:.6}"));
    // It has no children.
    line(out, format_args!("used_cpu_sys_children:0.000000"));
    line(out, format_args!("used_cpu_user_children:0.000000"));
}

fn commandstats(context: &Context, out: &mut String) {
    for id in figures::ids() {
        let Some(totals) = context.figures.command(context, id) else {
            continue;
        };
        let (calls, micros) = (totals.calls, totals.nanos / 1_000);
        let each = micros as f64 / calls.max(1) as f64;
        line(
            out,
            format_args!(
                "cmdstat_{}:calls={calls},usec={micros},usec_per_call={each:.2},\
                 rejected_calls={},failed_calls={}",
                id.spec().name,
                totals.rejected,
                totals.failed,
            ),
        );
    }
}

/// From arrival to reply, where commandstats tell the time on the shards.
fn latencystats(context: &Context, out: &mut String) {
    for id in figures::ids() {
        let Some(totals) = context.figures.command(context, id) else {
            continue;
        };
        if totals.latencies.count() == 0 {
            continue;
        }
        let percentile = |share| totals.latencies.percentile(share);
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(percentile);
        line(
            out,
            format_args!(
                "latency_percentiles_usec_{}:p50={p50},p99={p99},p99.9={p999}",
                id.spec().name
            ),
        );
    }
}

fn cluster(_: &Context, out: &mut String) {
    line(out, format_args!("cluster_enabled:0"));
}

fn keyspace(context: &Context, out: &mut String) {
    let is_synced = |shard, number| context.keep.is_synced(shard, number);
    let databases = context.gauges.by_database(is_synced);
    for (database, counts) in databases.iter().enumerate() {
        let Counts { keys, expires } = counts;
        if *keys > 0 {
            line(
                out,
                format_args!("db{database}:keys={keys},expires={expires},avg_ttl=0"),
            );
        }
    }
}

fn shards(context: &Context, out: &mut String) {
    for (stats, gauge) in context.keep.stats().iter().zip(context.gauges.iter()) {
        let ShardStats {
            shard,
            depth,
            depth_max,
            borrowed,
            mailed,
            ..
        } = stats;
        let refused = &stats.refused;
        let is_synced = |number| context.keep.is_synced(*shard, number);
        let keys: usize = gauge.counts(is_synced).map(|counts| counts.keys).sum();
        line(
            out,
            format_args!(
                "shard{shard}:keys={keys},bytes={},borrowed={borrowed},mailed={mailed},depth={depth},\
                 depth_max={depth_max},served_for_others={},handed_to_owner={},lent_by_mail={},\
                 batches={},batch_writes={},waited_us={},waited_us_max={},refused={},\
                 refused_full={},refused_deadline={},lost={},works_lost={}",
                gauge.memory_bytes.load(Relaxed),
                stats.served_for_others,
                stats.handed_to_owner,
                stats.lent_by_mail,
                stats.batches,
                stats.batch_writes,
                stats.waited.as_micros(),
                stats.waited_max.as_micros(),
                refused.sum(),
                refused.mailbox_full,
                refused.deadline,
                stats.times_lost,
                stats.works_lost,
            ),
        );
    }
}
