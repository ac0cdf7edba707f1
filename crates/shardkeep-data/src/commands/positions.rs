//! Key positions: which arguments of a command are keys.
//!
//! A [`KeySpec`] finds some of them in two steps, in the terms in which COMMAND INFO describes them: where
//! the search begins, and which arguments from there on are keys. Looks at arguments only.
//!
//! 1. What is found lies among the arguments: a spec that would reach beyond them finds nothing.
//! 2. Specs find their keys in their order, and each argument is found as often as specs name it.

use shardkeep_resp::parse_i64;

use super::{Args, options};

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At the argument with this number.
    Index(u16),
    /// Behind the first argument that is this word, in any case of letters; looked for from argument number
    /// `from` on, or, if that is negative, backwards from that many arguments before the end.
    Keyword {
        /// In lower case.
        word: &'static str,
        /// The first argument that is compared.
        from: i16,
    },
}

/// Which arguments from there on are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Every `step`th argument up to the last.
    Range {
        /// The last key, counted from the first; from the end of the arguments if negative (-1 is the last).
        last: i16,
        /// From one key to the next.
        step: u16,
        /// The part of the remaining arguments that is keys: 2 is the first half of them. 0 and 1 are all.
        limit: u16,
    },
    /// As many as an argument says.
    Count {
        /// The argument that says it, counted from the beginning of the search.
        at: u16,
        /// The first key, counted from there.
        first: u16,
        /// From one key to the next.
        step: u16,
    },
}

/// Words for the use of a key, as Redis lists them.
pub type KeyFlags = &'static [&'static str];

/// One way in which a command uses some of its arguments as keys.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What is particular about it, or nothing.
    pub note: &'static str,
    /// How the keys are used.
    pub flags: KeyFlags,
    /// How the keys of one call are used, where that depends on its arguments.
    pub flags_of: Option<fn(Args<'_>) -> KeyFlags>,
    /// Where the search begins.
    pub begin: Begin,
    /// Which arguments from there on are keys.
    pub find: Find,
}

/// Some arguments, the same number of arguments apart.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    at: usize,
    step: usize,
    count: usize,
}

impl Found {
    /// Those from `first` to `last`, if all lie among `len` arguments.
    #[inline]
    fn range(first: usize, last: usize, step: usize, len: usize) -> Self {
        if first == 0 || last >= len || last < first {
            return Self::default();
        }
        Self {
            at: first,
            step,
            count: (last - first) / step + 1,
        }
    }
}

/// A number of arguments that is counted from the end if negative.
#[inline]
fn counted(number: i16, from: usize, len: usize) -> usize {
    match usize::try_from(number) {
        Ok(number) => from + number,
        Err(_) => len.saturating_sub(usize::from(number.unsigned_abs())),
    }
}

impl KeySpec {
    /// The key is argument number `at`.
    pub const fn one(at: u16, flags: KeyFlags) -> Self {
        Self::range(at, 0, 1, flags)
    }

    /// Every `step`th argument from `first` to `last`, which counts from the first, or from the end.
    pub const fn range(first: u16, last: i16, step: u16, flags: KeyFlags) -> Self {
        let limit = 0;
        Self::new(
            Begin::Index(first),
            Find::Range { last, step, limit },
            flags,
        )
    }

    /// As many keys as argument `at` says, from the one behind it on.
    pub const fn counted(at: u16, flags: KeyFlags) -> Self {
        let (first, step) = (1, 1);
        let at_once = 0;
        Self::new(
            Begin::Index(at),
            Find::Count {
                at: at_once,
                first,
                step,
            },
            flags,
        )
    }

    /// The keys behind a word, looked for from argument `from` on: those that `find` names.
    pub const fn behind(word: &'static str, from: i16, find: Find, flags: KeyFlags) -> Self {
        Self::new(Begin::Keyword { word, from }, find, flags)
    }

    const fn new(begin: Begin, find: Find, flags: KeyFlags) -> Self {
        Self {
            note: "",
            flags,
            flags_of: None,
            begin,
            find,
        }
    }

    /// With a note about what is particular.
    pub const fn noted(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// With flags that depend on the arguments.
    pub const fn varying(mut self, flags_of: fn(Args<'_>) -> KeyFlags) -> Self {
        self.flags_of = Some(flags_of);
        self
    }

    /// How the keys of this call are used.
    pub fn flags_in(&self, args: Args<'_>) -> KeyFlags {
        self.flags_of.map_or(self.flags, |flags_of| flags_of(args))
    }

    /// The keys it finds among these arguments.
    pub fn of<'a>(&self, args: Args<'a>) -> KeyIter<'a> {
        KeyIter {
            args,
            found: self.find(args),
            specs: [].iter(),
        }
    }

