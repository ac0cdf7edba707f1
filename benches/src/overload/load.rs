//! More than the server can do, step by step.

use std::time::Duration;

use anyhow::Result;

use super::outcome::{Bar, GOODPUT_LEAST, Line, MEMORY_MOST, Step};
use super::{DEADLINE, Overload, Run};
use crate::progress::Progress;
use crate::server::Server;
use crate::wire::arrivals::{Offered, RATE_MAX, Spacing};
use crate::wire::flood::{Flood, Group, pour};
use crate::wire::generator::{self, CHECK_EVERY, Load, Pace};
use crate::wire::tape::Tape;

/// How often [`run`] measures.
pub(super) fn steps(asked: &Overload, rounds: u32) -> u64 {
    let of_round = 1 + asked.factors().len() as u64;
    kinds(asked).len() as u64 * u64::from(rounds) * of_round
}

/// What servers do when they are full, and what clients say of their patience.
fn kinds(asked: &Overload) -> Vec<(&'static str, Option<Duration>)> {
    let mut kinds = Vec::new();
    for patience in asked.patiences() {
        kinds.push(("block", patience));
        if patience.is_none() && !asked.bars {
            kinds.push(("reject", None));
        }
    }
    kinds
}

/// Runs every step for every kind of server and client.
pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    let script = run.asked.script();
    let tape = Tape::new(&script, script.length());
    for (overload, patience) in kinds(run.asked) {
        let server = run.asked.start(&["--overload", overload], &[])?;
        let factors = run.asked.factors();
        let mut lines: Vec<Line> = Vec::new();
        for round in 0..run.rounds {
            let capacity = capacity(run, &server, &tape, round)?;
            for (at, &factor) in factors.iter().enumerate() {
                let who = patience
                    .map_or_else(|| overload.to_owned(), |it| format!("{overload}, {it:?}"));
                run.progress
                    .say(&format!("{who}: {factor} x {:.0} k/s", capacity / 1e3));
                let flood = Flood {
                    groups: vec![Group {
                        tape: &tape,
                        connections: run.asked.connections,
                        offered: offered(capacity * factor),
                    }],
                    threads: run.asked.threads(),
                    warm_up: run.warm_up,
                    window: run.window,
                    patience,
                    send_buffer: run.asked.send_buffer,
                    seed: run.asked.common.seed.wrapping_add(u64::from(round)),
                };
                let poured = pour(&flood, server.address(), server.pid(), || Ok(()))?;
                run.progress.step();
                if lines.len() <= at {
                    lines.push(Line::load(overload, patience, factor)?);
                }
                lines[at].add(Step::of(&poured, capacity, run.window)?);
            }
        }
        show(run.progress, &lines)?;
        judge(run, &lines, patience.unwrap_or(DEADLINE).as_secs_f64());
        run.lines.append(&mut lines);
    }
    Ok(())
}

fn show(progress: &Progress, lines: &[Line]) -> Result<()> {
    Ok(progress.show(&super::outcome::table(lines))?)
}

/// What is asked of twice the capacity, and more.
fn judge(run: &mut Run<'_>, lines: &[Line], deadline: f64) {
    for line in lines.iter().filter(|line| line.factor() >= 2.0) {
        let name = line.name();
        run.bars.extend([
            Bar::at_least(
                format!("{name}: goodput of capacity"),
                GOODPUT_LEAST,
                line.of_capacity(),
            ),
            Bar::at_most(
                format!("{name}: p99 of what is served, s"),
                deadline,
                line.p99_s(),
            ),
            Bar::at_most(
                format!("{name}: memory of that when the window began"),
                MEMORY_MOST,
                line.resident_highest() / line.resident_before(),
            ),
        ]);
    }
}

/// Operations per second in a closed loop that keeps the server busy.
pub(super) fn capacity(run: &Run<'_>, server: &Server, tape: &Tape, round: u32) -> Result<f64> {
    run.progress.say("what it can do");
    let load = Load {
        tape,
        check_every: Some(CHECK_EVERY),
        connections: run.asked.connections,
        pipeline: run.asked.pipeline,
        threads: run.asked.threads(),
        warm_up: run.warm_up,
        window: run.window,
        seed: run.asked.common.seed.wrapping_add(u64::from(round)),
        pace: Pace::Closed,
    };
    let window = generator::run(load, server.address(), server.pid())?;
    run.progress.step();
    Ok(window.ops as f64 / window.elapsed.as_secs_f64())
}

/// A constant rate.
pub(super) fn offered(rate: f64) -> Offered {
    Offered {
        rate: (rate as u64).clamp(1, RATE_MAX),
        spacing: Spacing::Constant,
    }
}
