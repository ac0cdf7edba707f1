//! `wire`: servers in processes of their own, asked over TCP on this machine.
//!
//! All servers are started and loaded first; then rounds alternate over them, so that a machine
//! that gets slower gets slower for all.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use self::generator::Load;
use self::outcome::{Outcome, Point, Shown};
use self::tape::{KEYS_MAX, TAPE_REQUESTS, Tape};
use crate::environment::{Common, cores, describe};
use crate::server::process::{pin_to, raise_open_files, resident_bytes};
use crate::server::{Launch, Server, ServerName};
use crate::table::show;

mod connection;
pub(crate) mod generator;
pub(crate) mod load;
mod outcome;
mod reply;
pub(crate) mod tape;

/// The points of `--suite`: connections and pipeline.
const SUITE: [(usize, usize); 4] = [(50, 1), (50, 16), (1, 1), (1_000, 16)];
/// Longest pipeline: its replies must fit into one read of the generator.
pub(crate) const PIPELINE_MAX: usize = 512;
const _: () = assert!(PIPELINE_MAX * tape::GET_REPLY_BYTES <= connection::READ_BYTES);
const _: () = assert!(PIPELINE_MAX < TAPE_REQUESTS);
/// Most connections of one generator: ports of one address, with room.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;
/// Open files beside connections.
const OTHER_FILES: u64 = 128;
/// The core of the servers and that of the generator under `--pin`.
const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;

/// Compare servers over TCP on this machine.
///
/// The program starts the servers itself, on free ports, loads them, and asks them in turn, round
/// after round, in a closed loop: every connection sends --pipeline requests, waits for all
/// replies, and sends the next. Keys are 14 bytes, values 64; every 64th reply has its value
/// compared. The figures:
///
///   kop/s      thousand operations per second: median of the rounds, slowest and fastest beside
///   p50 .. max milliseconds from sending to the reply, of every reply of all rounds, from one
///              histogram. A closed loop hides what a slow server does to those who do not wait:
///              compare servers by these, do not quote them.
///   cpu us     processor time of the server per operation (user + system, from /proc), median;
///              the steadiest figure on a shared machine
///   gen us     the same of this generator: where it is the larger and both share the cores, the
///              generator is part of the limit
///   RSS MB     resident memory of the server at the end
///   wrong      replies that were an error, an absence, or another key's value. Must be 0.
///   x redis    operations and processor time relative to redis in this run
///   cpu x echo processor time relative to a server that only echoes: 1.0 is what TCP costs here
///
/// echo answers reads only (34 bytes in, 71 out), with as many threads as there are cores.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Wire {
    /// Servers to compare
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["shardkeep", "redis", "echo"])]
    servers: Vec<ServerName>,
    /// Run four points: 50 connections with pipeline 1 and 16, 1 with 1, 1,000 with 16
    #[arg(long, conflicts_with_all = ["connections", "pipeline"])]
    suite: bool,
    /// Connections at the same time
    #[arg(long, default_value_t = 50, value_parser = in_range(1, CONNECTIONS_MAX))]
    connections: usize,
    /// Requests sent together; a power of two
    #[arg(long, default_value_t = 1, value_parser = in_range(1, PIPELINE_MAX))]
    pipeline: usize,
    /// Threads of the generator [default: the cores of this machine]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Keys loaded, and asked for with equal probability
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX),
    )]
    keys: u64,
    /// GETs per SET; 0 means no SETs
    #[arg(long, default_value_t = 10)]
    reads_per_write: u32,
    /// Rounds over all servers
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds measured per server, point and round
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    window: f64,
    /// Seconds of the same load before each measurement
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    warm_up: f64,
    /// Keep the servers on core 0 and the generator on core 1
    #[arg(long)]
    pin: bool,
    #[command(flatten)]
    launch: Launch,
    #[command(flatten)]
    common: Common,
}

/// A parser of numbers between two bounds, both allowed.
pub(crate) fn in_range(
    from: usize,
    to: usize,
) -> impl Fn(&str) -> std::result::Result<usize, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if (from..=to).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("a number from {from} to {to}")),
    }
}

/// A parser of seconds that a `Duration` can hold and somebody may wait for.
pub(crate) fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3_600.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("seconds from 0 to 3600".to_owned()),
    }
}

