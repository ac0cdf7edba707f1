//! Reading replies to known requests, with as little work as the check allows.
//!
//! Not a parser: it knows what must come and only has to see whether it did. It owns no buffer.
//!
//! 1. What can be followed is counted: an error, an absence, another value of any length.
//! 2. What cannot be followed ends the run: no reply of this protocol, or no reply to this request.

use super::protocol::{KEY_BYTES, Protocol, VALUE_BYTES_MAX, Wording};
use super::tape::Request;
use super::value::is_value_of;

/// Longest line that is an error or an absence; anything longer is not a reply.
pub(super) const LINE_BYTES_MAX: usize = 1_024;
/// Longest reply that can be followed, right or wrong.
pub(super) const REPLY_BYTES_MAX: usize = 2 * LINE_BYTES_MAX + VALUE_BYTES_MAX;
/// What ends a value in memcached's protocol, and what a miss is.
const END: &[u8] = b"END\r\n";

/// What stands at the front of the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// The expected reply, of so many bytes.
    Right(usize),
    /// A reply of so many bytes, but an error, an absence, or another value.
    Wrong(usize),
    /// Not complete yet.
    Partial,
    /// No reply to this request at all: the stream cannot be followed any further.
    Broken,
}

/// Bytes by which a hit is recognised at once.
const FRONT_BYTES: usize = 8;

/// Knows what the right replies look like.
#[derive(Debug)]
pub(super) struct Judge {
    protocol: Protocol,
    set_reply: &'static [u8],
    /// What a read's reply begins with, in one word, and which bits of the word are that.
    front: u64,
    front_mask: u64,
    /// What stands before the value and is not in the front: its length, in memcached's protocol.
    announced: Vec<u8>,
    value_at: usize,
    value_bytes: usize,
    /// Of the whole reply.
    hit_bytes: usize,
    /// What follows the value.
    tail: &'static [u8],
}

impl Judge {
    pub(super) fn new(wording: Wording) -> Self {
        let length = wording.value_bytes;
        let (front, key, announced, tail): (String, usize, String, &[u8]) = match wording.protocol {
            Protocol::Resp2 | Protocol::Resp3 | Protocol::Echo => {
                (format!("${length}\r\n"), 0, String::new(), b"\r\n")
            }
            Protocol::MemcachedText => (
                "VALUE ".to_owned(),
                KEY_BYTES,
                format!(" 0 {length}\r\n"),
                b"\r\nEND\r\n",
            ),
        };
        let value_at = front.len() + key + announced.len();
        let (mut word, mut mask) = ([0; FRONT_BYTES], [0; FRONT_BYTES]);
        word[..front.len()].copy_from_slice(front.as_bytes());
        mask[..front.len()].fill(u8::MAX);
        Self {
            protocol: wording.protocol,
            set_reply: wording.set_reply(),
            front: u64::from_ne_bytes(word),
            front_mask: u64::from_ne_bytes(mask),
            announced: announced.into_bytes(),
            value_at,
            value_bytes: length,
            hit_bytes: value_at + length + tail.len(),
            tail,
        }
    }

    /// Judges the reply to `request` at the front of `bytes`; `check_value` compares the value too.
    #[inline]
    pub(super) fn front(&self, bytes: &[u8], request: Request, check_value: bool) -> Front {
        if request.is_set() {
            if bytes.starts_with(self.set_reply) {
                return Front::Right(self.set_reply.len());
            }
        } else if self.is_hit(bytes) {
            let Some(reply) = bytes.get(..self.hit_bytes) else {
                return Front::Partial;
            };
            if !check_value || self.is_right(reply, request) {
                return Front::Right(self.hit_bytes);
            }
            return Front::Wrong(self.hit_bytes);
        }
        self.unexpected(bytes, request)
    }

    /// Whether a value of the right length begins here, as far as can be seen.
    #[inline]
    fn is_hit(&self, bytes: &[u8]) -> bool {
        let front = bytes
            .first_chunk::<FRONT_BYTES>()
            .copied()
            .unwrap_or_else(|| padded(bytes));
        let begins = u64::from_ne_bytes(front) & self.front_mask == self.front;
        let length_at = self.value_at - self.announced.len();
        begins
            && (self.announced.is_empty()
                || bytes.get(length_at..self.value_at) == Some(&self.announced))
    }

