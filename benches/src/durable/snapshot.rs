//! `durable snapshot`: what a snapshot does to those who are served meanwhile, and to memory.
//!
//! 1. In a round each server is loaded twice: without, and with one snapshot after the other for as long
//!    as the load lasts. The ratio of the two is what a snapshot costs.
//! 2. Memory is the highest of what the process and its children hold for themselves: redis forks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::client::Client;
use super::outcome::{Bar, Case, Figure, Line, Part};
use super::servers::{Kept, round_of, tape, window};
use super::{Found, Run};
use crate::server::process::resident_bytes_of_family;
use crate::server::{Promise, Server, ServerName};
use crate::wire::generator::Window;
use crate::wire::tape::{Mix, Tape};
use crate::{clock, threads};

/// Bytes of every value.
pub(super) const VALUE_BYTES: usize = 256;
/// The load: connections and pipeline.
const LOAD: (usize, usize) = (50, 1);
/// How often it is looked whether a snapshot has ended, and how much memory is held.
const LOOK: Duration = Duration::from_millis(20);
/// Longest snapshot.
const SNAPSHOT_MAX: Duration = Duration::from_secs(120);
/// Asked of latency, and of memory: with snapshots against without.
const P99_AT_MOST: f64 = 1.3;
const MEMORY_AT_MOST: f64 = 1.1;
const MB: f64 = 1e6;

/// Whether snapshots are taken.
const PHASES: [(bool, &str); 2] = [(false, "no snapshot"), (true, "snapshots")];

/// What was seen while the load ran.
struct Watched {
    peak_bytes: u64,
    snapshots: u32,
}

/// `durable snapshot`.
pub(super) fn run(run: &Run<'_>, found: &mut Found) -> Result<()> {
    let keys = run.pace.snapshot_keys;
    let tape = tape(run, keys, VALUE_BYTES, Mix::reads_per_write(1));
    let mut servers = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    for &name in run.servers {
        let kept = Kept::start_full(run, name, Promise::Interval, None, keys, VALUE_BYTES)?;
        for (_, what) in PHASES {
            lines.push(Line::new(Case {
                part: Part::Snapshot,
                who: name.label(),
                version: kept.server.version().to_owned(),
                what: what.to_owned(),
                clients: LOAD.0,
                pipeline: LOAD.1,
                window_us: None,
                entries: keys,
                value_bytes: VALUE_BYTES,
            })?);
        }
        servers.push(kept);
    }
    for round in 1..=run.pace.rounds {
        for (index, kept) in servers.iter().enumerate() {
            for (phase, (takes, what)) in PHASES.into_iter().enumerate() {
                let name = kept.server.name().label();
                run.begin(&format!("{what}: round {round}, {name}"))?;
                let (window, watched) = loaded(run, &tape, &kept.server, takes, round)?;
                let mut figures = round_of(&window);
                figures.memory_mb = Some(watched.peak_bytes as f64 / MB);
                figures.snapshots = Some(watched.snapshots);
                let line = &mut lines[index * PHASES.len() + phase];
                line.add(figures, Some(window.latencies), window.wrong);
                run.progress.step();
            }
        }
    }
    for (kept, lines) in servers.iter().zip(lines.chunks_mut(PHASES.len())) {
        if let Some(last) = lines.last_mut() {
            last.wrong += kept.count_wrong(keys, 101, VALUE_BYTES)?;
        }
    }
    for pair in lines.chunks(PHASES.len()) {
        bars(pair, found);
    }
    run.keep(lines, found)
}

/// One window of load, watched.
fn loaded(
    run: &Run<'_>,
    tape: &Tape,
    server: &Server,
    takes: bool,
    round: u32,
) -> Result<(Window, Watched)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = || watch(server, takes, &over);
        let watcher = threads::spawn_scoped(scope, "watcher", watch)?;
        let window = window(run, tape, server, LOAD, round);
        over.store(true, Ordering::Relaxed);
        let watched = threads::join(watcher)??;
        Ok((window?, watched))
    })
}

/// The same server with and without; of redis for comparison.
fn bars(pair: &[Line], found: &mut Found) {
    let [without, with] = pair else { return };
    let who = with.case.who;
    let ours = who == ServerName::Shardkeep.label();
    for (figure, asked) in [
        (Figure::P99Us, P99_AT_MOST),
        (Figure::MemoryMb, MEMORY_AT_MOST),
        (Figure::OpsPerS, 0.0),
    ] {
        let asked = (ours && asked > 0.0).then_some(asked);
        let of = format!("{who}, snapshots");
        let bar = Bar::of(of, figure, with, "without", &[without], asked);
        found.bars.extend(bar);
    }
}

/// Looks at memory, and takes one snapshot after the other, until the load is over; the last snapshot is
/// waited for.
fn watch(server: &Server, takes: bool, over: &AtomicBool) -> Result<Watched> {
    let mut client = Client::connect(server.address())?;
    let mut watched = Watched {
        peak_bytes: 0,
        snapshots: 0,
    };
    let mut begun = None;
    loop {
        let bytes = resident_bytes_of_family(server.pid())?;
        watched.peak_bytes = watched.peak_bytes.max(bytes);
        let over = over.load(Ordering::Relaxed);
        match begun {
            None if over => return Ok(watched),
            None if takes => {
                client.order(&["BGSAVE"])?;
                begun = Some(clock::now());
            }
            None => {}
            Some(since) => {
                let info = client.order(&["INFO", "persistence"])?;
                if info.contains("rdb_bgsave_in_progress:0") {
                    ensure!(
                        info.contains("rdb_last_bgsave_status:ok"),
                        "a snapshot of {} has failed",
                        server.name().label()
                    );
                    watched.snapshots += 1;
                    begun = None;
                    continue;
                }
                ensure!(
                    clock::now() < since + SNAPSHOT_MAX,
                    "a snapshot takes too long"
                );
            }
        }
        clock::wait_until(clock::now() + LOOK);
    }
}
