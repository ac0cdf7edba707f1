//! One connection to the admin endpoint: a request, its response, the end.
//!
//! 1. Each stage has a deadline; whoever misses it is cut off.
//! 2. It holds [`REQUEST_BYTES_MAX`] bytes of a request at most, and one response.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::http::{self, Parsed, REQUEST_BYTES_MAX, Request, Response};

/// From the connection to its whole request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// From the request to the last byte of the response being taken.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long what a client still sends is thrown away, so that the response is not torn by a reset.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

enum Stage {
    Reading(Vec<u8>),
    Writing { bytes: Vec<u8>, sent: usize },
    Lingering,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    Close,
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    stage: Stage,
    pub(super) deadline: Instant,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, now: Instant) -> Self {
        Self {
            stream,
            stage: Stage::Reading(Vec::new()),
            deadline: now + REQUEST_TIMEOUT,
        }
    }

    /// Goes as far as the socket lets it; `answer` makes the response.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        answer: impl FnOnce(&Request) -> Response,
    ) -> Next {
        // What the peer does not take or has broken off is its own business.
        self.try_advance(now, answer).unwrap_or(Next::Close)
    }

    fn try_advance(
        &mut self,
        now: Instant,
        answer: impl FnOnce(&Request) -> Response,
    ) -> io::Result<Next> {
        if let Stage::Reading(request) = &mut self.stage {
            let ended = read_all(&mut self.stream, request)?;
            let bytes = match http::parse(request) {
                Parsed::More if ended => return Ok(Next::Close),
                Parsed::More => return Ok(Next::Wait),
                Parsed::Request(request) => answer(&request).encode(request.head),
                Parsed::Refused(status) => Response::bare(status).encode(false),
            };
            self.stage = Stage::Writing { bytes, sent: 0 };
            self.deadline = now + RESPONSE_TIMEOUT;
        }
        if let Stage::Writing { bytes, sent } = &mut self.stage {
            while *sent < bytes.len() {
                #[expect(clippy::disallowed_methods, reason = "blocking point B39: never waits")]
                match self.stream.write(&bytes[*sent..]) {
                    Ok(0) => return Ok(Next::Close),
                    Ok(n) => *sent += n,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Next::Wait),
                    Err(error) => return Err(error),
                }
            }
            self.stream.shutdown(Shutdown::Write)?;
            self.stage = Stage::Lingering;
            self.deadline = now + LINGER_TIMEOUT;
        }
        self.linger()
    }

    fn linger(&mut self) -> io::Result<Next> {
        let mut thrown_away = [0; 1024];
        for _ in 0..REQUEST_BYTES_MAX / thrown_away.len() {
            #[expect(clippy::disallowed_methods, reason = "blocking point B39: never waits")]
            match self.stream.read(&mut thrown_away) {
                Ok(0) => return Ok(Next::Close),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Next::Wait),
                Err(error) => return Err(error),
            }
        }
        // Whoever goes on sending gets a reset.
        Ok(Next::Close)
    }
}

/// Reads what is there, up to the bound; `true` when nothing more will come.
fn read_all(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 1024];
    while into.len() < REQUEST_BYTES_MAX {
        let room = piece.len().min(REQUEST_BYTES_MAX - into.len());
        #[expect(clippy::disallowed_methods, reason = "blocking point B39: never waits")]
        match stream.read(&mut piece[..room]) {
            Ok(0) => return Ok(true),
            Ok(n) => into.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
