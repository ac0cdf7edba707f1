//! A server with a directory: what is there after it was started again, however it ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use shardkeep::durable::NewStore;
use shardkeep_data::keyspace::DATABASES_DEFAULT;
use shardkeep_resp::Value;
use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::differential::{Request, Step, episode};
use shardkeep_tests::harness::{Client, Scratch, ServerProcess, Signal, request, run_to_end};
use shardkeep_tests::killing::{Campaign, Promise};

use crate::support::{ask, eventually, program, shown, start};

/// Longest that a refusal takes.
const REFUSAL: Duration = Duration::from_secs(10);

/// Commands of one episode of chance.
const EPISODE_COMMANDS: usize = 600;

/// The server on `dir`, ready.
pub(super) fn open(dir: &Path, sync: &str, more: &[&str]) -> ServerProcess {
    let dir = dir.to_string_lossy();
    let mut flags = vec!["--dir", &dir, "--sync", sync];
    flags.extend_from_slice(more);
    start(&flags)
}

fn end(server: &mut ServerProcess) {
    server.signal(Signal::TERM).unwrap();
    let status = server.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0), "{:?}", server.output());
}

pub(super) fn kill(server: &mut ServerProcess) {
    server.signal(Signal::KILL).unwrap();
    server.wait(PATIENCE).unwrap();
}

/// Keys by their database, with value and the moment of their expiry (Unix milliseconds), -1 for none.
pub(super) type Everything = BTreeMap<(u32, Vec<u8>), (Vec<u8>, i64)>;

/// Every key of every database.
pub(super) fn everything(server: &ServerProcess) -> Everything {
    let mut client = server.client().unwrap();
    let mut all = BTreeMap::new();
    for database in 0..DATABASES_DEFAULT {
        assert_eq!(ask(&mut client, &format!("SELECT {database}")), "OK");
        let Value::Array(keys) = client.call(&["KEYS", "*"]).unwrap() else {
            panic!("KEYS without an array");
        };
        let keys: Vec<_> = keys.iter().map(|key| key.bytes().unwrap()).collect();
        let both = |key| {
            let get = request(&[b"GET".as_slice(), key]);
            [get, request(&[b"PEXPIRETIME".as_slice(), key])].concat()
        };
        let requests: Vec<u8> = keys.iter().flat_map(|key| both(key)).collect();
        client.send(&requests).unwrap();
        for key in keys {
            let (value, expires) = (client.reply().unwrap(), client.reply().unwrap());
            // One that has expired in between is in neither list.
            if let (Some(value), Value::Integer(expires)) = (value.bytes(), expires) {
                all.insert((database, key.to_vec()), (value.to_vec(), expires));
            }
        }
    }
    all
}

/// The same, without what has expired by now.
pub(super) fn alive(all: Everything, now_seconds: u64) -> Everything {
    let now = (now_seconds as i64 + 1) * 1_000;
    all.into_iter()
        .filter(|(_, (_, expires))| *expires == -1 || *expires > now)
        .collect()
}

/// Sends an episode of chance; what is answered does not matter.
fn play(server: &ServerProcess, seed: u64, number: u64) {
    let episode = episode(seed, number, EPISODE_COMMANDS, false);
    let connect = || server.client().unwrap();
    let mut clients: Vec<Client> = (0..episode.connections).map(|_| connect()).collect();
    for step in &episode.steps {
        match step {
            Step::Batch {
                connection,
                requests,
                ..
            } => {
                let client = &mut clients[*connection];
                let bytes: Vec<u8> = requests.iter().flat_map(Request::bytes).collect();
                client.send(&bytes).unwrap();
                for request in requests {
                    if request.ends_connection() {
                        client.rest().unwrap();
                        *client = connect();
                    } else {
                        client.reply_bytes().unwrap();
                    }
                }
            }
            Step::Pass(milliseconds) => clock::pass(Duration::from_millis(*milliseconds)),
            Step::Walk { .. } => {}
        }
    }
}

