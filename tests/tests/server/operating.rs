//! The commands with which an operator looks closer, and changes what can change.

use shardkeep_resp::Value;
use shardkeep_tests::harness::Ended;

use crate::support::{ask, eventually, start};

#[test]
fn a_slow_command_stands_in_the_slow_log_until_it_is_reset() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "CLIENT SETNAME ops"), "OK");
    assert_eq!(ask(&mut client, "SLOWLOG LEN"), "0");
    assert_eq!(ask(&mut client, "CONFIG SET slowlog-log-slower-than 0"), "OK");
    assert_eq!(ask(&mut client, "KEYS *"), "[]");
    assert_eq!(ask(&mut client, "SLOWLOG LEN"), "1");
    let shown = ask(&mut client, "SLOWLOG GET");
    assert!(shown.starts_with("[[0 ") && shown.contains("[KEYS *] 127.0.0.1:"), "{shown}");
    assert!(shown.ends_with(" ops]]"), "{shown}");
    assert_eq!(ask(&mut client, "SLOWLOG GET 0"), "[]");
    assert!(ask(&mut client, "SLOWLOG GET -2").starts_with("-ERR count"));
    assert_eq!(ask(&mut client, "SLOWLOG RESET"), "OK");
    assert_eq!(ask(&mut client, "SLOWLOG LEN"), "0");
    assert_eq!(ask(&mut client, "CONFIG SET slowlog-log-slower-than -1"), "OK");
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
    assert!(shown.starts_with("[get [calls 5 histogram_usec ["), "{shown}");
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
    assert_eq!(ask(&mut client, "MEMORY USAGE big SAMPLES 5"), bytes.to_string());
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
    assert_eq!(ask(&mut ops, "CLIENT KILL 1.2.3.4:5"), "-ERR No such client");
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
    assert_eq!(ask(&mut client, "CONFIG SET maxmemory 1mb timeout 60"), "OK");
    assert_eq!(ask(&mut client, "CONFIG GET maxmemory"), "[maxmemory 1048576]");
    assert_eq!(ask(&mut client, "CONFIG GET timeout"), "[timeout 60]");
    let refused = ask(&mut client, "CONFIG SET timeout 0 maxmemory many");
    assert!(refused.starts_with("-ERR CONFIG SET failed"), "{refused}");
    assert_eq!(ask(&mut client, "CONFIG GET timeout"), "[timeout 60]");
    let unknown = ask(&mut client, "CONFIG SET shards 3");
    assert!(unknown.starts_with("-ERR Unknown option"), "{unknown}");
    assert!(ask(&mut client, "CONFIG SET timeout").starts_with("-ERR wrong number"));
    assert_eq!(ask(&mut client, "CONFIG SET maxmemory 1"), "OK");
    assert_eq!(ask(&mut client, "SET a b"), "OK");
    assert!(ask(&mut client, "SET c d").starts_with("-OOM"));
    assert_eq!(ask(&mut client, "CONFIG SET maxmemory 0"), "OK");
    assert_eq!(ask(&mut client, "SET c d"), "OK");
    assert!(matches!(client.call(&["PING"]).unwrap(), Value::Simple(_)));
}
