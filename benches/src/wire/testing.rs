//! Servers in threads of a test, so that what the generator says can be compared with what was done.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::arrivals::{Offered, Spacing};
use super::closed::{self, MEASURE, STOP};
use super::connection::Connection;
use super::generator::{self, Load, Pace, Schedule, Window};
use super::protocol::{GET_BYTES, Protocol, Wording};
use super::saturation::Saturated;
use super::tape::{Mix, Script, Tape};
use super::value::push_value;
use crate::keys::Distribution;
use crate::{clock, threads};

/// Reads of a few keys.
pub(super) fn tape(keys: u64, value_bytes: usize) -> Tape {
    let script = Script {
        seed: 1,
        keys,
        distribution: Distribution::Uniform,
        mix: Mix::Reads,
        wording: Wording {
            protocol: Protocol::Resp2,
            value_bytes,
        },
    };
    Tape::new(&script, 1 << 12)
}

/// The right reply to a read.
pub(super) fn value_reply(key: u64, value_bytes: usize) -> Vec<u8> {
    let mut reply = format!("${value_bytes}\r\n").into_bytes();
    push_value(&mut reply, key, value_bytes);
    reply.extend_from_slice(b"\r\n");
    reply
}

/// A load on the requests of `tape`, without a warm-up.
fn load(tape: &Tape, pace: Pace) -> Load<'_> {
    Load {
        tape,
        check_every: Some(NonZeroU64::MIN),
        connections: 1,
        pipeline: 1,
        threads: 1,
        warm_up: Duration::ZERO,
        window: Duration::from_millis(500),
        seed: 1,
        pace,
    }
}

const fn constant(rate: u64) -> Pace {
    Pace::Open(Offered {
        rate,
        spacing: Spacing::Constant,
    })
}

/// Answers every read with its value, one after the other, `before` each learning its number.
fn careful(stream: &TcpStream, before: impl Fn(u64)) {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let keys = lines.filter_map(|line| line.strip_prefix("key:")?.parse().ok());
    for (index, key) in keys.enumerate() {
        before(index as u64);
        let mut stream = stream;
        if stream.write_all(&value_reply(key, 64)).is_err() {
            return;
        }
    }
}

/// Answers every read with the same bytes, as many reads at a time as have come.
fn careless(mut stream: &TcpStream, reply: &[u8]) {
    let mut buffer = vec![0; 4_096];
    let mut surplus = 0;
    while let Ok(received @ 1..) = stream.read(&mut buffer) {
        let bytes = surplus + received;
        surplus = bytes % GET_BYTES;
        for _ in 0..bytes / GET_BYTES {
            if stream.write_all(reply).is_err() {
                return;
            }
        }
    }
}

/// Runs the load against a server with a thread for each connection.
fn run(load: Load<'_>, serve: impl Fn(&TcpStream) + Sync) -> Window {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let serve = &serve;
        threads::spawn_scoped(scope, "acceptor", move || {
            for index in 0..load.connections {
                let (stream, _peer) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                let name = format!("server-{index}");
                threads::spawn_scoped(scope, &name, move || serve(&stream)).unwrap();
            }
        })
        .unwrap();
        generator::run(load, address, std::process::id()).unwrap()
    })
}

fn schedule(window: &Window) -> &Schedule {
    window.schedule.as_ref().unwrap()
}

/// Requests to the server that pauses once, and at which of them.
const REQUESTS: u64 = 500;
const PAUSE_AT: u64 = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// What counts as a slow sample.
const SLOW: Duration = Duration::from_millis(50);

fn pause_once(index: u64) {
    if index == PAUSE_AT {
        clock::wait_until(clock::now() + PAUSE);
    }
}

fn slow(latencies: &Histogram<u64>) -> u64 {
    latencies.count_between(SLOW.as_nanos() as u64, u64::MAX)
}