    #[cold]
    fn is_right(&self, reply: &[u8], request: Request) -> bool {
        let (head, value) = reply.split_at(self.value_at);
        let (value, tail) = value.split_at(self.value_bytes);
        let named = match self.protocol {
            Protocol::Resp2 | Protocol::Resp3 | Protocol::Echo => true,
            Protocol::MemcachedText => {
                let key = format!("VALUE key:{:010} ", request.key());
                head.starts_with(key.as_bytes())
            }
        };
        named && tail == self.tail && is_value_of(value, request.key())
    }

    /// A line that says no, or a value of another length, can be followed; the rest cannot.
    #[cold]
    fn unexpected(&self, bytes: &[u8], request: Request) -> Front {
        let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
        let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
            return if bytes.len() < LINE_BYTES_MAX {
                Front::Partial
            } else {
                Front::Broken
            };
        };
        let (line, after) = (&line[..end], end + 2);
        let value = match self.protocol {
            Protocol::Resp2 | Protocol::Echo if line == b"$-1" => return Front::Wrong(after),
            Protocol::Resp3 if line == b"_" => return Front::Wrong(after),
            Protocol::Resp2 | Protocol::Resp3 | Protocol::Echo => match line {
                [b'-' | b'+' | b':', ..] => return Front::Wrong(after),
                [b'$', length @ ..] => number(length),
                [..] => None,
            },
            Protocol::MemcachedText => {
                if says_no(line, request) {
                    return Front::Wrong(after);
                }
                // VALUE, key, flags, length, and perhaps a version.
                let mut words = line.split(|&byte| byte == b' ');
                match words.next() {
                    Some(b"VALUE") => words.nth(2).and_then(number),
                    Some(_) | None => None,
                }
            }
        };
        match value {
            Some(length) if !request.is_set() => {
                let whole = after + length + self.tail.len();
                if whole > REPLY_BYTES_MAX {
                    Front::Broken
                } else if bytes.len() < whole {
                    Front::Partial
                } else if bytes[after + length..].starts_with(self.tail) {
                    Front::Wrong(whole)
                } else {
                    Front::Broken
                }
            }
            Some(_) | None => Front::Broken,
        }
    }
}

/// The few bytes that have come, or that a tiny value has; no front has zeros.
#[cold]
fn padded(bytes: &[u8]) -> [u8; FRONT_BYTES] {
    let mut front = [0; FRONT_BYTES];
    front[..bytes.len()].copy_from_slice(bytes);
    front
}

/// A length that a followed reply may have.
fn number(digits: &[u8]) -> Option<usize> {
    let length = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (length <= VALUE_BYTES_MAX).then_some(length)
}

/// memcached's lines that are replies, but not the wanted one.
fn says_no(line: &[u8], request: Request) -> bool {
    let error = line == b"ERROR"
        || line.starts_with(b"CLIENT_ERROR ")
        || line.starts_with(b"SERVER_ERROR ");
    let kind = if request.is_set() {
        line == b"NOT_STORED"
    } else {
        line == END.trim_ascii_end()
    };
    error || kind
}

#[cfg(test)]
mod tests {
    use super::super::protocol::constant_reply;
    use super::super::tape::{Mix, Script, Tape};
    use super::super::value::push_value;
    use super::*;
    use crate::keys::Distribution;

    const fn wording(protocol: Protocol, value_bytes: usize) -> Wording {
        Wording {
            protocol,
            value_bytes,
        }
    }

    fn request(set: bool) -> Request {
        let script = Script {
            seed: 1,
            keys: 100,
            distribution: Distribution::Uniform,
            mix: Mix::reads_per_write(1),
            wording: wording(Protocol::Resp2, 64),
        };
        let tape = Tape::new(&script, 64);
        let mut requests = (0..64).map(|index| tape.request(index));
        requests.find(|request| request.is_set() == set).unwrap()
    }

