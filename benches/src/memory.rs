//! `memory`: what a server's keys cost in resident memory.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::environment::{Common, describe};
use crate::server::process::resident_bytes;
use crate::server::{Launch, ServerName};
use crate::table::{Table, show};
use crate::wire::load;
use crate::wire::tape::{KEY_BYTES, KEYS_MAX, VALUE_BYTES};

/// Bytes of a megabyte.
const MB: f64 = 1e6;

/// Compare the resident memory of servers after loading.
///
/// Each server is started empty and given --keys keys of 14 bytes with values of 64 bytes and no
/// expiry, one after the other. The figures:
///
///   empty MB   resident memory before loading
///   loaded MB  resident memory after loading
///   per key    bytes that loading added, divided by the keys
///   overhead   the same without the 78 bytes of key and value
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Memory {
    /// Servers to compare (echo keeps nothing)
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["shardkeep", "redis"])]
    servers: Vec<ServerName>,
    /// Keys loaded
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX),
    )]
    keys: u64,
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
        for &name in self.servers.iter().filter(|name| name.stores()) {
            eprintln!("load {}", name.label());
            let server = self.launch.start(name, 0)?;
            let empty_bytes = resident_bytes(server.pid())?;
            load::load(server.address(), self.keys)?;
            let loaded_bytes = resident_bytes(server.pid())?;
            let added = loaded_bytes.saturating_sub(empty_bytes);
            outcomes.push(Outcome {
                server: name.label(),
                version: server.version().to_owned(),
                keys: self.keys,
                key_bytes: KEY_BYTES,
                value_bytes: VALUE_BYTES,
                empty_bytes,
                loaded_bytes,
                bytes_per_key: added as f64 / self.keys as f64,
            });
        }
        let mut table = Table::new(["server", "empty MB", "loaded MB", "per key", "overhead"]);
        for outcome in &outcomes {
            let payload = (KEY_BYTES + VALUE_BYTES) as f64;
            table.row([
                outcome.server.to_owned(),
                format!("{:.1}", outcome.empty_bytes as f64 / MB),
                format!("{:.1}", outcome.loaded_bytes as f64 / MB),
                format!("{:.1}", outcome.bytes_per_key),
                format!("{:.1}", outcome.bytes_per_key - payload),
            ]);
        }
        show(&format!(
            "{}\n{} keys of {KEY_BYTES} bytes, values of {VALUE_BYTES} bytes\n\n{}",
            describe(),
            self.keys,
            table.text(),
        ))?;
        self.common.save("memory", &outcomes, &[])
    }
}
