//! Effects as bytes: what a change did to one key, as the write command that does it again.
//!
//! What stands in the log and in snapshots. Knows the frame alone, which is a RESP command with its key
//! as the first argument; its verbs belong to the states that write and replay them.
//!
//! ```text
//! [@DATABASE\r\n] *WORDS\r\n $BYTES\r\nVERB\r\n [$BYTES\r\nKEY\r\n] $BYTES\r\nARGUMENT\r\n ...
//! ```
//!
//! 1. An effect names one key of one database (0 where none is written) and depends on that key's own
//!    state alone, so effects of two keys may change places. [`FLUSHALL`], [`FLUSHDB`] and [`SWAPDB`] name
//!    none and concern all shards.
//! 2. An effect may say what changed, not what is: it is replayed exactly once, in its order.
//! 3. No clock, no chance and no setting is in it: moments are absolute.
//! 4. What was not written here is not read: bytes of any other form are an error, never a guess.

use std::fmt;

use crate::codec::DecodeError;
use crate::table::UnixMillis;

/// Verb of an effect that gives a key a value: `SET key value [PXAT milliseconds]`.
pub const SET: &[u8] = b"SET";
/// Verb of an effect that removes a key: `DEL key`.
pub const DEL: &[u8] = b"DEL";
/// Verb of an effect that gives a key another expiry: `PEXPIREAT key milliseconds`.
pub const PEXPIREAT: &[u8] = b"PEXPIREAT";
/// Verb of an effect that takes the expiry from a key: `PERSIST key`.
pub const PERSIST: &[u8] = b"PERSIST";
/// Verb of an effect that removes all keys of all databases.
pub const FLUSHALL: &[u8] = b"FLUSHALL";
/// Verb of an effect that removes all keys of its database.
pub const FLUSHDB: &[u8] = b"FLUSHDB";
/// Verb of an effect that exchanges two databases: `SWAPDB database database`.
pub const SWAPDB: &[u8] = b"SWAPDB";
/// Word before the moment at which a value expires, in a [`SET`].
const PXAT: &[u8] = b"PXAT";

/// Digits of the largest number of 64 bits.
const DIGITS_MAX: usize = 20;

/// Appends `SET key value`, with the moment of its expiry if it has one.
#[inline]
pub fn set(
    into: &mut Vec<u8>,
    database: u32,
    key: &[u8],
    value: &[u8],
    expires: Option<UnixMillis>,
) {
    select(into, database);
    into.extend_from_slice(match expires {
        None => b"*3\r\n$3\r\nSET\r\n".as_slice(),
        Some(_) => b"*5\r\n$3\r\nSET\r\n".as_slice(),
    });
    bulk(into, key);
    bulk(into, value);
    if let Some(at) = expires {
        bulk(into, PXAT);
        bulk(into, digits(at.get(), &mut [0; DIGITS_MAX]));
    }
}

/// Appends `DEL key`.
#[inline]
pub fn del(into: &mut Vec<u8>, database: u32, key: &[u8]) {
    command(into, database, &[DEL, key]);
}

/// Appends `PEXPIREAT key milliseconds`, or `PERSIST key`.
pub fn expiry(into: &mut Vec<u8>, database: u32, key: &[u8], expires: Option<UnixMillis>) {
    match expires {
        Some(at) => {
            let moment = &mut [0; DIGITS_MAX];
            command(into, database, &[PEXPIREAT, key, digits(at.get(), moment)]);
        }
        None => command(into, database, &[PERSIST, key]),
    }
}

/// Appends a verb, its key and its arguments: for verbs of a state's own.
pub fn command(into: &mut Vec<u8>, database: u32, words: &[&[u8]]) {
    select(into, database);
    line(into, b'*', words.len() as u64);
    words.iter().for_each(|word| bulk(into, word));
}

/// Names the database of the effect that follows.
#[inline]
fn select(into: &mut Vec<u8>, database: u32) {
    if database != 0 {
        line(into, b'@', u64::from(database));
    }
}

fn line(into: &mut Vec<u8>, kind: u8, number: u64) {
    into.push(kind);
    into.extend_from_slice(digits(number, &mut [0; DIGITS_MAX]));
    into.extend_from_slice(b"\r\n");
}

fn bulk(into: &mut Vec<u8>, bytes: &[u8]) {
    line(into, b'$', bytes.len() as u64);
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

/// What a change did to one key, or to all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect<'b> {
    /// Number of its database.
    pub database: u32,
    /// The command, in capitals.
    pub verb: &'b [u8],
    /// Its key; `None` of an effect that concerns all shards.
    pub key: Option<&'b [u8]>,
    /// All of it but the database.
    frame: &'b [u8],
    /// Where in the frame stands what comes behind the key.
    rest: usize,
    args: usize,
}

