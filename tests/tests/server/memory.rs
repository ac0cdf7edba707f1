//! The memory limit.

use shardkeep_tests::harness::{Client, Scratch, request, resident_bytes};

use crate::support::{MIB, ask, eventually, figure, start};

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

#[test]
fn large_values_and_flushed_keys_are_freed_off_the_shards_and_counted() {
    let server = start(&["--shards", "4"]);
    let mut client = server.client().unwrap();
    let value = "v".repeat(1_000_000);
    for key in ["deleted", "unlinked", "overwritten", "target"] {
        assert_eq!(ask(&mut client, &format!("SET {key} {value}")), "OK");
    }
    assert_eq!(ask(&mut client, "SET small v"), "OK");
    assert_eq!(ask(&mut client, "DEL deleted"), "1");
    assert_eq!(ask(&mut client, "UNLINK unlinked"), "1");
    assert_eq!(ask(&mut client, "SET overwritten v"), "OK");
    assert_eq!(ask(&mut client, "RENAME small target"), "OK");
    eventually("four values are freed", || {
        figure(&mut client, "lazyfreed_objects") == 4
    });
    assert_eq!(ask(&mut client, "DEL overwritten target"), "2");
    for number in 0..1_000 {
        ask(&mut client, &format!("SET k:{number} v"));
    }
    assert_eq!(ask(&mut client, "FLUSHALL SYNC"), "OK");
    eventually("a thousand keys are freed", || {
        figure(&mut client, "lazyfreed_objects") == 1_004
    });
    assert_eq!(figure(&mut client, "lazyfree_pending_objects"), 0);
    assert_eq!(figure(&mut client, "lazyfree_pending_bytes"), 0);
}

#[test]
fn copies_and_new_names_of_a_large_value_take_no_memory_for_it() {
    let server = start(&["--shards", "4"]);
    let mut client = server.client().unwrap();
    let value = "v".repeat(16 * MIB as usize);
    assert_eq!(ask(&mut client, &format!("SET k:0 {value}")), "OK");
    let before = resident_bytes(server.pid()).unwrap();
    for number in 0..50 {
        let copied = ask(&mut client, &format!("COPY k:{number} k:{}", number + 1));
        assert_eq!(copied, "1");
    }
    assert_eq!(ask(&mut client, "RENAME k:0 renamed"), "OK");
    assert_eq!(ask(&mut client, "APPEND k:7 w"), "16777217");
    assert_eq!(ask(&mut client, "SETRANGE k:8 0 w"), "16777216");
    let grown = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    assert!(grown < 100 * MIB, "{} MiB", grown / MIB);
    for (key, first, len) in [
        ("renamed", "v", "16777216"),
        ("k:7", "v", "16777217"),
        ("k:8", "w", "16777216"),
        ("k:9", "v", "16777216"),
    ] {
        assert_eq!(ask(&mut client, &format!("GETRANGE {key} 0 0")), first);
        assert_eq!(ask(&mut client, &format!("STRLEN {key}")), len);
    }
}

/// What `CLIENT LIST` says of the client at the other end of `of`: bytes of its requests, bytes of its
/// replies, and bytes of memory that these take.
pub(crate) fn buffers(watcher: &mut Client, of: &Client) -> [u64; 3] {
    let address = of.stream().local_addr().unwrap();
    let list = ask(watcher, "CLIENT LIST");
    let marked = format!(" addr={address} ");
    // One that has connected may not have been met yet.
    let Some(line) = list.lines().find(|line| line.contains(&marked)) else {
        return [0; 3];
    };
    ["qbuf=", "omem=", "tot-mem="].map(|name| {
        let word = line.split(' ').find_map(|word| word.strip_prefix(name));
        word.unwrap().parse().unwrap()
    })
}

/// What a connection may take beside a third of what it holds.
const SLACK: u64 = 8 * 1024;

