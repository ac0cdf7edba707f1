//! What is refused, in which words.

use super::*;

#[test]
fn a_bad_value_is_refused_with_its_name_and_what_is_allowed() {
    let cases = [
        (
            "--shards 0",
            "shards = 0 (flag --shards) is refused; allowed: a power of two from 1 to",
        ),
        (
            "--shards 1000000000",
            "shards = 1000000000 (flag --shards) is refused",
        ),
        ("--shards 48", "shards = 48 (flag --shards) is refused"),
        ("--shards -1", "shards = -1 (flag --shards) is refused"),
        ("--shards +1", "shards = +1 (flag --shards) is refused"),
        ("--shards=", "shards =  (flag --shards) is refused"),
        ("--shards many", "shards = many (flag --shards) is refused"),
        (
            "--owners 0",
            "owners = 0 (flag --owners) is refused; allowed: 1 to 1024",
        ),
        ("--owners 1025", "owners = 1025 (flag --owners) is refused"),
        (
            "--owners 8 --shards 4",
            "owners = 8 (flag --owners) is refused; allowed: 1 to shards, which is 4 (flag --shards)",
        ),
        (
            "--reactors 0",
            "reactors = 0 (flag --reactors) is refused; allowed: 1 to 1024",
        ),
        (
            "--handover LEND",
            "handover = LEND (flag --handover) is refused; allowed: lend or mail",
        ),
        (
            "--write-window 2s",
            "write_window = 2s (flag --write-window) is refused; allowed: a dur",
        ),
        (
            "--dir=",
            "dir =  (flag --dir) is refused; allowed: the path, in UTF-8",
        ),
        (
            "--dir d --sync sometimes",
            "sync = sometimes (flag --sync) is refused; allowed: always, interval or never",
        ),
        (
            "--dir d --sync-interval 1ms",
            "sync_interval = 1ms (flag --sync-interval) is refused; allowed: a duration from 10ms",
        ),
        (
            "--dir d --commit me",
            "commit = me (flag --commit) is refused; allowed: auto or thread",
        ),
        (
            "--dir d --snapshot-log-bytes much",
            "snapshot_log_bytes = much (flag --snapshot-log-bytes) is refused; allowed: bytes",
        ),
        (
            "--dir d --compress-snapshots 1",
            "compress_snapshots = 1 (flag --compress-snapshots) is refused; allowed: yes or no",
        ),
        (
            "--dir d --disk-reserve 1023kb",
            "disk_reserve = 1023kb (flag --disk-reserve) is refused; allowed: auto, 0 for none, or 1mb and more",
        ),
        (
            "--disk-reserve 64mb",
            "disk_reserve (flag --disk-reserve) is refused: it needs dir",
        ),
        (
            "--sync always",
            "sync (flag --sync) is refused: it needs dir, where the log lies",
        ),
        (
            "--sync-interval 1s",
            "sync_interval (flag --sync-interval) is refused: it needs dir",
        ),
        (
            "--commit thread",
            "commit (flag --commit) is refused: it needs dir",
        ),
        (
            "--snapshot-log-bytes 0",
            "snapshot_log_bytes (flag --snapshot-log-bytes) is refused: it needs dir",
        ),
        (
            "--compress-snapshots no",
            "compress_snapshots (flag --compress-snapshots) is refused: it needs dir",
        ),
        (
            "--dir d --sync always --sync-interval 1s",
            "sync_interval (flag --sync-interval) is refused: it needs sync = interval",
        ),
        (
            "--max-clients 0",
            "max_clients = 0 (flag --max-clients) is refused; allowed: 1 to 1048576",
        ),
        (
            "--max-clients 1048577",
            "max_clients = 1048577 (flag --max-clients) is refused",
        ),
        (
            "--max-memory 1tb",
            "max_memory = 1tb (flag --max-memory) is refused; allowed: bytes",
        ),
        (
            "--max-memory -1",
            "max_memory = -1 (flag --max-memory) is refused",
        ),
        (
            "--deadline 0",
            "deadline = 0 (flag --deadline) is refused; allowed: a duration from 1ms",
        ),
        (
            "--deadline 2h",
            "deadline = 2h (flag --deadline) is refused",
        ),
        (
            "--idle-timeout never",
            "idle_timeout = never (flag --idle-timeout) is refused",
        ),
        (
            "--drain-timeout 61m",
            "drain_timeout = 61m (flag --drain-timeout) is refused",
        ),
        (
            "--pre-stop-delay 11m",
            "pre_stop_delay = 11m (flag --pre-stop-delay) is refused",
        ),
        (
            "--stall-bound 99ms",
            "stall_bound = 99ms (flag --stall-bound) is refused",
        ),
        (
            "--bind localhost:1",
            "bind = localhost:1 (flag --bind) is refused; allowed: up to 16",
        ),
        (
            "--bind 127.0.0.1",
            "bind = 127.0.0.1 (flag --bind) is refused",
        ),
        (
            "--bind 127.0.0.1:65536",
            "bind = 127.0.0.1:65536 (flag --bind) is refused",
        ),
        (
            "--bind 127.0.0.1:1 --bind 127.0.0.1:1",
            "bind = 127.0.0.1:1,127.0.0.1:1 (flag --bind)",
        ),
        (
            "--bind none",
            "bind = none (flag --bind) is refused: without an address the server",
        ),
        (
            "--bind none --bind 127.0.0.1:1",
            "bind = none,127.0.0.1:1 (flag --bind) is refused",
        ),
        (
            "--unix-socket=",
            "unix_socket =  (flag --unix-socket) is refused; allowed: a path of 1",
        ),
        (
            "--password-file=",
            "password_file =  (flag --password-file) is refused",
        ),
        (
            "--password-file gone",
            "password_file = gone (flag --password-file) cannot be read: ",
        ),
        (
            "--config gone",
            "config = gone (flag --config) cannot be read: ",
        ),
    ];
    for (flags, begins) in cases {
        let text = refusal(flags, &nothing());
        assert!(text.starts_with(begins), "{flags}: {text}");
    }
    let long = format!("--unix-socket {}", "x".repeat(108));
    assert!(refusal(&long, &nothing()).starts_with("unix_socket = xxx"));
    let many: Vec<_> = (1..=17).map(|port| format!("127.0.0.1:{port}")).collect();
    assert!(refusal(&format!("--bind {}", many.join(",")), &nothing()).starts_with("bind = "));
}

