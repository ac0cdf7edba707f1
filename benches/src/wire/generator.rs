//! The load: threads that each drive their connections, and one that watches the clock.
//!
//! 1. Operations, time and processor time of one window are read at the same two moments.
//! 2. No thread waits longer than [`SILENCE_MAX`] for a server.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use crossbeam_utils::CachePadded;
use hdrhistogram::Histogram;
use mio::{Events, Poll};

use super::arrivals::{Arrivals, Offered};
use super::closed::{self, MEASURE, STOP, WARM_UP};
pub(crate) use super::connection::CHECK_EVERY;
use super::connection::Connection;
use super::open::{self, Frame, Seen};
use super::saturation::{Course, Saturated, saturated};
use super::tape::Tape;
use crate::random::Random;
use crate::server::process::CpuTime;
use crate::{clock, figures, threads};

/// Longest silence of a server under load before the measurement is given up.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Events taken per poll.
pub(super) const EVENTS_MAX: usize = 1_024;
/// From making the threads of an open loop to its first start: they register their connections.
const LEAD: Duration = Duration::from_millis(20);

/// What is asked of a server, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    /// The requests.
    pub(crate) tape: &'a Tape,
    /// One reply in so many has its value compared; none of a server that keeps no values.
    pub(crate) check_every: Option<NonZeroU64>,
    /// Connections, over all threads.
    pub(crate) connections: usize,
    /// Requests in flight on one connection, at most; in a closed loop sent together.
    pub(crate) pipeline: usize,
    /// Threads of the generator.
    pub(crate) threads: usize,
    /// Time before measuring.
    pub(crate) warm_up: Duration,
    /// Time measured.
    pub(crate) window: Duration,
    /// Decides where on the tape each connection begins, and when requests start.
    pub(crate) seed: u64,
    /// What decides when a request is sent.
    pub(crate) pace: Pace,
}

/// What decides when a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The reply to the one before
    Closed,
    /// A schedule
    Open(Offered),
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
    /// What only an open loop knows.
    pub(crate) schedule: Option<Schedule>,
}

/// How an open loop kept its schedule.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// From a request's intended start, or from when its connection had room, to its sending.
    pub(crate) lateness: Histogram<u64>,
    /// Requests of the window without a reply at the end.
    pub(crate) unanswered: u64,
    /// Share of the window in which the threads of the generator had nothing to do.
    pub(crate) rest: f64,
    /// Who could not follow, if somebody could not.
    pub(crate) saturated: Option<Saturated>,
}

/// All that is read at one moment.
struct Moment {
    at: Instant,
    ops: u64,
    server: CpuTime,
    own: CpuTime,
}

/// Replies of each thread so far.
type Counters = [CachePadded<AtomicU64>];

impl Moment {
    fn now(counters: &Counters, server: u32) -> Result<Self> {
        let replies = counters
            .iter()
            .map(|counter| counter.load(Ordering::Relaxed));
        Ok(Self {
            at: clock::now(),
            ops: replies.sum(),
            server: CpuTime::of(server)?,
            own: CpuTime::of(std::process::id())?,
        })
    }

    /// What passed until a later moment, with latencies still to be filled in.
    fn until(self, later: Self) -> Result<Window> {
        Ok(Window {
            ops: later.ops - self.ops,
            elapsed: later.at - self.at,
            server_cpu: later.server - self.server,
            own_cpu: later.own - self.own,
            latencies: figures::latency_histogram()?,
            wrong: 0,
            schedule: None,
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
    let mut shares: Vec<Vec<(u64, Connection)>> = Vec::new();
    shares.resize_with(load.threads.min(load.connections), Vec::new);
    for index in 0..load.connections {
        let first = random.below(bundles) as usize * load.pipeline;
        let stream = Connection::open(address, load.tape.wording())?;
        let share = index % shares.len();
        shares[share].push((index as u64, Connection::new(stream, first)));
    }
    let counters: Vec<CachePadded<AtomicU64>> =
        shares.iter().map(|_| CachePadded::default()).collect();
    let phase = AtomicU8::new(WARM_UP);
    std::thread::scope(|scope| match load.pace {
        Pace::Closed => run_closed(scope, &load, shares, &counters, &phase, server),
        Pace::Open(offered) => run_open(scope, &load, offered, shares, &counters, server),
    })
}

/// However a closed loop is left, its threads end.
struct StopAtEnd<'a>(&'a AtomicU8);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(STOP, Ordering::Relaxed);
    }
}

