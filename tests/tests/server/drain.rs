//! The end: signals, SHUTDOWN, and what clients are told.

use std::io::{ErrorKind, Read as _};
use std::thread;
use std::time::Duration;

use shardkeep_resp::Value;
use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::harness::{Client, Ended, Scratch, ServerProcess, Signal, request};

use crate::support::{ask, eventually, narrow_client, repeated, start, steadily};

/// Longest that a drain without obstacles takes.
const QUICK: Duration = Duration::from_secs(5);

/// Longest that a client which reads nothing is waited for.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(1);

/// From one piece of a slow reader to the next.
const PIECE_TIME: Duration = Duration::from_millis(10);

/// Waits until nobody accepts any more, that is, until the first signal has been taken.
fn drains(server: &ServerProcess) {
    let deadline = clock::now() + PATIENCE;
    while Client::connect(server.address()).is_ok() {
        assert!(
            clock::left(deadline).is_some(),
            "connections are still accepted"
        );
        thread::yield_now();
    }
}

/// Bytes of a value that no buffer of the kernel has room for.
const LARGE: usize = 32 * 1024 * 1024;

/// Bytes that the kernel holds for a client that reads slowly: a few segments.
const NARROW: usize = 512 * 1024;

/// Has a value of [`LARGE`] bytes sent to a client that has read nothing of it yet.
fn asked_for_a_large_value(server: &ServerProcess) -> Client {
    let mut client = narrow_client(server, NARROW);
    let length = ask(&mut client, &format!("SETRANGE large {} x", LARGE - 1));
    assert_eq!(length, LARGE.to_string());
    client.send(&request(&["GET", "large"])).unwrap();
    client.stream().peek(&mut [0]).unwrap();
    client
}

/// The number that the last line of the server gives for `name`.
fn reported(server: &ServerProcess, name: &str) -> u64 {
    let mut number = None;
    eventually("the report of the drain", || {
        let lines = server.output();
        let report = lines.iter().find(|line| line.contains(" threads_left="));
        let words = report.map(|line| line.split(' '));
        number = words.and_then(|mut words| {
            words.find_map(|word| word.strip_prefix(&format!("{name}="))?.parse().ok())
        });
        number.is_some()
    });
    number.unwrap()
}

/// A client whose unread replies no drain can deliver.
fn stuck(server: &ServerProcess) -> Client {
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SETRANGE big 1000000 x"), "1000001");
    let mut client = client.with_patience(Duration::from_millis(300));
    while client.send(&repeated(&["GET", "big"], 100)).is_ok() {}
    client
}

#[test]
fn a_signal_ends_an_idle_server_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = start(&[]);
        let mut idle = server.client().unwrap();
        assert_eq!(ask(&mut idle, "PING"), "PONG");
        server.signal(signal).unwrap();
        assert_eq!(
            server.wait(QUICK).unwrap().code(),
            Some(0),
            "{:?}",
            server.output()
        );
        let (rest, _) = idle.rest().unwrap();
        assert!(rest.is_empty());
    }
}

#[test]
fn what_was_read_before_the_signal_is_answered() {
    const COMMANDS: usize = 20_000;
    let mut server = start(&[]);
    let mut client = server.client().unwrap();
    client.send(&repeated(&["INCR", "n"], COMMANDS)).unwrap();
    assert_eq!(client.reply().unwrap(), Value::Integer(1));
    server.signal(Signal::TERM).unwrap();
    // A run of results, then perhaps refusals, then the end: never a gap, never half a reply.
    let (mut done, mut refused) = (1_i64, 0);
    loop {
        match client.reply() {
            Ok(Value::Integer(number)) => {
                assert_eq!(refused, 0, "a result after a refusal");
                done += 1;
                assert_eq!(number, done);
            }
            Ok(Value::Error(text)) => {
                assert!(
                    text.starts_with(b"DRAINING"),
                    "{}",
                    String::from_utf8_lossy(&text)
                );
                refused += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                let ends = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
                assert!(ends.contains(&error.kind()), "{error}");
                break;
            }
        }
    }
    let (partial, _) = client.rest().unwrap_or((Vec::new(), Ended::Reset));
    assert!(
        partial.is_empty(),
        "half a reply: {}",
        String::from_utf8_lossy(&partial)
    );
    assert_eq!(
        server.wait(QUICK).unwrap().code(),
        Some(0),
        "{:?}",
        server.output()
    );
}

