//! `connections`: many connections that do nothing, beside some that do.
//!
//! 1. An idle connection has been answered once before, and must be answered once after.
//! 2. Memory per connection is measured while the idle ones are open and nothing else runs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::environment::{Common, cores, describe};
use crate::figures::{LatencyNs, LatencyUs};
use crate::server::process::{raise_open_files, resident_bytes};
use crate::server::{Launch, ServerName};
use crate::table::{Table, show, thousands};
use crate::wire::generator::{self, Load};
use crate::wire::tape::{KEYS_MAX, TAPE_REQUESTS, Tape};
use crate::wire::{CONNECTIONS_MAX, in_range, load, seconds};

/// Longest wait for the answer to one PING.
const PING_MAX: Duration = Duration::from_secs(5);
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8; 7] = b"+PONG\r\n";
/// Open files beside connections.
const OTHER_FILES: u64 = 128;
const KIB: f64 = 1_024.0;

/// Hold many idle connections while others work.
///
/// Opens --idle connections, each answered one PING; then --active connections work in a closed
/// loop at pipeline 1 for a while; then every idle one must answer a PING again. The figures:
///
///   opened      idle connections that were answered at first
///   alive       those that were answered at the end. Must be the same.
///   KiB each    resident memory an idle connection added to the server (the kernel's socket
///               buffers are not in it)
///   kop/s, p99  of the active ones, beside the idle ones
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Connections {
    /// Servers to compare (echo does not speak PING)
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["shardkeep", "redis"])]
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
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
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
        let tape = Tape::new(self.common.seed, self.keys, 10, TAPE_REQUESTS);
        let mut outcomes = Vec::new();
        for &name in self.servers.iter().filter(|name| name.stores()) {
            eprintln!("{} idle connections to {}", self.idle, name.label());
            outcomes.push(self.hold(name, &tape)?);
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
        show(&format!(
            "{}\n{} idle connections, {} active for {} s\n\n{}",
            describe(),
            self.idle,
            self.active,
            self.window,
            table.text(),
        ))?;
        self.common.save("connections", &outcomes, &[])
    }

    fn hold(&self, name: ServerName, tape: &Tape) -> Result<Outcome> {
        let server = self.launch.start(name, self.idle + self.active)?;
        load::load(server.address(), self.keys)?;
        let before = resident_bytes(server.pid())?;
        let mut idle = Vec::new();
        let mut opened = 0;
        for _ in 0..self.idle {
            let mut stream = open(server.address())?;
            opened += usize::from(ping(&mut stream).is_ok());
            idle.push(stream);
        }
        let after = resident_bytes(server.pid())?;
        let load = Load {
            tape,
            check_values: true,
            connections: self.active,
            pipeline: 1,
            threads: cores(),
            warm_up: Duration::ZERO,
            window: Duration::from_secs_f64(self.window),
            seed: self.common.seed,
        };
        let window = generator::run(load, server.address(), server.pid())?;
        let alive = idle
            .iter_mut()
            .filter_map(|stream| ping(stream).ok())
            .count();
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

fn ping(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(PING)?;
    let mut reply = [0; PONG.len()];
    stream.read_exact(&mut reply)?;
    anyhow::ensure!(
        &reply == PONG,
        "PING was answered by {}",
        reply.escape_ascii()
    );
    Ok(())
}