fn run_closed<'scope>(
    scope: &'scope Scope<'scope, '_>,
    load: &'scope Load<'_>,
    shares: Vec<Vec<(u64, Connection)>>,
    counters: &'scope Counters,
    phase: &'scope AtomicU8,
    server: u32,
) -> Result<Window> {
    let stop = StopAtEnd(phase);
    let mut started = Vec::new();
    for (index, (share, counter)) in shares.into_iter().zip(counters).enumerate() {
        let lines = share.into_iter().map(|(_index, line)| line).collect();
        started.push(spawn(scope, index, move || {
            closed::drive(load, lines, phase, counter)
        })?);
    }
    clock::wait_until(clock::now() + load.warm_up);
    let from = Moment::now(counters, server);
    phase.store(MEASURE, Ordering::Relaxed);
    clock::wait_until(clock::now() + load.window);
    let until = Moment::now(counters, server);
    drop(stop);
    let seen = join_all(started)?;
    let mut window = from?.until(until?)?;
    for (latencies, wrong) in seen {
        window.latencies += latencies;
        window.wrong += wrong;
    }
    Ok(window)
}

fn run_open<'scope>(
    scope: &'scope Scope<'scope, '_>,
    load: &'scope Load<'_>,
    offered: Offered,
    shares: Vec<Vec<(u64, Connection)>>,
    counters: &'scope Counters,
    server: u32,
) -> Result<Window> {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let frame = Frame {
        begin: clock::now() + LEAD,
        from: nanos(load.warm_up),
        until: nanos(load.warm_up + load.window),
    };
    let mut started = Vec::new();
    for (index, (share, counter)) in shares.into_iter().zip(counters).enumerate() {
        let schedule = |index| Arrivals::new(offered, load.connections as u64, index, load.seed);
        let lines = share
            .into_iter()
            .map(|(index, line)| (line, schedule(index)))
            .collect();
        started.push(spawn(scope, index, move || {
            open::drive(load, lines, frame, counter)
        })?);
    }
    clock::wait_until(frame.begin + load.warm_up);
    let from = Moment::now(counters, server);
    clock::wait_until(frame.begin + load.warm_up + load.window);
    let until = Moment::now(counters, server);
    let seen = join_all(started)?;
    let mut window = from?.until(until?)?;
    let mut lateness = figures::latency_histogram()?;
    let mut unanswered = 0;
    let course = mean_of(&seen);
    for thread in seen {
        window.latencies += thread.latencies;
        window.wrong += thread.wrong;
        lateness += thread.lateness;
        unanswered += thread.unanswered;
    }
    window.schedule = Some(Schedule {
        lateness,
        unanswered,
        rest: course.rest,
        saturated: saturated(&course, load.window),
    });
    Ok(window)
}

/// The course of the load as a whole: its threads have the same number of connections, or one more.
fn mean_of(seen: &[Seen]) -> Course {
    let count = seen.len().max(1) as u32;
    let sum = |which: usize| -> Duration { seen.iter().map(|one| one.course.behind[which]).sum() };
    let late = seen.iter().map(|one| one.course.late).max();
    Course {
        behind: std::array::from_fn(|which| sum(which) / count),
        rest: seen.iter().map(|one| one.course.rest).sum::<f64>() / f64::from(count),
        late: late.unwrap_or_default(),
    }
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    index: usize,
    body: impl FnOnce() -> Result<T> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<T>>> {
    Ok(threads::spawn_scoped(
        scope,
        &format!("client-{index}"),
        body,
    )?)
}

fn join_all<T>(started: Vec<ScopedJoinHandle<'_, Result<T>>>) -> Result<Vec<T>> {
    let ended: Vec<Result<T>> = started
        .into_iter()
        .map(|thread| threads::join(thread)?)
        .collect();
    ended.into_iter().collect()
}

/// Polls; false if a signal came instead.
pub(super) fn poll_again(poll: &mut Poll, events: &mut Events, timeout: Duration) -> Result<bool> {
    match poll.poll(events, Some(timeout)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
        Err(error) => bail!("poll: {error}"),
    }
}
