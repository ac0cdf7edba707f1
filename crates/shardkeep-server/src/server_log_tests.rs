//! What clients see of a log whose disk the test holds back, breaks, or reads slowly.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use shardkeep::durable::DiskStep;
use shardkeep::engine::{Call, JournalError};

use super::*;
use crate::config::{Commit, Sync};

/// Nothing in here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of its own for each test, removed with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("shardkeep-server-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // What an earlier process of the same number has left.
        drop(std::fs::remove_dir_all(&path));
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// What the disk does when it is asked for a step.
#[derive(Clone)]
enum Disk {
    Works,
    /// It answers when the other end is dropped.
    Waits(Receiver<()>),
    Fails(JournalError),
}

/// A disk in the hands of a test.
#[derive(Clone)]
struct Hand(Arc<Mutex<[Disk; 2]>>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(Mutex::new([Disk::Works, Disk::Works])))
    }

    fn set(&self, step: DiskStep, disk: Disk) {
        self.0.lock()[usize::from(step == DiskStep::Sync)] = disk;
    }

    /// Holds a step back until what this returns is dropped.
    fn hold(&self, step: DiskStep) -> Sender<()> {
        let (open, opened) = bounded(0);
        self.set(step, Disk::Waits(opened));
        open
    }

    fn answer(&self, step: DiskStep) -> Result<(), JournalError> {
        let disk = self.0.lock()[usize::from(step == DiskStep::Sync)].clone();
        match disk {
            Disk::Works => Ok(()),
            Disk::Waits(opened) => {
                wait_for(&opened);
                Ok(())
            }
            Disk::Fails(error) => Err(error),
        }
    }
}

fn settings(place: &Place, sync: Sync) -> Settings {
    Settings {
        bind: vec![([127, 0, 0, 1], 0).into()],
        shards: Some(4),
        owners: Some(2),
        // Requests that arrive one after the other are then served in that order.
        reactors: Some(1),
        deadline: PATIENCE,
        dir: Some(place.0.clone()),
        sync,
        commit: Commit::Thread,
        ..Settings::default()
    }
}

fn start(settings: Settings, hand: &Hand) -> Server {
    let hand = hand.clone();
    let server = Server::start_with(settings, move |mut kept| {
        kept.durable = kept.durable.gate(move |step| hand.answer(step));
        kept
    })
    .unwrap();
    server.ready().recv_timeout(PATIENCE).unwrap();
    server
}

/// One whose recovery goes on when what this returns is dropped.
fn start_slowly(settings: Settings) -> (Server, Sender<()>) {
    let (open, opened) = bounded(0);
    let server = Server::start_with(settings, move |mut kept| {
        let route = kept.route;
        kept.route = Arc::new(move |key: &[u8]| {
            wait_for(&opened);
            (*route)(key)
        });
        kept
    });
    (server.unwrap(), open)
}

/// Returns when the test has dropped its end.
fn wait_for(opened: &Receiver<()>) {
    let _disconnected = opened.recv();
}

struct Client(TcpStream);

