//! What a file has that cannot be imported, by name.
//!
//! 1. Every problem is counted; the first [`PROBLEMS_SHOWN_MAX`] are told.
//! 2. Memory is bounded whatever the file has.

use shardkeep_data::keyspace::DATABASES_MAX;
use std::fmt;

use super::format::{Kind, ModuleName};
use super::{KEY_SHOWN_BYTES, PROBLEMS_SHOWN_MAX, Shown};

/// A key as far as it is shown, and how long all of it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    pub(super) fn of(key: &[u8]) -> Self {
        Self(Shown(key).to_string())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The value of a key is no string.
    NotAString {
        /// The key.
        key: Key,
        /// The number of its database.
        database: u64,
        /// What the value is.
        kind: Kind,
    },
    /// A database of a number that no database can have here has keys.
    OtherDatabase {
        /// Its number.
        database: u64,
        /// How many keys it has.
        keys: u64,
        /// One of them.
        first: Key,
    },
    /// A key is there twice.
    Duplicate {
        /// The key.
        key: Key,
    },
    /// A key or its value is longer than any may be.
    TooLong {
        /// The key.
        key: Key,
        /// What is too long.
        what: &'static str,
        /// Its bytes.
        bytes: u64,
        /// Bytes that it may have.
        limit: u64,
    },
    /// A key is longer than one that a command could write or change.
    KeyTooLong {
        /// The key.
        key: Key,
        /// Where its entry begins: at this byte of the file, or behind what selects its database there.
        at: u64,
        /// Its bytes.
        bytes: u64,
        /// Bytes that it may have.
        limit: u64,
    },
    /// A key expires at a time that cannot be kept.
    Expiry {
        /// The key.
        key: Key,
        /// When, in milliseconds since 1970.
        millis: i64,
    },
    /// A library of functions.
    Functions {
        /// Its name, or how its text begins.
        name: String,
    },
    /// What a module keeps beside the keys.
    ModuleData {
        /// The type of the module.
        module: ModuleName,
    },
    /// Something that cannot be read, so that what comes after it is not known.
    Impassable {
        /// Where it begins, in bytes from the beginning of the file.
        offset: u64,
        /// What it is.
        what: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAString {
                key,
                database,
                kind,
            } => write!(
                f,
                "key {key} (database {database}) is {kind}; only strings can be imported"
            ),
            Self::OtherDatabase {
                database,
                keys: 1,
                first,
            } => write!(
                f,
                "database {database} has a key ({first}); there can be {DATABASES_MAX} databases"
            ),
            Self::OtherDatabase {
                database,
                keys,
                first,
            } => write!(
                f,
                "database {database} has {keys} keys (the first is {first}); there can be \
                 {DATABASES_MAX} databases"
            ),
            Self::Duplicate { key } => write!(f, "key {key} is there twice"),
            Self::TooLong {
                key,
                what,
                bytes,
                limit,
            } => write!(
                f,
                "{what} of key {key} has {bytes} bytes, and {limit} is the limit"
            ),
            Self::KeyTooLong {
                key,
                at,
                bytes,
                limit,
            } => write!(
                f,
                "key {key} at byte {at} of the file has {bytes} bytes, and {limit} is the limit for keys \
                 of a store with a directory"
            ),
            Self::Expiry { key, millis } => write!(
                f,
                "key {key} expires at {millis} ms, which is not after the beginning of 1970"
            ),
            Self::Functions { name } => write!(
                f,
                "there is a library of functions ({name}); functions cannot be imported"
            ),
            Self::ModuleData { module } => write!(
                f,
                "there is data of module type {module}; modules' data cannot be imported"
            ),
            Self::Impassable { offset, what } => write!(
                f,
                "byte {offset} begins {what}, and what comes after that cannot be read"
            ),
        }
    }
}

/// All that a file has and that cannot be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    shown: Vec<Problem>,
    more: u64,
}

