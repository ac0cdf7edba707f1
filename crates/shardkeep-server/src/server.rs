//! Starts the threads of a server, and brings them home.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::{Poll, Waker};
use shardkeep::engine::supervisor::{ChildSpec, ChildState, Life, Supervisor};
use shardkeep::engine::{CloseReport, Deadline, OpenError};

use crate::admin::AdminListener;
use crate::clock;
use crate::config::Settings;
use crate::context::{Context, Parts};
use crate::engine::ReplyPort;
use crate::fault::{Fault, is_planted};
use crate::keeper::Keeper;
use crate::listening::listen;
use crate::notify::Notifier;
use crate::opening::{KeptAt, Opening};
use crate::operator::Operator;
use crate::persistence::{Persistence, Request};
use crate::reactor::{Acceptor, Arrival, Door, Listener, Reactor, WAKER};
use crate::stats::ReactorStats;
use crate::tree;

/// Requests to shut down that may wait to be heard: the first decides.
const SHUTDOWN_REQUESTS_MAX: usize = 4;

/// A running server. Dropping it without [`Server::drain`] drains it too, within ten seconds.
pub struct Server {
    context: Arc<Context>,
    addresses: Vec<String>,
    requests: Receiver<ShutdownCause>,
    supervisor: Arc<Supervisor>,
    /// Of the admin endpoint alone, which outlives the others.
    last: Arc<Supervisor>,
    ready: Receiver<()>,
    admin: Option<SocketAddr>,
    is_drained: bool,
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
        /// Why, the last time; it names the place in the log if there is one.
        why: String,
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
            Self::NotRebuilt { shard, why } => {
                write!(f, "shard {shard} could not be made again: {why}")
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
            Self::Listen { source, .. } | Self::System { source, .. } => source.source(),
            Self::Open(OpenError::Recovery(error)) => error.source(),
            Self::Open(error) => error.source(),
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
    given_up: u64,
    threads_left: usize,
    store: CloseReport,
    took: Duration,
}

impl DrainReport {
    /// Whether everything that was admitted was finished and answered, and every thread came home. Replies that
    /// a client had stopped reading are its own loss.
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
            given_up,
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
             cut_off={cut_off} given_up={given_up} lost={} unsynced={} shards_away={} threads_left={} took={:.3}s",
            store.lost,
            store.unsynced,
            store.shards_away,
            threads_left + store.owners_left,
            took.as_secs_f64()
        )?;
        match &store.log_failed {
            Some(why) => write!(f, "; the log has failed: {why}"),
            None => Ok(()),
        }
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
        let supervisor = Arc::new(tree::supervisor(context.shutdown.clone()));
        let last = Arc::new(tree::supervisor(context.shutdown.clone()));
        context
            .supervisors
            .get_or_init(|| [&supervisor, &last].map(Arc::downgrade));
        let (ready_sender, ready) = bounded(1);
        let mut server = Self {
            context,
            addresses,
            requests,
            supervisor,
            last,
            ready,
            admin: None,
            is_drained: false,
        };
        if let Some(bound) = admin {
            let started = bound.start(&server.context, &server.last);
            server.admin = Some(system("poll or thread for the admin endpoint", started)?);
        }
        let doors = server.start_reactors()?;
        server.start_acceptor(listeners, doors)?;
        server.start_watchdog()?;
        match kept {
            Some((kept, requests)) => server.start_keeper(kept, requests, ready_sender)?,
            // There is one place, and nobody else has the other end.
            None => {
                server.context.keep.watch(&server.context.watch);
                let _told = ready_sender.try_send(());
            }
        }
        Ok(server)
    }

    /// Starts the recovery.
    fn start_keeper(
        &self,
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
        let mut keeper = Some(Keeper {
            context: Arc::clone(&self.context),
            requests,
            directory,
            durable,
            route,
            ready,
        });
        let context = Arc::clone(&self.context);
        let stop = move || {
            if let Some(persistence) = &context.persistence {
                persistence.stop();
            }
        };
        self.spawn(tree::keeper().on_stop(stop), move |_| {
            // It is not restarted.
            if let Some(keeper) = keeper.take() {
                keeper.run();
            }
            Ok(())
        })
    }

    fn start_reactors(&self) -> Result<Vec<Door>, StartError> {
        let mut doors = Vec::new();
        for (number, stats) in self.context.reactors.iter().enumerate() {
            let poll = system("poll", Poll::new())?;
            let waker = system("waker", Waker::new(poll.registry(), WAKER))?;
            let port = Arc::new(ReplyPort::new(self.context.routes.shards(), waker));
            let (arrivals, receiver) = bounded::<Arrival>(self.context.clients.max());
            let mut reactor = Reactor::new(
                Arc::clone(&self.context),
                Arc::clone(stats),
                Arc::clone(&port),
                receiver,
                poll,
                number,
            );
            let pulse = reactor.pulse.clone();
            let name = format!("shardkeep-reactor-{number}");
            self.context.watch.add(name, move || pulse.sight());
            let rung = Arc::clone(&port);
            let spec = tree::reactor(number).on_stop(move || rung.ring());
            self.spawn(spec, move |life| {
                if life.restarts() > 0 {
                    reactor.begin_again();
                }
                reactor.run().map_err(|error| error.to_string())
            })?;
            doors.push(Door { arrivals, port });
        }
        Ok(doors)
    }

    fn start_acceptor(&self, listeners: Vec<Listener>, doors: Vec<Door>) -> Result<(), StartError> {
        let poll = system("poll", Poll::new())?;
        let waker = system("waker", Waker::new(poll.registry(), WAKER))?;
        let mut acceptor = Acceptor {
            context: Arc::clone(&self.context),
            listeners,
            doors,
            poll,
        };
        // An error would mean that its poll is gone, and with it the thread.
        let spec = tree::acceptor().on_stop(move || drop(waker.wake()));
        self.spawn(spec, move |_| {
            acceptor.run().map_err(|error| error.to_string())
        })
    }

    fn start_watchdog(&self) -> Result<(), StartError> {
        let context = Arc::clone(&self.context);
        self.spawn(tree::watchdog(), move |life| tree::watch(&context, life))
    }

    fn spawn(
        &self,
        spec: ChildSpec,
        body: impl FnMut(&Life) -> Result<(), String> + Send + 'static,
    ) -> Result<(), StartError> {
        system("thread", self.supervisor.start(spec, body))
    }

    /// Every thread of the server as it is now: its own, and those of its store.
    #[must_use]
    pub fn threads(&self) -> Vec<ChildState> {
        self.context.threads()
    }

    /// Says from now on that the server is not ready, and goes on serving: time for those who send it
    /// work to notice.
    pub fn announce_stop(&self) {
        self.context.stopping.store(true, SeqCst);
    }

    /// Some of its settings come from this file.
    pub(crate) fn note_config_file(&self, file: &Path) {
        self.context.config_file.get_or_init(|| file.to_owned());
    }

    /// Tells `notifier` that the server is alive, as long as nobody is stalled.
    pub(crate) fn keep_alive(&self, notifier: Notifier) -> &Notifier {
        self.context.notifier.get_or_init(|| notifier)
    }

    /// Where it listens: TCP addresses with their real ports, then the path of the unix socket.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Where its admin endpoint is, if it has one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
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
        self.drain_until(clock::later(clock::now(), cap))
    }

    fn drain_until(&mut self, until: Instant) -> DrainReport {
        let began = clock::now();
        let connections = self.context.clients.connected() as u64;
        self.is_drained = true;
        self.context.drain(until);
        // The drain's own cap ends each of them; this is time to notice it.
        let stopped = self
            .supervisor
            .stop(Deadline::from(clock::later(until, JOIN_GRACE)));
        if is_planted(Fault::EndedBeforeLastSync) {
            std::process::exit(0);
        }
        let store = self
            .context
            .keep
            .close(Deadline::from(clock::later(until, JOIN_GRACE)));
        // Until here it told that the server drains.
        let last = self
            .last
            .stop(Deadline::from(clock::later(until, JOIN_GRACE)));
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
            // Of a reactor that has failed or is stuck nobody has closed the connections.
            cut_off: total(|reactor| reactor.cut_off.get() + reactor.connections.get()),
            given_up: total(|reactor| reactor.given_up.get()),
            threads_left: stopped.left.len() + last.left.len(),
            store,
            took: clock::now().saturating_duration_since(began),
        }
    }
}

/// What a thread may take beyond the cap to notice it.
const JOIN_GRACE: Duration = Duration::from_millis(200);

/// How long a drain may take after the server has lost a thread that it cannot do without: what it does
/// now nobody can rely on.
pub(crate) const HALF_ALIVE_CAP: Duration = Duration::from_millis(700);

/// How long a server that is dropped without a drain waits.
const DROP_CAP: Duration = Duration::from_secs(10);

impl Drop for Server {
    fn drop(&mut self) {
        if !self.is_drained {
            // Whoever drops it in a panic will not come back.
            let cap = match std::thread::panicking() {
                true => HALF_ALIVE_CAP,
                false => DROP_CAP,
            };
            let _unread = self.drain_until(clock::later(clock::now(), cap));
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