impl Client {
    /// One that the reactor has met.
    fn of(server: &Server) -> Self {
        let stream = TcpStream::connect(&server.addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self(stream);
        client.ask("ECHO here", "$4\r\nhere\r\n");
        client
    }

    fn send(&mut self, requests: &str) {
        self.0.write_all(requests.as_bytes()).unwrap();
    }

    /// Exactly this comes next.
    #[track_caller]
    fn expect(&mut self, replies: &str) {
        let mut got = vec![0; replies.len()];
        self.0.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), replies);
    }

    #[track_caller]
    fn ask(&mut self, requests: &str, replies: &str) {
        self.send(&format!("{requests}\r\n"));
        self.expect(replies);
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

    /// The next reply has come, or has not.
    fn has_reply(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        match peeked {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The first key `k0, k1, ...` that lies in shard `shard`, after `skip` of them.
fn key_in(server: &Server, shard: usize, skip: usize) -> String {
    let routes = &server.context.routes;
    let in_shard = |key: &String| routes.shard(routes.hash(key.as_bytes())) == shard;
    let mut keys = (0..).map(|n| format!("k{n}")).filter(in_shard);
    keys.nth(skip).unwrap()
}

/// Until everything that was sent before has been served, as far as it can be: two replies of the same
/// reactor to somebody else.
fn settle(other: &mut Client) {
    other.ask("PING", "+PONG\r\n");
    other.ask("PING", "+PONG\r\n");
}

/// Does `change` with its sync held back; then `ask`, of another client, must have no reply before the
/// sync ends, and `reply` after it.
fn check_waits(change: &str, ask: &str, reply: &str) {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let (key, same_shard) = (key_in(&server, 1, 0), key_in(&server, 1, 1));
    let there = key_in(&server, 2, 0);
    let named = |text: &str| {
        let words = text.split(' ').map(|word| match word {
            "KEY" => &key,
            "THERE" => &there,
            other => other,
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let mut other = Client::of(&server);
    other.ask(&named("SET KEY old"), "+OK\r\n");
    other.ask(&named("SET THERE there"), "+OK\r\n");
    other.ask(&format!("SET {same_shard} same"), "+OK\r\n");
    let open = hand.hold(DiskStep::Sync);
    let mut changes = Client::of(&server);
    changes.send(&format!("{}\r\n", named(change)));
    settle(&mut other);
    let mut asks = Client::of(&server);
    asks.send(&format!("{}\r\n", named(ask)));
    settle(&mut other);
    assert!(!changes.has_reply(), "{change} was answered too early");
    assert!(
        !asks.has_reply(),
        "{ask} after {change} was answered too early"
    );
    if !change.starts_with("FLUSH") {
        // Another key of the very same shard is read meanwhile.
        other.ask(&format!("GET {same_shard}"), "$4\r\nsame\r\n");
        other.ask(&format!("EXISTS {}", key_in(&server, 3, 0)), ":0\r\n");
    }
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    asks.expect(&named(reply));
    assert!(changes.line().starts_with(['+', ':', '$']));
    drop((other, changes, asks));
    assert!(server.drain(PATIENCE).is_clean());
}

#[test]
fn no_kind_of_reply_shows_a_change_that_is_not_durable() {
    let set = "SET KEY new";
    let del = "DEL KEY";
    let cases = [
        (set, "GET KEY", "$3\r\nnew\r\n"),
        (set, "EXISTS KEY", ":1\r\n"),
        (set, "SET KEY newer NX", "$-1\r\n"),
        (
            set,
            "INCR KEY",
            "-ERR value is not an integer or out of range\r\n",
        ),
        (set, "MGET THERE KEY", "*2\r\n$5\r\nthere\r\n$3\r\nnew\r\n"),
        (set, "TTL KEY", ":-1\r\n"),
        (set, "DBSIZE", ":3\r\n"),
        (set, "RENAMENX THERE KEY", ":0\r\n"),
        (del, "GET KEY", "$-1\r\n"),
        (del, "EXISTS KEY", ":0\r\n"),
        (del, "DEL KEY", ":0\r\n"),
        (del, "SET KEY new XX", "$-1\r\n"),
        (del, "MGET KEY THERE", "*2\r\n$-1\r\n$5\r\nthere\r\n"),
        (del, "DBSIZE", ":2\r\n"),
        (del, "KEYS KEY", "*0\r\n"),
        (
            del,
            "SCAN 0 COUNT 1000 MATCH KEY",
            "*2\r\n$1\r\n0\r\n*0\r\n",
        ),
        (del, "RENAME KEY x", "-ERR no such key\r\n"),
        ("PEXPIRE KEY 100000000", "PERSIST KEY", ":1\r\n"),
        ("GETDEL KEY", "TYPE KEY", "+none\r\n"),
        ("MSET KEY 1 THERE 2", "GET THERE", "$1\r\n2\r\n"),
        ("RENAME THERE KEY", "GET THERE", "$-1\r\n"),
        ("FLUSHALL", "GET KEY", "$-1\r\n"),
        ("FLUSHALL", "DBSIZE", ":0\r\n"),
        ("FLUSHALL", "RANDOMKEY", "$-1\r\n"),
    ];
    for (change, ask, reply) in cases {
        check_waits(change, ask, reply);
    }
}

#[test]
fn replies_behind_one_that_waits_keep_their_order_and_those_before_it_leave() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let mut other = Client::of(&server);
    other.ask("SET there 1", "+OK\r\n");
    let open = hand.hold(DiskStep::Sync);
    let mut client = Client::of(&server);
    client.send("GET there\r\nSET key 2\r\nPING\r\nGET there\r\n");
    client.expect("$1\r\n1\r\n");
    client.send("ECHO late\r\nINCR key\r\n");
    settle(&mut other);
    assert!(!client.has_reply());
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    client.expect("+OK\r\n+PONG\r\n$1\r\n1\r\n$4\r\nlate\r\n:3\r\n");
}

#[test]
fn without_the_promise_nobody_waits_for_a_sync() {
    for sync in [Sync::Interval, Sync::Never] {
        let place = Place::new();
        let hand = Hand::new();
        let server = start(settings(&place, sync), &hand);
        let open = hand.hold(DiskStep::Write);
        let mut client = Client::of(&server);
        client.ask("SET key 1", "+OK\r\n");
        client.ask("MSET key 2 other 3", "+OK\r\n");
        client.ask("DBSIZE", ":2\r\n");
        drop(open);
        assert!(server.drain(PATIENCE).is_clean());
    }
}

#[test]
fn by_its_deadline_a_change_that_is_not_durable_is_lost_and_a_read_is_refused() {
    let place = Place::new();
    let hand = Hand::new();
    let settings = Settings {
        deadline: Duration::from_millis(200),
        ..settings(&place, Sync::Always)
    };
    let server = start(settings, &hand);
    let open = hand.hold(DiskStep::Sync);
    let mut client = Client::of(&server);
    client.send("SET key 1\r\nGET key\r\nPING\r\n");
    let lost = client.line();
    assert!(lost.starts_with("-LOST shard="), "{lost}");
    assert!(lost.contains("the deadline passed before"), "{lost}");
    let refused = client.line();
    assert!(refused.starts_with("-TRYAGAIN shard="), "{refused}");
    client.expect("+PONG\r\n");
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    let mut patient = Client::of(&server);
    patient.ask("APPEND other x", ":1\r\n");
    patient.ask("GET key", "$1\r\n1\r\n");
}

#[test]
fn after_a_failed_sync_waiting_writes_are_lost_and_later_ones_refused_while_reads_go_on() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let (key, other_key) = (key_in(&server, 1, 0), key_in(&server, 1, 1));
    let mut client = Client::of(&server);
    client.ask(&format!("SET {other_key} safe"), "+OK\r\n");
    let error = JournalError::Failed("no more".to_owned());
    hand.set(DiskStep::Sync, Disk::Fails(error));
    client.send(&format!("SET {key} v\r\nPING\r\nGET {key}\r\n"));
    let lost = client.line();
    assert!(lost.starts_with("-LOST shard=1 the log failed"), "{lost}");
    client.expect("+PONG\r\n");
    let unknown = client.line();
    assert!(
        unknown.starts_with("-MISCONF shard=1 the log failed"),
        "{unknown}"
    );
    // The next sync would succeed; it must not be believed.
    hand.set(DiskStep::Sync, Disk::Works);
    client.send(&format!(
        "SET {other_key} w\r\nMSET {key} 1 {other_key} 2\r\n"
    ));
    for _ in 0..2 {
        let refused = client.line();
        assert!(
            refused.starts_with("-MISCONF the log has failed ("),
            "{refused}"
        );
        assert!(refused.contains("no more"), "{refused}");
    }
    client.ask(&format!("GET {other_key}"), "$4\r\nsafe\r\n");
    client.send("DBSIZE\r\n");
    assert!(client.line().starts_with("-MISCONF"));
    client.send("INFO persistence\r\n");
    while client.line() != "log_state:failed\r\n" {}
    let report = server.drain(PATIENCE);
    assert!(!report.is_clean(), "{report}");
    assert!(report.to_string().contains(" unsynced=1 "), "{report}");
}

#[test]
fn without_space_writes_are_refused_and_reads_served_until_there_is_some() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Interval), &hand);
    let mut client = Client::of(&server);
    client.ask("SET key 1", "+OK\r\n");
    let error = JournalError::NoSpace("full".to_owned());
    hand.set(DiskStep::Write, Disk::Fails(error));
    // What was admitted before anybody knew stays queued.
    let refused = loop {
        client.send("INCR key\r\n");
        let line = client.line();
        if !line.starts_with(':') {
            break line;
        }
    };
    assert!(
        refused.starts_with("-MISCONF there is no space for the log (full)"),
        "{refused}"
    );
    client.send("GET key\r\n");
    assert!(client.line().starts_with('$'));
    let value = client.line();
    hand.set(DiskStep::Write, Disk::Works);
    let resumed = loop {
        client.send("INCR key\r\n");
        let line = client.line();
        if line.starts_with(':') {
            break line;
        }
    };
    let number = |text: &str| text.trim_matches([':', '\r', '\n']).parse::<u64>().unwrap();
    assert_eq!(number(&resumed), number(&value) + 1);
    assert!(server.drain(PATIENCE).is_clean());
}

#[test]
fn a_full_queue_stops_writers_until_their_deadline_and_readers_not_at_all() {
    let place = Place::new();
    let hand = Hand::new();
    let settings = Settings {
        deadline: Duration::from_millis(200),
        ..settings(&place, Sync::Interval)
    };
    let server = start(settings, &hand);
    let open = hand.hold(DiskStep::Write);
    let mut client = Client::of(&server);
    client.ask("SET small 1", "+OK\r\n");
    // 64 MiB of them fill the queue.
    let large = format!("SET large {}\r\n", "x".repeat(60_000));
    let refused = loop {
        client.send(&large);
        let line = client.line();
        if line != "+OK\r\n" {
            break line;
        }
    };
    assert!(refused.starts_with("-THROTTLED log places="), "{refused}");
    let mut stopped = Client::of(&server);
    stopped.send(
        "PING\r\nSET small \"2 3\"\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\nGET small\r\n",
    );
    stopped.expect("+PONG\r\n");
    client.ask("GET small", "$1\r\n1\r\n");
    for _ in 0..2 {
        let refused = stopped.line();
        assert!(refused.starts_with("-THROTTLED log places="), "{refused}");
    }
    stopped.expect("$1\r\n1\r\n");
    hand.set(DiskStep::Write, Disk::Works);
    drop(open);
}

#[test]
fn a_writer_that_stopped_for_want_of_a_place_goes_on_when_there_is_one() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Interval), &hand);
    let open = hand.hold(DiskStep::Write);
    let mut client = Client::of(&server);
    let large = format!("SET large {}\r\n", "x".repeat(60_000));
    let full = || server.context.keep.log_stats().unwrap().places_taken >= 16_384;
    while !full() {
        client.send(&large);
        client.expect("+OK\r\n");
    }
    // As a line with quotes, as an array, and over several shards.
    let (a, b) = (key_in(&server, 1, 0), key_in(&server, 2, 0));
    let mut stopped = Client::of(&server);
    stopped.send(&format!(
        "SET {a} \"2 \\x41\"\r\n*3\r\n$6\r\nAPPEND\r\n${}\r\n{a}\r\n$1\r\n!\r\nMSET {b} 1 {a}x 2\r\nGET {a}\r\n",
        a.len()
    ));
    settle(&mut client);
    assert!(!stopped.has_reply());
    hand.set(DiskStep::Write, Disk::Works);
    drop(open);
    stopped.expect("+OK\r\n:4\r\n+OK\r\n$4\r\n2 A!\r\n");
    assert!(server.drain(PATIENCE).is_clean());
}

