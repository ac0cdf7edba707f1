//! The load: threads that each drive their connections, and one that watches the clock.
//!
//! 1. Operations, time and processor time of one window are read at the same two moments.
//! 2. A latency counts if its reply came inside the window.
//! 3. No thread waits longer than [`SILENCE_MAX`] for a server.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crossbeam_utils::CachePadded;
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, READ_BYTES, Shared};
use super::tape::Tape;
use crate::random::Random;
use crate::server::process::CpuTime;
use crate::{clock, figures, threads};

/// Longest silence of a server under load before the measurement is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Events taken per poll.
const EVENTS_MAX: usize = 1_024;

const WARM_UP: u8 = 0;
const MEASURE: u8 = 1;
const STOP: u8 = 2;

/// What is asked of a server, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    /// The requests.
    pub(crate) tape: &'a Tape,
    /// Whether the server keeps values, so that they can be compared.
    pub(crate) check_values: bool,
    /// Connections, over all threads.
    pub(crate) connections: usize,
    /// Requests sent together on one connection.
    pub(crate) pipeline: usize,
    /// Threads of the generator.
    pub(crate) threads: usize,
    /// Time before measuring.
    pub(crate) warm_up: Duration,
    /// Time measured.
    pub(crate) window: Duration,
    /// Decides where on the tape each connection begins.
    pub(crate) seed: u64,
}

/// What one window showed.
#[derive(Debug)]
pub(crate) struct Window {
    /// Replies received.
    pub(crate) ops: u64,
    /// Its true length.
    pub(crate) elapsed: Duration,
    /// Processor time of the server.
    pub(crate) server_cpu: CpuTime,
    /// Processor time of this process.
    pub(crate) own_cpu: CpuTime,
    /// Latencies, of every reply.
    pub(crate) latencies: Histogram<u64>,
    /// Wrong replies, warm-up included.
    pub(crate) wrong: u64,
}

/// All that is read at one moment.
struct Moment {
    at: Instant,
    ops: u64,
    server: CpuTime,
    own: CpuTime,
}

/// What the threads and the watcher share.
struct Board {
    phase: AtomicU8,
    counters: Vec<CachePadded<AtomicU64>>,
}

impl Board {
    fn moment(&self, server: u32) -> Result<Moment> {
        Ok(Moment {
            at: clock::now(),
            ops: self
                .counters
                .iter()
                .map(|counter| counter.load(Ordering::Relaxed))
                .sum(),
            server: CpuTime::of(server)?,
            own: CpuTime::of(std::process::id())?,
        })
    }
}

/// Opens the connections and runs one window against the server.
///
/// # Errors
/// The server cannot be reached, is silent, closes, or sends what is no reply.
pub(crate) fn run(load: Load<'_>, address: SocketAddr, server: u32) -> Result<Window> {
    let mut random = Random::stream(load.seed, 1);
    let bundles = (load.tape.len() / load.pipeline) as u64;
    let mut shares: Vec<Vec<Connection>> = Vec::new();
    shares.resize_with(load.threads.min(load.connections), Vec::new);
    for index in 0..load.connections {
        let first = random.below(bundles) as usize * load.pipeline;
        let share = index % shares.len();
        shares[share].push(Connection::new(connect(address)?, first));
    }
    let board = Board {
        phase: AtomicU8::new(WARM_UP),
        counters: shares.iter().map(|_| CachePadded::default()).collect(),
    };
    std::thread::scope(|scope| {
        let mut started = Vec::new();
        for (index, share) in shares.into_iter().enumerate() {
            let board = &board;
            let name = format!("client-{index}");
            started.push(threads::spawn_scoped(scope, &name, move || {
                drive(load, share, &board.phase, &board.counters[index])
            })?);
        }
        clock::wait_until(clock::now() + load.warm_up);
        let from = board.moment(server);
        board.phase.store(MEASURE, Ordering::Relaxed);
        clock::wait_until(clock::now() + load.window);
        let until = board.moment(server);
        board.phase.store(STOP, Ordering::Relaxed);
        let mut latencies = figures::latency_histogram()?;
        let mut wrong = 0;
        for thread in started {
            let (histogram, count) = threads::join(thread)??;
            latencies += histogram;
            wrong += count;
        }
        let (from, until) = (from?, until?);
        Ok(Window {
            ops: until.ops - from.ops,
            elapsed: until.at - from.at,
            server_cpu: until.server - from.server,
            own_cpu: until.own - from.own,
            latencies,
            wrong,
        })
    })
}

