//! Files imported: what becomes a store, and what does not.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use shardkeep::engine::CancelToken;
use shardkeep::table::UnixMillis;
use shardkeep::{Durable, Store};

use super::import::Progress;
use super::sample::Sample;
use super::*;
use crate::limits::LOGGED_KEY_BYTES_MAX;

/// What is now in these tests: after the year 2000.
const NOW: u64 = 1_000_000_000_000;

/// A directory for one test, and a place in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardkeep-import-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn place(&self) -> PathBuf {
        self.0.join("store")
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn run(scratch: &Scratch, file: &[u8]) -> Result<Imported, ImportError> {
    import(
        file,
        &scratch.place(),
        UnixMillis::new(NOW),
        &CancelToken::new(),
        &mut drop,
    )
}

/// What is in the store, without what has expired.
fn entries(scratch: &Scratch) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let durable = Durable::new().must_exist().accept_other_types();
    let builder = Store::builder().durable(scratch.place(), durable);
    let store: Store<Vec<u8>, Vec<u8>> = builder.open().unwrap();
    store.iter().collect::<Result<_, _>>().unwrap()
}

/// A key that expires at `millis`.
fn expiring(sample: Sample, key: &[u8], millis: i64) -> Sample {
    let expires = sample.bytes(b"\xfc").bytes(&millis.to_le_bytes());
    expires.entry(key, b"v")
}

#[test]
fn strings_become_a_store_and_are_counted() {
    let scratch = Scratch::new();
    let file = Sample::new()
        .bytes(b"\xfa\x03lua\x08return 1\xfa\x08aof-base\xc0\x00\xfe\x00\xfb\x05\x02")
        .entry(b"k", b"value")
        .entry(b"", b"")
        .entry(b"\x00\xff\r\n", b"\r\n");
    let file = expiring(file, b"past", 1);
    let file = expiring(file, b"future", i64::MAX);
    let mut seen = Vec::new();
    let place = scratch.place();
    let mut step = |progress: Progress| seen.push(progress.keys);
    let file = file.end();
    let (now, cancel) = (UnixMillis::new(NOW), CancelToken::new());
    let imported = import(file.as_slice(), &place, now, &cancel, &mut step).unwrap();
    assert!(imported.disk_bytes > 0);
    let expected = Imported {
        version: 10,
        keys: 5,
        expiring: 2,
        expired: 1,
        data_bytes: 6 + 6 + 5 + 7,
        is_verified: true,
        is_base: false,
        scripts: 1,
        ..imported
    };
    assert_eq!(imported, expected);
    assert_eq!(seen, [0, 0, 1, 2, 3, 4, 5]);
    let expected: [(&[u8], &[u8]); 4] = [
        (b"", b""),
        (b"\x00\xff\r\n", b"\r\n"),
        (b"future", b"v"),
        (b"k", b"value"),
    ];
    let expected = expected.map(|(key, value)| (key.to_vec(), value.to_vec()));
    assert_eq!(entries(&scratch), BTreeMap::from(expected));
}

#[test]
fn a_file_without_keys_becomes_a_store_without_keys() {
    let scratch = Scratch::new();
    assert_eq!(run(&scratch, &Sample::new().end()).unwrap().keys, 0);
    assert_eq!(entries(&scratch), BTreeMap::new());
}

#[test]
fn what_makes_a_file_less_than_it_seems_is_noted() {
    for (file, is_verified, is_base) in [
        (Sample::new().unverified(), false, false),
        (
            Sample::new().bytes(b"\xfa\x08aof-base\xc0\x01").end(),
            true,
            true,
        ),
        (
            Sample::new().bytes(b"\xfa\x0caof-preamble\xc0\x01").end(),
            true,
            true,
        ),
    ] {
        let imported = run(&Scratch::new(), &file).unwrap();
        assert_eq!(
            (imported.is_verified, imported.is_base),
            (is_verified, is_base)
        );
    }
}

fn refused(file: Sample, expected: &[&str]) {
    let scratch = Scratch::new();
    let file = file.end();
    match run(&scratch, &file) {
        Err(ImportError::Refused(problems)) => {
            let found: Vec<_> = problems.to_string().lines().map(str::to_owned).collect();
            let expected: Vec<_> = expected.iter().map(|line| format!("  {line}")).collect();
            assert_eq!(found, expected);
        }
        other => panic!("{other:?}"),
    }
    assert!(scratch.is_empty());
}