#[test]
fn while_the_store_is_read_commands_on_keys_are_told_that_it_loads() {
    let place = Place::new();
    let hand = Hand::new();
    let before = start(settings(&place, Sync::Always), &hand);
    Client::of(&before).ask("SET key value", "+OK\r\n");
    assert!(before.drain(PATIENCE).is_clean());

    let (server, open) = start_slowly(settings(&place, Sync::Always));
    let mut client = Client::of(&server);
    let loading = "-LOADING Redis is loading the dataset in memory\r\n";
    for command in [
        "GET key",
        "SET key 2",
        "DBSIZE",
        "PING",
        "FLUSHALL",
        "SAVE",
        "BGSAVE",
    ] {
        client.ask(command, loading);
    }
    client.ask("ECHO hello", "$5\r\nhello\r\n");
    client.ask("SELECT 0", "+OK\r\n");
    client.send("INFO persistence\r\n");
    while client.line() != "loading:1\r\n" {}
    while !client.line().starts_with("loading_eta_seconds:") {}
    while client.line() != "log_refused:0\r\n" {}
    client.expect("\r\n");
    assert!(server.ready().is_empty());
    drop(open);
    server.ready().recv_timeout(PATIENCE).unwrap();
    client.ask("GET key", "$5\r\nvalue\r\n");
    client.ask("PING", "+PONG\r\n");
}

