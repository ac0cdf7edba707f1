//! Peers that have not given the password.

use std::io::ErrorKind;

use shardkeep_tests::harness::{Scratch, ServerProcess, request, resident_bytes};

use crate::support::{MIB, ask, repeated, start};

/// A server that asks for the password `secret`.
fn guarded() -> (ServerProcess, Scratch) {
    let scratch = Scratch::new().unwrap();
    let file = scratch.file("password", "secret\n").unwrap();
    (start(&["--password-file", &file]), scratch)
}

#[test]
fn a_stranger_may_authenticate_and_nothing_else() {
    let (server, _scratch) = guarded();
    let mut client = server.client().unwrap();
    for line in [
        "GET k",
        "SET k v",
        "FLUSHALL",
        "PING",
        "CLIENT ID",
        "INFO",
        "SHUTDOWN",
        "COMMAND",
        "KEYS *",
    ] {
        assert_eq!(
            ask(&mut client, line),
            "-NOAUTH Authentication required.",
            "{line}"
        );
    }
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(ask(&mut client, "AUTH wrong"), wrong);
    assert_eq!(ask(&mut client, "AUTH default secre"), wrong);
    assert_eq!(ask(&mut client, "AUTH nobody secret"), wrong);
    assert_eq!(ask(&mut client, "AUTH secret"), "OK");
    assert_eq!(ask(&mut client, "SET k v"), "OK");
    assert_eq!(ask(&mut client, "RESET"), "RESET");
    assert_eq!(
        ask(&mut client, "GET k"),
        "-NOAUTH Authentication required."
    );
}

#[test]
fn a_stranger_may_not_send_many_arguments_or_long_ones() {
    let (server, _scratch) = guarded();
    let cases: &[(&[u8], &str)] = &[
        (
            b"*11\r\n",
            "-ERR Protocol error: unauthenticated multibulk length\r\n",
        ),
        (
            b"*1\r\n$16385\r\n",
            "-ERR Protocol error: unauthenticated bulk length\r\n",
        ),
    ];
    for (sent, expected) in cases {
        let mut client = server.client().unwrap();
        client.send(sent).unwrap();
        let (reply, _) = client.rest().unwrap();
        assert_eq!(String::from_utf8(reply).unwrap(), *expected);
    }
}

#[test]
fn strangers_who_send_much_cost_64_kib_each() {
    const STRANGERS: u64 = 300;
    let (server, _scratch) = guarded();
    let before = resident_bytes(server.pid()).unwrap();
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        let mut stranger = server.client().unwrap();
        // Nine arguments of sixteen kilobytes: each is allowed, all together are not.
        let mut bytes = b"*10\r\n$4\r\nAUTH\r\n".to_vec();
        for _ in 0..9 {
            bytes.extend_from_slice(b"$16384\r\n");
            bytes.extend_from_slice(&[b'x'; 16_384]);
            bytes.extend_from_slice(b"\r\n");
        }
        // It may have hung up already.
        drop(stranger.send(&bytes[..bytes.len() - 10]));
        strangers.push(stranger);
    }
    let grown = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    assert!(
        grown < STRANGERS * 64 * 1024 + 4 * MIB,
        "{} KiB",
        grown / 1024
    );
    for stranger in &mut strangers {
        let (reply, _) = stranger.rest().unwrap();
        let reply = String::from_utf8(reply).unwrap();
        assert!(
            reply.is_empty() || reply.starts_with("-ERR Protocol error"),
            "{reply}"
        );
    }
}

#[test]
fn a_stranger_who_does_not_read_the_errors_is_hung_up_on() {
    let (server, _scratch) = guarded();
    let before = resident_bytes(server.pid()).unwrap();
    let mut stranger = server.client().unwrap();
    let bytes = repeated(&["GET", "k"], 10_000);
    // Each answer is larger than its question: the unread ones fill the kernel's buffers, then ours.
    let end = loop {
        if let Err(error) = stranger.send(&bytes) {
            break error.kind();
        }
    };
    let hung_up = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(hung_up.contains(&end), "{end:?}");
    let grown = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    assert!(grown < 16 * MIB, "{} KiB", grown / 1024);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "AUTH secret"), "OK");
}

#[test]
fn hello_authenticates_and_chooses_the_protocol_at_once_or_not_at_all() {
    let (server, _scratch) = guarded();
    let mut client = server.client().unwrap();
    let refusal = ask(&mut client, "HELLO 3");
    assert!(
        refusal.starts_with("-NOAUTH HELLO must be called with the client already authenticated")
    );
    assert!(ask(&mut client, "HELLO 3 AUTH default wrong").starts_with("-WRONGPASS"));
    // Still RESP2: a missing value would be `_` in RESP3.
    client
        .send(&request(&["HELLO", "3", "AUTH", "default", "secret"]))
        .unwrap();
    assert_eq!(client.reply_bytes().unwrap()[0], b'%');
    client.send(&request(&["GET", "missing"])).unwrap();
    assert_eq!(client.reply_bytes().unwrap(), b"_\r\n");
}

#[test]
fn who_resets_his_connection_is_a_stranger_again() {
    let (server, _scratch) = guarded();
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "AUTH secret"), "OK");
    assert_eq!(ask(&mut client, "RESET"), "RESET");
    client.send(b"*1\r\n$16385\r\n").unwrap();
    let (reply, _) = client.rest().unwrap();
    let expected = "-ERR Protocol error: unauthenticated bulk length\r\n";
    assert_eq!(String::from_utf8(reply).unwrap(), expected);
}
