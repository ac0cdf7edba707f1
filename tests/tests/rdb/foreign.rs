//! What Redis has beside strings: refused by name, all in one go.

use shardkeep_server::rdb::ImportError;
use shardkeep_tests::harness::Scratch;

use crate::saved::{Redis, sealed};
use crate::support::{InDatabases, in_databases, run};

/// The lines with which `file` is refused, sorted; and nothing is left.
fn refused(file: &[u8]) -> Vec<String> {
    let scratch = Scratch::new().unwrap();
    let problems = match run(file, &scratch.path().join("store")) {
        Err(ImportError::Refused(problems)) => problems,
        other => panic!("{other:?}"),
    };
    assert_eq!(problems.more(), 0);
    let mut lines: Vec<_> = problems.shown().iter().map(ToString::to_string).collect();
    lines.sort();
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    lines
}

/// A value of each type in each of the forms that Redis 7.0 writes.
fn fill(redis: &mut Redis) {
    redis.lines(&[
        "SET string v",
        "RPUSH list-short a b 3",
        "SADD set-of-numbers 1 2 300000",
        "SADD set-of-words a b c",
        "ZADD sorted-short 1.5 a inf b -inf c",
        "HSET hash-short f v",
        "XADD stream-plain 1-1 f v",
        "XGROUP CREATE stream-plain empty 0",
        "XADD stream-read * f v",
        "XADD stream-read * f w",
        "XGROUP CREATE stream-read group 0",
        "XREADGROUP GROUP group one COUNT 1 STREAMS stream-read >",
        "XREADGROUP GROUP group two COUNT 1 STREAMS stream-read >",
        "XGROUP CREATECONSUMER stream-read group idle",
        "SET last v",
    ]);
    for number in 0..1_000 {
        let (name, long) = (number.to_string(), "x".repeat(100));
        for args in [
            ["RPUSH", "list-long", &long, &name],
            ["SADD", "set-long", &name, "word"],
            ["ZADD", "sorted-long", "0.1", &name],
            ["HSET", "hash-long", &name, &long],
        ] {
            redis.call(&args);
        }
    }
    redis.call(&["RPUSH", "list-large-element", &"y".repeat(20_000)]);
    let code = "#!lua name=mylib\nredis.register_function('f', function() return 1 end)";
    redis.call(&["FUNCTION", "LOAD", code]);
}

#[test]
fn every_value_that_is_no_string_is_named_and_nothing_is_imported() {
    let mut redis = Redis::start(&[]);
    fill(&mut redis);
    let key =
        |name, kind| format!("key {name:?} (database 0) is {kind}; only strings can be imported");
    let mut expected = vec![
        key("list-short", "a list"),
        key("list-long", "a list"),
        key("list-large-element", "a list"),
        key("set-of-numbers", "a set"),
        key("set-of-words", "a set"),
        key("set-long", "a set"),
        key("sorted-short", "a sorted set"),
        key("sorted-long", "a sorted set"),
        key("hash-short", "a hash"),
        key("hash-long", "a hash"),
        key("stream-plain", "a stream"),
        key("stream-read", "a stream"),
        "there is a library of functions (mylib); functions cannot be imported".to_owned(),
    ];
    expected.sort();
    let file = redis.save();
    assert_eq!(refused(&file), expected);
    // Cut after any of its bytes and sealed again, it is never imported and never more than refused.
    let scratch = Scratch::new().unwrap();
    for length in (20..file.len()).step_by(211) {
        let cut = sealed(file[..length].to_vec());
        let outcome = run(&cut, &scratch.path().join("store"));
        assert!(outcome.is_err(), "{length}");
    }
}

#[test]
fn keys_of_every_database_are_imported_where_they_were() {
    let mut redis = Redis::start(&[]);
    redis.lines(&[
        "MSET k v l w",
        "SELECT 3",
        "MSET a 1 k 3",
        "SET b 2 PXAT 4000000000000",
        "SELECT 15",
        "SET k 15",
    ]);
    let scratch = Scratch::new().unwrap();
    let place = scratch.path().join("store");
    let imported = run(&redis.save(), &place).unwrap();
    assert_eq!((imported.keys, imported.databases), (6, 16));
    let entry = |database, key: &str, value: &str, expires| {
        let at = (database, key.as_bytes().to_vec());
        (at, (value.as_bytes().to_vec(), expires))
    };
    let expected = InDatabases::from([
        entry(0, "k", "v", None),
        entry(0, "l", "w", None),
        entry(3, "a", "1", None),
        entry(3, "b", "2", Some(4_000_000_000_000)),
        entry(3, "k", "3", None),
        entry(15, "k", "15", None),
    ]);
    assert_eq!(in_databases(&place), expected);
}

#[test]
fn what_is_no_string_is_named_with_its_database() {
    let mut redis = Redis::start(&[]);
    redis.lines(&["SET k v", "SELECT 15", "SADD s 1"]);
    assert_eq!(
        refused(&redis.save()),
        ["key \"s\" (database 15) is a set; only strings can be imported"]
    );
}
