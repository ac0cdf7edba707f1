//! `wire`: servers in processes of their own, asked over TCP on this machine.
//!
//! Here is what can be asked on the command line; `plan` says which points that makes, `campaign`
//! runs them, `generator` makes the load.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use self::arrivals::{Offered, RATE_MAX, Spacing};
use self::campaign::Campaign;
use self::generator::Pace;
use self::plan::{Axis, Plan, Point};
use self::protocol::{Protocol, VALUE_BYTES_MAX, VALUE_BYTES_USUAL};
use self::tape::KEYS_MAX;
use crate::environment::{Common, cores};
use crate::keys::Distribution;
use crate::progress::Progress;
use crate::server::process::raise_open_files;
use crate::server::{Launch, ServerName};

mod alarm;
pub(crate) mod arrivals;
mod campaign;
mod closed;
mod connection;
pub(crate) mod flood;
pub(crate) mod generator;
pub(crate) mod load;
mod open;
mod outcome;
mod plan;
pub(crate) mod protocol;
mod reply;
mod saturation;
mod tables;
pub(crate) mod tape;
#[cfg(test)]
mod testing;
mod value;

/// Longest pipeline: twice as long as any that a client library makes by itself.
pub(crate) const PIPELINE_MAX: usize = 512;
/// Most connections of one generator: ports of one address, with room.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;
/// Open files beside connections.
pub(crate) const OTHER_FILES: u64 = 128;
/// Longest window, and longest warm-up.
const SECONDS_MAX: f64 = 3_600.0;
/// Shortest window: below it the kernel's account of processor time is a few ticks.
const WINDOW_S_MIN: f64 = 0.05;

