//! The request decoder once more, as naively as it can be written, and the proof that both agree.
//!
//! Always sees all bytes, remembers nothing, copies everything; shares no code with the decoder
//! but the vocabulary. Kept for tests only.

use proptest::prelude::*;

use crate::decoder::tests::{Decoded, decode_in_pieces};
use crate::{Limits, ProtocolError};

/// What the naive twin makes of the front of `bytes`: arguments and bytes consumed.
type One = Result<Option<(Vec<Vec<u8>>, usize)>, ProtocolError>;

fn naive_stream(mut bytes: &[u8], limits: Limits) -> Decoded {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let one = if bytes[0] == b'*' {
            naive_array(bytes, limits)
        } else {
            naive_inline(bytes, limits)
        };
        match one {
            Ok(Some((arguments, consumed))) => {
                requests.push(arguments);
                bytes = &bytes[consumed..];
            }
            Ok(None) => break,
            Err(error) => return (requests, Some(error)),
        }
    }
    (requests, None)
}

/// The line at the front without its CR LF, if it is whole.
fn naive_line(
    bytes: &[u8],
    limits: Limits,
    too_long: ProtocolError,
    broken: ProtocolError,
) -> Result<Option<&[u8]>, ProtocolError> {
    for (index, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' {
            return Err(broken);
        }
        if *byte == b'\r' {
            return match bytes.get(index + 1) {
                None => Ok(None),
                Some(b'\n') => Ok(Some(&bytes[..index])),
                Some(_) => Err(broken),
            };
        }
        // Whatever comes, the line is longer than that.
        if index >= limits.inline_bytes_max {
            return Err(too_long);
        }
    }
    Ok(None)
}

/// A number whose only accepted spelling is the one it is printed with.
fn naive_number(text: &[u8]) -> Option<i64> {
    let text = String::from_utf8(text.to_vec()).ok()?;
    text.parse::<i64>()
        .ok()
        .filter(|number| number.to_string() == text)
}

fn naive_array(bytes: &[u8], limits: Limits) -> One {
    let too_long = ProtocolError::ArrayHeaderTooLong;
    let broken = ProtocolError::InvalidArrayLength;
    let Some(line) = naive_line(bytes, limits, too_long, broken)? else {
        return Ok(None);
    };
    let count = naive_number(&line[1..]).ok_or(broken)?;
    if count > i64::from(i32::MAX) || (count > limits.args_max as i64 && !limits.unauthenticated) {
        return Err(broken);
    }
    if count > limits.args_max as i64 {
        return Err(ProtocolError::UnauthenticatedArrayLength);
    }
    let mut at = line.len() + 2;
    let mut arguments = Vec::new();
    for _ in 0..count {
        let Some((argument, next)) = naive_bulk(bytes, at, limits)? else {
            return Ok(None);
        };
        arguments.push(argument);
        at = next;
    }
    Ok(Some((arguments, at)))
}

fn naive_bulk(
    bytes: &[u8],
    at: usize,
    limits: Limits,
) -> Result<Option<(Vec<u8>, usize)>, ProtocolError> {
    let Some(&marker) = bytes.get(at) else {
        return Ok(None);
    };
    if marker != b'$' {
        return Err(ProtocolError::ExpectedBulk { got: marker });
    }
    let broken = ProtocolError::InvalidBulkLength;
    let line = naive_line(
        &bytes[at..],
        limits,
        ProtocolError::BulkHeaderTooLong,
        broken,
    )?;
    let Some(line) = line else { return Ok(None) };
    let len = naive_number(&line[1..]).ok_or(broken)?;
    if !(0..=512 * 1_024 * 1_024).contains(&len)
        || (len > limits.bulk_bytes_max as i64 && !limits.unauthenticated)
    {
        return Err(broken);
    }
    if len > limits.bulk_bytes_max as i64 {
        return Err(ProtocolError::UnauthenticatedBulkLength);
    }
    let start = at + line.len() + 2;
    let end = start + len as usize;
    if end + 2 > limits.frame_bytes_max {
        return Err(ProtocolError::FrameTooBig {
            limit: limits.frame_bytes_max,
        });
    }
    if bytes.len() < end + 2 {
        return Ok(None);
    }
    if &bytes[end..end + 2] != b"\r\n" {
        return Err(broken);
    }
    Ok(Some((bytes[start..end].to_vec(), end + 2)))
}

