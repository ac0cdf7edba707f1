//! `overload`: our server when more is asked of it than it can do, and when one shard stands still.
//!
//! Here is what can be asked on the command line; `load` and `stall` are the parts, `outcome` says what
//! was found.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use self::outcome::{Bar, Entry, Line};
use crate::environment::{Common, cores, describe};
use crate::keys::Distribution;
use crate::progress::Progress;
use crate::server::process::{pin_to, raise_open_files};
use crate::server::{Capacity, Launch, Server, ServerName};
use crate::wire::protocol::{Protocol, VALUE_BYTES_USUAL, Wording};
use crate::wire::tape::{KEYS_MAX, Mix, Script};
use crate::wire::{CONNECTIONS_MAX, OTHER_FILES, PIPELINE_MAX, in_range, seconds, window_seconds};

mod load;
mod outcome;
mod shards;
mod stall;

/// How long a command of ours may wait if nobody says otherwise (`--deadline`).
const DEADLINE: Duration = Duration::from_secs(1);
/// GETs per SET.
const READS_PER_WRITE: u32 = 10;
/// The core of the server and that of the generator.
const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;

/// Ask more of our server than it can do, or while one shard stands still.
///
/// The parts:
///
///   load   what the server can do, in a closed loop that keeps it busy; then 0.5 to 4 times that, in an
///          OPEN loop at a constant rate: nobody waits for a reply before the next request is sent. A
///          request whose socket has no room when it is due is never sent, and counts as blocked. With
///          --overload block and reject, and for connections that say CLIENT DEADLINE
///   stall  --stall-load of what the server can do, while an owner thread takes one shard and stands
///          still with it for a while. `apart`: one connection asks for keys of that shard, the others
///          for none of them; `mixed`: all connections ask for all keys
///
/// The server has core 0 and the generator core 1, unless --shared. Figures:
///
///   offered    thousand requests per second that were due
///   goodput    thousand per second that were served: answered, and not by an error
///   of capacity  goodput over what the closed loop of the same round could do
///   blocked    of the requests due, those that the generator's own socket had no room for: the server
///              did not read, and TCP said so
///   refused    of those due, those answered by an error of ours, by its prefix
///   p50 ..     milliseconds, of what was served, from the moment at which the generator's socket had
///              taken its bytes (it holds --send-buffer of them back at most); `due p99` from when it
///              was due
///   RSS MB     resident memory of the server: at first, at its highest, at the end
///   cpu us     processor time of the server for each operation served; gen us of the generator
///   wrong      replies that were neither right nor an error. Must be 0
///
/// Below stands what this project asks of itself, and what was reached.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Overload {
    /// Parts to run; `stall` needs a server with fail points (--shardkeep) [default: load]
    #[arg(value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Only the points of which something is asked: once and twice the capacity, block
    #[arg(long)]
    bars: bool,
    /// A short form: one round, short windows
    #[arg(long)]
    quick: bool,
    /// Times the capacity to offer [default: 0.5, 1, 1.5, 2, 4; bars 1, 2]
    #[arg(long, value_delimiter = ',', value_parser = factor)]
    factors: Vec<f64>,
    /// Milliseconds of CLIENT DEADLINE to try beside none [default: 200, 50]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=60_000))]
    patience: Vec<u64>,
    /// Connections
    #[arg(long, default_value_t = 50, value_parser = in_range(2, CONNECTIONS_MAX))]
    connections: usize,
    /// Requests sent together by the closed loop that finds the capacity; a power of two
    #[arg(long, default_value_t = 64, value_parser = in_range(1, PIPELINE_MAX))]
    pipeline: usize,
    /// Threads of the generator [default: 1, with --shared the cores of this machine]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Let the server and the generator share all cores
    #[arg(long)]
    shared: bool,
    /// Keys loaded, and asked for with equal probability
    #[arg(
        long,
        default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1_000..=KEYS_MAX),
    )]
    keys: u64,
    /// Rounds over all steps [default: 5; quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Seconds measured for each step and round [default: 2; quick 1]
    #[arg(long, value_parser = window_seconds)]
    window: Option<f64>,
    /// Seconds of the same load before each [default: 1; quick 0.5]
    #[arg(long, value_parser = seconds)]
    warm_up: Option<f64>,
    /// Bytes that each socket of the generator may hold back (SO_SNDBUF; the kernel doubles it)
    #[arg(long, default_value_t = 16_384, value_parser = in_range(4_096, 1 << 20))]
    send_buffer: usize,
    /// Seconds for which the shard stands still
    #[arg(long, default_value_t = 5.0, value_parser = window_seconds)]
    stall: f64,
    /// Times the capacity that is offered meanwhile
    #[arg(long, default_value = "0.8", value_parser = factor)]
    stall_load: f64,
    #[command(flatten)]
    launch: Launch,
    #[command(flatten)]
    common: Common,
}

/// What can be run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// More than the server can do
    Load,
    /// One shard stands still
    Stall,
}

fn factor(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(factor) if (0.01..=100.0).contains(&factor) => Ok(factor),
        Ok(_) | Err(_) => Err("a number from 0.01 to 100".to_owned()),
    }
}

/// How often and how long, and what is kept of it.
struct Run<'a> {
    asked: &'a Overload,
    progress: &'a Progress,
    rounds: u32,
    window: Duration,
    warm_up: Duration,
    lines: Vec<Line>,
    bars: Vec<Bar>,
}

