//! The matcher of Redis 7.0.15, rule by rule, and the comparison with it.
//!
//! It tries everything again behind every star, and reads the byte behind the end as zero, as its texts
//! have one there.

use proptest::prelude::*;

use super::{Case, Glob, Pace};

/// A text, and how far it was read.
#[derive(Clone, Copy)]
struct Text<'t> {
    text: &'t [u8],
    at: usize,
}

impl Text<'_> {
    fn left(&self) -> isize {
        self.text.len() as isize - self.at as isize
    }

    /// The byte `on` places further, as C's signed `char`.
    fn char(&self, on: usize) -> i8 {
        self.text
            .get(self.at + on)
            .map_or(0, |byte| byte.cast_signed())
    }
}

fn lower(char: i8) -> i32 {
    match char {
        -1 => -1,
        other => i32::from(other.cast_unsigned().to_ascii_lowercase()),
    }
}

fn is_char(char: i8, expected: u8) -> bool {
    char == expected.cast_signed()
}

fn in_class(pattern: &mut Text<'_>, char: i8, case: Case) -> bool {
    pattern.at += 1;
    let negated = is_char(pattern.char(0), b'^');
    if negated {
        pattern.at += 1;
    }
    let mut found = false;
    loop {
        if pattern.left() >= 2 && is_char(pattern.char(0), b'\\') {
            pattern.at += 1;
            found |= pattern.char(0) == char;
        } else if is_char(pattern.char(0), b']') {
            break;
        } else if pattern.left() == 0 {
            pattern.at -= 1;
            break;
        } else if pattern.left() >= 3 && is_char(pattern.char(1), b'-') {
            let (mut start, mut end) = (i32::from(pattern.char(0)), i32::from(pattern.char(2)));
            let mut wanted = i32::from(char);
            if start > end {
                (start, end) = (end, start);
            }
            if case == Case::Ignored {
                [start, end, wanted] = [start, end, wanted].map(|number| lower(number as i8));
            }
            pattern.at += 2;
            found |= (start..=end).contains(&wanted);
        } else {
            found |= match case {
                Case::Matters => pattern.char(0) == char,
                Case::Ignored => lower(pattern.char(0)) == lower(char),
            };
        }
        pattern.at += 1;
    }
    found != negated
}

fn matches(mut pattern: Text<'_>, mut name: Text<'_>, case: Case) -> bool {
    while pattern.left() > 0 && name.left() > 0 {
        if is_char(pattern.char(0), b'*') {
            while pattern.left() > 0 && is_char(pattern.char(1), b'*') {
                pattern.at += 1;
            }
            if pattern.left() == 1 {
                return true;
            }
            pattern.at += 1;
            while name.left() > 0 {
                if matches(pattern, name, case) {
                    return true;
                }
                name.at += 1;
            }
            return false;
        }
        let char = name.char(0);
        let is_same = match pattern.char(0).cast_unsigned() {
            b'?' => true,
            b'[' => in_class(&mut pattern, char, case),
            first => {
                if first == b'\\' && pattern.left() >= 2 {
                    pattern.at += 1;
                }
                match case {
                    Case::Matters => pattern.char(0) == char,
                    Case::Ignored => lower(pattern.char(0)) == lower(char),
                }
            }
        };
        if !is_same {
            return false;
        }
        name.at += 1;
        pattern.at += 1;
        if name.left() == 0 {
            while is_char(pattern.char(0), b'*') {
                pattern.at += 1;
            }
            break;
        }
    }
    pattern.left() == 0 && name.left() == 0
}

/// What Redis answers: it does not look at names where the pattern is a single star.
fn redis(pattern: &[u8], name: &[u8], case: Case) -> bool {
    let [pattern, name] = [pattern, name].map(|text| Text { text, at: 0 });
    pattern.text == b"*" || matches(pattern, name, case)
}

/// Bytes that mean something in a pattern, few others, and those at the ends of signed and unsigned.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        12 => proptest::sample::select(&b"ab*?[]^-\\"[..]),
        4 => proptest::sample::select(&b"ABzZ@[`{\x00\x7f\x80\xc1\xe1\xfe\xff"[..]),
    ];
    proptest::collection::vec(byte, 0..most)
}

fn check(pattern: &[u8], name: &[u8]) -> Result<(), TestCaseError> {
    for case in [Case::Matters, Case::Ignored] {
        let glob = Glob::parse(pattern, case).unwrap();
        let got = glob.matches(name, &mut Pace::free());
        let expected = redis(pattern, name, case);
        let shown = [pattern, name].map(|text| text.escape_ascii().to_string());
        prop_assert_eq!(got, Ok(expected), "{:?} {:?}", shown, case);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_pattern_matches_what_it_matches_in_redis(pattern in bytes(14), name in bytes(10)) {
        check(&pattern, &name)?;
    }

    #[test]
    fn names_that_were_made_from_the_pattern_match_as_in_redis(
        pattern in bytes(20),
        gaps in proptest::collection::vec(bytes(4), 6),
    ) {
        let mut gaps = gaps.iter().cycle();
        let mut name = Vec::new();
        for byte in &pattern {
            match byte {
                b'*' => name.extend(gaps.next().into_iter().flatten()),
                b'?' => name.push(b'a'),
                other => name.push(*other),
            }
        }
        check(&pattern, &name)?;
    }
}
