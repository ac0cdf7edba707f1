//! Matching names against glob patterns, as Redis does.
//!
//! `*` any bytes, `?` one byte, `[a-c]` and `[^a-c]` one byte of a class, `\` takes the next byte
//! as it is. Bytes, not characters. A pattern is parsed once, into segments between its stars; every item
//! of a segment takes exactly one byte. So the first and the last segment stand where they stand, and each
//! between them is looked for behind the one before: its leftmost match leaves the most for the others,
//! and nothing is ever tried again.
//!
//! 1. A name is gone through once (`search.rs` says at what cost), whatever the pattern.
//! 2. A parsed pattern takes memory in proportion to its bytes, which are [`PATTERN_BYTES_MAX`] at most.

mod pace;
mod search;
mod set;
#[cfg(test)]
mod twin;

pub use pace::Hour;
pub use pace::{Pace, TooLate};

use search::{Item, find_items, find_literal, fits};
use set::{ByteSet, class};

/// Bytes of a pattern at most: parsed, it takes up to twenty times as many, and it is parsed while shards
/// are held.
pub const PATTERN_BYTES_MAX: usize = 1024 * 1024;

// Items and sets are numbered in 32 bits.
const _: () = assert!(PATTERN_BYTES_MAX < u32::MAX as usize);

/// Steps for a name that differs at once.
const NAME_STEPS: usize = 16;

/// Whether letters of either case are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They are not.
    Matters,
    /// They are.
    Ignored,
}

/// A pattern is longer than [`PATTERN_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    bytes: usize,
}

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes } = self;
        write!(
            f,
            "ERR the pattern has {bytes} bytes, and {PATTERN_BYTES_MAX} is the limit"
        )
    }
}

/// The items between two stars; as plain bytes if that is what all of them are.
#[derive(Clone, Copy, Debug)]
enum Segment {
    Literal { first: u32, end: u32 },
    Items { first: u32, end: u32 },
}

impl Segment {
    fn len(self) -> usize {
        let (Self::Literal { first, end } | Self::Items { first, end }) = self;
        (end - first) as usize
    }
}

/// A pattern, parsed, ready to be used many times.
#[derive(Debug)]
pub struct Glob {
    /// None of them is empty.
    segments: Vec<Segment>,
    literals: Vec<u8>,
    items: Vec<Item>,
    sets: Vec<ByteSet>,
    /// Whether there is a star before the first segment, and behind the last.
    opens: bool,
    ends_open: bool,
    /// Bytes of a name at least.
    shortest: usize,
    /// It is a single star.
    is_everything: bool,
    /// A class has no byte at all.
    is_nothing: bool,
}

