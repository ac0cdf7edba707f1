//! The closed loop: send a bundle of requests, wait for all replies, send the next.
//!
//! A latency counts from sending to the reply, if the reply came inside the window. While a server
//! stands still nothing is sent, so a pause of any length is one bundle of slow samples.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, Shared};
use super::generator::{EVENTS_MAX, Load, SILENCE_MAX, poll_again};
use crate::{clock, figures};

/// The phases of a load, set by the watcher.
pub(super) const WARM_UP: u8 = 0;
pub(super) const MEASURE: u8 = 1;
pub(super) const STOP: u8 = 2;

/// A connection, and since when its bundle is awaited.
struct Line {
    connection: Connection,
    sent_at: Instant,
}

impl Line {
    fn begin(&mut self, load: &Load<'_>, now: Instant) -> Result<()> {
        self.sent_at = now;
        self.connection.ask(load.tape, load.pipeline)
    }

    /// Reads what has arrived; when the bundle is answered, sends the next. `record` learns of every
    /// moment replies came: since when they were awaited, the moment, how many. Where the server has
    /// `closed`, no later event says so: then it reads to the end, which is an error.
    fn receive(
        &mut self,
        load: &Load<'_>,
        shared: &mut Shared<'_>,
        closed: bool,
        mut record: impl FnMut(Instant, Instant, u64),
    ) -> Result<()> {
        loop {
            let received = self.connection.receive(shared)?;
            if received.replies > 0 {
                let now = clock::now();
                record(self.sent_at, now, received.replies as u64);
                if self.connection.in_flight() == 0 && !closed {
                    return self.begin(load, now);
                }
            }
            if !received.more && !closed {
                return Ok(());
            }
        }
    }
}

/// One thread: sends everywhere, then answers events until told to stop. Returns the latencies, and
/// how many replies were wrong.
pub(super) fn drive(
    load: &Load<'_>,
    connections: Vec<Connection>,
    phase: &AtomicU8,
    counter: &AtomicU64,
) -> Result<(Histogram<u64>, u64)> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut latencies = figures::latency_histogram()?;
    let mut shared = Shared::new(load.tape, load.check_every);
    let mut lines = Vec::new();
    for (index, mut connection) in connections.into_iter().enumerate() {
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut connection.stream, Token(index), both)?;
        let sent_at = clock::now();
        let mut line = Line {
            connection,
            sent_at,
        };
        line.begin(load, sent_at)?;
        lines.push(line);
    }
    loop {
        if !poll_again(&mut poll, &mut events, SILENCE_MAX)? {
            continue;
        }
        if events.is_empty() {
            bail!("no reply for {SILENCE_MAX:?}");
        }
        let phase = phase.load(Ordering::Relaxed);
        if phase == STOP {
            return Ok((latencies, shared.wrong));
        }
        for event in &events {
            let line = &mut lines[event.token().0];
            line.connection.send(load.tape)?;
            let closed = event.is_read_closed();
            line.receive(load, &mut shared, closed, |sent_at, now, count| {
                if phase == MEASURE {
                    figures::record(&mut latencies, now - sent_at, count);
                }
            })?;
        }
        counter.store(shared.replies, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;

    use super::super::generator::{CHECK_EVERY, Pace};
    use super::super::testing::{tape, value_reply};
    use super::*;
    use crate::threads;

    const PIPELINE: usize = 4;
    /// Replies after which the load is told to stop; a whole number of bundles.
    const REPLIES: usize = 10 * PIPELINE;

    type Answer = fn(u64) -> Vec<u8>;

    /// Drives one connection against a server whose reply to a key is what `answer` makes of it,
    /// empty for closing; the server itself ends the load, so no time is involved.
    fn drive_against(answer: Answer) -> Result<(Histogram<u64>, u64)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let phase = AtomicU8::new(MEASURE);
        let counter = AtomicU64::new(0);
        let tape = tape(100, 64);
        let load = Load {
            tape: &tape,
            check_every: Some(CHECK_EVERY),
            connections: 1,
            pipeline: PIPELINE,
            threads: 1,
            warm_up: Duration::ZERO,
            window: Duration::ZERO,
            seed: 1,
            pace: Pace::Closed,
        };
        std::thread::scope(|scope| {
            let phase = &phase;
            threads::spawn_scoped(scope, "server", move || {
                let (stream, _peer) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let keys = lines.filter_map(|line| line.strip_prefix("key:")?.parse().ok());
                for (index, key) in keys.enumerate() {
                    if index + 1 == REPLIES {
                        phase.store(STOP, Ordering::Relaxed);
                    }
                    let reply = answer(key);
                    if reply.is_empty() || (&stream).write_all(&reply).is_err() {
                        return;
                    }
                }
            })
            .unwrap();
            let stream = Connection::open(address, tape.wording()).unwrap();
            drive(&load, vec![Connection::new(stream, 0)], phase, &counter)
        })
    }

    #[test]
    fn every_reply_has_a_latency_and_right_values_are_not_wrong() {
        let (latencies, wrong) = drive_against(|key| value_reply(key, 64)).unwrap();
        let least = (REPLIES - PIPELINE) as u64;
        assert!(latencies.len() >= least, "{}", latencies.len());
        assert_eq!(wrong, 0);
    }

    #[test]
    fn another_keys_value_is_counted() {
        let (_latencies, wrong) = drive_against(|key| value_reply(key + 1, 64)).unwrap();
        assert!(wrong > 0);
    }

    #[test]
    fn an_absence_is_counted_and_the_load_goes_on() {
        let (latencies, wrong) = drive_against(|_key| b"$-1\r\n".to_vec()).unwrap();
        assert_eq!(wrong, latencies.len());
        assert!(wrong >= (REPLIES - PIPELINE) as u64);
    }

    #[test]
    fn a_server_that_closes_behind_its_last_reply_and_goes_on_reading_is_noticed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (phase, counter) = (AtomicU8::new(MEASURE), AtomicU64::new(0));
        let tape = tape(100, 64);
        let load = Load {
            tape: &tape,
            check_every: None,
            connections: 1,
            pipeline: 1,
            threads: 1,
            warm_up: Duration::ZERO,
            window: Duration::ZERO,
            seed: 1,
            pace: Pace::Closed,
        };
        let error = std::thread::scope(|scope| {
            threads::spawn_scoped(scope, "server", move || {
                let (mut stream, _peer) = listener.accept().unwrap();
                stream.write_all(&value_reply(1, 64)).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                // Until the client gives up.
                let _read = std::io::copy(&mut stream, &mut std::io::sink());
            })
            .unwrap();
            let stream = Connection::open(address, tape.wording()).unwrap();
            let error = drive(&load, vec![Connection::new(stream, 0)], &phase, &counter);
            error.unwrap_err().to_string()
        });
        assert_eq!(error, "the server closed the connection");
    }

    #[test]
    fn what_cannot_go_on_is_an_error_that_says_why() {
        let cases: [(Answer, &str); 2] = [
            (|_key| Vec::new(), ""),
            (
                |_key| b"HTTP/1.1 400\r\n".to_vec(),
                "not a reply: HTTP/1.1 400",
            ),
        ];
        for (answer, expected) in cases {
            let error = format!("{:#}", drive_against(answer).unwrap_err());
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
