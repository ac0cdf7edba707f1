//! The open loop: requests start when their schedule says, whether or not the server has answered.
//!
//! 1. A latency counts from the intended start. A request that finds its connection full waits in
//!    the generator, and that wait is part of its latency.
//! 2. Every request whose intended start lies in the window has exactly one sample. One that is not
//!    answered within [`DRAIN_MAX`] after the window counts as long as it has waited until then.
//! 3. Nothing is queued: a schedule can be asked again, so what is due and unsent is no memory.
//! 4. A line with room and a request to come has an entry among `due`, no later than that request.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use super::alarm::Alarm;
use super::arrivals::Arrivals;
use super::connection::{Connection, Shared};
use super::generator::{EVENTS_MAX, Load, SILENCE_MAX, poll_again};
use super::saturation::{Course, LOOKS, busy};
use crate::{clock, figures};

/// How long the requests of a window may be answered after it.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(1);
/// A start nearer than this is not slept for: sleeping and waking take about as long. Looking for
/// replies instead costs a core at most this much for each start.
const SLEEP_MIN_NS: u64 = 5_000;
const ALARM: Token = Token(usize::MAX);

/// When the load begins, and where its window lies, in nanoseconds from there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) begin: Instant,
    pub(super) from: u64,
    pub(super) until: u64,
}

impl Frame {
    fn now(&self) -> u64 {
        let passed = clock::now().saturating_duration_since(self.begin);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// When it is looked for the n-th time how far the load is behind: first at the beginning, last
    /// at the end of the window.
    fn look(&self, nth: usize) -> Option<u64> {
        let last = LOOKS as u64 - 1;
        let window = u128::from(self.until - self.from);
        let passed = window * nth as u128 / u128::from(last);
        (nth < LOOKS).then_some(self.from + passed as u64)
    }

    fn end(&self) -> u64 {
        self.until + DRAIN_MAX.as_nanos() as u64
    }
}

/// What one thread saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) latencies: Histogram<u64>,
    /// Between the moment a request was due and its connection had room, and its sending.
    pub(super) lateness: Histogram<u64>,
    pub(super) wrong: u64,
    pub(super) unanswered: u64,
    pub(super) course: Course,
}

/// A connection with its schedule.
struct Line {
    connection: Connection,
    arrivals: Arrivals,
    /// Intended starts of the requests in flight.
    intended: VecDeque<u64>,
    /// Since when the connection takes requests.
    room_since: u64,
    /// Whether it has an entry among `due`.
    entered: bool,
}

impl Line {
    /// The intended start of the oldest request without a reply, sent or not.
    fn oldest(&self) -> u64 {
        let sent = self.intended.front().copied();
        sent.unwrap_or_else(|| self.arrivals.next())
    }

    /// Sends what is due, as far as there is room.
    fn send_due(&mut self, book: &mut Book<'_>) -> Result<()> {
        let Book { load, frame, .. } = *book;
        loop {
            let room = self.connection.room(load.tape, load.pipeline);
            let now = frame.now();
            let mut count = 0;
            while count < room {
                let intended = self.arrivals.next();
                if intended > now || intended >= frame.until {
                    break;
                }
                self.intended.push_back(intended);
                self.arrivals.advance();
                if intended >= frame.from {
                    let late = now - intended.max(self.room_since);
                    figures::record(&mut book.lateness, Duration::from_nanos(late), 1);
                }
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            if book.in_flight == 0 {
                book.heard_at = now;
            }
            book.in_flight += count;
            self.connection.ask(load.tape, count)?;
        }
    }

    /// Reads what has arrived, then sends what is due by now.
    fn advance(&mut self, book: &mut Book<'_>) -> Result<()> {
        let load = book.load;
        let had_room = self.connection.room(load.tape, load.pipeline) > 0;
        self.connection.send(load.tape)?;
        loop {
            let received = self.connection.receive(&mut book.shared)?;
            if received.replies > 0 {
                book.heard_at = book.frame.now();
                book.in_flight -= received.replies;
                for intended in self.intended.drain(..received.replies) {
                    book.record(intended, book.heard_at);
                }
            }
            if !received.more {
                break;
            }
        }
        if !had_room {
            self.room_since = book.frame.now();
        }
        self.send_due(book)
    }
}

/// What a thread keeps beside its connections.
struct Book<'a> {
    load: &'a Load<'a>,
    frame: Frame,
    shared: Shared<'a>,
    latencies: Histogram<u64>,
    lateness: Histogram<u64>,
    in_flight: usize,
    /// When the last reply came, or the first request was sent after which none is overdue.
    heard_at: u64,
}

impl Book<'_> {
    #[inline]
    fn record(&mut self, intended: u64, now: u64) {
        if intended >= self.frame.from {
            let latency = Duration::from_nanos(now.saturating_sub(intended));
            figures::record(&mut self.latencies, latency, 1);
        }
    }
}

/// One thread.
struct Driver<'a> {
    book: Book<'a>,
    poll: Poll,
    alarm: Alarm,
    lines: Vec<Line>,
    due: BinaryHeap<Reverse<(u64, usize)>>,
    /// How far behind the load was, as far as it has been looked.
    behind: Vec<Duration>,
    /// The account of this thread at the beginning and the end of the window, and when it was read.
    busy: Vec<(Duration, u64)>,
}