impl<'b> Effect<'b> {
    /// How many arguments stand behind the key, or behind the verb where there is no key.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.args
    }

    /// Whether no argument stands behind the key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.args == 0
    }

    /// The arguments behind the key.
    #[must_use]
    pub const fn args(&self) -> Args<'b> {
        Args(Reader {
            record: self.frame,
            at: self.rest,
        })
    }

    /// Where its words stand, the verb first: bytes, and in them the start and the length of each word.
    pub fn words(&self) -> (&'b [u8], impl Iterator<Item = (usize, usize)> + use<'b>) {
        let mut reader = Reader {
            record: self.frame,
            at: 0,
        };
        // It was read before, so neither ends early.
        let _words = reader.number(b'*');
        let words = std::iter::from_fn(move || {
            let length = reader.bulk()?.len();
            Some((reader.at - 2 - length, length))
        });
        (self.frame, words)
    }

    /// The error of a state that does not know this effect.
    #[must_use]
    pub fn unknown(&self) -> DecodeError {
        let (verb, args) = (self.verb.escape_ascii(), self.args);
        DecodeError(format!(
            "no effect {verb} with {args} arguments is known here"
        ))
    }

    /// Value and expiry, of a [`SET`] in either of its forms.
    #[must_use]
    pub fn as_set(&self) -> Option<(&'b [u8], Option<UnixMillis>)> {
        let mut args = self.args();
        match (self.verb == SET, self.args) {
            (true, 1) => Some((args.next()?, None)),
            (true, 3) => {
                let (value, word, at) = (args.next()?, args.next()?, args.next()?);
                (word == PXAT).then_some((value, Some(moment(at)?)))
            }
            (_, _) => None,
        }
    }

    /// The expiry that a [`PEXPIREAT`] or a [`PERSIST`] gives its key.
    #[must_use]
    pub fn as_expiry(&self) -> Option<Option<UnixMillis>> {
        match (self.verb, self.args) {
            (PEXPIREAT, 1) => moment(self.args().next()?).map(Some),
            (PERSIST, 0) => Some(None),
            (_, _) => None,
        }
    }
}

fn moment(digits: &[u8]) -> Option<UnixMillis> {
    parse(digits)
        .filter(|millis| *millis > 0)
        .map(UnixMillis::new)
}

/// Arguments of an effect.
#[derive(Clone, Debug)]
pub struct Args<'b>(Reader<'b>);

impl<'b> Iterator for Args<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        self.0.bulk()
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
pub struct Effects<'b>(Reader<'b>);

/// The effects of a record, in their order; ends after the first error.
#[must_use]
pub const fn decode(record: &[u8]) -> Effects<'_> {
    Effects(Reader { record, at: 0 })
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
        let (offset, end) = (self.0.at, self.0.record.len());
        if offset == end {
            return None;
        }
        let effect = self.0.effect();
        if effect.is_none() {
            self.0.at = end;
        }
        Some(effect.ok_or(Malformed { offset }))
    }
}

impl Effects<'_> {
    /// Where the next effect begins, or the record ends.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.0.at
    }
}

