//! Kill cycles: a server under writing clients is killed, started again, and asked what it still knows.
//!
//! What a killed process has written stays in the page cache, so this tests everything but the syncs.
//!
//! 1. What a writer sends is a function of the seed, its own number and how many it has sent: what the
//!    server must know is what some number of its operations leave, in their order, from none skipped.
//! 2. That number is at least what the mode has promised and at most what was sent. Each writer has one
//!    request under way, so with `always` there are two such numbers at most.
//! 3. Each cycle goes on from what the one before it left.
//! 4. A server that drains (SIGTERM) loses nothing and does nothing unsaid: what is there is exactly what
//!    was answered; what was refused, or had no reply before the end, was not done.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use shardkeep_resp::Value;

use crate::clock::{self, PATIENCE};
use crate::harness::{Client, Launch, Scratch, ServerProcess, Signal};
use crate::random::Random;

/// Writing clients.
const WRITERS: u64 = 8;

/// Keys of each writer: few, so that each is changed again and again.
const KEYS: usize = 12;

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

/// One change, of a few keys.
#[derive(Debug, Clone)]
enum Change {
    Set(Vec<(usize, String)>),
    Remove(Vec<usize>),
    Append(usize, String),
    Count(usize),
}

type Known = BTreeMap<usize, String>;

impl Change {
    /// The `number`-th of a writer.
    fn of(seed: u64, writer: u64, number: u64) -> Self {
        let mut random = Random::new(seed ^ (writer << 48) ^ number.wrapping_mul(0x9e37_79b9));
        random.number();
        // The last keys are counters, so that no change fails.
        let texts = KEYS - 2;
        match random.below(10) {
            0..5 => Self::Set(vec![(random.below(texts), format!("{number}"))]),
            5 => {
                let first = random.below(texts);
                let second = (first + 1 + random.below(texts - 1)) % texts;
                let value = format!("{number}-{}", "x".repeat(random.below(200)));
                Self::Set(vec![(first, value.clone()), (second, value)])
            }
            6 => Self::Remove(vec![random.below(texts), random.below(texts)]),
            7 => Self::Append(random.below(texts), format!(".{number}")),
            _ => Self::Count(texts + random.below(2)),
        }
    }

    fn request(&self, writer: u64) -> Vec<String> {
        let key = |at: &usize| key(writer, *at);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::Set(pairs) => match pairs.as_slice() {
                [(at, value)] => words(&["SET", &key(at), value]),
                pairs => {
                    let pairs = pairs
                        .iter()
                        .flat_map(|(at, value)| [key(at), value.clone()]);
                    std::iter::once("MSET".to_owned()).chain(pairs).collect()
                }
            },
            Self::Remove(all) => std::iter::once("DEL".to_owned())
                .chain(all.iter().map(key))
                .collect(),
            Self::Append(at, text) => words(&["APPEND", &key(at), text]),
            Self::Count(at) => words(&["INCR", &key(at)]),
        }
    }

    fn apply(&self, known: &mut Known) {
        match self {
            Self::Set(pairs) => known.extend(pairs.iter().cloned()),
            Self::Remove(all) => all.iter().for_each(|at| drop(known.remove(at))),
            Self::Append(at, text) => known.entry(*at).or_default().push_str(text),
            Self::Count(at) => {
                let count = known.get(at).map_or(Ok(0), |text| text.parse::<u64>());
                known.insert(*at, (count.unwrap_or(0) + 1).to_string());
            }
        }
    }
}

fn key(writer: u64, at: usize) -> String {
    format!("w{writer}:{at}")
}

/// What one writer has done, and must find.
#[derive(Debug, Clone)]
struct Writer {
    number: u64,
    /// How many of its changes the server has, and what they leave.
    kept: u64,
    known: Known,
    /// When each acknowledgement since came.
    acked: Vec<Instant>,
    sent: u64,
    /// The last change was refused because the server drains.
    refused: bool,
}

impl Writer {
    fn new(number: u64) -> Self {
        Self {
            number,
            kept: 0,
            known: Known::new(),
            acked: Vec::new(),
            sent: 0,
            refused: false,
        }
    }

