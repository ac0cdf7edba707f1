//! Jobs over HTTP: accepted once they are durable, run by workers that are started again when they fail.
//!
//! ```text
//! cargo run --release -p shardkeep --example jobs -- DIRECTORY [--bind 127.0.0.1:8080] [--workers 4] [--queue 1000]
//!
//! curl -d 'upper hello' http://127.0.0.1:8080/jobs       202 {"id":7,..}, or 503 with Retry-After
//! curl http://127.0.0.1:8080/jobs/7                      its state and what it says
//! curl -X DELETE http://127.0.0.1:8080/jobs/7            200 cancelled, 202 asked to stop, 409 over
//! curl http://127.0.0.1:8080/stats                       counters, threads, queue, supervision tree
//! ```
//!
//! There is no password: leave it on the loopback address. The tree, stopped from the top; SIGTERM stops it, or that a child was given up:
//!
//! | child | restart | stopped by |
//! |---|---|---|
//! | `http-N` | 5 in 10 s, then the program ends | the end of what it reads, and a connection that wakes its accept |
//! | `worker-N` | for ever, after 10 ms to 100 ms | closing the queue, and its token |
//!
//! 1. A job that was answered with 202 runs, over any end of the process: at least once, and with a
//!    result once. What has waited or run at the end is in the store, and queued at the next start.
//! 2. A job that panics is tried again later, and parked after its last attempt.
//! 3. What cannot be written down is not run: a store that fails ends the program, with the reason.
//! 4. Bounded are: places for jobs, connections (one for each `http-N`), bytes and time of a request. Jobs
//!    that are over are kept for a day, however many they are.

#![expect(clippy::disallowed_methods, reason = "an example may wait")]

use std::error::Error;
use std::fmt;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use shardkeep_core::Deadline;
use shardkeep_core::restart::Backoff;
use shardkeep_core::supervisor::{ChildEvent, ChildSpec, Life, Supervisor};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

mod api;
mod board;
mod http;
mod job;
mod queue;
mod say;
mod task;
mod worker;

use board::Board;

/// Threads that each serve one connection at a time; further connections wait in the kernel.
const HTTP_THREADS: usize = 8;

/// Longest that the whole drain may take; then the program ends without it.
const DRAIN_TIME: Duration = Duration::from_secs(20);

/// How long the threads of one kind may take to stop.
const STOP_TIME: Duration = Duration::from_secs(8);

/// Soon, because it is the jobs that fail and not the workers, and the jobs wait longer.
const WORKER_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(10),
    max: Duration::from_millis(100),
};

/// Why the program ends.
enum End {
    Signal,
    Failed(String),
}

/// A line to standard error; that nobody reads it harms nobody.
fn say(line: impl fmt::Display) {
    say::say(&format!("jobs: {line}"));
}

struct Settings {
    dir: PathBuf,
    bind: SocketAddr,
    workers: usize,
    places: usize,
}

impl Settings {
    fn from_args() -> Result<Self, Box<dyn Error>> {
        let mut args = std::env::args().skip(1);
        let mut settings = Self {
            dir: args.next().ok_or("the directory is missing")?.into(),
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workers: 4,
            places: 1_000,
        };
        while let Some(flag) = args.next() {
            let value = args.next().ok_or(format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--bind" => settings.bind = value.parse()?,
                "--workers" => settings.workers = value.parse::<usize>()?.clamp(1, 256),
                "--queue" => settings.places = value.parse::<usize>()?.clamp(1, 1_000_000),
                _ => return Err(format!("unknown flag {flag}").into()),
            }
        }
        Ok(settings)
    }
}

