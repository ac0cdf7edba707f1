//! Words that must not stand in the repository, or only where they may.

use crate::source::{code, files, words};

/// The files that may say `unsafe` (code), each with its argument at the top.
const UNSAFE_ALLOWED: [&str; 9] = [
    "crates/shardkeep-core/src/desk.rs",
    "crates/shardkeep-core/src/process.rs",
    "crates/shardkeep-data/src/keyspace/large.rs",
    "crates/shardkeep-data/src/keyspace/record.rs",
    "crates/shardkeep-data/src/keyspace/record_tests.rs",
    "crates/shardkeep-data/src/keyspace/tagged.rs",
    "crates/shardkeep-server/src/reactor/socket.rs",
    "crates/shardkeep/src/prefetch.rs",
    "crates/shardkeep/tests/forked/process.rs",
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

/// The name at the end of `code`, or of the call there.
fn last_name(code: &str) -> &str {
    let code = code.trim_end().trim_end_matches("()");
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let start = code.trim_end_matches(is_part).len();
    &code[start..]
}

/// Whether `before + after` adds a time that may be any to a moment. A constant is known not to overflow.
fn is_risky_sum(before: &str, after: &str) -> bool {
    let name = last_name(before);
    let calls = before.trim_end().ends_with(')');
    let is_moment =
        ["now", "since", "until", "began"].contains(&name) || name.ends_with("_at") && !calls;
    let is_part = |c: char| c.is_alphanumeric() || "_:.".contains(c);
    let path = after.trim_start();
    let path = &path[..path.find(|c| !is_part(c)).unwrap_or(path.len())];
    let added = last_name(path);
    is_moment
        && !added
            .chars()
            .all(|c| c.is_uppercase() || c == '_' || c.is_numeric())
}

#[test]
fn a_moment_and_a_time_are_added_by_the_one_function_that_cannot_overflow() {
    let sums = |code: &str| {
        let product = code.split("#[cfg(test)]").next().unwrap_or_default();
        let product = product.split("#[cfg(all(test").next().unwrap_or_default();
        let plus: Vec<_> = product.match_indices(" + ").collect();
        plus.iter()
            .any(|(at, sign)| is_risky_sum(&product[..*at], &product[at + sign.len()..]))
    };
    for (code, expected) in [
        ("let until = now + wait;", true),
        ("opened_at + self.window <= now", true),
        ("wait_until(clock::now() + interval)", true),
        ("self.since + Duration::from_secs(x)", true),
        ("let at = self.now + limits::SWEEP_INTERVAL;", false),
        ("self.value_at() + room", false),
        ("clock::later(now, wait)", false),
    ] {
        assert_eq!(sums(code), expected, "{code}");
    }
    let risky = wrong(|path, code| {
        let is_product = path.starts_with("crates/") && path.contains("/src/");
        let is_test = is_test(path) || path.contains("_tests/");
        is_product && !is_test && sums(code)
    });
    assert_eq!(risky, [""; 0]);
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
