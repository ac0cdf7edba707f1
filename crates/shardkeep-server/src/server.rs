//! Starts the threads of a server, and brings them home.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::{Poll, Waker};
use shardkeep::engine::{CloseReport, Deadline, OpenError};

use crate::admin::{AdminListener, AdminThread};
use crate::clock;
use crate::config::Settings;
use crate::context::{Context, Parts};
use crate::engine::ReplyPort;
use crate::keeper::Keeper;
use crate::listening::listen;
use crate::opening::{KeptAt, Opening};
use crate::operator::Operator;
use crate::persistence::{Persistence, Request};
use crate::reactor::{Acceptor, Arrival, Door, Listener, Reactor, WAKER};
use crate::stats::ReactorStats;

/// Requests to shut down that may wait to be heard: the first decides.
const SHUTDOWN_REQUESTS_MAX: usize = 4;

/// A running server. Dropping it without [`Server::drain`] drains it too, within ten seconds.
pub struct Server {
    context: Arc<Context>,
    addresses: Vec<String>,
    requests: Receiver<ShutdownCause>,
    acceptor: Option<(JoinHandle<()>, Arc<Waker>)>,
    reactors: Vec<(JoinHandle<()>, Arc<ReplyPort>)>,
    done: Receiver<()>,
    ready: Receiver<()>,
    /// The thread of a store with a directory, and where it says that it has ended.
    keeper: Option<(JoinHandle<()>, Receiver<()>)>,
    admin: Option<AdminThread>,
}

/// Why the server itself asks to be shut down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShutdownCause {
    /// A client sent SHUTDOWN.
    Command,
    /// A thread has ended that the server cannot do without.
    ThreadDied {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// What is in the directory could not be read. It was not changed.
    NotRecovered {
        /// Why, and what to do.
        why: String,
    },
    /// A lost shard could not be made again from the log, again and again.
    NotRebuilt {
        /// The shard.
        shard: usize,
    },
}

impl ShutdownCause {
    /// Whether this is a failure.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Command => false,
            Self::ThreadDied { .. } | Self::NotRecovered { .. } | Self::NotRebuilt { .. } => true,
        }
    }
}

impl fmt::Display for ShutdownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command => f.write_str("a client sent SHUTDOWN"),
            Self::ThreadDied { name, why } => write!(f, "thread {name} has ended: {why}"),
            Self::NotRecovered { why } => write!(f, "the store was not recovered: {why}"),
            Self::NotRebuilt { shard } => {
                write!(f, "shard {shard} could not be made again from the log")
            }
        }
    }
}

/// Why a server did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    Listen {
        /// The address or path.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The operating system gave no poll, waker or thread.
    System {
        /// What was wanted.
        what: &'static str,
        /// Why there is none.
        source: io::Error,
    },
    /// The store did not open.
    Open(OpenError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::System { what, source } => write!(f, "no {what} to be had: {source}"),
            Self::Open(OpenError::Recovery(error)) => {
                write!(f, "the store was not opened: {error}")
            }
            Self::Open(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { source, .. } | Self::System { source, .. } => Some(source),
            Self::Open(error) => Some(error),
        }
    }
}

/// What a drain found and left.
#[derive(Clone, Debug)]
pub struct DrainReport {
    connections: u64,
    commands: u64,
    refused: u64,
    cut_off: u64,
    threads_left: usize,
    store: CloseReport,
    took: Duration,
}

impl DrainReport {
    /// Whether everything that was admitted was finished and answered, and every thread came home.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cut_off == 0 && self.threads_left == 0 && self.store.is_clean()
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            commands,
            refused,
            cut_off,
            threads_left,
            store,
            took,
        } = self;
        let how = if self.is_clean() {
            "drained"
        } else {
            "drain cut short"
        };
        write!(
            f,
            "{how}: connections={connections} commands={commands} refused={refused} \
             cut_off={cut_off} lost={} unsynced={} shards_away={} threads_left={} took={:.3}s",
            store.lost,
            store.unsynced,
            store.shards_away,
            threads_left + store.owners_left,
            took.as_secs_f64()
        )
    }
}

