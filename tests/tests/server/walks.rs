//! Snapshots beside commands of chance, and a kill at any moment: what is there afterwards is what was acknowledged,
//! and the snapshot and the log say each thing once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;

use shardkeep::effect;
use shardkeep_log::{Directory, FrameBuffer, Options, Recovery};
use shardkeep_tests::clock;
use shardkeep_tests::harness::{Client, Scratch, ServerProcess, request};
use shardkeep_tests::random::Random;

use crate::durable::{Everything, alive, everything, kill, open};
use crate::support::{ask, eventually, shown, start};

/// Databases that are written.
const DATABASES: usize = 5;

/// Keys of each.
const KEYS: usize = 60;

/// A moment that no test sees, in Unix milliseconds.
const FAR: usize = 4_000_000_000_000;

/// Commands that are sent in one piece.
const BATCH: usize = 12;

/// Batches between two kills, at least.
const BATCHES: usize = 40;

type Request = Vec<String>;

fn words(line: &str) -> Request {
    line.split(' ').map(str::to_owned).collect()
}

fn key(random: &mut Random) -> String {
    format!("k{}", random.below(KEYS))
}

/// Some are so large that a slice has few of them, and some are shared with a walk.
fn value(random: &mut Random) -> String {
    let length = match random.percent(5) {
        true => 20_000,
        false => random.one(&[1, 12, 300, 6_000]),
    };
    random.one(&["a", "b", "7"]).repeat(length)
}

fn far(random: &mut Random) -> usize {
    FAR + random.below(1_000_000)
}

/// A command whose outcome depends on no clock.
fn command(random: &mut Random) -> Request {
    let (one, other, at) = (key(random), key(random), far(random));
    let (database, third) = (random.below(DATABASES), random.below(DATABASES));
    let line = match random.below(100) {
        0..12 => format!("SET {one} {}", value(random)),
        12..18 => format!("SET {one} {} PXAT {at}", value(random)),
        18..22 => format!("SET {one} {} KEEPTTL", value(random)),
        22..24 => format!("SET {one} {} XX GET", random.below(100)),
        24..38 => format!("APPEND {one} {}", "x".repeat(random.between(1, 30))),
        38..46 => format!("SETRANGE {one} {} yy", random.below(9_000)),
        46..52 => format!("INCRBY n{one} {}", random.below(100)),
        52..58 => format!("PEXPIREAT {one} {at}"),
        58..59 => format!("EXPIREAT {one} 1"),
        59..63 => format!("PERSIST {one}"),
        63..65 => format!("GETDEL {one}"),
        65..68 => format!("GETEX {one} PXAT {at}"),
        68..69 => format!("GETEX {one} PERSIST"),
        69..73 => format!("DEL {one} {other}"),
        73..77 => format!("RENAME {one} {other}"),
        77..81 => format!("COPY {one} {other} DB {database} REPLACE"),
        81..84 => format!("MOVE {one} {database}"),
        84..87 => format!("SWAPDB {database} {third}"),
        87..89 => format!("MSET {one} {} {other} 2 {} 3", value(random), key(random)),
        89..90 => format!("MSETNX {one} 1 {other} 2"),
        90..98 => format!("SELECT {database}"),
        98 if random.percent(20) => "FLUSHDB".to_owned(),
        99 if random.percent(5) => "FLUSHALL".to_owned(),
        _ => format!("GET {one}"),
    };
    words(&line)
}

/// Commands that are sent in one piece; some of them are a transaction.
fn batch(random: &mut Random) -> Vec<Request> {
    let mut requests: Vec<_> = (0..BATCH).map(|_| command(random)).collect();
    if random.percent(30) {
        requests.insert(3, words("MULTI"));
        requests.insert(8, words("EXEC"));
    }
    requests
}

fn bytes(requests: &[Request]) -> Vec<u8> {
    requests.iter().flat_map(|args| request(args)).collect()
}

/// Every database has keys, so that a walk takes some slices.
fn fill(client: &mut Client) {
    for database in 0..DATABASES {
        let mut requests = vec![words(&format!("SELECT {database}"))];
        requests.extend((0..KEYS).map(|key| words(&format!("SET k{key} {}", "f".repeat(2_000)))));
        answers(client, &requests);
    }
    assert_eq!(ask(client, "SELECT 0"), "OK");
}

fn answers(client: &mut Client, requests: &[Request]) -> Vec<String> {
    client.send(&bytes(requests)).unwrap();
    let answers = requests.iter().map(|_| client.reply_bytes().unwrap());
    let shown = answers.map(|answer| String::from_utf8_lossy(&answer).into_owned());
    shown.collect()
}

