//! Threads of the server that fail: what is restarted, what ends the server, and what is reported.
//!
//! Failures are planted by fail points, which are in builds with debug assertions alone.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use shardkeep_resp::Value;
use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Scratch, ServerProcess, Signal};

use crate::support::{ask, ends_cleanly, eventually, planted, program, says, serves_others};

/// Longest that a server without a thread it needs lives on a machine that is busy with something else;
/// `others-p99` holds it to the second that is promised.
const HALF_ALIVE: Duration = Duration::from_secs(3);

#[cfg(debug_assertions)]
#[test]
fn a_reactor_that_panics_is_restarted_and_the_server_accepts_on() {
    let mut server = planted("reactor.tick=panic*3", &["--reactors", "1"]);
    // Each arrival is a tick, and some of these meet the panic.
    eventually("a client is served", || {
        server
            .client()
            .and_then(|mut client| client.call(&["PING"]))
            .is_ok()
    });
    eventually("three restarts", || says(&server, "restart 3 in"));
    serves_others(&server);
    ends_cleanly(&mut server);
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_in_a_round_closes_its_connections_and_no_other() {
    let mut server = planted("reactor.round=panic", &["--reactors", "1"]);
    let mut quiet = server.client().unwrap();
    let mut unlucky = server.client().unwrap();
    assert!(unlucky.call(&["PING"]).is_err());
    assert_eq!(ask(&mut quiet, "PING"), "PONG");
    serves_others(&server);
    ends_cleanly(&mut server);
}

#[cfg(debug_assertions)]
#[test]
fn a_reactor_that_always_panics_ends_the_server_with_the_reason() {
    let environment = [("FAIL_POINTS", "reactor.tick=panic*99")];
    let flags = ["--reactors", "1"];
    let mut server = ServerProcess::shardkeep(program(), &flags, &environment).unwrap();
    assert_eq!(server.wait(PATIENCE).unwrap().code(), Some(1));
    assert!(says(
        &server,
        "given up: it panicked: planned at reactor.tick"
    ));
}

#[cfg(debug_assertions)]
#[test]
fn a_server_without_its_acceptor_its_watchdog_or_its_root_does_not_live_on() {
    for (place, code) in [
        ("acceptor.tick", 1),
        ("watchdog.look", 1),
        ("root.wait", 101),
    ] {
        let mut server = planted(&format!("{place}=panic"), &[]);
        // Wakes the acceptor.
        drop(server.client());
        let status = server.wait(HALF_ALIVE).unwrap();
        assert_eq!(status.code(), Some(code), "{place}: {:?}", server.output());
    }
}

#[cfg(debug_assertions)]
#[test]
fn a_committer_that_panics_fails_the_log_and_reads_go_on() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let dir = dir.to_string_lossy();
    let flags = ["--dir", &dir, "--sync", "always", "--commit", "thread"];
    let server = planted("committer.tick=panic", &flags);
    let mut client = server.client().unwrap();
    eventually("writes are refused", || {
        ask(&mut client, "SET k v").starts_with('-')
    });
    // What it says and what it answers come by two ways.
    eventually("the word", || says(&server, "the log has failed"));
    let mut other = server.client().unwrap();
    assert_eq!(ask(&mut other, "PING"), "PONG");
    assert_eq!(ask(&mut other, "GET other"), "nil");
}

#[cfg(debug_assertions)]
#[test]
fn a_committer_that_would_always_panic_panics_once_and_the_server_ends_in_time() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let dir = dir.to_string_lossy();
    let flags = ["--dir", &dir, "--sync", "always", "--commit", "thread"];
    let mut server = planted("committer.tick=panic*1000000", &flags);
    let mut client = server.client().unwrap();
    eventually("writes are refused", || {
        ask(&mut client, "SET k v").starts_with('-')
    });
    // Duties are refused too, and none waits for what will not come.
    assert!(ask(&mut client, "SAVE").starts_with('-'));
    assert_eq!(ask(&mut client, "PING"), "PONG");
    server.signal(Signal::TERM).unwrap();
    server.wait(PATIENCE).unwrap();
    let lines = server.output();
    let panics = lines
        .iter()
        .filter(|line| line.contains("planned at committer.tick"));
    assert_eq!(panics.count(), 1, "{lines:?}");
}

#[cfg(debug_assertions)]
#[test]
fn a_record_whose_replay_always_panics_refuses_the_start_by_its_place() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let dir = dir.to_string_lossy();
    let mut server = planted("", &["--dir", &dir]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SET poison v"), "OK");
    ends_cleanly(&mut server);
    let environment = [("FAIL_POINTS", "restore@poison=panic*99")];
    let started = ServerProcess::shardkeep(program(), &["--dir", &dir], &environment);
    let error = started.unwrap_err().to_string();
    assert!(error.contains("panicked at record"), "{error}");
    // Nothing was changed.
    let mut server = planted("", &["--dir", &dir]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "GET poison"), "v");
    ends_cleanly(&mut server);
}

/// A server on `dir` with a shard that is to be made again while the system gives no thread, `times` times.
#[cfg(debug_assertions)]
fn without_threads(dir: &str, times: u32) -> (ServerProcess, shardkeep_tests::harness::Client) {
    let plans = format!("shard.before_apply@poison=panic,thread.start@remake=refuse*{times}");
    let server = planted(&plans, &["--dir", dir, "--sync", "always"]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "MSET k before l before"), "OK");
    assert!(ask(&mut client, "SET poison v").starts_with("-LOST "));
    (server, client)
}

