//! `durable`: what it costs that nothing acknowledged is lost.
//!
//! Here is what can be asked on the command line; each part is a module, `outcome` says what was found.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use self::engines::Engine;
use self::outcome::{Bar, Entry, Line, Part};
use self::scratch::{Disk, Scratch};
use crate::environment::{Common, describe};
use crate::progress::Progress;
use crate::server::{Launch, ServerName};
use crate::wire::tape::KEYS_MAX;
use crate::wire::{seconds, window_seconds};

mod client;
mod embedded;
mod engines;
mod outcome;
mod recovery;
mod scratch;
mod servers;
mod snapshot;
mod tables;

/// Least keys or records of a part: below it a figure is that of starting a process.
const ENTRIES_MIN: u64 = 1_000;

/// Compare stores that keep what they are told: on the same disk, under the same promise.
///
/// The parts, all of which run unless some are named:
///
///   embedded   a library, each write on the disk when it returns: this project's store (sync always),
///              redb (one transaction of Durability::Immediate for each write), fjall (persist after
///              each), and both with the group commit that a user can write around them (-grouped).
///              64-byte values; 1 and 8 threads
///   wire       --sync always against redis' appendfsync always, SETs of 64 bytes: 1 connection, 50, and
///              50 with pipeline 16; --sync interval against everysec at 50 with 16
///   window     --sync always of ours with --write-window 0 to 1 ms, at 1, 8, 50 connections
///   snapshot   50 connections, a SET for each GET, synced once a second: without, and with one BGSAVE
///              after the other; values of 256 bytes
///   recovery   from the start of a process to the first value it answers: from a snapshot (256-byte
///              values), and from a log of SETs (64-byte values, each key written twice)
///
/// Every engine and server has a directory of its own in --dir; what it is made of, and how long one
/// small append and fdatasync take there, is said first. Figures:
///
///   kop/s      thousand operations per second: median of the rounds, slowest and fastest beside
///   p50 ..     microseconds, of every write or reply of all rounds, from one histogram (closed loop)
///   cpu us     processor time per operation: of the server; of the whole process for embedded
///   MB         resident memory at its highest, in a snapshot with what a forked child has for itself
///   s          seconds until the first answer
///   wrong      values that were not what was last acknowledged: while asked, after the last round, and
///              for embedded and recovery after opening again. Must be 0.
///
/// Below stand the ratios of ours, each made inside a round, beside what this project asks of itself.
/// Directories are removed at the end, also after a failure or a signal; what a killed run left, by
/// the next one.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Durable {
    /// Parts to run [default: all]
    #[arg(value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Only the parts of which something is asked: all but the write window
    #[arg(long, conflicts_with = "parts")]
    bars: bool,
    /// A short form: 2 rounds, short windows, a tenth of the keys
    #[arg(long)]
    quick: bool,
    /// Directory in which the stores lie; it decides which disk is measured [default: that of
    /// temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Rounds over everything that is compared [default: 5; quick 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Milliseconds for each engine, point and round of embedded [default: 800; quick 150]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    millis: Option<u64>,
    /// Seconds measured per server, point and round [default: 1.5; quick 0.4]
    #[arg(long, value_parser = window_seconds)]
    window: Option<f64>,
    /// Seconds of the same load before each [default: 0.3; quick 0.1]
    #[arg(long, value_parser = seconds)]
    warm_up: Option<f64>,
    /// Keys while snapshots are taken [default: 1000000; quick 100000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(ENTRIES_MIN..=KEYS_MAX))]
    snapshot_keys: Option<u64>,
    /// Keys of the snapshot that is recovered from [default: 3000000; quick 300000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(ENTRIES_MIN..=KEYS_MAX))]
    recovery_keys: Option<u64>,
    /// Records of the log that is recovered from [default: 2000000; quick 200000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(ENTRIES_MIN..=KEYS_MAX))]
    recovery_records: Option<u64>,
    #[command(flatten)]
    launch: Launch,
    #[command(flatten)]
    common: Common,
}

/// How often, how long, and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pacing {
    rounds: u32,
    /// A round of an engine.
    burst: Duration,
    /// A round of a server, and what comes before it.
    window: Duration,
    warm_up: Duration,
    snapshot_keys: u64,
    recovery_keys: u64,
    recovery_records: u64,
}