/// Compare servers over TCP on this machine.
///
/// The program starts the servers itself, on free ports, loads them, and asks them in turn, round
/// after round. Keys are 14 bytes; every 64th reply has its value compared.
///
/// CLOSED LOOP (without --rate): every connection sends --pipeline requests, waits for all replies,
/// and sends the next. It finds how much a server can do. It does not find how long users wait: a
/// server that stands still for 100 ms is not asked meanwhile, so of 100 requests that would have
/// come one is recorded as slow and 99 never happen (coordinated omission). Compare servers by these
/// latencies; do not quote them.
///
/// OPEN LOOP (--rate OPS_PER_S): requests start when a schedule says, made from the seed before the
/// load begins, as users come who know nothing of each other. Latency counts from the INTENDED start:
/// a request that is due while its connection is full (--pipeline is how many may be in flight on
/// each) waits in the generator, and that wait counts. These latencies can be quoted, for that rate.
/// --arrivals poisson makes clusters, as independent users do; constant is a metronome.
///
///   kop/s      thousand operations per second: median of the rounds, slowest and fastest beside
///   p50 .. max milliseconds, of every reply of all rounds, from one histogram: closed from sending
///              to the reply; open from the intended start
///   cpu us     processor time of the server per operation (user + system, from /proc), median;
///              the steadiest figure on a shared machine
///   gen us     the same of this generator: where it is the larger and both share the cores, the
///              generator is part of the limit
///   wrong      replies that were an error, an absence, or another value. Must be 0. What is no reply
///              at all ends the run.
///
/// closed loop only:
///   RSS MB     resident memory of the server at the end
///   x redis    operations and processor time relative to redis in this run
///   cpu x echo processor time relative to a server that only echoes: 1.0 is what TCP costs here
///
/// open loop only:
///   offered    thousand requests per second that were due
///   rest %     share of the window in which the generator had nothing to do
///   late       milliseconds by which the generator itself sent late: after the intended start, or
///              after it saw that the connection had room. It is part of the latencies above; where
///              it is not much smaller than they are, they are the generator's. It sleeps by timers
///              of the kernel, exact to some 20 microseconds, and spins only under the last 5.
///   unanswered requests without a reply 1 s after the window; they count as if answered then
///   saturated  why the load fell further and further behind its schedule, in most rounds.
///              server: the generator waited for replies; this rate is beyond the server, or beyond
///              what so few connections can carry. generator: it never rested, or was once as late
///              by itself as the load fell behind, so it would have fallen behind with any server,
///              and the line says nothing about this one's limit. Where both share the cores that is
///              also how a machine ends that has no core left.
///
/// echo answers reads only (34 bytes in, 71 out), with as many threads as there are cores. The other
/// servers run with their own defaults, without persistence, and as much memory as the keys need.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Wire {
    /// Servers to compare [default: all that are installed]. One that is named here and missing is
    /// an error
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<ServerName>,
    /// Run everything, in about 12 minutes with four servers: closed loop at 50 connections with
    /// pipeline 1 and 16, 1 with 1, 1,000 with 16; pipeline 1 to 256 at 50 connections; 1 to 10,000
    /// connections at pipeline 1; Zipf and a hot key, and RESP3, at 50 with 16; and latency against
    /// offered rate (Poisson) at 50 with 1, from 10 % to 120 % of the best closed-loop rate of this
    /// run, each server until it is saturated
    #[arg(long, group = "preset")]
    suite: bool,
    /// Run the four points this project judges itself by, which the suite begins with
    #[arg(long, group = "preset")]
    bars: bool,
    /// Run the first two of them, in less than a minute
    #[arg(long, group = "preset")]
    quick: bool,
    /// Open loop: offer so many operations per second, over all connections
    #[arg(
        long,
        value_name = "OPS_PER_S",
        conflicts_with = "preset",
        value_parser = clap::value_parser!(u64).range(1..=RATE_MAX),
    )]
    rate: Option<u64>,
    /// How the starts of an open loop are spaced
    #[arg(long, value_enum, default_value_t, requires = "rate")]
    arrivals: Spacing,
    /// Connections at the same time
    #[arg(
        long,
        default_value_t = 50,
        value_parser = in_range(1, CONNECTIONS_MAX),
        conflicts_with = "preset",
    )]
    connections: usize,
    /// Requests sent together, or in flight at most; a power of two
    #[arg(
        long,
        default_value_t = 1,
        value_parser = in_range(1, PIPELINE_MAX),
        conflicts_with = "preset",
    )]
    pipeline: usize,
    /// How requests spread over the keys
    #[arg(long, value_enum, default_value_t, conflicts_with = "preset")]
    distribution: Distribution,
    /// What servers that speak RESP are asked in
    #[arg(long, value_enum, default_value_t = Protocol::Resp2, conflicts_with = "preset")]
    protocol: Protocol,
    /// Threads of the generator [default: the cores of this machine]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Keys loaded and asked for
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX),
    )]
    keys: u64,
    /// Bytes of every value
    #[arg(long, default_value_t = VALUE_BYTES_USUAL, value_parser = in_range(1, VALUE_BYTES_MAX))]
    value_bytes: usize,
    /// GETs per SET; 0 means no SETs
    #[arg(long, default_value_t = 10)]
    reads_per_write: u32,
    /// Rounds over all servers [default: 5; suite and quick 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Seconds measured per server, point and round [default: 3; suite 2, quick 1]
    #[arg(long, value_parser = window_seconds)]
    window: Option<f64>,
    /// Seconds of the same load before each measurement [default: 0.5; quick 0.2]
    #[arg(long, value_parser = seconds)]
    warm_up: Option<f64>,
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
    between(text, 0.0)
}

/// The same for a time in which something is measured.
pub(crate) fn window_seconds(text: &str) -> std::result::Result<f64, String> {
    between(text, WINDOW_S_MIN)
}

fn between(text: &str, least: f64) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (least..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err(format!("seconds from {least} to {SECONDS_MAX}")),
    }
}

impl Wire {
    /// Runs the comparison and prints it.
    ///
    /// # Errors
    /// A server that is missing, does not start, or fails under load; an unwritable file. What was
    /// measured before that is written all the same.
    pub(crate) fn run(&self) -> Result<()> {
        ensure!(
            self.pipeline.is_power_of_two(),
            "--pipeline {}: a power of two",
            self.pipeline
        );
        let (servers, mut skipped) = self.launch.choose(&self.servers, |_any| true)?;
        let mut plan = self.plan();
        skipped.extend(admit(&mut plan)?);
        let progress = Progress::new(plan.windows(&servers) as u64);
        for line in &skipped {
            progress.show(&format!("skipped: {line}"))?;
        }
        progress.show(&format!(
            "This takes about {} s, and some to load.\n",
            plan.duration(&servers).as_secs_f64().ceil()
        ))?;
        let points = plan.points.iter();
        let clients = points.map(|point| point.connections).max().unwrap_or(0);
        let mut campaign = Campaign::start(self, plan.rhythm, &progress, &servers, clients)?;
        let done = campaign.run(&plan);
        for line in &campaign.skipped {
            progress.show(&format!("skipped: {line}"))?;
        }
        skipped.append(&mut campaign.skipped);
        self.common.save("wire", &campaign.outcomes, &skipped)?;
        done
    }

