//! What is no request, or too much of one.

use std::time::Duration;

use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Ended, open_files, request, resident_bytes};

use crate::support::{MIB, PROMPT, ask, eventually, repeated, serves_others, start, steadily};

/// Sends `bytes` to a new connection: everything that comes back until the server closes.
fn until_closed(server: &shardkeep_tests::harness::ServerProcess, bytes: &[u8]) -> String {
    let mut client = server.client().unwrap();
    // The server may close before it has taken everything.
    drop(client.send(bytes));
    let (reply, _) = client.rest().unwrap();
    String::from_utf8(reply).unwrap()
}

#[test]
fn a_malformed_frame_is_answered_with_its_fault_and_the_connection_closed() {
    let server = start(&[]);
    let cases: &[(&[u8], &str)] = &[
        (
            b"*2147483648\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"*99999999999999999999\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"*1048577\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"*abc\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"*1\r\n$-2\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n$+1\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n$536870913\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n$4294967297\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n+PING\r\n",
            "-ERR Protocol error: expected '$', got '+'\r\n",
        ),
        (
            b"*1\r\n*1\r\n",
            "-ERR Protocol error: expected '$', got '*'\r\n",
        ),
        (
            b"SET k \"open\r\n",
            "-ERR Protocol error: unbalanced quotes in request\r\n",
        ),
        (
            b"SET k 'a'b\r\n",
            "-ERR Protocol error: unbalanced quotes in request\r\n",
        ),
    ];
    for (sent, expected) in cases {
        let reply = until_closed(&server, sent);
        assert_eq!(reply, *expected, "{:?}", String::from_utf8_lossy(sent));
    }
    serves_others(&server);
}

#[test]
fn what_came_before_a_malformed_frame_is_answered_and_what_comes_after_is_not_executed() {
    let server = start(&[]);
    let mut bytes = request(&["SET", "before", "1"]);
    bytes.extend_from_slice(b"*1\r\n$-9\r\n");
    bytes.extend_from_slice(&request(&["SET", "after", "1"]));
    let reply = until_closed(&server, &bytes);
    assert_eq!(reply, "+OK\r\n-ERR Protocol error: invalid bulk length\r\n");
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "GET before"), "1");
    assert_eq!(ask(&mut client, "GET after"), "nil");
}

#[test]
fn empty_arrays_and_empty_lines_are_passed_over() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    client.send(b"*0\r\n*-1\r\n\r\n\n  \r\nPING\r\n").unwrap();
    assert_eq!(client.reply_bytes().unwrap(), b"+PONG\r\n");
}

#[test]
fn a_conversation_sent_byte_by_byte_gets_the_same_replies() {
    let server = start(&[]);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&request(&["SET", "k", "a\r\nb"]));
    bytes.extend_from_slice(b"GET k\r\n");
    bytes.extend_from_slice(&request(&["MGET", "k", "missing", ""]));
    bytes.extend_from_slice(b"set \"quoted key\" 'v'\r\nstrlen \"quoted key\"\r\n");
    bytes.extend_from_slice(&request(&["NOSUCH", "\r\n"]));
    let expected = "+OK\r\n$4\r\na\r\nb\r\n*3\r\n$4\r\na\r\nb\r\n$-1\r\n$-1\r\n+OK\r\n:1\r\n\
                    -ERR unknown command 'NOSUCH', with args beginning with: '  ' \r\n";
    for piece in [1, 2, 3, 7, bytes.len()] {
        let mut client = server.client().unwrap();
        bytes
            .chunks(piece)
            .for_each(|piece| client.send(piece).unwrap());
        client.finish().unwrap();
        let (reply, ended) = client.rest().unwrap();
        assert_eq!(
            String::from_utf8(reply).unwrap(),
            expected,
            "in pieces of {piece}"
        );
        assert_eq!(ended, Ended::Closed);
    }
}

#[test]
fn a_quoted_line_over_several_shards_means_the_same_anywhere_in_a_pipeline() {
    let server = start(&[]);
    let lines = "MSET \"a b\" \"c\\x20d\" e 'f g' h i\r\nMGET 'a b' e \"h\" \"\\x00\"\r\n";
    let replies = "+OK\r\n*4\r\n$3\r\nc d\r\n$3\r\nf g\r\n$1\r\ni\r\n$-1\r\n";
    for before in 0..4 {
        let mut client = server.client().unwrap();
        let sent = "PING\r\nGET x\r\n".repeat(before) + lines + lines;
        client.send(sent.as_bytes()).unwrap();
        client.finish().unwrap();
        let expected = "+PONG\r\n$-1\r\n".repeat(before) + replies + replies;
        let (reply, _) = client.rest().unwrap();
        assert_eq!(String::from_utf8(reply).unwrap(), expected);
    }
}

