//! How requests are worded in each protocol; what is answered is judged elsewhere.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;

pub(crate) use super::value::push_value;

/// Bytes of every key: `key:` and ten digits.
pub(crate) const KEY_BYTES: usize = 14;
/// Bytes of a value unless something else is asked for.
pub(crate) const VALUE_BYTES_USUAL: usize = 64;
/// Largest value: beyond it a run measures copying, and a tape gets short.
pub(crate) const VALUE_BYTES_MAX: usize = 65_536;
/// Bytes of a GET in RESP: array head, command, key.
pub(crate) const GET_BYTES: usize = 4 + 9 + 5 + KEY_BYTES + 2;
/// Longest answer to a greeting: a map of some 200 bytes, or an error.
const GREETING_BYTES_MAX: usize = 4_096;

/// The language of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    /// What Redis clients speak by default
    Resp2,
    /// After HELLO 3: the same values, another null
    Resp3,
    /// memcached's get and set
    #[value(skip)]
    MemcachedText,
    /// RESP2 reads, answered by a constant
    #[value(skip)]
    Echo,
}

impl Protocol {
    /// As written in results.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Resp2 => "resp2",
            Self::Resp3 => "resp3",
            Self::MemcachedText => "memcached-text",
            Self::Echo => "echo",
        }
    }

    /// Asks whether anybody is there: the request, and how its one-line reply begins.
    pub(crate) const fn ping(self) -> (&'static [u8], &'static str) {
        match self {
            Self::Resp2 | Self::Resp3 | Self::Echo => (b"*1\r\n$4\r\nPING\r\n", "+PONG"),
            Self::MemcachedText => (b"version\r\n", "VERSION "),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.label())
    }
}

/// A protocol, and how long its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wording {
    /// The protocol.
    pub(crate) protocol: Protocol,
    /// Bytes of every value.
    pub(crate) value_bytes: usize,
}

impl Wording {
    /// Appends a read of `key`.
    pub(crate) fn push_get(self, bytes: &mut Vec<u8>, key: u64) {
        // Writing into a Vec cannot fail.
        let _written = match self.protocol {
            Protocol::Resp2 | Protocol::Resp3 | Protocol::Echo => write!(
                bytes,
                "*2\r\n$3\r\nGET\r\n${KEY_BYTES}\r\nkey:{key:010}\r\n"
            ),
            Protocol::MemcachedText => write!(bytes, "get key:{key:010}\r\n"),
        };
    }

    /// Appends a write of the value of `key`.
    pub(crate) fn push_set(self, bytes: &mut Vec<u8>, key: u64) {
        let length = self.value_bytes;
        let _written = match self.protocol {
            Protocol::Resp2 | Protocol::Resp3 | Protocol::Echo => write!(
                bytes,
                "*3\r\n$3\r\nSET\r\n${KEY_BYTES}\r\nkey:{key:010}\r\n${length}\r\n"
            ),
            Protocol::MemcachedText => write!(bytes, "set key:{key:010} 0 0 {length}\r\n"),
        };
        push_value(bytes, key, length);
        bytes.extend_from_slice(b"\r\n");
    }

    /// What a write is answered with.
    pub(crate) const fn set_reply(self) -> &'static [u8] {
        match self.protocol {
            Protocol::Resp2 | Protocol::Resp3 | Protocol::Echo => b"+OK\r\n",
            Protocol::MemcachedText => b"STORED\r\n",
        }
    }

    /// Chooses the protocol on a new connection, which still blocks.
    ///
    /// # Errors
    /// The server refuses it, closes, or is silent for longer than the read timeout of `stream`.
    pub(crate) fn greet(self, stream: &mut TcpStream) -> Result<()> {
        match self.protocol {
            Protocol::Resp2 | Protocol::MemcachedText | Protocol::Echo => Ok(()),
            Protocol::Resp3 => hello_3(stream),
        }
    }
}

/// The PONG behind the greeting's map says where the map ends, without reading it.
fn hello_3(stream: &mut TcpStream) -> Result<()> {
    const REQUEST: &[u8] = b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n";
    stream.write_all(REQUEST).context("send HELLO 3")?;
    let mut reply = Vec::new();
    while !reply.ends_with(b"+PONG\r\n") {
        ensure!(
            reply.len() < GREETING_BYTES_MAX,
            "HELLO 3 was answered by {} bytes",
            reply.len()
        );
        let mut piece = [0; 512];
        match stream.read(&mut piece).context("read HELLO 3's reply")? {
            0 => bail!("the server closed the connection at HELLO 3"),
            length => reply.extend_from_slice(&piece[..length]),
        }
    }
    ensure!(
        reply.starts_with(b"%"),
        "HELLO 3 was answered by {}",
        reply.escape_ascii()
    );
    Ok(())
}

/// A reply to a read in RESP that has nothing to do with any key.
pub(crate) fn constant_reply(value_bytes: usize) -> Vec<u8> {
    let mut reply = format!("${value_bytes}\r\n").into_bytes();
    reply.resize(reply.len() + value_bytes, b'x');
    reply.extend_from_slice(b"\r\n");
    reply
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::threads;

    const PROTOCOLS: [Protocol; 4] = [
        Protocol::Resp2,
        Protocol::Resp3,
        Protocol::MemcachedText,
        Protocol::Echo,
    ];

    #[test]
    fn requests_are_worded_as_their_protocol_wants() {
        for protocol in PROTOCOLS {
            let wording = Wording {
                protocol,
                value_bytes: 64,
            };
            let (mut get, mut set) = (Vec::new(), Vec::new());
            wording.push_get(&mut get, 42);
            wording.push_set(&mut set, 42);
            if protocol == Protocol::MemcachedText {
                assert_eq!(get, b"get key:0000000042\r\n");
                assert!(set.starts_with(b"set key:0000000042 0 0 64\r\n"));
                assert_eq!(set.len(), 27 + 64 + 2);
            } else {
                assert_eq!(get, b"*2\r\n$3\r\nGET\r\n$14\r\nkey:0000000042\r\n");
                assert_eq!(get.len(), GET_BYTES);
                assert!(set.starts_with(b"*3\r\n$3\r\nSET\r\n$14\r\nkey:0000000042\r\n$64\r\n"));
                assert_eq!(set.len(), GET_BYTES + 5 + 64 + 2);
            }
        }
    }

    fn greeted(reply: &'static [u8]) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            threads::spawn_scoped(scope, "server", move || {
                let (mut stream, _peer) = listener.accept().unwrap();
                let mut asked = [0; 36];
                stream.read_exact(&mut asked).unwrap();
                stream.write_all(reply).unwrap();
            })
            .unwrap();
            let wording = Wording {
                protocol: Protocol::Resp3,
                value_bytes: 64,
            };
            wording.greet(&mut TcpStream::connect(address).unwrap())
        })
    }

    #[test]
    fn a_map_is_a_greeting_and_an_error_is_not() {
        greeted(b"%1\r\n$5\r\nproto\r\n:3\r\n+PONG\r\n").unwrap();
        for (reply, expected) in [
            (b"-NOPROTO no\r\n+PONG\r\n".as_slice(), "NOPROTO"),
            (b"%1\r\n", "closed"),
        ] {
            let error = format!("{:#}", greeted(reply).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
