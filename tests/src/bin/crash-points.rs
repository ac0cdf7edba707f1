//! The proof of the log, at length: crashes at every operation of many stories, and all of a log's bits.
//!
//! `cargo run --release -p shardkeep-tests --bin crash-points -- --points 1000000 --seed 1`
//! `cargo run --release -p shardkeep-tests --bin crash-points -- --damage`
//!
//! Ends with 1 at the first thing that must not happen, which it describes with the seed that repeats it.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use shardkeep_tests::clock;
use shardkeep_tests::disk::{Failure, Left, Outcome, Plan, Stored, Syncs, Tally, explore};

/// How often something is said.
const PROGRESS: Duration = Duration::from_secs(5);

/// Bytes of the log, and of the snapshot, that are damaged bit by bit.
const DAMAGED_BYTES: usize = 64 * 1_024;

/// Crashes a store on a simulated disk.
#[derive(Parser)]
struct Options {
    /// Different crash points to reach.
    #[arg(long, default_value_t = 1_000_000)]
    points: u64,
    /// The first story.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Damage a log and a snapshot of 64 KiB instead: every bit, every length; and every bit of a log at
    /// rest, whether its records were synced or not.
    #[arg(long)]
    damage: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let said = match options.damage {
        true => damage(),
        false => crash(&options),
    };
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            drop(writeln!(io::stderr(), "crash-points: {text}"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{text}").map_err(|error| error.to_string())
}

/// What the threads have found together.
#[derive(Default)]
struct Found {
    tally: Tally,
    failure: Option<Failure>,
}

fn crash(options: &Options) -> Result<(), String> {
    let (began, next) = (clock::now(), AtomicU64::new(options.seed));
    let found = Mutex::new((Found::default(), began));
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                loop {
                    let explored = explore(next.fetch_add(1, Ordering::Relaxed));
                    let Ok(mut locked) = found.lock() else { return };
                    let (found, said) = &mut *locked;
                    match explored {
                        Ok(tally) => found.tally.add(tally),
                        Err(failure) => found.failure = Some(failure),
                    }
                    if found.failure.is_some() || found.tally.points() >= options.points {
                        return;
                    }
                    if clock::now() - *said >= PROGRESS {
                        *said = clock::now();
                        // Nobody listens: the work goes on.
                        drop(say(&found.tally.to_string()));
                    }
                }
            });
        }
    });
    let (found, _) = found.into_inner().map_err(|_| "a thread has panicked")?;
    match found.failure {
        Some(failure) => Err(failure.to_string()),
        None => say(&format!(
            "seed {}: {} in {:.1?}; nothing acknowledged was lost, nothing invented",
            options.seed,
            found.tally,
            clock::now() - began
        )),
    }
}

fn damage() -> Result<(), String> {
    for syncs in [Syncs::Always, Syncs::Interval, Syncs::Never] {
        let left = Left::AtRest(syncs);
        let log = Stored::new(Plan {
            before_snapshot: 0,
            after_snapshot: DAMAGED_BYTES,
            segment_bytes: DAMAGED_BYTES as u64 / 3,
            left,
        })?;
        let outcome = log.turn_bits("log-", 1)?;
        say(&format!(
            "{left:?}, bits of the log: {} tried, {} refused, {} opened with every record",
            outcome.cases,
            outcome.cases - outcome.opened,
            outcome.opened
        ))?;
    }
    for left in [Left::Closed, Left::Crashed] {
        let log = Plan {
            before_snapshot: 0,
            after_snapshot: DAMAGED_BYTES,
            segment_bytes: DAMAGED_BYTES as u64 / 3,
            left,
        };
        let snapshot = Plan {
            before_snapshot: DAMAGED_BYTES,
            after_snapshot: 1_000,
            ..log
        };
        let tell = |what: &str, outcome: Outcome| {
            say(&format!(
                "{left:?}, {what}: {} tried, {} refused, {} opened with a right answer",
                outcome.cases,
                outcome.cases - outcome.opened,
                outcome.opened
            ))
        };
        let log = Stored::new(log)?;
        tell("bits of the log", log.turn_bits("log-", 1)?)?;
        tell("lengths of the log", log.cut_files(1)?)?;
        let snapshot = Stored::new(snapshot)?;
        tell("bits of the snapshot", snapshot.turn_bits("snapshot-", 1)?)?;
        tell("bits of the manifest", snapshot.turn_bits("manifest", 1)?)?;
        tell("lengths of all files", snapshot.cut_files(1)?)?;
    }
    Ok(())
}
