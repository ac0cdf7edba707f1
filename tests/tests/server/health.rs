//! What `/readyz` and `/healthz` say of a server to which something happens, and that they say it again
//! when their own thread has failed.
//!
//! Failures are planted by fail points, which are in builds with debug assertions alone.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Scratch, ServerProcess, Signal};

use crate::admin::{admin_of, read_whole, sample, try_get};
use crate::support::{self, ask, ends_cleanly, eventually, program};

fn planted(plans: &str, flags: &[&str]) -> (ServerProcess, SocketAddr) {
    let flags = [&["--admin", "127.0.0.1:0"], flags].concat();
    let server = support::planted(plans, &flags);
    let admin = admin_of(&server);
    (server, admin)
}

/// Whether a page is answered with this status and a body that begins so.
fn answers(admin: SocketAddr, path: &str, status: u16, body: &str) -> bool {
    try_get(admin, path).is_ok_and(|(line, text)| {
        line.starts_with(&format!("HTTP/1.1 {status} ")) && text.starts_with(body)
    })
}

#[cfg(debug_assertions)]
#[test]
fn a_reactor_that_stands_still_is_named_by_both_until_it_moves() {
    let flags = ["--reactors", "2", "--stall-bound", "100ms"];
    let (mut server, admin) = planted("reactor.round=stall:2000", &flags);
    let mut slow = server.client().unwrap();
    slow.send(b"PING\r\n").unwrap();
    for path in ["/readyz", "/healthz"] {
        eventually("it never said that it stalls", || {
            answers(admin, path, 503, "stalled: shardkeep-reactor-")
        });
    }
    slow.reply().unwrap();
    for path in ["/readyz", "/healthz"] {
        eventually("it never took that back", || {
            answers(admin, path, 200, "ok")
        });
    }
    ends_cleanly(&mut server);
}

#[cfg(debug_assertions)]
#[test]
fn a_log_that_has_failed_is_named_and_a_restart_is_not_asked_for() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let dir = dir.to_string_lossy();
    let flags = ["--dir", &dir, "--sync", "always", "--commit", "thread"];
    let (server, admin) = planted("committer.tick=panic", &flags);
    let mut client = server.client().unwrap();
    eventually("writes are refused", || {
        ask(&mut client, "SET k v").starts_with('-')
    });
    let why = "log_failed: the committer panicked";
    eventually("it is said why", || answers(admin, "/readyz", 503, why));
    assert!(answers(admin, "/healthz", 200, "ok"));
}

#[cfg(debug_assertions)]
#[test]
fn a_server_that_reads_its_log_says_how_far_it_is_and_is_alive() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let dir = dir.to_string_lossy();
    let (mut before, _) = planted("", &["--dir", &dir]);
    assert_eq!(ask(&mut before.client().unwrap(), "SET k v"), "OK");
    ends_cleanly(&mut before);
    // It stands still in the middle for as long as this test may take, and is killed.
    let mut child = Command::new(program())
        .args([
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--dir",
            &dir,
        ])
        .env("FAIL_POINTS", "restore@k=stall:600000")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = std::io::BufReader::new(child.stderr.take().unwrap());
    let admin = std::io::BufRead::lines(said).find_map(|line| {
        let line = line.unwrap();
        let address = line.strip_prefix("admin: http://")?.trim_end_matches('/');
        Some(address.parse().unwrap())
    });
    let admin = admin.unwrap();
    eventually("it never said that it recovers", || {
        answers(admin, "/readyz", 503, "recovering: ")
    });
    assert!(answers(admin, "/healthz", 200, "ok"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_server_that_is_to_stop_is_not_ready_while_it_still_serves() {
    let (mut server, admin) = planted("", &["--pre-stop-delay", "10m"]);
    let mut client = server.client().unwrap();
    assert!(answers(admin, "/readyz", 200, "ok"));
    server.signal(Signal::TERM).unwrap();
    eventually("it never said that it drains", || {
        answers(admin, "/readyz", 503, "draining: 1 clients left")
    });
    assert!(answers(admin, "/healthz", 200, "ok"));
    assert_eq!(ask(&mut client, "SET a b"), "OK");
    server.signal(Signal::TERM).unwrap();
    assert_eq!(server.wait(PATIENCE).unwrap().code(), Some(3));
}

#[test]
fn a_server_whose_memory_is_used_up_is_ready_and_says_what_it_refuses() {
    let (server, admin) = planted("", &["--max-memory", "1mb"]);
    let mut client = server.client().unwrap();
    assert!(answers(admin, "/readyz", 200, "ok"));
    assert_eq!(ask(&mut client, "SETRANGE big 2000000 x"), "2000001");
    assert!(ask(&mut client, "SET a b").starts_with("-OOM"));
    assert!(answers(admin, "/readyz", 200, "degraded: out_of_memory: "));
    assert_eq!(ask(&mut client, "DEL big"), "1");
    assert!(answers(admin, "/readyz", 200, "ok"));
}

#[cfg(debug_assertions)]
#[test]
fn an_endpoint_that_panics_again_and_again_is_started_again_and_the_server_serves_on() {
    let (mut server, admin) = planted("admin.tick=panic*8", &[]);
    let mut client = server.client().unwrap();
    eventually("it never came back", || {
        assert_eq!(ask(&mut client, "PING"), "PONG");
        answers(admin, "/readyz", 200, "ok")
    });
    let (_, text) = try_get(admin, "/metrics").unwrap();
    // More than any other child may have in so short a time.
    let name = "shardkeep_thread_restarts_total{thread=\"shardkeep-admin\"}";
    assert_eq!(sample(&text, name), Some(8.0), "{text}");
    assert!(answers(admin, "/status.json", 200, "{"));
    ends_cleanly(&mut server);
}

#[test]
fn a_connection_that_finds_no_descriptor_is_taken_when_there_is_one() {
    let (mut server, admin) = planted("", &[]);
    assert!(answers(admin, "/readyz", 200, "ok"));
    let pid = Pid::from_raw(server.pid().try_into().unwrap());
    let limit = |current| {
        let before = rustix::process::getrlimit(Resource::Nofile);
        let limit = Rlimit {
            current: Some(current),
            maximum: before.maximum,
        };
        prlimit(pid, Resource::Nofile, limit).unwrap()
    };
    let before = limit(3).current.unwrap_or(1_024);
    let mut waiting = TcpStream::connect(admin).unwrap();
    waiting.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").unwrap();
    // Another has been turned over by the acceptor meanwhile: nobody is served, and nobody ends.
    let _refused = TcpStream::connect(server.address()).unwrap();
    let _restored = limit(before);
    let answer = read_whole(waiting);
    assert!(answer.ends_with("ok\n"), "{answer}");
    assert_eq!(ask(&mut server.client().unwrap(), "PING"), "PONG");
    ends_cleanly(&mut server);
}
