//! MULTI, EXEC, DISCARD, WATCH and UNWATCH, one line at a time and all at once.

use shardkeep_tests::harness::{Client, Scratch, request};

use crate::support::{ask, shown, start};

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

/// Settings under which transactions are the same: in memory, by mail, on one shard, and with a log.
const MODES: [&[&str]; 4] = [
    &[],
    &["--handover", "mail"],
    &["--shards", "1"],
    &["--sync", "always"],
];

/// Sends pairs of a line and the reply that is expected, in each mode and in both ways.
fn check(pairs: &[(&str, &str)]) {
    for mode in MODES {
        for send in WAYS {
            let scratch = Scratch::new().unwrap();
            let dir = scratch.path().join("store").display().to_string();
            let mut flags = mode.to_vec();
            if mode.contains(&"--sync") {
                flags.extend(["--dir", &dir]);
            }
            let server = start(&flags);
            let lines: Vec<&str> = pairs.iter().map(|(line, _)| *line).collect();
            let replies = send(&mut server.client().unwrap(), &lines);
            for ((line, expected), reply) in pairs.iter().zip(replies) {
                assert_eq!(&reply, expected, "{line} with {mode:?}");
            }
        }
    }
}

#[test]
fn what_is_queued_runs_as_one_on_any_shards() {
    check(&[
        ("MULTI", "OK"),
        ("MSET a 1 b 2 c 3 d 4", "QUEUED"),
        ("INCR a", "QUEUED"),
        ("MGET a b c d e", "QUEUED"),
        ("DBSIZE", "QUEUED"),
        ("RENAME b e", "QUEUED"),
        ("ECHO x", "QUEUED"),
        ("EXISTS b e", "QUEUED"),
        ("EXEC", "[OK 2 [2 2 3 4 nil] 4 OK x 1]"),
        ("MGET a b c d e", "[2 nil 3 4 2]"),
        ("MULTI", "OK"),
        ("EXEC", "[]"),
        ("MULTI", "OK"),
        ("SET s abc", "QUEUED"),
        ("INCR s", "QUEUED"),
        ("APPEND s d", "QUEUED"),
        (
            "EXEC",
            "[OK -ERR value is not an integer or out of range 4]",
        ),
        ("GET s", "abcd"),
        ("MULTI", "OK"),
        ("FLUSHALL", "QUEUED"),
        ("SET k v", "QUEUED"),
        ("KEYS *", "QUEUED"),
        ("EXEC", "[OK OK [k]]"),
        ("DBSIZE", "1"),
    ]);
}

#[test]
fn a_transaction_selects_databases_as_it_goes() {
    check(&[
        ("MULTI", "OK"),
        ("SET k zero", "QUEUED"),
        ("SELECT 3", "QUEUED"),
        ("SET k three", "QUEUED"),
        ("SELECT 99", "QUEUED"),
        ("GET k", "QUEUED"),
        ("EXEC", "[OK OK OK -ERR DB index is out of range three]"),
        ("GET k", "three"),
        ("SELECT 0", "OK"),
        ("GET k", "zero"),
    ]);
}

#[test]
fn a_command_that_is_refused_has_the_whole_transaction_refused() {
    let unknown = "-ERR unknown command 'NOSUCH', with args beginning with: ";
    let abort = "-EXECABORT Transaction discarded because of previous errors.";
    let arity =
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    check(&[
        ("SET n 1", "OK"),
        ("MULTI", "OK"),
        ("INCR n", "QUEUED"),
        ("NOSUCH", unknown),
        ("EXEC", abort),
        ("GET n", "1"),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("MULTI", "OK"),
        ("INCR n", "QUEUED"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("EXEC", abort),
        ("MULTI", "OK"),
        ("INCR n", "QUEUED"),
        ("SAVE", "-ERR Command not allowed inside a transaction"),
        ("EXEC", abort),
        ("MULTI", "OK"),
        ("INCR n", "QUEUED"),
        (
            "DISCARD x",
            "-ERR wrong number of arguments for 'discard' command",
        ),
        ("EXEC", abort),
        ("MULTI", "OK"),
        ("INCR n", "QUEUED"),
        ("EXEC x", arity),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("MULTI", "OK"),
        ("MULTI", "-ERR MULTI calls can not be nested"),
        ("WATCH n", "-ERR WATCH inside MULTI is not allowed"),
        ("INCR n", "QUEUED"),
        ("EXEC", "[2]"),
        ("DISCARD", "-ERR DISCARD without MULTI"),
    ]);
}

#[test]
fn discard_and_reset_end_a_transaction_and_other_connections_know_nothing_of_it() {
    check(&[
        ("SET n 1", "OK"),
        ("MULTI", "OK"),
        ("INCR n", "QUEUED"),
        ("DISCARD", "OK"),
        ("INCR n", "2"),
        ("MULTI", "OK"),
        ("INCR n", "QUEUED"),
        ("RESET", "RESET"),
        ("INCR n", "3"),
    ]);
    let server = start(&[]);
    let mut first = server.client().unwrap();
    pipelined(&mut first, &["SET n 2", "MULTI", "INCR n"]);
    let mut second = server.client().unwrap();
    assert_eq!(ask(&mut second, "INCR n"), "3");
    let listed = ask(&mut second, "CLIENT LIST");
    assert!(
        listed.contains(" flags=x ") && listed.contains(" multi=1 "),
        "{listed}"
    );
    assert_eq!(ask(&mut first, "QUIT"), "OK");
    assert!(first.rest().unwrap().0.is_empty());
    assert_eq!(ask(&mut second, "INCR n"), "4");
}

#[test]
fn a_login_does_not_end_a_transaction_and_a_stranger_opens_none() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.file("password", "secret").unwrap();
    let server = start(&["--password-file", &file]);
    let mut client = server.client().unwrap();
    let lines = [
        "MULTI",
        "AUTH secret",
        "MULTI",
        "INCR n",
        "AUTH secret",
        "EXEC",
    ];
    let replies = pipelined(&mut client, &lines);
    assert_eq!(replies[0], "-NOAUTH Authentication required.");
    assert_eq!(replies[1..], ["OK", "OK", "QUEUED", "QUEUED", "[1 OK]"]);
}

