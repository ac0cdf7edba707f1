//! One shard stands still in the hands of its owner thread while the load goes on.
//!
//! The first key with an expiry makes its shard's owner look after the shard; there a server with fail
//! points stands still with it, once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::load::{capacity, offered};
use super::outcome::{Bar, During, GOODPUT_LEAST, Line, MEMORY_MOST, Step};
use super::shards::{Parted, part};
use super::{DEADLINE, Overload, Run};
use crate::server::Server;
use crate::wire::flood::{Flood, Group, Poured, STRETCH, Tally, pour};
use crate::wire::tape::Tape;

/// Where the owner stands still.
const PLACE: &str = "owner.tend";
/// What the shard is asked, to see whether it stands still, and how long it may take to begin.
const PROBE_PATIENCE_MS: u64 = 100;
const BEGIN_MAX: Duration = Duration::from_secs(5);
const SECOND: usize = 1_000 / STRETCH.as_millis() as usize;

/// Which connections ask the shard that stands still.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// One, for nothing else.
    Apart,
    /// All, among other things.
    Mixed,
}

/// How often [`run`] measures: what the server can do, and then with a shard that stands still.
pub(super) fn steps(asked: &Overload, rounds: u32) -> u64 {
    2 * [Spread::Apart, Spread::Mixed].len() as u64
        * asked.patiences().len() as u64
        * u64::from(rounds)
}

/// Runs every way in which clients may meet a shard that stands still.
pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    let mut lines = Vec::new();
    for spread in [Spread::Apart, Spread::Mixed] {
        for patience in run.asked.patiences() {
            let mut of = Vec::new();
            for round in 0..run.rounds {
                stand_still(run, spread, patience, round, &mut of)?;
            }
            judge(run, &of, patience.unwrap_or(DEADLINE).as_secs_f64());
            lines.append(&mut of);
        }
    }
    run.progress.show(&super::outcome::table(&lines))?;
    run.lines.append(&mut lines);
    Ok(())
}

/// One server, which stands still once.
fn stand_still(
    run: &Run<'_>,
    spread: Spread,
    patience: Option<Duration>,
    round: u32,
    lines: &mut Vec<Line>,
) -> Result<()> {
    let stall = Duration::from_secs_f64(run.asked.stall);
    let plan = format!("{PLACE}=stall:{}", stall.as_millis());
    let server = run.asked.start(&[], &[("FAIL_POINTS", plan)])?;
    let script = run.asked.script();
    let all = Tape::new(&script, script.length());
    let capacity = capacity(run, &server, &all, round)?;
    let rate = capacity * run.asked.stall_load;
    let parted = part(server.address())?;
    let inside = Tape::among(&script, script.length(), &parted.inside);
    let outside = Tape::among(&script, script.length(), &parted.outside);
    let connections = run.asked.connections;
    let group = |tape, connections, rate| Group {
        tape,
        connections,
        offered: offered(rate),
    };
    let of_one = rate / connections as f64;
    let groups = match spread {
        Spread::Apart => vec![
            group(&outside, connections - 1, rate - of_one),
            group(&inside, 1, of_one),
        ],
        Spread::Mixed => vec![group(&all, connections, rate)],
    };
    run.progress.say("one shard stands still");
    let flood = Flood {
        groups,
        threads: run.asked.threads(),
        warm_up: Duration::from_secs(1) + run.warm_up,
        window: stall,
        patience,
        send_buffer: run.asked.send_buffer,
        seed: run.asked.common.seed.wrapping_add(u64::from(round)),
    };
    let poured = pour(&flood, server.address(), server.pid(), || {
        begin(server.address(), &parted)
    })?;
    run.progress.step();
    ensure_alive(&server)?;
    keep(run, spread, patience, (&flood, poured), capacity, lines)
}

/// Makes the shard stand still, and sees that it does.
fn begin(address: SocketAddr, parted: &Parted) -> Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(address).context("connect")?);
    stream.get_ref().set_read_timeout(Some(2 * DEADLINE))?;
    stream.get_ref().set_nodelay(true)?;
    let key = parted.inside[0];
    let mut say = |words: String| -> Result<String> {
        stream.get_mut().write_all(words.as_bytes())?;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        Ok(line)
    };
    say(format!("CLIENT DEADLINE {PROBE_PATIENCE_MS}\r\n"))?;
    say(format!("PEXPIRE key:{key:010} 3600000\r\n"))?;
    let until = crate::clock::now() + BEGIN_MAX;
    while crate::clock::now() < until {
        let answer = say(format!("TTL key:{key:010}\r\n"))?;
        if answer.starts_with("-THROTTLED ") {
            return Ok(());
        }
    }
    anyhow::bail!(
        "no shard stands still: the server must be one with fail points (place {PLACE}), named by \
         --shardkeep"
    )
}

fn ensure_alive(server: &Server) -> Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(server.address()).context("connect")?);
    stream.get_ref().set_read_timeout(Some(2 * DEADLINE))?;
    stream.get_mut().write_all(b"PING\r\n")?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    ensure!(line == "+PONG\r\n", "PING was answered by {line:?}");
    Ok(())
}

fn keep(
    run: &Run<'_>,
    spread: Spread,
    patience: Option<Duration>,
    (flood, poured): (&Flood<'_>, Poured),
    capacity: f64,
    lines: &mut Vec<Line>,
) -> Result<()> {
    let names: &[&'static str] = match spread {
        Spread::Apart => &["apart, others", "apart, of that shard"],
        Spread::Mixed => &["mixed"],
    };
    for (at, (&name, tally)) in names.iter().zip(&poured.tallies).enumerate() {
        let during = during(tally, flood);
        let mut sum = Tally::new()?;
        sum.add(tally);
        if lines.len() <= at {
            lines.push(Line::stall(name, patience, run.asked.stall_load)?);
        }
        lines[at].add(Step::part(
            &poured,
            sum,
            capacity,
            flood.window,
            Some(during),
        ));
    }
    Ok(())
}

/// The last second before, the first with the shard standing still, and the others.
fn during(tally: &Tally, flood: &Flood<'_>) -> During {
    let from = (flood.warm_up.as_nanos() / STRETCH.as_nanos()) as usize;
    let until = ((flood.warm_up + flood.window).as_nanos() / STRETCH.as_nanos()) as usize;
    let mean = |range: std::ops::Range<usize>| {
        let stretches = range.len().max(1) as f64;
        let served: u64 = range
            .map(|at| tally.course.get(at).copied().unwrap_or(0))
            .sum();
        served as f64 / stretches / STRETCH.as_secs_f64()
    };
    During {
        before: mean(from - SECOND..from),
        first_second: mean(from..from + SECOND),
        later: mean(from + SECOND..until.max(from + SECOND)),
    }
}

fn judge(run: &mut Run<'_>, lines: &[Line], deadline: f64) {
    let Some(line) = lines.first() else { return };
    let name = line.name();
    run.bars.extend([
        Bar::at_least(
            format!("{name}: goodput of that before, after the first second"),
            GOODPUT_LEAST,
            line.of_before().1,
        ),
        Bar::at_most(
            format!("{name}: p99 of what is served, s"),
            deadline,
            line.p99_s(),
        ),
        Bar::at_most(
            format!("{name}: memory of that before"),
            MEMORY_MOST,
            line.resident_highest() / line.resident_before(),
        ),
    ]);
}
