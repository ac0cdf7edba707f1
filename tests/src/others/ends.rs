//! Threads that a server does not live without: how long it outlives them.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::load::median;
use crate::clock::{self, PATIENCE};
use crate::harness::{Client, ServerProcess};
use crate::planting::FAIL_POINTS;

/// Longest that a server may be half alive.
const HALF_ALIVE_MAX: Duration = Duration::from_secs(1);

/// Where each of them panics.
const PLACES: [&str; 3] = ["acceptor.tick", "watchdog.look", "root.wait"];

/// Lets each of them panic `rounds` times; says whether the server had ended a second later.
pub(super) fn run(program: &Path, rounds: u32) -> io::Result<bool> {
    let (mut out, mut is_good) = (io::stdout(), true);
    writeln!(
        out,
        "\n| panic at | the server ends after | min..max | within a second |\n|---|---|---|---|"
    )?;
    for place in PLACES {
        let took: io::Result<Vec<Duration>> =
            (0..rounds).map(|_| outlived(program, place)).collect();
        let took = took?;
        let longest = took.iter().max().copied().unwrap_or_default();
        let shortest = took.iter().min().copied().unwrap_or_default();
        is_good &= longest <= HALF_ALIVE_MAX;
        let verdict = if longest <= HALF_ALIVE_MAX {
            "yes"
        } else {
            "NO"
        };
        writeln!(
            out,
            "| {place} | {:.0?} | {shortest:.0?}..{longest:.0?} | {verdict} |",
            median(&took)
        )?;
    }
    Ok(is_good)
}

/// From the panic, or shortly before it, to the end of the process.
fn outlived(program: &Path, place: &str) -> io::Result<Duration> {
    // The root comes to its place once, before anybody can plant something there while it runs.
    let from_the_start = format!("{place}=panic");
    let plans = match place {
        "root.wait" => from_the_start.as_str(),
        _ => "",
    };
    let began = clock::now();
    let environment = [(FAIL_POINTS, plans), ("RUST_BACKTRACE", "0")];
    let flags = ["--stall-bound", "100ms"];
    let mut server = ServerProcess::shardkeep(program, &flags, &environment)?;
    let address = server.address();
    let began = match place {
        "root.wait" => began,
        _ => {
            let mut client = Client::connect(address)?;
            client.call(&["PING"])?;
            server.plant(&from_the_start)?;
            clock::now()
        }
    };
    // Wakes the acceptor.
    drop(Client::connect(address));
    let status = server.wait(PATIENCE)?;
    if status.success() {
        return Err(io::Error::other(format!("{place}: it ended with {status}")));
    }
    Ok(clock::now() - began)
}