impl Server {
    /// Opens the store, binds every address and starts the threads. Returns when connections are
    /// accepted.
    ///
    /// # Errors
    /// What cannot be had, by name; nothing is left running then.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_with(settings, |kept| kept)
    }

    /// As [`Server::start`], with the way to the disk as `change` makes it: for tests.
    fn start_with(
        settings: Settings,
        change: impl FnOnce(KeptAt) -> KeptAt,
    ) -> Result<Self, StartError> {
        let (listeners, addresses, port) = listen(&settings)?;
        let admin = AdminListener::bind(settings.admin).map_err(|(address, source)| {
            StartError::Listen {
                address: address.to_string(),
                source,
            }
        })?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let reactors = settings.reactors.unwrap_or(cores);
        let (shutdown, requests) = bounded(SHUTDOWN_REQUESTS_MAX);
        let opening = Opening {
            settings: &settings,
            reactors,
            shutdown: shutdown.clone(),
        };
        let opened = opening.open().map_err(StartError::Open)?;
        let (persistence, kept) = match opened.kept.map(change) {
            Some(kept) => {
                let (persistence, requests) = Persistence::new(kept.compression);
                (Some(persistence), Some((kept, requests)))
            }
            None => (None, None),
        };
        let context = Arc::new(Context::new(Parts {
            keep: opened.keep,
            routes: opened.routes,
            gauges: opened.gauges,
            persistence,
            reactors: (0..reactors)
                .map(|_| Arc::new(ReactorStats::new()))
                .collect(),
            settings,
            started: clock::now(),
            run_id: run_id(),
            port,
            shutdown,
        }));
        let (done_sender, done) = bounded(reactors + 1);
        let (ready_sender, ready) = bounded(1);
        let mut server = Self {
            context,
            addresses,
            requests,
            acceptor: None,
            reactors: vec![],
            done,
            ready,
            keeper: None,
            admin: None,
        };
        if let Some(bound) = admin {
            let context = Arc::clone(&server.context);
            server.admin = Some(system(
                "admin endpoint",
                AdminThread::start(context, bound),
            )?);
        }
        let doors = server.start_reactors(&done_sender)?;
        server.start_acceptor(listeners, doors, done_sender)?;
        match kept {
            Some((kept, requests)) => server.start_keeper(kept, requests, ready_sender)?,
            // There is one place, and nobody else has the other end.
            None => {
                let _told = ready_sender.try_send(());
            }
        }
        Ok(server)
    }

    /// Starts the recovery.
    fn start_keeper(
        &mut self,
        kept: KeptAt,
        requests: Receiver<Request>,
        ready: Sender<()>,
    ) -> Result<(), StartError> {
        let KeptAt {
            directory,
            durable,
            route,
            compression: _,
        } = kept;
        let keeper = Keeper {
            context: Arc::clone(&self.context),
            requests,
            directory,
            durable,
            route,
            ready,
        };
        let (done, ended) = bounded(1);
        let handle = self.spawn("shardkeep-keeper".into(), done, move || {
            keeper.run();
            Ok(())
        })?;
        self.keeper = Some((handle, ended));
        Ok(())
    }

    fn start_reactors(
        &mut self,
        done: &crossbeam_channel::Sender<()>,
    ) -> Result<Vec<Door>, StartError> {
        let mut doors = Vec::new();
        for (number, stats) in self.context.reactors.iter().enumerate() {
            let poll = system("poll", Poll::new())?;
            let waker = system("waker", Waker::new(poll.registry(), WAKER))?;
            let port = Arc::new(ReplyPort::new(self.context.routes.shards(), waker));
            let (arrivals, receiver) = bounded::<Arrival>(self.context.clients.max());
            let reactor = Reactor::new(
                Arc::clone(&self.context),
                Arc::clone(stats),
                Arc::clone(&port),
                receiver,
                poll,
                number,
            );
            let name = format!("shardkeep-reactor-{number}");
            let handle = self.spawn(name, done.clone(), move || reactor.run())?;
            doors.push(Door {
                arrivals,
                port: Arc::clone(&port),
            });
            self.reactors.push((handle, port));
        }
        Ok(doors)
    }

    fn start_acceptor(
        &mut self,
        listeners: Vec<Listener>,
        doors: Vec<Door>,
        done: crossbeam_channel::Sender<()>,
    ) -> Result<(), StartError> {
        let poll = system("poll", Poll::new())?;
        let waker = Arc::new(system("waker", Waker::new(poll.registry(), WAKER))?);
        let acceptor = Acceptor {
            context: Arc::clone(&self.context),
            listeners,
            doors,
            poll,
        };
        let handle = self.spawn("shardkeep-acceptor".into(), done, move || acceptor.run())?;
        self.acceptor = Some((handle, waker));
        Ok(())
    }

    /// Starts a thread the server cannot do without: if it ends before the drain, the server asks to
    /// be shut down.
    fn spawn(
        &self,
        name: String,
        done: crossbeam_channel::Sender<()>,
        run: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<JoinHandle<()>, StartError> {
        let context = Arc::clone(&self.context);
        let thread = name.clone();
        let body = move || {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            let why = match ended {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it panicked".to_owned()),
            };
            if let Some(why) = why {
                let cause = ShutdownCause::ThreadDied { name: thread, why };
                // Full means that somebody has asked already.
                drop(context.shutdown.try_send(cause));
            }
            drop(context);
            // One place for each thread.
            let _told = done.try_send(());
        };
        system("thread", std::thread::Builder::new().name(name).spawn(body))
    }

    /// Where it listens: TCP addresses with their real ports, then the path of the unix socket.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Where its admin endpoint is, if it has one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(AdminThread::address)
    }

    /// The server in the hands of its operator.
    pub(crate) fn operator(&self) -> Operator {
        Operator::new(&self.context)
    }

    /// Says once that commands on keys are served: at once in memory, after its recovery with a
    /// directory.
    #[must_use]
    pub fn ready(&self) -> Receiver<()> {
        self.ready.clone()
    }

    /// Requests to shut the server down that come from inside.
    #[must_use]
    pub fn shutdown_requests(&self) -> Receiver<ShutdownCause> {
        self.requests.clone()
    }

    /// Stops accepting, answers what was read, refuses what comes later, closes every connection and
    /// the store, and joins all threads. Blocks until that is done, `cap` at most.
    #[must_use]
    pub fn drain(mut self, cap: Duration) -> DrainReport {
        self.drain_until(clock::now() + cap)
    }

    fn drain_until(&mut self, until: Instant) -> DrainReport {
        let began = clock::now();
        let connections = self.context.clients.connected() as u64;
        self.context.drain(until);
        let acceptor = self.acceptor.take();
        let reactors = std::mem::take(&mut self.reactors);
        let mut threads = reactors.len();
        if let Some((_, waker)) = &acceptor {
            threads += 1;
            // An error would mean that its poll is gone, and with it the thread.
            drop(waker.wake());
        }
        for (_, port) in &reactors {
            port.ring();
        }
        let mut ended = 0;
        // Each thread says when it has ended; the cap ends the wait.
        while ended < threads && self.done.recv_deadline(until + JOIN_GRACE).is_ok() {
            ended += 1;
        }
        if ended == threads {
            let handles = reactors.into_iter().map(|(handle, _)| handle);
            for handle in handles.chain(acceptor.map(|(handle, _)| handle)) {
                // It has said that it ended; a panic was caught and told before.
                drop(handle.join());
            }
        }
        let keeper_left = self.end_keeper(until);
        let store = self.context.keep.close(Deadline::from(until + JOIN_GRACE));
        // Until here it told that the server drains.
        let admin = self.admin.take();
        let admin_left = admin.map_or(0, |admin| admin.end(until + JOIN_GRACE));
        if store.owners_left > 0 {
            // A thread that waits for the disk is left to the end of the process: dropping the store
            // would wait for it once more.
            std::mem::forget(Arc::clone(&self.context));
        }
        let total = |pick: fn(&ReactorStats) -> u64| -> u64 {
            self.context
                .reactors
                .iter()
                .map(|reactor| pick(reactor))
                .sum()
        };
        DrainReport {
            connections,
            commands: total(|reactor| reactor.commands.get()),
            refused: total(|reactor| reactor.refused_draining.get()),
            cut_off: total(|reactor| reactor.cut_off.get()),
            threads_left: threads - ended + keeper_left + admin_left,
            store,
            took: clock::now().saturating_duration_since(began),
        }
    }
}