#[cfg(debug_assertions)]
#[test]
fn a_running_server_that_gets_no_thread_serves_on_and_asks_again() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let (mut server, mut client) = without_threads(&dir.to_string_lossy(), 2);
    // Of so many keys not all lie in the shard that is lost.
    let served = (0..8).filter(|key| ask(&mut client, &format!("SET {key} v")) == "OK");
    assert!(served.count() > 0);
    eventually("its shard is there again", || {
        let answer = ask(&mut client, "GET poison");
        assert!(
            answer == "nil" || answer.starts_with("-TRYAGAIN "),
            "{answer}"
        );
        answer == "nil"
    });
    assert!(says(&server, "could not be made again: no thread"));
    assert_eq!(ask(&mut client, "MGET k l"), "[before before]");
    ends_cleanly(&mut server);
}

#[cfg(debug_assertions)]
#[test]
fn a_running_server_that_never_gets_a_thread_ends_with_the_reason() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let (mut server, _client) = without_threads(&dir.to_string_lossy(), 99);
    assert_eq!(server.wait(PATIENCE).unwrap().code(), Some(1));
    assert!(
        says(&server, "is given up: no thread"),
        "{:?}",
        server.output()
    );
}

#[cfg(debug_assertions)]
#[test]
fn a_shard_whose_making_panics_is_made_later_and_one_whose_making_always_panics_ends_the_server() {
    for (times, is_made) in [(2, true), (99, false)] {
        let scratch = Scratch::new().unwrap();
        let dir = scratch.path().join("store");
        let flags = ["--dir", &dir.to_string_lossy(), "--sync", "always"];
        let plans = format!("shard.after_apply@broken=panic,restore@poison=panic*{times}");
        let mut server = planted(&plans, &[&flags[..], &["--shards", "1"]].concat());
        let mut client = server.client().unwrap();
        assert_eq!(ask(&mut client, "SET poison v"), "OK");
        assert!(ask(&mut client, "SET broken v").starts_with("-LOST "));
        if is_made {
            eventually("its shard is there again", || {
                ask(&mut client, "GET poison") == "v"
            });
            assert_eq!(ask(&mut client, "GET broken"), "nil");
            ends_cleanly(&mut server);
        } else {
            assert_eq!(server.wait(PATIENCE).unwrap().code(), Some(1));
            assert!(says(&server, "is given up: "), "{:?}", server.output());
            assert!(says(&server, "panicked at record"), "{:?}", server.output());
        }
    }
}

#[cfg(debug_assertions)]
#[test]
fn a_reactor_that_stands_still_is_reported_and_taken_back_and_others_are_served() {
    let flags = ["--reactors", "2", "--stall-bound", "200ms"];
    let mut server = planted("reactor.round=stall:1500", &flags);
    let mut slow = server.client().unwrap();
    slow.send(b"PING\r\n").unwrap();
    eventually("a report", || says(&server, "has made no progress"));
    eventually("its end", || says(&server, "moves again"));
    assert_eq!(slow.reply().unwrap(), Value::Simple("PONG".into()));
    ends_cleanly(&mut server);
}

#[test]
fn a_service_manager_is_told_ready_alive_and_stopping() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let (dir, path) = (scratch.path().join("store"), path.to_string_lossy());
    let dir = dir.to_string_lossy();
    let environment = [("NOTIFY_SOCKET", path.as_ref())];
    // However patient the watchdog is: the manager is not.
    let flags = ["--dir", &dir, "--stall-bound", "10m"];
    let mut server = ServerProcess::shardkeep(program(), &flags, &environment).unwrap();
    let hears = |wanted: &str| {
        let mut bytes = [0; 64];
        loop {
            let len = manager.recv(&mut bytes).unwrap();
            if &bytes[..len] == wanted.as_bytes() {
                return;
            }
        }
    };
    hears("READY=1\n");
    hears("WATCHDOG=1\n");
    hears("WATCHDOG=1\n");
    ends_cleanly(&mut server);
    hears("STOPPING=1\n");
}

#[cfg(debug_assertions)]
#[test]
fn a_thread_that_dies_in_the_pre_stop_delay_ends_the_server_at_once_and_as_a_failure() {
    let flags = ["--pre-stop-delay", "10m", "--drain-timeout", "10m"];
    let mut server = planted("acceptor.tick=panic", &flags);
    server.signal(Signal::TERM).unwrap();
    eventually("the word", || says(&server, "stopping: SIGTERM"));
    // Wakes the acceptor.
    drop(server.client());
    let status = server.wait(HALF_ALIVE).unwrap();
    assert_eq!(status.code(), Some(1), "{:?}", server.output());
    assert!(says(&server, "stopping: thread shardkeep-acceptor"));
}

#[test]
fn a_server_serves_on_for_its_pre_stop_delay_and_a_second_signal_cuts_it_short() {
    let mut server = planted("", &["--pre-stop-delay", "500ms"]);
    let mut client = server.client().unwrap();
    server.signal(Signal::TERM).unwrap();
    eventually("the word", || says(&server, "stopping: SIGTERM"));
    assert_eq!(ask(&mut client, "PING"), "PONG");
    assert_eq!(server.wait(PATIENCE).unwrap().code(), Some(0));
    let mut server = planted("", &["--pre-stop-delay", "10m"]);
    server.signal(Signal::TERM).unwrap();
    eventually("the word", || says(&server, "stopping: SIGTERM"));
    server.signal(Signal::TERM).unwrap();
    assert_eq!(server.wait(PATIENCE).unwrap().code(), Some(3));
}
