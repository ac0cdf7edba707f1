//! The requests, as bytes, made before the clock starts.
//!
//! A connection sends a slice of the tape as it is: nothing is built while measuring.
//!
//! 1. `bounds[i]..bounds[i + 1]` are the bytes of request `i`.
//! 2. The length of a tape is a power of two, so any pipeline that is one divides it.
//! 3. A value follows from its key, so any reply can be checked.

use std::io::Write as _;
use std::ops::Range;

use crate::random::{Random, scatter};

/// Bytes of every key: `key:` and ten digits.
pub(crate) const KEY_BYTES: usize = 14;
/// Bytes of every value.
pub(crate) const VALUE_BYTES: usize = 64;
/// Bytes of a GET: array head, command, key.
pub(crate) const GET_BYTES: usize = 4 + 9 + 5 + KEY_BYTES + 2;
/// Bytes of a SET: array head, command, key, value.
pub(crate) const SET_BYTES: usize = 4 + 9 + 5 + KEY_BYTES + 2 + 5 + VALUE_BYTES + 2;
/// Bytes of the reply to a GET that finds its key.
pub(crate) const GET_REPLY_BYTES: usize = 5 + VALUE_BYTES + 2;
/// Requests on a tape: as many as the usual number of keys, so that a server's caches see the
/// whole key space; 42 MB, which a connection reads in order.
pub(crate) const TAPE_REQUESTS: usize = 1 << 20;
// The bounds of requests are held in 32 bits.
const _: () = assert!(TAPE_REQUESTS * SET_BYTES <= u32::MAX as usize);
/// Keys are named by ten digits and held in 31 bits.
pub(crate) const KEYS_MAX: u64 = 1 << 31;

/// Reads per write; 0 means reads only.
pub(crate) type ReadsPerWrite = u32;

/// One request: which key, and whether it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request(u32);

impl Request {
    const WRITE: u32 = 1 << 31;

    /// The key's number.
    #[inline]
    pub(crate) const fn key(self) -> u64 {
        (self.0 & !Self::WRITE) as u64
    }

    /// Whether it is a SET.
    #[inline]
    pub(crate) const fn is_set(self) -> bool {
        self.0 & Self::WRITE != 0
    }
}

/// Prepared requests.
#[derive(Debug)]
pub(crate) struct Tape {
    bytes: Vec<u8>,
    bounds: Vec<u32>,
    requests: Vec<Request>,
}

impl Tape {
    /// `length` requests over `keys` uniform keys.
    pub(crate) fn new(seed: u64, keys: u64, reads_per_write: ReadsPerWrite, length: usize) -> Self {
        assert!(
            keys <= KEYS_MAX && length.is_power_of_two(),
            "{keys} keys, {length} requests"
        );
        let mut random = Random::stream(seed, 0);
        let mut tape = Self {
            bytes: Vec::with_capacity(length * GET_BYTES * 2),
            bounds: vec![0],
            requests: Vec::with_capacity(length),
        };
        for _ in 0..length {
            let key = random.below(keys);
            let set = reads_per_write > 0 && random.below(u64::from(reads_per_write) + 1) == 0;
            if set {
                push_set(&mut tape.bytes, key);
            } else {
                push_get(&mut tape.bytes, key);
            }
            tape.bounds.push(tape.bytes.len() as u32);
            tape.requests
                .push(Request(key as u32 | if set { Request::WRITE } else { 0 }));
        }
        tape
    }

    /// Number of requests.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// The requests themselves.
    #[inline]
    pub(crate) fn requests(&self, which: Range<usize>) -> &[Request] {
        &self.requests[which]
    }

    /// Where the bytes of these requests lie.
    #[inline]
    pub(crate) fn place(&self, which: &Range<usize>) -> Range<usize> {
        self.bounds[which.start] as usize..self.bounds[which.end] as usize
    }

    /// The bytes at a place.
    #[inline]
    pub(crate) fn bytes(&self, place: Range<usize>) -> &[u8] {
        &self.bytes[place]
    }
}

/// Appends `GET key`.
pub(crate) fn push_get(bytes: &mut Vec<u8>, key: u64) {
    // Writing into a Vec cannot fail.
    let _written = write!(
        bytes,
        "*2\r\n$3\r\nGET\r\n${KEY_BYTES}\r\nkey:{key:010}\r\n"
    );
}

/// Appends `SET key value`.
pub(crate) fn push_set(bytes: &mut Vec<u8>, key: u64) {
    let _written = write!(
        bytes,
        "*3\r\n$3\r\nSET\r\n${KEY_BYTES}\r\nkey:{key:010}\r\n${VALUE_BYTES}\r\n"
    );
    bytes.extend_from_slice(&value_of(key));
    bytes.extend_from_slice(b"\r\n");
}

/// The value of a key: 64 letters that no other key has.
pub(crate) fn value_of(key: u64) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    let mut bits = 0;
    for (index, letter) in value.iter_mut().enumerate() {
        if index % 16 == 0 {
            bits = scatter(key * 4 + index as u64 / 16);
        }
        *letter = b'a' + (bits & 15) as u8;
        bits >>= 4;
    }
    value
}

/// A reply to a GET that has nothing to do with any key.
pub(crate) fn constant_reply() -> Vec<u8> {
    let mut reply = format!("${VALUE_BYTES}\r\n").into_bytes();
    reply.extend_from_slice(&[b'x'; VALUE_BYTES]);
    reply.extend_from_slice(b"\r\n");
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_resp_of_the_announced_sizes() {
        let mut get = Vec::new();
        push_get(&mut get, 42);
        assert_eq!(get, b"*2\r\n$3\r\nGET\r\n$14\r\nkey:0000000042\r\n");
        assert_eq!(get.len(), GET_BYTES);
        let mut set = Vec::new();
        push_set(&mut set, 42);
        assert_eq!(set.len(), SET_BYTES);
        assert!(set.starts_with(b"*3\r\n$3\r\nSET\r\n$14\r\nkey:0000000042\r\n$64\r\n"));
        assert_eq!(set.len(), SET_BYTES);
        assert_eq!(constant_reply().len(), GET_REPLY_BYTES);
    }

    #[test]
    fn values_are_letters_and_differ() {
        assert_ne!(value_of(1), value_of(2));
        assert!(value_of(999_999).iter().all(u8::is_ascii_lowercase));
    }

    #[test]
    fn a_tape_holds_its_requests_end_to_end() {
        let tape = Tape::new(3, 100, 10, 1_024);
        let all = tape.place(&(0..1_024));
        assert_eq!(all, 0..tape.bytes.len());
        for index in 0..1_024 {
            let request = tape.requests(index..index + 1)[0];
            let mut expected = Vec::new();
            if request.is_set() {
                push_set(&mut expected, request.key());
            } else {
                push_get(&mut expected, request.key());
            }
            assert_eq!(tape.bytes(tape.place(&(index..index + 1))), expected);
        }
    }

    #[test]
    fn writes_are_as_rare_as_asked() {
        let sets = |reads_per_write| {
            let tape = Tape::new(3, 100, reads_per_write, 1 << 16);
            tape.requests
                .iter()
                .filter(|request| request.is_set())
                .count()
        };
        assert_eq!(sets(0), 0);
        let share = sets(10) as f64 / 65_536.0;
        assert!((share - 1.0 / 11.0).abs() < 0.005, "{share}");
    }
}
