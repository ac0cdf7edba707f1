//! Servers in threads of a test, so that what the generator says can be compared with what was done.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::arrivals::{Offered, Spacing};
use super::generator::{self, Load, Pace, Schedule, Window};
use super::protocol::{GET_BYTES, Protocol, Wording, constant_reply};
use super::saturation::Saturated;
use super::tape::{Script, Tape};
use super::value::push_value;
use crate::keys::Distribution;
use crate::{clock, threads};

const USUAL: Wording = Wording {
    protocol: Protocol::Resp2,
    value_bytes: 64,
};

/// Reads of a hundred keys.
pub(super) fn tape(length: usize) -> Tape {
    let script = Script {
        seed: 1,
        keys: 100,
        distribution: Distribution::Uniform,
        reads_per_write: 0,
        wording: USUAL,
    };
    Tape::new(&script, length)
}

/// The right reply to a read.
pub(super) fn value_reply(key: u64) -> Vec<u8> {
    let mut reply = b"$64\r\n".to_vec();
    push_value(&mut reply, key, 64);
    reply.extend_from_slice(b"\r\n");
    reply
}

/// Answers every read with its value, and takes `pause` before each that `pauses` says.
fn careful(stream: &TcpStream, pause: Duration, pauses: impl Fn(u64) -> bool) {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let keys = lines.filter_map(|line| line.strip_prefix("key:")?.parse().ok());
    for (index, key) in keys.enumerate() {
        if pauses(index as u64) {
            clock::wait_until(clock::now() + pause);
        }
        let mut stream = stream;
        if stream.write_all(&value_reply(key)).is_err() {
            return;
        }
    }
}

/// Answers every read with a constant, as many at a time as have come.
fn careless(stream: &mut TcpStream) {
    const READS: usize = 2_048;
    let answers = constant_reply(64).repeat(READS);
    let each = answers.len() / READS;
    let mut buffer = vec![0; (READS - 1) * GET_BYTES];
    let mut surplus = 0;
    while let Ok(received @ 1..) = stream.read(&mut buffer) {
        let bytes = surplus + received;
        surplus = bytes % GET_BYTES;
        if stream
            .write_all(&answers[..bytes / GET_BYTES * each])
            .is_err()
        {
            return;
        }
    }
}

/// What a test asks of a server in a thread of its own for each connection.
struct Asked {
    connections: usize,
    pipeline: usize,
    pace: Pace,
    check_values: bool,
    window: Duration,
}

fn run(asked: &Asked, serve: impl Fn(TcpStream) + Sync) -> Window {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let tape = tape(1 << 12);
    let load = Load {
        tape: &tape,
        check_values: asked.check_values,
        connections: asked.connections,
        pipeline: asked.pipeline,
        threads: 1,
        warm_up: Duration::ZERO,
        window: asked.window,
        seed: 1,
        pace: asked.pace,
    };
    std::thread::scope(|scope| {
        let serve = &serve;
        threads::spawn_scoped(scope, "acceptor", move || {
            for index in 0..asked.connections {
                let (stream, _peer) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                threads::spawn_scoped(scope, &format!("server-{index}"), move || serve(stream))
                    .unwrap();
            }
        })
        .unwrap();
        generator::run(load, address, std::process::id()).unwrap()
    })
}

const fn constant(rate: u64) -> Pace {
    Pace::Open(Offered {
        rate,
        spacing: Spacing::Constant,
    })
}

fn schedule(window: &Window) -> &Schedule {
    window.schedule.as_ref().unwrap()
}

/// A pause of the server in a test, and half of it: what counts as a slow sample.
const PAUSE: Duration = Duration::from_millis(100);
const SLOW: Duration = Duration::from_millis(50);

fn slow(window: &Window) -> u64 {
    let nanos = SLOW.as_nanos() as u64;
    window.latencies.count_between(nanos, u64::MAX)
}

/// One connection to a server that pauses once, early in the window.
fn against_a_pause(pace: Pace) -> Window {
    let asked = Asked {
        connections: 1,
        pipeline: 1,
        pace,
        check_values: true,
        window: Duration::from_millis(500),
    };
    run(&asked, |stream| {
        careful(&stream, PAUSE, |index| index == 20)
    })
}

#[test]
fn a_pause_of_100_ms_is_seen_by_all_who_came_meanwhile_in_an_open_loop_and_by_one_in_a_closed() {
    // A request each millisecond: those of the pause's first 50 ms wait for at least 50 ms. Whatever
    // else this machine does can only make it more.
    let open = against_a_pause(constant(1_000));
    let kept = schedule(&open);
    assert_eq!(open.latencies.len(), 500, "every start has one sample");
    assert!(slow(&open) >= 49, "{}", slow(&open));
    assert_eq!(open.wrong, 0);
    for quantile in [0.999, 1.0] {
        let found = open.latencies.value_at_quantile(quantile);
        assert!(found >= PAUSE.as_nanos() as u64 - 100_000, "{found}");
    }
    assert_eq!(kept.unanswered, 0);
    // The wait was the server's: the generator itself was not late by it, or not for as many.
    assert!(
        kept.lateness
            .count_between(SLOW.as_nanos() as u64, u64::MAX)
            < slow(&open)
    );

    // In a closed loop on one connection each slow sample takes 50 ms of the window itself.
    let closed = against_a_pause(Pace::Closed);
    let most = closed.elapsed.as_millis() / SLOW.as_millis() + 1;
    assert!(
        (1..=most as u64).contains(&slow(&closed)),
        "{}",
        slow(&closed)
    );
    assert!(slow(&closed) < slow(&open));
}

#[test]
fn a_server_that_cannot_follow_is_called_the_limit() {
    let asked = Asked {
        connections: 1,
        pipeline: 1,
        pace: constant(1_000),
        check_values: true,
        window: Duration::from_millis(400),
    };
    let slowness = Duration::from_millis(40);
    let window = run(&asked, |stream| careful(&stream, slowness, |_index| true));
    let kept = schedule(&window);
    assert_eq!(kept.saturated, Some(Saturated::Server), "{kept:?}");
    assert!(kept.unanswered > 300, "{}", kept.unanswered);
    assert_eq!(window.latencies.len(), 400);
}

#[test]
fn a_generator_that_cannot_follow_is_called_the_limit() {
    let asked = Asked {
        connections: 8,
        pipeline: 512,
        pace: constant(20_000_000),
        check_values: false,
        window: Duration::from_millis(150),
    };
    let window = run(&asked, |mut stream| careless(&mut stream));
    let kept = schedule(&window);
    assert_eq!(kept.saturated, Some(Saturated::Generator), "{kept:?}");
    assert_eq!(
        window.latencies.len(),
        3_000_000,
        "every start has one sample"
    );
}

#[test]
fn a_load_that_is_followed_is_not_saturated() {
    for spacing in [Spacing::Constant, Spacing::Poisson] {
        let asked = Asked {
            connections: 4,
            pipeline: 8,
            pace: Pace::Open(Offered { rate: 200, spacing }),
            check_values: false,
            window: Duration::from_millis(300),
        };
        let window = run(&asked, |mut stream| careless(&mut stream));
        let kept = schedule(&window);
        assert_eq!(kept.saturated, None, "{kept:?}");
        assert!(!window.latencies.is_empty());
        assert_eq!(kept.lateness.len(), window.latencies.len());
    }
}
