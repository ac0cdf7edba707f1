//! Lines in, batches out: an event pipeline whose events are stored exactly once.
//!
//! ```text
//! cargo run --release -p shardkeep --example events -- DIRECTORY [--file PATH]... [--listen 127.0.0.1:7000]
//!     [--workers 2] [--permits 1024] [--rate EVENTS_PER_SECOND] [--batch 512] [--report 100000]
//!
//! (echo source tour; seq 1 1000 | sed 's/^/click /') | nc -q 5 127.0.0.1 7000
//! ```
//!
//! ```text
//! reader (one for each file or peer) ─▶ workers ─▶ writer (order, batch, one commit each)
//!    waits for the rate and a permit              gives the permit back
//! ```
//!
//! An event is a line of text, `KIND ...`. With files alone the program ends when they are read;
//! with `--listen` it ends by SIGTERM.
//!
//! 1. Each event is stored once, over any end of the process: what a batch stores and the offsets of its
//!    sources are one transaction. A file goes on from its offset, a peer from the number it is told.
//! 2. The first failure that concerns more than a peer cancels every stage, and is the result.
//! 3. SIGTERM ends the reading; what was read is stored.
//! 4. When the writer is slow, permits run out and readers wait; the counters say how often (`held-back`).

#![expect(clippy::disallowed_methods, reason = "an example may wait")]

use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use shardkeep_core::fail_fast::{FailFast, fail_fast};
use shardkeep_core::semaphore::Semaphore;
use shardkeep_core::token_bucket::TokenBucket;
use shardkeep_core::{CancelToken, Deadline};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

mod flow;
mod peers;
mod reader;
#[path = "../jobs/say.rs"]
mod say;
mod writer;

use flow::{Counts, Event, Flow, Names};
use peers::Open;
use writer::{Vault, Writer};

/// A rate may be exceeded for a hundredth of a second's worth, at least by one.
const BURSTS_PER_SECOND: u64 = 100;

/// A line to standard error; that nobody reads it harms nobody.
fn say(line: impl fmt::Display) {
    say::say(&format!("events: {line}"));
}

struct Settings {
    dir: PathBuf,
    files: Vec<PathBuf>,
    listen: Option<SocketAddr>,
    workers: usize,
    permits: usize,
    rate: Option<u64>,
    batch_max: usize,
    report_every: u64,
}

impl Settings {
    fn from_args() -> Result<Self, Box<dyn Error>> {
        let mut args = std::env::args().skip(1);
        let mut settings = Self {
            dir: args.next().ok_or("the directory is missing")?.into(),
            files: Vec::new(),
            listen: None,
            workers: 2,
            permits: 1_024,
            rate: None,
            batch_max: 512,
            report_every: 100_000,
        };
        while let Some(flag) = args.next() {
            let value = args.next().ok_or(format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--file" => settings.files.push(value.into()),
                "--listen" => settings.listen = Some(value.parse()?),
                "--workers" => settings.workers = value.parse::<usize>()?.clamp(1, 256),
                "--permits" => settings.permits = value.parse::<usize>()?.clamp(1, 16_384),
                "--rate" => settings.rate = Some(value.parse::<u64>()?.max(1)),
                "--batch" => settings.batch_max = value.parse::<usize>()?.clamp(1, 8_192),
                "--report" => settings.report_every = value.parse::<u64>()?.max(1),
                _ => return Err(format!("unknown flag {flag}").into()),
            }
        }
        Ok(settings)
    }
}

