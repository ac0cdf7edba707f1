//! More than a server can do: requests start when a schedule says so, and nothing waits here for room.
//!
//! Users who are many do not wait for each other's replies. So nothing of the server's slowness slows this
//! load down, and what a socket does not take is counted instead of queued.
//!
//! 1. A request whose socket has no room when it is due is never sent: it counts as blocked. One that was
//!    begun is sent whole.
//! 2. Latency counts from two moments: the intended start, and the moment at which the own socket had
//!    taken the last byte. What waits between is in the first only.
//! 3. Starts are looked at every [`TICK`]; that much the first latency may be longer by itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use super::arrivals::{Arrivals, Offered};
use super::connection::Connection;
use super::tape::Tape;
use crate::random::Random;
use crate::server::process::{CpuTime, resident_bytes};
use crate::{clock, figures, threads};
use drive::Driver;
use line::Line;

mod drive;
mod line;

/// How often it is looked which requests are due: short beside every deadline, and long enough that a busy
/// connection's requests are written together.
const TICK: Duration = Duration::from_micros(500);
/// How often the server's memory is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long the requests of a window may be answered after it.
const DRAIN_MAX: Duration = Duration::from_secs(3);
/// From making the threads to the first start.
const LEAD: Duration = Duration::from_millis(20);
/// Length of one entry of a course.
pub(crate) const STRETCH: Duration = Duration::from_millis(100);

/// Connections that are asked for the same keys at the same rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group<'a> {
    /// The requests.
    pub(crate) tape: &'a Tape,
    /// Connections.
    pub(crate) connections: usize,
    /// What they are offered together.
    pub(crate) offered: Offered,
}

/// What is poured over a server.
#[derive(Clone, Debug)]
pub(crate) struct Flood<'a> {
    /// Who asks for what.
    pub(crate) groups: Vec<Group<'a>>,
    /// Threads of the generator.
    pub(crate) threads: usize,
    /// Time before measuring.
    pub(crate) warm_up: Duration,
    /// Time measured.
    pub(crate) window: Duration,
    /// What each connection says of its patience, with `CLIENT DEADLINE`.
    pub(crate) patience: Option<Duration>,
    /// Bytes that each own socket may hold back, by SO_SNDBUF.
    pub(crate) send_buffer: usize,
    /// Decides where on the tape each connection begins.
    pub(crate) seed: u64,
}

/// What one window showed of one group. Requests are counted by their intended start, replies by their
/// arrival.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Requests that were due.
    pub(crate) offered: u64,
    /// Of those, the ones that the own socket did not take.
    pub(crate) blocked: u64,
    /// Replies with what was asked for.
    pub(crate) served: u64,
    /// Refusals and other errors, by their first word.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Replies that were neither: an absence, another value.
    pub(crate) wrong: u64,
    /// Requests sent, of any time, that had no reply [`DRAIN_MAX`] after the window.
    pub(crate) unanswered: u64,
    /// Of what was served, from when its bytes were taken by the own socket.
    pub(crate) from_taken: Histogram<u64>,
    /// The same from the intended start.
    pub(crate) from_intended: Histogram<u64>,
    /// Served in each [`STRETCH`] since the first start, warm-up included.
    pub(crate) course: Vec<u64>,
}

/// What one window showed.
#[derive(Debug)]
pub(crate) struct Poured {
    /// By group.
    pub(crate) tallies: Vec<Tally>,
    /// Processor time of the server in the window.
    pub(crate) server_cpu: CpuTime,
    /// Processor time of this process in it.
    pub(crate) own_cpu: CpuTime,
    /// Resident memory of the server: when the window begins, at its highest, at the end.
    pub(crate) resident: [u64; 3],
}

/// When the load begins, and where its window lies, in nanoseconds from there.
#[derive(Clone, Copy, Debug)]
struct Frame {
    begin: Instant,
    from: u64,
    until: u64,
}

impl Frame {
    fn now(&self) -> u64 {
        nanos(clock::now().saturating_duration_since(self.begin))
    }

