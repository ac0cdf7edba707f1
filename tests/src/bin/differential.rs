//! The differential test: generated requests to Redis and to Shardkeep, every reply compared.
//!
//! `cargo run --release -p shardkeep-tests --bin differential -- --commands 100000 --seed 1`
//!
//! Needs a Redis 7.0 server. Ends with 1 when a difference is not explained.

use std::env;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use shardkeep_tests::clock;
use shardkeep_tests::differential::{Counts, EXPLAINED, PASSWORD, Pair, episode, shrink};
use shardkeep_tests::harness::{Launch, Scratch, ServerProcess};

/// Commands of one episode: long enough to meet its own results, short enough to shrink.
const EPISODE_COMMANDS: usize = 400;

/// Longest wait for one answer. Nothing that is generated takes a millisecond.
const ANSWER: Duration = Duration::from_secs(5);

/// Compares Shardkeep with Redis.
#[derive(Parser)]
struct Options {
    /// Commands to send, about.
    #[arg(long, default_value_t = 100_000)]
    commands: u64,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Play this one episode only.
    #[arg(long)]
    episode: Option<u64>,
    /// The Redis server.
    #[arg(long, default_value = "redis-server")]
    redis: PathBuf,
    /// The server to compare with it; by default the one built into this program.
    #[arg(long)]
    shardkeep: Option<PathBuf>,
    /// A flag for Shardkeep, such as `--flag=--shards=1`; may be repeated.
    #[arg(long = "flag", allow_hyphen_values = true)]
    flags: Vec<String>,
    /// Both servers ask for a password.
    #[arg(long)]
    guarded: bool,
    /// No command as an inline line.
    #[arg(long)]
    no_lines: bool,
    /// Different failures to show before giving up.
    #[arg(long, default_value_t = 10)]
    failures: usize,
}

fn main() -> ExitCode {
    // Started again by itself, this program is the server: so one build has both.
    if env::args().nth(1).is_some_and(|command| command == "serve") {
        return shardkeep_server::cli::main();
    }
    let options = Options::parse();
    match run(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(io::stderr(), "differential: {error}"));
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> io::Result<usize> {
    let mut out = io::stdout();
    let program = match &options.shardkeep {
        Some(program) => program.clone(),
        None => env::current_exe()?,
    };
    let scratch = Scratch::new()?;
    let password_file = scratch.file("password", PASSWORD)?;
    let guard = |launch| match launch {
        _ if !options.guarded => vec![],
        Launch::Redis => vec!["--requirepass", PASSWORD],
        // Answers are compared, and Redis holds none back.
        Launch::Shardkeep => vec!["--password-file", &password_file, "--login-delay", "0"],
    };
    let launch = Launch::of(&program);
    let mut flags = guard(launch);
    flags.extend(options.flags.iter().map(String::as_str));
    let redis = ServerProcess::start(&options.redis, Launch::Redis, &guard(Launch::Redis))?;
    let ours = ServerProcess::start(&program, launch, &flags)?;
    let mut pair = Pair::new(redis.address(), ours.address(), ANSWER).guarded(options.guarded);
    let (mut counts, mut found) = (Counts::default(), Vec::<String>::new());
    let (began, mut number) = (clock::now(), options.episode.unwrap_or(0));
    let mut failing = 0_u64;
    while counts.commands < options.commands && found.len() < options.failures {
        let mut played = episode(options.seed, number, EPISODE_COMMANDS, options.guarded);
        if options.no_lines {
            played = played.without_lines();
        }
        if let Some(failure) = pair.play(&played, &mut counts)? {
            failing += 1;
            if !found.contains(&failure.signature) {
                found.push(failure.signature.clone());
                let (least, failure) = shrink(&pair, &played, &failure)?;
                let (seed, index) = (options.seed, found.len());
                writeln!(
                    out,
                    "DIFFERENT {index} (--seed {seed} --episode {number})\n{failure}  after\n{least}"
                )?;
            }
        }
        if options.episode.is_some() {
            break;
        }
        number += 1;
    }
    let Counts {
        commands,
        errors,
        explained,
        ended,
    } = counts;
    writeln!(out, "explained differences:")?;
    for (row, count) in EXPLAINED.iter().zip(explained) {
        writeln!(out, "{count:>8}  {}: {}", row.name, row.why)?;
    }
    writeln!(
        out,
        "seed {}: {commands} commands in {:.1?}, {errors} answered by errors, {ended} connections ended, \
         {failing} episodes failed, {} kinds of unexplained difference",
        options.seed,
        clock::now() - began,
        found.len()
    )?;
    Ok(found.len())
}
