//! Places: the fail points of the code with their table in `tests/README.md` and the tests that plant something
//! there; and the paths that `crates/ARCHITECTURE.md` names, with the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

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

/// The page that leads through the crates.
const ARCHITECTURE: &str = "crates/ARCHITECTURE.md";

fn looks_like_a_path(word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    word.chars().all(is_name) && (word.contains('/') || word.ends_with(".rs"))
}

/// What the pictures of `page` name: the first column of each row, two blanks before the next one. A row that
/// begins with a folder is the place of the rows behind it that are indented.
fn in_pictures(page: &str) -> BTreeSet<String> {
    let (mut named, mut folder) = (BTreeSet::new(), "");
    let pictures = page.split("```text\n").skip(1);
    for row in pictures.flat_map(|rest| rest.split("```").next().unwrap_or_default().lines()) {
        let column = row.trim_start().split("  ").next().unwrap_or_default();
        let names = column.split(' ').filter(|name| looks_like_a_path(name));
        if row.starts_with(' ') {
            named.extend(names.map(|name| format!("{folder}{name}")));
        } else {
            folder = column;
            named.extend(names.map(str::to_owned));
        }
    }
    named
}

/// What the words of `page` name: paths in backquotes.
fn in_words(page: &str) -> BTreeSet<String> {
    let quoted = page
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted
        .filter(|word| looks_like_a_path(word))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_map_of_the_code_names_nothing_that_is_not_there() {
    let page = fs::read_to_string(root().join(ARCHITECTURE)).unwrap();
    let named = &in_pictures(&page) | &in_words(&page);
    assert!(named.len() > 60, "the page was not understood: {named:?}");
    let gone: Vec<&String> = named
        .iter()
        .filter(|path| !root().join("crates").join(path).exists())
        .collect();
    assert_eq!(gone, [""; 0]);
}

#[test]
fn every_crate_and_each_folder_of_one_stands_on_the_map_of_the_code() {
    let folders = |path: &Path| {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        folders.map(|folder| folder.file_name().into_string().unwrap())
    };
    let crates = root().join("crates");
    let mut there = BTreeSet::new();
    for name in folders(&crates) {
        let source = format!("{name}/src/");
        let inside = folders(&crates.join(&source));
        there.extend(inside.map(|folder| format!("{source}{folder}/")));
        there.insert(source);
    }
    let page = fs::read_to_string(root().join(ARCHITECTURE)).unwrap();
    let missing: Vec<_> = there.difference(&in_pictures(&page)).cloned().collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn paths_are_found_in_pictures_and_in_words() {
    let page = "`a/src/b.rs` and `--flag x/y`,\n`GET`\n```text\n  box ──▶ a/b\na/src/  a crate / one\n  \
                c.rs d/   d/e and x.rs\n```\n";
    let names = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>();
    assert_eq!(names(in_words(page)), ["a/src/b.rs"]);
    let expected = ["a/b", "a/src/", "a/src/c.rs", "a/src/d/"];
    assert_eq!(names(in_pictures(page)), expected);
}
