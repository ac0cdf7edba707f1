//! The commands with which an operator looks closer, and changes what can change.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::process::{Pid, kill_process};
use shardkeep_resp::Value;
use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::harness::{Ended, Scratch, ServerProcess, Signal, handles, run_to_end};

use crate::support::{ask, eventually, program, shown, start};

#[test]
fn a_slow_command_stands_in_the_slow_log_until_it_is_reset() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "CLIENT SETNAME ops"), "OK");
    assert_eq!(ask(&mut client, "SLOWLOG LEN"), "0");
    assert_eq!(
        ask(&mut client, "CONFIG SET slowlog-log-slower-than 0"),
        "OK"
    );
    assert_eq!(ask(&mut client, "KEYS *"), "[]");
    // The first is the command that has asked for it.
    assert_eq!(ask(&mut client, "SLOWLOG LEN"), "2");
    let shown = ask(&mut client, "SLOWLOG GET 2");
    assert!(
        shown.starts_with("[[2 ") && shown.contains("[SLOWLOG LEN] 127.0.0.1:"),
        "{shown}"
    );
    assert!(
        shown.contains("[1 ") && shown.contains("[KEYS *] 127.0.0.1:"),
        "{shown}"
    );
    assert!(shown.ends_with(" ops]]"), "{shown}");
    assert_eq!(ask(&mut client, "SLOWLOG GET 0"), "[]");
    assert!(ask(&mut client, "SLOWLOG GET -2").starts_with("-ERR count"));
    assert_eq!(
        ask(&mut client, "CONFIG SET slowlog-log-slower-than -1"),
        "OK"
    );
    assert_eq!(ask(&mut client, "SLOWLOG RESET"), "OK");
    assert_eq!(ask(&mut client, "SLOWLOG LEN"), "0");
    assert_eq!(ask(&mut client, "KEYS *"), "[]");
    assert_eq!(ask(&mut client, "SLOWLOG LEN"), "0");
}

#[test]
fn a_histogram_counts_every_call_of_the_commands_asked_for() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    for _ in 0..5 {
        assert_eq!(ask(&mut client, "GET a"), "nil");
    }
    assert_eq!(ask(&mut client, "SET a b"), "OK");
    let shown = ask(&mut client, "LATENCY HISTOGRAM get");
    assert!(
        shown.starts_with("[get [calls 5 histogram_usec ["),
        "{shown}"
    );
    assert!(shown.ends_with(" 5]]]"), "{shown}");
    assert!(!shown.contains("set"), "{shown}");
    assert_eq!(ask(&mut client, "LATENCY HISTOGRAM nothing"), "[]");
}

#[test]
fn memory_is_told_of_a_key_and_of_the_whole() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SETRANGE big 999 x"), "1000");
    let bytes: usize = ask(&mut client, "MEMORY USAGE big").parse().unwrap();
    assert!((1_000..1_200).contains(&bytes), "{bytes}");
    assert_eq!(
        ask(&mut client, "MEMORY USAGE big SAMPLES 5"),
        bytes.to_string()
    );
    assert_eq!(ask(&mut client, "MEMORY USAGE none"), "nil");
    assert!(ask(&mut client, "MEMORY USAGE big SAMPLES -1").starts_with("-ERR"));
    assert!(ask(&mut client, "MEMORY STATS").contains("keys.count 1"));
}

#[test]
fn a_killed_client_is_cut_off_and_the_others_are_not() {
    let server = start(&["--reactors", "2"]);
    let mut ops = server.client().unwrap();
    let mut victims: Vec<_> = (0..4).map(|_| server.client().unwrap()).collect();
    let ids: Vec<String> = victims
        .iter_mut()
        .map(|victim| ask(victim, "CLIENT ID"))
        .collect();
    assert_eq!(ask(&mut ops, &format!("CLIENT KILL ID {}", ids[0])), "1");
    let (_, ended) = victims[0].rest().unwrap();
    assert!(matches!(ended, Ended::Closed | Ended::Reset));
    for victim in &mut victims[1..] {
        assert_eq!(ask(victim, "PING"), "PONG");
    }
    assert_eq!(ask(&mut ops, "CLIENT KILL ID 999999"), "0");
    assert_eq!(
        ask(&mut ops, "CLIENT KILL 1.2.3.4:5"),
        "-ERR No such client"
    );
    assert_eq!(ask(&mut ops, "CLIENT KILL TYPE pubsub"), "0");
    assert!(ask(&mut ops, "CLIENT KILL ID x").starts_with("-ERR client-id"));
    assert_eq!(ask(&mut ops, "CLIENT KILL TYPE normal"), "3");
    for victim in &mut victims[1..] {
        victim.rest().unwrap();
    }
    eventually("they never left", || {
        ask(&mut ops, "CLIENT LIST").lines().count() == 1
    });
    // Without SKIPME it is among those it means, and hears of it first.
    assert_eq!(ask(&mut ops, "CLIENT KILL SKIPME no"), "1");
    let (rest, _) = ops.rest().unwrap();
    assert!(rest.is_empty());
}

