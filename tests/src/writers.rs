//! Writing clients, and the oracle that knows what a server must still have of what they wrote.
//!
//! 1. What a writer sends is a function of the seed, its own number and how many it has sent: what the
//!    server must know is what some number of its operations leave, in their order, from none skipped.
//! 2. A writer has one request under way and stops at the first that is not acknowledged. So the number is
//!    at least what was promised, and at most what was acknowledged and the one that was *lost*; what was
//!    *refused* must not be there.
//! 3. Each look at a server is where the next writing goes on from.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use shardkeep_resp::Value;

use crate::clock::{self, PATIENCE};
use crate::harness::{Client, ServerProcess, Signal};
use crate::random::Random;

/// Writing clients.
const WRITERS: u64 = 8;

/// Keys of each writer: few, so that each is changed again and again.
const KEYS: usize = 12;

/// What begins the errors of what was certainly not applied.
const REFUSALS: [&str; 6] = [
    "MISCONF ",
    "THROTTLED ",
    "TRYAGAIN ",
    "DRAINING ",
    "OOM ",
    "LOADING ",
];

/// Why a writer stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// The server has gone.
    Gone,
    /// An error: certainly not applied.
    Refused(String),
    /// An error: nobody knows whether it was applied.
    Lost(String),
}

/// What a look at a server has shown of one writing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Acknowledged changes.
    pub acked: u64,
    /// Acknowledged changes that were missing, and were allowed to.
    pub missing: u64,
    /// Changes that were there without an acknowledgement.
    pub unacked: u64,
    /// When the first of the missing was acknowledged.
    pub missing_since: Option<Instant>,
}

impl Tally {
    /// Counts `other` too.
    pub fn add(&mut self, other: Self) {
        self.acked += other.acked;
        self.missing += other.missing;
        self.unacked += other.unacked;
        self.missing_since = match (self.missing_since, other.missing_since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
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
}

impl Writer {
    fn new(number: u64) -> Self {
        Self {
            number,
            kept: 0,
            known: Known::new(),
            acked: Vec::new(),
            sent: 0,
        }
    }

    /// Writes until something is not acknowledged, and says why.
    fn write(&mut self, seed: u64, client: &mut Client) -> io::Result<Met> {
        self.acked.clear();
        self.sent = self.kept;
        loop {
            let change = Change::of(seed, self.number, self.sent);
            self.sent += 1;
            match client.call(&change.request(self.number)) {
                Ok(Value::Error(text)) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    if text.starts_with("LOST ") {
                        return Ok(Met::Lost(text));
                    }
                    if REFUSALS.iter().any(|refusal| text.starts_with(refusal)) {
                        self.sent -= 1;
                        return Ok(Met::Refused(text));
                    }
                    return Err(io::Error::other(format!("{change:?}: {text}")));
                }
                Ok(_) => self.acked.push(clock::now()),
                Err(error) if is_gone(&error) => return Ok(Met::Gone),
                Err(error) => return Err(error),
            }
        }
    }

    /// Finds out how many of its changes the server has.
    fn verify(&mut self, seed: u64, client: &mut Client, least: u64) -> io::Result<Tally> {
        let acked = self.kept + self.acked.len() as u64;
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
        let tally = Tally {
            acked: self.acked.len() as u64,
            missing: acked.saturating_sub(kept),
            unacked: kept.saturating_sub(acked),
            missing_since: self.acked.get((kept - self.kept) as usize).copied(),
        };
        self.kept = kept;
        self.sent = kept;
        self.acked.clear();
        Ok(tally)
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

/// Writers of one store.
#[derive(Debug)]
pub struct Crew {
    seed: u64,
    patience: Duration,
    writers: Vec<Writer>,
}

impl Crew {
    /// Eight who have written nothing yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            patience: PATIENCE,
            writers: (0..WRITERS).map(Writer::new).collect(),
        }
    }

    /// The same, who wait for each answer for so long.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Lets all write to `server` until each meets something that is no acknowledgement, while `meanwhile`
    /// runs. Blocks until all have stopped: `meanwhile` must see to it that they do.
    ///
    /// # Errors
    /// A server that does not answer in time, or answers what it must not; or as `meanwhile` says.
    pub fn write<T>(
        &mut self,
        server: &mut ServerProcess,
        meanwhile: impl FnOnce(&mut ServerProcess) -> io::Result<T>,
    ) -> io::Result<(T, Vec<Met>)> {
        let seed = self.seed;
        let clients: io::Result<Vec<Client>> =
            self.writers.iter().map(|_| server.client()).collect();
        let clients = clients?
            .into_iter()
            .map(|client| client.with_patience(self.patience));
        thread::scope(|scope| {
            let mut writing = Vec::new();
            for (writer, mut client) in self.writers.iter_mut().zip(clients) {
                writing.push(scope.spawn(move || writer.write(seed, &mut client)));
            }
            let done = meanwhile(server);
            if done.is_err() {
                // Nothing stops the writers any more but the end of the server.
                drop(server.signal(Signal::KILL));
            }
            let met: io::Result<Vec<Met>> = writing
                .into_iter()
                .map(|writing| {
                    let joined = writing.join();
                    joined.unwrap_or_else(|_| Err(io::Error::other("a writer panicked")))
                })
                .collect();
            Ok((done?, met?))
        })
    }

    /// Finds out how much of what was written `client`'s server has: all that was acknowledged, or, when
    /// `promised_until` is given, at least what was acknowledged before it.
    ///
    /// # Errors
    /// Something promised is missing, or something is there that nobody sent.
    pub fn verify(
        &mut self,
        client: &mut Client,
        promised_until: Option<Instant>,
    ) -> io::Result<Tally> {
        let mut sum = Tally::default();
        for writer in &mut self.writers {
            let is_promised = |at: &&Instant| promised_until.is_none_or(|until| **at <= until);
            let promised = writer.acked.iter().filter(is_promised).count() as u64;
            let least = writer.kept + promised;
            sum.add(writer.verify(self.seed, client, least)?);
        }
        Ok(sum)
    }

    /// Acknowledged since the last look.
    #[must_use]
    pub fn acked(&self) -> usize {
        self.writers.iter().map(|writer| writer.acked.len()).sum()
    }
}