#[test]
fn memory_of_a_connection_follows_what_has_arrived() {
    let server = start(&[]);
    let mut watcher = server.client().unwrap();
    let value = |len: usize| {
        [
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n",
            &vec![b'v'; len][..],
        ]
        .concat()
    };
    let many = [&b"*1048576\r\n"[..], &b"$1\r\na\r\n".repeat(20_000)].concat();
    let unfinished = [
        b"*1048576\r\n$536870912\r\n".to_vec(),
        value(1_000),
        value(15_000),
        value(33_000),
        value(100_000),
        value(1_500_000),
        value(20_000_000),
        many,
        vec![b'i'; 60_000],
    ];
    let clients: Vec<Client> = unfinished
        .iter()
        .map(|bytes| {
            let mut client = server.client().unwrap();
            client.send(bytes).unwrap();
            client
        })
        .collect();
    for (bytes, client) in unfinished.iter().zip(&clients) {
        let sent = bytes.len() as u64;
        eventually("it has arrived", || {
            buffers(&mut watcher, client)[0] == sent
        });
        let [_, _, held] = buffers(&mut watcher, client);
        assert!(
            held >= sent && held <= sent * 13 / 10 + SLACK,
            "{held} for {sent}"
        );
    }
}

#[test]
fn memory_before_login_follows_what_has_arrived_and_ends_at_64_kib() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.file("password", "secret\n").unwrap();
    let server = start(&["--password-file", &file, "--login-timeout", "0"]);
    let mut watcher = server.client().unwrap();
    assert_eq!(ask(&mut watcher, "AUTH secret"), "OK");
    for arguments in [1, 2, 3] {
        let mut bytes = b"*9\r\n$4\r\nAUTH\r\n".to_vec();
        for _ in 0..arguments {
            bytes.extend_from_slice(b"$16384\r\n");
            bytes.extend_from_slice(&[b'x'; 16_384]);
            bytes.extend_from_slice(b"\r\n");
        }
        let sent = bytes.len() as u64;
        let mut stranger = server.client().unwrap();
        stranger.send(&bytes).unwrap();
        eventually("it has arrived", || {
            buffers(&mut watcher, &stranger)[0] == sent
        });
        let [_, _, held] = buffers(&mut watcher, &stranger);
        assert!(
            held <= (sent * 13 / 10).min(64 * 1024) + SLACK,
            "{held} for {sent}"
        );
    }
}

#[test]
fn buffers_of_a_connection_that_rests_are_given_back() {
    let server = start(&[]);
    let mut watcher = server.client().unwrap();
    let mut client = server.client().unwrap();
    let value = "v".repeat(3_000_000);
    assert_eq!(ask(&mut client, &format!("SET k {value}")), "OK");
    let [input, output, held] = buffers(&mut watcher, &client);
    assert!(input + output == 0 && held <= SLACK, "{held}");
    // Replies that it does not read, and then does.
    let count = 10;
    client.send(&request(&["GET", "k"]).repeat(count)).unwrap();
    eventually("replies wait", || {
        let [_, output, held] = buffers(&mut watcher, &client);
        // Half of it may have been sent.
        output > MIB && held <= 2 * output * 13 / 10 + SLACK
    });
    for _ in 0..count {
        assert_eq!(client.reply().unwrap().bytes(), Some(value.as_bytes()));
    }
    eventually("it rests", || {
        let [input, output, held] = buffers(&mut watcher, &client);
        input + output == 0 && held <= SLACK
    });
    // A pipeline of small requests leaves little behind.
    client
        .send(&request(&["GET", "none"]).repeat(50_000))
        .unwrap();
    for _ in 0..50_000 {
        assert!(client.reply().unwrap().is_null());
    }
    let [input, output, held] = buffers(&mut watcher, &client);
    assert!(input + output == 0 && held <= SLACK, "{held}");
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
    let server = start(&["--shards", "4"]);
    let mut client = server.client().unwrap();
    assert!(ask(&mut client, "INFO memory").contains("mem_allocator:jemalloc-5."));
    let before = resident_bytes(server.pid()).unwrap();
    let value = "v".repeat(10_000);
    for number in 0..4_000 {
        assert_eq!(ask(&mut client, &format!("SET k:{number} {value}")), "OK");
    }
    assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
    eventually("the keys are freed", || {
        figure(&mut client, "lazyfreed_objects") == 4_000
    });
    assert_eq!(ask(&mut client, "MEMORY PURGE"), "OK");
    let left = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    assert!(left < 16 * MIB, "{} MiB", left / MIB);
    assert!(ask(&mut client, "MEMORY STATS").contains("allocator.active"));
}
