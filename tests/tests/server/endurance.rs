//! Clients that keep the server busy for long: nobody is cut off for it, and nobody else pays for it.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use shardkeep_resp::Value;
use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::harness::{Signal, request, resident_bytes};

use crate::support::{MIB, ask, repeated, start};

#[test]
fn a_client_in_the_middle_of_a_request_at_each_read_outlives_the_frame_timeout() {
    let server = start(&["--frame-timeout", "200ms"]);
    let mut client = server.client().unwrap();
    let set = request(&["SET", "k", "v"]);
    let (begin, rest) = set.split_at(7);
    client.send(begin).unwrap();
    // Each step ends one request and begins the next, well beyond the timeout.
    let until = clock::now() + Duration::from_secs(1);
    while clock::left(until).is_some() {
        client.send(&[rest, begin].concat()).unwrap();
        assert_eq!(client.reply().unwrap().bytes(), Some(&b"OK"[..]));
    }
}

#[test]
fn a_client_that_never_stops_sending_does_not_hold_up_the_end() {
    let mut server = start(&["--drain-timeout", "60s"]);
    let client = server.client().unwrap();
    let mut sender = client.stream().try_clone().unwrap();
    let mut receiver = client.stream().try_clone().unwrap();
    let mut replies = vec![0; 64 * 1024];
    thread::scope(|scope| {
        scope.spawn(move || {
            let requests = repeated(&["GET", "k"], 1_000);
            while sender.write_all(&requests).is_ok() {}
        });
        receiver.read_exact(&mut replies).unwrap();
        scope.spawn(move || while matches!(receiver.read(&mut replies), Ok(1..)) {});
        server.signal(Signal::TERM).unwrap();
        let status = server.wait(Duration::from_secs(20)).unwrap();
        assert_eq!(status.code(), Some(0), "{:?}", server.output());
    });
}

#[test]
fn a_large_request_leaves_no_memory_behind_whatever_comes_with_its_end() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "PING"), "PONG");
    let before = resident_bytes(server.pid()).unwrap();
    let mut bytes = request(&[&b"SET"[..], b"k", &vec![b'x'; 64 * MIB as usize]]);
    // The next request begins in the same read in which the large one ends.
    bytes.extend_from_slice(b"PI");
    client.send(&bytes).unwrap();
    assert_eq!(client.reply().unwrap().bytes(), Some(&b"OK"[..]));
    client.send(b"NG\r\n").unwrap();
    assert_eq!(client.reply().unwrap().bytes(), Some(&b"PONG"[..]));
    assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
    assert_eq!(ask(&mut client, "PING"), "PONG");
    let grown = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} MiB stay", grown / MIB);
}

#[test]
fn replies_that_travel_together_are_bounded_and_the_rest_is_refused() {
    let server = start(&["--handover", "mail", "--deadline", "30s"]);
    let mut client = server.client().unwrap().with_patience(PATIENCE);
    assert_eq!(ask(&mut client, "SETRANGE k 16777215 x"), "16777216");
    client.send(&repeated(&["GET", "k"], 12)).unwrap();
    let replies: Vec<Value> = (0..12).map(|_| client.reply().unwrap()).collect();
    let refused = replies.iter().filter(|reply| match reply {
        Value::Error(text) => text.starts_with(b"THROTTLED shard="),
        other => {
            assert_eq!(other.bytes().map(<[u8]>::len), Some(16 << 20));
            false
        }
    });
    // With five replies and their lengths 64 MiB are exceeded: one of them is not counted.
    assert_eq!(refused.count(), 7);
}