impl Pacing {
    const USUAL: Self = Self {
        rounds: 5,
        burst: Duration::from_millis(800),
        window: Duration::from_millis(1_500),
        warm_up: Duration::from_millis(300),
        snapshot_keys: 1_000_000,
        recovery_keys: 3_000_000,
        recovery_records: 2_000_000,
    };
    const QUICK: Self = Self {
        rounds: 2,
        burst: Duration::from_millis(150),
        window: Duration::from_millis(400),
        warm_up: Duration::from_millis(100),
        snapshot_keys: 100_000,
        recovery_keys: 300_000,
        recovery_records: 200_000,
    };
}

/// What every part needs.
struct Run<'a> {
    launch: &'a Launch,
    /// Ours first.
    servers: &'a [ServerName],
    scratch: &'a Scratch,
    progress: &'a Progress,
    common: &'a Common,
    seed: u64,
    pace: Pacing,
    /// A signal has asked the run to end.
    stop: Arc<AtomicBool>,
}

/// What was measured so far.
#[derive(Default)]
struct Found {
    lines: Vec<Line>,
    bars: Vec<Bar>,
}

impl Run<'_> {
    /// Says what is done next; the place where a signal ends a run, with servers stopped and directories
    /// removed as after any failure.
    fn begin(&self, what: &str) -> Result<()> {
        ensure!(!self.stop.load(Ordering::Relaxed), "stopped by a signal");
        self.progress.say(what);
        Ok(())
    }

    /// Shows lines, and keeps them.
    fn keep(&self, lines: Vec<Line>, found: &mut Found) -> Result<()> {
        for line in &lines {
            let case = &line.case;
            let window = case
                .window_us
                .map_or_else(String::new, |window| format!("-{window}us"));
            let what = case.what.replace(' ', "-");
            let place = format!("{}x{}", case.clients, case.pipeline);
            let name = format!("durable-{}-{what}-{place}{window}", case.who);
            if !line.latencies().is_empty() {
                self.common.save_distribution(&name, line.latencies())?;
            }
        }
        self.progress.show(&tables::table(&lines))?;
        found.lines.extend(lines);
        Ok(())
    }

    fn run(&self, part: Part, found: &mut Found) -> Result<()> {
        match part {
            Part::Embedded => embedded::run(self, found),
            Part::Wire => servers::wire(self, found),
            Part::Window => servers::windows(self, found),
            Part::Snapshot => snapshot::run(self, found),
            Part::Recovery => recovery::run(self, found),
        }
    }
}

impl Durable {
    /// Runs the comparison and prints it.
    ///
    /// # Errors
    /// A server that is missing, does not start, or fails; a directory that cannot be written. What was
    /// measured before that is written all the same.
    pub(crate) fn run(&self) -> Result<()> {
        let parts = self.parts();
        let wanted = |name| matches!(name, ServerName::Shardkeep | ServerName::Redis);
        let (servers, skipped) = self.launch.choose(&[], wanted)?;
        ensure!(
            parts == [Part::Embedded] || servers.contains(&ServerName::Shardkeep),
            "{}",
            skipped.join("; ")
        );
        let pace = self.pacing();
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let scratch = Scratch::new(&parent)?;
        let disk = scratch.disk()?;
        let steps = parts.iter().map(|&part| pace.steps(part, servers.len()));
        let progress = Progress::new(steps.sum());
        for line in &skipped {
            progress.show(&format!("skipped: {line}"))?;
        }
        let all = parts.iter().map(|&part| pace.seconds(part, servers.len()));
        progress.show(&format!(
            "{}\n{}, an append and fdatasync of 100 bytes: {:.0} us ({:.0} to {:.0})\n{} rounds. \
             This takes about {:.0} s.\n",
            describe(),
            disk.file_system,
            disk.sync_us.median,
            disk.sync_us.min,
            disk.sync_us.max,
            pace.rounds,
            all.sum::<f64>(),
        ))?;
        let run = Run {
            launch: &self.launch,
            servers: &servers,
            scratch: &scratch,
            progress: &progress,
            common: &self.common,
            seed: self.common.seed,
            pace,
            stop: stop_by_signal()?,
        };
        let mut found = Found::default();
        let done = parts
            .into_iter()
            .try_for_each(|part| run.run(part, &mut found));
        if !found.bars.is_empty() {
            progress.show(&tables::bars(&found.bars))?;
        }
        self.save(&disk, &found, &skipped)?;
        done
    }

    fn save(&self, disk: &Disk, found: &Found, skipped: &[String]) -> Result<()> {
        let mut entries = vec![Entry::from(disk)];
        entries.extend(found.lines.iter().map(Entry::from));
        entries.extend(found.bars.iter().map(Entry::Bar));
        self.common.save("durable", &entries, skipped)
    }