/// A connection, ready for polling.
pub(crate) fn connect(address: SocketAddr) -> Result<mio::net::TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(mio::net::TcpStream::from_std(stream))
}

/// One thread: sends everywhere, then answers events until told to stop.
fn drive(
    load: Load<'_>,
    mut connections: Vec<Connection>,
    phase: &AtomicU8,
    counter: &AtomicU64,
) -> Result<(Histogram<u64>, u64)> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut latencies = figures::latency_histogram()?;
    let mut shared = Shared {
        tape: load.tape,
        pipeline: load.pipeline,
        check_values: load.check_values,
        replies: 0,
        wrong: 0,
        buffer: vec![0; READ_BYTES],
    };
    for (index, connection) in connections.iter_mut().enumerate() {
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut connection.stream, Token(index), both)?;
        connection.begin(&shared, clock::now())?;
    }
    loop {
        match poll.poll(&mut events, Some(SILENCE_MAX)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        if events.is_empty() {
            bail!("no reply for {SILENCE_MAX:?}");
        }
        let phase = phase.load(Ordering::Relaxed);
        if phase == STOP {
            return Ok((latencies, shared.wrong));
        }
        for event in &events {
            let connection = &mut connections[event.token().0];
            connection.send(load.tape)?;
            connection.receive(&mut shared, |sent_at, now, count| {
                if phase == MEASURE {
                    figures::record(&mut latencies, now - sent_at, count);
                }
            })?;
        }
        counter.store(shared.replies, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{Ipv4Addr, TcpListener};

    use super::super::tape::value_of;
    use super::*;

    const PIPELINE: usize = 4;
    /// Replies after which the load is told to stop; a whole number of bundles.
    const REPLIES: usize = 10 * PIPELINE;

    type Answer = fn(u64) -> Vec<u8>;

    /// Drives one connection against a server whose reply to a key is what `answer` makes of it,
    /// empty for closing; the server itself ends the load, so no time is involved.
    fn drive_against(answer: Answer) -> Result<(Histogram<u64>, u64)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let phase = AtomicU8::new(MEASURE);
        let counter = AtomicU64::new(0);
        let tape = Tape::new(1, 100, 0, 64);
        let load = Load {
            tape: &tape,
            check_values: true,
            connections: 1,
            pipeline: PIPELINE,
            threads: 1,
            warm_up: Duration::ZERO,
            window: Duration::ZERO,
            seed: 1,
        };
        std::thread::scope(|scope| {
            let phase = &phase;
            threads::spawn_scoped(scope, "server", move || {
                let (stream, _peer) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let keys = lines.filter_map(|line| line.strip_prefix("key:")?.parse().ok());
                for (index, key) in keys.enumerate() {
                    if index + 1 == REPLIES {
                        phase.store(STOP, Ordering::Relaxed);
                    }
                    let reply = answer(key);
                    if reply.is_empty() || (&stream).write_all(&reply).is_err() {
                        return;
                    }
                }
            })
            .unwrap();
            let connection = Connection::new(connect(address).unwrap(), 0);
            drive(load, vec![connection], phase, &counter)
        })
    }

    fn value_reply(key: u64) -> Vec<u8> {
        [b"$64\r\n".as_slice(), &value_of(key), b"\r\n"].concat()
    }

    #[test]
    fn every_reply_has_a_latency_and_right_values_are_not_wrong() {
        let (latencies, wrong) = drive_against(value_reply).unwrap();
        assert!(
            latencies.len() >= (REPLIES - PIPELINE) as u64,
            "{}",
            latencies.len()
        );
        assert_eq!(wrong, 0);
    }

    #[test]
    fn another_keys_value_is_counted() {
        let (_latencies, wrong) = drive_against(|key| value_reply(key + 1)).unwrap();
        assert!(wrong > 0);
    }

    #[test]
    fn an_absence_is_counted_and_the_load_goes_on() {
        let (latencies, wrong) = drive_against(|_key| b"$-1\r\n".to_vec()).unwrap();
        assert_eq!(wrong, latencies.len());
        assert!(wrong >= (REPLIES - PIPELINE) as u64);
    }

    #[test]
    fn what_cannot_go_on_is_an_error_that_says_why() {
        let cases: [(Answer, &str); 2] = [
            (|_key| Vec::new(), ""),
            (
                |_key| b"HTTP/1.1 400\r\n".to_vec(),
                "not a reply: HTTP/1.1 400",
            ),
        ];
        for (answer, expected) in cases {
            let error = format!("{:#}", drive_against(answer).unwrap_err());
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
