//! What a fault costs those whom it does not concern: the p99 of clients of other shards, before it, while
//! it lasts and after it.
//!
//! Not a test: it measures, and whoever runs it judges. It needs fail points, so a build of the profile
//! `faults`.
//!
//! 1. Before, during and after are of one run, one after the other; a ratio is of one round.
//! 2. The load is open and well below what the machine can: a p99 at capacity says nothing.
//! 3. Clients whose own connection the fault has closed are not others; they are counted apart.

mod ends;
mod faults;
mod load;
mod scene;

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

pub use faults::{GREEDY, greedy};

use crate::clock;
use faults::{FAULTS, Fault};
use load::{Sample, median, p99};
use scene::Scene;

/// Most that the p99 of others may grow to, in times.
const RATIO_MAX: f64 = 2.0;

/// How long the capacity is measured.
const CAPACITY_TIME: Duration = Duration::from_secs(1);

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Setting {
    /// How often each fault is played.
    pub rounds: u32,
    /// How long before and after each are measured.
    pub window: Duration,
    /// How much of the capacity the clients ask for, in percent.
    pub load_percent: u32,
}

/// One round.
struct Round {
    before: Duration,
    during: Duration,
    after: Duration,
    cut: usize,
    failed: usize,
    samples: usize,
}

impl Round {
    fn ratio(&self) -> f64 {
        self.during.as_secs_f64() / self.before.as_secs_f64().max(1e-9)
    }
}

/// Plays the faults of these names, all of them if there are none, and prints a table; says whether in all
/// the p99 of others was at most doubled.
///
/// # Errors
/// A server that does not do what it must.
pub fn run(program: &Path, names: &[String], setting: &Setting) -> io::Result<bool> {
    let mut out = io::stdout();
    let is_known = |name: &&String| !FAULTS.iter().any(|fault| fault.name == **name);
    if let Some(name) = names.iter().find(is_known) {
        return Err(io::Error::other(format!("no fault {name:?}")));
    }
    let (mut rows, mut is_good) = (Vec::new(), true);
    for fault in &FAULTS {
        if !names.is_empty() && !names.iter().any(|name| name == fault.name) {
            continue;
        }
        writeln!(out, "{}: {}", fault.name, fault.about)?;
        let rounds = play(program, fault, setting)
            .map_err(|error| io::Error::other(format!("{}: {error}", fault.name)))?;
        is_good &= ratio(&rounds) <= RATIO_MAX;
        rows.push(row(fault.name, &rounds));
    }
    writeln!(
        out,
        "\n| fault | p99 before | during | after | ratio | min..max | of the quietest | requests in it | closed | errors | p99 at most doubled |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    )?;
    for row in rows {
        writeln!(out, "{row}")?;
    }
    if names.is_empty() {
        is_good &= ends::run(program, setting.rounds)?;
    }
    Ok(is_good)
}

/// The middle one of the rounds' `pick`.
fn middle(rounds: &[Round], pick: fn(&Round) -> Duration) -> Duration {
    median(&rounds.iter().map(pick).collect::<Vec<Duration>>())
}

/// What the p99 in the middle grows to, in times.
fn ratio(rounds: &[Round]) -> f64 {
    let before = middle(rounds, |round| round.before).as_secs_f64();
    middle(rounds, |round| round.during).as_secs_f64() / before.max(1e-9)
}

fn row(name: &str, rounds: &[Round]) -> String {
    let sum = |pick: fn(&Round) -> usize| rounds.iter().map(pick).sum::<usize>();
    let ratios = || rounds.iter().map(Round::ratio);
    let (least, most) = (
        ratios().fold(f64::INFINITY, f64::min),
        ratios().fold(0.0, f64::max),
    );
    // Noise only adds: the quietest windows show what there is besides.
    let quietest = |pick: fn(&Round) -> Duration| {
        let all = rounds.iter().map(pick);
        all.min().unwrap_or_default().as_secs_f64()
    };
    let of_quietest = quietest(|round| round.during) / quietest(|round| round.before).max(1e-9);
    let ratio = ratio(rounds);
    let verdict = if ratio <= RATIO_MAX { "yes" } else { "NO" };
    format!(
        "| {name} | {:.2?} | {:.2?} | {:.2?} | {ratio:.2} | {least:.2}..{most:.2} | {of_quietest:.2} | {} | {} | {} | {verdict} |",
        middle(rounds, |round| round.before),
        middle(rounds, |round| round.during),
        middle(rounds, |round| round.after),
        sum(|round| round.samples),
        sum(|round| round.cut),
        sum(|round| round.failed),
    )
}

fn play(program: &Path, fault: &Fault, setting: &Setting) -> io::Result<Vec<Round>> {
    let mut scene = Scene::new(program, fault.flags)?;
    let keys = scene.keys.clone();
    let capacity = load::capacity(&mut scene.others, &keys, CAPACITY_TIME)?;
    let rate = capacity * f64::from(setting.load_percent) / 100.0;
    let mut out = io::stdout();
    writeln!(
        out,
        "  {capacity:.0} requests a second at most; {rate:.0} are asked"
    )?;
    let mut rounds = Vec::new();
    for number in 1..=setting.rounds {
        let mut others = std::mem::take(&mut scene.others);
        let address = scene.server.address();
        let (times, seen) = load::steadily(&mut others, address, &keys, rate, || {
            clock::pass(setting.window);
            let began = clock::now();
            (fault.strike)(&mut scene)?;
            let ended = clock::now();
            clock::pass(setting.window);
            Ok((began, ended))
        })?;
        scene.others = others;
        let is_other = |at: usize| !(fault.spares_one_reactor && scene.beside_victim[at]);
        let others = seen.iter().enumerate().filter(|(at, _)| is_other(*at));
        let round = judged(others.flat_map(|(_, samples)| samples), times);
        writeln!(
            out,
            "  round {number}: p99 {:.2?}, in {:.2?} of it {:.2?}, then {:.2?}: {:.2} times",
            round.before,
            times.1 - times.0,
            round.during,
            round.after,
            round.ratio()
        )?;
        rounds.push(round);
    }
    Ok(rounds)
}

/// What the others have seen while it lasted, from `began` to `ended`.
fn judged<'a>(
    others: impl Iterator<Item = &'a Sample>,
    (began, ended): (Instant, Instant),
) -> Round {
    let all: Vec<&Sample> = others.collect();
    let within = |holds: &dyn Fn(Instant) -> bool| {
        let samples = all
            .iter()
            .filter(|it| !it.was_cut && !it.is_behind && holds(it.due));
        samples.map(|it| it.took).collect::<Vec<Duration>>()
    };
    let during = within(&|due| due >= began && due < ended);
    Round {
        before: p99(within(&|due| due < began)),
        samples: during.len(),
        during: p99(during),
        after: p99(within(&|due| due >= ended)),
        cut: all.iter().filter(|it| it.was_cut).count(),
        failed: all.iter().filter(|it| it.failed).count(),
    }
}
