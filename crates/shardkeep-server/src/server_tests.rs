//! What clients see while a shard is in other hands. The test itself holds the shard.

#![expect(clippy::disallowed_methods, reason = "a test may wait")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use shardkeep::engine::{Call, Deadline, Loans};
use shardkeep::table::UnixMillis;

use super::*;
use crate::engine::ShardState;

/// Nothing in here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

#[path = "overload_tests.rs"]
mod overload;

fn settings(deadline: Duration) -> Settings {
    Settings {
        bind: vec![([127, 0, 0, 1], 0).into()],
        admin: crate::config::AdminAt::Off,
        shards: Some(4),
        owners: Some(2),
        reactors: Some(2),
        deadline,
        ..Settings::default()
    }
}

fn server(deadline: Duration) -> Server {
    Server::start(settings(deadline)).unwrap()
}

/// Takes shard `shard` out of everybody's reach.
fn hold(server: &Server, shard: usize) -> Loans<ShardState> {
    server
        .context
        .keep
        .acquire(&[shard], Call::by(Deadline::after(PATIENCE)))
        .unwrap()
}

/// The first key `k0, k1, ...` that lies in shard `shard`.
fn key_in(server: &Server, shard: usize) -> String {
    let routes = &server.context.routes;
    let in_shard = |key: &String| routes.shard(routes.hash(key.as_bytes())) == shard;
    (0..).map(|n| format!("k{n}")).find(in_shard).unwrap()
}

struct Client(TcpStream);

impl Client {
    fn of(server: &Server) -> Self {
        let stream = TcpStream::connect(&server.addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn send(&mut self, requests: &str) {
        self.0.write_all(requests.as_bytes()).unwrap();
    }

    /// Exactly this comes next.
    fn expect(&mut self, replies: &str) {
        let mut got = vec![0; replies.len()];
        self.0.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), replies);
    }

    /// The next line.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }
}

/// Returns when `mailed` works have been mailed by the reactors.
fn until_mailed(server: &Server, mailed: u64) {
    let sum = || {
        server
            .context
            .reactors
            .iter()
            .map(|reactor| reactor.mailed.get())
            .sum::<u64>()
    };
    while sum() < mailed {
        std::thread::yield_now();
    }
}

#[test]
fn a_command_for_a_shard_in_other_hands_is_answered_when_it_comes_back() {
    let server = server(PATIENCE);
    let key = key_in(&server, 2);
    let held = hold(&server, 2);
    let mut client = Client::of(&server);
    client.send(&format!("SET {key} v\r\nGET {key}\r\n"));
    until_mailed(&server, 1);
    drop(held);
    client.expect("+OK\r\n$1\r\nv\r\n");
}

#[test]
fn a_time_to_live_begins_when_the_command_runs_however_long_it_has_waited() {
    let server = server(PATIENCE);
    let key = key_in(&server, 2);
    let held = hold(&server, 2);
    let mut client = Client::of(&server);
    client.send(&format!("SET {key} v PX 60000\r\nPEXPIRETIME {key}\r\n"));
    until_mailed(&server, 1);
    let sent = clock::unix_millis();
    while clock::unix_millis() < UnixMillis::new(sent.get() + 20) {
        std::thread::yield_now();
    }
    let runs = clock::unix_millis().get();
    drop(held);
    client.expect("+OK\r\n");
    let expires = client.line();
    let expires: u64 = expires.trim_start_matches(':').trim_end().parse().unwrap();
    assert!(expires >= runs + 60_000, "{runs} {expires}");
}

#[test]
fn other_shards_and_other_clients_do_not_wait_for_it() {
    let server = server(PATIENCE);
    let (away, here) = (key_in(&server, 1), key_in(&server, 3));
    let held = hold(&server, 1);
    let mut waiting = Client::of(&server);
    waiting.send(&format!("SET {here} 1\r\nINCR {away}\r\nINCR {here}\r\n"));
    until_mailed(&server, 1);
    let mut other = Client::of(&server);
    other.send(&format!("INCR {here}\r\n"));
    other.expect(":3\r\n");
    drop(held);
    waiting.expect("+OK\r\n:1\r\n:2\r\n");
}

