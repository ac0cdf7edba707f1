//! Where a thread may wait: the code, `crates/BLOCKING.md` and the list that clippy bans, held together.

use std::collections::BTreeMap;
use std::fs;

use toml::{Table, Value};

use crate::source::{code, files, root, words};

/// Clippy's word, as the attributes have it.
const LINT: &str = "clippy::disallowed_methods";

/// What begins the reason of a call that waits; its row follows.
const POINT: &str = "blocking point ";

/// The reasons of code that is not the product's.
const ELSEWHERE: [&str; 2] = ["a test may wait", "an example may wait"];

/// One row of the page.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    file: String,
    /// Names of the calls, without what they are called on.
    calls: Vec<String>,
    who: String,
    unblocked_by: String,
    at_the_latest: String,
}

/// The rows of `page` by their names, and the names that stand there twice.
fn rows(page: &str) -> (BTreeMap<String, Row>, Vec<String>) {
    let (mut rows, mut twice) = (BTreeMap::new(), Vec::new());
    for line in page.lines().filter(|line| line.starts_with("| B")) {
        let columns: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, file, calls, who, unblocked_by, at_the_latest] = columns[..] else {
            panic!("not six columns: {line}");
        };
        let call = |path: &str| path.rsplit("::").next().unwrap_or(path).to_owned();
        let row = Row {
            file: file.trim_matches('`').to_owned(),
            calls: calls
                .split(", ")
                .map(|path| call(path.trim_matches('`')))
                .collect(),
            who: who.to_owned(),
            unblocked_by: unblocked_by.to_owned(),
            at_the_latest: at_the_latest.to_owned(),
        };
        if rows.insert(id.to_owned(), row).is_some() {
            twice.push(id.to_owned());
        }
    }
    (rows, twice)
}

/// The reason of every exception from the lint in `source`, with the code behind it.
fn exceptions(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices(LINT) {
        let line = source[..at].rsplit('\n').next().unwrap_or_default();
        if line.trim_start().starts_with("//") {
            continue;
        }
        let rest = &source[at..];
        let reason = rest.split('"').nth(1).unwrap_or_default();
        let behind = rest.split_once(']').map_or("", |(_, behind)| behind);
        found.push((reason.to_owned(), code(behind)));
    }
    found
}

/// Sources of the product's crates, by their paths below `crates/`.
fn product() -> Vec<(String, String)> {
    let below = |path: String| path.strip_prefix("crates/").map(str::to_owned);
    let sources = files(&[".rs"]).into_iter();
    sources
        .filter_map(|(path, source)| Some((below(path)?, source)))
        .filter(|(path, _)| path.split('/').nth(1) == Some("src"))
        .collect()
}

fn page() -> BTreeMap<String, Row> {
    let page = fs::read_to_string(root().join("crates/BLOCKING.md")).unwrap();
    let (rows, twice) = rows(&page);
    assert_eq!(twice, [""; 0], "these stand there twice");
    assert!(rows.len() > 10, "the page was not understood");
    rows
}

#[test]
fn every_wait_has_its_row_and_every_row_its_wait() {
    let rows = page();
    let (mut wrong, mut used) = (Vec::new(), Vec::new());
    for (path, source) in product() {
        for (reason, behind) in exceptions(&source) {
            let Some(point) = reason.strip_prefix(POINT) else {
                let is_clock = path.ends_with("/clock.rs");
                if !is_clock && !ELSEWHERE.contains(&reason.as_str()) {
                    wrong.push(format!("{path}: {reason:?} names no row"));
                }
                continue;
            };
            let id = point.split(':').next().unwrap_or(point);
            match rows.get(id) {
                None => wrong.push(format!("{path}: there is no row {id}")),
                Some(row) if row.file != path => {
                    wrong.push(format!("{path}: {id} is in {}", row.file));
                }
                Some(row) => {
                    if !words(&behind).any(|word| row.calls.iter().any(|call| call == word)) {
                        wrong.push(format!("{path}: {id} is no call of {:?}", row.calls));
                    }
                    used.push(id.to_owned());
                }
            }
        }
    }
    let idle = rows.keys().filter(|id| !used.contains(id));
    wrong.extend(idle.map(|id| format!("nothing waits at {id}")));
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_row_says_who_waits_for_what_and_until_when() {
    for (id, row) in page() {
        let columns = [&row.file, &row.who, &row.unblocked_by, &row.at_the_latest];
        let is_said = columns.iter().all(|column| !column.is_empty());
        assert!(is_said && !row.calls.is_empty(), "{id}: {row:?}");
    }
}

/// What `file` bans: path by reason.
fn banned(file: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let list: Table = text.parse().unwrap();
    let methods = list["disallowed-methods"].as_array().unwrap();
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    methods
        .iter()
        .map(|entry| (word(entry, "path"), word(entry, "reason")))
        .collect()
}

#[test]
fn what_is_banned_everywhere_is_banned_in_the_product_too() {
    let product = banned("crates/.clippy.toml");
    for (path, reason) in banned(".clippy.toml") {
        assert_eq!(product.get(&path), Some(&reason), "{path}");
    }
}

#[test]
fn every_call_of_the_page_is_banned() {
    let banned = banned("crates/.clippy.toml");
    let names: Vec<&str> = banned
        .keys()
        .filter_map(|path| path.rsplit("::").next())
        .collect();
    for (id, row) in page() {
        for call in &row.calls {
            assert!(names.contains(&call.as_str()), "{id}: {call} is not banned");
        }
    }
}

#[test]
fn rows_and_exceptions_are_found_in_every_spelling() {
    let line = "| B01 | `a/src/b.rs` | `X::recv`, `Y::join` | main | a send | at once |";
    let (found, twice) = rows(&format!("| id | file |\n|---|---|\n{line}\n{line}\n"));
    assert_eq!(twice, ["B01"]);
    assert_eq!(found["B01"].file, "a/src/b.rs");
    assert_eq!(found["B01"].calls, ["recv", "join"]);

    let attribute = format!("#[expect({LINT}, reason = \"one: \")]\nx.recv();");
    let long = format!("#[expect(\n    {LINT},\n    reason = \"two\"\n)]\ny();");
    let comment = format!("/// # #[expect({LINT}, reason = \"three\")]\n");
    let found = exceptions(&[attribute, comment, long].join("\n"));
    let reasons: Vec<&str> = found.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["one: ", "two"]);
    assert!(found[0].1.contains("x.recv()") && found[1].1.contains("y()"));
}