#[test]
fn a_bad_file_is_refused_with_the_line() {
    let cases = [
        (
            "shards = 0",
            "shards = 0 (file c.toml:1) is refused; allowed: a power of two",
        ),
        (
            "\n\nshards = 1_000_000_000",
            "shards = 1000000000 (file c.toml:3) is refused",
        ),
        ("shards = 8.0", "shards = 8.0 (file c.toml:1) is refused"),
        ("shards = true", "shards = true (file c.toml:1) is refused"),
        ("shards = [1, 2]", "shards = 1,2 (file c.toml:1) is refused"),
        (
            "shards = 99999999999999999999999",
            "shards = 99999999999999999999999 (file c.toml:1)",
        ),
        (
            "deadline = 1979-05-27",
            "deadline = 1979-05-27 (file c.toml:1) is refused",
        ),
        ("bind = [[]]", "bind = [...] (file c.toml:1) is refused"),
        ("bind = {}", "bind = {...} (file c.toml:1) is refused"),
        (
            "bind = []",
            "bind = none (file c.toml:1) is refused: without an address",
        ),
        (
            "# shards\nshard = 8\n",
            "unknown setting shard = 8 (file c.toml:2); allowed: bind, unix_s",
        ),
        (
            "[server]\nshards = 8",
            "unknown setting server = {...} (file c.toml:1); allowed: bind",
        ),
        (
            "config = 'd.toml'",
            "unknown setting config = d.toml (file c.toml:1)",
        ),
        ("\"a\\nb\" = 'c\\u001b[1m'", "unknown setting a\\nb = c'"),
        (
            "shards = 8\nshards = 8",
            "c.toml:2 is not TOML: duplicate key",
        ),
        ("shards = 8\nowners =\n", "c.toml:2 is not TOML: "),
    ];
    for (text, begins) in cases {
        let refusal = refusal("--config c.toml", &toml(text));
        let begins = begins.trim_end_matches("c'");
        assert!(refusal.starts_with(begins), "{text:?}: {refusal}");
        assert!(!refusal.contains(['\n', '\x1b']), "{refusal:?}");
    }
    let not_utf8 = nothing().file("c.toml", b"shards = 8 # \xff");
    assert_eq!(
        refusal("--config c.toml", &not_utf8),
        "config = c.toml (flag --config) cannot be read: not UTF-8"
    );
    let huge = nothing().file("c.toml", &vec![b'#'; bounds::CONFIG_FILE_BYTES_MAX + 1]);
    assert_eq!(
        refusal("--config c.toml", &huge),
        "config = c.toml (flag --config) cannot be read: longer than 1048576 bytes"
    );
}