    /// Writes until the server is gone, or refuses because it drains.
    fn write(&mut self, seed: u64, client: &mut Client) -> io::Result<()> {
        self.acked.clear();
        self.refused = false;
        self.sent = self.kept;
        loop {
            let change = Change::of(seed, self.number, self.sent);
            self.sent += 1;
            match client.call(&change.request(self.number)) {
                Ok(Value::Error(text)) if text.starts_with(b"DRAINING") => {
                    self.refused = true;
                    return Ok(());
                }
                Ok(Value::Error(text)) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    return Err(io::Error::other(format!("{change:?}: {text}")));
                }
                Ok(_) => self.acked.push(clock::now()),
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Finds out how many of its changes the server has.
    fn verify(&mut self, seed: u64, client: &mut Client, least: u64) -> io::Result<()> {
        let mut request = vec!["MGET".to_owned()];
        request.extend((0..KEYS).map(|at| key(self.number, at)));
        let Value::Array(values) = client.call(&request)? else {
            return Err(io::Error::other("MGET without an array"));
        };
        let found: Known = values
            .iter()
            .enumerate()
            .filter_map(|(at, value)| Some((at, text(value)?)))
            .collect();
        let mut fits = None;
        for number in self.kept..=self.sent {
            if number >= least && self.known == found {
                fits = Some(number);
                break;
            }
            Change::of(seed, self.number, number).apply(&mut self.known);
        }
        let Some(kept) = fits else {
            return Err(io::Error::other(format!(
                "writer {} sent {} changes and at least {least} must be there, but no number of them \
                 leaves what is: {found:?}",
                self.number, self.sent
            )));
        };
        self.kept = kept;
        Ok(())
    }
}

fn text(value: &Value) -> Option<String> {
    let bytes = value.bytes()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

/// What was seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    /// Kills.
    pub cycles: u64,
    /// Acknowledged changes.
    pub acked: u64,
    /// Acknowledged changes that were missing, and were allowed to.
    pub missing: u64,
    /// Changes that were there without an acknowledgement.
    pub unacked: u64,
    /// Clients that were told that the server drains.
    pub refused: u64,
    /// Longest drain.
    pub drained_in: Duration,
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

fn drain(server: &mut ServerProcess) -> io::Result<()> {
    server.signal(Signal::TERM)?;
    let status = server.wait(DRAIN_MAX)?;
    match status.code() {
        Some(0) => Ok(()),
        _ => Err(io::Error::other(format!(
            "the drain ended with {status}: {:?}",
            server.output()
        ))),
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
    writers: Vec<Writer>,
    seen: Seen,
}

impl Campaign {
    /// One on a new directory. Without `always`, what was acknowledged `unwritten` before the kill or later
    /// may be missing: the server promises its write window, 100 us, and a busy machine needs more.
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
            writers: (0..WRITERS).map(Writer::new).collect(),
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

    /// Starts the server, lets all writers write, kills it, starts it again and looks.
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
        let seed = self.seed;
        let mut killed_at = clock::now();
        thread::scope(|scope| -> io::Result<()> {
            let mut writing = Vec::new();
            for writer in &mut self.writers {
                let mut client = server.client()?;
                writing.push(scope.spawn(move || writer.write(seed, &mut client)));
            }
            clock::pass(Duration::from_millis(life / 2));
            if saves {
                server.client()?.call(&["BGSAVE"])?;
            }
            clock::pass(Duration::from_millis(life / 2));
            killed_at = clock::now();
            match self.end {
                End::Killed => {
                    server.signal(Signal::KILL)?;
                    server.wait(PATIENCE)?;
                }
                End::Drained => drain(&mut server)?,
            }
            self.seen.drained_in = self.seen.drained_in.max(clock::now() - killed_at);
            for writing in writing {
                writing
                    .join()
                    .map_err(|_| io::Error::other("a writer panicked"))??;
            }
            Ok(())
        })?;
        let mut server = self.start()?;
        let mut client = server.client()?;
        for writer in &mut self.writers {
            let before = writer.kept;
            let acked = before + writer.acked.len() as u64;
            let is_old = |at: &&Instant| **at + self.unwritten <= killed_at;
            if self.end == End::Drained {
                // Nothing was done that was not answered.
                writer.sent = acked;
                self.seen.refused += u64::from(writer.refused);
            }
            let least = match self.promise {
                Promise::Always => acked,
                Promise::Interval | Promise::Never if self.end == End::Drained => acked,
                Promise::Interval | Promise::Never => {
                    before + writer.acked.iter().filter(is_old).count() as u64
                }
            };
            writer.verify(seed, &mut client, least)?;
            self.seen.acked += writer.acked.len() as u64;
            self.seen.missing += acked.saturating_sub(writer.kept);
            self.seen.unacked += writer.kept.saturating_sub(acked);
        }
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
