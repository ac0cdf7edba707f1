//! Words that must not stand in the repository, or only where they may.

use crate::source::{code, files, words};

/// The files that may say `unsafe` (code), each with its argument at the top.
const UNSAFE_ALLOWED: [&str; 5] = [
    "crates/shardkeep-core/src/desk.rs",
    "crates/shardkeep-server/src/keyspace/record.rs",
    "crates/shardkeep-server/src/keyspace/record_tests.rs",
    "crates/shardkeep-server/src/reactor/socket.rs",
    "crates/shardkeep/src/prefetch.rs",
];

/// Crates that bring an async runtime.
const RUNTIMES: [&str; 9] = [
    "tokio",
    "async-std",
    "smol",
    "futures",
    "async-trait",
    "glommio",
    "monoio",
    "embassy-executor",
    "async-executor",
];

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs")
}

/// Every file of Rust for whose path and code `is_wrong`.
fn wrong(is_wrong: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let sources = files(&[".rs"]).into_iter();
    sources
        .filter(|(path, source)| is_wrong(path, &code(source)))
        .map(|(path, _)| path)
        .collect()
}

fn says(code: &str, word: &str) -> bool {
    words(code).any(|found| found == word)
}

#[test]
fn nothing_is_async() {
    assert_eq!(
        wrong(|_, code| says(code, "async") || says(code, "await")),
        [""; 0]
    );
}

#[test]
fn no_manifest_asks_for_an_async_runtime() {
    for (path, manifest) in files(&["Cargo.toml"]) {
        for line in manifest.lines() {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            assert!(!RUNTIMES.contains(&name), "{path}: {line}");
        }
    }
}

#[test]
fn unsafe_stands_only_in_modules_made_for_it() {
    assert_eq!(
        wrong(|path, code| says(code, "unsafe") && !UNSAFE_ALLOWED.contains(&path)),
        [""; 0]
    );
    // A list that names what is not there any more has been forgotten.
    for allowed in UNSAFE_ALLOWED {
        let still = wrong(|path, code| path == allowed && says(code, "unsafe"));
        assert_eq!(still, [allowed]);
    }
}

#[test]
fn no_lock_of_the_product_can_be_poisoned() {
    // The lock of the schedule explorer, whose poison means nothing; and of planted faults, left alone.
    let allowed = [
        "crates/shardkeep-core/src/sync.rs",
        "crates/shardkeep-server/src/fault.rs",
    ];
    let is_std_lock = |statement: &str| {
        let is_lock = |word| ["Mutex", "RwLock", "PoisonError"].contains(&word);
        statement.contains("std::sync::") && words(statement).any(is_lock)
    };
    let poisoned = wrong(|path, code| {
        let is_product = path.starts_with("crates/") && path.contains("/src/");
        is_product && !allowed.contains(&path) && code.split(';').any(is_std_lock)
    });
    assert_eq!(poisoned, [""; 0]);
}

#[test]
fn no_test_sleeps() {
    let call = ["sleep", "("].concat();
    assert_eq!(
        wrong(|path, code| is_test(path) && code.contains(&call)),
        [""; 0]
    );
}

#[test]
fn no_test_is_ignored() {
    let attribute = ["#[", "ignore"].concat();
    assert_eq!(wrong(|_, code| code.contains(&attribute)), [""; 0]);
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let places = ["work", "root", "home", "Users", "mnt"].map(|name| format!("/{name}/"));
    let outside = ["../", "shared"].concat();
    for (path, text) in files(&[".rs", ".toml", ".md", ".sh", ".yml", "run", "clients"]) {
        for (number, line) in text.lines().enumerate() {
            let absolute = places.iter().any(|place| {
                line.match_indices(place.as_str()).any(|(at, _)| {
                    // `a/home/b` and `https://host/home/` are no places of a machine.
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| c.is_whitespace() || "\"'`(=:".contains(c))
                })
            });
            assert!(
                !absolute && !line.contains(&outside),
                "{path}:{}: {line}",
                number + 1
            );
        }
    }
}

#[test]
fn every_crate_takes_part_in_the_lints() {
    for (path, manifest) in files(&["Cargo.toml"]) {
        let is_package = manifest.lines().any(|line| line == "[package]");
        assert!(
            !is_package || manifest.contains("[lints]\nworkspace = true"),
            "{path}"
        );
    }
}