#[test]
fn by_its_deadline_it_is_throttled_and_was_not_applied() {
    let server = server(Duration::from_millis(50));
    let key = key_in(&server, 2);
    let held = hold(&server, 2);
    let mut client = Client::of(&server);
    client.send(&format!("INCR {key}\r\nPING\r\n"));
    let error = client.line();
    assert!(error.starts_with("-THROTTLED shard=2 depth="), "{error}");
    assert!(error.contains(" retry_in_ms="), "{error}");
    client.expect("+PONG\r\n");
    drop(held);
    // On a crowded machine the deadline may pass again, and again nothing was applied.
    let mut incremented = || {
        client.send(&format!("INCR {key}\r\n"));
        client.line()
    };
    let mut replies = std::iter::repeat_with(&mut incremented).take(100);
    let served = replies.find(|reply| !reply.starts_with("-THROTTLED"));
    assert_eq!(served.as_deref(), Some(":1\r\n"));
}

#[test]
fn each_command_that_is_told_throttled_or_lost_counts_and_no_other() {
    let server = server(Duration::from_millis(50));
    let (away, here) = (key_in(&server, 2), key_in(&server, 3));
    let sum = |figure: fn(&ReactorStats) -> u64| -> u64 {
        let reactors = server.context.reactors.iter();
        reactors.map(|reactor| figure(reactor)).sum()
    };
    let held = hold(&server, 2);
    let mut client = Client::of(&server);
    // Three in one work, and one over two shards.
    let incr = format!("INCR {away}\r\n").repeat(3);
    client.send(&format!("{incr}PING\r\n"));
    for _ in 0..3 {
        assert!(client.line().starts_with("-THROTTLED"));
    }
    client.expect("+PONG\r\n");
    client.send(&format!("MSET {away} 1 {here} 2\r\n"));
    assert!(client.line().starts_with("-THROTTLED"));
    assert_eq!(sum(|reactor| reactor.throttled.get()), 4);
    assert_eq!(sum(|reactor| reactor.lost.get()), 0);
    // The shard was stuck by then: the last never began.
    let failed = sum(|reactor| reactor.commands_total(|figures| &figures.failed));
    let rejected = sum(|reactor| reactor.commands_total(|figures| &figures.rejected));
    assert_eq!((failed, rejected), (3, 1));
    drop(held);
}

#[test]
fn many_clients_of_one_shard_share_a_trip_and_each_gets_its_own_reply() {
    let server = server(PATIENCE);
    let key = key_in(&server, 0);
    let held = hold(&server, 0);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::of(&server)).collect();
    for client in &mut clients {
        client.send(&format!("INCR {key}\r\nECHO done\r\n"));
    }
    until_mailed(&server, 2);
    drop(held);
    let mut seen: Vec<i64> = clients
        .iter_mut()
        .map(|client| {
            let number = client.line()[1..].trim_end().parse().unwrap();
            client.expect("$4\r\ndone\r\n");
            number
        })
        .collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(1..=20));
}

#[test]
fn a_command_over_shards_waits_for_all_of_them_and_runs_once() {
    let server = server(PATIENCE);
    let keys: Vec<String> = (0..4).map(|shard| key_in(&server, shard)).collect();
    let held = hold(&server, 3);
    let mut client = Client::of(&server);
    let [a, b, c, d] = &keys[..] else {
        unreachable!("four shards")
    };
    client.send(&format!("MSET {a} 1 {b} 2 {c} 3 {d} 4\r\nMGET {a} {d}\r\n"));
    until_mailed(&server, 1);
    drop(held);
    client.expect("+OK\r\n*2\r\n$1\r\n1\r\n$1\r\n4\r\n");
}

