//! `durable recovery`: how long after its start a server answers with what it had.
//!
//! 1. Counted from before the process is started to the first value that a GET brings; until then it is
//!    asked every [`ASK_AGAIN`], whether it refuses connections or answers that it is loading.
//! 2. Both servers have just written the files, so both read them from the page cache.
//! 3. After each start some values are compared, and all keys are counted.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::client::{Client, Reply};
use super::outcome::{Case, Figure, Line, Part, Round};
use super::servers::{Kept, against_redis, capacity, wording};
use super::{Found, Run, scratch, snapshot};
use crate::clock;
use crate::server::process::resident_bytes;
use crate::server::{Keep, Promise, Server, ServerName};
use crate::wire::load;
use crate::wire::protocol::{KEY_BYTES, VALUE_BYTES_USUAL};

/// How soon a server that does not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(2);
/// Longest recovery.
const RECOVERY_MAX: Duration = Duration::from_secs(120);
/// Of so many keys one is compared.
const CHECK_EVERY: usize = 997;
/// Writes of each key in the log: the second makes the first superfluous, as in any log.
const WRITES_EACH: u64 = 2;
/// Asked of the time, against redis.
const ASKED: f64 = 0.5;
const MB: f64 = 1e6;

/// What is read.
#[derive(Clone, Copy, Debug)]
enum Source {
    Snapshot,
    Log,
}

impl Source {
    const fn label(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Log => "log",
        }
    }

    const fn promise(self) -> Promise {
        match self {
            Self::Snapshot => Promise::Snapshots,
            Self::Log => Promise::Interval,
        }
    }

    const fn value_bytes(self) -> usize {
        match self {
            Self::Snapshot => snapshot::VALUE_BYTES,
            Self::Log => VALUE_BYTES_USUAL,
        }
    }

    /// Keys, and how often each was written.
    const fn entries(self, run: &Run<'_>) -> (u64, u64) {
        match self {
            Self::Snapshot => (run.pace.recovery_keys, 1),
            Self::Log => (run.pace.recovery_records / WRITES_EACH, WRITES_EACH),
        }
    }
}

/// A server that has been stopped, and what it left.
struct Stopped {
    name: ServerName,
    keep: Keep,
    _directory: scratch::Part,
}

/// `durable recovery`.
pub(super) fn run(run: &Run<'_>, found: &mut Found) -> Result<()> {
    for source in [Source::Snapshot, Source::Log] {
        let mut stopped = Vec::new();
        let mut lines = Vec::new();
        for &name in run.servers {
            let (one, version) = prepare(run, source, name)?;
            let (keys, writes) = source.entries(run);
            lines.push(Line::new(Case {
                part: Part::Recovery,
                who: name.label(),
                version,
                what: source.label().to_owned(),
                clients: 1,
                pipeline: 1,
                window_us: None,
                entries: keys * writes,
                value_bytes: source.value_bytes(),
            })?);
            stopped.push(one);
            run.progress.step();
        }
        for round in 1..=run.pace.rounds {
            for (one, line) in stopped.iter().zip(&mut lines) {
                let name = one.name.label();
                let what = source.label();
                run.begin(&format!("recovery from a {what}: round {round}, {name}"))?;
                let (figures, wrong) = recover(run, source, one).with_context(|| name)?;
                line.add(figures, None, wrong);
                run.progress.step();
            }
        }
        found
            .bars
            .extend(against_redis(&lines, Figure::Seconds, ASKED));
        run.keep(lines, found)?;
    }
    Ok(())
}

/// Fills a server, has it write what is to be read, and stops it.
fn prepare(run: &Run<'_>, source: Source, name: ServerName) -> Result<(Stopped, String)> {
    let (keys, writes) = source.entries(run);
    run.begin(&format!("load {} for its {}", name.label(), source.label()))?;
    let kept = Kept::start(run, name, source.promise(), None, keys)?;
    for _ in 0..writes {
        load::load(kept.server.address(), wording(source.value_bytes()), keys)?;
    }
    match source {
        Source::Snapshot => {
            Client::connect(kept.server.address())?.order(&["SAVE"])?;
        }
        Source::Log => {}
    }
    let version = kept.server.version().to_owned();
    let (keep, directory) = kept.stop();
    let stopped = Stopped {
        name,
        keep,
        _directory: directory,
    };
    Ok((stopped, version))
}

/// Starts it once; the time, and what is missing.
fn recover(run: &Run<'_>, source: Source, stopped: &Stopped) -> Result<(Round, u64)> {
    let (keys, _writes) = source.entries(run);
    let begun = clock::now();
    let server = run
        .launch
        .spawn(stopped.name, capacity(keys), Some(&stopped.keep))?;
    let answered = first_answer(&server, begun, keys)?;
    let mut client = Client::connect(server.address())?;
    let size: u64 = client.order(&["DBSIZE"])?.parse()?;
    let wrong = client.count_wrong(keys, CHECK_EVERY, source.value_bytes())?;
    let round = Round {
        seconds: Some((answered - begun).as_secs_f64()),
        memory_mb: Some(resident_bytes(server.pid())? as f64 / MB),
        ..Round::default()
    };
    Ok((round, wrong + keys.abs_diff(size)))
}

/// When it first answered with the value of the last key.
fn first_answer(server: &Server, begun: Instant, keys: u64) -> Result<Instant> {
    let key = format!("key:{:010}", keys - 1);
    debug_assert_eq!(key.len(), KEY_BYTES, "keys have one length");
    let mut client = None;
    loop {
        if client.is_none() {
            // Refused as long as it does not listen.
            client = Client::connect(server.address()).ok();
        }
        if let Some(client) = &mut client {
            match client.ask(&["GET", &key])? {
                Reply::Text(_) => return Ok(clock::now()),
                Reply::Error(error) if error.starts_with("LOADING") => {}
                other @ (Reply::Error(_) | Reply::Line(_) | Reply::Absent) => {
                    bail!("GET was answered by {other:?}")
                }
            }
        }
        let now = clock::now();
        ensure!(now < begun + RECOVERY_MAX, "no answer for {RECOVERY_MAX:?}");
        clock::wait_until(now + ASK_AGAIN);
    }
}