impl Glob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// It is longer than [`PATTERN_BYTES_MAX`].
    pub fn parse(pattern: &[u8], case: Case) -> Result<Self, TooLong> {
        let bytes = pattern.len();
        if bytes > PATTERN_BYTES_MAX {
            return Err(TooLong { bytes });
        }
        let mut glob = Self {
            segments: Vec::new(),
            literals: Vec::new(),
            items: Vec::new(),
            sets: Vec::new(),
            opens: pattern.first() == Some(&b'*'),
            ends_open: false,
            shortest: 0,
            is_everything: pattern == b"*",
            is_nothing: false,
        };
        let (mut rest, mut segment) = (pattern, Vec::new());
        while let Some((item, after)) = glob.item(rest, case) {
            rest = after;
            glob.ends_open = item.is_none();
            match item {
                Some(item) => segment.push(item),
                None => glob.close(&mut segment),
            }
        }
        glob.close(&mut segment);
        Ok(glob)
    }

    /// The next item of a pattern, `None` for a star, and what comes after it.
    fn item<'p>(&mut self, pattern: &'p [u8], case: Case) -> Option<(Option<Item>, &'p [u8])> {
        let (set, after) = match pattern {
            [] => return None,
            [b'*', after @ ..] => return Some((None, after)),
            [b'?', after @ ..] => (ByteSet::ALL, after),
            [b'[', after @ ..] => class(after, case),
            [b'\\', literal, after @ ..] | [literal, after @ ..] => {
                (ByteSet::of(*literal, case), after)
            }
        };
        Some((Some(self.item_of(set)), after))
    }

    fn item_of(&mut self, set: ByteSet) -> Item {
        if set == ByteSet::ALL {
            return Item::Any;
        }
        if let Some(only) = set.only() {
            return Item::Byte(only);
        }
        self.is_nothing |= set == ByteSet::EMPTY;
        // The same class again and again is kept once.
        if self.sets.last() != Some(&set) {
            self.sets.push(set);
        }
        Item::Set(self.sets.len() as u32 - 1)
    }

    /// A star, or the end of the pattern: what came before it is a segment.
    fn close(&mut self, segment: &mut Vec<Item>) {
        if segment.is_empty() {
            return;
        }
        self.shortest += segment.len();
        let byte = |item: &Item| match *item {
            Item::Byte(byte) => Some(byte),
            Item::Any | Item::Set(_) => None,
        };
        let (literals, items) = (self.literals.len(), self.items.len());
        self.literals.extend(segment.iter().map_while(byte));
        let is_literal = self.literals.len() - literals == segment.len();
        let closed = if is_literal {
            let (first, end) = (literals as u32, self.literals.len() as u32);
            Segment::Literal { first, end }
        } else {
            self.literals.truncate(literals);
            self.items.extend_from_slice(segment);
            let (first, end) = (items as u32, self.items.len() as u32);
            Segment::Items { first, end }
        };
        self.segments.push(closed);
        segment.clear();
    }

    /// Whether the whole name matches; too late where the clock of `pace` says so before that is known.
    pub fn matches(&self, name: &[u8], pace: &mut Pace) -> Result<bool, TooLate> {
        pace.spend(NAME_STEPS + self.shortest.min(name.len()))?;
        if self.is_everything {
            return Ok(true);
        }
        let has_star = self.opens || self.ends_open || self.segments.len() > 1;
        // So Redis has it: an empty name has no part that another pattern could match.
        if name.is_empty() {
            return Ok(self.segments.is_empty() && !has_star);
        }
        let fits_length = name.len() == self.shortest || has_star && name.len() > self.shortest;
        if !fits_length || self.is_nothing {
            return Ok(false);
        }
        let (mut segments, mut name) = (&self.segments[..], name);
        if !self.opens
            && let [first, others @ ..] = segments
        {
            let (beginning, after) = name.split_at(first.len());
            if !self.is(*first, beginning) {
                return Ok(false);
            }
            (segments, name) = (others, after);
        }
        if !self.ends_open
            && let [others @ .., last] = segments
        {
            let (before, end) = name.split_at(name.len() - last.len());
            if !self.is(*last, end) {
                return Ok(false);
            }
            (segments, name) = (others, before);
        }
        for segment in segments {
            match self.find(*segment, name, pace)? {
                Some(at) => name = &name[at + segment.len()..],
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether one of our own names matches, which are short.
    pub fn matches_short(&self, name: &str) -> bool {
        self.matches(name.as_bytes(), &mut Pace::free()) == Ok(true)
    }

    fn is(&self, segment: Segment, bytes: &[u8]) -> bool {
        match segment {
            Segment::Literal { first, end } => {
                &self.literals[first as usize..end as usize] == bytes
            }
            Segment::Items { first, end } => {
                fits(&self.items[first as usize..end as usize], &self.sets, bytes)
            }
        }
    }

    fn find(
        &self,
        segment: Segment,
        name: &[u8],
        pace: &mut Pace,
    ) -> Result<Option<usize>, TooLate> {
        match segment {
            Segment::Literal { first, end } => {
                find_literal(name, &self.literals[first as usize..end as usize], pace)
            }
            Segment::Items { first, end } => {
                let items = &self.items[first as usize..end as usize];
                find_items(name, items, &self.sets, pace)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    fn check(pattern: &[u8], matching: &[&[u8]], other: &[&[u8]]) {
        let glob = Glob::parse(pattern, Case::Matters).unwrap();
        let matches = |name: &[u8]| glob.matches(name, &mut Pace::free()).unwrap();
        let shown = pattern.escape_ascii();
        for name in matching {
            assert!(matches(name), "{shown} matches {}", name.escape_ascii());
        }
        for name in other {
            assert!(!matches(name), "{shown}: not {}", name.escape_ascii());
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
        let glob = Glob::parse(b"G[E-F]T*", Case::Ignored).unwrap();
        assert!(glob.matches_short("getex") && glob.matches_short("GFT"));
        assert!(!glob.matches_short("gat"));
    }

    /// Steps that a match is accounted for, in looks at the clock.
    fn looks(pattern: &[u8], name: &[u8]) -> usize {
        let looks = Rc::new(Cell::new(0));
        let counted = Rc::clone(&looks);
        let mut pace = Pace::new(Box::new(move || {
            counted.set(counted.get() + 1);
            Hour::Early
        }));
        let glob = Glob::parse(pattern, Case::Matters).unwrap();
        glob.matches(name, &mut pace).unwrap();
        looks.get()
    }

    #[test]
    fn whatever_the_pattern_a_long_name_takes_few_steps() {
        let mut name = vec![b'a'; 1024 * 1024];
        for pattern in [
            [b"*".to_vec(), vec![b'a'; 500], b"b".to_vec()].concat(),
            [b"*a".repeat(500), b"b".to_vec()].concat(),
            [b"*[".to_vec(), vec![b'b'; 40_000], b"]".to_vec()].concat(),
            [b"*".to_vec(), b"[ac]?".repeat(30), b"b*".to_vec()].concat(),
            b"*[^b]??????????????b*".to_vec(),
            b"?*".repeat(500_000),
            vec![b'*'; PATTERN_BYTES_MAX],
        ] {
            let looks = looks(&pattern, &name);
            assert!(
                looks < 400,
                "{looks} for {} bytes {:?}",
                pattern.len(),
                &pattern[..4]
            );
        }
        name.push(b'b');
        let most = [b"*".to_vec(), b"[ac]".repeat(5_000), b"d*".to_vec()].concat();
        let words = 5_001_usize.div_ceil(64);
        let looks = looks(&most, &name);
        assert!(looks < 20 * words, "{looks}");
    }

    #[test]
    fn a_match_ends_when_its_time_is_over() {
        let name = vec![b'a'; 1024 * 1024];
        for pattern in [
            &b"*b*"[..],
            b"*[bc]*",
            b"*a[bc]*",
            b"*aaaaaaaaaaaaaaaaaaaaa[bc]b*",
        ] {
            let mut pace = Pace::new(Box::new(|| Hour::Late));
            let glob = Glob::parse(pattern, Case::Matters).unwrap();
            assert_eq!(glob.matches(&name, &mut pace), Err(TooLate));
        }
    }

    #[test]
    fn a_pattern_that_is_too_long_is_refused() {
        let pattern = vec![b'a'; PATTERN_BYTES_MAX + 1];
        let error = Glob::parse(&pattern, Case::Matters).unwrap_err();
        let expected = "ERR the pattern has 1048577 bytes, and 1048576 is the limit";
        assert_eq!(error.to_string(), expected);
        assert!(Glob::parse(&pattern[1..], Case::Matters).is_ok());
    }
}
