//! Commands that are refused, and that would have made what follows them mean something else.

use shardkeep_tests::harness::{Client, Scratch, request};

use crate::support::{ask, shown, start};

/// What behind a refused MULTI is answered with.
const NOT_APPLIED: &str = "-ERR the command was not applied: MULTI, which this server does not know, was \
                           refused before it; all up to EXEC or DISCARD is refused with it";

/// Sends all lines at once, and gives the replies.
fn pipelined(client: &mut Client, lines: &[&str]) -> Vec<String> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend(request(&line.split(' ').collect::<Vec<_>>()));
    }
    client.send(&bytes).unwrap();
    lines
        .iter()
        .map(|_| shown(&client.reply().unwrap()))
        .collect()
}

/// Sends lines, and gives the replies.
type Send = fn(&mut Client, &[&str]) -> Vec<String>;

/// One at a time, and all at once.
const WAYS: [Send; 2] = [
    |client, lines| lines.iter().map(|line| ask(client, line)).collect(),
    pipelined,
];

#[test]
fn nothing_of_a_transaction_whose_multi_was_refused_is_applied() {
    let server = start(&[]);
    for send in WAYS {
        let mut client = server.client().unwrap();
        let lines = [
            "SET n 1",
            "WATCH n",
            "MULTI",
            "INCR n",
            "NOSUCH",
            "GET",
            "MSET n 5 m 5",
            "FLUSHALL",
            "PING",
            "MULTI",
            "WATCH n",
            "CONFIG SET maxmemory 1",
            "exec",
            "GET n",
            "GET m",
            "EXEC",
        ];
        let replies = send(&mut client, &lines);
        assert!(replies[1].starts_with("-ERR unknown command 'WATCH'"));
        assert!(replies[2].starts_with("-ERR unknown command 'MULTI'"));
        assert_eq!(replies[3..9], [NOT_APPLIED; 6]);
        assert_eq!(replies[9], "-ERR MULTI calls can not be nested");
        assert_eq!(replies[10], "-ERR WATCH inside MULTI is not allowed");
        assert_eq!(replies[11], NOT_APPLIED);
        assert!(replies[12].starts_with("-EXECABORT "), "{}", replies[12]);
        assert_eq!(replies[13..15], ["1", "nil"]);
        assert!(replies[15].starts_with("-ERR unknown command 'EXEC'"));
        assert_eq!(ask(&mut client, "CONFIG GET maxmemory"), "[maxmemory 0]");
    }
}

#[test]
fn exec_and_discard_with_arguments_do_not_end_a_refused_transaction() {
    let server = start(&[]);
    for send in WAYS {
        let mut client = server.client().unwrap();
        let lines = [
            "SET n 1",
            "MULTI",
            "EXEC x",
            "INCR n",
            "discard x y",
            "INCR n",
            "EXEC",
            "INCR n",
        ];
        let replies = send(&mut client, &lines);
        let expected = [
            "-ERR wrong number of arguments for 'exec' command",
            NOT_APPLIED,
            "-ERR wrong number of arguments for 'discard' command",
            NOT_APPLIED,
        ];
        assert_eq!(replies[2..6], expected);
        assert!(replies[6].starts_with("-EXECABORT "), "{}", replies[6]);
        assert_eq!(replies[7], "2");
    }
}

#[test]
fn discard_and_reset_end_a_refused_transaction_and_other_connections_know_nothing_of_it() {
    let server = start(&[]);
    for (send, end) in WAYS.into_iter().zip(["discard", "RESET"]) {
        let mut client = server.client().unwrap();
        let replies = send(&mut client, &["SET n 1", "multi", "INCR n", end, "INCR n"]);
        assert_eq!(
            (&*replies[0], &*replies[2], &*replies[4]),
            ("OK", NOT_APPLIED, "2")
        );
        assert_ne!(replies[3], NOT_APPLIED);
    }
    let mut first = server.client().unwrap();
    pipelined(&mut first, &["MULTI", "INCR n"]);
    let mut second = server.client().unwrap();
    assert_eq!(ask(&mut second, "INCR n"), "3");
    assert_eq!(ask(&mut first, "QUIT"), "OK");
    assert!(first.rest().unwrap().0.is_empty());
    assert_eq!(ask(&mut second, "INCR n"), "4");
}

#[test]
fn inline_commands_and_a_login_do_not_slip_through_a_refused_transaction() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.file("password", "secret").unwrap();
    let server = start(&["--password-file", &file]);
    let mut client = server.client().unwrap();
    let replies = pipelined(
        &mut client,
        &["MULTI", "AUTH secret", "INCR n", "EXEC", "AUTH secret"],
    );
    assert_eq!(replies[1..3], [NOT_APPLIED; 2]);
    assert_eq!(replies[4], "OK");
    client
        .send(b"MULTI\r\nINCR n\r\nEXEC\r\nINCR n\r\n")
        .unwrap();
    let replies: Vec<String> = (0..4).map(|_| shown(&client.reply().unwrap())).collect();
    assert_eq!((&*replies[1], &*replies[3]), (NOT_APPLIED, "1"));
}

#[test]
fn a_connection_that_wants_fewer_replies_than_commands_ends_with_the_refusal() {
    let server = start(&[]);
    for how in ["off", "SKIP"] {
        let mut client = server.client().unwrap();
        let lines = [&["CLIENT", "REPLY", how][..], &["SET", "k", "v"]].map(request);
        client.send(&lines.concat()).unwrap();
        let (replies, _) = client.rest().unwrap();
        let replies = String::from_utf8(replies).unwrap();
        assert!(
            replies.starts_with("-ERR unknown subcommand 'REPLY'"),
            "{replies}"
        );
        assert_eq!(replies.lines().count(), 1, "{replies}");
    }
    let mut client = server.client().unwrap();
    assert!(ask(&mut client, "CLIENT REPLY ON").starts_with("-ERR unknown subcommand"));
    assert_eq!(ask(&mut client, "EXISTS k"), "0");
}
