//! `memory`: what a server's keys cost in resident memory.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::environment::{Common, describe};
use crate::progress::Progress;
use crate::server::process::resident_bytes;
use crate::server::{Capacity, Launch, ServerName};
use crate::table::Table;
use crate::wire::protocol::{KEY_BYTES, Protocol, VALUE_BYTES_MAX, VALUE_BYTES_USUAL, Wording};
use crate::wire::tape::KEYS_MAX;
use crate::wire::{in_range, load};

/// Bytes of a megabyte.
const MB: f64 = 1e6;

/// Compare the resident memory of servers after loading.
///
/// Each server is started empty and given --keys keys of 14 bytes with values of --value-bytes and no
/// expiry, one after the other. The figures:
///
///   empty MB   resident memory before loading
///   loaded MB  resident memory after loading
///   per key    bytes that loading added, divided by the keys
///   overhead   the same without the bytes of key and value: what the server itself spends
///
/// memcached takes memory in megabytes at a time and keeps more than it has filled; with few keys that
/// is most of its figure.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Memory {
    /// Servers to compare [default: all that are installed] (echo keeps nothing)
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<ServerName>,
    /// Keys loaded
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX),
    )]
    keys: u64,
    /// Bytes of every value
    #[arg(long, default_value_t = VALUE_BYTES_USUAL, value_parser = in_range(1, VALUE_BYTES_MAX))]
    value_bytes: usize,
    #[command(flatten)]
    launch: Launch,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Outcome {
    server: &'static str,
    version: String,
    keys: u64,
    key_bytes: usize,
    value_bytes: usize,
    empty_bytes: u64,
    loaded_bytes: u64,
    bytes_per_key: f64,
}

impl Memory {
    /// Runs the comparison and prints it.
    ///
    /// # Errors
    /// A server that is missing or fails; an unwritable file.
    pub(crate) fn run(&self) -> Result<()> {
        let mut outcomes = Vec::new();
        let (servers, skipped) = self.launch.choose(&self.servers, ServerName::stores)?;
        let progress = Progress::new(servers.len() as u64);
        for name in servers.into_iter().filter(|name| name.stores()) {
            progress.say(&format!("load {}", name.label()));
            let capacity = Capacity {
                clients: 0,
                keys: self.keys,
                value_bytes: self.value_bytes,
            };
            let wording = Wording {
                protocol: name.protocol(Protocol::Resp2),
                value_bytes: self.value_bytes,
            };
            let server = self.launch.start(name, capacity)?;
            let empty_bytes = resident_bytes(server.pid())?;
            load::load(server.address(), wording, self.keys)?;
            let loaded_bytes = resident_bytes(server.pid())?;
            let added = loaded_bytes.saturating_sub(empty_bytes);
            outcomes.push(Outcome {
                server: name.label(),
                version: server.version().to_owned(),
                keys: self.keys,
                key_bytes: KEY_BYTES,
                value_bytes: self.value_bytes,
                empty_bytes,
                loaded_bytes,
                bytes_per_key: added as f64 / self.keys as f64,
            });
            progress.step();
        }
        let mut table = Table::new(["server", "empty MB", "loaded MB", "per key", "overhead"]);
        for outcome in &outcomes {
            let payload = (KEY_BYTES + self.value_bytes) as f64;
            table.row([
                outcome.server.to_owned(),
                format!("{:.1}", outcome.empty_bytes as f64 / MB),
                format!("{:.1}", outcome.loaded_bytes as f64 / MB),
                format!("{:.1}", outcome.bytes_per_key),
                format!("{:.1}", outcome.bytes_per_key - payload),
            ]);
        }
        for line in &skipped {
            progress.show(&format!("skipped: {line}"))?;
        }
        progress.show(&format!(
            "{}\n{} keys of {KEY_BYTES} bytes, values of {} bytes\n\n{}",
            describe(),
            self.keys,
            self.value_bytes,
            table.text(),
        ))?;
        self.common.save("memory", &outcomes, &skipped)
    }
}