impl Overload {
    /// Runs the parts and prints what was found.
    ///
    /// # Errors
    /// The server is missing, does not start, or fails; a shard that does not stand still when it was
    /// planned to. What was measured before that is written all the same.
    pub(crate) fn run(&self) -> Result<()> {
        ensure!(
            self.pipeline.is_power_of_two(),
            "--pipeline {}: a power of two",
            self.pipeline
        );
        raise_open_files(2 * self.connections as u64 + OTHER_FILES)?;
        self.launch.choose(&[ServerName::Shardkeep], |_any| true)?;
        let parts = self.parts();
        let usual = |asked: Option<f64>, quick, usual| {
            Duration::from_secs_f64(asked.unwrap_or(if self.quick { quick } else { usual }))
        };
        let rounds = self.rounds.unwrap_or(if self.quick { 1 } else { 5 });
        let steps = parts.iter().map(|part| match part {
            Part::Load => load::steps(self, rounds),
            Part::Stall => stall::steps(self, rounds),
        });
        let progress = Progress::new(steps.sum());
        let mut run = Run {
            asked: self,
            progress: &progress,
            rounds,
            window: usual(self.window, 1.0, 2.0),
            warm_up: usual(self.warm_up, 0.5, 1.0),
            lines: Vec::new(),
            bars: Vec::new(),
        };
        progress.show(&format!(
            "{}\n{} connections, {} keys, {READS_PER_WRITE} GETs per SET, {} rounds of {:?}{}\n",
            describe(),
            self.connections,
            self.keys,
            run.rounds,
            run.window,
            if self.shared {
                ""
            } else {
                ", server and generator on a core each"
            },
        ))?;
        let done = parts.into_iter().try_for_each(|part| match part {
            Part::Load => load::run(&mut run),
            Part::Stall => stall::run(&mut run),
        });
        if !run.bars.is_empty() {
            progress.show(&outcome::bars(&run.bars))?;
        }
        let lines = run.lines.iter().map(Entry::Line);
        let entries: Vec<Entry<'_>> = lines.chain(run.bars.iter().map(Entry::Bar)).collect();
        self.common.save("overload", &entries, &[])?;
        done
    }

    fn parts(&self) -> Vec<Part> {
        if self.parts.is_empty() {
            vec![Part::Load]
        } else {
            self.parts.clone()
        }
    }

    fn factors(&self) -> Vec<f64> {
        match (&self.factors[..], self.bars) {
            ([], false) => vec![0.5, 1.0, 1.5, 2.0, 4.0],
            ([], true) => vec![1.0, 2.0],
            (asked, _) => asked.to_vec(),
        }
    }

    /// What connections say of their patience, one after the other.
    fn patiences(&self) -> Vec<Option<Duration>> {
        let asked = match &self.patience[..] {
            [] => &[200, 50],
            asked => asked,
        };
        let asked = asked.iter().map(|&ms| Some(Duration::from_millis(ms)));
        std::iter::once(None).chain(asked).collect()
    }

    fn threads(&self) -> usize {
        let usual = if self.shared { cores() } else { 1 };
        self.threads.map_or(usual, NonZeroUsize::get)
    }

    fn script(&self) -> Script {
        Script {
            seed: self.common.seed,
            keys: self.keys,
            distribution: Distribution::Uniform,
            mix: Mix::reads_per_write(READS_PER_WRITE),
            wording: wording(),
        }
    }

    /// Starts our server with more arguments and environment, and fills it.
    fn start(&self, arguments: &[&str], environment: &[(&'static str, String)]) -> Result<Server> {
        let mut launch = self.launch.clone();
        let more = arguments.iter().map(|&argument| argument.to_owned());
        launch.shardkeep_arg.extend(more);
        launch.environment = environment.to_vec();
        if !self.shared {
            pin_to(SERVER_CORE)?;
        }
        let capacity = Capacity {
            // Those of the step before may still be leaving.
            clients: 2 * self.connections,
            keys: self.keys,
            value_bytes: VALUE_BYTES_USUAL,
        };
        let server = launch.start(ServerName::Shardkeep, capacity)?;
        if !self.shared {
            pin_to(GENERATOR_CORE)?;
        }
        crate::wire::load::load(server.address(), wording(), self.keys)?;
        Ok(server)
    }
}

const fn wording() -> Wording {
    Wording {
        protocol: Protocol::Resp2,
        value_bytes: VALUE_BYTES_USUAL,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        overload: Overload,
    }

    fn parsed(line: &str) -> std::result::Result<Overload, String> {
        let words = std::iter::once("overload").chain(line.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(command.overload)
    }

    #[test]
    fn what_is_offered_and_to_whom_can_be_chosen() {
        let usual = parsed("").unwrap();
        assert_eq!(usual.parts(), [Part::Load]);
        assert!(usual.factors().contains(&2.0));
        assert_eq!(usual.patiences().len(), 3);
        let chosen = parsed("stall --factors 2,3 --patience 10").unwrap();
        assert_eq!(chosen.parts(), [Part::Stall]);
        assert_eq!(chosen.factors(), [2.0, 3.0]);
        assert_eq!(chosen.patiences(), [None, Some(Duration::from_millis(10))]);
        assert_eq!(parsed("--bars").unwrap().factors(), [1.0, 2.0]);
        for refused in ["--factors 0", "--patience 0", "--connections 1", "nothing"] {
            assert!(parsed(refused).is_err(), "{refused}");
        }
    }
}