/// A place in the bytes of effects.
#[derive(Clone, Debug)]
struct Reader<'b> {
    record: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn effect(&mut self) -> Option<Effect<'b>> {
        let database = match self.record.get(self.at) {
            Some(b'@') => {
                let database = u32::try_from(self.number(b'@')?).ok()?;
                (database != 0).then_some(database)?
            }
            Some(_) | None => 0,
        };
        let begins = self.at;
        let words = self.number(b'*')?;
        let verb = self.bulk()?;
        let names_no_key = matches!(verb, FLUSHALL | FLUSHDB | SWAPDB);
        let (key, before) = match names_no_key {
            true => (None, 1),
            false => (Some(self.bulk()?), 2),
        };
        let args = usize::try_from(words.checked_sub(before)?).ok()?;
        let rest = self.at - begins;
        for _ in 0..args {
            self.bulk()?;
        }
        Some(Effect {
            database,
            verb,
            key,
            frame: &self.record[begins..self.at],
            rest,
            args,
        })
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

    type Write = fn(&mut Vec<u8>);

    fn written(write: Write) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes);
        bytes
    }

    fn at(millis: u64) -> Option<UnixMillis> {
        Some(UnixMillis::new(millis))
    }

    #[test]
    fn an_effect_is_the_command_that_would_make_it() {
        let cases: [(Write, &[u8]); 7] = [
            (
                |into| set(into, 0, b"k", b"", None),
                b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n",
            ),
            (
                |into| set(into, 7, b"k", b"v\r\n", at(1_700_000_000_000)),
                b"@7\r\n*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nv\r\n\r\n$4\r\nPXAT\r\n$13\r\n1700000000000\r\n",
            ),
            (
                |into| del(into, 0, b"k"),
                b"*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n",
            ),
            (
                |into| expiry(into, 0, b"k", at(5)),
                b"*3\r\n$9\r\nPEXPIREAT\r\n$1\r\nk\r\n$1\r\n5\r\n",
            ),
            (
                |into| expiry(into, 12, b"k", None),
                b"@12\r\n*2\r\n$7\r\nPERSIST\r\n$1\r\nk\r\n",
            ),
            (
                |into| command(into, 0, &[b"APPEND", b"k", b"x"]),
                b"*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$1\r\nx\r\n",
            ),
            (
                |into| command(into, 0, &[SWAPDB, b"1", b"2"]),
                b"*3\r\n$6\r\nSWAPDB\r\n$1\r\n1\r\n$1\r\n2\r\n",
            ),
        ];
        for (write, bytes) in cases {
            assert_eq!(
                written(write).escape_ascii().to_string(),
                bytes.escape_ascii().to_string()
            );
            assert_eq!(decode(bytes).filter(Result::is_ok).count(), 1);
        }
    }

    #[test]
    fn an_effect_is_read_with_its_database_its_key_and_its_arguments() {
        let mut record = Vec::new();
        set(&mut record, 3, b"k", b"v", at(9));
        command(&mut record, 0, &[FLUSHDB]);
        expiry(&mut record, 0, b"e", at(8));
        expiry(&mut record, 0, b"p", None);
        command(&mut record, 0, &[b"SETRANGE", b"r", b"4", b"xy"]);
        let effects: Vec<_> = decode(&record).map(Result::unwrap).collect();
        let [set, flush, expires, persists, range] = effects[..] else {
            panic!("five effects were written");
        };
        assert_eq!((set.database, set.key), (3, Some(&b"k"[..])));
        assert_eq!(set.as_set(), Some((&b"v"[..], at(9))));
        assert_eq!(
            (flush.verb, flush.key, flush.is_empty()),
            (FLUSHDB, None, true)
        );
        assert_eq!(expires.as_expiry(), Some(at(8)));
        assert_eq!(
            (persists.as_expiry(), persists.as_set()),
            (Some(None), None)
        );
        assert_eq!(range.args().collect::<Vec<_>>(), [&b"4"[..], b"xy"]);
        assert_eq!(range.as_expiry(), None);
        let (bytes, words) = range.words();
        let words: Vec<_> = words.map(|(at, length)| &bytes[at..at + length]).collect();
        assert_eq!(words, [&b"SETRANGE"[..], b"r", b"4", b"xy"]);
    }

    #[test]
    fn what_is_no_effect_is_an_error_with_its_place() {
        let good = written(|into| command(into, 0, &[FLUSHALL]));
        let cases: [&[u8]; 12] = [
            b"*0\r\n",
            b"*1\r\n$3\r\nDEL\r\n",
            b"*2\r\n$3\r\nSET\r\n",
            b"@0\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n",
            b"@4294967296\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n",
            b"@1\r\n",
            b"*2\r\n$3\r\nDEL\r\n$99999999999999999999\r\nk\r\n",
            b"*2\r\n$3\r\nDEL\r\n$18446744073709551615\r\nk\r\n",
            b"*2\r\n$3\r\nDEL\r\n$01\r\nk\r\n",
            b"*2\r\n$3\r\nDEL\r\n$1\r\nkk\r\n",
            b"*18446744073709551615\r\n$3\r\nDEL\r\n$1\r\nk\r\n",
            b"garbage",
        ];
        for bytes in cases {
            let record = [good.as_slice(), bytes].concat();
            let found: Vec<_> = decode(&record)
                .map(|effect| effect.map(|e| e.verb))
                .collect();
            let offset = good.len();
            assert_eq!(
                found,
                [Ok(FLUSHALL), Err(Malformed { offset })],
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn a_set_of_another_form_is_no_set() {
        let forms: [&[&[u8]]; 4] = [
            &[SET, b"k", b"v", b"PXAT"],
            &[SET, b"k", b"v", b"PXAT", b"0"],
            &[SET, b"k", b"v", b"PX", b"5"],
            &[SET, b"k"],
        ];
        for words in forms {
            let mut record = Vec::new();
            command(&mut record, 0, words);
            let effect = decode(&record).next().unwrap().unwrap();
            assert_eq!(effect.as_set(), None, "{words:?}");
        }
    }

    #[test]
    fn a_long_record_is_parted_between_its_effects() {
        let delete = written(|into| del(into, 0, b"k"));
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

    fn words() -> impl Strategy<Value = (u32, Vec<Vec<u8>>)> {
        let word = prop::collection::vec(any::<u8>(), 0..40);
        (0..20_u32, prop::collection::vec(word, 2..6))
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(all in prop::collection::vec(words(), 0..20)) {
            let mut record = Vec::new();
            for (database, words) in &all {
                let words: Vec<_> = words.iter().map(Vec::as_slice).collect();
                command(&mut record, *database, &words);
            }
            let decoded: Vec<_> = decode(&record).map(|effect| {
                let effect = effect.unwrap();
                let mut words = vec![effect.verb.to_vec(), effect.key.unwrap().to_vec()];
                words.extend(effect.args().map(<[u8]>::to_vec));
                (effect.database, words)
            }).collect();
            prop_assert_eq!(decoded, all);
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _found = decode(&bytes).count();
        }
    }
}