fn naive_inline(bytes: &[u8], limits: Limits) -> One {
    for (index, byte) in bytes.iter().enumerate() {
        if index > limits.inline_bytes_max {
            return Err(ProtocolError::InlineTooLong);
        }
        match byte {
            0 => return Err(ProtocolError::NulInInline),
            b'\n' => {
                let line = bytes[..index]
                    .strip_suffix(b"\r")
                    .unwrap_or(&bytes[..index]);
                let words = naive_words(line).ok_or(ProtocolError::UnbalancedQuotes)?;
                return Ok(Some((words, index + 1)));
            }
            _ => {}
        }
    }
    if bytes.len() > limits.inline_bytes_max {
        return Err(ProtocolError::InlineTooLong);
    }
    Ok(None)
}

/// The words of a line, by a machine that looks at one byte at a time.
fn naive_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    enum In {
        Blank,
        Word(Vec<u8>),
        Quote(u8, Vec<u8>),
        /// After a closing quote.
        Closed,
    }
    let blank = |byte: u8| byte == b' ' || (9..=13).contains(&byte);
    let mut words = Vec::new();
    let mut state = In::Blank;
    let mut rest = line
        .iter()
        .copied()
        .collect::<std::collections::VecDeque<u8>>();
    while let Some(byte) = rest.pop_front() {
        state = match state {
            In::Closed if !blank(byte) => return None,
            In::Blank | In::Closed if blank(byte) => In::Blank,
            In::Blank | In::Closed if byte == b'"' || byte == b'\'' => In::Quote(byte, Vec::new()),
            In::Blank | In::Closed => In::Word(vec![byte]),
            In::Word(word) if byte == b'"' || byte == b'\'' => In::Quote(byte, word),
            In::Word(word) if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') => {
                words.push(word);
                In::Blank
            }
            In::Word(mut word) => {
                word.push(byte);
                In::Word(word)
            }
            In::Quote(quote, word) if byte == quote => {
                words.push(word);
                In::Closed
            }
            In::Quote(b'\'', mut word) => {
                let escaped = byte == b'\\' && rest.front() == Some(&b'\'');
                word.push(if escaped { rest.pop_front()? } else { byte });
                In::Quote(b'\'', word)
            }
            In::Quote(quote, mut word) if byte == b'\\' && !rest.is_empty() => {
                word.push(naive_escape(&mut rest)?);
                In::Quote(quote, word)
            }
            In::Quote(quote, mut word) => {
                word.push(byte);
                In::Quote(quote, word)
            }
        };
    }
    match state {
        In::Blank | In::Closed => Some(words),
        In::Word(word) => {
            words.push(word);
            Some(words)
        }
        In::Quote(..) => None,
    }
}

/// What stands after a backslash in double quotes.
fn naive_escape(rest: &mut std::collections::VecDeque<u8>) -> Option<u8> {
    let escaped = rest.pop_front()?;
    let hex = |index: usize| {
        rest.get(index)
            .and_then(|byte| char::from(*byte).to_digit(16))
    };
    if let (b'x', Some(high), Some(low)) = (escaped, hex(0), hex(1)) {
        rest.drain(..2);
        return Some((high * 16 + low) as u8);
    }
    let table = [
        (b'n', b'\n'),
        (b'r', b'\r'),
        (b't', b'\t'),
        (b'b', 8),
        (b'a', 7),
    ];
    Some(
        table
            .iter()
            .find(|(from, _)| *from == escaped)
            .map_or(escaped, |(_, to)| *to),
    )
}