fn main() -> ExitCode {
    say::say_panics("events");
    match Settings::from_args().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(say::whole(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let signals = Signals::new([SIGTERM, SIGINT])?;
    let vault = Vault::open(&settings.dir)?;
    let listener = settings.listen.map(TcpListener::bind).transpose()?;
    let counts = Arc::new(Counts::default());
    let began = Instant::now();
    let done = fail_fast(&CancelToken::new(), |group| {
        pipeline(group, &settings, &vault, listener, signals, &counts)
    });
    let seconds = Instant::now()
        .saturating_duration_since(began)
        .as_secs_f64();
    let clean = vault.close().is_clean();
    say(format_args!(
        "ended: {counts} seconds {seconds:.3} clean {clean}"
    ));
    done.map_err(|failure| failure.to_string())?;
    match clean {
        true => Ok(()),
        false => Err("the store did not close cleanly".into()),
    }
}

/// Starts all stages, and accepts connections until it is told to stop.
fn pipeline(
    group: &FailFast<'_, '_, String>,
    settings: &Settings,
    vault: &Vault,
    listener: Option<TcpListener>,
    signals: Signals,
    counts: &Arc<Counts>,
) -> Result<(), String> {
    let (stop, handle) = (group.token().child(), signals.handle());
    // A place for each permit: whoever has an event has a place for it.
    let (to_workers, for_workers) = bounded(settings.permits);
    let (to_writer, for_writer) = bounded(settings.permits);
    for number in 0..settings.workers {
        let (input, output) = (for_workers.clone(), to_writer.clone());
        group.spawn(format!("worker-{number}"), move |abort| {
            work(&input, &output, abort);
            Ok(())
        });
    }
    // Theirs alone now: a stage ends when all ends on its other side are gone.
    drop((for_workers, to_writer));
    let writer = Writer {
        vault: vault.clone(),
        counts: Arc::clone(counts),
        batch_max: settings.batch_max,
        report_every: settings.report_every,
    };
    let last = Last(stop.clone(), handle);
    group.spawn("writer", move |abort| {
        let _last = last;
        let written = writer.write(&for_writer, abort);
        written.map_err(|error| error.to_string())
    });
    let by_signal = stop.clone();
    group.spawn("signals", move |_| {
        await_signals(signals, &by_signal);
        Ok(())
    });
    let (names, open) = (Names::default(), Open::default());
    let address = listener.as_ref().map(TcpListener::local_addr);
    let address = address.transpose().map_err(|error| error.to_string())?;
    let (by_stop, reading) = (stop.clone(), open.clone());
    group.spawn("closer", move |_| {
        // Ends by a signal, by a failure, or by the writer's end.
        by_stop.wait_until(Deadline::after(Duration::MAX).instant());
        reading.close();
        let wakes = |address| TcpStream::connect_timeout(&address, Duration::from_secs(1));
        drop(address.map(wakes));
        Ok(())
    });
    let bucket = |rate| TokenBucket::new(rate, rate / BURSTS_PER_SECOND, Instant::now());
    let flow = Flow {
        stop,
        abort: group.token().clone(),
        permits: Semaphore::new(settings.permits),
        rate: settings.rate.map(|rate| Arc::new(Mutex::new(bucket(rate)))),
        events: to_workers,
        counts: Arc::clone(counts),
    };
    for (number, path) in settings.files.iter().cloned().enumerate() {
        let (names, vault, flow) = (names.clone(), vault.clone(), flow.clone());
        group.spawn(format!("file-{number}"), move |_| {
            reader::read_file(&path, &names, &vault, &flow)
        });
    }
    match (listener, address) {
        (Some(listener), Some(address)) => {
            say(format_args!("ready: listening on {address}"));
            peers::listen(group, &listener, &open, &names, vault, &flow)
        }
        _ => Ok(()),
    }
}

/// Goes with the last stage: then there is nothing more to stop.
struct Last(CancelToken, Handle);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.cancel();
        self.1.close();
    }
}

/// The first signal ends the reading, the second everything.
fn await_signals(mut signals: Signals, stop: &CancelToken) {
    for (count, _) in signals.forever().enumerate() {
        if count > 0 {
            say("a second signal: ended at once");
            std::process::exit(1);
        }
        stop.cancel();
    }
}

/// One of the pool: puts a checksum behind the kind of each event. The place for your own work.
fn work(input: &Receiver<Event>, output: &Sender<Event>, abort: &CancelToken) {
    for mut event in input {
        let kind = reader::kind_of(&event.text);
        let sum = checksum(event.text.as_bytes());
        event.text = format!("{kind} {sum:016x}{}", &event.text[kind.len()..]);
        if abort.is_cancelled() || output.send(event).is_err() {
            return;
        }
    }
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