/// The server on `dir`, which tells nothing for want of time, however crowded the machine is.
fn patient(dir: &Path, shards: &str) -> ServerProcess {
    open(dir, "always", &["--shards", shards, "--deadline", "20s"])
}

/// Tells the thread that takes snapshots to end, whatever ends the work beside it.
struct Ends<'s>(&'s AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Does something while one snapshot after the other is taken, and counted; until it is done, or the server is gone.
fn beside_snapshots<T>(
    server: &mut ServerProcess,
    work: impl FnOnce(&mut ServerProcess, &AtomicUsize) -> T,
) -> T {
    let mut client = server.client().unwrap();
    let (saved, has_ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let ends = Ends(&has_ended);
        scope.spawn(|| {
            let lines = ["SAVE", "BGSAVE"].iter().cycle();
            let going = lines.take_while(|_| !has_ended.load(SeqCst));
            let answers = going.map_while(|line| client.call(&[line]).ok());
            answers.for_each(|answer| {
                let answer = shown(&answer);
                let is_beside_another =
                    answer.contains("in progress") || answer.contains("already");
                assert!(!answer.starts_with('-') || is_beside_another, "{answer}");
                saved.fetch_add(1, SeqCst);
            });
        });
        let done = work(server, &saved);
        drop(ends);
        done
    })
}

/// The snapshot has each key once, and what the log says behind it is said of keys that are there.
fn check_files(dir: &Path) {
    let directory = Arc::new(Directory::open(dir).unwrap());
    let options = Options {
        accepts_other_content: true,
        ..Options::new()
    };
    let mut recovery = Recovery::open(directory, options).unwrap();
    let mut keys = BTreeSet::new();
    if let Some(snapshot) = recovery.snapshot() {
        let mut buffer = FrameBuffer::default();
        for index in 0..snapshot.frames() {
            let frame = snapshot.read_frame(index, &mut buffer).unwrap();
            for effect in effect::decode(frame).map(Result::unwrap) {
                assert!(effect.as_set().is_some(), "{effect:?}");
                let key = (effect.database, effect.key.unwrap().to_vec());
                assert!(keys.insert(key), "twice in the snapshot: {effect:?}");
            }
        }
        assert_eq!(snapshot.entries(), keys.len() as u64);
    }
    while let Some(record) = recovery.next_record().unwrap() {
        for effect in effect::decode(record.payload).map(Result::unwrap) {
            check_effect(&mut keys, &effect);
        }
    }
}

fn check_effect(keys: &mut BTreeSet<(u32, Vec<u8>)>, effect: &effect::Effect<'_>) {
    let Some(key) = effect.key else {
        return check_effect_on_all(keys, effect);
    };
    let key = (effect.database, key.to_vec());
    match effect.verb {
        b"SET" => drop(keys.insert(key)),
        // What it removes may be missing in the snapshot, whose log removes it.
        b"DEL" => drop(keys.remove(&key)),
        _ => assert!(
            keys.contains(&key),
            "said of a key that is not there: {effect:?}"
        ),
    }
}

fn check_effect_on_all(keys: &mut BTreeSet<(u32, Vec<u8>)>, effect: &effect::Effect<'_>) {
    let numbers = effect
        .args()
        .map(|word| String::from_utf8_lossy(word).parse().unwrap());
    let numbers: Vec<u32> = numbers.collect();
    match (effect.verb, &numbers[..]) {
        (b"FLUSHALL", []) => keys.clear(),
        (b"FLUSHDB", []) => keys.retain(|(at, _)| *at != effect.database),
        (b"SWAPDB", &[one, other]) => {
            let place = |at| match at {
                _ if at == one => other,
                _ if at == other => one,
                _ => at,
            };
            let moved = std::mem::take(keys).into_iter();
            *keys = moved.map(|(at, key)| (place(at), key)).collect();
        }
        _ => panic!("{effect:?}"),
    }
}

/// A server with a log beside one without, which is done the same to.
struct Pair {
    server: ServerProcess,
    reference: ServerProcess,
    random: Random,
}

