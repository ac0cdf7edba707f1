//! A server whose directory others move, remove, replace, cut or link while it runs: it says so by itself,
//! refuses writes, ends as a failure, and touches nothing that is another's.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;

use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Scratch, ServerProcess, Signal};

use crate::admin::{admin_of, try_get};
use crate::support::{ask, eventually, says, start};

const SEGMENT: &str = "log-00000000000000000001.skl";

/// What somebody does to the directory at a path, with another path that is free; and what is said of it.
type Deed = (&'static str, fn(&Path, &Path), &'static str);

const DEEDS: [Deed; 7] = [
    (
        "moved",
        |path, other| fs::rename(path, other).unwrap(),
        "store: moved, removed or replaced since it was opened",
    ),
    (
        "removed",
        |path, _| fs::remove_dir_all(path).unwrap(),
        "store: moved, removed or replaced since it was opened",
    ),
    (
        "replaced",
        |path, other| {
            fs::rename(path, other).unwrap();
            fs::create_dir(path).unwrap();
        },
        "store: moved, removed or replaced since it was opened",
    ),
    (
        "without its lock",
        |path, _| fs::remove_file(path.join("lock")).unwrap(),
        "looking for lock: renamed, removed or replaced since it was opened",
    ),
    (
        "without its segment",
        |path, _| fs::remove_file(path.join(SEGMENT)).unwrap(),
        "looking for log-00000000000000000001.skl: renamed, removed or replaced since it was opened",
    ),
    (
        "with its segment cut",
        |path, _| {
            let segment = File::options().write(true).open(path.join(SEGMENT));
            segment.unwrap().set_len(60).unwrap();
        },
        ": something else has cut or written it",
    ),
    (
        "with its segment linked",
        |path, other| fs::hard_link(path.join(SEGMENT), other).unwrap(),
        "looking for log-00000000000000000001.skl: it has 2 names",
    ),
];

fn open(path: &Path, sync: &str) -> (ServerProcess, SocketAddr) {
    let path = path.to_string_lossy();
    let mut flags = vec!["--dir", &path, "--sync", sync, "--admin", "127.0.0.1:0"];
    if sync == "interval" {
        flags.extend(["--sync-interval", "10s"]);
    }
    let server = start(&flags);
    let admin = admin_of(&server);
    (server, admin)
}

/// The page that says whether it is ready.
fn ready(admin: SocketAddr) -> (bool, String) {
    let (line, text) = try_get(admin, "/readyz").unwrap_or_default();
    (line.starts_with("HTTP/1.1 200 "), text)
}

/// It is told to end, and says that its log has failed.
#[track_caller]
fn ends_as_a_failure(server: &mut ServerProcess, said: &str) {
    server.signal(Signal::TERM).unwrap();
    let status = server.wait(PATIENCE).unwrap();
    let output = server.output();
    assert_eq!(status.code(), Some(3), "{output:?}");
    let mut last = output
        .iter()
        .filter(|line| line.contains("drain cut short"));
    let is_said = |line: &String| line.contains("; the log has failed: ") && line.contains(said);
    assert!(last.any(is_said), "{output:?}");
}

fn suffer(sync: &str, (deed, carry_out, said): Deed) {
    let scratch = Scratch::new().unwrap();
    let (path, other) = (scratch.path().join("store"), scratch.path().join("other"));
    let (mut server, admin) = open(&path, sync);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SET before 1"), "OK");
    assert!(ready(admin).0);
    carry_out(&path, &other);
    // Nothing is written meanwhile.
    eventually(deed, || !ready(admin).0);
    let (_, why) = ready(admin);
    assert!(
        why.starts_with("log_failed: ") && why.contains(said),
        "{deed}: {why}"
    );
    let refused = ask(&mut client, "SET after 2");
    assert!(refused.starts_with("-MISCONF"), "{deed}: {refused}");
    assert_eq!(ask(&mut client, "GET before"), "1", "{deed}");
    assert!(ask(&mut client, "SAVE").starts_with('-'), "{deed}");
    let info = ask(&mut client, "INFO persistence");
    assert!(info.contains("aof_last_write_status:err"), "{deed}: {info}");
    let why = info.lines().find_map(|line| line.strip_prefix("log_why:"));
    assert!(why.is_some_and(|why| why.contains(said)), "{deed}: {info}");
    eventually(deed, || {
        says(&server, "error: the log has failed: looking for ")
    });
    ends_as_a_failure(&mut server, said);
}

