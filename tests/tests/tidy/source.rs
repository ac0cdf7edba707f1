//! The repository's files, and Rust source without its comments and literals.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold nothing written by hand.
const SKIPPED: [&str; 3] = ["target", ".git", "node_modules"];

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Every file below the repository whose name ends in one of `endings`: its path from there, its content.
pub(crate) fn files(endings: &[&str]) -> Vec<(String, String)> {
    let (root, mut found) = (root(), Vec::new());
    let mut left = vec![root.clone()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (
                entry.path(),
                entry.file_name().to_string_lossy().into_owned(),
            );
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                left.push(path);
            } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                let path_from_root = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.push((
                    path_from_root,
                    String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
                ));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no files in {}", root.display());
    found
}

/// `source` without comments, and with empty strings and characters.
pub(crate) fn code(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = literal_or_comment(rest, code.chars().next_back());
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            // Lines keep their numbers.
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
            code.push(' ');
            rest = &rest[length..];
        }
    }
    code
}

/// Bytes of the comment, string or character that begins `rest`; 0 when none does.
fn literal_or_comment(rest: &str, before: Option<char>) -> usize {
    let to = |end: Option<usize>| end.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return to(rest.find('\n'));
    }
    if rest.starts_with("/*") {
        return to(rest.find("*/").map(|at| at + 2));
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_word && rest.starts_with('r') {
        let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
        if rest[1 + hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let from = 2 + hashes;
            return to(rest[from..].find(&close).map(|at| from + at + close.len()));
        }
    }
    let mut after = rest.chars().skip(1);
    match (rest.starts_with('\''), after.next(), after.next()) {
        (true, Some('\\'), _) => quoted(rest, '\''),
        (true, Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

/// Bytes up to the closing `quote`.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = true;
    for (at, c) in rest.char_indices() {
        match c {
            _ if at == 0 => escaped = false,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The words of `code`.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

#[test]
fn code_is_what_remains_without_comments_and_literals() {
    let cases = [
        ("a // unsafe\nb", "a  \nb"),
        ("a /* unsafe\n */ b", "a \n  b"),
        ("f(\"un\\\"safe\", 'x', '\\'', b'\"')", "f( ,  ,  , b )"),
        ("r#\"un\"safe\"# x", "  x"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
    ];
    for (source, expected) in cases {
        assert_eq!(code(source), expected, "{source}");
    }
}
