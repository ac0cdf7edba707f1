//! Strings of every form, as Redis writes them.

use shardkeep_server::rdb::{Item, Reader};
use shardkeep_tests::harness::Scratch;
use shardkeep_tests::random::Random;

use crate::saved::{Redis, sealed};
use crate::support::{entries, run};

/// Numbers at the edges of the forms that Redis has for them, and text that only looks like one.
const NUMBERS: [&str; 19] = [
    "0",
    "-1",
    "127",
    "128",
    "-128",
    "-129",
    "32767",
    "32768",
    "-32768",
    "-32769",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "9223372036854775807",
    "007",
    "+1",
    "-0",
    "1 ",
];

/// Lengths at the edges of the forms that Redis has for them.
const LENGTHS: [usize; 14] = [
    0, 1, 4, 5, 20, 21, 63, 64, 264, 265, 16_383, 16_384, 20_480, 70_000,
];

/// Fills Redis with some 400 keys: what it stores as numbers, as they are, and compressed.
fn fill(redis: &mut Redis, seed: u64) {
    let mut random = Random::new(seed);
    let mut set = |key: &[u8], value: &[u8]| drop(redis.call(&[b"SET".as_slice(), key, value]));
    set(b"", b"the key is empty");
    set(b"\x00\r\n\xff", b"\x00\r\n\xff");
    for number in NUMBERS {
        set(number.as_bytes(), b"the key is a number");
        set(format!("number:{number}").as_bytes(), number.as_bytes());
    }
    for length in LENGTHS {
        set(format!("same:{length}").as_bytes(), &vec![b'x'; length]);
        set(format!("any:{length}").as_bytes(), &random.bytes(length));
        set(&vec![b'k'; length + 30], b"the key can be compressed");
    }
    for round in 0..300 {
        // Text that repeats itself at every distance, with mistakes.
        let (period, alphabet) = (random.between(1, 9_000), random.between(1, 26));
        let start: Vec<u8> = (0..period)
            .map(|_| b'a' + random.below(alphabet) as u8)
            .collect();
        let length = random.between(21, 20_480);
        let mut text: Vec<u8> = start.iter().copied().cycle().take(length).collect();
        for _ in 0..random.below(20) {
            text[random.below(length)] = b'!';
        }
        set(format!("text:{round}").as_bytes(), &text);
    }
    redis.lines(&[
        "SET later v PXAT 4102444800123",
        "SET far v PXAT 9000000000000000",
        "SET seconds 17 EXAT 4102444800",
    ]);
}

/// What Redis saves under `flags` becomes a store with what Redis has; returns the file.
fn check(flags: &[&str], seed: u64) -> Vec<u8> {
    let mut redis = Redis::start(flags);
    fill(&mut redis, seed);
    let (file, expected) = (redis.save(), redis.entries());
    let scratch = Scratch::new().unwrap();
    let place = scratch.path().join("store");
    let imported = run(&file, &place).unwrap();
    assert!(entries(&place) == expected, "{flags:?}, seed {seed}");
    assert_eq!(imported.version, 10);
    assert_eq!(imported.keys, expected.len() as u64);
    assert_eq!((imported.expiring, imported.expired), (3, 0));
    let bytes = |(key, (value, _)): (&Vec<u8>, &(Vec<u8>, _))| (key.len() + value.len()) as u64;
    assert_eq!(imported.data_bytes, expected.iter().map(bytes).sum::<u64>());
    let writes_checksums = !flags.contains(&"--rdbchecksum");
    assert_eq!(imported.is_verified, writes_checksums);
    assert!(!imported.is_base);
    file
}

#[test]
fn strings_of_every_form_arrive_byte_for_byte_with_their_expiry() {
    let compressed = check(&[], 1);
    let plain = check(&["--rdbcompression", "no"], 1);
    assert!(compressed.len() * 2 < plain.len(), "nothing was compressed");
}

#[test]
fn what_redis_notes_about_use_does_not_matter() {
    check(&["--maxmemory-policy", "allkeys-lfu"], 2);
    check(&["--maxmemory-policy", "allkeys-lru"], 3);
}

#[test]
fn a_file_without_a_checksum_is_imported_and_not_called_verified() {
    check(&["--rdbchecksum", "no"], 4);
}

#[test]
fn the_versions_before_and_after_are_read_alike() {
    let mut redis = Redis::start(&[]);
    fill(&mut redis, 5);
    let (file, expected) = (redis.save(), redis.entries());
    for (digits, version) in [(b"0009", 9), (b"0010", 10), (b"0011", 11)] {
        let mut file = file.clone();
        file[5..9].copy_from_slice(digits);
        let scratch = Scratch::new().unwrap();
        let place = scratch.path().join("store");
        let imported = run(&sealed(file), &place).unwrap();
        assert_eq!(imported.version, version);
        assert!(entries(&place) == expected, "version {version}");
    }
}

#[test]
fn an_empty_redis_becomes_an_empty_store() {
    let file = Redis::start(&[]).save();
    let scratch = Scratch::new().unwrap();
    let place = scratch.path().join("store");
    assert_eq!(run(&file, &place).unwrap().keys, 0);
    assert!(entries(&place).is_empty());
}

#[test]
fn the_base_of_an_append_only_file_is_known_as_such() {
    let mut redis = Redis::start(&["--appendonly", "yes"]);
    redis.lines(&["SET k v"]);
    let file = redis.file("appendonlydir/appendonly.aof.1.base.rdb");
    let scratch = Scratch::new().unwrap();
    let imported = run(&file, &scratch.path().join("store")).unwrap();
    assert!(imported.is_base);
    assert_eq!(imported.keys, 0);
}

#[test]
fn the_notes_of_redis_are_read() {
    let file = Redis::start(&[]).save();
    let mut reader = Reader::new(file.as_slice()).unwrap();
    let mut names = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            Item::Note { name, .. } => names.push(String::from_utf8(name.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        names,
        ["redis-ver", "redis-bits", "ctime", "used-mem", "aof-base"]
    );
}