#[test]
fn all_that_cannot_be_imported_is_named_in_one_go() {
    let file = Sample::new()
        .bytes(b"\xf5\x10#!lua name=lib\nx")
        .bytes(b"\xf7\x00\x00")
        .entry(b"k", b"v")
        .key(4, b"h\xff")
        .bytes(b"\x00")
        .entry(b"k", b"w")
        .bytes(b"\xfe\x01")
        .entry(b"k", b"v")
        .bytes(b"\xfe\x47\xd0")
        .entry(b"k", b"v")
        .key(2, b"s")
        .bytes(b"\x00");
    refused(
        file,
        &[
            "there is a library of functions (lib); functions cannot be imported",
            "there is data of module type AAAAAAAAA; modules' data cannot be imported",
            "key \"h\\xff\" (database 0) is a hash; only strings can be imported",
            "key \"k\" is there twice",
            "database 2000 has 2 keys (the first is \"k\"); there can be 1024 databases",
            "key \"s\" (database 2000) is a set; only strings can be imported",
        ],
    );
}

#[test]
fn an_expiry_that_cannot_be_kept_is_refused() {
    for (millis, text) in [(0, "0"), (-1, "-1"), (i64::MIN, "-9223372036854775808")] {
        let line =
            format!("key \"k\" expires at {text} ms, which is not after the beginning of 1970");
        refused(expiring(Sample::new(), b"k", millis), &[&line]);
    }
    let file = Sample::new()
        .bytes(b"\xfd\xff\xff\xff\xff")
        .entry(b"k", b"v");
    refused(
        file,
        &["key \"k\" expires at -1000 ms, which is not after the beginning of 1970"],
    );
}

#[test]
fn the_first_problems_are_told_and_the_rest_is_counted() {
    let mut file = Sample::new();
    for number in 0..PROBLEMS_SHOWN_MAX + 3 {
        file = file.key(9, number.to_string().as_bytes()).short(b"zip");
    }
    let line =
        |number| format!("key \"{number}\" (database 0) is a hash; only strings can be imported");
    let mut lines: Vec<_> = (0..PROBLEMS_SHOWN_MAX).map(line).collect();
    lines.push("and 3 more".to_owned());
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    refused(file, &lines);
}

#[test]
fn what_cannot_be_passed_over_is_the_last_problem() {
    let file = Sample::new().entry(b"k", b"v").key(9, b"h").short(b"zip");
    refused(
        file.bytes(b"\xf6"),
        &[
            "key \"h\" (database 0) is a hash; only strings can be imported",
            "byte 21 begins functions in a form of release candidates of Redis 7, and what comes \
             after that cannot be read",
        ],
    );
}

#[test]
fn damage_comes_before_problems_since_it_can_make_them() {
    let scratch = Scratch::new();
    let mut file = Sample::new().key(9, b"h").short(b"zip").end();
    file[11] ^= 1;
    let error = run(&scratch, &file).unwrap_err();
    let is_right = matches!(error, ImportError::File(ReadError::Checksum { .. }));
    assert!(is_right, "{error}");
    assert!(scratch.is_empty());
}

#[test]
fn a_file_cut_anywhere_leaves_nothing() {
    let scratch = Scratch::new();
    let file = Sample::new().entry(b"k", b"v").entry(b"l", b"w").end();
    for length in 0..file.len() {
        let error = run(&scratch, &file[..length]).unwrap_err();
        assert!(matches!(error, ImportError::File(_)), "{error}");
        assert!(scratch.is_empty(), "{length}");
    }
}

#[test]
fn a_store_that_is_there_stays_as_it_was() {
    let scratch = Scratch::new();
    run(&scratch, &Sample::new().entry(b"k", b"old").end()).unwrap();
    let error = run(&scratch, &Sample::new().entry(b"k", b"new").end()).unwrap_err();
    assert!(matches!(error, ImportError::Store(_)), "{error}");
    assert_eq!(entries(&scratch)[b"k".as_slice()], b"old");
}

#[test]
fn a_key_is_as_long_as_a_command_could_have_written_it_or_nothing_is_imported() {
    let file = |bytes: usize| {
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        let sample = Sample::new().entry(b"k", b"v").bytes(b"\x00\x80");
        let key = vec![b'x'; bytes];
        sample.bytes(&length).bytes(&key).short(b"v").end()
    };
    let scratch = Scratch::new();
    let error = run(&scratch, &file(LOGGED_KEY_BYTES_MAX + 1)).unwrap_err();
    let expected = "(8388609 bytes) at byte 14 of the file has 8388609 bytes, and 8388608 is the limit \
                    for keys of a store with a directory";
    assert!(error.to_string().contains(expected), "{error}");
    assert!(scratch.is_empty());
    assert_eq!(run(&scratch, &file(LOGGED_KEY_BYTES_MAX)).unwrap().keys, 2);
}