fn main() -> ExitCode {
    say::say_panics("jobs");
    match Settings::from_args().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(say::whole(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    // Whoever comes after the first has nothing to add.
    let (ends, ended) = bounded(1);
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (handle, by_signal) = (signals.handle(), ends.clone());
    let signals = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for (count, _) in signals.forever().enumerate() {
                if count > 0 {
                    say("a second signal: ended at once");
                    std::process::exit(1);
                }
                drop(by_signal.try_send(End::Signal));
            }
        })?;

    let board = Board::open(&settings.dir, settings.places, settings.workers)?;
    let board = Arc::new(board);
    let found = board.depth().waiting;
    let by_child = ends.clone();
    let tree = Arc::new(Supervisor::new(move |event| {
        say(&event);
        if let ChildEvent::Escalated { child, why } = event {
            drop(by_child.try_send(End::Failed(format!("{child}: {why}"))));
        }
    }));
    let address = start(&settings, &tree, &board, &ends)?;
    say(format_args!(
        "ready: listening on {address} ({found} jobs from before)"
    ));

    // Ends by a signal or by a child that is given up: the channel has a place for the first of them.
    let end = ended.recv()?;
    let left = tree.stop(Deadline::after(DRAIN_TIME)).left;
    let report = board.close(STOP_TIME);
    handle.close();
    drop(signals.join());
    let clean = left.is_empty() && report.is_clean();
    let depth = board.depth();
    say(format_args!(
        "drained: {} jobs left for the next start, threads left: {left:?}, clean: {clean}",
        depth.taken
    ));
    match end {
        End::Failed(why) => Err(why.into()),
        End::Signal if !clean => Err("the drain was not clean".into()),
        End::Signal => Ok(()),
    }
}

/// Starts all children; returns where the program listens.
fn start(
    settings: &Settings,
    tree: &Arc<Supervisor>,
    board: &Arc<Board>,
    ends: &Sender<End>,
) -> Result<SocketAddr, Box<dyn Error>> {
    let listener = Arc::new(TcpListener::bind(settings.bind)?);
    let address = listener.local_addr()?;
    for number in 0..settings.workers {
        let (on, closed, ends) = (Arc::clone(board), Arc::clone(board), ends.clone());
        let spec = ChildSpec::new(format!("worker-{number}"))
            .intensity(None)
            .backoff(WORKER_BACKOFF)
            .order(1)
            .stop_within(STOP_TIME)
            .on_stop(move || closed.close_queue());
        tree.start(spec, move |life| {
            worker::work(&on, life).map_err(|error| {
                // What cannot be written down must not be run.
                let why = format!("a job could not be noted: {error}");
                drop(ends.try_send(End::Failed(why.clone())));
                why
            })
        })?;
    }
    for number in 0..HTTP_THREADS {
        let (listener, board, seen) = (listener.clone(), board.clone(), Arc::downgrade(tree));
        let at = Arc::new(At::default());
        let open = Arc::clone(&at);
        let spec = ChildSpec::new(format!("http-{number}"))
            .stop_within(STOP_TIME)
            .on_stop(move || {
                open.end_reading();
                let time = Duration::from_millis(100);
                drop(TcpStream::connect_timeout(&address, time));
            });
        tree.start(spec, move |life| {
            listen(&listener, life, &at, &board, &seen)
        })?;
    }
    Ok(address)
}

/// The connection that a thread is at.
#[derive(Default)]
struct At(Mutex<Option<TcpStream>>);

impl At {
    /// A request that is not whole yet will not be: a silent client must not hold up the end.
    fn end_reading(&self) {
        if let Some(stream) = &*self.0.lock() {
            drop(stream.shutdown(Shutdown::Read));
        }
    }
}

/// Serves one connection after the other.
fn listen(
    listener: &TcpListener,
    life: &Life,
    at: &At,
    board: &Board,
    tree: &Weak<Supervisor>,
) -> Result<(), String> {
    loop {
        // Ends by a connection; the one that stops the program makes one.
        let accepted = listener.accept();
        if life.is_stopping() {
            return Ok(());
        }
        match (accepted, tree.upgrade()) {
            (Ok((stream, _)), Some(tree)) => {
                *at.0.lock() = stream.try_clone().ok();
                // Whoever stops it after this look finds the connection.
                if !life.is_stopping() {
                    http::serve(stream, |request| api::answer(board, &tree, request));
                }
                *at.0.lock() = None;
            }
            (Ok(_), None) => return Ok(()),
            (Err(error), _) if is_passing(&error) => {}
            (Err(error), _) => return Err(error.to_string()),
        }
    }
}

/// Whether it was the connection that failed, and not the listening.
fn is_passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}
