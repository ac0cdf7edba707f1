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
