//! Bytes that are no request. The server says why, and closes.

use crate::random::Random;

const MALFORMED: &[&[u8]] = &[
    b"*1\r\n+PING\r\n",
    b"*1\r\n:1\r\n",
    b"*2\r\n$3\r\nGET\r\n*1\r\n",
    b"*abc\r\n",
    b"*2147483648\r\n",
    b"*99999999999999999999\r\n",
    b"*1\r\n$-2\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$+1\r\n",
    b"*1\r\n$536870913\r\n",
    b"*1\r\n$\r\n",
    b"*1\r\n$4294967296\r\n",
    b"*1\r\n\r\n",
    b"*\r\n",
    b"* 1\r\n",
    b"*1\r\n*1\r\n*1\r\n",
    b"SET k \"open\r\n",
    b"SET k 'open\r\n",
    b"SET k \"a\"b\r\n",
    b"GET 'a'b\r\n",
    b"\"\r\n",
];

pub(super) fn bytes(random: &mut Random) -> Vec<u8> {
    random.one(MALFORMED).to_vec()
}
