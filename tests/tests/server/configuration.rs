//! Settings that are refused, and exit codes.

use std::time::Duration;

use shardkeep_tests::harness::{Scratch, run_to_end};

use crate::support::{ask, program, start};

/// Longest that a refusal takes.
const REFUSAL: Duration = Duration::from_secs(10);

const USAGE: i32 = 2;
const FATAL: i32 = 1;
const BAD_CONFIGURATION: i32 = 78;

/// How `shardkeep serve` with `flags` ends: its code, and what it says.
fn ends(flags: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let mut args = vec!["serve"];
    args.extend_from_slice(flags);
    let (status, said) = run_to_end(program(), &args, environment, REFUSAL).unwrap();
    (status.code().unwrap(), said)
}

#[test]
fn a_bad_value_is_refused_with_its_name_and_the_value() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["--shards", "0"], &["shards", "0"]),
        (&["--shards", "1000000000"], &["shards", "1000000000"]),
        (&["--shards", "many"], &["shards", "many"]),
        (&["--shards", "-1"], &["shards", "-1"]),
        (&["--owners", "0"], &["owners", "0"]),
        (&["--reactors", "0"], &["reactors", "0"]),
        (
            &["--handover", "throw"],
            &["handover", "throw", "lend", "mail"],
        ),
        (&["--max-clients", "0"], &["max", "clients", "0"]),
        (&["--max-memory", "lots"], &["max", "memory", "lots"]),
        (&["--deadline", "0"], &["deadline"]),
        (&["--deadline", "soon"], &["deadline", "soon"]),
        (&["--bind", "nowhere"], &["bind", "nowhere"]),
        (&["--bind", "127.0.0.1:99999"], &["bind", "99999"]),
        (
            &["--password-file", "/nonexistent/password"],
            &["password", "/nonexistent/password"],
        ),
        (
            &["--config", "/nonexistent/config"],
            &["/nonexistent/config"],
        ),
    ];
    for (flags, words) in cases {
        let (code, said) = ends(flags, &[]);
        assert_eq!(code, BAD_CONFIGURATION, "{flags:?}: {said}");
        for word in *words {
            assert!(said.contains(word), "{flags:?} should name {word}: {said}");
        }
    }
}

#[test]
fn an_unknown_key_of_a_file_or_of_the_environment_is_refused_by_name() {
    let scratch = Scratch::new().unwrap();
    let file = scratch
        .file("config.toml", "max_clients = 10\nmax_client = 10\n")
        .unwrap();
    let (code, said) = ends(&["--config", &file], &[]);
    assert_eq!(code, BAD_CONFIGURATION);
    assert!(said.contains("max_client"), "{said}");
    let (code, said) = ends(&[], &[("SHARDKEEP_SHARD", "4")]);
    assert_eq!(code, BAD_CONFIGURATION);
    assert!(said.contains("SHARDKEEP_SHARD"), "{said}");
    let file = scratch.file("broken.toml", "shards = [[[\n").unwrap();
    assert_eq!(ends(&["--config", &file], &[]).0, BAD_CONFIGURATION);
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let (code, said) = ends(&["--no-such-flag"], &[]);
    assert_eq!(code, USAGE);
    assert!(said.contains("--no-such-flag"), "{said}");
    let (status, _) = run_to_end(program(), &["no-such-command"], &[], REFUSAL).unwrap();
    assert_eq!(status.code(), Some(USAGE));
}

#[test]
fn an_address_that_others_can_reach_needs_a_password() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let (code, said) = ends(&["--bind", address], &[]);
        assert_eq!(code, BAD_CONFIGURATION, "{said}");
        assert!(said.contains("password"), "{said}");
    }
    let scratch = Scratch::new().unwrap();
    let empty = scratch.file("empty", "\n").unwrap();
    let (code, said) = ends(&["--bind", "0.0.0.0:0", "--password-file", &empty], &[]);
    assert_eq!(code, BAD_CONFIGURATION, "{said}");
    let file = scratch.file("password", "secret\n").unwrap();
    drop(start(&["--bind", "0.0.0.0:0", "--password-file", &file]));
}

#[test]
fn an_address_in_use_is_fatal_and_named() {
    let server = start(&[]);
    let taken = server.address().to_string();
    let (code, said) = ends(&["--bind", &taken], &[]);
    assert_eq!(code, FATAL, "{said}");
    assert!(said.contains(&taken), "{said}");
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let scratch = Scratch::new().unwrap();
    let file = scratch
        .file("config.toml", "shards = 0\nmax_clients = 0\n")
        .unwrap();
    // The bad values of the file count only where nothing else is said.
    let (code, said) = ends(
        &["--config", &file, "--shards", "4", "--check-config"],
        &[("SHARDKEEP_MAX_CLIENTS", "5")],
    );
    let overridden = code == 0;
    // Refusing a bad value that would not have counted is as good, if it names the file.
    assert!(
        overridden || (code == BAD_CONFIGURATION && said.contains("config.toml")),
        "{code}: {said}"
    );
    let good = scratch
        .file("good.toml", "shards = 2\nmax_clients = 7\n")
        .unwrap();
    assert_eq!(ends(&["--config", &good, "--check-config"], &[]).0, 0);
}

#[test]
fn any_number_of_shards_owners_and_reactors_serves() {
    let cases: &[&[&str]] = &[
        &["--shards", "1", "--owners", "1", "--reactors", "1"],
        &["--shards", "256", "--owners", "3", "--reactors", "2"],
        &["--handover", "mail"],
        &[
            "--handover",
            "mail",
            "--shards",
            "1",
            "--owners",
            "1",
            "--reactors",
            "1",
        ],
    ];
    for flags in cases {
        let server = start(flags);
        let mut client = server.client().unwrap();
        assert_eq!(ask(&mut client, "MSET a 1 b 2 c 3"), "OK", "{flags:?}");
        assert_eq!(ask(&mut client, "MGET a b c d"), "[1 2 3 nil]", "{flags:?}");
        assert_eq!(ask(&mut client, "DBSIZE"), "3", "{flags:?}");
    }
}
