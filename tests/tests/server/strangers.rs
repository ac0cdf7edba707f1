//! Peers that have not given the password.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

use shardkeep_tests::clock;
use shardkeep_tests::harness::{Client, Scratch, ServerProcess, request, resident_bytes};

use crate::support::{MIB, ask, ends_cleanly, eventually, repeated, says, shown, start};

/// A server that asks for the password `secret`.
fn guarded() -> (ServerProcess, Scratch) {
    guarded_with(&[])
}

fn guarded_with(flags: &[&str]) -> (ServerProcess, Scratch) {
    let scratch = Scratch::new().unwrap();
    let file = scratch.file("password", "secret\n").unwrap();
    let flags = [&["--password-file", &file], flags].concat();
    (start(&flags), scratch)
}

#[test]
fn a_stranger_may_authenticate_and_nothing_else() {
    let (server, _scratch) = guarded_with(&["--login-delay", "10ms"]);
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
    let (server, _scratch) = guarded_with(&["--login-delay", "10ms"]);
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

/// The figure of INFO with this name.
fn figure(client: &mut Client, name: &str) -> u64 {
    let text = ask(client, "INFO stats");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let figure = line.and_then(|rest| rest.strip_prefix(':'));
    figure.unwrap().trim().parse().unwrap()
}

#[test]
fn a_stranger_that_does_not_log_in_is_closed_whatever_it_sends_and_counted() {
    let (server, _scratch) = guarded_with(&["--login-timeout", "1s"]);
    let mut known = server.client().unwrap();
    assert_eq!(ask(&mut known, "AUTH secret"), "OK");
    let mut silent = server.client().unwrap();
    let mut stops = server.client().unwrap();
    stops.send(b"*2\r\n$4\r\nAUTH\r\n$6\r\nsec").unwrap();
    let mut talks = server.client().unwrap();
    // What it sends is answered until it is closed.
    let closed = std::iter::repeat_with(|| talks.call(&["PING"])).find(Result::is_err);
    assert!(closed.is_some());
    for stranger in [&mut silent, &mut stops] {
        let (rest, _) = stranger.rest().unwrap();
        assert!(rest.is_empty());
    }
    assert_eq!(figure(&mut known, "login_timeouts"), 3);
    assert_eq!(ask(&mut known, "RESET"), "RESET");
    let (rest, _) = known.rest().unwrap();
    assert!(rest.is_empty(), "one that was known once is closed too");
}

#[test]
fn strangers_do_not_keep_the_places_of_clients() {
    let (server, _scratch) = guarded_with(&["--login-timeout", "1s", "--max-clients", "4"]);
    // Some may be too many already.
    let strangers: Vec<_> = (0..8).filter_map(|_| server.client().ok()).collect();
    eventually("a client gets a place", || {
        let Ok(mut client) = server.client() else {
            return false;
        };
        let reply = client.call(&["AUTH", "secret"]);
        reply.is_ok_and(|reply| shown(&reply) == "OK")
    });
    drop(strangers);
}

#[test]
fn a_wrong_password_is_answered_late_counted_and_told_and_keeps_no_one_else_waiting() {
    let (server, _scratch) = guarded();
    let mut known = server.client().unwrap();
    assert_eq!(ask(&mut known, "AUTH secret"), "OK");
    let began = clock::now();
    let mut guesses = server.client().unwrap();
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    for guess in ["AUTH a", "AUTH default b", "HELLO 3 AUTH default c"] {
        assert_eq!(ask(&mut guesses, guess), wrong);
    }
    // 0.1, 0.2 and 0.4 s.
    let took = clock::now() - began;
    assert!(took >= Duration::from_millis(700), "{took:?}");
    // The fourth, and what stands behind it; over another connection of the same address.
    let mut other = server.client().unwrap();
    let pipeline = ["AUTH d", "AUTH secret", "PING"].map(|line| format!("{line}\r\n"));
    other.send(pipeline.concat().as_bytes()).unwrap();
    let began = clock::now();
    let mut served = 0;
    while figure(&mut known, "failed_logins") < 4 || served < 100 {
        assert_eq!(ask(&mut known, "PING"), "PONG");
        served += 1;
    }
    for expected in [wrong, "OK", "PONG"] {
        assert_eq!(shown(&other.reply().unwrap()), expected);
    }
    let took = clock::now() - began;
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert_eq!(figure(&mut known, "failed_logins"), 4);
    eventually("it is told", || {
        says(&server, "failed logins, the last one from 127.0.0.1:")
    });
}

#[test]
fn a_right_password_is_as_late_as_a_wrong_one_after_failures_and_counts_as_none() {
    let (server, _scratch) = guarded();
    let mut client = server.client().unwrap();
    for guess in ["AUTH a", "AUTH b"] {
        assert!(ask(&mut client, guess).starts_with("-WRONGPASS"));
    }
    // As late as a third failure, each time, over any connection.
    for login in ["AUTH secret", "HELLO 2 AUTH default secret"] {
        let mut other = server.client().unwrap();
        let began = clock::now();
        let pipeline = format!("{login}\r\nPING\r\n");
        other.send(pipeline.as_bytes()).unwrap();
        assert!(!shown(&other.reply().unwrap()).starts_with('-'));
        assert_eq!(shown(&other.reply().unwrap()), "PONG");
        let took = clock::now() - began;
        assert!(took >= Duration::from_millis(400), "{took:?}");
        assert_eq!(figure(&mut other, "failed_logins"), 2);
    }
}

#[test]
fn who_guesses_and_closes_keeps_no_place() {
    // No guess would be answered within the test.
    let (server, _scratch) = guarded_with(&["--max-clients", "4", "--login-delay", "30s"]);
    let mut known = server.client().unwrap();
    assert_eq!(ask(&mut known, "AUTH secret"), "OK");
    let junk = [b"AUTH bad\r\n".to_vec(), vec![b'x'; 4 * MIB as usize]].concat();
    let mut failures = 0;
    for round in 0..200 {
        let mut guesses = server.client().unwrap();
        let guess: &[u8] = match round % 4 {
            0 => b"AUTH bad\r\n",
            // The right one is no different: neither is known by its place.
            1 => b"HELLO 3 AUTH default secret\r\nPING\r\n",
            2 => b"AUTH bad\r\nPING\r\nAUTH worse\r\n",
            // Closed for sending more than strangers may.
            _ => &junk,
        };
        drop(guesses.send(guess));
        failures += u64::from(round % 4 != 1);
        let mut is_counted = || {
            eventually("it is counted", || {
                figure(&mut known, "failed_logins") == failures
            });
        };
        if round % 4 == 2 {
            // Held back before it closes.
            is_counted();
            drop(guesses);
        } else {
            drop(guesses);
            is_counted();
        }
        eventually("its place is free", || {
            ask(&mut known, "CLIENT LIST").trim().lines().count() == 1
        });
    }
    assert_eq!(figure(&mut known, "rejected_connections"), 0);
}

#[test]
fn who_ends_its_side_gets_no_answer_be_the_password_right_or_wrong() {
    let (server, _scratch) = guarded_with(&["--login-delay", "30s"]);
    let mut known = server.client().unwrap();
    assert_eq!(ask(&mut known, "AUTH secret"), "OK");
    // So that logins are late from now on, by 12.8 s.
    for failures in 1..=7 {
        let mut guesses = server.client().unwrap();
        guesses.send(b"AUTH wrong\r\n").unwrap();
        eventually("it has failed", || {
            figure(&mut known, "failed_logins") == failures
        });
    }
    for login in ["AUTH wrong\r\n", "AUTH secret\r\nSET k v\r\n"] {
        let mut client = server.client().unwrap();
        client.send(login.as_bytes()).unwrap();
        client.stream().shutdown(Shutdown::Write).unwrap();
        assert!(client.rest().unwrap().0.is_empty());
    }
    assert_eq!(ask(&mut known, "EXISTS k"), "0");
}

#[test]
fn what_is_held_back_for_a_wrong_password_does_not_hold_up_a_drain() {
    let (mut server, _scratch) = guarded();
    let mut known = server.client().unwrap();
    assert_eq!(ask(&mut known, "AUTH secret"), "OK");
    let mut guesses = server.client().unwrap();
    for _ in 0..3 {
        guesses.call(&["AUTH", "wrong"]).unwrap();
    }
    guesses.send(b"AUTH wrong\r\n").unwrap();
    eventually("it is held back", || {
        figure(&mut known, "failed_logins") == 4
    });
    ends_cleanly(&mut server);
    let (reply, _) = guesses.rest().unwrap();
    assert!(reply.starts_with(b"-WRONGPASS"));
}

#[test]
fn a_name_is_kept_of_known_clients_alone() {
    let (server, _scratch) = guarded();
    let mut client = server.client().unwrap();
    let refusal = ask(&mut client, "HELLO 2 SETNAME stranger");
    assert!(refusal.starts_with("-NOAUTH"), "{refusal}");
    assert_eq!(ask(&mut client, "AUTH secret"), "OK");
    assert_eq!(ask(&mut client, "CLIENT GETNAME"), "nil");
    ask(&mut client, "HELLO 2 AUTH default secret SETNAME known");
    assert_eq!(ask(&mut client, "CLIENT GETNAME"), "known");
}

#[test]
fn who_becomes_a_stranger_in_the_middle_of_a_large_pipeline_is_held_to_its_limits() {
    let (server, _scratch) = guarded();
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "AUTH secret"), "OK");
    let mut bytes = request(&["SET", "k", &"v".repeat(300_000)]);
    bytes.extend_from_slice(&request(&["RESET"]));
    bytes.extend_from_slice(&request(&["PING"]).repeat(10_000));
    bytes.extend_from_slice(&vec![b'x'; 200_000]);
    // It may have hung up already.
    drop(client.send(&bytes));
    assert_eq!(shown(&client.reply().unwrap()), "OK");
    assert_eq!(shown(&client.reply().unwrap()), "RESET");
    let mut known = server.client().unwrap();
    assert_eq!(ask(&mut known, "AUTH secret"), "OK");
    let address = format!(" addr={} ", client.stream().local_addr().unwrap());
    drop(client.rest());
    eventually("it is closed", || {
        !ask(&mut known, "CLIENT LIST").contains(&address)
    });
    assert_eq!(figure(&mut known, "reactor_panics"), 0);
}
