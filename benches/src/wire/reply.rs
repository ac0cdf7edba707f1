//! Reading replies to known requests, with as little work as the check allows.
//!
//! Not a RESP parser: it knows what must come and only has to see whether it did. It owns no
//! buffer, and never looks twice at a reply it has judged.

use super::tape::{GET_REPLY_BYTES, Request, VALUE_BYTES, value_of};

/// Bytes before the value.
const GET_HEAD: &[u8; 5] = b"$64\r\n";
/// The reply to a SET.
const SET_REPLY: &[u8; 5] = b"+OK\r\n";
/// Longest line that is an error or an absence; anything longer is not a reply.
pub(super) const LINE_BYTES_MAX: usize = 1_024;
const _: () = assert!(VALUE_BYTES == 64 && GET_REPLY_BYTES <= LINE_BYTES_MAX);

/// What stands at the front of the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// The expected reply, of so many bytes.
    Right(usize),
    /// A reply of so many bytes, but an error, an absence, or another key's value.
    Wrong(usize),
    /// Not complete yet.
    Partial,
    /// No reply to this request at all: the stream cannot be followed any further.
    Broken,
}

/// Judges the reply to `request` at the front of `bytes`; `check_value` compares the value too.
#[inline]
pub(super) fn front(bytes: &[u8], request: Request, check_value: bool) -> Front {
    if request.is_set() {
        if bytes.starts_with(SET_REPLY) {
            return Front::Right(SET_REPLY.len());
        }
    } else if bytes.starts_with(GET_HEAD) {
        let Some(reply) = bytes.get(..GET_REPLY_BYTES) else {
            return Front::Partial;
        };
        if !check_value || is_value_of(reply, request) {
            return Front::Right(GET_REPLY_BYTES);
        }
        return Front::Wrong(GET_REPLY_BYTES);
    }
    unexpected(bytes)
}

#[cold]
fn is_value_of(reply: &[u8], request: Request) -> bool {
    reply[GET_HEAD.len()..].starts_with(&value_of(request.key()))
}

/// Errors and absences are one line; a value of another length, or a wrong kind, is the end.
#[cold]
fn unexpected(bytes: &[u8]) -> Front {
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LINE_BYTES_MAX {
            Front::Partial
        } else {
            Front::Broken
        };
    };
    match &line[..end] {
        [b'-' | b'+' | b':' | b'_', ..] | b"$-1" => Front::Wrong(end + 2),
        [..] => Front::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tape::{Tape, constant_reply};
    use super::*;

    fn request(set: bool) -> Request {
        let tape = Tape::new(1, 100, 1, 64);
        let found = tape
            .requests(0..64)
            .iter()
            .find(|request| request.is_set() == set);
        *found.unwrap()
    }

    fn value_reply(request: Request) -> Vec<u8> {
        [GET_HEAD.as_slice(), &value_of(request.key()), b"\r\n"].concat()
    }

    #[test]
    fn replies_are_judged_by_their_request() {
        let (get, set) = (request(false), request(true));
        let right = value_reply(get);
        let cases: [(&[u8], Request, Front); 10] = [
            (b"+OK\r\n+OK\r\n", set, Front::Right(5)),
            (b"+O", set, Front::Partial),
            (b"-ERR no\r\n", set, Front::Wrong(9)),
            (b"$2\r\nno\r\n", set, Front::Broken),
            (&right, get, Front::Right(71)),
            (&right[..70], get, Front::Partial),
            (b"$6", get, Front::Partial),
            (b"$-1\r\n", get, Front::Wrong(5)),
            (b"$3\r\nabc\r\n", get, Front::Broken),
            (&[b'-'; LINE_BYTES_MAX], get, Front::Broken),
        ];
        for (bytes, request, expected) in cases {
            assert_eq!(
                front(bytes, request, true),
                expected,
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn another_keys_value_is_wrong_only_where_values_are_checked() {
        let get = request(false);
        let reply = constant_reply();
        assert_eq!(front(&reply, get, true), Front::Wrong(71));
        assert_eq!(front(&reply, get, false), Front::Right(71));
    }
}