impl Server {
    /// Ends the recovery or the snapshot that is under way; gives how many threads that left.
    fn end_keeper(&mut self, until: Instant) -> usize {
        let (Some(persistence), Some((handle, ended))) =
            (&self.context.persistence, self.keeper.take())
        else {
            return 0;
        };
        persistence.stop();
        // It ends after the step it is at, or its disk does not answer by the cap.
        if ended.recv_deadline(until + JOIN_GRACE).is_err() {
            return 1;
        }
        // It has said that it ended; a panic was caught and told before.
        drop(handle.join());
        0
    }
}

/// What a thread may take beyond the cap to notice it.
const JOIN_GRACE: Duration = Duration::from_millis(200);

/// How long a server that is dropped without a drain waits.
const DROP_CAP: Duration = Duration::from_secs(10);

impl Drop for Server {
    fn drop(&mut self) {
        if self.acceptor.is_some() || !self.reactors.is_empty() {
            let _unread = self.drain_until(clock::now() + DROP_CAP);
        }
    }
}

fn system<T>(what: &'static str, result: io::Result<T>) -> Result<T, StartError> {
    result.map_err(|source| StartError::System { what, source })
}

/// 160 random bits, from the same source as the seeds of the hasher.
fn run_id() -> String {
    let random = |salt: u64| ahash::RandomState::new().hash_one(salt);
    let digits = format!("{:016x}{:016x}{:016x}", random(1), random(2), random(3));
    digits[..40].to_owned()
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "log_tests/mod.rs"]
mod log_tests;
