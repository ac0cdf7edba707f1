//! `shardkeep import-rdb` as a process.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, kill_process};
use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::harness::{Scratch, Signal, run_to_end};

use crate::saved::Redis;
use crate::support::entries;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_shardkeep-under-test"))
}

/// Runs `import-rdb FILE DIR` within `scratch`: its exit code, and what it said on standard error.
fn import(scratch: &Scratch, file: &str, place: &str) -> (Option<i32>, String) {
    let path = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let args = ["import-rdb", &path(file), &path(place)];
    let (status, said) = run_to_end(program(), &args, &[], PATIENCE).unwrap();
    (status.code(), said)
}

#[test]
fn a_file_becomes_a_store_for_its_owner_alone() {
    let mut redis = Redis::start(&[]);
    redis.lines(&["SET k v", "SET e v PXAT 4102444800123"]);
    let scratch = Scratch::new().unwrap();
    fs::write(scratch.path().join("dump.rdb"), redis.save()).unwrap();
    assert_eq!(
        import(&scratch, "dump.rdb", "store"),
        (Some(0), String::new())
    );
    let place = scratch.path().join("store");
    assert_eq!(entries(&place), redis.entries());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    for entry in fs::read_dir(&place).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }

    let (code, said) = import(&scratch, "dump.rdb", "store");
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("error: ") && said.contains("is there already (with \"lock\""),
        "{said}"
    );
    assert_eq!(entries(&place), redis.entries());
}

#[test]
fn a_file_that_cannot_be_imported_is_named_with_why_and_leaves_nothing() {
    let mut redis = Redis::start(&["--rdbchecksum", "no"]);
    redis.lines(&["SET k v", "SADD s 1", "LPUSH l 1"]);
    let scratch = Scratch::new().unwrap();
    let file = redis.save();
    let write = |name, bytes: &[u8]| fs::write(scratch.path().join(name), bytes).unwrap();
    write("foreign.rdb", &file);
    write("short.rdb", &file[..file.len() - 9]);
    write("text.rdb", b"SET k v\r\n");
    fs::create_dir(scratch.path().join("directory.rdb")).unwrap();
    let cases = [
        ("foreign.rdb", "only strings can be imported"),
        ("short.rdb", "in the middle: a part of it is missing"),
        ("text.rdb", "it is no RDB file"),
        ("directory.rdb", "it cannot be read at byte 0"),
        ("absent.rdb", "No such file or directory"),
    ];
    for (name, expected) in cases {
        let (code, said) = import(&scratch, name, "store");
        assert_eq!(code, Some(1), "{name}");
        let is_right = said.contains(name) && said.contains("nothing was written");
        assert!(is_right && said.contains(expected), "{said}");
        assert!(!scratch.path().join("store").exists());
        assert!(!scratch.path().join("store.unfinished").exists());
    }
}

#[test]
fn a_file_that_nothing_vouches_for_is_imported_with_a_warning() {
    let mut redis = Redis::start(&["--rdbchecksum", "no"]);
    redis.lines(&["SET k v"]);
    let scratch = Scratch::new().unwrap();
    fs::write(scratch.path().join("dump.rdb"), redis.save()).unwrap();
    let (code, said) = import(&scratch, "dump.rdb", "store");
    assert_eq!(code, Some(0));
    assert!(
        said.starts_with("warning: the file has no checksum"),
        "{said}"
    );
}

/// An import of all of `file` but its last byte, which has begun its store and waits for that byte.
fn begun(file: &[u8], place: &Path) -> (Child, ChildStdin) {
    let mut child = Command::new(program())
        .args(["import-rdb", "/dev/stdin"])
        .arg(place)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&file[..file.len() - 1]).unwrap();
    let unfinished = place.with_extension("unfinished");
    let deadline = clock::now() + PATIENCE;
    while !unfinished.exists() {
        assert!(clock::left(deadline).is_some(), "nothing was begun");
        std::thread::yield_now();
    }
    (child, input)
}

#[test]
fn an_import_that_is_told_to_stop_ends_with_nothing_left_of_it() {
    let mut redis = Redis::start(&[]);
    redis.lines(&["SET k v"]);
    let file = redis.save();
    let scratch = Scratch::new().unwrap();
    let place = scratch.path().join("store");
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let (mut child, input) = begun(&file, &place);
        let pid = i32::try_from(child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        // The pipe stays open: nothing but the signal ends the import.
        let deadline = clock::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            assert!(clock::left(deadline).is_some(), "it does not end");
            std::thread::yield_now();
        }
        let output = child.wait_with_output().unwrap();
        drop(input);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(name) && said.contains("was given up"),
            "{said}"
        );
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}

#[test]
fn an_import_that_is_killed_leaves_no_store_and_its_leftovers_are_named() {
    let mut redis = Redis::start(&[]);
    redis.lines(&["SET k v"]);
    let file = redis.save();
    let scratch = Scratch::new().unwrap();
    fs::write(scratch.path().join("dump.rdb"), &file).unwrap();
    let place = scratch.path().join("store");
    let unfinished = scratch.path().join("store.unfinished");
    let (mut child, _input) = begun(&file, &place);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.exists());

    let (code, said) = import(&scratch, "dump.rdb", "store");
    assert_eq!(code, Some(1));
    assert!(said.contains("store.unfinished is there"), "{said}");
    assert!(!place.exists());
    fs::remove_dir_all(&unfinished).unwrap();
    assert_eq!(import(&scratch, "dump.rdb", "store").0, Some(0));
    assert_eq!(entries(&place), redis.entries());
}
