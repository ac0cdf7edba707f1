//! Effects as bytes: what a change did to one entry, absolute, as RESP commands.
//!
//! What stands in the log and in snapshots, so that the same bytes could be fed to anything that
//! speaks RESP. Knows no keys and no values but as bytes.
//!
//! 1. An effect is whole: the value, and when it expires or that it does not. So replaying it twice
//!    changes nothing.
//! 2. What was not written here is not read: a command of any other form is an error, never a guess.

use std::fmt;

use crate::table::UnixMillis;

/// What a change did to one entry, or to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'b> {
    /// The entry is now this.
    Set {
        /// Its key.
        key: &'b [u8],
        /// Its value.
        value: &'b [u8],
        /// When it expires, if it does.
        expires: Option<UnixMillis>,
    },
    /// The entry is gone.
    Delete {
        /// Its key.
        key: &'b [u8],
    },
    /// All entries are gone.
    Clear,
}

/// Digits of the largest number of 64 bits.
const DIGITS_MAX: usize = 20;

impl Effect<'_> {
    /// Appends the effect as a RESP command.
    pub fn encode(&self, into: &mut Vec<u8>) {
        match *self {
            Self::Set {
                key,
                value,
                expires,
            } => {
                into.extend_from_slice(match expires {
                    None => b"*3\r\n$3\r\nSET\r\n".as_slice(),
                    Some(_) => b"*5\r\n$3\r\nSET\r\n".as_slice(),
                });
                bulk(into, key);
                bulk(into, value);
                if let Some(at) = expires {
                    into.extend_from_slice(b"$4\r\nPXAT\r\n");
                    let mut buffer = [0; DIGITS_MAX];
                    bulk(into, digits(at.get(), &mut buffer));
                }
            }
            Self::Delete { key } => {
                into.extend_from_slice(b"*2\r\n$3\r\nDEL\r\n");
                bulk(into, key);
            }
            Self::Clear => into.extend_from_slice(b"*1\r\n$8\r\nFLUSHALL\r\n"),
        }
    }
}

fn bulk(into: &mut Vec<u8>, bytes: &[u8]) {
    let mut buffer = [0; DIGITS_MAX];
    into.push(b'$');
    into.extend_from_slice(digits(bytes.len() as u64, &mut buffer));
    into.extend_from_slice(b"\r\n");
    into.extend_from_slice(bytes);
    into.extend_from_slice(b"\r\n");
}

fn digits(mut number: u64, buffer: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[at..];
        }
    }
}

/// Bytes that are no effect of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where the command begins, counted from the first byte of the record.
    pub offset: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "byte {} of the record begins no known effect",
            self.offset
        )
    }
}

impl std::error::Error for Malformed {}

/// The effects of a record, in their order.
#[derive(Clone, Debug)]
pub struct Effects<'b> {
    record: &'b [u8],
    at: usize,
}

/// The effects of a record, in their order; ends after the first error.
#[must_use]
pub const fn decode(record: &[u8]) -> Effects<'_> {
    Effects { record, at: 0 }
}

/// A record in parts of whole effects, none longer than `bytes_max` (unless a single effect is).
pub(crate) fn parts(record: &[u8], bytes_max: usize) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut effects = decode(record);
    let (mut from, mut to) = (0, 0);
    // A short record is not read: it is one part.
    while record.len() - from > bytes_max && matches!(effects.next(), Some(Ok(_))) {
        if effects.offset() - from > bytes_max && to > from {
            parts.push(&record[from..to]);
            from = to;
        }
        to = effects.offset();
    }
    if from < record.len() {
        parts.push(&record[from..]);
    }
    parts
}

impl<'b> Iterator for Effects<'b> {
    type Item = Result<Effect<'b>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.at;
        if offset == self.record.len() {
            return None;
        }
        let effect = self.command();
        if effect.is_none() {
            self.at = self.record.len();
        }
        Some(effect.ok_or(Malformed { offset }))
    }
}

impl<'b> Effects<'b> {
    /// Where the next effect begins, or the record ends.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    fn command(&mut self) -> Option<Effect<'b>> {
        let parts = self.number(b'*')?;
        let name = self.bulk()?;
        match (name, parts) {
            (b"SET", 3 | 5) => {
                let (key, value) = (self.bulk()?, self.bulk()?);
                let expires = if parts == 5 {
                    Some(self.expiry()?)
                } else {
                    None
                };
                Some(Effect::Set {
                    key,
                    value,
                    expires,
                })
            }
            (b"DEL", 2) => Some(Effect::Delete { key: self.bulk()? }),
            (b"FLUSHALL", 1) => Some(Effect::Clear),
            (_, _) => None,
        }
    }

    fn expiry(&mut self) -> Option<UnixMillis> {
        if self.bulk()? != b"PXAT" {
            return None;
        }
        let millis = parse(self.bulk()?)?;
        (millis > 0).then(|| UnixMillis::new(millis))
    }

    fn bulk(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number(b'$')?).ok()?;
        let rest = &self.record[self.at..];
        let bytes = rest.get(..length)?;
        if !rest[length..].starts_with(b"\r\n") {
            return None;
        }
        self.at += length + 2;
        Some(bytes)
    }

    /// A line of one kind with a number in it.
    fn number(&mut self, kind: u8) -> Option<u64> {
        let rest = &self.record[self.at..];
        if rest.first() != Some(&kind) {
            return None;
        }
        let line = &rest[1..rest.len().min(1 + DIGITS_MAX + 1)];
        let end = line.iter().position(|&byte| byte == b'\r')?;
        if rest.get(1 + end + 1) != Some(&b'\n') {
            return None;
        }
        let number = parse(&line[..end])?;
        self.at += 1 + end + 2;
        Some(number)
    }
}

