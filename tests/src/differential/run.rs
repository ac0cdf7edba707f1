//! One episode, played to both servers.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use shardkeep_resp::Value;

use super::compare::{Answer, Failure, difference};
use super::explained::EXPLAINED;
use super::generate::PASSWORD;
use super::request::{Episode, Request, Step};
use crate::clock;
use crate::harness::{Client, value};

/// Most steps of one SCAN walk: beyond it a walk counts as endless.
const WALK_STEPS_MAX: usize = 10_000;

/// How often what happened.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// Commands answered by both.
    pub commands: u64,
    /// Answers that were errors.
    pub errors: u64,
    /// Differences, by the row of [`EXPLAINED`].
    pub explained: [u64; EXPLAINED.len()],
    /// Connections the servers ended.
    pub ended: u64,
}

/// Two running servers.
pub struct Pair {
    redis: Side,
    ours: Side,
}

struct Side {
    address: SocketAddr,
    patience: Duration,
    guarded: bool,
    clients: Vec<Client>,
}

impl Side {
    fn open(&mut self, connections: usize) -> io::Result<()> {
        self.clients.clear();
        for _ in 0..connections {
            let client = self.connect()?;
            self.clients.push(client);
        }
        let mut admin = self.connect()?;
        if self.guarded {
            admin.call(&["AUTH", PASSWORD])?;
        }
        admin.call(&["FLUSHALL"]).map(drop)
    }

    fn connect(&self) -> io::Result<Client> {
        Ok(Client::connect(self.address)?.with_patience(self.patience))
    }

    /// Sends the pipeline in about `writes` pieces.
    fn send(&mut self, connection: usize, requests: &[Request], writes: usize) -> io::Result<()> {
        let bytes: Vec<u8> = requests.iter().flat_map(Request::bytes).collect();
        let piece = bytes.len().div_ceil(writes).max(1);
        for piece in bytes.chunks(piece) {
            self.clients[connection].send(piece)?;
        }
        Ok(())
    }

    fn answer(&mut self, connection: usize, request: &Request) -> Answer {
        if request.ends_connection() {
            let answer = match self.clients[connection].rest() {
                Ok((bytes, ended)) => Answer::Ended(bytes, ended),
                Err(error) => Answer::Nothing(error.to_string()),
            };
            return match self.connect() {
                Ok(client) => {
                    self.clients[connection] = client;
                    answer
                }
                Err(error) => Answer::Nothing(format!("no new connection: {error}")),
            };
        }
        match self.clients[connection].reply_bytes() {
            Ok(reply) => Answer::Reply(reply),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Answer::Nothing("the connection was closed".to_owned())
            }
            Err(error) => Answer::Nothing(error.to_string()),
        }
    }

    /// A whole SCAN: the keys, and how many of them came more than once.
    fn walk(
        &mut self,
        connection: usize,
        options: &[Vec<u8>],
    ) -> io::Result<(BTreeSet<Vec<u8>>, usize)> {
        let (mut keys, mut repeated) = (BTreeSet::new(), 0);
        let mut cursor = b"0".to_vec();
        for _ in 0..WALK_STEPS_MAX {
            let mut args = vec![b"SCAN".to_vec(), cursor];
            args.extend_from_slice(options);
            let reply = self.clients[connection].call(&args)?;
            let (next, found) = scanned(reply)?;
            for key in found {
                repeated += usize::from(!keys.insert(key));
            }
            if next == b"0" {
                return Ok((keys, repeated));
            }
            cursor = next;
        }
        Err(io::Error::other("the walk does not end"))
    }
}

fn scanned(reply: Value) -> io::Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let unexpected = |reply: &Value| {
        let text = reply.bytes().map(String::from_utf8_lossy);
        io::Error::other(format!("SCAN answered {}", text.unwrap_or_default()))
    };
    match &reply {
        Value::Array(items) => match items.as_slice() {
            [Value::Bulk(cursor), Value::Array(keys)] => {
                let keys: Option<Vec<Vec<u8>>> =
                    keys.iter().map(|key| Some(key.bytes()?.to_vec())).collect();
                Ok((cursor.clone(), keys.ok_or_else(|| unexpected(&reply))?))
            }
            _ => Err(unexpected(&reply)),
        },
        _ => Err(unexpected(&reply)),
    }
}

impl Pair {
    /// Redis at one address, Shardkeep at the other. Each answer is awaited for `patience`.
    #[must_use]
    pub fn new(redis: SocketAddr, ours: SocketAddr, patience: Duration) -> Self {
        let side = |address| Side {
            address,
            patience,
            guarded: false,
            clients: Vec::new(),
        };
        Self {
            redis: side(redis),
            ours: side(ours),
        }
    }

