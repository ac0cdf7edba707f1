//! The commands with which an operator looks closer: SLOWLOG, LATENCY, MEMORY, CLIENT KILL.

use shardkeep_resp::{Reply, parse_i64};

use crate::clients::Client;
use crate::clock;
use crate::context::Context;
use crate::figures;
use crate::heap;
use crate::latency::{BOUNDS, Latencies};
use crate::process::Process;
use shardkeep_data::commands::{Args, CommandId, lookup};

/// Entries of SLOWLOG GET unless told otherwise; as in Redis.
const SLOW_SHOWN: usize = 10;

const LATENCY_DOCTOR: &str = "No events are watched here: every command is timed from its arrival to its \
    reply, see LATENCY HISTOGRAM. The longest commands are in SLOWLOG, and what the log, its syncs and the \
    shards' queues take is in the metrics of the admin endpoint.";

const SYNTAX: &str = "ERR syntax error";

/// `SLOWLOG GET [count]`
pub(crate) fn slowlog_get(context: &Context, args: Args<'_>, reply: &mut Reply<'_>) {
    let count = match args.len() {
        2 => Some(SLOW_SHOWN),
        3 => match parse_i64(args.get(2)) {
            Some(-1) => Some(usize::MAX),
            Some(count) => usize::try_from(count).ok(),
            None => None,
        },
        _ => return reply.error(SYNTAX),
    };
    let Some(count) = count else {
        return reply.error("ERR count should be greater than or equal to -1");
    };
    let slow = context.gauges.slow.newest(count);
    let clients = context.clients.all();
    reply.array(slow.len());
    for entry in slow {
        let client = clients.iter().find(|client| client.id == entry.client);
        let address = client.map_or("", |client| &client.address);
        let name = client.map_or_else(String::new, |client| client.labels.lock().name.clone());
        reply.array(6);
        reply.integer(entry.id.cast_signed());
        reply.integer(entry.unix_seconds.cast_signed());
        reply.integer(i64::try_from(entry.took.as_micros()).unwrap_or(i64::MAX));
        reply.array(entry.args.len());
        for arg in &entry.args {
            reply.bulk(arg);
        }
        reply.bulk(address.as_bytes());
        reply.bulk(name.as_bytes());
    }
}

