//! Kill cycles: a server under writing clients is killed, started again, and asked what it still knows.
//! Drain cycles: the same, but it is told to stop.
//!
//! What a killed process has written stays in the page cache, so this tests everything but the syncs.
//!
//! 1. Nothing may be missing but what the mode allows ([`crate::writers`]).
//! 2. Each cycle goes on from what the one before it left.
//! 3. A server that drains (SIGTERM) loses nothing and does nothing unsaid: what is there is exactly what
//!    was answered; what was refused, or had no reply before the end, was not done.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::{self, PATIENCE};
use crate::harness::{Launch, Scratch, ServerProcess, Signal};
use crate::random::Random;
use crate::writers::{Crew, Met, Tally};

/// Shortest and longest time until the kill, in milliseconds.
const LIFE_MS: (usize, usize) = (20, 600);

/// The promise that is put to the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// `--sync always`.
    Always,
    /// `--sync interval`.
    Interval,
    /// `--sync never`.
    Never,
}

impl Promise {
    /// As the flag has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval => "interval",
            Self::Never => "never",
        }
    }
}

/// What was seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    /// Kills.
    pub cycles: u64,
    /// What became of the changes.
    pub tally: Tally,
    /// How long before its kill the earliest of the missing was acknowledged, at most.
    pub missed_at_most: Duration,
    /// Clients that were told that the server drains.
    pub refused: u64,
    /// Longest that a server took to end.
    pub ended_in: Duration,
}

/// How the server is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By SIGKILL.
    Killed,
    /// By SIGTERM: it must end with code 0 in time.
    Drained,
}

/// Longest that a drain may take.
const DRAIN_MAX: Duration = Duration::from_secs(5);

impl End {
    fn of(self, server: &mut ServerProcess) -> io::Result<()> {
        if self == Self::Killed {
            server.signal(Signal::KILL)?;
            server.wait(PATIENCE)?;
            return Ok(());
        }
        server.signal(Signal::TERM)?;
        let status = server.wait(DRAIN_MAX)?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "the drain ended with {status}: {:?}",
            server.output()
        )))
    }

    /// Whether a writer may stop for this.
    fn explains(self, met: &Met) -> bool {
        match met {
            Met::Gone => true,
            Met::Refused(why) => self == Self::Drained && why.starts_with("DRAINING "),
            Met::Lost(_) => false,
        }
    }
}

/// Servers that are killed.
#[derive(Debug)]
pub struct Campaign {
    program: PathBuf,
    scratch: Scratch,
    promise: Promise,
    end: End,
    /// Without `always`: what was acknowledged so shortly before the kill may be missing.
    unwritten: Duration,
    seed: u64,
    random: Random,
    crew: Crew,
    seen: Seen,
}

impl Campaign {
    /// One on a new directory. Without `always`, what was acknowledged `unwritten` before the kill or later
    /// may be missing: the server promises its write window, 500 us, and a busy machine needs more.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn new(
        program: &Path,
        promise: Promise,
        unwritten: Duration,
        seed: u64,
    ) -> io::Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            scratch: Scratch::new()?,
            promise,
            end: End::Killed,
            unwritten,
            seed,
            random: Random::new(seed),
            crew: Crew::new(seed),
            seen: Seen::default(),
        })
    }

    /// The same, with servers that are ended in another way.
    #[must_use]
    pub fn ended_by(self, end: End) -> Self {
        Self { end, ..self }
    }

    fn start(&mut self) -> io::Result<ServerProcess> {
        let dir = self.scratch.path().join("store");
        let dir = dir.to_string_lossy();
        // Another number of shards each time: the directory does not know it.
        let shards = self.random.one(&["1", "4", "64"]);
        let commit = self.random.one(&["auto", "thread"]);
        let mut flags = vec!["--dir", &dir, "--sync", self.promise.word()];
        flags.extend(["--shards", shards, "--deadline", "20s"]);
        if self.promise == Promise::Always {
            flags.extend(["--commit", commit]);
        }
        ServerProcess::start(&self.program, Launch::Shardkeep, &flags)
    }

    /// Starts the server, lets all writers write, ends it, starts it again and looks.
    ///
    /// # Errors
    /// What the server must not do, with the seed.
    pub fn cycle(&mut self) -> io::Result<()> {
        let cycle = self.seen.cycles;
        self.one_cycle().map_err(|error| {
            io::Error::other(format!(
                "--sync {} --seed {} cycle {cycle}: {error}",
                self.promise.word(),
                self.seed
            ))
        })
    }

    fn one_cycle(&mut self) -> io::Result<()> {
        let mut server = self.start()?;
        let life = self.random.between(LIFE_MS.0, LIFE_MS.1) as u64;
        let saves = self.random.percent(50);
        let end = self.end;
        let (ended_at, met) = self.crew.write(&mut server, |server| {
            clock::pass(Duration::from_millis(life / 2));
            if saves {
                server.client()?.call(&["BGSAVE"])?;
            }
            clock::pass(Duration::from_millis(life / 2));
            let ended_at = clock::now();
            end.of(server)?;
            Ok(ended_at)
        })?;
        self.seen.ended_in = self.seen.ended_in.max(clock::now() - ended_at);
        if let Some(met) = met.iter().find(|met| !end.explains(met)) {
            return Err(io::Error::other(format!("a writer met {met:?}")));
        }
        self.seen.refused += met.iter().filter(|met| **met != Met::Gone).count() as u64;
        let mut server = self.start()?;
        let mut client = server.client()?;
        let promised_until = match (self.promise, end) {
            (Promise::Always, _) | (_, End::Drained) => None,
            (Promise::Interval | Promise::Never, End::Killed) => {
                ended_at.checked_sub(self.unwritten)
            }
        };
        let tally = self.crew.verify(&mut client, promised_until)?;
        if end == End::Drained && tally.unacked > 0 {
            return Err(io::Error::other(format!(
                "{} changes are there that were never answered",
                tally.unacked
            )));
        }
        if let Some(since) = tally.missing_since {
            self.seen.missed_at_most = self.seen.missed_at_most.max(ended_at - since);
        }
        self.seen.tally.add(tally);
        self.seen.cycles += 1;
        drop(client);
        server.signal(Signal::TERM)?;
        let status = server.wait(PATIENCE)?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "a clean end was none: {status}: {:?}",
                server.output()
            )))
        }
    }

    /// What was seen up to now.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen
    }
}