#[test]
fn a_server_that_is_told_to_stop_gives_its_recovery_up() {
    let place = Place::new();
    let hand = Hand::new();
    let before = start(settings(&place, Sync::Always), &hand);
    Client::of(&before).ask("SET key value", "+OK\r\n");
    assert!(before.drain(PATIENCE).is_clean());
    let (server, open) = start_slowly(settings(&place, Sync::Always));
    let report = std::thread::scope(|scope| {
        let draining = scope.spawn(|| server.drain(PATIENCE));
        drop(open);
        draining.join().unwrap()
    });
    assert!(report.is_clean(), "{report}");
    let again = start(settings(&place, Sync::Always), &hand);
    Client::of(&again).ask("GET key", "$5\r\nvalue\r\n");
}

#[test]
fn a_disk_that_does_not_answer_cannot_hold_up_the_end_beyond_its_cap() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let open = hand.hold(DiskStep::Sync);
    Client::of(&server).send("SET key value\r\n");
    while server.context.keep.log_stats().unwrap().writes == 0 {
        std::thread::yield_now();
    }
    let cap = Duration::from_millis(300);
    let began = clock::now();
    let report = server.drain(cap);
    // Nothing waits for it again.
    assert!(clock::now() - began < PATIENCE / 3);
    assert!(!report.is_clean(), "{report}");
    assert!(report.to_string().contains(" unsynced=1 "), "{report}");
    drop(open);
}

