//! Drain cycles: a server under eight writing clients is told to stop by SIGTERM, many times.
//!
//! `cargo run --release -p shardkeep-tests --bin drain-cycles -- --cycles 200 --seed 1`
//!
//! Ends with 1 when a drain takes longer than 5 s or ends with another code than 0, when something
//! acknowledged is missing, or when something is there that was not answered.

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use shardkeep_tests::clock;
use shardkeep_tests::killing::{Campaign, End, Promise};

/// How often the sum is shown, in cycles.
const SHOWN_EVERY: u64 = 25;

/// Drains a server under load and looks what it knows.
#[derive(Parser)]
struct Options {
    /// Drains.
    #[arg(long, default_value_t = 200)]
    cycles: u64,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    shardkeep_tests::standalone::main("drain-cycles", || run(&Options::parse()))
}

fn run(options: &Options) -> io::Result<()> {
    let program = env::current_exe()?;
    let campaign = Campaign::new(&program, Promise::Always, Duration::ZERO, options.seed)?;
    let mut campaign = campaign.ended_by(End::Drained);
    let began = clock::now();
    for cycle in 1..=options.cycles {
        campaign.cycle()?;
        if cycle % SHOWN_EVERY == 0 || cycle == options.cycles {
            let seen = campaign.seen();
            let tally = seen.tally;
            writeln!(
                io::stdout(),
                "seed {}: {} drains in {:.1?}, the longest {:.3?}; {} changes acknowledged, {} of them \
                 missing, {} there unsaid; {} clients refused",
                options.seed,
                seen.cycles,
                clock::now() - began,
                seen.ended_in,
                tally.acked,
                tally.missing,
                tally.unacked,
                seen.refused
            )?;
        }
    }
    Ok(())
}
