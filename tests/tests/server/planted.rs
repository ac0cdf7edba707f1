//! Each fault that can be planted in the server must be noticed: a test is worth what it would notice.
//!
//! What is looked at here in short is tested at length beside it. Only builds with debug assertions can
//! plant a fault.

use std::time::Duration;

use shardkeep_server::fault::Fault;
use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{PLANTED, Scratch, ServerProcess, Signal, resident_bytes, threads};
use socket2::SockRef;

use crate::support::{MIB, ask, program, repeated, serves_others};

/// A server that has `fault`, if one is given.
fn start(fault: Option<Fault>, flags: &[&str]) -> ServerProcess {
    let planted = format!("{PLANTED}={:?}", fault);
    let planted = planted.replace("Some(", "").replace(')', "");
    let wrapper: &[&str] = match fault {
        Some(_) => &["env", &planted],
        None => &[],
    };
    ServerProcess::start_by(wrapper, program(), flags).unwrap()
}

/// `look` finds nothing without `fault`, and something with it.
#[expect(clippy::print_stdout, reason = "`.ci/planted` gathers these lines")]
fn check(fault: Fault, look: fn(Option<Fault>) -> Result<(), String>) {
    assert_eq!(look(None), Ok(()));
    match look(Some(fault)) {
        Err(text) => println!("{fault:?} is noticed: {text}"),
        Ok(()) => panic!("{fault:?} is not noticed"),
    }
}

fn grows_little(server: &ServerProcess, before: u64, most: u64) -> Result<(), String> {
    let grown = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    if grown < most {
        Ok(())
    } else {
        Err(format!("{} MiB more", grown / MIB))
    }
}

#[test]
fn replies_without_bound_are_noticed() {
    check(Fault::UnreadRepliesUnbounded, |fault| {
        let server = start(fault, &[]);
        let mut writer = server.client().unwrap();
        assert_eq!(ask(&mut writer, "SETRANGE big 9999 x"), "10000");
        let before = resident_bytes(server.pid()).unwrap();
        let mut greedy = server.client().unwrap();
        greedy.send(&repeated(&["GET", "big"], 20_000)).unwrap();
        // Each is served before the next: so that what the server takes from the greedy, it has taken.
        for _ in 0..100 {
            serves_others(&server);
        }
        grows_little(&server, before, 64 * MIB)
    });
}

#[test]
fn a_thread_left_by_a_reset_is_noticed() {
    check(Fault::ThreadLeakedOnReset, |fault| {
        const RESETS: u64 = 20;
        let server = start(fault, &[]);
        serves_others(&server);
        let before = threads(server.pid()).unwrap();
        for _ in 0..RESETS {
            let mut client = server.client().unwrap();
            assert_eq!(ask(&mut client, "PING"), "PONG");
            let linger = Some(Duration::ZERO);
            SockRef::from(client.stream()).set_linger(linger).unwrap();
            drop(client);
            serves_others(&server);
        }
        match threads(server.pid()).unwrap() - before {
            0 => Ok(()),
            more => Err(format!("{more} threads more after {RESETS} resets")),
        }
    });
}

#[test]
fn memory_taken_on_the_word_of_a_peer_is_noticed() {
    check(Fault::AnnouncedLengthAllocated, |fault| {
        let server = start(fault, &[]);
        let before = resident_bytes(server.pid()).unwrap();
        let mut peers = Vec::new();
        for _ in 0..3 {
            let mut peer = server.client().unwrap();
            let begun = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$67108864\r\nbeginning";
            peer.send(begun).unwrap();
            peers.push(peer);
            for _ in 0..10 {
                serves_others(&server);
            }
        }
        grows_little(&server, before, 32 * MIB)
    });
}

#[test]
fn an_end_before_the_last_sync_is_noticed() {
    check(Fault::EndedBeforeLastSync, |fault| {
        const KEYS: usize = 200;
        let scratch = Scratch::new().unwrap();
        let dir = scratch.path().to_string_lossy().into_owned();
        let kept = ["--dir", &dir, "--sync", "interval"];
        let mut server = start(fault, &[&kept[..], &["--write-window", "1s"]].concat());
        let mut client = server.client().unwrap();
        for number in 0..KEYS {
            assert_eq!(ask(&mut client, &format!("SET {number} v")), "OK");
        }
        server.signal(Signal::TERM).unwrap();
        assert_eq!(server.wait(PATIENCE).unwrap().code(), Some(0));
        let server = start(None, &kept);
        match ask(&mut server.client().unwrap(), "DBSIZE") {
            keys if keys == KEYS.to_string() => Ok(()),
            keys => Err(format!("{keys} of {KEYS} acknowledged keys are left")),
        }
    });
}
