//! Where a value came from, and the value as it was written there.
//!
//! Text only: what it means is decided by the settings. Never holds a password.

use std::fmt;
use std::path::PathBuf;

use super::bounds::ECHO_CHARACTERS_MAX;

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    /// A line of the configuration file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line of the value, from 1.
        line: usize,
    },
    /// A variable of the environment, by its name.
    Environment(String),
    /// A flag of the command line, by its name without dashes at the front.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "file {}:{line}", echo(&path.to_string_lossy())),
            Self::Environment(name) => write!(f, "environment {}", echo(name)),
            Self::Flag(name) => write!(f, "flag --{}", echo(name)),
        }
    }
}

/// One value as somebody wrote it.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// The key, in the file's spelling: lower case and underscores. Perhaps no setting at all.
    pub(super) key: String,
    /// The value; several where the setting takes a list.
    pub(super) texts: Vec<String>,
    pub(super) origin: Origin,
}

impl Given {
    /// The value for an error message; not that of a key that sounds like a secret.
    pub(super) fn shown(&self) -> String {
        if self.sounds_secret() {
            "(hidden)".to_owned()
        } else {
            echo(&self.texts.join(","))
        }
    }

    /// Somebody may have put the password itself where only the name of its file belongs.
    pub(super) fn sounds_secret(&self) -> bool {
        self.key != "password_file"
            && ["pass", "secret", "auth"]
                .iter()
                .any(|word| self.key.contains(word))
    }
}

/// Somebody else's text, fit for one line of ours: escaped and capped.
pub(crate) fn echo(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(ECHO_CHARACTERS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(ECHO_CHARACTERS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_capped() {
        assert_eq!(echo("a\nb\x1b"), "a\\nb\\u{1b}");
        assert_eq!(echo(&"x".repeat(80)), "x".repeat(80));
        assert_eq!(echo(&"x".repeat(81)), "x".repeat(80) + "...");
    }
}
