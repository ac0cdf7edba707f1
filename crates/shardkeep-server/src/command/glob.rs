//! Matching names against glob patterns, as Redis does.
//!
//! `*` any bytes, `?` one byte, `[a-c]` and `[^a-c]` one byte of a class, `\` takes the next byte
//! as it is. Bytes, not characters. Not recursive: on failure only the last `*` is tried again,
//! which is enough because everything else takes exactly one byte. So a match takes at most
//! pattern length times name length steps.

/// Whether letters of either case are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Matters,
    Ignored,
}

impl Case {
    #[inline]
    fn fold(self, byte: u8) -> u8 {
        match self {
            Self::Matters => byte,
            Self::Ignored => byte.to_ascii_lowercase(),
        }
    }
}

/// A pattern, ready to be used many times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glob<'p> {
    pattern: &'p [u8],
    case: Case,
}

impl<'p> Glob<'p> {
    pub(crate) fn new(pattern: &'p [u8], case: Case) -> Self {
        Self { pattern, case }
    }

    /// Whether the whole name matches.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        if self.pattern == b"*" {
            return true;
        }
        // So Redis has it: an empty name has no part that another pattern could match.
        if name.is_empty() {
            return self.pattern.is_empty();
        }
        let (mut pattern, mut rest) = (self.pattern, name);
        let mut last_star: Option<(&[u8], &[u8])> = None;
        loop {
            if let [b'*', after @ ..] = pattern {
                if after.is_empty() {
                    return true;
                }
                last_star = Some((after, rest));
                pattern = after;
                continue;
            }
            let step = match (pattern.is_empty(), rest) {
                (true, []) => return true,
                (true, [..]) => None,
                (false, []) => return false,
                (false, [byte, left @ ..]) => self.one(pattern, *byte).map(|after| (after, left)),
            };
            (pattern, rest) = match (step, last_star) {
                (Some(step), _) => step,
                (None, Some((after, [_, left @ ..]))) => {
                    last_star = Some((after, left));
                    (after, left)
                }
                (None, Some((_, [])) | None) => return false,
            };
        }
    }

    /// The pattern after its first element, if that (not a `*`) matches this byte.
    #[inline]
    fn one(&self, pattern: &'p [u8], byte: u8) -> Option<&'p [u8]> {
        match pattern {
            [b'?', after @ ..] => Some(after),
            [b'[', class @ ..] => self.class(class, byte),
            [b'\\', literal, after @ ..] | [literal, after @ ..] => {
                (self.case.fold(*literal) == self.case.fold(byte)).then_some(after)
            }
            [] => None,
        }
    }

    /// The pattern after this class (which begins behind its `[`), if the byte is in it. A class
    /// that is never closed ends with the pattern.
    fn class(&self, class: &'p [u8], byte: u8) -> Option<&'p [u8]> {
        let (negated, mut rest) = match class {
            [b'^', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mut found = false;
        loop {
            rest = match rest {
                [b'\\', literal, after @ ..] => {
                    // Redis compares it as it is, even where case is ignored.
                    found |= *literal == byte;
                    after
                }
                [b']', after @ ..] => {
                    return (found != negated).then_some(after);
                }
                [] => return (found != negated).then_some(rest),
                [from, b'-', to, after @ ..] => {
                    found |= self.in_range(*from, *to, byte);
                    after
                }
                [literal, after @ ..] => {
                    found |= self.case.fold(*literal) == self.case.fold(byte);
                    after
                }
            };
        }
    }

    /// The ends may come in either order, and are signed, as `char` is in the C of Redis.
    fn in_range(&self, from: u8, to: u8, byte: u8) -> bool {
        let signed = |byte: u8| self.case.fold(byte).cast_signed();
        let (from, to) = if from.cast_signed() <= to.cast_signed() {
            (from, to)
        } else {
            (to, from)
        };
        (signed(from)..=signed(to)).contains(&signed(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &[u8], matching: &[&[u8]], other: &[&[u8]]) {
        let glob = Glob::new(pattern, Case::Matters);
        let shown = pattern.escape_ascii();
        for name in matching {
            assert!(
                glob.matches(name),
                "{shown} matches {}",
                name.escape_ascii()
            );
        }
        for name in other {
            assert!(!glob.matches(name), "{shown}: not {}", name.escape_ascii());
        }
    }

    #[test]
    fn a_star_matches_any_bytes_also_none() {
        check(b"*", &[b"", b"a", b"\xff\0"], &[]);
        check(b"a*", &[b"a", b"abc"], &[b"", b"ba"]);
        check(b"*c", &[b"c", b"abc", b"cc"], &[b"", b"ca"]);
        check(b"a**b*c", &[b"abc", b"a--b--bc"], &[b"acb", b"ab"]);
        check(b"*ab*ab", &[b"abab", b"xabyabab"], &[b"ab", b"aba"]);
    }

    #[test]
    fn an_empty_name_matches_only_itself_and_a_single_star() {
        check(b"", &[b""], &[b"a"]);
        check(b"**", &[b"a"], &[b""]);
    }

    #[test]
    fn a_question_mark_matches_one_byte() {
        check(b"?", &[b"a", b"\xff"], &[b"", b"ab"]);
        check(b"a?c", &[b"abc", b"a?c"], &[b"ac", b"abbc"]);
    }

    #[test]
    fn a_class_matches_one_of_its_bytes() {
        check(b"[abc]", &[b"a", b"c"], &[b"d", b"ab", b""]);
        check(b"[^abc]", &[b"d", b"^"], &[b"a"]);
        check(b"[a-c]x", &[b"ax", b"bx"], &[b"dx", b"a"]);
        check(b"[c-a]", &[b"b"], &[b"d", b"-"]);
        check(b"[a\\-c]", &[b"a", b"-", b"c"], &[b"b", b"\\"]);
        check(b"[\\]]", &[b"]"], &[b"\\"]);
        check(b"[a-]", &[b"a", b"]", b"_"], &[b"b", b"-"]);
        check(b"[]", &[], &[b"]", b"["]);
        check(b"[a-\xff]", &[b"\xff", b"\x10"], &[b"\x80", b"b"]);
    }

    #[test]
    fn a_class_that_is_never_closed_ends_with_the_pattern() {
        check(b"[ab", &[b"a", b"b"], &[b"[ab", b"c"]);
        check(b"[^", &[b"x"], &[b""]);
        check(b"[", &[], &[b"["]);
    }

    #[test]
    fn a_backslash_takes_the_next_byte_as_it_is() {
        check(b"\\*", &[b"*"], &[b"a", b"\\*"]);
        check(b"\\?\\[\\\\", &[b"?[\\"], &[b"a[\\"]);
        check(b"a\\", &[b"a\\"], &[b"a"]);
    }

    #[test]
    fn letters_of_either_case_are_the_same_on_request() {
        let glob = Glob::new(b"G[E-F]T*", Case::Ignored);
        assert!(glob.matches(b"getex") && glob.matches(b"GFT"));
        assert!(!glob.matches(b"gat"));
    }

    #[test]
    fn an_evil_pattern_takes_bounded_time() {
        let pattern = b"*a".repeat(500);
        let mut name = vec![b'a'; 20_000];
        name.push(b'b');
        check(&pattern, &[], &[&name]);
    }
}
