//! `durable wire` and `durable window`: servers that keep what they are told, written to over TCP.
//!
//! 1. All servers of a promise run while rounds alternate over them; those that are not asked are idle.
//! 2. After the last round every key must have its value.

use anyhow::{Context as _, Result};

use super::client::Client;
use super::outcome::{Bar, Case, Figure, Line, Part, Round};
use super::{Found, Run, scratch};
use crate::environment::cores;
use crate::keys::Distribution;
use crate::server::{Capacity, Keep, Promise, Server, ServerName};
use crate::wire::generator::{self, CHECK_EVERY, Load, Pace, Window};
use crate::wire::load;
use crate::wire::protocol::{Protocol, VALUE_BYTES_USUAL, Wording};
use crate::wire::tape::{Mix, Script, Tape};

/// Keys written.
const KEYS: u64 = 100_000;
/// Most connections of any point.
const CONNECTIONS_MAX: usize = 50;
/// Connections and pipeline of the points that sync before they answer; asked of the operations.
const ALWAYS: [((usize, usize), f64); 3] = [((1, 1), 1.0), ((50, 1), 1.3), ((50, 16), 2.0)];
/// The same of the point that syncs once a second.
const INTERVAL: ((usize, usize), f64) = ((50, 16), 1.3);
/// Asked of the latency wherever a sync comes before the answer.
const P99_AT_MOST: f64 = 1.0;
/// Asked of the processor time for each operation where it does not.
const CPU_AT_MOST: f64 = 0.75;
/// Write windows, in microseconds.
const WINDOWS_US: [u64; 6] = [0, 50, 100, 200, 500, 1_000];
/// Connections at which they are compared.
const WINDOW_CONNECTIONS: [usize; 3] = [1, 8, 50];

/// Windows of the part `wire` in one round, for each server.
pub(super) const WIRE_POINTS: u32 = ALWAYS.len() as u32 + 1;
/// Windows of the part `window` in one round.
pub(super) const WINDOW_POINTS: u32 = (WINDOWS_US.len() * WINDOW_CONNECTIONS.len()) as u32;

/// A server that keeps what it is told, with its directory.
pub(super) struct Kept {
    // Stops before its directory goes.
    pub(super) server: Server,
    pub(super) keep: Keep,
    directory: scratch::Part,
}

impl Kept {
    /// Starts a server in a directory of its own.
    pub(super) fn start(
        run: &Run<'_>,
        name: ServerName,
        promise: Promise,
        window_us: Option<u64>,
        keys: u64,
    ) -> Result<Self> {
        let part = window_us.map_or_else(String::new, |window| format!("-{window}"));
        let directory =
            run.scratch
                .directory(&format!("{}-{}{part}", name.label(), promise.label()))?;
        let keep = Keep {
            dir: directory.path().to_owned(),
            promise,
            window: window_us.map(std::time::Duration::from_micros),
        };
        let server = run.launch.start_kept(name, capacity(keys), &keep)?;
        Ok(Self {
            server,
            keep,
            directory,
        })
    }

    /// The same, filled with values of `value_bytes`.
    pub(super) fn start_full(
        run: &Run<'_>,
        name: ServerName,
        promise: Promise,
        window_us: Option<u64>,
        keys: u64,
        value_bytes: usize,
    ) -> Result<Self> {
        let started = Self::start(run, name, promise, window_us, keys)?;
        run.begin(&format!("load {}", name.label()))?;
        load::load(started.server.address(), wording(value_bytes), keys)
            .with_context(|| format!("load {}", name.label()))?;
        Ok(started)
    }

    /// Stops the server; what it has written stays for as long as the directory's value.
    pub(super) fn stop(self) -> (Keep, scratch::Part) {
        drop(self.server);
        (self.keep, self.directory)
    }

    /// How many of every `step`th key do not have their value.
    pub(super) fn count_wrong(&self, keys: u64, step: usize, value_bytes: usize) -> Result<u64> {
        Client::connect(self.server.address())?.count_wrong(keys, step, value_bytes)
    }
}

pub(super) const fn capacity(keys: u64) -> Capacity {
    Capacity {
        clients: CONNECTIONS_MAX,
        keys,
        value_bytes: VALUE_BYTES_USUAL,
    }
}

pub(super) const fn wording(value_bytes: usize) -> Wording {
    Wording {
        protocol: Protocol::Resp2,
        value_bytes,
    }
}

/// Requests for uniform keys.
pub(super) fn tape(run: &Run<'_>, keys: u64, value_bytes: usize, mix: Mix) -> Tape {
    let script = Script {
        seed: run.seed,
        keys,
        distribution: Distribution::Uniform,
        mix,
        wording: wording(value_bytes),
    };
    Tape::new(&script, script.length())
}

