//! The memory limit.

use shardkeep_tests::harness::resident_bytes;

use crate::support::{MIB, ask, start};

#[test]
fn beyond_the_memory_limit_writes_are_refused_while_reads_and_deletions_go_on() {
    let server = start(&["--max-memory", "16mb"]);
    let before = resident_bytes(server.pid()).unwrap();
    let mut client = server.client().unwrap();
    let value = "v".repeat(10_000);
    let refused_at = (0..10_000)
        .find(|number| {
            let reply = ask(&mut client, &format!("SET k:{number} {value}"));
            if reply == "OK" {
                return false;
            }
            assert_eq!(
                reply,
                "-OOM command not allowed when used memory > 'maxmemory'."
            );
            true
        })
        .expect("100 MB of values were taken under a limit of 16 MB");
    assert!(
        refused_at > 1_000,
        "only {refused_at} values of 10 kB fit into 16 MB"
    );
    let grown = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    assert!(grown < 48 * MIB, "{} MiB", grown / MIB);
    for line in [
        "APPEND k:0 x",
        "INCR n",
        "MSET a 1 b 2",
        "SETRANGE k:0 20000 x",
        "COPY k:0 k:copy",
    ] {
        assert!(ask(&mut client, line).starts_with("-OOM"), "{line}");
    }
    assert_eq!(ask(&mut client, "GET k:0"), value);
    assert_eq!(ask(&mut client, "EXISTS k:0 k:1"), "2");
    assert_eq!(ask(&mut client, "EXPIRE k:1 100"), "1");
    for number in 0..refused_at / 2 {
        assert_eq!(ask(&mut client, &format!("DEL k:{number}")), "1");
    }
    assert_eq!(ask(&mut client, "SET again 1"), "OK");
}

#[test]
fn deleted_keys_give_their_memory_back_to_the_limit() {
    let server = start(&["--max-memory", "32mb"]);
    let mut client = server.client().unwrap();
    let value = "v".repeat(1_000_000);
    for round in 0..200 {
        assert_eq!(
            ask(&mut client, &format!("SET k {value}")),
            "OK",
            "round {round}"
        );
        assert_eq!(ask(&mut client, "DEL k"), "1", "round {round}");
    }
    assert_eq!(ask(&mut client, &format!("SET k {value}")), "OK");
    assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
    for number in 0..20 {
        assert_eq!(ask(&mut client, &format!("SET k:{number} {value}")), "OK");
    }
}
