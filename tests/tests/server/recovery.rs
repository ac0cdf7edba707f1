//! Recoveries under a signal, and snapshots that the disk refuses for a while.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Scratch, ServerProcess, Signal};

use crate::support::{ask, eventually, program, start};

/// Keys of a store; a recovery that takes a twentieth of a second for each outlasts every wait.
#[cfg(debug_assertions)]
const KEYS: usize = 1_000;

#[cfg(debug_assertions)]
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

#[cfg(debug_assertions)]
fn counts_all(directory: &str) {
    let mut server = start(&["--dir", directory]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "DBSIZE"), KEYS.to_string());
    server.signal(Signal::TERM).unwrap();
    assert_eq!(server.wait(PATIENCE).unwrap().code(), Some(0));
}

#[cfg(debug_assertions)]
#[test]
fn a_signal_in_mid_recovery_ends_it_and_whatever_ends_it_leaves_the_directory_as_it_was() {
    let scratch = Scratch::new().unwrap();
    let place = scratch.path().join("store");
    let dir = place.to_str().unwrap();
    let mut server = start(&["--dir", dir]);
    let mut client = server.client().unwrap();
    for key in 0..KEYS {
        assert_eq!(ask(&mut client, &format!("SET key:{key:04} value")), "OK");
        if key == KEYS / 2 {
            assert_eq!(ask(&mut client, "SAVE"), "OK");
        }
    }
    server.signal(Signal::TERM).unwrap();
    assert_eq!(server.wait(PATIENCE).unwrap().code(), Some(0));
    let before = files(&place);
    let cases = [
        // Each effect takes its time, and none is waited for beyond that.
        ("restore=stall:50*1000000", Signal::TERM, Some(0)),
        // Nobody is asked: in the snapshot, and behind it.
        ("restore@key:0003=stall:600000", Signal::KILL, None),
        ("restore@key:0999=stall:600000", Signal::KILL, None),
    ];
    for (plan, signal, code) in cases {
        let flags = ["--dir", dir];
        let mut server =
            ServerProcess::shardkeep_loading(program(), &flags, &[("FAIL_POINTS", plan)]).unwrap();
        eventually("the recovery has threads", || is_restoring(server.pid()));
        server.signal(signal).unwrap();
        let status = server.wait(PATIENCE).unwrap();
        let output = server.output();
        assert_eq!(status.code(), code, "{plan}: {output:?}");
        assert!(!output.iter().any(|line| line.contains("loaded:")));
        assert_eq!(files(&place), before, "{plan}");
    }
    counts_all(dir);
}

/// Whether the process has a thread that restores.
#[cfg(debug_assertions)]
fn is_restoring(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names
        .into_iter()
        .any(|name| name.starts_with("shardkeep-recov"))
}

#[test]
fn a_snapshot_that_could_not_be_taken_is_tried_again_and_told_once() {
    let scratch = Scratch::new().unwrap();
    let place = scratch.path().join("store");
    let dir = place.to_str().unwrap();
    let flags = ["--dir", dir, "--snapshot-log-bytes", "64kb"];
    let server = start(&flags);
    let mut client = server.client().unwrap();
    // It is accepted, and no file can be opened from now on.
    assert_eq!(ask(&mut client, "PING"), "PONG");
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let limit = |files| Rlimit {
        current: files,
        maximum: Some(4_096),
    };
    prlimit(pid, Resource::Nofile, limit(Some(3))).unwrap();
    let value = "v".repeat(1_024);
    for key in 0..100 {
        assert_eq!(ask(&mut client, &format!("SET key:{key} {value}")), "OK");
    }
    let told = |part: &str| {
        let lines = server.output();
        lines.iter().filter(|line| line.contains(part)).count()
    };
    eventually("it is told", || told("no snapshot was taken") > 0);
    let failures = |client: &mut _| {
        let info = ask(client, "INFO persistence");
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("snapshot_failures:"));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    // Without another byte in the log.
    eventually("it is tried again", || failures(&mut client) > 1);
    prlimit(pid, Resource::Nofile, limit(Some(4_096))).unwrap();
    eventually("one is taken", || told("saved:") > 0);
    assert_eq!(told("no snapshot was taken"), 1);
}
