//! Kill cycles: a server under eight writing clients is killed and started again, many times.
//!
//! `cargo run --release -p shardkeep-tests --bin kill-cycles -- --cycles 300 --sync always --seed 1`
//!
//! Ends with 1 when something acknowledged is missing, or something is there that nobody sent.

use std::env;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use shardkeep_tests::clock;
use shardkeep_tests::killing::{Campaign, Promise};

/// How often the sum is shown, in cycles.
const SHOWN_EVERY: u64 = 25;

#[derive(Clone, Copy, ValueEnum)]
enum Sync {
    Always,
    Interval,
    Never,
}

/// Kills a server under load and looks what it still knows.
#[derive(Parser)]
struct Options {
    /// Kills.
    #[arg(long, default_value_t = 300)]
    cycles: u64,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The promise.
    #[arg(long, value_enum, default_value = "always")]
    sync: Sync,
    /// Without `always`: what may be missing, in milliseconds before the kill. The promise is the write
    /// window and what the disk takes for a write.
    #[arg(long, default_value_t = 250)]
    unwritten_ms: u64,
    /// The server; by default the one built into this program.
    #[arg(long)]
    shardkeep: Option<PathBuf>,
}

fn main() -> ExitCode {
    shardkeep_tests::standalone::main("kill-cycles", || run(&Options::parse()))
}

fn run(options: &Options) -> io::Result<()> {
    let program = match &options.shardkeep {
        Some(program) => program.clone(),
        None => env::current_exe()?,
    };
    let promise = match options.sync {
        Sync::Always => Promise::Always,
        Sync::Interval => Promise::Interval,
        Sync::Never => Promise::Never,
    };
    let unwritten = Duration::from_millis(options.unwritten_ms);
    let mut campaign = Campaign::new(&program, promise, unwritten, options.seed)?;
    let began = clock::now();
    for cycle in 1..=options.cycles {
        campaign.cycle()?;
        if cycle % SHOWN_EVERY == 0 || cycle == options.cycles {
            let seen = campaign.seen();
            writeln!(
                io::stdout(),
                "sync {} seed {}: {} kills in {:.1?}, {} changes acknowledged, {} of them missing as \
                 promised (from {:.1?} before the kill at most), {} there without acknowledgement",
                promise.word(),
                options.seed,
                seen.cycles,
                clock::now() - began,
                seen.tally.acked,
                seen.tally.missing,
                seen.missed_at_most,
                seen.tally.unacked
            )?;
        }
    }
    Ok(())
}
