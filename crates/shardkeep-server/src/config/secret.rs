//! A password that does not show itself.
//!
//! Not a hash and not a vault: it keeps the bytes in memory, because clients send them in clear.
//!
//! 1. Neither `Debug` nor any other text of the program contains the bytes.
//! 2. The time of a comparison depends on the length of the candidate, never on its content.
//! 3. It is never empty.

use std::fmt;
use std::hint::black_box;

/// A password. `Debug` shows a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes `bytes` as a password; `None` when they are empty, for an empty password is a mistake.
    ///
    /// ```
    /// use shardkeep_server::config::Secret;
    ///
    /// assert!(Secret::new(b"").is_none());
    /// let secret = Secret::new(b"correct horse").ok_or("empty")?;
    /// assert!(secret.matches(b"correct horse"));
    /// assert!(!secret.matches(b"correct hors"));
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            None
        } else {
            Some(Self(bytes.into()))
        }
    }

    /// Whether `candidate` is this password. Takes the same time wherever the two differ.
    #[must_use]
    pub fn matches(&self, candidate: &[u8]) -> bool {
        let mut difference = u8::from(candidate.len() != self.0.len());
        // The password repeats itself beside a longer candidate: its length stays as hidden as its
        // bytes.
        for (given, expected) in candidate.iter().zip(self.0.iter().cycle()) {
            difference = black_box(difference | (given ^ expected));
        }
        difference == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_password_matches() {
        let secret = Secret::new(b"abc").unwrap();
        let cases: [(&[u8], bool); 8] = [
            (b"abc", true),
            (b"", false),
            (b"a", false),
            (b"ab", false),
            (b"abd", false),
            (b"xbc", false),
            (b"abcabc", false),
            (b"abc\0", false),
        ];
        for (candidate, expected) in cases {
            assert_eq!(secret.matches(candidate), expected, "{candidate:?}");
        }
    }

    #[test]
    fn debug_does_not_show_it() {
        let text = format!("{:?}", Secret::new(b"hunter2"));
        assert!(!text.contains("hunter2"), "{text}");
    }
}
