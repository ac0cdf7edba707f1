//! A disk that is full, as clients and operators see it. Without a disk of its own a test has a reserve as
//! large as its disk, or a limit of the size of files; the scenario `campaign space` fills a real one.

use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use shardkeep_log::{Directory, Storage as _};
use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Client, Scratch, ServerProcess, Signal};

use crate::admin::{admin_of, sample, try_get};
use crate::support::{ask, ends_cleanly, eventually, says, shown, start};

/// A reserve as large as the whole file system, on which something is always taken.
fn all_of_the_disk(dir: &Path) -> String {
    let directory = Directory::inspect(dir).unwrap();
    directory.space().unwrap().total.to_string()
}

const NO_SPACE: &str = "-MISCONF there is no space for the log (";

fn open(dir: &Path, more: &[&str]) -> ServerProcess {
    let dir = dir.to_string_lossy();
    let flags = [&["--dir", &dir, "--admin", "127.0.0.1:0"], more].concat();
    start(&flags)
}

fn kill(server: &mut ServerProcess) {
    server.signal(Signal::KILL).unwrap();
    server.wait(PATIENCE).unwrap();
}

fn field(client: &mut Client, name: &str) -> String {
    let info = ask(client, "INFO persistence");
    let mut lines = info.lines();
    let field = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    field.map(|value| value.trim().to_owned()).unwrap()
}

fn figure(server: &ServerProcess, name: &str) -> f64 {
    let (_, text) = try_get(admin_of(server), "/metrics").unwrap();
    sample(&text, name).unwrap()
}

/// From now on no file of the server may become larger.
fn limit_files(server: &ServerProcess, bytes: u64) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let limit = Rlimit {
        current: Some(bytes),
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

fn reserve_of(dir: &Path) -> Option<u64> {
    let file = std::fs::metadata(dir.join("reserve.skr")).ok()?;
    Some(file.len())
}

#[test]
fn the_reserve_is_there_and_shown_and_gone_when_none_is_wanted() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    for (flags, config, state, bytes) in [
        (&["--disk-reserve", "2mb"][..], "2097152", "whole", 2 << 20),
        (&["--disk-reserve", "0"], "0", "none", 0),
    ] {
        let mut server = open(&dir, flags);
        let mut client = server.client().unwrap();
        assert_eq!(field(&mut client, "disk_reserve"), state);
        assert_eq!(field(&mut client, "disk_reserve_bytes"), bytes.to_string());
        assert_ne!(field(&mut client, "disk_free_bytes"), "0");
        assert_eq!(
            figure(&server, "shardkeep_disk_reserve_bytes"),
            bytes as f64
        );
        assert_eq!(
            figure(&server, "shardkeep_disk_reserve_whole"),
            f64::from(u8::from(bytes > 0))
        );
        assert!(figure(&server, "shardkeep_disk_free_bytes") > 0.0);
        let shown = shown(&client.call(&["CONFIG", "GET", "disk-reserve"]).unwrap());
        assert!(shown.contains(config), "{shown}");
        assert_eq!(reserve_of(&dir).unwrap_or(0), bytes);
        kill(&mut server);
    }
}

