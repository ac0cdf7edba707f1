//! Patterns that would take for ever where every star is tried again and again.

use shardkeep_tests::harness::Client;

use crate::support::{ask, start};

/// Items of a segment that differs from a name of one letter in its last item alone.
const ITEMS: usize = 60_000;

/// A key that is like the pattern nearly everywhere.
const KEY_BYTES: usize = 8 * 1024 * 1024;

fn keys(client: &mut Client, pattern: &str) -> String {
    ask(client, &format!("KEYS {pattern}"))
}

#[test]
fn a_pattern_is_compared_with_a_long_key_in_one_walk() {
    let server = start(&["--deadline", "30s"]);
    let mut client = server.client().unwrap();
    let key = "a".repeat(1024 * 1024);
    assert_eq!(ask(&mut client, &format!("SET {key} v")), "OK");
    for pattern in [
        format!("*{}b", "a".repeat(500)),
        format!("{}b", "*a".repeat(500)),
        format!("*[{}]", "b".repeat(40_000)),
        format!("{}b*", "*[ab]?".repeat(200)),
    ] {
        assert_eq!(keys(&mut client, &pattern), "[]");
    }
    assert_eq!(keys(&mut client, "*a?[^b]*"), format!("[{key}]"));
}

/// A pattern that takes longer than any deadline here.
fn endless() -> String {
    format!("*{}[bc]*", "[ab]".repeat(ITEMS))
}

#[test]
fn a_match_that_takes_too_long_is_refused_by_the_deadline() {
    let server = start(&["--deadline", "300ms"]);
    let mut client = server.client().unwrap();
    let key = "a".repeat(KEY_BYTES);
    assert_eq!(ask(&mut client, &format!("SET {key} v")), "OK");
    let pattern = endless();
    for line in [
        format!("KEYS {pattern}"),
        format!("SCAN 0 MATCH {pattern} COUNT 1000"),
    ] {
        let late = ask(&mut client, &line);
        assert!(late.starts_with("-THROTTLED match compared="), "{late}");
    }
    assert_eq!(ask(&mut client, "KEYS b*"), "[]");
    assert!(ask(&mut client, "INFO stats").contains("throttled_commands:2\r\n"));
}

#[test]
fn nobody_else_is_refused_while_one_matches_as_long_as_it_may() {
    let server = start(&["--deadline", "30s"]);
    let mut client = server.client().unwrap();
    let key = "a".repeat(KEY_BYTES);
    assert_eq!(ask(&mut client, &format!("SET {key} v")), "OK");
    let mut matching = server.client().unwrap();
    std::thread::scope(|scope| {
        let asked = scope.spawn(move || {
            assert_eq!(ask(&mut matching, "CLIENT DEADLINE 400"), "OK");
            keys(&mut matching, &endless())
        });
        let mut number = 0;
        while !asked.is_finished() {
            assert_eq!(ask(&mut client, &format!("SET k{} v", number % 100)), "OK");
            number += 1;
        }
        let late = asked.join().unwrap();
        assert!(late.starts_with("-THROTTLED "), "{late}");
    });
}