/// One closed-loop window.
pub(super) fn window(
    run: &Run<'_>,
    tape: &Tape,
    server: &Server,
    (connections, pipeline): (usize, usize),
    round: u32,
) -> Result<Window> {
    let load = Load {
        tape,
        check_every: Some(CHECK_EVERY),
        connections,
        pipeline,
        threads: cores(),
        warm_up: run.pace.warm_up,
        window: run.pace.window,
        seed: run.seed.wrapping_add(u64::from(round)),
        pace: Pace::Closed,
    };
    generator::run(load, server.address(), server.pid())
        .with_context(|| format!("load on {}", server.name().label()))
}

pub(super) fn round_of(window: &Window) -> Round {
    let seconds = window.elapsed.as_secs_f64();
    Round::of(window.ops, seconds, window.server_cpu, &window.latencies)
}

/// Servers at some points, in alternating rounds; the lines come point by point.
fn rounds(
    run: &Run<'_>,
    part: Part,
    servers: &[Kept],
    points: &[(usize, usize)],
) -> Result<Vec<Line>> {
    let tape = tape(run, KEYS, VALUE_BYTES_USUAL, Mix::Writes);
    let mut lines = Vec::new();
    for &point in points {
        let mut here = Vec::new();
        for kept in servers {
            here.push(Line::new(case(part, kept, point))?);
        }
        for round in 1..=run.pace.rounds {
            for (kept, line) in servers.iter().zip(&mut here) {
                let name = kept.server.name().label();
                let promise = kept.keep.promise.label();
                run.begin(&format!(
                    "{promise}, {} x {}: round {round}, {name}",
                    point.0, point.1
                ))?;
                let window = window(run, &tape, &kept.server, point, round)?;
                let figures = round_of(&window);
                line.add(figures, Some(window.latencies), window.wrong);
                run.progress.step();
            }
        }
        lines.extend(here);
    }
    for (index, kept) in servers.iter().enumerate() {
        let last = lines.len() - servers.len() + index;
        lines[last].wrong += kept.count_wrong(KEYS, 7, VALUE_BYTES_USUAL)?;
    }
    Ok(lines)
}

fn case(part: Part, kept: &Kept, (clients, pipeline): (usize, usize)) -> Case {
    Case {
        part,
        who: kept.server.name().label(),
        version: kept.server.version().to_owned(),
        what: kept.keep.promise.label().to_owned(),
        clients,
        pipeline,
        window_us: kept
            .keep
            .window
            .map(|window| u64::try_from(window.as_micros()).unwrap_or(u64::MAX)),
        entries: KEYS,
        value_bytes: VALUE_BYTES_USUAL,
    }
}

/// `durable wire`.
pub(super) fn wire(run: &Run<'_>, found: &mut Found) -> Result<()> {
    let always = ALWAYS.map(|(point, _)| point);
    for (promise, points) in [
        (Promise::Always, &always[..]),
        (Promise::Interval, &[INTERVAL.0][..]),
    ] {
        let mut servers = Vec::new();
        for &name in run.servers {
            servers.push(Kept::start_full(
                run,
                name,
                promise,
                None,
                KEYS,
                VALUE_BYTES_USUAL,
            )?);
        }
        let lines = rounds(run, Part::Wire, &servers, points)?;
        for (index, here) in lines.chunks(servers.len()).enumerate() {
            let (ops, second) = match promise {
                Promise::Always => (ALWAYS[index].1, (Figure::P99Us, P99_AT_MOST)),
                Promise::Interval | Promise::Snapshots => {
                    (INTERVAL.1, (Figure::CpuUsPerOp, CPU_AT_MOST))
                }
            };
            for (figure, asked) in [(Figure::OpsPerS, ops), second] {
                found.bars.extend(against_redis(here, figure, asked));
            }
        }
        run.keep(lines, found)?;
    }
    Ok(())
}

/// What is asked of ours against redis among the lines of one point.
pub(super) fn against_redis(lines: &[Line], figure: Figure, asked: f64) -> Option<Bar> {
    let by = |name: ServerName| lines.iter().find(|line| line.case.who == name.label());
    let (ours, redis) = (by(ServerName::Shardkeep)?, by(ServerName::Redis)?);
    let case = &ours.case;
    let place = match case.part {
        Part::Recovery => format!("recovery, {}", case.what),
        Part::Embedded | Part::Wire | Part::Window | Part::Snapshot => {
            format!("{}, {} x {}", case.what, case.clients, case.pipeline)
        }
    };
    Bar::of(place, figure, ours, "redis", &[redis], Some(asked))
}

/// `durable window`.
pub(super) fn windows(run: &Run<'_>, found: &mut Found) -> Result<()> {
    let mut servers = Vec::new();
    for window in WINDOWS_US {
        servers.push(Kept::start_full(
            run,
            ServerName::Shardkeep,
            Promise::Always,
            Some(window),
            KEYS,
            VALUE_BYTES_USUAL,
        )?);
    }
    let points = WINDOW_CONNECTIONS.map(|connections| (connections, 1));
    let lines = rounds(run, Part::Window, &servers, &points)?;
    run.keep(lines, found)
}
