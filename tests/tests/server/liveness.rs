//! What a server may leave behind when something fails, and whom it may keep waiting: nothing, and nobody
//! beyond a deadline.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, kill_process};

use shardkeep_tests::clock;
use shardkeep_tests::harness::{
    Client, Scratch, ServerProcess, Signal, open_files, request, resident_bytes, threads,
};

use crate::support::{
    MIB, PROMPT, ask, ends_cleanly, eventually, planted, program, says, serves_others, shown,
};

/// Longest that a server takes to end beyond its own time for it.
const HALF_ALIVE: Duration = Duration::from_secs(5);

/// Bytes that a pipe holds on Linux, but for two of its pages: a page is left when a line would cross it.
const PIPE_FULL_BYTES: u64 = 65_536 - 2 * 4_096;

/// Seconds that a server is stopped by its machine, when nothing else is asked for.
const STOPPED_SECONDS: u64 = 3;

/// Threads and descriptors of `server`.
fn held(server: &ServerProcess) -> (u64, usize) {
    let pid = server.pid();
    (threads(pid).unwrap(), open_files(pid).unwrap())
}

/// A server whose standard error is in the hands of the test: where it listens, and its pipe.
struct Heard {
    child: Child,
    address: SocketAddr,
    said: Option<ChildStderr>,
}