/// Small enough that random streams run into every one of them.
const TIGHT: Limits = Limits {
    inline_bytes_max: 24,
    bulk_bytes_max: 12,
    args_max: 3,
    frame_bytes_max: 48,
    unauthenticated: false,
};

fn limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        Just(Limits::default()),
        Just(Limits::unauthenticated()),
        Just(TIGHT),
        Just(Limits {
            unauthenticated: true,
            ..TIGHT
        }),
    ]
}

/// A request in the array form, as a client sends it.
fn array() -> impl Strategy<Value = Vec<u8>> {
    let argument = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(Just(b'v'), 95..105),
        1 => prop::collection::vec(Just(b'v'), 990..1_010),
    ];
    prop::collection::vec(argument, 0..6).prop_map(|arguments| {
        let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(&argument);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    })
}

/// Fragments that mean something, in any order.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        "*1\r\n",
        "*2\r\n",
        "*-1\r\n",
        "*",
        "$",
        "$0\r\n\r\n",
        "$1\r\n",
        "$12\r\n",
        "$-1\r\n",
        "0",
        "1",
        "9",
        "\r",
        "\n",
        "\r\n",
        "x",
        "\0",
        "\"",
        "'",
        "\\",
        "\\x4",
        "\\x41",
        "\\n",
        " ",
        "\t",
        "\x0b",
        "GET k\r\n",
        "$4\r\nPING\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "99999999999999999999",
        "+",
        "-",
    ]);
    prop::collection::vec(fragment, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

/// Requests, some of them damaged in one byte, and rubbish.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (array(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, index, byte)| {
            let index = index.index(bytes.len());
            bytes[index] = byte;
            bytes
        },
    );
    prop::collection::vec(
        prop_oneof![4 => array(), 1 => damaged, 4 => fragments()],
        0..4,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decoder_and_naive_twin_agree_in_pieces_of_any_size(
        bytes in stream(),
        limits in limits(),
        pieces in prop::collection::vec(1..40_usize, 1..8),
    ) {
        let expected = naive_stream(&bytes, limits);
        let mut pieces = pieces.into_iter().cycle();
        let decoded = decode_in_pieces(&bytes, limits, || pieces.next().unwrap());
        prop_assert_eq!(decoded, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn decoder_and_naive_twin_agree_at_every_split_point(bytes in stream(), limits in limits()) {
        let expected = naive_stream(&bytes, limits);
        for split in 0..bytes.len() {
            let mut pieces = [split, usize::MAX].into_iter();
            let decoded = decode_in_pieces(&bytes, limits, || pieces.next().unwrap_or(usize::MAX));
            prop_assert_eq!(&decoded, &expected, "split at {}", split);
        }
        prop_assert_eq!(decode_in_pieces(&bytes, limits, || 1), expected);
    }

    #[test]
    fn an_unfinished_stream_never_says_more_than_the_whole(bytes in stream(), limits in limits()) {
        let (requests, _) = naive_stream(&bytes, limits);
        for end in 0..bytes.len() {
            let (early, _) = decode_in_pieces(&bytes[..end], limits, || usize::MAX);
            prop_assert!(requests.starts_with(&early));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn lines_are_split_as_the_naive_machine_splits_them(
        line in "[ab ab\t\x0b\r\"'\\\\nx41]{0,14}",
    ) {
        let (mut bytes, mut spans) = (line.clone().into_bytes(), Vec::new());
        let words = match crate::inline::split(&mut bytes, &mut spans) {
            Ok(()) => Some(spans.iter().map(|span| span.of(&bytes).to_vec()).collect::<Vec<_>>()),
            Err(_) => None,
        };
        prop_assert_eq!(words, naive_words(line.as_bytes()));
    }
}