impl Wire {
    /// Runs the comparison and prints it.
    ///
    /// # Errors
    /// A server that is missing, does not start, or fails under load; an unwritable file.
    pub(crate) fn run(&self) -> Result<()> {
        ensure!(
            self.pipeline.is_power_of_two(),
            "--pipeline {}: a power of two",
            self.pipeline
        );
        let points = if self.suite {
            SUITE.to_vec()
        } else {
            vec![(self.connections, self.pipeline)]
        };
        let most = points.iter().map(|point| point.0).max().unwrap_or(0);
        raise_open_files(most as u64 + OTHER_FILES)?;
        self.announce(points.len());
        let mixed = Tape::new(
            self.common.seed,
            self.keys,
            self.reads_per_write,
            TAPE_REQUESTS,
        );
        let reads = Tape::new(self.common.seed, self.keys, 0, TAPE_REQUESTS);
        let servers = self.start(most)?;
        let mut outcomes = Vec::new();
        for &(connections, pipeline) in &points {
            let mut shown: Vec<Shown> = Vec::new();
            for server in &servers {
                shown.push(Shown::nothing_yet(server.name())?);
            }
            for round in 1..=self.rounds {
                eprintln!("{connections} connections, pipeline {pipeline}: round {round}");
                for (server, shown) in servers.iter().zip(&mut shown) {
                    let stores = server.name().stores();
                    let load = Load {
                        tape: if stores { &mixed } else { &reads },
                        check_values: stores,
                        connections,
                        pipeline,
                        threads: self.threads(),
                        warm_up: Duration::from_secs_f64(self.warm_up),
                        window: Duration::from_secs_f64(self.window),
                        seed: self.common.seed.wrapping_add(u64::from(round)),
                    };
                    shown.add(generator::run(load, server.address(), server.pid())?);
                }
            }
            let from = outcomes.len();
            for (server, shown) in servers.iter().zip(shown) {
                let point = self.point(server.name(), connections, pipeline);
                let rss = resident_bytes(server.pid())?;
                outcomes.push(Outcome::of(shown, server.version(), point, rss));
            }
            show(&self.text(&outcomes[from..], connections, pipeline))?;
        }
        self.common.save("wire", &outcomes, &[])
    }

    fn threads(&self) -> usize {
        self.threads.map_or_else(cores, NonZeroUsize::get)
    }

    fn point(&self, server: ServerName, connections: usize, pipeline: usize) -> Point {
        Point {
            connections,
            pipeline,
            mode: "closed",
            keys: self.keys,
            key_bytes: tape::KEY_BYTES,
            value_bytes: tape::VALUE_BYTES,
            reads_per_write: if server.stores() {
                self.reads_per_write
            } else {
                0
            },
            generator_threads: self.threads().min(connections),
            pinned: self.pin,
            window_s: self.window,
        }
    }

    fn announce(&self, points: usize) {
        let windows = points * self.servers.len() * self.rounds as usize;
        let seconds = windows as f64 * (self.window + self.warm_up);
        eprintln!("this takes about {seconds:.0} s, and some to load");
    }

    /// Starts and loads the servers; under `--pin` they stay on their core.
    fn start(&self, clients: usize) -> Result<Vec<Server>> {
        if self.pin {
            pin_to(SERVER_CORE)?;
        }
        let mut servers = Vec::new();
        for &name in &self.servers {
            eprintln!("start {}", name.label());
            servers.push(self.launch.start(name, clients)?);
        }
        if self.pin {
            pin_to(GENERATOR_CORE)?;
        }
        for server in servers.iter().filter(|server| server.name().stores()) {
            eprintln!("load {}", server.name().label());
            load::load(server.address(), self.keys)?;
        }
        Ok(servers)
    }

    fn text(&self, outcomes: &[Outcome], connections: usize, pipeline: usize) -> String {
        format!(
            "{}\n{connections} connections, pipeline {pipeline}, {} keys, {} GETs per SET, \
             {} generator threads{}, {} rounds of {} s\n\n{}",
            describe(),
            self.keys,
            self.reads_per_write,
            self.threads().min(connections),
            if self.pin { ", pinned" } else { "" },
            self.rounds,
            self.window,
            outcome::table(outcomes).text(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_range_is_refused_with_the_range() {
        assert_eq!(in_range(1, 512)("512"), Ok(512));
        for text in ["0", "513", "-1", "x"] {
            assert_eq!(
                in_range(1, 512)(text),
                Err("a number from 1 to 512".to_owned())
            );
        }
        assert_eq!(seconds("0.5"), Ok(0.5));
        for text in ["-1", "inf", "NaN", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