/// `LATENCY HISTOGRAM [command ...]`
pub(crate) fn latency_histogram(context: &Context, args: Args<'_>, reply: &mut Reply<'_>) {
    let mut ids: Vec<CommandId> = figures::ids().collect();
    if args.len() > 2 {
        let asked: Vec<CommandId> = args
            .iter_from(2)
            .filter_map(|name| lookup(name).map(|(id, _)| id))
            .collect();
        ids.retain(|id| {
            let container = id.spec().name.split('|').next().unwrap_or_default();
            asked.iter().any(|asked| asked.spec().name == container)
        });
    }
    let seen = ids.into_iter().filter_map(|id| {
        let latencies = context.figures.command(context, id)?.latencies;
        (latencies.count() > 0).then(|| (id.spec().name, latencies))
    });
    let seen: Vec<(&str, Latencies)> = seen.collect();
    reply.map(seen.len());
    for (name, latencies) in seen {
        // Cumulative, by powers of two; bounds that add nothing are left out.
        let mut bounds = Vec::new();
        for power in BOUNDS {
            let below = latencies.below(power);
            if bounds.last().map_or(0, |&(_, before)| before) < below {
                bounds.push((1_i64 << power, below));
            }
        }
        reply.bulk(name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(latencies.count().cast_signed());
        reply.bulk(b"histogram_usec");
        reply.map(bounds.len());
        for (bound, below) in bounds {
            reply.integer(bound);
            reply.integer(below.cast_signed());
        }
    }
}

/// `LATENCY LATEST`, `HISTORY event`, `RESET [event ...]`, `GRAPH event` and `DOCTOR`: as Redis answers while
/// it watches no events. Here nothing is sampled by events; every command counts in LATENCY HISTOGRAM.
pub(crate) fn latency_events(args: Args<'_>, reply: &mut Reply<'_>) {
    let does = |word: &str| args.get(1).eq_ignore_ascii_case(word.as_bytes());
    if does("reset") {
        reply.integer(0);
    } else if does("doctor") {
        reply.verbatim(b"txt", LATENCY_DOCTOR.as_bytes());
    } else if does("graph") {
        let event = args.get(2);
        let error = [b"ERR No samples available for event '", event, b"'"].concat();
        reply.error_bytes(&error);
    } else {
        reply.array(0);
    }
}

/// `CONFIG REWRITE`
pub(crate) fn config_rewrite(context: &Context, reply: &mut Reply<'_>) {
    reply.error(match context.config_file.get() {
        None => "ERR The server is running without a config file",
        Some(_) => {
            "ERR Rewriting config file: not supported, the file is only read: put into it what is to \
             last, and send the server SIGHUP"
        }
    });
}

/// `MEMORY STATS`, in the names of Redis where they mean something here.
pub(crate) fn memory_stats(context: &Context, reply: &mut Reply<'_>) {
    let process = Process::look();
    let data = context.gauges.memory_bytes();
    let keys: u64 = context.gauges.iter().map(crate::engine::Gauge::keys).sum();
    let clients = context.clients.all();
    let buffers: usize = clients.iter().map(|client| client.buffer_bytes()).sum();
    let mut figures = vec![
        ("peak.allocated", process.resident_bytes_max),
        ("total.allocated", data),
        ("clients.normal", buffers as u64),
        ("keys.count", keys),
        ("keys.bytes-per-key", data / keys.max(1)),
        ("dataset.bytes", data),
    ];
    match heap::look() {
        Some(holding) => figures.extend([
            ("allocator.allocated", holding.allocated),
            ("allocator.active", holding.active),
            ("allocator.resident", holding.resident),
            ("allocator.retained", holding.retained),
        ]),
        // All that is known of another allocator is what the process has.
        None => figures.push(("allocator.resident", process.resident_bytes)),
    }
    figures.push(("maxmemory", context.runtime.max_memory().unwrap_or(0)));
    reply.map(figures.len());
    for (name, figure) in figures {
        reply.bulk(name.as_bytes());
        reply.integer(figure.cast_signed());
    }
}

/// MEMORY PURGE
pub(crate) fn memory_purge(reply: &mut Reply<'_>) {
    if heap::purge() {
        reply.ok();
    } else {
        reply.error("ERR Error purging dirty pages");
    }
}

/// Whom CLIENT KILL means.
#[derive(Default)]
struct Meant {
    id: Option<u64>,
    address: Option<Vec<u8>>,
    local_address: Option<Vec<u8>>,
    older_than: Option<u64>,
    /// Of a kind that there is none of.
    nobody: bool,
    skip_me: bool,
}

impl Meant {
    fn is(&self, client: &Client) -> bool {
        let text = |wanted: &Option<Vec<u8>>, is: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == is.as_bytes())
        };
        let age = clock::now().saturating_duration_since(client.since);
        !self.nobody
            && self.id.is_none_or(|id| id == client.id)
            && text(&self.address, &client.address)
            && text(&self.local_address, &client.local_address)
            && self
                .older_than
                .is_none_or(|age_min| age.as_secs() >= age_min)
    }

    fn read(args: Args<'_>) -> Result<Self, String> {
        let mut meant = Self {
            skip_me: true,
            ..Self::default()
        };
        let words: Vec<&[u8]> = args.iter_from(2).collect();
        let pairs = words.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(SYNTAX.to_owned());
        }
        for pair in pairs {
            let (name, value) = (pair[0].to_ascii_lowercase(), pair[1]);
            let number = parse_i64(value).and_then(|number| u64::try_from(number).ok());
            match (name.as_slice(), number) {
                (b"id", Some(id)) if id > 0 => meant.id = Some(id),
                (b"id", _) => return Err("ERR client-id should be greater than 0".to_owned()),
                (b"maxage", Some(age)) => meant.older_than = Some(age),
                (b"maxage", None) => return Err("ERR maxage is not an integer".to_owned()),
                (b"addr", _) => meant.address = Some(value.to_vec()),
                (b"laddr", _) => meant.local_address = Some(value.to_vec()),
                (b"user", _) => meant.nobody |= value != b"default",
                (b"type", _) => meant.nobody |= !is_normal(value)?,
                (b"skipme", _) => meant.skip_me = yes_or_no(value)?,
                (_, _) => return Err(SYNTAX.to_owned()),
            }
        }
        Ok(meant)
    }
}

fn is_normal(kind: &[u8]) -> Result<bool, String> {
    let kind = kind.to_ascii_lowercase();
    match kind.as_slice() {
        b"normal" => Ok(true),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(false),
        _ => {
            let shown = crate::config::echo(&String::from_utf8_lossy(&kind));
            Err(format!("ERR Unknown client type '{shown}'"))
        }
    }
}

fn yes_or_no(word: &[u8]) -> Result<bool, String> {
    if word.eq_ignore_ascii_case(b"yes") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"no") {
        Ok(false)
    } else {
        Err(SYNTAX.to_owned())
    }
}

/// `CLIENT KILL address`, or `CLIENT KILL filter value ...`. Gives whether the connection that asks is
/// among those that end.
pub(crate) fn client_kill(
    context: &Context,
    me: &Client,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> bool {
    let by_address = args.len() == 3;
    let meant = if by_address {
        Ok(Meant {
            address: Some(args.get(2).to_vec()),
            ..Meant::default()
        })
    } else {
        Meant::read(args)
    };
    let meant = match meant {
        Ok(meant) => meant,
        Err(error) => {
            reply.error(&error);
            return false;
        }
    };
    let (mut killed, mut ends_me) = (0, false);
    for client in context.clients.all() {
        let is_me = client.id == me.id;
        if !meant.is(&client) || is_me && meant.skip_me {
            continue;
        }
        killed += 1;
        if is_me {
            ends_me = true;
        } else {
            context.clients.kill(&client);
        }
    }
    match (by_address, killed) {
        (true, 0) => reply.error("ERR No such client"),
        (true, _) => reply.ok(),
        (false, killed) => reply.integer(killed),
    }
    ends_me
}