    fn find(&self, args: Args<'_>) -> Found {
        let Some(begin) = self.begin_in(args) else {
            return Found::default();
        };
        match self.find {
            Find::Range { last, step, limit } => {
                let end = match usize::from(limit) {
                    parts @ 2.. if last < 0 => begin + args.len().saturating_sub(begin) / parts,
                    _ => args.len(),
                };
                Found::range(
                    begin,
                    counted(last, begin, end),
                    usize::from(step).max(1),
                    args.len(),
                )
            }
            Find::Count { at, first, step } => {
                let count = args.iter_from(begin + usize::from(at)).next();
                let count = count.and_then(parse_i64).unwrap_or(0);
                let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
                    return Found::default();
                };
                let (begin, step) = (begin + usize::from(first), usize::from(step).max(1));
                let last = begin.saturating_add((count - 1).saturating_mul(step));
                Found::range(begin, last, step, args.len())
            }
        }
    }

    /// The number of the argument at which the search begins.
    fn begin_in(&self, args: Args<'_>) -> Option<usize> {
        match self.begin {
            Begin::Index(at) => Some(usize::from(at)),
            Begin::Keyword { word, from } => {
                let is_word = |&at: &usize| options::is(args.get(at), word);
                let at = match usize::try_from(from) {
                    Ok(from) => (from..args.len()).find(is_word),
                    Err(_) => (1..=counted(from, 0, args.len())).rev().find(is_word),
                };
                at.map(|at| at + 1)
            }
        }
    }

    /// First and last argument and the step, where neither a word nor a count decides.
    const fn as_range(&self) -> Option<(u16, i16, u16)> {
        match (self.begin, self.find) {
            (
                Begin::Index(first),
                Find::Range {
                    last,
                    step,
                    limit: 0 | 1,
                },
            ) if last < 0 => Some((first, last, step)),
            (
                Begin::Index(first),
                Find::Range {
                    last,
                    step,
                    limit: 0 | 1,
                },
            ) => Some((first, first as i16 + last, step)),
            (Begin::Index(_) | Begin::Keyword { .. }, Find::Range { .. } | Find::Count { .. }) => {
                None
            }
        }
    }
}

/// Which arguments of a command are keys.
#[derive(Clone, Copy, Debug)]
pub enum KeyPositions {
    /// None.
    None,
    /// Those from `first` to `last`, `step` arguments apart.
    Range {
        /// Number of the first key.
        first: u16,
        /// Number of the last key; counted from the end (-1) if negative.
        last: i16,
        /// From one key to the next.
        step: u16,
    },
    /// Those that these find.
    Specs(&'static [KeySpec]),
}

impl KeyPositions {
    /// What these specs find together: one range, where they are ranges that follow one another.
    pub const fn new(specs: &'static [KeySpec]) -> Self {
        if specs.is_empty() {
            return Self::None;
        }
        let Some((first, mut last, step)) = specs[0].as_range() else {
            return Self::Specs(specs);
        };
        let mut at = 1;
        while at < specs.len() {
            match specs[at].as_range() {
                Some((next, end, by)) if last > 0 && next as i16 == last + 1 && by == step => {
                    last = end;
                }
                Some(_) | None => return Self::Specs(specs),
            }
            at += 1;
        }
        Self::Range { first, last, step }
    }

    /// Whether no argument is a key.
    #[inline]
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether a range does not say it all.
    pub const fn are_movable(self) -> bool {
        matches!(self, Self::Specs(_))
    }

    /// First, last and step of the range they are, or the first of them are; zeroes if there is none.
    pub const fn range(self) -> (u16, i16, u16) {
        match self {
            Self::None => (0, 0, 0),
            Self::Range { first, last, step } => (first, last, step),
            Self::Specs(specs) => match specs[0].as_range() {
                Some(range) => range,
                None => (0, 0, 0),
            },
        }
    }

    /// The keys among the arguments.
    #[inline]
    pub fn of<'a>(self, args: Args<'a>) -> KeyIter<'a> {
        let (found, specs): (_, &[KeySpec]) = match self {
            Self::None => (Found::default(), &[]),
            Self::Range { first, last, step } => {
                let last = counted(last, 0, args.len());
                let step = usize::from(step).max(1);
                (Found::range(first.into(), last, step, args.len()), &[])
            }
            Self::Specs(specs) => (Found::default(), specs),
        };
        KeyIter {
            args,
            found,
            specs: specs.iter(),
        }
    }
}

/// The keys among some arguments.
#[derive(Clone, Debug)]
pub struct KeyIter<'a> {
    args: Args<'a>,
    found: Found,
    /// Those that have not looked yet.
    specs: std::slice::Iter<'static, KeySpec>,
}

