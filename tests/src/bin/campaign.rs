//! Faults of the machine under a running server, one scenario after the other. Linux, as root.
//!
//! `cargo build --release -p shardkeep-tests --bin campaign`
//! `target/release/campaign --seed 1 [SCENARIO ...]`
//!
//! Ends with 1 at the first thing that must not happen, and leaves no process, mount or loop device behind.

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use shardkeep_tests::campaign::{SCENARIOS, Setting, contain};
use shardkeep_tests::clock;

/// Lets the power go, the disk fill, fail and hang under a running server.
#[derive(Parser)]
struct Options {
    /// What to play; everything by default. `list` names them all.
    scenarios: Vec<String>,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Power cuts for `always`, and as many for `interval`.
    #[arg(long, default_value_t = 50)]
    cuts: u64,
    /// How long a sync hangs, in seconds.
    #[arg(long, default_value_t = 30)]
    stuck_seconds: u64,
}

fn main() -> ExitCode {
    shardkeep_tests::standalone::main("campaign", || run(&Options::parse()))
}

fn run(options: &Options) -> io::Result<()> {
    let mut out = io::stdout();
    if options.scenarios.iter().any(|name| name == "list") {
        for (name, about, _) in SCENARIOS {
            writeln!(out, "{name:<12}{about}")?;
        }
        return Ok(());
    }
    let is_known = |name: &String| SCENARIOS.iter().any(|(known, ..)| known == name);
    if let Some(name) = options.scenarios.iter().find(|name| !is_known(name)) {
        return Err(io::Error::other(format!(
            "no scenario {name:?}; see `list`"
        )));
    }
    contain()?;
    let setting = Setting {
        program: env::current_exe()?,
        seed: options.seed,
        cuts: options.cuts,
        stuck_seconds: options.stuck_seconds,
    };
    for (name, about, play) in SCENARIOS {
        if !options.scenarios.is_empty() && !options.scenarios.iter().any(|it| it == name) {
            continue;
        }
        let began = clock::now();
        writeln!(out, "{name} (seed {}): {about}", options.seed)?;
        play(&setting).map_err(|error| io::Error::other(format!("{name}: {error}")))?;
        writeln!(out, "{name}: passed in {:.1?}", clock::now() - began)?;
    }
    Ok(())
}
