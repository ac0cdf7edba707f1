//! Fail points: the code, the table in `tests/README.md`, and the tests that plant something there, held
//! together.

use std::collections::BTreeMap;
use std::fs;

use crate::source::{files, root};

/// The calls of the module, up to the place.
const CALLS: [&str; 3] = [
    "fail_point::hit(\"",
    "fail_point::hit_at(\"",
    "fail_point::refused_at(\"",
];

/// Where something may be planted from.
const PLANTERS: [&str; 3] = ["tests/", ".ci/", "crates/shardkeep-server/src/log_tests/"];

/// The places of the code, with the files below `crates/` that have them.
fn places() -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, source) in files(&[".rs"]) {
        let Some(file) = path.strip_prefix("crates/") else {
            continue;
        };
        for call in CALLS {
            for (at, _) in source.match_indices(call) {
                let rest = &source[at + call.len()..];
                let place = rest.split('"').next().unwrap_or_default();
                places
                    .entry(place.to_owned())
                    .or_default()
                    .push(file.to_owned());
            }
        }
    }
    for files in places.values_mut() {
        files.sort();
        files.dedup();
    }
    places
}

/// The rows of the table: places with their files.
fn rows() -> BTreeMap<String, Vec<String>> {
    let page = fs::read_to_string(root().join("tests/README.md")).unwrap();
    let (_, behind) = page.split_once("| place | ").unwrap();
    let table = behind.split("\n\n").next().unwrap_or_default();
    let bare = |text: &str| text.trim().trim_matches('`').to_owned();
    table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let columns: Vec<&str> = line.trim_matches('|').split(" | ").collect();
            let [place, files, key, then] = columns[..] else {
                panic!("not four columns: {line}");
            };
            assert!(!key.trim().is_empty() && !then.trim().is_empty(), "{line}");
            let mut files: Vec<String> = files.split(", ").map(bare).collect();
            files.sort();
            (bare(place), files)
        })
        .collect()
}

#[test]
fn every_fail_point_has_its_row_and_every_row_its_fail_point() {
    assert_eq!(rows(), places());
}

#[test]
fn something_is_planted_at_every_fail_point() {
    let sources: Vec<(String, String)> = files(&[""])
        .into_iter()
        .filter(|(path, _)| PLANTERS.iter().any(|below| path.starts_with(below)))
        .filter(|(path, _)| !path.ends_with(".md") && !path.starts_with("tests/tests/tidy/"))
        .collect();
    let is_planted = |place: &str| {
        let ways = ["=", "@"].map(|sign| format!("{place}{sign}"));
        let named = format!("\"{place}\"");
        sources.iter().any(|(_, source)| {
            source.contains(&named) || ways.iter().any(|way| source.contains(way))
        })
    };
    let idle: Vec<String> = places()
        .into_keys()
        .filter(|place| !is_planted(place))
        .collect();
    assert_eq!(idle, [""; 0], "nothing is planted there");
}
