//! Steady clients: each asks at its own moments, whatever became of what it asked before.
//!
//! 1. A latency counts from the moment at which the request was to be sent, so that a server that stands
//!    still is seen by all who would have asked meanwhile.
//! 2. A client whose connection is closed connects again at once; what it had asked is asked again, and
//!    is marked, as is what was due before it had caught up: that client is one whom the fault concerns.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::clock;
use crate::harness::Client;

/// Bytes of a value.
const VALUE_BYTES: usize = 100;

/// How long a client waits for an answer before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// One request, as its client has seen it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// When it was to be sent.
    pub(super) due: Instant,
    pub(super) took: Duration,
    /// Its connection was closed meanwhile.
    pub(super) was_cut: bool,
    /// It was due before its client, whose connection was closed, had another and had caught up.
    pub(super) is_behind: bool,
    /// It was answered with an error.
    pub(super) failed: bool,
}

/// A connection, opened and known to its reactor.
///
/// # Errors
/// The server does not serve.
pub(super) fn connected(address: SocketAddr) -> io::Result<Client> {
    let mut client = Client::connect(address)?.with_patience(PATIENCE);
    client.call(&["PING"])?;
    Ok(client)
}

/// What a client asks, again and again: its keys by turns, written and read.
struct Asking<'a> {
    keys: &'a [String],
    value: String,
    count: usize,
}

impl<'a> Asking<'a> {
    fn new(keys: &'a [String]) -> Self {
        Self {
            keys,
            value: "v".repeat(VALUE_BYTES),
            count: 0,
        }
    }

    /// Asks the next; says whether it was answered with an error.
    fn ask(&mut self, client: &mut Client) -> io::Result<bool> {
        let key = &self.keys[self.count / 2 % self.keys.len()];
        let reply = match self.count % 2 {
            0 => client.call(&["SET", key, &self.value]),
            _ => client.call(&["GET", key]),
        }?;
        self.count += 1;
        Ok(matches!(reply, shardkeep_resp::Value::Error(_)))
    }
}

/// Requests in a second that `clients` get answered, each asking as fast as it is answered, for `time`.
pub(super) fn capacity(clients: &mut [Client], keys: &[String], time: Duration) -> io::Result<f64> {
    let began = clock::now();
    let counts: io::Result<Vec<usize>> = thread::scope(|scope| {
        let asking: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(move || {
                    let mut asking = Asking::new(keys);
                    while clock::now() < began + time {
                        asking.ask(client)?;
                    }
                    Ok(asking.count)
                })
            })
            .collect();
        asking.into_iter().map(joined).collect()
    });
    Ok(counts?.iter().sum::<usize>() as f64 / time.as_secs_f64())
}

/// Lets `clients` ask `rate` times a second in all, while `meanwhile` runs; what each has seen.
pub(super) fn steadily<T>(
    clients: &mut [Client],
    address: SocketAddr,
    keys: &[String],
    rate: f64,
    meanwhile: impl FnOnce() -> io::Result<T>,
) -> io::Result<(T, Vec<Vec<Sample>>)> {
    let (ended, began) = (AtomicBool::new(false), clock::now());
    let each = Duration::from_secs_f64(clients.len() as f64 / rate);
    let count = clients.len() as u32;
    thread::scope(|scope| {
        let ended = &ended;
        let asking: Vec<_> = clients
            .iter_mut()
            .zip(0..)
            .map(|(client, at)| {
                // Not all at one moment.
                let first = began + each * at / count;
                scope.spawn(move || steady(client, address, keys, first, each, ended))
            })
            .collect();
        let done = meanwhile();
        ended.store(true, SeqCst);
        let samples: io::Result<Vec<_>> = asking.into_iter().map(joined).collect();
        Ok((done?, samples?))
    })
}

fn steady(
    client: &mut Client,
    address: SocketAddr,
    keys: &[String],
    first: Instant,
    each: Duration,
    ended: &AtomicBool,
) -> io::Result<Vec<Sample>> {
    let (mut asking, mut samples) = (Asking::new(keys), Vec::new());
    let mut due = first;
    let mut is_behind = false;
    while !ended.load(SeqCst) {
        while let Some(left) = clock::left(due) {
            is_behind = false;
            thread::park_timeout(left);
        }
        let mut was_cut = false;
        let failed = loop {
            match asking.ask(client) {
                Ok(failed) => break failed,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                Err(_) => {
                    was_cut = true;
                    *client = reconnected(address)?;
                }
            }
        };
        samples.push(Sample {
            due,
            took: clock::now().saturating_duration_since(due),
            was_cut,
            is_behind,
            failed,
        });
        is_behind |= was_cut;
        due += each;
    }
    Ok(samples)
}

/// Connects until it is served.
fn reconnected(address: SocketAddr) -> io::Result<Client> {
    let deadline = clock::now() + PATIENCE;
    loop {
        match connected(address) {
            Err(_) if clock::left(deadline).is_some() => {}
            result => return result,
        }
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
}

/// The value below which 99 of 100 of `took` lie; zero of none.
pub(super) fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    let at = (took.len() * 99).div_ceil(100).saturating_sub(1);
    took.get(at).copied().unwrap_or_default()
}

/// The middle one of `values`, in no order.
pub(super) fn median<T: Copy + PartialOrd + Default>(values: &[T]) -> T {
    let mut values = values.to_vec();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p99_of_a_hundred_is_the_last_but_one() {
        let took: Vec<_> = (1..=100).rev().map(Duration::from_micros).collect();
        assert_eq!(p99(took), Duration::from_micros(99));
        assert_eq!(p99(Vec::new()), Duration::ZERO);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median::<f64>(&[]), 0.0);
    }
}
