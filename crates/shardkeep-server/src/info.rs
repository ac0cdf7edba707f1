//! INFO: what the server tells of itself, in the field names of Redis where they exist.

use std::sync::atomic::Ordering::Relaxed;

use shardkeep::engine::ShardStats;

use crate::clock;
use crate::command::{Args, CommandId, TABLE};
use crate::context::Context;
use crate::info_persistence::persistence;
use crate::latency::Latencies;
use crate::process::Process;
use crate::session::REDIS_VERSION;
use crate::stats::{Figure, ReactorStats};

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

fn sum(context: &Context, figure: impl Fn(&ReactorStats) -> &Figure) -> u64 {
    context
        .reactors
        .iter()
        .map(|reactor| figure(reactor).get())
        .sum()
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
    line(out, format_args!("blocked_clients:0"));
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
    let ratio = resident as f64 / used.max(1) as f64;
    line(out, format_args!("mem_fragmentation_ratio:{ratio:.2}"));
    let max = context.live.max_memory().unwrap_or(0);
    line(out, format_args!("maxmemory:{max}"));
    line(out, format_args!("maxmemory_human:{}", human(max)));
    line(out, format_args!("maxmemory_policy:noeviction"));
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
    let gauges = |pick: fn(&crate::engine::Gauge) -> &std::sync::atomic::AtomicU64| -> u64 {
        context
            .gauges
            .iter()
            .map(|gauge| pick(gauge).load(Relaxed))
            .sum()
    };
    let accepted = context.clients.accepted_total.load(Relaxed);
    let refused = context.clients.refused_total.load(Relaxed);
    line(out, format_args!("total_connections_received:{accepted}"));
    line(
        out,
        format_args!("total_commands_processed:{}", sum(context, |r| &r.commands)),
    );
    line(
        out,
        format_args!("total_net_input_bytes:{}", sum(context, |r| &r.input_bytes)),
    );
    line(
        out,
        format_args!(
            "total_net_output_bytes:{}",
            sum(context, |r| &r.output_bytes)
        ),
    );
    line(out, format_args!("rejected_connections:{refused}"));
    line(
        out,
        format_args!("expired_keys:{}", gauges(|gauge| &gauge.expired)),
    );
    line(out, format_args!("evicted_keys:0"));
    line(
        out,
        format_args!("keyspace_hits:{}", gauges(|gauge| &gauge.hits)),
    );
    line(
        out,
        format_args!("keyspace_misses:{}", gauges(|gauge| &gauge.misses)),
    );
    line(
        out,
        format_args!("slow_commands:{}", context.gauges.slow.total()),
    );
    line(
        out,
        format_args!("protocol_errors:{}", sum(context, |r| &r.protocol_errors)),
    );
    line(
        out,
        format_args!("timed_out_connections:{}", sum(context, |r| &r.timed_out)),
    );
    line(
        out,
        format_args!("reactor_panics:{}", sum(context, |r| &r.panics)),
    );
    line(
        out,
        format_args!("works_mailed:{}", sum(context, |r| &r.mailed)),
    );
    line(
        out,
        format_args!("throttled_works:{}", sum(context, |r| &r.throttled)),
    );
    line(
        out,
        format_args!("lost_works:{}", sum(context, |r| &r.lost)),
    );
    line(
        out,
        format_args!("refused_draining:{}", sum(context, |r| &r.refused_draining)),
    );
}

fn replication(_: &Context, out: &mut String) {
    line(out, format_args!("role:master"));
    line(out, format_args!("connected_slaves:0"));
    line(out, format_args!("master_repl_offset:0"));
}

fn cpu(_: &Context, out: &mut String) {
    let process = Process::look();
    let (system, user) = (process.cpu_system_seconds, process.cpu_user_seconds);
    line(out, format_args!("used_cpu_sys:{system:.6}"));
    line(out, format_args!("used_cpu_user:{user:.6}"));
}

fn commandstats(context: &Context, out: &mut String) {
    for (at, spec) in TABLE.iter().enumerate() {
        let Ok(id) = u16::try_from(at) else { return };
        let total = |pick: fn(&crate::stats::CommandFigures) -> &Figure| -> u64 {
            context
                .reactors
                .iter()
                .map(|r| pick(r.command(CommandId(id))).get())
                .sum()
        };
        let (calls, rejected) = (total(|c| &c.calls), total(|c| &c.rejected));
        if calls + rejected == 0 {
            continue;
        }
        let micros = total(|c| &c.nanos) / 1_000;
        let each = micros as f64 / calls.max(1) as f64;
        line(
            out,
            format_args!(
                "cmdstat_{}:calls={calls},usec={micros},usec_per_call={each:.2},\
                 rejected_calls={rejected},failed_calls={}",
                spec.name,
                total(|c| &c.failed)
            ),
        );
    }
}

/// From arrival to reply, where commandstats tell the time on the shards.
fn latencystats(context: &Context, out: &mut String) {
    for (at, spec) in TABLE.iter().enumerate() {
        let Ok(id) = u16::try_from(at) else { return };
        let mut latencies = Latencies::default();
        for reactor in &context.reactors {
            reactor
                .command(CommandId(id))
                .latency
                .add_to(&mut latencies);
        }
        if latencies.count() == 0 {
            continue;
        }
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| latencies.percentile(share));
        line(
            out,
            format_args!(
                "latency_percentiles_usec_{}:p50={p50},p99={p99},p99.9={p999}",
                spec.name
            ),
        );
    }
}

fn keyspace(context: &Context, out: &mut String) {
    let (mut keys, mut expires) = (0, 0);
    for (shard, gauge) in context.gauges.iter().enumerate() {
        let counts = gauge.counts(|number| context.keep.is_synced(shard, number));
        keys += counts.keys;
        expires += counts.expires;
    }
    if keys > 0 {
        line(
            out,
            format_args!("db0:keys={keys},expires={expires},avg_ttl=0"),
        );
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
        let counts = gauge.counts(|number| context.keep.is_synced(*shard, number));
        line(
            out,
            format_args!(
                "shard{shard}:keys={},bytes={},borrowed={borrowed},mailed={mailed},depth={depth},\
                 depth_max={depth_max},served_for_others={},handed_to_owner={},lent_by_mail={},\
                 batches={},batch_writes={},waited_us={},waited_us_max={},refused={},\
                 refused_full={},refused_deadline={},lost={},works_lost={}",
                counts.keys,
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
