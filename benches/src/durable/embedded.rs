//! `durable embedded`: threads of one process, each write on the disk when it returns.
//!
//! 1. A thread has keys of its own and counts its writes of each: after the last round every store is
//!    opened again, and must have exactly the last value of every key.
//! 2. Only writes that began inside the window count, and all of them are timed.

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use super::engines::{DurableMap, Engine, VALUE_BYTES, Value};
use super::outcome::{Bar, Case, Figure, Line, Part, Round};
use super::scratch;
use super::{Found, Run};
use crate::random::Random;
use crate::server::process::CpuTime;
use crate::{clock, figures, threads};

/// Threads of the two points.
pub(super) const THREADS: [usize; 2] = [1, 8];
/// Keys of each thread.
const KEYS_EACH: u64 = 10_000;
/// Share of a round before it that is not counted.
const WARM_UP: u32 = 4;

/// What is asked at each point, of the best of the others.
const ASKED: [f64; 2] = [1.0, 2.0];

/// An engine at one point.
struct Entrant {
    engine: Engine,
    directory: scratch::Part,
    map: Box<dyn DurableMap>,
    /// Writes of each key, by thread.
    written: Vec<Vec<u64>>,
    line: Line,
}

/// The points, and what they came to.
pub(super) fn run(run: &Run<'_>, found: &mut Found) -> Result<()> {
    for (threads, asked) in THREADS.into_iter().zip(ASKED) {
        let mut entrants = Vec::new();
        for engine in Engine::ALL {
            entrants.push(Entrant::open(run, engine, threads)?);
        }
        for round in 0..=run.pace.rounds {
            for entrant in &mut entrants {
                let name = entrant.engine.label();
                run.begin(&format!(
                    "embedded, threads: {threads}, round {round}, {name}"
                ))?;
                entrant.round(run, round)?;
                run.progress.step();
            }
        }
        let mut lines = Vec::new();
        for entrant in entrants {
            lines.push(entrant.end()?);
        }
        bars(&lines, threads, asked, found);
        run.keep(lines, found)?;
    }
    Ok(())
}

fn bars(lines: &[Line], threads: usize, asked: f64, found: &mut Found) {
    let of = |engines: &[Engine]| -> Vec<&Line> {
        let among = |line: &&Line| engines.iter().any(|one| one.label() == line.case.who);
        lines.iter().filter(among).collect()
    };
    let usual = of(&[Engine::Redb, Engine::Fjall]);
    let grouped = of(&[Engine::RedbGrouped, Engine::FjallGrouped]);
    let ours = of(&[Engine::Shardkeep]);
    for (against, others, asked) in [
        ("the best of redb, fjall", usual, Some(asked)),
        ("the best, grouped by hand", grouped, None),
    ] {
        let what = format!("embedded, threads: {threads}");
        let bar = |ours| Bar::of(what, Figure::OpsPerS, ours, against, &others, asked);
        found.bars.extend(ours.first().copied().and_then(bar));
    }
}

impl Entrant {
    fn open(run: &Run<'_>, engine: Engine, threads: usize) -> Result<Self> {
        let directory = run
            .scratch
            .directory(&format!("{}-{threads}", engine.label()))?;
        let map = open(engine, directory.path())?;
        Ok(Self {
            engine,
            directory,
            map,
            written: vec![vec![0; KEYS_EACH as usize]; threads],
            line: Line::new(Case {
                part: Part::Embedded,
                who: engine.label(),
                version: String::new(),
                what: "always".to_owned(),
                clients: threads,
                pipeline: 1,
                window_us: None,
                entries: KEYS_EACH * threads as u64,
                value_bytes: VALUE_BYTES,
            })?,
        })
    }

    /// One round; number 0 is the warm-up.
    fn round(&mut self, run: &Run<'_>, round: u32) -> Result<()> {
        let length = if round == 0 {
            run.pace.burst / WARM_UP
        } else {
            run.pace.burst
        };
        let cpu = CpuTime::of(std::process::id())?;
        let begun = clock::now();
        let end = begun + length;
        let seed = run.seed.wrapping_add(u64::from(round));
        let map = &*self.map;
        let seen: Vec<Result<Histogram<u64>>> = std::thread::scope(|scope| {
            let mut started = Vec::new();
            for (thread, written) in self.written.iter_mut().enumerate() {
                let name = format!("writer-{thread}");
                let body = move || write(map, thread as u64, written, seed, end);
                started.push(threads::spawn_scoped(scope, &name, body)?);
            }
            let ended = started.into_iter().map(|thread| threads::join(thread)?);
            anyhow::Ok(ended.collect())
        })?;
        let mut latencies = figures::latency_histogram()?;
        for one in seen {
            latencies += one.with_context(|| self.engine.label())?;
        }
        let seconds = (clock::now() - begun).as_secs_f64();
        let cpu = CpuTime::of(std::process::id())? - cpu;
        if round > 0 {
            let round = Round::of(latencies.len(), seconds, cpu, &latencies);
            self.line.add(round, Some(latencies), 0);
        }
        Ok(())
    }

    /// Opens the store again and compares everything.
    fn end(mut self) -> Result<Line> {
        drop(self.map);
        let map = open(self.engine, self.directory.path())?;
        for (thread, written) in self.written.iter().enumerate() {
            for (index, &count) in written.iter().enumerate() {
                let key = key_of(thread as u64, index as u64);
                let expected = (count > 0).then(|| value_of(key, count));
                self.line.wrong += u64::from(map.get(key)? != expected);
            }
        }
        Ok(self.line)
    }
}

fn open(engine: Engine, directory: &std::path::Path) -> Result<Box<dyn DurableMap>> {
    engine
        .open(directory)
        .with_context(|| format!("open {}", engine.label()))
}

const fn key_of(thread: u64, index: u64) -> u64 {
    thread * KEYS_EACH + index
}

/// The value of the `count`th write of a key.
fn value_of(key: u64, count: u64) -> Value {
    let mut value = [b'v'; VALUE_BYTES];
    value[..8].copy_from_slice(&key.to_le_bytes());
    value[8..16].copy_from_slice(&count.to_le_bytes());
    value
}

/// Writes until `end`; a write that has begun is finished.
fn write(
    map: &dyn DurableMap,
    thread: u64,
    written: &mut [u64],
    seed: u64,
    end: std::time::Instant,
) -> Result<Histogram<u64>> {
    let mut random = Random::stream(seed, thread);
    let mut latencies = figures::latency_histogram()?;
    let mut now = clock::now();
    while now < end {
        let index = random.below(KEYS_EACH);
        let count = &mut written[index as usize];
        *count += 1;
        let key = key_of(thread, index);
        let begun = now;
        map.put(key, &value_of(key, *count))?;
        now = clock::now();
        figures::record(&mut latencies, now - begun, 1);
    }
    Ok(latencies)
}
