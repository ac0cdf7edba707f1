//! A small blocking client that sends any bytes and reads any replies.
//!
//! Not for use beyond tests: it knows no commands and keeps no pool.
//!
//! 1. Reads and writes end by the client's patience, counted from the call.
//! 2. Replies are kept as bytes; they become values only where somebody asks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use shardkeep_resp::{ReplyDecoder, ReplyScanner, Value};

use crate::clock::{self, PATIENCE};

/// Bytes read from the socket at once: a few hundred small replies.
const READ_BYTES: usize = 16 * 1_024;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The peer closed it in order.
    Closed,
    /// The peer reset it.
    Reset,
}

/// The bytes of a request of `args`.
///
/// ```
/// use shardkeep_tests::harness::request;
/// assert_eq!(request(&["GET", "k"]), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
/// ```
pub fn request<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    patience: Duration,
    scanner: ReplyScanner,
    received: Vec<u8>,
    /// Where in `received` the next reply begins.
    start: usize,
}

impl Client {
    /// Connects to `address`. Blocks until connected, for [`PATIENCE`] at most.
    ///
    /// # Errors
    /// Nobody accepts there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// A client over a connected stream.
    ///
    /// # Errors
    /// The socket refuses its options.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            patience: PATIENCE,
            scanner: ReplyScanner::new(),
            received: Vec::new(),
            start: 0,
        })
    }

    /// The same connection, which waits for `patience` at most in each call.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The socket itself.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends `bytes`. Blocks until the kernel took them all.
    ///
    /// # Errors
    /// The peer has gone, or took nothing for as long as the client's patience.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.patience))?;
        (&self.stream).write_all(bytes)
    }

    /// Sends nothing more; what the server has still to say can be read.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// The bytes of the next reply. Blocks until it is whole.
    ///
    /// # Errors
    /// `UnexpectedEof` when the server closed first, `TimedOut` after the client's patience,
    /// `InvalidData` when the bytes are no reply.
    pub fn reply_bytes(&mut self) -> io::Result<Vec<u8>> {
        let deadline = clock::now() + self.patience;
        loop {
            let rest = &self.received[self.start..];
            match self.scanner.scan(rest) {
                Ok(Some(end)) => {
                    let reply = rest[..end].to_vec();
                    self.start += end;
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
            }
            self.received.drain(..self.start);
            self.start = 0;
            let left = clock::left(deadline).ok_or_else(|| {
                io::Error::new(ErrorKind::TimedOut, "the reply did not come in time")
            })?;
            self.stream.set_read_timeout(Some(left))?;
            if self.read_some()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next reply. Blocks until it is whole.
    ///
    /// # Errors
    /// As [`reply_bytes`](Self::reply_bytes).
    pub fn reply(&mut self) -> io::Result<Value> {
        value(&self.reply_bytes()?)
    }

    /// Sends one request and returns its reply. Blocks until it has come.
    ///
    /// # Errors
    /// As [`reply_bytes`](Self::reply_bytes).
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        self.send(&request(args))?;
        self.reply()
    }

    /// Everything until the connection ends, and how it ended. Blocks until then.
    ///
    /// # Errors
    /// `TimedOut` when the connection is still open after the client's patience.
    pub fn rest(&mut self) -> io::Result<(Vec<u8>, Ended)> {
        let deadline = clock::now() + self.patience;
        loop {
            let left = clock::left(deadline).ok_or_else(|| {
                io::Error::new(ErrorKind::TimedOut, "the connection was not closed in time")
            })?;
            self.stream.set_read_timeout(Some(left))?;
            let ended = match self.read_some() {
                Ok(0) => Ended::Closed,
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => Ended::Reset,
                Err(error) => return Err(error),
            };
            let rest = self.received.split_off(self.start);
            return Ok((rest, ended));
        }
    }

    /// Reads what is there. A read that finds nothing in time is `TimedOut`, whatever the system calls it.
    fn read_some(&mut self) -> io::Result<usize> {
        let mut chunk = [0; READ_BYTES];
        loop {
            match (&self.stream).read(&mut chunk) {
                Ok(bytes) => {
                    self.received.extend_from_slice(&chunk[..bytes]);
                    return Ok(bytes);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(io::Error::new(ErrorKind::TimedOut, "nothing came in time"));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The value of one whole reply.
pub(crate) fn value(reply: &[u8]) -> io::Result<Value> {
    match ReplyDecoder::new().decode(reply) {
        Ok(Some((value, _))) => Ok(value),
        Ok(None) => Err(ErrorKind::UnexpectedEof.into()),
        Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
    }
}