#[test]
fn what_every_kind_of_command_did_is_there_again() {
    let lines = [
        "SET set 1",
        "SET expiring 2 EX 10000",
        "SET persisted 3 EX 10000",
        "PERSIST persisted",
        "SET gone 4",
        "DEL gone",
        "SET counted 41",
        "INCR counted",
        "APPEND appended ab",
        "APPEND appended cd",
        "SETRANGE ranged 5 x",
        "SET from 5 PX 100000000",
        "RENAME from renamed",
        "COPY renamed copied",
        "MSET many1 1 many2 2 many3 3",
        "MSETNX many1 x many4 x",
        "GETDEL many3",
        "GETSET set 6",
        "GETEX many2 PX 100000000",
        "EXPIREAT many1 1",
        "INCRBYFLOAT float 1.5",
        "PSETEX psetex 100000000 v",
        "SETNX setnx v",
        "SETNX setnx w",
    ];
    for sync in ["always", "interval", "never"] {
        let scratch = Scratch::new().unwrap();
        let dir = scratch.path().join("store");
        let mut server = open(&dir, sync, &["--shards", "4"]);
        let mut client = server.client().unwrap();
        for line in lines {
            assert!(!ask(&mut client, line).starts_with('-'), "{line}");
        }
        let before = everything(&server);
        assert_eq!(before.len(), 12, "{before:?}");
        drop(client);
        match sync {
            "always" => kill(&mut server),
            _ => end(&mut server),
        }
        for shards in ["1", "16"] {
            let server = open(&dir, sync, &["--shards", shards]);
            assert_eq!(everything(&server), before, "{sync} {shards}");
        }
    }
}

#[test]
fn every_database_is_there_again_whatever_was_moved_between_them() {
    let first = [
        "MSET a 1 b 2 c 3 d 4",
        "SELECT 3",
        "MSET a 5 b 6 e 7",
        "APPEND a 5",
        "PEXPIRE b 100000000",
        "MOVE e 15",
        "COPY b c DB 0 REPLACE",
        "SELECT 7",
        "MSET x 1 y 2 z 3",
    ];
    let behind = [
        "SELECT 3",
        "SWAPDB 0 3",
        "SET f 8",
        "PERSIST c",
        "SELECT 0",
        "SETRANGE a 1 xyz",
        "SWAPDB 15 2",
        "SELECT 7",
        "FLUSHDB",
        "SET w 1",
    ];
    for snapshot in ["", "SAVE"] {
        let scratch = Scratch::new().unwrap();
        let mut server = open(scratch.path(), "always", &["--shards", "4"]);
        let mut client = server.client().unwrap();
        for line in first.iter().chain(&[snapshot]).chain(&behind) {
            let is_wrong = !line.is_empty() && ask(&mut client, line).starts_with('-');
            assert!(!is_wrong, "{line}");
        }
        let before = everything(&server);
        let count = |database| before.keys().filter(|(at, _)| *at == database).count();
        assert_eq!([0, 2, 3, 7, 15].map(count), [2, 1, 5, 1, 0], "{before:?}");
        kill(&mut server);
        for shards in ["1", "16"] {
            let mut server = open(scratch.path(), "always", &["--shards", shards]);
            assert_eq!(everything(&server), before, "{snapshot} {shards}");
            let mut client = server.client().unwrap();
            assert_eq!(ask(&mut client, "SAVE"), "OK");
            kill(&mut server);
        }
        let mut server = open(scratch.path(), "always", &[]);
        let mut client = server.client().unwrap();
        assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
        kill(&mut server);
        let server = open(scratch.path(), "always", &[]);
        assert_eq!(everything(&server), BTreeMap::new());
    }
}