impl Pair {
    /// Does the same to both while snapshots are taken, and kills the one in the middle of a batch; the other is done
    /// what was acknowledged. Gives what was sent beyond that.
    fn play(&mut self) -> (Client, Vec<Request>) {
        let Self {
            server,
            reference,
            random,
        } = self;
        let mut client = server.client().unwrap();
        let mut beside = reference.client().unwrap();
        beside_snapshots(server, |server, saved| {
            let mut batches = 0;
            eventually("a snapshot is taken", || {
                let requests = batch(random);
                let ours = answers(&mut client, &requests);
                let wanted = answers(&mut beside, &requests);
                for (at, request) in requests.iter().enumerate() {
                    assert_eq!(ours[at], wanted[at], "{request:?}");
                }
                batches += 1;
                batches >= BATCHES && saved.load(SeqCst) > 0
            });
            let mut last = batch(random);
            client.send(&bytes(&last)).unwrap();
            let first = random.below(4);
            (0..first).for_each(|_| drop(client.reply_bytes().unwrap()));
            kill(server);
            let more = std::iter::from_fn(|| client.reply_bytes().ok()).count();
            let unknown = last.split_off(first + more);
            answers(&mut beside, &last);
            (beside, unknown)
        })
    }

    /// The server, started again, has what was acknowledged, and of what was under way some: of each key the first
    /// so many of its changes, since a pipeline is done shard by shard.
    fn check(&self, mut beside: Client, unknown: Vec<Request>) {
        let found = everything(&self.server);
        let mut states = vec![everything(&self.reference)];
        for next in unknown {
            if states.last() == Some(&found) {
                return;
            }
            answers(&mut beside, &[next]);
            states.push(everything(&self.reference));
        }
        for key in found.keys().chain(states.iter().flat_map(Everything::keys)) {
            let is_known = states.iter().any(|state| state.get(key) == found.get(key));
            let name = String::from_utf8_lossy(&key.1);
            assert!(is_known, "{name} of database {} is as it never was", key.0);
        }
        if states.last() != Some(&found) {
            copy(&found, &self.reference);
        }
    }
}

/// Gives a server this content.
fn copy(content: &Everything, server: &ServerProcess) {
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
    for ((database, key), (value, expires)) in content {
        assert_eq!(ask(&mut client, &format!("SELECT {database}")), "OK");
        let at = expires.to_string();
        let args = [b"SET", &key[..], value, b"PXAT", at.as_bytes()];
        let args = if *expires == -1 { &args[..3] } else { &args };
        assert_eq!(shown(&client.call(args).unwrap()), "OK");
    }
}

#[expect(clippy::print_stdout, reason = "a seed that failed is wanted again")]
#[test]
fn whatever_is_saved_and_killed_meanwhile_what_was_acknowledged_is_there_with_other_shards() {
    for seed in 1..=2 {
        println!("seed {seed}");
        let scratch = Scratch::new().unwrap();
        let mut pair = Pair {
            server: patient(scratch.path(), "8"),
            reference: start(&["--shards", "4", "--deadline", "20s"]),
            random: Random::new(seed),
        };
        fill(&mut pair.server.client().unwrap());
        fill(&mut pair.reference.client().unwrap());
        for shards in ["16", "1", "4"] {
            let (beside, unknown) = pair.play();
            check_files(scratch.path());
            pair.server = patient(scratch.path(), shards);
            pair.check(beside, unknown);
        }
    }
}

/// A command on keys that live for some milliseconds, or for ever.
fn brief_command(random: &mut Random) -> Request {
    let (one, life) = (key(random), random.between(1, 25));
    words(&match random.below(10) {
        0 | 1 => format!("SET {one} v PX {life}"),
        2 => format!("SET {one} w KEEPTTL"),
        3 => format!("PEXPIRE {one} {life}"),
        4 => format!("PERSIST {one}"),
        5 => format!("GETEX {one} PX {life}"),
        6 => format!("COPY {one} {}", key(random)),
        7 => format!("GET {one}"),
        _ => format!("APPEND {one} x"),
    })
}

#[test]
fn what_is_written_over_keys_that_expire_beside_snapshots_is_there_again() {
    let mut random = Random::new(3);
    let scratch = Scratch::new().unwrap();
    let mut before = Everything::new();
    for shards in ["8", "2", "16"] {
        let mut server = patient(scratch.path(), shards);
        let mut client = server.client().unwrap();
        let now = clock::unix_seconds();
        assert_eq!(
            alive(everything(&server), now),
            alive(before, now),
            "{shards}"
        );
        before = beside_snapshots(&mut server, |server, saved| {
            let mut batches = 0;
            eventually("a snapshot is taken", || {
                let requests: Vec<_> = (0..BATCH).map(|_| brief_command(&mut random)).collect();
                answers(&mut client, &requests);
                batches += 1;
                batches >= 2 * BATCHES && saved.load(SeqCst) > 0
            });
            let before = everything(server);
            kill(server);
            before
        });
        check_files(scratch.path());
    }
    let server = patient(scratch.path(), "4");
    let now = clock::unix_seconds();
    assert_eq!(alive(everything(&server), now), alive(before, now));
}