#[test]
fn what_can_change_is_changed_all_or_nothing() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    assert_eq!(
        ask(&mut client, "CONFIG SET maxmemory 1mb timeout 60"),
        "OK"
    );
    assert_eq!(
        ask(&mut client, "CONFIG GET maxmemory"),
        "[maxmemory 1048576]"
    );
    assert_eq!(ask(&mut client, "CONFIG GET timeout"), "[timeout 60]");
    let refused = ask(&mut client, "CONFIG SET timeout 0 maxmemory many");
    assert!(refused.starts_with("-ERR CONFIG SET failed"), "{refused}");
    assert_eq!(ask(&mut client, "CONFIG GET timeout"), "[timeout 60]");
    let unknown = ask(&mut client, "CONFIG SET shardz 3");
    assert!(unknown.starts_with("-ERR Unknown option"), "{unknown}");
    assert!(ask(&mut client, "CONFIG SET timeout").starts_with("-ERR wrong number"));
    assert_eq!(ask(&mut client, "CONFIG SET maxmemory 1"), "OK");
    assert_eq!(ask(&mut client, "SET a b"), "OK");
    assert!(ask(&mut client, "SET c d").starts_with("-OOM"));
    assert_eq!(ask(&mut client, "CONFIG SET maxmemory 0"), "OK");
    assert_eq!(ask(&mut client, "SET c d"), "OK");
    assert!(matches!(client.call(&["PING"]).unwrap(), Value::Simple(_)));
}

#[test]
fn every_command_stands_in_the_slow_log_where_that_is_asked_for_but_no_password() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    assert_eq!(
        ask(&mut client, "CONFIG SET slowlog-log-slower-than 0"),
        "OK"
    );
    assert_eq!(ask(&mut client, "SLOWLOG RESET"), "OK");
    for line in ["GET a", "SET a b", "PING", "MSET c 1 d 2 e 3", "ECHO x"] {
        ask(&mut client, line);
    }
    assert!(ask(&mut client, "AUTH secret").starts_with("-ERR"));
    let shown = ask(&mut client, "SLOWLOG GET");
    for noted in [
        "[GET a]",
        "[SET a b]",
        "[PING]",
        "[MSET c 1 d 2 e 3]",
        "[ECHO x]",
    ] {
        assert!(shown.contains(noted), "{noted}: {shown}");
    }
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn counts_begin_anew_when_that_is_asked_for_and_those_of_the_metrics_do_not() {
    let (server, admin) = crate::admin::with_admin(&[]);
    let mut client = server.client().unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&mut client, "GET a"), "nil");
    }
    assert!(ask(&mut client, "INCR").starts_with("-ERR"));
    let field = |client: &mut _, section: &str, name: &str| {
        let text = ask(client, &format!("INFO {section}"));
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|line| line.trim_end().to_owned())
    };
    let misses = |client: &mut _| field(client, "stats", "keyspace_misses:");
    let gets = |client: &mut _| field(client, "commandstats", "cmdstat_get:calls=");
    assert_eq!(misses(&mut client).as_deref(), Some("3"));
    assert!(gets(&mut client).unwrap().starts_with("3,"));
    let errors = field(&mut client, "stats", "total_error_replies:");
    assert_eq!(errors.as_deref(), Some("1"));
    assert_eq!(ask(&mut client, "CONFIG RESETSTAT"), "OK");
    assert_eq!(misses(&mut client).as_deref(), Some("0"));
    assert_eq!(gets(&mut client), None);
    assert_eq!(ask(&mut client, "LATENCY HISTOGRAM get"), "[]");
    assert_eq!(ask(&mut client, "GET a"), "nil");
    assert_eq!(misses(&mut client).as_deref(), Some("1"));
    assert!(gets(&mut client).unwrap().starts_with("1,"));
    assert!(ask(&mut client, "LATENCY HISTOGRAM get").starts_with("[get [calls 1 "));
    let (_, text) = crate::admin::try_get(admin, "/metrics").unwrap();
    let total = crate::admin::sample(&text, "shardkeep_key_misses_total");
    assert_eq!(total, Some(4.0));
}