#[test]
fn without_space_what_only_removes_is_admitted_and_nothing_else() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let mut server = open(&dir, &["--disk-reserve", "0"]);
    let mut client = server.client().unwrap();
    for key in 0..100 {
        assert_eq!(ask(&mut client, &format!("SET key:{key} value")), "OK");
    }
    assert_eq!(ask(&mut client, "PEXPIRE key:99 1"), "1");
    ends_cleanly(&mut server);

    for sync in ["always", "never"] {
        let all = all_of_the_disk(&dir);
        let mut server = open(&dir, &["--disk-reserve", &all, "--sync", sync]);
        let mut client = server.client().unwrap();
        let (line, text) = try_get(admin_of(&server), "/readyz").unwrap();
        assert!(line.contains(" 200 "), "{line}");
        assert!(
            text.starts_with("degraded: no_space: the reserve of "),
            "{text}"
        );
        assert_eq!(field(&mut client, "disk_reserve"), "given_up");
        assert_eq!(figure(&server, "shardkeep_disk_reserve_whole"), 0.0);
        eventually("the word", || {
            says(&server, "there is no space for the log: the reserve of ")
        });
        for line in [
            "SET key:1 other",
            "APPEND key:1 x",
            "MSET key:1 a key:2 b",
            "EXPIRE key:1 9",
        ] {
            let reply = ask(&mut client, line);
            assert!(reply.starts_with(NO_SPACE), "{line}: {reply}");
        }
        assert_eq!(ask(&mut client, "GET key:10"), "value");
        // In one round, on one shard and on others.
        let mut lines = String::new();
        for key in ["key:50", "key:51", "key:52"] {
            lines.push_str(&format!(
                "DEL {key}\r\nSET {key} again\r\nGETDEL {key}\r\nSET {key} b\r\n"
            ));
        }
        client.send(lines.as_bytes()).unwrap();
        for _ in 0..3 {
            let replies: Vec<String> = (0..4).map(|_| shown(&client.reply().unwrap())).collect();
            assert!(["1", "0"].contains(&replies[0].as_str()), "{replies:?}");
            assert!(
                replies[1].starts_with(NO_SPACE) && replies[3].starts_with(NO_SPACE),
                "{replies:?}"
            );
            assert_eq!(replies[2], "nil");
        }
        eventually("it expires", || ask(&mut client, "EXISTS key:99") == "0");
        let all = (0..100).map(|key| format!("key:{key}"));
        let unlink = format!("UNLINK {}", all.skip(90).collect::<Vec<_>>().join(" "));
        let unlinked: u64 = ask(&mut client, &unlink).parse().unwrap();
        assert!([0, 9].contains(&unlinked), "{unlinked}");
        assert_eq!(ask(&mut client, "SAVE"), "OK");
        assert_eq!(ask(&mut client, "GET key:1"), "value");
        kill(&mut server);
    }
    let mut server = open(&dir, &["--disk-reserve", "0"]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "DBSIZE"), "87");
    assert_eq!(ask(&mut client, "SET key:1 other"), "OK");
    kill(&mut server);
    let mut server = open(&dir, &["--disk-reserve", &all_of_the_disk(&dir)]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
    assert_eq!(ask(&mut client, "FLUSHDB"), "OK");
    assert_eq!(ask(&mut client, "DBSIZE"), "0");
    ends_cleanly(&mut server);
}

/// Writes one key again and again, until a write is refused.
fn fill(client: &mut Client) {
    let value = "v".repeat(64 << 10);
    let refused = (0..1_000).find_map(|_| {
        let reply = ask(client, &format!("SET one {value}"));
        (reply != "OK").then_some(reply)
    });
    let refused = refused.unwrap();
    let is_honest = ["-LOST ", NO_SPACE]
        .iter()
        .any(|it| refused.starts_with(it));
    assert!(is_honest, "{refused}");
}

#[test]
fn a_file_that_may_not_grow_is_no_space_and_a_snapshot_makes_some() {
    for (interval, is_asked) in [("0", true), ("256mb", false)] {
        let scratch = Scratch::new().unwrap();
        let dir = scratch.path().join("store");
        let flags = [
            "--sync",
            "always",
            "--deadline",
            "200ms",
            "--snapshot-log-bytes",
            interval,
        ];
        let mut server = open(&dir, &flags);
        let mut client = server.client().unwrap();
        assert_eq!(ask(&mut client, "SET other v"), "OK");
        limit_files(&server, 4 << 20);
        fill(&mut client);
        assert_eq!(ask(&mut client, "GET other"), "v");
        if is_asked {
            let reply = ask(&mut client, "SET more v");
            assert!(reply.starts_with(NO_SPACE), "{reply}");
            assert_eq!(field(&mut client, "log_state"), "no_space");
            assert_eq!(ask(&mut client, "SAVE"), "OK");
        }
        eventually("it resumes by itself", || {
            ask(&mut client, "SET more v") == "OK"
        });
        assert_eq!(ask(&mut client, "STRLEN one"), (64 << 10).to_string());
        kill(&mut server);
        let mut server = open(&dir, &flags);
        let mut client = server.client().unwrap();
        assert_eq!(ask(&mut client, "MGET other more"), "[v v]");
        ends_cleanly(&mut server);
    }
}

#[test]
fn a_snapshot_that_does_not_fit_is_refused_by_both_sizes_and_leaves_nothing() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let mut server = open(&dir, &["--snapshot-log-bytes", "0"]);
    let mut client = server.client().unwrap();
    let value = "v".repeat(64 << 10);
    for key in 0..32 {
        assert_eq!(ask(&mut client, &format!("SET key:{key} {value}")), "OK");
    }
    limit_files(&server, 1 << 20);
    let reply = ask(&mut client, "SAVE");
    let needed = reply
        .strip_prefix("-ERR no snapshot was taken: no space for the snapshot: it takes ")
        .and_then(|rest| rest.strip_suffix(" bytes, and 1048576 are free for it"));
    let needed: u64 = needed.unwrap_or_else(|| panic!("{reply}")).parse().unwrap();
    assert!((2 << 20..3 << 20).contains(&needed), "{needed}");
    let names = std::fs::read_dir(&dir).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name());
    assert!(
        names
            .into_iter()
            .all(|name| !name.to_string_lossy().contains("snapshot"))
    );
    assert_eq!(ask(&mut client, "GET key:7"), value);
    kill(&mut server);
}