#[test]
fn a_store_with_a_key_in_a_database_that_is_not_there_is_refused_by_its_number() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().to_string_lossy();
    let mut server = open(scratch.path(), "always", &[]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SELECT 9"), "OK");
    assert_eq!(ask(&mut client, "SET k v"), "OK");
    end(&mut server);
    let serve = ["serve", "--bind", "127.0.0.1:0", "--dir", &dir];
    let args = [&serve[..], &["--databases", "9"]].concat();
    let (status, said) = run_to_end(program(), &args, &[], REFUSAL).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    let why = "a key of database 9, and there are 9 databases";
    assert!(said.contains(why), "{said}");
    let server = open(scratch.path(), "always", &["--databases", "10"]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SELECT 9"), "OK");
    assert_eq!(ask(&mut client, "GET k"), "v");
}

#[test]
fn a_flushed_store_stays_empty_and_what_came_after_stays() {
    for shards in ["1", "8"] {
        let scratch = Scratch::new().unwrap();
        let mut server = open(scratch.path(), "always", &["--shards", shards]);
        let mut client = server.client().unwrap();
        for number in 0..100 {
            ask(&mut client, &format!("SET {number} v"));
        }
        assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
        assert_eq!(ask(&mut client, "SET 7 w"), "OK");
        kill(&mut server);
        let server = open(scratch.path(), "always", &[]);
        let mut client = server.client().unwrap();
        assert_eq!(ask(&mut client, "DBSIZE"), "1");
        assert_eq!(ask(&mut client, "GET 7"), "w");
    }
}

#[test]
fn whatever_chance_did_is_there_again() {
    for (seed, sync, handover) in [
        (1, "always", "lend"),
        (2, "always", "mail"),
        (3, "interval", "lend"),
        (4, "never", "lend"),
        (5, "always", "lend"),
    ] {
        let scratch = Scratch::new().unwrap();
        let mut server = open(
            scratch.path(),
            sync,
            &["--shards", "8", "--handover", handover],
        );
        for number in 0..3 {
            play(&server, seed, number);
        }
        if seed == 5 {
            // Half from a snapshot, half from the log behind it.
            assert_eq!(ask(&mut server.client().unwrap(), "SAVE"), "OK");
            play(&server, seed, 3);
        }
        let before = everything(&server);
        match sync {
            "always" => kill(&mut server),
            _ => end(&mut server),
        }
        let server = open(scratch.path(), sync, &["--shards", "4"]);
        let after = everything(&server);
        let now = clock::unix_seconds();
        assert!(!before.is_empty());
        assert_eq!(alive(after, now), alive(before, now), "seed {seed}");
    }
}

#[test]
fn what_expired_meanwhile_is_gone_and_what_was_given_more_time_is_not() {
    let scratch = Scratch::new().unwrap();
    let mut server = open(scratch.path(), "always", &[]);
    let mut client = server.client().unwrap();
    for line in [
        "SET short v PX 500",
        "SET kept v PX 500",
        "PERSIST kept",
        "SET longer v PX 500",
        "PEXPIRE longer 100000000",
    ] {
        ask(&mut client, line);
    }
    kill(&mut server);
    clock::pass(Duration::from_millis(510));
    let server = open(scratch.path(), "always", &[]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "MGET short kept longer"), "[nil v v]");
    assert_eq!(ask(&mut client, "TTL kept"), "-1");
}

#[test]
fn nothing_acknowledged_is_missing_after_a_kill_under_load() {
    let mut campaign = Campaign::new(program(), Promise::Always, Duration::ZERO, 1).unwrap();
    for _ in 0..5 {
        campaign.cycle().unwrap();
    }
    assert_eq!(campaign.seen().tally.missing, 0);
    assert!(campaign.seen().tally.acked > 0);
}

#[test]
fn without_always_a_kill_under_load_takes_the_last_changes_at_most() {
    // How many of them depends on the machine; that they are the last ones does not.
    const WHOLE_LIFE: Duration = PATIENCE;
    for promise in [Promise::Interval, Promise::Never] {
        let mut campaign = Campaign::new(program(), promise, WHOLE_LIFE, 2).unwrap();
        for _ in 0..2 {
            campaign.cycle().unwrap();
        }
    }
}