#[test]
fn a_command_over_shards_takes_its_turn_behind_one_that_is_away() {
    let server = server(PATIENCE);
    let (away, here) = (key_in(&server, 1), key_in(&server, 2));
    let held = hold(&server, 1);
    let mut client = Client::of(&server);
    client.send(&format!(
        "SET {away} 1\r\nSET {here} 2\r\nMGET {away} {here}\r\nDBSIZE\r\nGET {here}\r\n"
    ));
    until_mailed(&server, 1);
    drop(held);
    client.expect("+OK\r\n+OK\r\n*2\r\n$1\r\n1\r\n$1\r\n2\r\n:2\r\n$1\r\n2\r\n");
}

#[test]
fn a_command_over_shards_is_throttled_by_its_deadline() {
    let server = server(Duration::from_millis(50));
    let held = hold(&server, 1);
    let mut client = Client::of(&server);
    client.send("DBSIZE\r\n");
    let error = client.line();
    assert!(error.starts_with("-THROTTLED shard="), "{error}");
    drop(held);
    client.send("DBSIZE\r\n");
    client.expect(":0\r\n");
}

#[test]
fn what_waited_for_a_lost_shard_is_told_to_try_again_and_the_others_keep_their_keys() {
    let server = server(PATIENCE);
    let (lost, safe) = (key_in(&server, 1), key_in(&server, 2));
    let mut client = Client::of(&server);
    client.send(&format!("MSET {lost} 1 {safe} 2\r\n"));
    client.expect("+OK\r\n");
    let mut held = hold(&server, 1);
    client.send(&format!("GET {lost}\r\n"));
    until_mailed(&server, 1);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        held.shard(1).change(|_| panic!("planted"));
    }));
    assert!(panicked.is_err());
    let error = client.line();
    assert!(error.starts_with("-TRYAGAIN shard=1 "), "{error}");
    client.send(&format!("MGET {lost} {safe}\r\n"));
    client.expect("*2\r\n$-1\r\n$1\r\n2\r\n");
}

#[test]
fn a_drain_waits_for_a_shard_that_comes_back_and_says_so_when_it_does_not() {
    let server = server(PATIENCE);
    let held = hold(&server, 2);
    let report = std::thread::scope(|scope| {
        let draining = scope.spawn(|| server.drain(PATIENCE));
        drop(held);
        draining.join().unwrap()
    });
    assert!(report.is_clean(), "{report}");

    let server = self::server(PATIENCE);
    let held = hold(&server, 2);
    let report = server.drain(Duration::from_millis(50));
    assert!(!report.is_clean(), "{report}");
    assert!(report.to_string().contains("shards_away=1"), "{report}");
    drop(held);
}

#[test]
fn a_command_that_waits_longer_than_its_client_wants_is_refused_and_never_runs() {
    let server = server(PATIENCE);
    let key = key_in(&server, 2);
    let held = hold(&server, 2);
    let mut client = Client::of(&server);
    client.send("CLIENT DEADLINE 0\r\nCLIENT DEADLINE x\r\nCLIENT DEADLINE 1\r\n");
    client.expect("+OK\r\n");
    assert!(client.line().starts_with("-ERR the deadline is"));
    client.expect("+OK\r\n");
    client.send(&format!("SET {key} v\r\n"));
    let error = client.line();
    assert!(error.starts_with("-THROTTLED shard=2 depth="), "{error}");
    drop(held);
    client.send(&format!("CLIENT DEADLINE 0\r\nGET {key}\r\n"));
    client.expect("+OK\r\n$-1\r\n");
}

#[test]
fn a_patient_client_is_not_refused_because_an_impatient_one_was_there_first() {
    let server = server(PATIENCE);
    let key = key_in(&server, 2);
    let held = hold(&server, 2);
    let (mut hasty, mut patient) = (Client::of(&server), Client::of(&server));
    hasty.send("CLIENT DEADLINE 1\r\n");
    hasty.expect("+OK\r\n");
    hasty.send(&format!("SET {key} hasty\r\n"));
    patient.send(&format!("SET {key} patient\r\n"));
    until_mailed(&server, 1);
    drop(held);
    patient.expect("+OK\r\n");
    let answer = hasty.line();
    assert!(
        answer == "+OK\r\n" || answer.starts_with("-THROTTLED"),
        "{answer}"
    );
}
