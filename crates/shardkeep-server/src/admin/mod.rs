//! The admin endpoint: metrics, health and a status page over HTTP, on an address of its own.
//!
//! It only looks: nothing can be changed here, and no keys or values are shown.
//!
//! 1. One thread and one blocking call: the poll. It ends by a socket, by the waker, or by the deadline of
//!    a connection. No client keeps another waiting.
//! 2. At most [`CONNECTIONS_MAX`] connections; one more takes the place of the one that is nearest to its
//!    deadline.
//! 3. A panic while answering costs that connection and nothing else.
//! 4. An error in accept (no descriptors left) backs off, and what waits is taken then: it neither spins
//!    nor waits for one more to come.

mod connection;
mod health;
mod http;
mod metrics;
mod seen;
mod status;
mod thread;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use shardkeep::engine::fail_point;

use crate::clock;
use crate::context::Context;
use crate::limits;
use crate::reactor::is_passing;
use connection::{Connection, Next};
use health::Health;
use http::{Request, Response, Status};
use seen::Seen;
pub(crate) use seen::log_state;
pub(crate) use thread::AdminListener;

/// Connections at once: some scrapers, some people, and those who do not let go.
const CONNECTIONS_MAX: usize = 64;

/// Connections taken between two looks at the others.
const ACCEPTS_MAX: usize = 16;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// The page that people see.
const PAGE: &str = include_str!("page.html");

/// The endpoint, listening; to be run by a thread of its own.
pub(crate) struct Admin {
    context: Arc<Context>,
    listener: TcpListener,
    poll: Poll,
    stopping: Arc<AtomicBool>,
    waker: Arc<Waker>,
    connections: Vec<Option<Connection>>,
}

/// What is known of the connections that wait to be taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backlog {
    /// None; the next event tells.
    Empty,
    /// There may be some.
    Open,
    /// The last could not be taken: not before this moment.
    Later(Instant),
}

/// Ends the endpoint's thread.
pub(crate) struct AdminStop {
    stopping: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl AdminStop {
    /// Has the thread end, within a moment.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Release);
        // An error would mean that its poll is gone, and with it the thread.
        drop(self.waker.wake());
    }
}

impl Admin {
    /// An endpoint that takes its connections from `listener`.
    ///
    /// # Errors
    /// The system gives no poll.
    pub(crate) fn new(context: Arc<Context>, mut listener: TcpListener) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            context,
            listener,
            poll,
            stopping: Arc::new(AtomicBool::new(false)),
            waker,
            connections: (0..CONNECTIONS_MAX).map(|_| None).collect(),
        })
    }

    /// What ends it.
    pub(crate) fn stopper(&self) -> AdminStop {
        AdminStop {
            stopping: Arc::clone(&self.stopping),
            waker: Arc::clone(&self.waker),
        }
    }

    /// Runs until it is asked to stop. After an error or a panic it may be run again.
    ///
    /// # Errors
    /// When the poll itself fails.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(CONNECTIONS_MAX + 2);
        // Nothing is known of connections of an earlier run.
        self.connections.fill_with(|| None);
        let mut backlog = Backlog::Open;
        while !self.stopping.load(Acquire) {
            let timeout = self.timeout(backlog);
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B38: events, a wake, or a deadline"
            )]
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            fail_point::hit("admin.tick");
            let now = clock::now();
            for event in &events {
                match event.token() {
                    LISTENER if backlog == Backlog::Empty => backlog = Backlog::Open,
                    LISTENER | WAKER => {}
                    Token(place) => self.advance(place, now),
                }
            }
            self.cut_off(now);
            backlog = match backlog {
                Backlog::Open => self.accept(now),
                Backlog::Later(at) if at <= now => self.accept(now),
                Backlog::Empty | Backlog::Later(_) => backlog,
            };
        }
        Ok(())
    }

    /// Until the next connection's time is up, or it is time to accept again.
    fn timeout(&self, backlog: Backlog) -> Option<Duration> {
        let retry = match backlog {
            Backlog::Open => return Some(Duration::ZERO),
            Backlog::Empty => None,
            Backlog::Later(at) => Some(at),
        };
        let deadlines = self.connections.iter().flatten().map(|one| one.deadline);
        let next = deadlines.chain(retry).min()?;
        let left = next.saturating_duration_since(clock::now());
        Some(left.max(Duration::from_millis(1)))
    }

    /// Takes some of those that wait.
    fn accept(&mut self, now: Instant) -> Backlog {
        for _ in 0..ACCEPTS_MAX {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Backlog::Empty,
                // The peer went away between its arrival and now.
                Err(error) if is_passing(&error) => continue,
                // The connection stays where it is, and no event will tell of it again.
                Err(_) => return Backlog::Later(now + limits::ACCEPT_BACKOFF),
            };
            let place = self.place();
            let mut connection = Connection::new(stream, now);
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered =
                self.poll
                    .registry()
                    .register(&mut connection.stream, Token(place), interest);
            if registered.is_ok() {
                self.connections[place] = Some(connection);
            }
        }
        Backlog::Open
    }

    /// A free place, or that of the connection nearest to its deadline, which is dropped.
    fn place(&mut self) -> usize {
        let free = self.connections.iter().position(Option::is_none);
        free.unwrap_or_else(|| {
            let deadline = |at: &usize| self.connections[*at].as_ref().map(|one| one.deadline);
            let oldest = (0..CONNECTIONS_MAX).min_by_key(deadline).unwrap_or(0);
            self.connections[oldest] = None;
            oldest
        })
    }

    fn advance(&mut self, place: usize, now: Instant) {
        let Some(connection) = self.connections.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let context = &self.context;
        let next = connection.advance(now, |request| {
            catch_unwind(AssertUnwindSafe(|| answer(context, request)))
                .unwrap_or_else(|_| Response::bare(Status::Internal))
        });
        if next == Next::Close {
            self.connections[place] = None;
        }
    }

    fn cut_off(&mut self, now: Instant) {
        for place in &mut self.connections {
            if place.as_ref().is_some_and(|one| one.deadline <= now) {
                *place = None;
            }
        }
    }
}

fn answer(context: &Context, request: &Request) -> Response {
    match request.path.as_str() {
        "/" => Response::new(Status::Ok, "text/html; charset=utf-8", PAGE),
        "/status.json" => {
            let json = status::json(&Seen::of(context));
            Response::new(Status::Ok, "application/json", json)
        }
        "/metrics" => {
            let text = metrics::text(&Seen::of(context));
            Response::new(Status::Ok, metrics::CONTENT_TYPE, text)
        }
        "/healthz" => told(Health::of(context).alive()),
        "/readyz" => {
            let health = Health::of(context);
            match (health.ready(), health.degraded()) {
                (Ok(()), degraded) if !degraded.is_empty() => {
                    let lines = degraded.iter().map(|line| format!("degraded: {line}"));
                    Response::text(Status::Ok, &lines.collect::<Vec<_>>().join("\n"))
                }
                (ready, _) => told(ready),
            }
        }
        _ => Response::bare(Status::NotFound),
    }
}

fn told(health: Result<(), Vec<String>>) -> Response {
    match health {
        Ok(()) => Response::text(Status::Ok, "ok"),
        Err(why) => Response::text(Status::Unavailable, &why.join("\n")),
    }
}