    fn contains(&self, at: u64) -> bool {
        (self.from..self.until).contains(&at)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Tally {
    /// Nothing seen yet.
    ///
    /// # Errors
    /// Never in practice.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            offered: 0,
            blocked: 0,
            served: 0,
            errors: BTreeMap::new(),
            wrong: 0,
            unanswered: 0,
            from_taken: figures::latency_histogram()?,
            from_intended: figures::latency_histogram()?,
            course: Vec::new(),
        })
    }

    /// Adds what another thread saw.
    pub(crate) fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.blocked += other.blocked;
        self.served += other.served;
        for (word, count) in &other.errors {
            *self.errors.entry(word.clone()).or_default() += count;
        }
        self.wrong += other.wrong;
        self.unanswered += other.unanswered;
        self.from_taken += &other.from_taken;
        self.from_intended += &other.from_intended;
        if self.course.len() < other.course.len() {
            self.course.resize(other.course.len(), 0);
        }
        for (sum, served) in self.course.iter_mut().zip(&other.course) {
            *sum += served;
        }
    }
}

/// Opens the connections and pours for one window. `meanwhile` is called once, when the window begins.
///
/// # Errors
/// The server cannot be reached, closes, or sends what is no reply.
pub(crate) fn pour(
    flood: &Flood<'_>,
    address: SocketAddr,
    server: u32,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<Poured> {
    let shares = connect(flood, address)?;
    let frame = Frame {
        begin: clock::now() + LEAD,
        from: nanos(flood.warm_up),
        until: nanos(flood.warm_up + flood.window),
    };
    let groups = flood.groups.len();
    std::thread::scope(|scope| {
        let mut started = Vec::new();
        for (index, share) in shares.into_iter().enumerate() {
            let body = move || Driver::new(share, frame, groups)?.run();
            started.push(threads::spawn_scoped(
                scope,
                &format!("client-{index}"),
                body,
            )?);
        }
        let mut highest = 0;
        let mut watch = |until: Instant| -> Result<()> {
            while clock::now() < until {
                highest = highest.max(resident_bytes(server)?);
                clock::wait_until((clock::now() + LOOK).min(until));
            }
            Ok(())
        };
        let from = frame.begin + flood.warm_up;
        let watched = watch(from).and_then(|()| {
            let before = resident_bytes(server)?;
            let cpu = (CpuTime::of(server)?, CpuTime::of(std::process::id())?);
            meanwhile()?;
            watch(from + flood.window)?;
            Ok((
                before,
                CpuTime::of(server)? - cpu.0,
                CpuTime::of(std::process::id())? - cpu.1,
            ))
        });
        let mut tallies: Vec<Tally> = Vec::new();
        for thread in started {
            let seen = threads::join(thread)??;
            if tallies.is_empty() {
                tallies = seen;
            } else {
                for (sum, tally) in tallies.iter_mut().zip(&seen) {
                    sum.add(tally);
                }
            }
        }
        let (before, server_cpu, own_cpu) = watched?;
        Ok(Poured {
            tallies,
            server_cpu,
            own_cpu,
            resident: [before, highest.max(before), resident_bytes(server)?],
        })
    })
}

/// The lines of each thread.
fn connect<'a>(flood: &Flood<'a>, address: SocketAddr) -> Result<Vec<Vec<Line<'a>>>> {
    let mut random = Random::stream(flood.seed, 1);
    let mut shares: Vec<Vec<Line<'a>>> = Vec::new();
    shares.resize_with(flood.threads.max(1), Vec::new);
    let mut turn = 0;
    for (number, group) in flood.groups.iter().enumerate() {
        for index in 0..group.connections {
            let stream = Connection::open(address, group.tape.wording())?;
            rustix::net::sockopt::set_socket_send_buffer_size(&stream, flood.send_buffer)
                .context("bound the send buffer")?;
            let count = group.connections as u64;
            let arrivals = Arrivals::new(group.offered, count, index as u64, flood.seed);
            let first = random.below(group.tape.len() as u64) as usize;
            let share = turn % shares.len();
            let mut line = Line::new(stream, group.tape, number, arrivals, first);
            if let Some(patience) = flood.patience {
                line.say_patience(patience)?;
            }
            shares[share].push(line);
            turn += 1;
        }
    }
    Ok(shares)
}