/// Drives connections, each with its number among all of the load, through the frame.
pub(super) fn drive(
    load: &Load<'_>,
    connections: Vec<(Connection, Arrivals)>,
    frame: Frame,
    counter: &AtomicU64,
) -> Result<Seen> {
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut driver = Driver::new(load, connections, frame)?;
    // Before its beginning the frame has no time.
    clock::wait_until(frame.begin);
    loop {
        let now = frame.now();
        driver.look(now)?;
        driver.send_due(now)?;
        if driver.is_done() || now >= frame.end() {
            return driver.finish(now);
        }
        driver.wait(&mut events)?;
        for event in &events {
            if event.token() == ALARM {
                driver.alarm.rang();
            } else {
                driver.look(frame.now())?;
                driver.advance(event.token().0)?;
            }
        }
        counter.store(driver.book.shared.replies, Ordering::Relaxed);
    }
}

impl<'a> Driver<'a> {
    fn new(
        load: &'a Load<'a>,
        connections: Vec<(Connection, Arrivals)>,
        frame: Frame,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let mut driver = Self {
            book: Book {
                load,
                frame,
                shared: Shared::new(load.tape, load.check_every),
                latencies: figures::latency_histogram()?,
                lateness: figures::latency_histogram()?,
                in_flight: 0,
                heard_at: 0,
            },
            poll,
            alarm,
            lines: Vec::with_capacity(connections.len()),
            due: BinaryHeap::with_capacity(connections.len()),
            behind: Vec::new(),
            busy: Vec::new(),
        };
        for (index, (mut connection, arrivals)) in connections.into_iter().enumerate() {
            let both = Interest::READABLE | Interest::WRITABLE;
            let registry = driver.poll.registry();
            registry.register(&mut connection.stream, Token(index), both)?;
            driver.lines.push(Line {
                connection,
                arrivals,
                intended: VecDeque::with_capacity(load.pipeline),
                room_since: 0,
                entered: false,
            });
            driver.enter(index);
        }
        Ok(driver)
    }

    /// Looks how far the load is behind, at the moments when that is wanted.
    fn look(&mut self, now: u64) -> Result<()> {
        while let Some(at) = self.book.frame.look(self.behind.len()) {
            if now < at {
                break;
            }
            let overdue = |line: &Line| u128::from(now.saturating_sub(line.oldest()));
            let sum: u128 = self.lines.iter().map(overdue).sum();
            let mean = sum / self.lines.len().max(1) as u128;
            self.behind.push(Duration::from_nanos(mean as u64));
            if at == self.book.frame.from || at == self.book.frame.until {
                self.busy.push((busy()?, now));
            }
        }
        Ok(())
    }

    /// Sends everything that is due.
    fn send_due(&mut self, now: u64) -> Result<()> {
        while let Some(&Reverse((at, index))) = self.due.peek() {
            if at > now {
                break;
            }
            self.due.pop();
            let line = &mut self.lines[index];
            line.entered = false;
            line.send_due(&mut self.book)?;
            self.enter(index);
        }
        Ok(())
    }

    /// A socket has room or replies.
    fn advance(&mut self, index: usize) -> Result<()> {
        self.lines[index].advance(&mut self.book)?;
        self.enter(index);
        Ok(())
    }

    /// Enters a line among `due`, if it has room and a request to come.
    fn enter(&mut self, index: usize) {
        let Book { load, frame, .. } = self.book;
        let line = &mut self.lines[index];
        let next = line.arrivals.next();
        let to_come = next < frame.until && line.connection.room(load.tape, load.pipeline) > 0;
        if to_come && !line.entered {
            line.entered = true;
            self.due.push(Reverse((next, index)));
        }
    }

    fn is_done(&self) -> bool {
        let looked = self.behind.len() == LOOKS;
        looked && self.due.is_empty() && self.book.in_flight == 0
    }

    /// Waits for the sockets, until the next moment at which something must be done without them.
    fn wait(&mut self, events: &mut Events) -> Result<()> {
        let frame = self.book.frame;
        let now = frame.now();
        if self.book.in_flight > 0 && now > self.book.heard_at + SILENCE_MAX.as_nanos() as u64 {
            bail!("no reply for {SILENCE_MAX:?}");
        }
        let look = frame.look(self.behind.len());
        let due = self.due.peek().map(|&Reverse((at, _index))| at);
        let next = look.into_iter().chain(due).fold(frame.end(), u64::min);
        let timeout = if next < now + SLEEP_MIN_NS {
            Duration::ZERO
        } else {
            self.alarm.set(next, now)?;
            SILENCE_MAX
        };
        // Interrupted is as good as woken: the loop looks at everything again.
        let _complete = poll_again(&mut self.poll, events, timeout)?;
        Ok(())
    }

    /// What is not answered by now counts as long as it has waited.
    fn finish(mut self, now: u64) -> Result<Seen> {
        let mut unanswered = 0;
        for line in &mut self.lines {
            for &intended in &line.intended {
                self.book.record(intended, now);
                unanswered += u64::from(intended >= self.book.frame.from);
            }
            while line.arrivals.next() < self.book.frame.until {
                let intended = line.arrivals.next();
                self.book.record(intended, now);
                unanswered += u64::from(intended >= self.book.frame.from);
                line.arrivals.advance();
            }
        }
        let looked: Result<[Duration; LOOKS], _> = self.behind.try_into();
        let (Ok(behind), Some(first), Some(last)) = (looked, self.busy.first(), self.busy.last())
        else {
            bail!("the window was not looked at to its end");
        };
        let busy = last.0.saturating_sub(first.0);
        let passed = Duration::from_nanos(last.1 - first.1);
        let share = busy.as_secs_f64() / passed.as_secs_f64().max(f64::MIN_POSITIVE);
        let late = Duration::from_nanos(self.book.lateness.max());
        Ok(Seen {
            latencies: self.book.latencies,
            lateness: self.book.lateness,
            wrong: self.book.shared.wrong,
            unanswered,
            course: Course {
                behind,
                rest: (1.0 - share).max(0.0),
                late,
            },
        })
    }
}