    fn plan(&self) -> Plan {
        let mut plan = if self.suite {
            Plan::suite()
        } else if self.bars {
            Plan::bars()
        } else if self.quick {
            Plan::quick()
        } else {
            Plan::point(self.point())
        };
        let rhythm = &mut plan.rhythm;
        rhythm.rounds = self.rounds.unwrap_or(rhythm.rounds);
        let asked = |seconds: Option<f64>, usual| seconds.map_or(usual, Duration::from_secs_f64);
        rhythm.window = asked(self.window, rhythm.window);
        rhythm.warm_up = asked(self.warm_up, rhythm.warm_up);
        plan
    }

    fn point(&self) -> Point {
        let spacing = self.arrivals;
        let open = |rate| Pace::Open(Offered { rate, spacing });
        Point {
            axis: Axis::Point,
            connections: self.connections,
            pipeline: self.pipeline,
            pace: self.rate.map_or(Pace::Closed, open),
            distribution: self.distribution,
            resp: self.protocol,
        }
    }

    fn threads(&self) -> usize {
        self.threads.map_or_else(cores, NonZeroUsize::get)
    }
}

/// Leaves out points that need more open files than are allowed, and says which. A point that was
/// asked for by itself is not left out.
fn admit(plan: &mut Plan) -> Result<Vec<String>> {
    let mut skipped = Vec::new();
    let mut points = Vec::new();
    for point in plan.points.drain(..) {
        match raise_open_files(point.connections as u64 + OTHER_FILES) {
            Ok(()) => points.push(point),
            Err(error) if point.axis == Axis::Point => return Err(error),
            Err(error) => skipped.push(format!("{}: {error}", point.describe())),
        }
    }
    plan.points = points;
    Ok(skipped)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        wire: Wire,
    }

    fn plan(line: &str) -> std::result::Result<Plan, String> {
        let words = std::iter::once("wire").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(line.wire.plan())
    }

    #[test]
    fn a_rate_makes_an_open_loop() {
        let pace = |line| plan(line).unwrap().points[0].pace;
        assert_eq!(pace(""), Pace::Closed);
        for (line, spacing) in [
            ("--rate 5000", Spacing::Poisson),
            ("--rate 5000 --arrivals constant", Spacing::Constant),
        ] {
            let rate = 5_000;
            assert_eq!(pace(line), Pace::Open(Offered { rate, spacing }));
        }
    }

    #[test]
    fn a_preset_keeps_its_points_but_takes_another_rhythm() {
        let quick = plan("--quick --rounds 1 --window 0.1 --warm-up 0").unwrap();
        assert_eq!(quick.points, Plan::quick().points);
        assert_eq!(quick.rhythm.rounds, 1);
        assert_eq!(quick.rhythm.window, Duration::from_millis(100));
        for refused in [
            "--suite --quick",
            "--suite --rate 5",
            "--bars --connections 5",
            "--arrivals constant",
            "--protocol echo",
            "--rate 0",
            "--window 0",
            "--servers nobody",
        ] {
            assert!(plan(refused).is_err(), "{refused}");
        }
    }

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
        assert!(window_seconds("0").is_err());
    }

    #[test]
    fn a_point_with_too_many_connections_is_left_out_by_name() {
        let many = Point {
            connections: usize::MAX / 2,
            ..Plan::suite().points[0]
        };
        let mut plan = Plan {
            points: vec![Plan::quick().points[0], many],
            ..Plan::quick()
        };
        if rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .maximum
            .is_some()
        {
            let skipped = admit(&mut plan).unwrap();
            assert_eq!(plan.points.len(), 1);
            assert!(skipped[0].contains("open files needed"), "{skipped:?}");
        }
    }
}