#[test]
fn events_of_latency_are_answered_as_by_a_redis_that_has_seen_none() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let cases = [
        ("LATENCY LATEST", "[]"),
        ("LATENCY HISTORY command", "[]"),
        ("LATENCY RESET", "0"),
        ("LATENCY RESET command fork", "0"),
        (
            "LATENCY GRAPH command",
            "-ERR No samples available for event 'command'",
        ),
        (
            "LATENCY HISTORY",
            "-ERR wrong number of arguments for 'latency|history' command",
        ),
        (
            "LATENCY FOO",
            "-ERR unknown subcommand 'FOO'. Try LATENCY HELP.",
        ),
        (
            "CONFIG REWRITE",
            "-ERR The server is running without a config file",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(ask(&mut client, line), expected, "{line}");
    }
    assert!(ask(&mut client, "LATENCY DOCTOR").contains("LATENCY HISTOGRAM"));
    for container in ["LATENCY", "SLOWLOG", "CONFIG", "MEMORY", "CLIENT"] {
        let help = ask(&mut client, &format!("{container} HELP"));
        let begins = format!("[{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands");
        assert!(
            help.starts_with(&begins) && help.contains(" HELP "),
            "{help}"
        );
    }
}

#[test]
fn who_is_connected_stays_when_fewer_are_admitted() {
    let server = start(&["--max-clients", "3"]);
    let mut first = server.client().unwrap();
    let mut second = server.client().unwrap();
    assert_eq!(ask(&mut second, "ECHO x"), "x");
    assert_eq!(ask(&mut first, "CONFIG SET maxclients 1"), "OK");
    assert_eq!(ask(&mut first, "CONFIG GET maxclients"), "[maxclients 1]");
    let third = server.client().unwrap().reply().unwrap();
    assert_eq!(shown(&third), "-ERR max number of clients reached");
    assert_eq!(ask(&mut second, "PING"), "PONG");
    let beyond = ask(&mut first, "CONFIG SET maxclients 4");
    assert!(
        beyond.ends_with("argument must be between 1 and 3 inclusive"),
        "{beyond}"
    );
    assert_eq!(ask(&mut first, "CONFIG SET maxclients 3"), "OK");
    assert_eq!(ask(&mut server.client().unwrap(), "PING"), "PONG");
}

#[test]
fn what_cannot_change_says_so_unless_it_is_so_already() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let said = |name: &str, why: &str| {
        format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
    };
    let cases = [
        ("databases 16", "OK".to_owned()),
        ("maxmemory-policy noeviction", "OK".to_owned()),
        (
            "databases 17",
            said("databases", "can't set immutable config"),
        ),
        (
            "timeout 1 timeout 2",
            said("timeout", "duplicate parameter"),
        ),
        (
            "timeout abc",
            said("timeout", "argument couldn't be parsed into an integer"),
        ),
        ("deadline 250ms overload reject", "OK".to_owned()),
        (
            "overload perhaps",
            said(
                "overload",
                "argument(s) must be one of the following: block, reject",
            ),
        ),
        (
            "deadline 0s",
            said(
                "deadline",
                "argument must be a time from 1ms to 1h, such as 500ms",
            ),
        ),
    ];
    for (words, expected) in cases {
        assert_eq!(ask(&mut client, &format!("CONFIG SET {words}")), expected);
    }
    let shown = ask(&mut client, "CONFIG GET deadline overload");
    assert_eq!(shown, "[deadline 250ms overload reject]");
}

/// Waits for a line that contains all of `words`.
fn says(server: &ServerProcess, words: &[&str]) {
    eventually(
        &format!("it never said {words:?}: {:?}", server.output()),
        || {
            let lines = server.output();
            lines
                .iter()
                .any(|line| words.iter().all(|word| line.contains(word)))
        },
    );
}