impl Problems {
    /// The first of them, [`PROBLEMS_SHOWN_MAX`] at most.
    #[must_use]
    pub fn shown(&self) -> &[Problem] {
        &self.shown
    }

    /// How many more there are.
    #[must_use]
    pub fn more(&self) -> u64 {
        self.more
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    pub(super) fn add(&mut self, problem: Problem) {
        if self.shown.len() < PROBLEMS_SHOWN_MAX {
            self.shown.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// Adds a key in a database that there cannot be: one problem for each database.
    pub(super) fn add_elsewhere(&mut self, other: u64, key: &[u8]) {
        for problem in &mut self.shown {
            if let Problem::OtherDatabase { database, keys, .. } = problem
                && *database == other
            {
                *keys += 1;
                return;
            }
        }
        self.add(Problem::OtherDatabase {
            database: other,
            keys: 1,
            first: Key::of(key),
        });
    }

    /// Adds a library of functions, by the name in its first line.
    pub(super) fn add_functions(&mut self, code: &[u8]) {
        let line = code.split(|byte| *byte == b'\n').next().unwrap_or(code);
        let line = &line[..line.len().min(KEY_SHOWN_BYTES)];
        let mut words = line.split(|byte| *byte == b' ');
        let name = words.find_map(|word| word.strip_prefix(b"name="));
        let name = name.unwrap_or(line).escape_ascii().to_string();
        self.add(Problem::Functions { name });
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.shown.iter().enumerate() {
            let between = if index == 0 { "" } else { "\n" };
            write!(f, "{between}  {problem}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duplicate(key: &[u8]) -> Problem {
        Problem::Duplicate { key: Key::of(key) }
    }

    #[test]
    fn the_first_problems_are_told_and_all_are_counted() {
        let mut problems = Problems::default();
        for number in 0..PROBLEMS_SHOWN_MAX + 5 {
            problems.add(duplicate(number.to_string().as_bytes()));
        }
        assert_eq!(problems.shown().len(), PROBLEMS_SHOWN_MAX);
        assert_eq!(problems.more(), 5);
        let text = problems.to_string();
        assert!(
            text.starts_with("  key \"0\" is there twice\n  key \"1\""),
            "{text}"
        );
        assert!(text.ends_with("\n  and 5 more"), "{text}");
    }

    #[test]
    fn keys_of_one_database_are_one_problem() {
        let mut problems = Problems::default();
        for database in [1_024, 2_000, 1_024, 1_024] {
            problems.add_elsewhere(database, b"k");
        }
        let expected = "  database 1024 has 3 keys (the first is \"k\"); there can be 1024 databases\n  \
                        database 2000 has a key (\"k\"); there can be 1024 databases";
        assert_eq!(problems.to_string(), expected);
    }

    #[test]
    fn a_key_is_shown_escaped_and_cut() {
        let cases = [
            (b"k".to_vec(), "\"k\"".to_owned()),
            (b"\r\n\"\x00\xff".to_vec(), r#""\r\n\"\x00\xff""#.to_owned()),
            (vec![b'x'; KEY_SHOWN_BYTES], format!("{:?}", "x".repeat(64))),
            (
                vec![b'x'; 65],
                format!("\"{}...\" (65 bytes)", "x".repeat(64)),
            ),
        ];
        for (key, expected) in cases {
            assert_eq!(Key::of(&key).to_string(), expected);
        }
    }

    #[test]
    fn a_library_is_told_by_its_name_or_its_first_line() {
        let cases = [
            (&b"#!lua name=mylib\nredis.register_function"[..], "mylib"),
            (b"#!js api_version=1.0 name=other\n", "other"),
            (b"something\nelse", "something"),
            (b"", ""),
        ];
        for (code, expected) in cases {
            let mut problems = Problems::default();
            problems.add_functions(code);
            let name = expected.to_owned();
            assert_eq!(problems.shown(), [Problem::Functions { name }]);
        }
    }
}