#[test]
fn a_second_process_on_the_directory_is_refused_and_the_first_unaffected() {
    let scratch = Scratch::new().unwrap();
    let server = open(scratch.path(), "always", &[]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SET k v"), "OK");
    let dir = scratch.path().to_string_lossy();
    for command in [
        &["serve", "--bind", "127.0.0.1:0", "--dir", &dir][..],
        &["check", &dir],
        &["repair", &dir],
    ] {
        let (status, said) = run_to_end(program(), command, &[], REFUSAL).unwrap();
        assert_eq!(status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains("in use by another process"), "{said}");
        assert!(said.contains(&*dir), "{said}");
    }
    assert_eq!(ask(&mut client, "GET k"), "v");
}

#[test]
fn a_damaged_store_is_refused_by_name_and_repaired_on_request() {
    let scratch = Scratch::new().unwrap();
    let mut server = open(scratch.path(), "always", &[]);
    let mut client = server.client().unwrap();
    for number in 0..100 {
        ask(&mut client, &format!("SET {number} value"));
    }
    end(&mut server);
    let dir = scratch.path().to_string_lossy();
    let run = |args: &[&str]| {
        let (status, said) = run_to_end(program(), args, &[], REFUSAL).unwrap();
        (status.code(), said)
    };
    assert_eq!(run(&["check", &dir]).0, Some(0));
    let log = std::fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "skl"))
        .unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let (code, said) = run(&["serve", "--bind", "127.0.0.1:0", "--dir", &dir]);
    assert_eq!(code, Some(1), "{said}");
    let name = log.file_name().unwrap().to_string_lossy();
    assert!(said.contains(&*name), "{said}");
    assert!(said.contains("offset"), "{said}");
    assert!(!said.contains("ready:"), "{said}");
    assert_eq!(run(&["check", &dir]).0, Some(1));
    assert_eq!(run(&["repair", &dir]).0, Some(0));
    assert_eq!(run(&["check", &dir]).0, Some(0));
    let server = open(scratch.path(), "always", &[]);
    let left = everything(&server);
    assert!((1..100).contains(&left.len()), "{}", left.len());
    // What is left is what came first.
    for number in 0..left.len() {
        assert!(
            left.contains_key(&(0, number.to_string().into_bytes())),
            "{number}"
        );
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_refused_by_name() {
    let dir = "/nonexistent/above/store";
    let args = ["serve", "--bind", "127.0.0.1:0", "--dir", dir];
    let (status, said) = run_to_end(program(), &args, &[], REFUSAL).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(dir), "{said}");
}

#[test]
fn snapshots_are_taken_on_request_and_told() {
    let scratch = Scratch::new().unwrap();
    let mut server = open(scratch.path(), "interval", &["--compress-snapshots", "yes"]);
    let mut client = server.client().unwrap();
    let started: u64 = ask(&mut client, "LASTSAVE").parse().unwrap();
    for number in 0..500 {
        ask(&mut client, &format!("SET {number} {}", "v".repeat(100)));
    }
    assert_eq!(ask(&mut client, "SAVE"), "OK");
    assert_eq!(ask(&mut client, "BGSAVE"), "Background saving started");
    assert_eq!(ask(&mut client, "BGSAVE NOW"), "-ERR syntax error");
    assert!(ask(&mut client, "BGSAVE SCHEDULE").starts_with("Background saving s"));
    assert!(
        ask(&mut client, "BGREWRITEAOF").starts_with("Background append only file rewriting s")
    );
    let mut saves = 0;
    while saves < 3 {
        let info = ask(&mut client, "INFO persistence");
        let field = info
            .lines()
            .find_map(|line| line.strip_prefix("rdb_saves:"));
        saves = field.unwrap().trim().parse().unwrap();
        assert!(info.contains("rdb_last_bgsave_status:ok"), "{info}");
    }
    assert!(ask(&mut client, "LASTSAVE").parse::<u64>().unwrap() >= started);
    assert_eq!(
        ask(&mut client, "CONFIG GET appendonly"),
        "[appendonly yes]"
    );
    kill(&mut server);
    let server = open(scratch.path(), "interval", &[]);
    assert_eq!(ask(&mut server.client().unwrap(), "DBSIZE"), "500");
}

#[test]
fn shutdown_saves_if_it_is_told_to_and_never_loses() {
    for (line, has_snapshot) in [("SHUTDOWN SAVE", true), ("SHUTDOWN NOSAVE", false)] {
        let scratch = Scratch::new().unwrap();
        let mut server = open(scratch.path(), "never", &[]);
        let mut client = server.client().unwrap();
        ask(&mut client, "SET k v");
        let words: Vec<&str> = line.split(' ').collect();
        client.send(&request(&words)).unwrap();
        assert_eq!(server.wait(PATIENCE).unwrap().code(), Some(0), "{line}");
        let report = server.output().join("\n");
        assert!(report.contains(" unsynced=0 "), "{report}");
        let snapshots = std::fs::read_dir(scratch.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "sks"));
        assert_eq!(snapshots.count() > 0, has_snapshot, "{line}");
        let server = open(scratch.path(), "never", &[]);
        assert_eq!(ask(&mut server.client().unwrap(), "GET k"), "v");
    }
}