    fn value_of(key: u64, length: usize) -> Vec<u8> {
        let mut value = Vec::new();
        push_value(&mut value, key, length);
        value
    }

    fn check(wording: Wording, bytes: &[u8], request: Request, expected: Front) {
        let judged = Judge::new(wording).front(bytes, request, true);
        assert_eq!(judged, expected, "{wording:?}: {}", bytes.escape_ascii());
    }

    #[test]
    fn resp_replies_are_judged_by_their_request() {
        let (get, set) = (request(false), request(true));
        let right = [b"$64\r\n", value_of(get.key(), 64).as_slice(), b"\r\n"].concat();
        let cases: [(&[u8], Request, Front); 13] = [
            (b"+OK\r\n+OK\r\n", set, Front::Right(5)),
            (b"+O", set, Front::Partial),
            (b"-ERR no\r\n", set, Front::Wrong(9)),
            (b"$2\r\nno\r\n", set, Front::Broken),
            (&right, get, Front::Right(71)),
            (&right[..70], get, Front::Partial),
            (b"$6", get, Front::Partial),
            (b"$3\r\nabc\r\n+OK", get, Front::Wrong(9)),
            (b"$3\r\nabc", get, Front::Partial),
            (b"$3\r\nabcdef", get, Front::Broken),
            (b"$99999999\r\nabc", get, Front::Broken),
            (b"*1\r\n:1\r\n", get, Front::Broken),
            (&[b'-'; LINE_BYTES_MAX], get, Front::Broken),
        ];
        for (bytes, request, expected) in cases {
            for protocol in [Protocol::Resp2, Protocol::Resp3] {
                check(wording(protocol, 64), bytes, request, expected);
            }
        }
    }

    #[test]
    fn each_version_of_resp_has_its_own_null() {
        let get = request(false);
        let (two, three) = (wording(Protocol::Resp2, 64), wording(Protocol::Resp3, 64));
        check(two, b"$-1\r\n", get, Front::Wrong(5));
        check(three, b"_\r\n", get, Front::Wrong(3));
        check(two, b"_\r\n", get, Front::Broken);
        check(three, b"$-1\r\n", get, Front::Broken);
    }

    #[test]
    fn memcached_hits_and_misses_are_told_apart() {
        let (get, set) = (request(false), request(true));
        let hit = |key: u64| {
            let value = value_of(key, 64);
            let head = format!("VALUE key:{key:010} 0 64\r\n").into_bytes();
            [head.as_slice(), &value, b"\r\nEND\r\n"].concat()
        };
        let (right, other) = (hit(get.key()), hit(get.key() + 1));
        let cases: [(&[u8], Request, Front); 12] = [
            (b"STORED\r\n", set, Front::Right(8)),
            (b"STOR", set, Front::Partial),
            (b"NOT_STORED\r\n", set, Front::Wrong(12)),
            (b"SERVER_ERROR out of memory\r\n", set, Front::Wrong(28)),
            (b"END\r\n", set, Front::Broken),
            (&right, get, Front::Right(98)),
            (&right[..97], get, Front::Partial),
            (&right[..12], get, Front::Partial),
            (&other, get, Front::Wrong(98)),
            (b"END\r\n", get, Front::Wrong(5)),
            (b"VALUE key:1 0 2 7\r\nab\r\nEND\r\n", get, Front::Wrong(28)),
            (b"STORED\r\n", get, Front::Broken),
        ];
        for (bytes, request, expected) in cases {
            check(
                wording(Protocol::MemcachedText, 64),
                bytes,
                request,
                expected,
            );
        }
    }

    #[test]
    fn another_keys_value_is_wrong_only_where_values_are_checked() {
        let get = request(false);
        for length in [1, 16, 64, 4_096] {
            let reply = constant_reply(length);
            let judge = Judge::new(wording(Protocol::Resp2, length));
            let whole = reply.len();
            assert_eq!(judge.front(&reply, get, true), Front::Wrong(whole));
            assert_eq!(judge.front(&reply, get, false), Front::Right(whole));
        }
    }
}
