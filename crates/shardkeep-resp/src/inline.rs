//! One line of words, as a person types it: the request form of `nc` and `telnet`.
//!
//! Knows a whole line without its end; finding the end is the decoder's business.
//!
//! 1. Escapes are resolved in place: writing never overtakes reading.
//! 2. The rules are those of Redis: `"..."` knows `\xHH` and `\n \r \t \b \a`, `'...'` knows only
//!    `\'`, a closing quote ends the word and must be followed by a blank.

use crate::args::Span;
use crate::error::ProtocolError;

/// Splits `line` into words, appending their spans; on an error the caller discards `spans`.
pub(crate) fn split(line: &mut [u8], spans: &mut Vec<Span>) -> Result<(), ProtocolError> {
    let mut at = 0;
    loop {
        at += line[at..]
            .iter()
            .take_while(|byte| is_blank(**byte))
            .count();
        if at == line.len() {
            return Ok(());
        }
        let start = at;
        let (next, end) = word(line, start)?;
        // A line is shorter than any frame, and a frame's offsets fit.
        spans.push(Span {
            start: start as u32,
            len: (end - start) as u32,
        });
        at = next;
    }
}

/// Reads one word from `start`, writing it back to `start..end`. Returns where reading goes on,
/// and `end`.
fn word(line: &mut [u8], start: usize) -> Result<(usize, usize), ProtocolError> {
    let (mut read, mut write) = (start, start);
    while let Some(&byte) = line.get(read) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => break,
            b'"' => return quoted(line, read + 1, write, double_quoted),
            b'\'' => return quoted(line, read + 1, write, single_quoted),
            plain => {
                line[write] = plain;
                read += 1;
                write += 1;
            }
        }
    }
    Ok((read, write))
}

/// The next piece inside quotes: a byte and how many bytes of input it took, or the closing quote.
enum Piece {
    Byte { byte: u8, taken: usize },
    Close,
}

fn quoted(
    line: &mut [u8],
    mut read: usize,
    mut write: usize,
    piece: fn(&[u8]) -> Option<Piece>,
) -> Result<(usize, usize), ProtocolError> {
    loop {
        match piece(&line[read..]) {
            Some(Piece::Byte { byte, taken }) => {
                line[write] = byte;
                write += 1;
                read += taken;
            }
            Some(Piece::Close) => break,
            None => return Err(ProtocolError::UnbalancedQuotes),
        }
    }
    match line.get(read + 1) {
        Some(&after) if !is_blank(after) => Err(ProtocolError::UnbalancedQuotes),
        Some(_) | None => Ok((read + 1, write)),
    }
}

fn double_quoted(rest: &[u8]) -> Option<Piece> {
    Some(match *rest {
        [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            Piece::Byte {
                byte: hex(high) * 16 + hex(low),
                taken: 4,
            }
        }
        [b'\\', escaped, ..] => Piece::Byte {
            byte: unescape(escaped),
            taken: 2,
        },
        [b'"', ..] => Piece::Close,
        [byte, ..] => Piece::Byte { byte, taken: 1 },
        [] => return None,
    })
}

fn single_quoted(rest: &[u8]) -> Option<Piece> {
    Some(match *rest {
        [b'\\', b'\'', ..] => Piece::Byte {
            byte: b'\'',
            taken: 2,
        },
        [b'\'', ..] => Piece::Close,
        [byte, ..] => Piece::Byte { byte, taken: 1 },
        [] => return None,
    })
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The value of a digit known to be hexadecimal.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        letter => (letter | 0x20) - b'a' + 10,
    }
}

/// C's `isspace`, which decides what may stand between words. (Fewer bytes end an unquoted word.)
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[u8], expected: Option<&[&[u8]]>) {
        let mut bytes = line.to_vec();
        let mut spans = Vec::new();
        let split = split(&mut bytes, &mut spans).ok();
        let words: Vec<&[u8]> = spans.iter().map(|span| span.of(&bytes)).collect();
        assert_eq!(
            split.map(|()| &words[..]),
            expected,
            "{}",
            line.escape_ascii()
        );
    }

    #[test]
    fn blanks_separate_words() {
        check(b"", Some(&[]));
        check(b" \t\r\x0b\x0c ", Some(&[]));
        check(b"  SET  key\tvalue ", Some(&[b"SET", b"key", b"value"]));
        check(b"a\rb", Some(&[b"a", b"b"]));
        check(b"a\x0bb", Some(&[b"a\x0bb"]));
    }

    #[test]
    fn double_quotes_resolve_escapes() {
        check(br#""a b" c"#, Some(&[b"a b", b"c"]));
        check(
            br#""\x00\xfF\n\r\t\b\a\q\"\\""#,
            Some(&[b"\0\xff\n\r\t\x08\x07q\"\\"]),
        );
        check(br#""\xg1""#, Some(&[b"xg1"]));
        check(br#""""#, Some(&[b""]));
    }

    #[test]
    fn single_quotes_resolve_only_the_quote() {
        check(br"'a\'b\n'", Some(&[br"a'b\n"]));
        check(br#"'say "hi"'"#, Some(&[br#"say "hi""#]));
    }

    #[test]
    fn a_quote_inside_a_word_continues_it_and_its_end_ends_it() {
        check(br#"foo"b r" x"#, Some(&[b"foob r", b"x"]));
        check(b"fo'b r' x", Some(&[b"fob r", b"x"]));
        check(br#"foo"b"r"#, None);
    }

    #[test]
    fn open_quotes_are_unbalanced() {
        check(br#"a "b"#, None);
        check(br#"a "b\"#, None);
        check(br#"a "b\""#, None);
        check(br"a 'b", None);
        check(br"a 'b'c", None);
    }
}
