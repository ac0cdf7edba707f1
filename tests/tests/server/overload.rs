//! More than the server can do: what has waited too long is refused, also where it waited unread.
//!
//! A reactor that stands still in every round is one that has too much to do.

use std::time::Instant;

use shardkeep_tests::clock::{PATIENCE, now};
use shardkeep_tests::harness::{Client, ServerProcess, request};

use crate::support::{MIB, PROMPT, accepted, ask, eventually, planted, program};

/// Commands sent together: several reads of the server, and less than the kernel keeps for it.
const COMMANDS: usize = 4_000;

fn pipeline(client: &mut Client) -> Vec<Vec<u8>> {
    client
        .send(b"INCR counter\r\n".repeat(COMMANDS).as_slice())
        .unwrap();
    (0..COMMANDS)
        .map(|_| client.reply_bytes().unwrap())
        .collect()
}

#[test]
fn what_waited_unread_for_longer_than_its_client_wants_is_refused_and_never_applied() {
    let environment = [("FAIL_POINTS", "reactor.round=stall:60*100000")];
    let flags = ["--reactors", "1", "--shards", "4"];
    let server = ServerProcess::shardkeep(program(), &flags, &environment).unwrap();
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "CLIENT DEADLINE 20"), "OK");
    let (until, mut applied): (Instant, usize) = (now() + PATIENCE, 0);
    loop {
        let answers = pipeline(&mut client);
        let refused = answers
            .iter()
            .filter(|it| it.starts_with(b"-THROTTLED shard="))
            .count();
        let numbers = answers.iter().filter(|it| it.starts_with(b":")).count();
        assert_eq!(refused + numbers, COMMANDS);
        applied += numbers;
        if refused > 0 {
            break;
        }
        assert!(now() < until, "nothing is ever too late");
    }
    // A client that waits is told what was applied: all that was answered so, and nothing else.
    assert_eq!(ask(&mut client, "CLIENT DEADLINE 0"), "OK");
    assert_eq!(ask(&mut client, "GET counter"), applied.to_string());
    let answers = pipeline(&mut client);
    assert!(
        answers.iter().all(|it| it.starts_with(b":")),
        "a patient client is served"
    );
}

#[test]
fn a_client_that_was_behind_sends_large_values_as_fast_as_before_and_gets_back_its_buffer() {
    let large = request(&["SET", "large", &"v".repeat(4 * MIB as usize)]);
    let send = |client: &mut Client, bytes: &[u8], replies: usize| {
        let mut sender = client.stream().try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || std::io::Write::write_all(&mut sender, bytes).unwrap());
            for _ in 0..replies {
                assert_ne!(client.reply_bytes().unwrap()[0], b'-');
            }
        });
    };
    let mut server = planted("", &["--reactors", "1", "--deadline", "400ms"]);
    let mut client = server.client().unwrap();
    // The kernel gives it a large buffer, and it sends the largest segments there are.
    for _ in 0..16 {
        send(&mut client, &large, 1);
    }
    let socket = accepted(&server, &client);
    let before = socket.recv_buffer_size().unwrap();
    server.plant("reactor.round=stall:150*100000").unwrap();
    eventually("its queue is made short", || {
        let flood = request(&["INCR", "counter"]).repeat(COMMANDS);
        send(&mut client, &flood, COMMANDS);
        socket.recv_buffer_size().unwrap() < before
    });
    server.plant("clear").unwrap();
    let began = now();
    for _ in 0..16 {
        send(&mut client, &large, 1);
    }
    // Where a segment does not fit into the window, each of them takes more than this.
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    eventually("its buffer is handed back", || {
        assert_eq!(ask(&mut client, "PING"), "PONG");
        socket.recv_buffer_size().unwrap() >= before / 2
    });
}