#[test]
fn replies_under_way_are_delivered_whole_before_the_end() {
    const COMMANDS: usize = 1_000;
    const BYTES: usize = 10_000;
    let mut server = start(&[]);
    let mut client = server.client().unwrap();
    assert_eq!(
        ask(&mut client, &format!("SET big {}", "v".repeat(BYTES))),
        "OK"
    );
    client.send(&repeated(&["GET", "big"], COMMANDS)).unwrap();
    client.stream().peek(&mut [0]).unwrap();
    server.signal(Signal::TERM).unwrap();
    drains(&server);
    // More than the kernel holds for a reader who waits: the rest can only come from the server.
    let (received, ended) = client.rest().unwrap();
    assert_eq!(ended, Ended::Closed);
    let whole = format!("${BYTES}\r\n{}\r\n", "v".repeat(BYTES));
    let mut rest = received.as_slice();
    let mut answered = 0;
    while let Some(after) = rest.strip_prefix(whole.as_bytes()) {
        rest = after;
        answered += 1;
    }
    let rest = String::from_utf8_lossy(rest);
    assert!(
        rest.lines().all(|line| line.starts_with("-DRAINING")),
        "after {answered}: {rest}"
    );
    assert!(answered > 0);
    assert_eq!(
        server.wait(QUICK).unwrap().code(),
        Some(0),
        "{:?}",
        server.output()
    );
}

#[test]
fn a_signal_under_load_ends_cleanly_and_cuts_no_reply() {
    const CLIENTS: usize = 8;
    let mut server = start(&[]);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let mut client = server.client().unwrap();
                scope.spawn(move || {
                    let key = format!("k{number}");
                    let bytes = repeated(&["INCR", &key], 50);
                    let mut answered = 0_usize;
                    while client.send(&bytes).is_ok() {
                        for _ in 0..50 {
                            match client.reply() {
                                Ok(Value::Integer(_)) => answered += 1,
                                Ok(Value::Error(text)) => assert!(text.starts_with(b"DRAINING")),
                                Ok(other) => panic!("{other:?}"),
                                Err(error) => {
                                    assert_ne!(error.kind(), ErrorKind::TimedOut);
                                    assert_ne!(error.kind(), ErrorKind::InvalidData);
                                    return answered;
                                }
                            }
                        }
                    }
                    answered
                })
            })
            .collect();
        let mut watcher = server.client().unwrap();
        while ask(&mut watcher, "GET k0").parse().unwrap_or(0) < 1_000 {}
        server.signal(Signal::TERM).unwrap();
        for client in clients {
            assert!(client.join().unwrap() > 0);
        }
    });
    assert_eq!(
        server.wait(QUICK).unwrap().code(),
        Some(0),
        "{:?}",
        server.output()
    );
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut server = start(&[]);
    let client = asked_for_a_large_value(&server);
    thread::scope(|scope| {
        // It would hold up the end for a minute.
        scope.spawn(|| {
            let mut piece = vec![0; LARGE / 6_000];
            steadily(6_000 * PIECE_TIME, 6_000, || {
                client.stream().read_exact(&mut piece).is_ok()
            });
        });
        server.signal(Signal::TERM).unwrap();
        drains(&server);
        server.signal(Signal::TERM).unwrap();
        assert_eq!(
            server.wait(QUICK).unwrap().code(),
            Some(3),
            "{:?}",
            server.output()
        );
    });
}

#[test]
fn a_client_that_has_stopped_reading_is_given_up_and_the_end_is_clean() {
    let mut server = start(&[]);
    let clients = [stuck(&server), asked_for_a_large_value(&server)];
    server.signal(Signal::TERM).unwrap();
    let status = server.wait(QUICK).unwrap();
    assert_eq!(status.code(), Some(0), "{:?}", server.output());
    assert_eq!(reported(&server, "given_up"), 2);
    assert_eq!(reported(&server, "cut_off"), 0);
    drop(clients);
}