impl Heard {
    fn start(plans: &str) -> Self {
        let mut child = Command::new(program())
            .env("FAIL_POINTS", plans)
            .args(["serve", "--bind", "127.0.0.1:0", "--admin", "off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = child.stderr.take().unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        let address = loop {
            said.read_exact(&mut byte).unwrap();
            line.extend_from_slice(&byte);
            if byte == *b"\n" {
                let text = String::from_utf8_lossy(&line).into_owned();
                if let Some((_, address)) = text.split_once("ready: listening on ") {
                    break address.trim().parse().unwrap();
                }
                line.clear();
            }
        };
        let said = Some(said);
        Self {
            child,
            address,
            said,
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// A client that is told soon what it asks for.
    fn client(&self) -> Client {
        Client::connect(self.address).unwrap().with_patience(PROMPT)
    }

    fn ends_cleanly(&mut self) {
        self.signal(Signal::TERM);
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0));
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_server_whose_standard_error_is_closed_serves_on_and_ends_cleanly() {
    let mut server = Heard::start("");
    server.said = None;
    let mut client = server.client();
    for _ in 0..5 {
        server.signal(Signal::USR1);
        assert_eq!(ask(&mut client, "SET k v"), "OK");
    }
    server.ends_cleanly();
}

#[test]
fn a_server_whose_standard_error_nobody_reads_serves_on_and_ends_cleanly() {
    let mut server = Heard::start("");
    let mut client = server.client();
    eventually("the pipe is full", || {
        server.signal(Signal::USR1);
        assert_eq!(ask(&mut client, "SET k v"), "OK");
        let said = server.said.as_ref().unwrap();
        ioctl_fionread(said).unwrap() > PIPE_FULL_BYTES
    });
    assert_eq!(ask(&mut client, "GET k"), "v");
    assert_eq!(ask(&mut server.client(), "GET k"), "v");
    server.ends_cleanly();
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_of_a_server_whose_standard_error_nobody_reads_holds_nobody_up() {
    let plans = "shard.before_apply@poison=panic,reactor.decode@unlucky-line=panic*3";
    let mut server = Heard::start(plans);
    let mut client = server.client();
    eventually("the pipe is full", || {
        server.signal(Signal::USR1);
        assert_eq!(ask(&mut client, "SET k v"), "OK");
        let said = server.said.as_ref().unwrap();
        ioctl_fionread(said).unwrap() > PIPE_FULL_BYTES
    });
    let answer = ask(&mut client, "SET poison v");
    assert!(answer.starts_with("-LOST "), "{answer}");
    eventually("its shard is there again", || {
        ask(&mut client, "GET poison") == "nil"
    });
    for _ in 0..3 {
        let mut unlucky = server.client();
        assert!(unlucky.call(&["PING", "unlucky-line"]).is_err());
        assert_eq!(ask(&mut client, "PING"), "PONG");
    }
    server.ends_cleanly();
}

/// A server whose owner stands still, all works going through it.
fn with_a_stuck_owner(plan: &str, drain_timeout: &str) -> ServerProcess {
    let flags = ["--handover", "mail", "--shards", "2", "--owners", "1"];
    let waits = ["--deadline", "300ms", "--stall-bound", "200ms"];
    let ends = ["--reactors", "1", "--drain-timeout", drain_timeout];
    planted(plan, &[&flags[..], &waits, &ends].concat())
}

#[cfg(debug_assertions)]
#[test]
fn an_owner_that_stands_still_is_reported_its_callers_are_answered_and_the_drain_ends_by_its_cap() {
    let mut server = with_a_stuck_owner("owner.tick=stall:600000", "1s");
    let mut client = server.client().unwrap();
    eventually("a report", || says(&server, "has made no progress"));
    for _ in 0..3 {
        let answer = ask(&mut client, "SET k v");
        assert!(answer.starts_with('-'), "{answer}");
        // What needs no shard is served.
        assert_eq!(ask(&mut client, "PING"), "PONG");
    }
    server.signal(Signal::TERM).unwrap();
    let status = server.wait(Duration::from_secs(1) + HALF_ALIVE).unwrap();
    assert_eq!(status.code(), Some(3), "{:?}", server.output());
}

#[cfg(debug_assertions)]
#[test]
fn clients_that_leave_before_their_replies_leave_nothing_behind() {
    let mut server = with_a_stuck_owner("owner.tick=stall:2000", "20s");
    let mut quiet = server.client().unwrap();
    // Now it is known to the server, and counted.
    assert_eq!(ask(&mut quiet, "PING"), "PONG");
    let before = held(&server);
    for _ in 0..20 {
        let mut client = server.client().unwrap();
        client.send(&request(&["SET", "k", "v"])).unwrap();
    }
    drop(quiet);
    eventually("the owner moves again", || says(&server, "moves again"));
    serves_others(&server);
    eventually("all are forgotten", || {
        let now = held(&server);
        now.0 == before.0 && now.1 < before.1
    });
    ends_cleanly(&mut server);
}

#[test]
fn a_server_that_its_machine_stops_for_a_while_goes_on_without_a_restart_or_a_loss() {
    let seconds = std::env::var("STOPPED_SECONDS");
    let seconds = seconds.map_or(STOPPED_SECONDS, |text| text.parse().unwrap());
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let dir = dir.to_string_lossy();
    let flags = ["--dir", &dir, "--sync", "always", "--deadline", "1s"];
    let mut server = planted("", &[&flags[..], &["--stall-bound", "500ms"]].concat());
    let mut client = server.client().unwrap();
    for key in 0..50 {
        assert_eq!(ask(&mut client, &format!("SET {key} before")), "OK");
    }
    server.signal(Signal::STOP).unwrap();
    for key in 50..100 {
        let set = request(&["SET", &key.to_string(), "meanwhile"]);
        client.send(&set).unwrap();
    }
    clock::pass(Duration::from_secs(seconds));
    server.signal(Signal::CONT).unwrap();
    // Each is done, or refused with its reason; none waits on.
    let done: Vec<bool> = (50..100)
        .map(|_| match shown(&client.reply().unwrap()).as_str() {
            "OK" => true,
            refused => {
                assert!(refused.starts_with('-'), "{refused}");
                false
            }
        })
        .collect();
    serves_others(&server);
    assert!(!says(&server, "restart"), "{:?}", server.output());
    ends_cleanly(&mut server);
    let server = planted("", &["--dir", &dir]);
    let mut client = server.client().unwrap();
    for key in 0..50 {
        assert_eq!(ask(&mut client, &format!("GET {key}")), "before");
    }
    for (key, done) in (50..100).zip(done) {
        let value = ask(&mut client, &format!("GET {key}"));
        assert!(!done || value == "meanwhile", "{key}: {value}");
    }
}

#[cfg(debug_assertions)]
#[test]
fn failures_in_a_loop_leave_no_thread_no_descriptor_and_no_memory() {
    const ROUNDS: u32 = 60;
    const FIRST: u32 = 20;
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let dir = dir.to_string_lossy();
    let plans = format!("reactor.round=panic*{ROUNDS},reactor.tick=panic*2,owner.tick=panic*2");
    let flags = ["--dir", &dir, "--sync", "always", "--reactors", "2"];
    let mut server = planted(&plans, &flags);
    let mut before = None;
    let mut failed = 0;
    while failed < ROUNDS {
        // A panic closes the connections of its round.
        let Ok(mut client) = server.client() else {
            continue;
        };
        if client.call(&["SET", "k", "v"]).is_err() {
            failed += 1;
        }
        if failed == FIRST && before.is_none() {
            before = Some((held(&server), resident_bytes(server.pid()).unwrap()));
        }
    }
    let ((threads, files), resident) = before.unwrap();
    serves_others(&server);
    eventually("threads and descriptors are back", || {
        let now = held(&server);
        now.0 <= threads && now.1 <= files
    });
    let after = resident_bytes(server.pid()).unwrap();
    assert!(after < resident + 16 * MIB, "{resident} to {after} bytes");
    ends_cleanly(&mut server);
}