#[test]
fn in_memory_there_is_nowhere_to_save_to() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    for line in ["SAVE", "BGSAVE", "BGREWRITEAOF", "SHUTDOWN SAVE"] {
        let reply = ask(&mut client, line);
        assert!(reply.contains("without a directory"), "{line}: {reply}");
    }
    assert!(ask(&mut client, "LASTSAVE").parse::<u64>().unwrap() > 1_600_000_000);
    assert!(shown(&client.call(&["INFO", "persistence"]).unwrap()).contains("aof_enabled:0"));
}

#[test]
fn a_key_that_the_log_cannot_keep_is_refused() {
    let scratch = Scratch::new().unwrap();
    let server = open(scratch.path(), "interval", &[]);
    let mut client = server.client().unwrap();
    let key = "k".repeat(8 * 1024 * 1024 + 1);
    let reply = shown(&client.call(&["SET", &key, "v"]).unwrap());
    assert!(reply.contains("8388608 bytes at most"), "{reply}");
    assert_eq!(shown(&client.call(&["GET", &key]).unwrap()), "nil");
    let reply = shown(&client.call(&["SET", &key[1..], "v"]).unwrap());
    assert_eq!(reply, "OK");
}

/// A store in which keys lie that no command could have written.
fn with_long_keys(place: &Path, keys: &[String]) {
    let mut store = NewStore::begin(place).unwrap();
    for key in keys {
        let (key, value) = (key.as_bytes(), b"value");
        let expires = None;
        store.put(0, key, value, expires).unwrap();
    }
    store.finish().unwrap();
}

#[test]
fn keys_that_are_longer_than_any_command_could_write_can_be_removed_in_every_way() {
    const WAYS: [&str; 9] = [
        "DEL",
        "UNLINK",
        "GETDEL",
        "EXPIRE -1",
        "PEXPIREAT 1",
        "GETEX PXAT 1",
        "PEXPIRE 1",
        "RENAME short",
        "FLUSHALL",
    ];
    let scratch = Scratch::new().unwrap();
    let place = scratch.path().join("store");
    let key = |way: &str| way[..2].to_owned() + &"k".repeat(9 * 1024 * 1024 + way.len());
    with_long_keys(&place, &WAYS.map(key));
    let mut server = open(&place, "interval", &[]);
    let mut client = server.client().unwrap();
    let mut call = |args: &[&str]| shown(&client.call(args).unwrap());
    // What would make them larger, or write others, is refused as ever.
    let first = key(WAYS[0]);
    for args in [
        &["APPEND", &first, "x"][..],
        &["SET", &first, "x"],
        &["COPY", "short", &first],
        &["RENAME", "short", &first],
        &["MSET", "short", "x", &first, "x"],
    ] {
        let reply = call(args);
        assert!(
            reply.contains("8388608 bytes at most"),
            "{}: {reply}",
            args[0]
        );
    }
    assert_eq!(call(&["COPY", &first, "copied"]), "1");
    let mut left = WAYS.len() + 1;
    for way in WAYS {
        let mut words = way.split(' ');
        let (name, key) = (words.next().unwrap(), key(way));
        let mut args = vec![name];
        if name != "FLUSHALL" {
            args.push(&key);
        }
        args.extend(words);
        let reply = call(&args);
        assert!(!reply.starts_with('-'), "{way}: {reply}");
        left = match name {
            "FLUSHALL" => 0,
            // Another key has come for it.
            "RENAME" => left,
            _ => left - 1,
        };
        eventually(way, || call(&["DBSIZE"]) == left.to_string());
        if name == "RENAME" {
            assert_eq!(call(&["MGET", "short", "copied"]), "[value value]");
        }
    }
    assert_eq!(call(&["DBSIZE"]), "0");
    end(&mut server);
    let server = open(&place, "interval", &[]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "DBSIZE"), "0");
}