/// A number as it is written here: no sign, no leading zero.
fn parse(text: &[u8]) -> Option<u64> {
    if text.is_empty() || (text.len() > 1 && text[0] == b'0') {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(effects: &[Effect<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        effects.iter().for_each(|effect| effect.encode(&mut bytes));
        bytes
    }

    #[test]
    fn an_effect_is_the_command_that_would_make_it() {
        let at = Some(UnixMillis::new(1_700_000_000_000));
        let cases: [(Effect<'_>, &[u8]); 4] = [
            (
                Effect::Set {
                    key: b"k",
                    value: b"",
                    expires: None,
                },
                b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n",
            ),
            (
                Effect::Set {
                    key: b"k",
                    value: b"v\r\n",
                    expires: at,
                },
                b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nv\r\n\r\n$4\r\nPXAT\r\n$13\r\n1700000000000\r\n",
            ),
            (Effect::Delete { key: b"k" }, b"*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n"),
            (Effect::Clear, b"*1\r\n$8\r\nFLUSHALL\r\n"),
        ];
        for (effect, bytes) in cases {
            assert_eq!(encoded(&[effect]), bytes);
            assert_eq!(decode(bytes).collect::<Vec<_>>(), [Ok(effect)]);
        }
    }

    #[test]
    fn what_is_no_effect_is_an_error_with_its_place() {
        let good = encoded(&[Effect::Clear]);
        let cases: [&[u8]; 10] = [
            b"*1\r\n$3\r\nGET\r\n",
            b"*2\r\n$8\r\nFLUSHALL\r\n",
            b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$1\r\nx\r\n",
            b"*2\r\n$3\r\nDEL\r\n$99999999999999999999\r\nk\r\n",
            b"*2\r\n$3\r\nDEL\r\n$18446744073709551615\r\nk\r\n",
            b"*2\r\n$3\r\nDEL\r\n$01\r\nk\r\n",
            b"*2\r\n$3\r\nDEL\r\n$1\r\nkk\r\n",
            b"*2\r\n$3\r\nDEL\r\n$1\r\nk",
            b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$4\r\nPXAT\r\n$1\r\n0\r\n",
            b"garbage",
        ];
        for bytes in cases {
            let record = [good.as_slice(), bytes].concat();
            let malformed = Malformed { offset: good.len() };
            let found: Vec<_> = decode(&record).collect();
            assert_eq!(
                found,
                [Ok(Effect::Clear), Err(malformed)],
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn a_long_record_is_parted_between_its_effects() {
        let delete = encoded(&[Effect::Delete { key: b"k" }]);
        let (one, record) = (delete.len(), delete.repeat(5));
        let lengths = |bytes_max| -> Vec<usize> {
            parts(&record, bytes_max)
                .iter()
                .map(|part| part.len() / one)
                .collect()
        };
        assert_eq!(lengths(5 * one), [5]);
        assert_eq!(lengths(2 * one), [2, 2, 1]);
        assert_eq!(lengths(3 * one - 1), [2, 2, 1]);
        assert_eq!(lengths(1), [1, 1, 1, 1, 1]);
        assert!(parts(&[], 1).is_empty());
        assert_eq!(parts(&record, 2 * one).concat(), record);
    }

    fn owned() -> impl Strategy<Value = (u8, Vec<u8>, Vec<u8>, Option<u64>)> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        (0..3_u8, bytes(), bytes(), prop::option::of(1..u64::MAX))
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(all in prop::collection::vec(owned(), 0..20)) {
            let effects: Vec<_> = all.iter().map(|(kind, key, value, millis)| match kind {
                0 => Effect::Set { key, value, expires: millis.map(UnixMillis::new) },
                1 => Effect::Delete { key },
                _ => Effect::Clear,
            }).collect();
            let decoded: Result<Vec<_>, _> = decode(&encoded(&effects)).map(|found| found.map(|effect| format!("{effect:?}"))).collect();
            let expected: Vec<_> = effects.iter().map(|effect| format!("{effect:?}")).collect();
            prop_assert_eq!(decoded, Ok(expected));
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _found = decode(&bytes).count();
        }
    }
}