    /// The same servers, which ask for [`PASSWORD`] when they are `guarded`.
    #[must_use]
    pub fn guarded(mut self, guarded: bool) -> Self {
        self.redis.guarded = guarded;
        self.ours.guarded = guarded;
        self
    }

    /// The same servers, each answer awaited for `patience`.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self::new(self.redis.address, self.ours.address, patience).guarded(self.redis.guarded)
    }

    /// Plays `episode` to both, from empty stores, and counts. Blocks until the last answer, or for the
    /// patience of one answer when a server hangs. The first failure ends the episode.
    ///
    /// # Errors
    /// A server cannot be reached at all.
    pub fn play(&mut self, episode: &Episode, counts: &mut Counts) -> io::Result<Option<Failure>> {
        self.redis.open(episode.connections)?;
        self.ours.open(episode.connections)?;
        for (number, step) in episode.steps.iter().enumerate() {
            let failure = match step {
                Step::Batch {
                    connection,
                    requests,
                    writes,
                } => self.batch(number, *connection, requests, *writes, counts)?,
                Step::Walk {
                    connection,
                    options,
                } => self.walk(number, *connection, options, step, counts),
                Step::Pass(milliseconds) => {
                    clock::pass(Duration::from_millis(*milliseconds));
                    None
                }
            };
            if failure.is_some() {
                return Ok(failure);
            }
        }
        Ok(None)
    }

    fn batch(
        &mut self,
        step: usize,
        connection: usize,
        requests: &[Request],
        writes: usize,
        counts: &mut Counts,
    ) -> io::Result<Option<Failure>> {
        self.redis.send(connection, requests, writes)?;
        if let Err(error) = self.ours.send(connection, requests, writes) {
            let asked = Step::Batch {
                connection,
                requests: requests.to_vec(),
                writes,
            }
            .to_string();
            let (redis, ours) = ("takes it".to_owned(), error.to_string());
            return Ok(Some(Failure::whole(step, asked, "send", redis, ours)));
        }
        for (index, request) in requests.iter().enumerate() {
            let redis = self.redis.answer(connection, request);
            let ours = self.ours.answer(connection, request);
            if let Answer::Nothing(why) = &redis {
                return Err(io::Error::other(format!(
                    "Redis did not answer {request}: {why}"
                )));
            }
            counts.commands += 1;
            counts.errors += u64::from(matches!(&redis, Answer::Reply(reply) if reply[0] == b'-'));
            counts.ended += u64::from(request.ends_connection());
            if redis == ours {
                continue;
            }
            let explained = difference(request, &redis, &ours)
                .filter(|_| self.still_agrees(connection, request, &redis, &ours));
            match explained {
                Some(row) => counts.explained[row] += 1,
                None => return Ok(Some(Failure::of(step, index, request, &redis, &ours))),
            }
        }
        Ok(None)
    }

    /// What an explained difference still asks for beyond the two replies.
    fn still_agrees(
        &mut self,
        connection: usize,
        request: &Request,
        redis: &Answer,
        ours: &Answer,
    ) -> bool {
        let (Answer::Reply(_), Answer::Reply(ours)) = (redis, ours) else {
            return false;
        };
        let name = &request.args()[0];
        if name.eq_ignore_ascii_case(b"randomkey") {
            // Redis has the same keys, and its own opinion of ours.
            let exists = value(ours).and_then(|key| {
                let key = key.bytes().unwrap_or_default().to_vec();
                self.redis.clients[connection].call(&[b"EXISTS".to_vec(), key])
            });
            return matches!(exists, Ok(Value::Integer(1)));
        }
        true
    }

    fn walk(
        &mut self,
        step: usize,
        connection: usize,
        options: &[Vec<u8>],
        asked: &Step,
        counts: &mut Counts,
    ) -> Option<Failure> {
        counts.commands += 1;
        let (redis, ours) = (
            self.redis.walk(connection, options),
            self.ours.walk(connection, options),
        );
        // Redis may repeat a key while its table grows; Shardkeep never does.
        let agrees = match (&redis, &ours) {
            (Ok((redis, _)), Ok((ours, repeated))) => redis == ours && *repeated == 0,
            (Err(redis), Err(ours)) => redis.to_string() == ours.to_string(),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        (!agrees).then(|| {
            let shown = |walk: io::Result<(BTreeSet<Vec<u8>>, usize)>| match walk {
                Ok((keys, repeated)) => {
                    let keys: Vec<String> =
                        keys.iter().map(|key| super::request::quoted(key)).collect();
                    format!("{} ({repeated} repeated)", keys.join(" "))
                }
                Err(error) => error.to_string(),
            };
            Failure::whole(step, asked.to_string(), "walk", shown(redis), shown(ours))
        })
    }
}