#[test]
fn a_line_without_end_is_refused_at_64_kib() {
    let server = start(&[]);
    let reply = until_closed(&server, &[b'a'; 70 * 1024]);
    assert_eq!(reply, "-ERR Protocol error: too big inline request\r\n");
    let mut header = vec![b'*'];
    header.resize(70 * 1024, b'1');
    let reply = until_closed(&server, &header);
    assert_eq!(reply, "-ERR Protocol error: too big mbulk count string\r\n");
    let mut header = b"*1\r\n$".to_vec();
    header.resize(70 * 1024, b'1');
    let reply = until_closed(&server, &header);
    assert_eq!(reply, "-ERR Protocol error: too big bulk count string\r\n");
}

#[test]
fn a_line_just_below_64_kib_is_a_command() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let mut line = b"STRLEN ".to_vec();
    line.resize(65_000, b'k');
    line.extend_from_slice(b"\r\n");
    client.send(&line).unwrap();
    assert_eq!(client.reply_bytes().unwrap(), b":0\r\n");
}

#[test]
fn nested_arrays_are_a_protocol_error_and_not_a_deep_stack() {
    let server = start(&[]);
    let reply = until_closed(&server, &b"*1\r\n".repeat(100_000));
    assert_eq!(reply, "-ERR Protocol error: expected '$', got '*'\r\n");
    serves_others(&server);
}

#[test]
fn aggregates_of_resp3_are_no_requests() {
    let server = start(&[]);
    for opening in ["%1", "~1", ">1", "|1", "(1", "#t", "_", "!3"] {
        let mut client = server.client().unwrap();
        client.send(format!("{opening}\r\n").as_bytes()).unwrap();
        let reply = String::from_utf8(client.reply_bytes().unwrap()).unwrap();
        assert!(reply.starts_with("-ERR"), "{opening}: {reply}");
    }
    serves_others(&server);
}

#[test]
fn a_browser_is_hung_up_on_and_nothing_of_its_request_executed() {
    let server = start(&[]);
    let bodies = [
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nSET smuggled 1\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nSET smuggled 1\r\n",
        "host: localhost\r\nSET smuggled 1\r\n",
        "post / HTTP/1.1\r\nSET smuggled 1\r\n",
    ];
    for body in bodies {
        let reply = until_closed(&server, body.as_bytes());
        assert!(!reply.contains("+OK"), "{reply}");
    }
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "EXISTS smuggled"), "0");
}

#[test]
fn an_error_echoes_no_line_end_and_no_more_than_a_kilobyte() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let long = "x".repeat(100_000);
    let evil = ["a\r\n+OK\r\n", "\r\n\r\n", "\n:1\r\n", &long];
    for name in evil {
        for args in [
            vec![name],
            vec!["SET", "k", "v", name],
            vec!["CLIENT", name],
            vec![name, name, name],
        ] {
            let reply = {
                client.send(&request(&args)).unwrap();
                client.reply_bytes().unwrap()
            };
            assert_eq!(reply[0], b'-');
            assert!(reply.len() <= 1_100, "{} bytes", reply.len());
            assert!(!reply[..reply.len() - 2].contains(&b'\n'));
            assert_eq!(ask(&mut client, "PING"), "PONG", "replies are out of step");
        }
    }
}

#[test]
fn memory_follows_bytes_received_and_not_bytes_announced() {
    const PEERS: usize = 1_000;
    let server = start(&[]);
    let before = resident_bytes(server.pid()).unwrap();
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let mut peer = server.client().unwrap();
        peer.send(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$536870912\r\nbeginning")
            .unwrap();
        peers.push(peer);
    }
    let mut peer = server.client().unwrap();
    peer.send(b"*1048576\r\n$3\r\nDEL\r\n").unwrap();
    serves_others(&server);
    let grown = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    assert!(
        grown < 64 * MIB,
        "{} MiB for {PEERS} announced values",
        grown / MIB
    );
}

#[test]
fn a_request_of_a_million_arguments_is_served() {
    const KEYS: usize = 1_000_000;
    let server = start(&["--deadline", "20s"]);
    let mut bytes = format!("*{}\r\n$6\r\nEXISTS\r\n", KEYS + 1).into_bytes();
    bytes.extend_from_slice(&b"$1\r\nk\r\n".repeat(KEYS));
    let mut client = server.client().unwrap();
    client.send(&bytes).unwrap();
    assert_eq!(client.reply_bytes().unwrap(), b":0\r\n");
    serves_others(&server);
}