#[test]
fn a_signal_shows_the_state_of_every_shard() {
    let server = start(&["--shards", "4"]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SET a b"), "OK");
    server.signal(Signal::USR1).unwrap();
    says(&server, &["state: uptime=", "clients=1", "log=none"]);
    says(&server, &["state: shard=3 at=desk", "keys="]);
    says(&server, &["state: shard=", "keys=1"]);
    assert_eq!(ask(&mut client, "GET a"), "b");
}

#[test]
fn a_reader_that_stops_reading_the_state_of_the_shards_does_not_hold_up_the_end() {
    // More lines than any pipe holds, and than may be dropped one by one.
    let flags = [
        "--shards",
        "4096",
        "--bind",
        "127.0.0.1:0",
        "--admin",
        "off",
    ];
    let mut child = Command::new(program())
        .arg("serve")
        .args(flags)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut hears = |part: &str| lines.any(|line| line.unwrap().contains(part));
    assert!(hears("ready: "));
    kill_process(pid, Signal::USR1).unwrap();
    assert!(hears("state: shard=0 "));
    kill_process(pid, Signal::TERM).unwrap();
    let deadline = clock::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if clock::left(deadline).is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::yield_now();
    };
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    drop(lines);
}

#[test]
fn a_configuration_that_is_read_again_changes_what_can_change_and_names_the_rest() {
    let place = Scratch::new().unwrap();
    let file = place
        .file("c.toml", "max_memory = \"1mb\"\nshards = 4\n")
        .unwrap();
    let server = start(&["--config", &file]);
    let mut client = server.client().unwrap();
    place
        .file("c.toml", "max_memory = \"2mb\"\nshards = 8\n")
        .unwrap();
    server.signal(Signal::HUP).unwrap();
    says(&server, &["reloaded: "]);
    says(
        &server,
        &["warning: shards has changed, and takes a restart"],
    );
    assert_eq!(
        ask(&mut client, "CONFIG GET maxmemory"),
        "[maxmemory 2097152]"
    );
    place.file("c.toml", "max_memory = \"lots\"\n").unwrap();
    server.signal(Signal::HUP).unwrap();
    says(&server, &["error: nothing was reloaded: max_memory = lots"]);
    assert_eq!(
        ask(&mut client, "CONFIG GET maxmemory"),
        "[maxmemory 2097152]"
    );
}

#[test]
fn a_signal_of_an_operator_that_comes_early_does_not_end_the_server() {
    let mut child = Command::new(program())
        .args(["serve", "--bind", "127.0.0.1:0", "--admin", "off"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let has = |signal: Signal| handles(child.id(), signal.as_raw()).unwrap();
    // The end's own signals are the first thing that a server takes care of.
    eventually("it is told how to end", || has(Signal::TERM));
    let are_safe = has(Signal::HUP) && has(Signal::USR1);
    for signal in [Signal::HUP, Signal::USR1, Signal::TERM] {
        kill_process(Pid::from_child(&child), signal).unwrap();
    }
    let mut status = None;
    eventually("it ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert!(are_safe);
    assert_eq!(status.unwrap().code(), Some(0));
}

/// The writing end of a pipe at `path` in place of a file, as soon as somebody reads it.
fn pipe_in_place_of(path: &str) -> impl FnMut() -> Option<OwnedFd> {
    std::fs::remove_file(path).unwrap();
    let (mode, path) = (Mode::from_raw_mode(0o600), path.to_owned());
    mknodat(CWD, &path, FileType::Fifo, mode, 0).unwrap();
    move || open(&path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok()
}

#[test]
fn a_configuration_that_never_ends_does_not_hold_up_the_end() {
    let place = Scratch::new().unwrap();
    let file = place.file("c.toml", "max_memory = \"1mb\"\n").unwrap();
    let mut server = start(&["--config", &file]);
    let mut writer = pipe_in_place_of(&file);
    server.signal(Signal::HUP).unwrap();
    let mut held = None;
    eventually("the configuration is read", || {
        held = writer();
        held.is_some()
    });
    server.signal(Signal::TERM).unwrap();
    let status = server.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0), "{:?}", server.output());
    says(&server, &["drained: "]);
    drop(held);
}

#[test]
fn every_line_is_an_object_where_that_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let args = [
        "serve",
        "--bind",
        &taken,
        "--admin",
        "off",
        "--log-format",
        "json",
    ];
    let (status, said) = run_to_end(program(), &args, &[], PATIENCE).unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(said.lines().count(), 1, "{said}");
    let begins = "{\"level\":\"error\",\"message\":\"cannot listen on ";
    assert!(
        said.starts_with(begins) && said.trim_end().ends_with('}'),
        "{said}"
    );
}