/// The latencies of [`REQUESTS`] in a closed loop, and how long they took.
fn closed_against_a_pause() -> (Histogram<u64>, Duration) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let tape = tape(100, 64);
    let phase = AtomicU8::new(MEASURE);
    let began = clock::now();
    let latencies = std::thread::scope(|scope| {
        let phase = &phase;
        threads::spawn_scoped(scope, "server", move || {
            let (stream, _peer) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            careful(&stream, |index| {
                pause_once(index);
                if index + 1 == REQUESTS {
                    phase.store(STOP, Ordering::Relaxed);
                }
            });
        })
        .unwrap();
        let stream = Connection::open(address, tape.wording()).unwrap();
        let connections = vec![Connection::new(stream, 0)];
        let load = load(&tape, Pace::Closed);
        closed::drive(&load, connections, phase, &AtomicU64::new(0)).unwrap()
    });
    (latencies.0, clock::now() - began)
}

#[test]
fn a_pause_is_seen_by_all_who_came_meanwhile_in_an_open_loop_and_by_one_in_a_closed() {
    // A request each millisecond: those of the pause's first 50 ms wait for at least 50 ms. Whatever
    // else this machine does can only make it more.
    let tape = tape(100, 64);
    let open = run(load(&tape, constant(1_000)), |stream| {
        careful(stream, pause_once);
    });
    assert_eq!(open.latencies.len(), REQUESTS, "a sample for each start");
    assert_eq!(open.wrong, 0);
    assert!(slow(&open.latencies) >= 49, "{}", slow(&open.latencies));
    for quantile in [0.999, 1.0] {
        let found = open.latencies.value_at_quantile(quantile);
        assert!(found >= PAUSE.as_nanos() as u64, "{found}");
    }
    // The wait was the server's: the generator was not late by it.
    assert!(slow(&schedule(&open).lateness) < slow(&open.latencies));

    // On one connection in a closed loop each slow sample takes 50 ms by itself, so a slow machine
    // cannot make them many; usually there is the one.
    let (closed, elapsed) = closed_against_a_pause();
    let most = elapsed.as_millis() / SLOW.as_millis();
    assert!(slow(&closed) >= 1 && u128::from(slow(&closed)) <= most);
    assert!(slow(&closed) < slow(&open.latencies), "{}", slow(&closed));
}

#[test]
fn a_server_that_cannot_follow_is_called_the_limit() {
    let tape = tape(100, 64);
    let window = run(load(&tape, constant(1_000)), |stream| {
        let slowness = Duration::from_millis(40);
        careful(stream, |_index| clock::wait_until(clock::now() + slowness));
    });
    let kept = schedule(&window);
    assert_eq!(kept.saturated, Some(Saturated::Server), "{}", kept.rest);
    assert!(kept.unanswered > REQUESTS / 2, "{}", kept.unanswered);
    assert_eq!(window.latencies.len(), REQUESTS);
}

#[test]
fn a_generator_that_cannot_follow_is_called_the_limit() {
    // The server sends one prepared reply; the generator compares every letter of it. So many are
    // under way that it has work for longer than any thread of the server waits for a core.
    const VALUE_BYTES: usize = 16_384;
    let tape = tape(1, VALUE_BYTES);
    let reply = value_reply(0, VALUE_BYTES);
    let load = Load {
        connections: 64,
        pipeline: 8,
        warm_up: Duration::from_millis(200),
        ..load(&tape, constant(1_000_000))
    };
    let window = run(load, |stream| careless(stream, &reply));
    let kept = schedule(&window);
    assert_eq!(kept.saturated, Some(Saturated::Generator), "{}", kept.rest);
    assert_eq!(window.latencies.len(), 500_000, "a sample for each start");
    assert_eq!(window.wrong, 0);
}

#[test]
fn a_load_that_is_followed_is_not_saturated() {
    let tape = tape(1, 64);
    let reply = value_reply(0, 64);
    for spacing in [Spacing::Constant, Spacing::Poisson] {
        let load = Load {
            connections: 4,
            pipeline: 8,
            ..load(&tape, Pace::Open(Offered { rate: 200, spacing }))
        };
        let window = run(load, |stream| careless(stream, &reply));
        let kept = schedule(&window);
        assert_eq!(kept.saturated, None, "{}", kept.rest);
        assert!(!window.latencies.is_empty());
        assert_eq!(window.wrong, 0);
    }
}