#[test]
fn the_largest_value_is_taken_whole_while_others_are_served() {
    const BYTES: usize = 512 * 1024 * 1024;
    const CHUNK: usize = 32 * 1024 * 1024;
    let server = start(&["--deadline", "20s"]);
    let mut client = server.client().unwrap();
    client
        .send(format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${BYTES}\r\n").as_bytes())
        .unwrap();
    let chunk = vec![b'v'; CHUNK];
    for _ in 0..BYTES / CHUNK {
        client.send(&chunk).unwrap();
        serves_others(&server);
    }
    client.send(b"\r\n").unwrap();
    assert_eq!(client.reply_bytes().unwrap(), b"+OK\r\n");
    assert_eq!(ask(&mut client, "STRLEN big"), BYTES.to_string());
    let refusal = ask(&mut client, "APPEND big more");
    assert!(
        refusal.starts_with("-ERR string exceeds maximum allowed size"),
        "{refusal}"
    );
    assert_eq!(ask(&mut client, "DEL big"), "1");
}

#[test]
fn a_peer_that_stops_in_the_middle_of_a_frame_is_closed_and_one_that_rests_between_frames_is_not() {
    let server = start(&["--frame-timeout", "1s"]);
    let mut resting = server.client().unwrap();
    assert_eq!(ask(&mut resting, "PING"), "PONG");
    let frames: &[&[u8]] = &[
        b"*1\r\n$4\r\nPI",
        b"*",
        b"PIN",
        b"*2\r\n$3\r\nGET\r\n$100\r\n",
    ];
    let mut stalled: Vec<_> = frames
        .iter()
        .map(|frame| {
            let mut client = server.client().unwrap();
            client.send(frame).unwrap();
            client
        })
        .collect();
    for client in &mut stalled {
        client.rest().unwrap();
    }
    assert_eq!(ask(&mut resting, "PING"), "PONG");
}

#[test]
fn an_upload_that_never_pauses_may_take_longer_than_a_frame() {
    const PIECES: u32 = 250;
    const BYTES: usize = 1_000;
    let server = start(&["--frame-timeout", "1s"]);
    let length = PIECES as usize * BYTES;
    let pieces = |head: String, unit: String| {
        let mut client = server.client().unwrap();
        client.send(head.as_bytes()).unwrap();
        steadily(Duration::from_millis(2_500), PIECES, || {
            client.send(unit.as_bytes()).unwrap();
            true
        });
        client
    };
    std::thread::scope(|scope| {
        // One value, and many arguments.
        let one = scope.spawn(|| {
            let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${length}\r\n");
            let mut client = pieces(head, "v".repeat(BYTES));
            client.send(b"\r\n").unwrap();
            assert_eq!(client.reply_bytes().unwrap(), b"+OK\r\n");
        });
        let mut client = pieces(
            format!("*{}\r\n$4\r\nMGET\r\n", PIECES + 1),
            format!("${BYTES}\r\n{}\r\n", "v".repeat(BYTES)),
        );
        assert!(
            client
                .reply_bytes()
                .unwrap()
                .starts_with(b"*250\r\n$-1\r\n")
        );
        one.join().unwrap();
    });
}

#[test]
fn a_byte_now_and_then_does_not_keep_a_frame_open() {
    let server = start(&["--frame-timeout", "1s"]);
    let mut client = server.client().unwrap();
    client
        .send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n")
        .unwrap();
    let mut sent = 0;
    steadily(PATIENCE, 10 * PATIENCE.as_secs() as u32, || {
        sent += 1;
        client.send(b"v").is_ok()
    });
    assert!(sent < 10 * PATIENCE.as_secs(), "it was never closed");
    serves_others(&server);
}

#[test]
fn a_silent_peer_is_closed_after_the_idle_time_and_a_busy_one_is_not() {
    let server = start(&["--idle-timeout", "1s"]);
    let mut busy = server.client().unwrap().with_patience(PROMPT);
    let files = open_files(server.pid()).unwrap();
    let mut silent = server.client().unwrap();
    // Ends when the silent peer's time is up; until then the busy one keeps asking.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || silent.rest().map(drop));
        while !waiting.is_finished() {
            assert_eq!(ask(&mut busy, "PING"), "PONG");
        }
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(ask(&mut busy, "PING"), "PONG");
    eventually("its descriptor was kept", || {
        open_files(server.pid()).unwrap() <= files
    });
}

#[test]
fn many_requests_in_one_write_are_answered_one_by_one() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    client.send(&repeated(&["INCR", "n"], 10_000)).unwrap();
    for number in 1..=10_000 {
        assert_eq!(
            client.reply_bytes().unwrap(),
            format!(":{number}\r\n").into_bytes()
        );
    }
}