#[test]
fn deep_nesting_in_the_file_is_an_error_and_no_overflow() {
    let deep = format!("bind = {}", "[".repeat(100_000));
    let refusal = refusal("--config c.toml", &toml(&deep));
    assert!(refusal.starts_with("c.toml:1 is not TOML"), "{refusal}");
}

#[test]
fn a_bad_variable_is_refused_by_its_name() {
    let cases = [
        (
            "SHARDKEEP_SHARDS",
            "0",
            "shards = 0 (environment SHARDKEEP_SHARDS) is refused",
        ),
        (
            "SHARDKEEP_SHARDS",
            "",
            "shards =  (environment SHARDKEEP_SHARDS) is refused",
        ),
        (
            "SHARDKEEP_SHARD",
            "8",
            "unknown setting SHARDKEEP_SHARD = 8 (environment SHARDKEEP_SHARD)",
        ),
        (
            "SHARDKEEP_shards",
            "8",
            "unknown setting SHARDKEEP_shards = 8",
        ),
        (
            "SHARDKEEP_CHECK_CONFIG",
            "1",
            "unknown setting SHARDKEEP_CHECK_CONFIG = 1",
        ),
        (
            "SHARDKEEP_CONFIG",
            "gone",
            "config = gone (environment SHARDKEEP_CONFIG) cannot be read",
        ),
        (
            "SHARDKEEP_UNIX_SOCKET",
            "a\u{fffd}",
            "unix_socket = a\u{fffd} (environment SHARDKEEP_UNIX_SOCKET) is refused; allowed: a path",
        ),
    ];
    for (name, value, begins) in cases {
        let refusal = refusal("", &nothing().variable(name, value));
        assert!(refusal.starts_with(begins), "{name}={value}: {refusal}");
    }
}

#[test]
fn a_bad_value_is_refused_even_where_a_better_one_wins() {
    let refusal = refusal("--config c.toml --shards 8", &toml("shards = 0"));
    assert!(
        refusal.starts_with("shards = 0 (file c.toml:1)"),
        "{refusal}"
    );
}

#[test]
fn an_address_that_others_can_reach_needs_a_password() {
    let machine = nothing().file("pw", b"x");
    let open = [
        "0.0.0.0:1",
        "[::]:1",
        "192.0.2.1:0",
        "[::ffff:192.0.2.1]:1",
        "127.0.0.1:1,[::]:1",
    ];
    for bind in open {
        let refusal = refusal(&format!("--bind {bind}"), &machine);
        assert!(
            refusal.contains("(flag --bind) is refused: whoever"),
            "{bind}: {refusal}"
        );
        assert!(refusal.contains("password_file"), "{refusal}");
        let with_password = settings(&format!("--bind {bind} --password-file pw"), &machine);
        assert!(with_password.password.is_some());
    }
    for bind in [
        "127.0.0.1:1",
        "127.9.9.9:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ] {
        assert_eq!(settings(&format!("--bind {bind}"), &machine).password, None);
    }
}

#[test]
fn no_text_shows_the_password() {
    let machine = nothing().file("pw", b"hunter2");
    let resolved = resolve("--password-file pw", &machine).unwrap();
    let printed = format!(
        "{}{:?}{:?}",
        resolved.to_toml(),
        resolved,
        resolved.settings()
    );
    assert!(!printed.contains("hunter2"), "{printed}");
    let misplaced = [
        refusal("--config c.toml", &toml("password = 'hunter2'")),
        refusal("--config c.toml", &toml("requirepass = 'hunter2'")),
        refusal("--config c.toml", &toml("password_file = 'hunter2")),
        refusal("", &nothing().variable("SHARDKEEP_PASSWORD", "hunter2")),
    ];
    for text in misplaced {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