    fn parts(&self) -> Vec<Part> {
        if self.bars {
            let asked = |part: &Part| *part != Part::Window;
            Part::ALL.into_iter().filter(asked).collect()
        } else if self.parts.is_empty() {
            Part::ALL.into()
        } else {
            let named = |part: &Part| self.parts.contains(part);
            Part::ALL.into_iter().filter(named).collect()
        }
    }

    fn pacing(&self) -> Pacing {
        let usual = if self.quick {
            Pacing::QUICK
        } else {
            Pacing::USUAL
        };
        let time = |asked: Option<f64>, usual| asked.map_or(usual, Duration::from_secs_f64);
        Pacing {
            rounds: self.rounds.unwrap_or(usual.rounds),
            burst: self.millis.map_or(usual.burst, Duration::from_millis),
            window: time(self.window, usual.window),
            warm_up: time(self.warm_up, usual.warm_up),
            snapshot_keys: self.snapshot_keys.unwrap_or(usual.snapshot_keys),
            recovery_keys: self.recovery_keys.unwrap_or(usual.recovery_keys),
            recovery_records: self.recovery_records.unwrap_or(usual.recovery_records),
        }
    }
}

/// Set by SIGINT or SIGTERM: the step under way is finished, or fails by itself.
fn stop_by_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Seconds in which a server takes a million keys, or writes them in a snapshot, for the announcement.
const FILLING_S: f64 = 4.0;
/// The same to read a million.
const READING_S: f64 = 1.0;
/// About what a server takes to start and stop.
const STARTING_S: f64 = 0.3;

impl Pacing {
    /// Steps of the progress.
    fn steps(&self, part: Part, servers: usize) -> u64 {
        let rounds = u64::from(self.rounds);
        let servers = servers as u64;
        match part {
            Part::Embedded => (rounds + 1) * (Engine::ALL.len() * embedded::THREADS.len()) as u64,
            Part::Wire => rounds * servers * u64::from(servers::WIRE_POINTS),
            Part::Window => rounds * u64::from(servers::WINDOW_POINTS),
            Part::Snapshot => rounds * servers * 2,
            Part::Recovery => (rounds + 1) * servers * 2,
        }
    }

    /// About how long it takes.
    fn seconds(&self, part: Part, servers: usize) -> f64 {
        let steps = self.steps(part, servers) as f64;
        let window = (self.window + self.warm_up).as_secs_f64();
        let servers = servers as f64;
        let millions = |entries: u64| entries as f64 / 1e6;
        match part {
            Part::Embedded => steps * self.burst.as_secs_f64(),
            Part::Wire | Part::Window => steps * window + servers,
            Part::Snapshot => {
                let filling = servers * millions(self.snapshot_keys) * FILLING_S;
                // The last snapshot of a window is waited for.
                filling * (1.0 + f64::from(self.rounds) / 4.0) + steps * window
            }
            Part::Recovery => {
                let entries = millions(self.recovery_keys + self.recovery_records);
                let rounds = f64::from(self.rounds);
                servers * entries * (FILLING_S + rounds * READING_S) + steps * STARTING_S
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        durable: Durable,
    }

    fn parsed(line: &str) -> std::result::Result<Durable, String> {
        let words = std::iter::once("durable").chain(line.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(command.durable)
    }

    #[test]
    fn parts_run_in_one_order_and_only_once() {
        let parts = |line| parsed(line).unwrap().parts();
        assert_eq!(parts(""), Part::ALL);
        assert_eq!(parts("recovery wire wire"), [Part::Wire, Part::Recovery]);
        assert!(!parts("--bars").contains(&Part::Window));
        for refused in ["wire --bars", "nothing", "--rounds 0", "--recovery-keys 1"] {
            assert!(parsed(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_pace_can_be_changed_piece_by_piece() {
        let quick = parsed("--quick --rounds 1 --window 0.1").unwrap().pacing();
        assert_eq!(quick.rounds, 1);
        assert_eq!(quick.window, Duration::from_millis(100));
        assert_eq!(quick.recovery_keys, Pacing::QUICK.recovery_keys);
        assert_eq!(parsed("").unwrap().pacing(), Pacing::USUAL);
    }

    #[test]
    fn the_suite_ends_in_twelve_minutes_and_the_quick_one_in_two() {
        let seconds = |pace: Pacing| -> f64 {
            let parts = Part::ALL.into_iter();
            parts.map(|part| pace.seconds(part, 2)).sum()
        };
        assert!(seconds(Pacing::USUAL) < 720.0, "{}", seconds(Pacing::USUAL));
        assert!(seconds(Pacing::QUICK) < 120.0, "{}", seconds(Pacing::QUICK));
    }
}