/// Watches `k` (which is `1`, unless `before` makes it another) and lets another connection do `lines`: whether the
/// transaction is run then.
fn runs_after(before: &[&str], lines: &[&str]) -> bool {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let mut other = server.client().unwrap();
    assert_eq!(ask(&mut client, "SET k 1"), "OK");
    for line in before {
        ask(&mut other, line);
    }
    assert_eq!(ask(&mut client, "WATCH k other"), "OK");
    for line in lines {
        let reply = ask(&mut other, line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    let replies = pipelined(&mut client, &["MULTI", "INCR done", "EXEC", "GET done"]);
    let ran = replies[2] == "[1]";
    assert_eq!(
        replies[2..],
        if ran { ["[1]", "1"] } else { ["nil", "nil"] }
    );
    ran
}

#[test]
fn a_transaction_is_not_run_when_a_watched_key_has_changed() {
    let changes: &[&[&str]] = &[
        &["SET k 1"],
        &["INCR k"],
        &["APPEND k x"],
        &["DEL k"],
        &["GETDEL k"],
        &["EXPIRE k 100"],
        &["RENAME k z"],
        &["SET z 1", "RENAME z k"],
        &["SET other 1"],
        &["SET z 1", "COPY z other"],
        &["MOVE k 4"],
        &["FLUSHALL"],
        &["FLUSHDB"],
        &["SELECT 5", "FLUSHALL"],
        &["SWAPDB 0 1"],
        &["SELECT 1", "SET k 2", "SWAPDB 1 0"],
        &["SELECT 1", "SET other 2", "MOVE other 0"],
        &["MULTI", "SET k 2", "EXEC"],
        &["MSET a 1 k 2 b 3"],
        &["SET k 2", "SET k 1"],
    ];
    for lines in changes {
        assert!(!runs_after(&[], lines), "{lines:?}");
    }
}

#[test]
fn what_leaves_a_watched_key_as_it_is_does_not_keep_a_transaction_from_running() {
    let others: &[&[&str]] = &[
        &["GET k"],
        &["SET z 1"],
        &["SET k 2 NX"],
        &["SET other 2 XX"],
        &["DEL other"],
        &["PERSIST k"],
        &["COPY k other2"],
        &["SELECT 1", "SET k 2", "FLUSHDB"],
        &["SWAPDB 1 2"],
        &["MULTI", "SET k 2", "DISCARD"],
    ];
    for lines in others {
        assert!(runs_after(&[], lines), "{lines:?}");
    }
    assert!(runs_after(&["DEL k"], &["FLUSHALL"]), "nothing was there");
}

#[test]
fn a_watched_key_whose_time_comes_has_changed_unless_it_had_come_before() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let lines = ["SET k 1 PXAT 1", "WATCH k", "MULTI", "PING", "EXEC"];
    let replies = pipelined(&mut client, &lines);
    assert_eq!(replies[4], "[PONG]");
    // The second look of the clock at the key is behind its time: the connection asks until it is.
    let lines = ["SET k 1 PX 2", "WATCH k"];
    assert_eq!(pipelined(&mut client, &lines), ["OK", "OK"]);
    let mut other = server.client().unwrap();
    while ask(&mut other, "EXISTS k") != "0" {}
    let replies = pipelined(&mut client, &["MULTI", "PING", "EXEC"]);
    assert_eq!(replies[2], "nil");
}

#[test]
fn unwatch_exec_and_discard_forget_what_is_watched() {
    for forget in [&["UNWATCH"][..], &["MULTI", "EXEC"], &["MULTI", "DISCARD"]] {
        let server = start(&[]);
        let mut client = server.client().unwrap();
        ask(&mut client, "WATCH k");
        for line in forget {
            ask(&mut client, line);
        }
        ask(&mut client, "SET k 1");
        let replies = pipelined(&mut client, &["MULTI", "PING", "EXEC"]);
        assert_eq!(replies[2], "[PONG]", "{forget:?}");
    }
}