impl<'a> Iterator for KeyIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.found.count == 0 {
            self.found = self.specs.next()?.find(self.args);
        }
        let key = self.args.get(self.found.at);
        self.found.at += self.found.step;
        self.found.count -= 1;
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardkeep_resp::Span;

    /// The keys that `specs` find in a line.
    #[track_caller]
    fn check(specs: &'static [KeySpec], line: &str, keys: &str) {
        let mut spans = Vec::new();
        let mut start = 0;
        for word in line.split(' ') {
            let len = word.len() as u32;
            spans.push(Span { start, len });
            start += len + 1;
        }
        let args = Args::new(line.as_bytes(), &spans);
        let keys: Vec<&[u8]> = keys.split_whitespace().map(str::as_bytes).collect();
        let found: Vec<&[u8]> = KeyPositions::new(specs).of(args).collect();
        assert_eq!(found, keys, "{line}");
        let each = specs.iter().flat_map(|spec| spec.of(args));
        assert_eq!(each.collect::<Vec<_>>(), keys, "{line}");
    }

    const ALL: Find = Find::Range {
        last: -1,
        step: 1,
        limit: 0,
    };
    const HALF: Find = Find::Range {
        last: -1,
        step: 1,
        limit: 2,
    };
    const COUNTED: Find = Find::Count {
        at: 0,
        first: 1,
        step: 1,
    };

    #[test]
    fn a_range_counts_its_end_from_the_first_key_or_from_the_end_of_the_arguments() {
        const FIRST: &[KeySpec] = &[KeySpec::one(1, &[])];
        const SECOND: &[KeySpec] = &[KeySpec::one(2, &[])];
        const EVERY: &[KeySpec] = &[KeySpec::range(1, -1, 1, &[])];
        const PAIRS: &[KeySpec] = &[KeySpec::range(1, -1, 2, &[])];
        const BUT_ONE: &[KeySpec] = &[KeySpec::range(1, -2, 1, &[])];
        check(FIRST, "GET a", "a");
        check(SECOND, "OBJECT ENCODING a", "a");
        check(SECOND, "GET a", "");
        check(EVERY, "DEL a b c", "a b c");
        check(PAIRS, "MSET a 1 b 2", "a b");
        check(BUT_ONE, "BLPOP a b 0", "a b");
        check(BUT_ONE, "BLPOP", "");
        check(&[], "PING a", "");
    }

    #[test]
    fn ranges_that_follow_one_another_are_one() {
        const TWO: &[KeySpec] = &[KeySpec::one(1, &[]), KeySpec::one(2, &[])];
        check(TWO, "RENAME a b", "a b");
        assert_eq!(KeyPositions::new(TWO).range(), (1, 2, 1));
        assert!(!KeyPositions::new(TWO).are_movable());
        const REST: &[KeySpec] = &[KeySpec::one(2, &[]), KeySpec::range(3, -1, 1, &[])];
        check(REST, "BITOP AND a b c", "a b c");
        assert_eq!(KeyPositions::new(REST).range(), (2, -1, 1));
    }

    #[test]
    fn a_count_stands_before_the_keys() {
        const EVAL: &[KeySpec] = &[KeySpec::counted(2, &[])];
        check(EVAL, "EVAL script 2 a b c", "a b");
        check(EVAL, "EVAL script 0 a", "");
        check(EVAL, "EVAL script", "");
        for wrong in ["3 a b", "-1 a", "x a", "9223372036854775807 a"] {
            check(EVAL, &format!("EVAL script {wrong}"), "");
        }
        assert_eq!(KeyPositions::new(EVAL).range(), (0, 0, 0));
        assert!(KeyPositions::new(EVAL).are_movable());
        const STORE: &[KeySpec] = &[KeySpec::one(1, &[]), KeySpec::counted(2, &[])];
        check(STORE, "ZUNIONSTORE t 2 a b WEIGHTS 1 2", "t a b");
        assert_eq!(KeyPositions::new(STORE).range(), (1, 1, 1));
    }

    #[test]
    fn a_word_stands_before_the_keys() {
        const READS: &[KeySpec] = &[KeySpec::behind("streams", 1, HALF, &[])];
        check(READS, "XREAD COUNT 2 streams a b 0 1", "a b");
        check(READS, "XREAD COUNT 2 a b 0 1", "");
        check(READS, "XREAD STREAMS", "");
        const SORT: &[KeySpec] = &[
            KeySpec::one(1, &[]),
            KeySpec::behind(
                "store",
                2,
                Find::Range {
                    last: 0,
                    step: 1,
                    limit: 0,
                },
                &[],
            ),
        ];
        check(SORT, "SORT a BY w STORE t", "a t");
        check(SORT, "SORT a BY store", "a");
        check(SORT, "SORT a", "a");
        const MIGRATE: &[KeySpec] = &[KeySpec::behind("keys", -2, ALL, &[])];
        check(MIGRATE, "MIGRATE host keys 0 5 KEYS a b", "a b");
        const COUNT: &[KeySpec] = &[KeySpec::behind("from", 1, COUNTED, &[])];
        check(COUNT, "X y FROM 2 a b c", "a b");
    }
}