#[test]
fn a_lost_shard_comes_back_from_the_log_and_meanwhile_says_so() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let (lost, safe) = (key_in(&server, 1, 0), key_in(&server, 2, 0));
    let mut client = Client::of(&server);
    client.ask(&format!("MSET {lost} 1 {safe} 2"), "+OK\r\n");
    client.ask(&format!("INCR {lost}"), ":2\r\n");
    let call = Call::by(Deadline::after(PATIENCE));
    let mut held = server.context.keep.acquire(&[1], call).unwrap();
    // What makes it again must write what was queued first.
    let open = hand.hold(DiskStep::Sync);
    let mut other = Client::of(&server);
    other.send(&format!("SET {safe} 3\r\n"));
    while server.context.keep.log_stats().unwrap().writes < 3 {
        std::thread::yield_now();
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        held.shard(1).change(|_| panic!("planted"));
    }));
    assert!(panicked.is_err());
    client.send(&format!("GET {lost}\r\n"));
    let error = client.line();
    assert!(
        error.starts_with("-TRYAGAIN shard=1 is being rebuilt"),
        "{error}"
    );
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    other.expect("+OK\r\n");
    let value = loop {
        client.send(&format!("GET {lost}\r\n"));
        let line = client.line();
        if !line.starts_with("-TRYAGAIN") {
            break line + &client.line();
        }
    };
    assert_eq!(value, "$1\r\n2\r\n");
    client.ask(&format!("INCR {lost}"), ":3\r\n");
    assert!(server.drain(PATIENCE).is_clean());
    let again = start(settings(&place, Sync::Always), &hand);
    Client::of(&again).ask(
        &format!("MGET {lost} {safe}"),
        "*2\r\n$1\r\n3\r\n$1\r\n3\r\n",
    );
}