#[test]
fn a_server_notices_by_itself_what_is_done_to_its_directory() {
    for deed in DEEDS {
        suffer("always", deed);
    }
}

#[test]
fn a_server_that_does_not_sync_now_notices_it_too() {
    for sync in ["interval", "never"] {
        suffer(sync, DEEDS[0]);
        suffer(sync, DEEDS[5]);
    }
}

#[test]
fn what_is_done_to_a_directory_right_before_the_end_is_said_at_the_end() {
    for (_, carry_out, said) in DEEDS {
        let scratch = Scratch::new().unwrap();
        let (path, other) = (scratch.path().join("store"), scratch.path().join("other"));
        let (mut server, _) = open(&path, "always");
        assert_eq!(ask(&mut server.client().unwrap(), "SET before 1"), "OK");
        carry_out(&path, &other);
        ends_as_a_failure(&mut server, said);
    }
}

#[test]
fn a_server_that_takes_the_place_of_a_removed_one_keeps_everything() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let (mut first, _) = open(&path, "never");
    let mut to_first = first.client().unwrap();
    assert_eq!(ask(&mut to_first, "SET first 1"), "OK");
    fs::remove_dir_all(&path).unwrap();
    let (mut second, admin) = open(&path, "always");
    let mut to_second = second.client().unwrap();
    let mut acknowledged = 0;
    eventually("the first goes on for ever", || {
        let key = format!("SET k{acknowledged} precious");
        assert_eq!(ask(&mut to_second, &key), "OK");
        acknowledged += 1;
        ask(&mut to_first, "SET first 2").starts_with("-MISCONF")
    });
    assert!(ask(&mut to_first, "SAVE").starts_with('-'));
    ends_as_a_failure(&mut first, "store: moved, removed or replaced");
    assert_eq!(ask(&mut to_second, "SAVE"), "OK");
    assert!(ready(admin).0);
    second.signal(Signal::KILL).unwrap();
    second.wait(PATIENCE).unwrap();
    let (third, _) = open(&path, "always");
    let mut client = third.client().unwrap();
    assert_eq!(ask(&mut client, "DBSIZE"), acknowledged.to_string());
}

#[test]
fn what_a_moved_server_has_acknowledged_is_all_where_it_was_moved_to() {
    let scratch = Scratch::new().unwrap();
    let (path, other) = (scratch.path().join("store"), scratch.path().join("other"));
    let (mut server, _) = open(&path, "always");
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SET before 1"), "OK");
    fs::rename(&path, &other).unwrap();
    fs::create_dir(&path).unwrap();
    let mut acknowledged = 1;
    eventually("it goes on for ever", || {
        match ask(&mut client, &format!("SET k{acknowledged} precious")).as_str() {
            "OK" => acknowledged += 1,
            refused => assert!(refused.starts_with("-MISCONF") || refused.starts_with("-LOST")),
        }
        ask(&mut client, "SET refused 1").starts_with("-MISCONF")
    });
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    server.signal(Signal::KILL).unwrap();
    server.wait(PATIENCE).unwrap();
    let (again, _) = open(&other, "always");
    let mut client = again.client().unwrap();
    let keys: Vec<String> = (1..acknowledged).map(|n| format!("k{n}")).collect();
    let exist = format!("EXISTS before {}", keys.join(" "));
    assert_eq!(ask(&mut client, exist.trim_end()), acknowledged.to_string());
}
