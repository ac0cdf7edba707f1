//! Who may use whom: between crates, and between the layers of the core.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use toml::{Table, Value};

use crate::source::{code, root};

/// What each crate may depend on, of the crates of this repository.
const HOUSE: [(&str, &[&str]); 6] = [
    ("shardkeep-core", &[]),
    ("shardkeep-log", &[]),
    ("shardkeep-resp", &[]),
    ("shardkeep", &["shardkeep-core", "shardkeep-log"]),
    ("shardkeep-data", &["shardkeep", "shardkeep-resp"]),
    (
        "shardkeep-server",
        &["shardkeep", "shardkeep-data", "shardkeep-resp"],
    ),
];

/// Modules of the core below all layers: the seams through which tests control it.
const SEAMS: [&str; 2] = ["fault", "sync"];

/// All dependencies that a manifest names, of every kind and for every target.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (key, value) in manifest {
        match value {
            Value::Table(table) if key.ends_with("dependencies") => {
                names.extend(table.keys().cloned())
            }
            Value::Table(table) => names.extend(dependencies(table)),
            _ => {}
        }
    }
    names
}

#[test]
fn every_crate_depends_only_on_those_below_it() {
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let directory = entry.unwrap().path();
        if !directory.is_dir() {
            continue;
        }
        let path = directory.join("Cargo.toml");
        let manifest: Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap();
        let (_, allowed) = HOUSE
            .iter()
            .find(|(crate_name, _)| *crate_name == name)
            .unwrap_or_else(|| panic!("{name} has no place in the house"));
        for dependency in dependencies(&manifest) {
            let ours = dependency.starts_with("shardkeep");
            assert!(
                !ours || allowed.contains(&dependency.as_str()),
                "{name} -> {dependency}"
            );
        }
    }
}

#[test]
fn dependencies_of_every_kind_are_found() {
    let manifest = "[dependencies]\na = '1'\n[dev-dependencies]\nb = '1'\n[target.x.build-dependencies]\nc = '1'";
    let found: Vec<String> = dependencies(&manifest.parse().unwrap())
        .into_iter()
        .collect();
    assert_eq!(found, ["a", "b", "c"]);
}

/// The layers as the core's first page draws them: module by depth, the top being 0.
///
/// A row is its name, its modules and what they do, two blanks apart; a row without a name goes on.
fn layers(page: &str) -> BTreeMap<String, usize> {
    let table = page
        .split("```text")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let (mut layers, mut depth) = (BTreeMap::new(), 0);
    let rows = table.lines().filter_map(|line| line.strip_prefix("//! "));
    for row in rows.filter(|row| !row.trim().is_empty()) {
        let mut columns = row
            .split("  ")
            .map(str::trim)
            .filter(|column| !column.is_empty());
        if !row.starts_with(' ') {
            depth += 1;
            columns.next();
        }
        for module in columns.next().unwrap_or_default().split(' ') {
            layers.insert(module.to_owned(), depth);
        }
    }
    layers
}

/// Every `mod` of the crate's first page, and for every name it exports the module it comes from.
fn contents(page: &str) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let (mut modules, mut exports) = (BTreeSet::new(), BTreeMap::new());
    for statement in code(page).split(';') {
        let statement = statement.trim();
        let declared = statement.rsplit_once("mod ").map(|(_, name)| name.trim());
        if let Some(name) =
            declared.filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        {
            modules.insert(name.to_owned());
        }
        if let Some((_, path)) = statement.rsplit_once("pub use ")
            && let Some((module, names)) = path.split_once("::")
        {
            for name in names.split(|c: char| !c.is_alphanumeric() && c != '_') {
                exports.insert(name.to_owned(), module.to_owned());
            }
        }
    }
    (modules, exports)
}

/// The first names after `crate::` in `source`, outside its tests.
fn used(source: &str) -> BTreeSet<String> {
    let code = code(source.split("#[cfg(test)]\nmod").next().unwrap());
    let mut names = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = code[at + path.len()..].trim_start();
        let group = rest.strip_prefix('{').map(|group| outermost(group));
        for item in group.unwrap_or_else(|| vec![rest]) {
            let name: String = item
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            names.insert(name);
        }
    }
    names.remove("");
    names
}

/// The parts of a `use` group up to its closing brace, those of inner groups left together.
fn outermost(group: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                return parts;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    parts
}

#[test]
fn what_a_module_uses_is_found_in_every_spelling() {
    let source = "use crate::a::B;\nuse crate::{c, d::{E, F}, G};\nfn f() { crate::h::i() } // crate::not\n\
                  #[cfg(test)]\nmod tests { use crate::test_only; }";
    let found: Vec<String> = used(source).into_iter().collect();
    assert_eq!(found, ["G", "a", "c", "d", "h"]);
}

#[test]
fn the_core_uses_no_layer_above() {
    let directory = root().join("crates/shardkeep-core/src");
    let page = fs::read_to_string(directory.join("lib.rs")).unwrap();
    let layers = layers(&page);
    let (modules, exports) = contents(&page);
    assert!(
        modules.len() > 10 && exports.len() > 10,
        "the first page was not understood"
    );
    let mut upwards = Vec::new();
    for module in modules
        .iter()
        .filter(|module| !SEAMS.contains(&module.as_str()))
    {
        let Some(depth) = layers.get(module) else {
            panic!("{module} stands in no layer");
        };
        let source = fs::read_to_string(directory.join(format!("{module}.rs"))).unwrap();
        for name in used(&source) {
            let target = exports.get(&name).unwrap_or(&name);
            if layers.get(target).is_some_and(|target| target < depth) {
                upwards.push(format!("{module} -> {target}"));
            }
        }
    }
    assert_eq!(upwards, [""; 0], "arrows against the house");
}

#[test]
fn a_layer_is_read_with_all_its_rows() {
    let page = "//! ```text\n//! top     a          words, about a\n//! middle  b c        and more\n\
                //!         d          words\n//! low     e\n//! ```\n";
    let expected = [("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 3)];
    let expected: BTreeMap<String, usize> = expected
        .into_iter()
        .map(|(module, depth)| (module.to_owned(), depth))
        .collect();
    assert_eq!(layers(page), expected);
}
