//! Replies of large values, which the server does not copy.

use std::io::Read;

use shardkeep_tests::harness::{Client, Scratch, ServerProcess, request, resident_bytes};

use crate::memory::buffers;
use crate::support::{MIB, ask, eventually, narrow_client, start};

/// Size of a value of which the greater part waits in the server.
const LARGE: usize = 10 * MIB as usize;

/// A server whose only value, `k`, is `LARGE` bytes long.
fn with_large(flags: &[&str]) -> (ServerProcess, Client, String) {
    let server = start(flags);
    let mut client = server.client().unwrap();
    let value = "v".repeat(LARGE);
    assert_eq!(ask(&mut client, &format!("SET k {value}")), "OK");
    (server, client, value)
}

/// A client that has asked for `k` and reads nothing yet; most of the reply waits in the server.
fn unread(server: &ServerProcess, watcher: &mut Client, line: &[&str]) -> Client {
    let mut reader = narrow_client(server, 64 * 1024);
    reader.send(&request(line)).unwrap();
    eventually("the reply waits", || {
        buffers(watcher, &reader)[1] > LARGE as u64 / 4
    });
    reader
}

#[test]
fn clients_that_do_not_read_a_large_value_take_no_memory_for_it() {
    let (server, mut client, value) = with_large(&["--shards", "2"]);
    let before = resident_bytes(server.pid()).unwrap();
    let commands = [&["GET", "k"][..], &["GETEX", "k"], &["MGET", "k", "other"]];
    let readers: Vec<Client> = (0..50)
        .map(|at| unread(&server, &mut client, commands[at % commands.len()]))
        .collect();
    let grown = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    assert!(grown < 50 * MIB, "{} MiB", grown / MIB);
    for (at, mut reader) in readers.into_iter().enumerate() {
        let shown = crate::support::shown(&reader.reply().unwrap());
        let is_whole = match at % commands.len() {
            2 => shown == format!("[{value} nil]"),
            _ => shown == value,
        };
        assert!(is_whole, "{:?}", commands[at % commands.len()]);
        assert_eq!(buffers(&mut client, &reader)[1], 0);
    }
}

#[test]
fn a_large_reply_is_the_value_at_its_moment_whatever_becomes_of_the_value() {
    let (server, mut client, value) = with_large(&["--shards", "1"]);
    let overwritten = "w".repeat(LARGE);
    let changes = [
        format!("SET k {overwritten}"),
        "APPEND k tail".to_owned(),
        "SETRANGE k 0 head".to_owned(),
        "SETRANGE k 9000000 middle".to_owned(),
        "GETSET k small".to_owned(),
        "DEL k".to_owned(),
        "FLUSHALL".to_owned(),
        "PEXPIREAT k 1".to_owned(),
    ];
    for change in changes {
        assert_eq!(ask(&mut client, &format!("SET k {value}")), "OK");
        let mut reader = unread(&server, &mut client, &["GET", "k"]);
        ask(&mut client, &change);
        let got = reader.reply().unwrap();
        let word = change.split(' ').next();
        assert!(got.bytes() == Some(value.as_bytes()), "{word:?}");
    }
    // Commands that answer what they take away.
    for line in [
        &["GETDEL", "k"][..],
        &["GETSET", "k", "new"],
        &["SET", "k", "new", "GET"],
        &["GETEX", "k", "PXAT", "1"],
    ] {
        assert_eq!(ask(&mut client, &format!("SET k {value}")), "OK");
        let mut reader = unread(&server, &mut client, line);
        ask(&mut client, "SET k newer");
        let got = reader.reply().unwrap();
        assert!(got.bytes() == Some(value.as_bytes()), "{line:?}");
    }
}

/// A pipeline with replies of all sizes, and what it is answered.
fn mixed(large: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    let bulk = |bytes: &[u8]| {
        let head = format!("${}\r\n", bytes.len()).into_bytes();
        [&head[..], bytes, b"\r\n"].concat()
    };
    for round in 0..40_usize {
        let key = format!("k:{round}");
        // Around the size from which on values are not copied.
        let value = &large[..65_530 + round];
        requests.extend(request(&[b"SET", key.as_bytes(), value]));
        replies.extend_from_slice(b"+OK\r\n");
        for (line, answer) in [
            (&["GET", &key][..], bulk(value)),
            (&["PING"], b"+PONG\r\n".to_vec()),
            (&["GETEX", &key], bulk(value)),
            (&["STRLEN", &key], format!(":{}\r\n", value.len()).into()),
            (
                &["MGET", &key, "none", &key],
                [b"*3\r\n", &bulk(value)[..], b"$-1\r\n", &bulk(value)].concat(),
            ),
            (&["GETRANGE", &key, "0", "2"], bulk(&value[..3])),
            (&["SET", &key, "new", "GET"], bulk(value)),
            (&["GETDEL", &key], bulk(b"new")),
        ] {
            requests.extend(request(line));
            replies.extend(answer);
        }
    }
    (requests, replies)
}

#[test]
fn replies_of_all_sizes_leave_in_order_however_slowly_they_are_read() {
    let large: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    let (requests, replies) = mixed(&large);
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let dir = dir.to_string_lossy();
    let durable = ["--shards", "4", "--dir", &dir, "--sync", "always"];
    for flags in [&["--shards", "1"][..], &["--shards", "4"], &durable] {
        let server = start(flags);
        let clients = [server.client().unwrap(), narrow_client(&server, 4 * 1024)];
        for mut client in clients {
            let mut stream = client.stream().try_clone().unwrap();
            let mut got = vec![0; replies.len()];
            std::thread::scope(|scope| {
                scope.spawn(|| client.send(&requests).unwrap());
                // Pieces of odd sizes, so that writes end anywhere.
                for piece in got.chunks_mut(7_919) {
                    stream.read_exact(piece).unwrap();
                }
            });
            assert!(got == replies, "{flags:?}");
        }
    }
}

#[test]
fn a_connection_that_ends_lets_go_of_the_values_that_it_did_not_read() {
    let (server, mut client, _) = with_large(&["--shards", "1"]);
    assert_eq!(ask(&mut client, "DEL k"), "1");
    let resident = || resident_bytes(server.pid()).unwrap();
    let before = resident();
    let mut readers = Vec::new();
    for number in 0..8 {
        let value = number.to_string().repeat(LARGE);
        assert_eq!(ask(&mut client, &format!("SET k {value}")), "OK");
        readers.push(unread(&server, &mut client, &["GETDEL", "k"]));
    }
    assert!(resident() > before + 60 * MIB);
    drop(readers);
    eventually("the values are gone", || resident() < before + 30 * MIB);
}