#[test]
fn a_slow_client_that_goes_on_reading_is_waited_for_and_gets_all_of_it() {
    const PIECES: u32 = 256;
    let mut server = start(&[]);
    let mut client = asked_for_a_large_value(&server);
    server.signal(Signal::TERM).unwrap();
    // Longer than one that has stopped is waited for.
    let mut piece = vec![0; LARGE / PIECES as usize];
    steadily(3 * GIVEN_UP_AFTER, PIECES, || {
        client.stream().read_exact(&mut piece).unwrap();
        true
    });
    let (rest, ended) = client.rest().unwrap();
    assert_eq!(rest.len(), format!("${LARGE}\r\n\r\n").len());
    assert_eq!(ended, Ended::Closed);
    let status = server.wait(QUICK).unwrap();
    assert_eq!(status.code(), Some(0), "{:?}", server.output());
    assert_eq!(reported(&server, "given_up"), 0);
}

#[test]
fn clients_that_are_silent_half_way_through_a_request_or_never_stop_hold_up_no_end() {
    let mut server = start(&[]);
    let mut silent = server.client().unwrap();
    assert_eq!(ask(&mut silent, "PING"), "PONG");
    let mut half = server.client().unwrap();
    half.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nhalf")
        .unwrap();
    let mut large = server.client().unwrap();
    large
        .send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n")
        .unwrap();
    large.send(&vec![b'v'; 500_000]).unwrap();
    let mut greedy = server.client().unwrap().with_patience(PATIENCE);
    thread::scope(|scope| {
        scope.spawn(move || while greedy.send(&repeated(&["PING"], 1_000)).is_ok() {});
        server.signal(Signal::TERM).unwrap();
        let status = server.wait(QUICK).unwrap();
        assert_eq!(status.code(), Some(0), "{:?}", server.output());
    });
    assert_eq!(reported(&server, "cut_off"), 0);
    drop((silent, half, large));
}

#[test]
fn a_client_that_does_not_read_cannot_hold_up_the_end_beyond_its_cap() {
    // Shorter than the time after which the client would be given up.
    let mut server = start(&["--drain-timeout", "300ms"]);
    let client = stuck(&server);
    server.signal(Signal::TERM).unwrap();
    assert_eq!(
        server.wait(QUICK).unwrap().code(),
        Some(3),
        "{:?}",
        server.output()
    );
    let cut_short = |line: &String| line.starts_with("error: drain cut short: ");
    eventually("the report", || server.output().iter().any(cut_short));
    drop(client);
}

#[test]
fn whoever_saves_hears_of_it_and_holds_up_no_drain() {
    const CLIENTS: usize = 4;
    const SAVES: usize = 20;
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let mut server = start(&["--dir", &dir.to_string_lossy(), "--reactors", "2"]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.client().unwrap()).collect();
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                for _ in 0..SAVES {
                    let reply = ask(client, "SAVE");
                    let is_told = reply == "OK" || reply.starts_with("-ERR Background save");
                    assert!(is_told, "{reply}");
                }
            });
        }
    });
    // Some of these are read before the drain begins, some in its beginning.
    for client in &mut clients {
        client.send(&repeated(&["SAVE"], 1_000)).unwrap();
    }
    server.signal(Signal::TERM).unwrap();
    let status = server.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0), "{:?}", server.output());
}

#[test]
fn shutdown_ends_the_server_cleanly() {
    for line in ["SHUTDOWN", "SHUTDOWN NOSAVE", "shutdown NOW"] {
        let mut server = start(&[]);
        let mut client = server.client().unwrap();
        let args: Vec<&str> = line.split(' ').collect();
        client.send(&request(&args)).unwrap();
        let (reply, _) = client.rest().unwrap();
        assert!(
            reply.is_empty(),
            "{line}: {}",
            String::from_utf8_lossy(&reply)
        );
        assert_eq!(server.wait(QUICK).unwrap().code(), Some(0), "{line}");
    }
}

#[test]
fn shutdown_with_wrong_arguments_ends_nothing() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SHUTDOWN FOO"), "-ERR syntax error");
    assert_eq!(
        ask(&mut client, "SHUTDOWN ABORT"),
        "-ERR No shutdown in progress."
    );
    assert_eq!(ask(&mut client, "PING"), "PONG");
}
