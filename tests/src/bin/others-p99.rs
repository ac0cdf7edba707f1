//! The p99 of clients of other shards while something goes wrong: at most doubled?
//!
//! `cargo build --profile faults -p shardkeep-tests --bin others-p99`
//! `target/faults/others-p99 [FAULT ...]`
//!
//! Ends with 1 where it is more, so that whoever runs it on a quiet machine sees it.

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use shardkeep_tests::others::{GREEDY, Setting, greedy, run};

/// Measures what a fault costs those whom it does not concern.
#[derive(Parser)]
struct Options {
    /// What to play; everything by default.
    faults: Vec<String>,
    /// How often each is played.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long is measured before and after each, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    window_ms: u64,
    /// How much of the capacity the clients ask for, in percent.
    #[arg(long, default_value_t = 30)]
    load_percent: u32,
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    if let [_, command, address] = &args[..]
        && command == GREEDY
    {
        // Until it is killed.
        drop(greedy(address));
        return ExitCode::SUCCESS;
    }
    shardkeep_tests::standalone::main("others-p99", || {
        let options = Options::parse();
        let setting = Setting {
            rounds: options.rounds,
            window: Duration::from_millis(options.window_ms),
            load_percent: options.load_percent,
        };
        match run(&env::current_exe()?, &options.faults, &setting)? {
            true => Ok(()),
            false => Err(io::Error::other("not within its bounds: see the table")),
        }
    })
}
