//! The memory limit.

use shardkeep_tests::harness::{Client, resident_bytes};

use crate::support::{MIB, ask, eventually, start};

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

/// A figure of INFO in bytes.
fn figure(client: &mut Client, name: &str) -> u64 {
    let info = ask(client, "INFO memory");
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.strip_prefix(':'))
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn what_was_deleted_goes_back_to_the_system_by_itself_and_the_figures_say_so() {
    const VALUES: usize = 8_000;
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let resident = || resident_bytes(server.pid()).unwrap();
    let before = resident();
    let value = "v".repeat(10_000);
    for number in 0..VALUES {
        assert_eq!(ask(&mut client, &format!("SET k:{number} {value}")), "OK");
    }
    let used = figure(&mut client, "used_memory");
    assert!(used > VALUES as u64 * 10_000);
    // The data is most of what the allocator has given out, and that is nearly all of the process.
    let allocated = figure(&mut client, "allocator_allocated");
    assert!(
        (used..used + 32 * MIB).contains(&allocated),
        "{allocated} for {used}"
    );
    assert!(resident() - before < used + 32 * MIB);
    for number in (0..VALUES).filter(|number| number % 10 > 0) {
        assert_eq!(ask(&mut client, &format!("DEL k:{number}")), "1");
    }
    eventually("what was deleted is still there", || {
        resident() < before + used / 10 + 24 * MIB
    });
    assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
    eventually("what was flushed is still there", || {
        resident() < before + 16 * MIB
    });
    assert!(figure(&mut client, "used_memory") < MIB);
    assert!(figure(&mut client, "allocator_allocated") < 32 * MIB);
}

#[test]
fn memory_that_is_free_goes_back_at_once_on_request() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    assert!(ask(&mut client, "INFO memory").contains("mem_allocator:jemalloc-5."));
    let before = resident_bytes(server.pid()).unwrap();
    let value = "v".repeat(10_000);
    for number in 0..4_000 {
        assert_eq!(ask(&mut client, &format!("SET k:{number} {value}")), "OK");
    }
    assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
    assert_eq!(ask(&mut client, "MEMORY PURGE"), "OK");
    let left = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    assert!(left < 16 * MIB, "{} MiB", left / MIB);
    assert!(ask(&mut client, "MEMORY STATS").contains("allocator.active"));
}
