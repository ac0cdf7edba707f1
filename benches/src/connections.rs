//! `connections`: many connections that do nothing, beside some that do.
//!
//! 1. An idle connection has been answered once before, and must be answered once after.
//! 2. Memory per connection is measured while the idle ones are open and nothing else runs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::environment::{Common, cores, describe};
use crate::figures::{LatencyNs, LatencyUs};
use crate::keys::Distribution;
use crate::progress::Progress;
use crate::server::process::{raise_open_files, resident_bytes};
use crate::server::{Capacity, Launch, ServerName};
use crate::table::{Table, thousands};
use crate::wire::generator::{self, CHECK_EVERY, Load, Pace};
use crate::wire::protocol::{Protocol, VALUE_BYTES_USUAL, Wording};
use crate::wire::tape::{KEYS_MAX, Mix, Script, Tape};
use crate::wire::{CONNECTIONS_MAX, OTHER_FILES, in_range, load, window_seconds};

/// GETs per SET of the active connections.
const READS_PER_WRITE: u32 = 10;
/// Longest wait for the answer to one PING.
const PING_MAX: Duration = Duration::from_secs(5);
/// Longest answer to it.
const PONG_BYTES_MAX: usize = 128;
const KIB: f64 = 1_024.0;

/// Hold many idle connections while others work.
///
/// Opens --idle connections, each answered one PING (memcached: version); then --active connections
/// work in a closed loop at pipeline 1 for a while; then every idle one must answer again. The figures:
///
///   opened      idle connections that were answered at first
///   alive       those that were answered at the end. Must be the same.
///   KiB each    resident memory an idle connection added to the server (the kernel's socket
///               buffers are not in it)
///   kop/s, p99  of the active ones, beside the idle ones
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Connections {
    /// Servers to compare [default: all that are installed] (echo does not speak PING)
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<ServerName>,
    /// Idle connections
    #[arg(long, default_value_t = 10_000, value_parser = in_range(1, CONNECTIONS_MAX))]
    idle: usize,
    /// Working connections
    #[arg(long, default_value_t = 500, value_parser = in_range(1, CONNECTIONS_MAX))]
    active: usize,
    /// Keys loaded, and asked for with equal probability
    #[arg(
        long,
        default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX),
    )]
    keys: u64,
    /// Seconds the active ones work
    #[arg(long, default_value_t = 3.0, value_parser = window_seconds)]
    window: f64,
    #[command(flatten)]
    launch: Launch,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Outcome {
    server: &'static str,
    version: String,
    idle: usize,
    active: usize,
    opened: usize,
    alive: usize,
    bytes_per_connection: f64,
    ops_per_s: f64,
    #[serde(flatten)]
    latency: LatencyUs,
    errors: u64,
}

impl Connections {
    /// Runs the comparison and prints it.
    ///
    /// # Errors
    /// Too few open files allowed; a server that is missing or fails; an unwritable file.
    pub(crate) fn run(&self) -> Result<()> {
        raise_open_files((self.idle + self.active) as u64 + OTHER_FILES)?;
        let (servers, skipped) = self.launch.choose(&self.servers, ServerName::stores)?;
        let mut outcomes = Vec::new();
        let progress = Progress::new(servers.len() as u64);
        for name in servers.into_iter().filter(|name| name.stores()) {
            progress.say(&format!(
                "{} idle connections to {}",
                self.idle,
                name.label()
            ));
            outcomes.push(self.hold(name)?);
            progress.step();
        }
        let mut table = Table::new([
            "server", "opened", "alive", "KiB each", "kop/s", "p50 ms", "p99 ms", "p99.9 ms",
            "wrong",
        ]);
        for outcome in &outcomes {
            let millis = |micros: f64| format!("{:.3}", micros / 1_000.0);
            table.row([
                outcome.server.to_owned(),
                outcome.opened.to_string(),
                outcome.alive.to_string(),
                format!("{:.2}", outcome.bytes_per_connection / KIB),
                thousands(outcome.ops_per_s),
                millis(outcome.latency.p50_us),
                millis(outcome.latency.p99_us),
                millis(outcome.latency.p999_us),
                outcome.errors.to_string(),
            ]);
        }
        for line in &skipped {
            progress.show(&format!("skipped: {line}"))?;
        }
        progress.show(&format!(
            "{}\n{} idle connections, {} active for {} s\n\n{}",
            describe(),
            self.idle,
            self.active,
            self.window,
            table.text(),
        ))?;
        self.common.save("connections", &outcomes, &skipped)
    }

    fn hold(&self, name: ServerName) -> Result<Outcome> {
        let protocol = name.protocol(Protocol::Resp2);
        let wording = Wording {
            protocol,
            value_bytes: VALUE_BYTES_USUAL,
        };
        let script = Script {
            seed: self.common.seed,
            keys: self.keys,
            distribution: Distribution::Uniform,
            mix: Mix::reads_per_write(READS_PER_WRITE),
            wording,
        };
        let tape = Tape::new(&script, script.length());
        let capacity = Capacity {
            clients: self.idle + self.active,
            keys: self.keys,
            value_bytes: wording.value_bytes,
        };
        let server = self.launch.start(name, capacity)?;
        load::load(server.address(), wording, self.keys)?;
        let before = resident_bytes(server.pid())?;
        let mut idle = Vec::new();
        let mut opened = 0;
        for _ in 0..self.idle {
            let mut stream = open(server.address())?;
            opened += usize::from(ping(&mut stream, protocol).is_ok());
            idle.push(stream);
        }
        let after = resident_bytes(server.pid())?;
        let load = Load {
            tape: &tape,
            check_every: Some(CHECK_EVERY),
            connections: self.active,
            pipeline: 1,
            threads: cores(),
            warm_up: Duration::ZERO,
            window: Duration::from_secs_f64(self.window),
            seed: self.common.seed,
            pace: Pace::Closed,
        };
        let window = generator::run(load, server.address(), server.pid())?;
        let alive = idle
            .iter_mut()
            .filter_map(|stream| ping(stream, protocol).ok())
            .count();
        let shown = format!("{}-{}-idle-{}-active", name.label(), self.idle, self.active);
        self.common.save_distribution(&shown, &window.latencies)?;
        Ok(Outcome {
            server: name.label(),
            version: server.version().to_owned(),
            idle: self.idle,
            active: self.active,
            opened,
            alive,
            bytes_per_connection: after.saturating_sub(before) as f64 / self.idle as f64,
            ops_per_s: window.ops as f64 / window.elapsed.as_secs_f64(),
            latency: LatencyNs::of(&window.latencies).into(),
            errors: window.wrong,
        })
    }
}

fn open(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(PING_MAX))?;
    Ok(stream)
}

fn ping(stream: &mut TcpStream, protocol: Protocol) -> Result<()> {
    let (request, expected) = protocol.ping();
    stream.write_all(request)?;
    let mut reply = String::new();
    let limit = PONG_BYTES_MAX as u64;
    // Nothing follows the line, so a buffer of one answer's length loses nothing.
    BufReader::with_capacity(PONG_BYTES_MAX, stream.take(limit)).read_line(&mut reply)?;
    ensure!(
        reply.starts_with(expected) && reply.ends_with("\r\n"),
        "PING was answered by {reply:?}"
    );
    Ok(())
}
