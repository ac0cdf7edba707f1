//! One request and one reply on a connection, bounded in bytes and time.
//!
//! 1. A request costs at most [`HEAD_MAX`] + [`BODY_MAX`] bytes, and [`REQUEST_TIME`] to arrive.
//! 2. The connection is closed after the reply.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shardkeep_core::Deadline;

/// Longest head of a request, in bytes.
const HEAD_MAX: usize = 8 << 10;

/// Most header lines of a request.
const HEADERS_MAX: usize = 32;

/// Longest body of a request, in bytes: a task.
const BODY_MAX: usize = 64 << 10;

/// How long a request may take to arrive, and how long a reply may take to be taken.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// Bytes that are read and thrown away so that a refused client still reads its reply.
const LINGER_MAX: usize = 256 << 10;

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Reply {
    status: u16,
    retry_after: Option<Duration>,
    body: Value,
}

impl Reply {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            retry_after: None,
            body,
        }
    }

    pub(crate) fn error(status: u16, why: impl ToString) -> Self {
        Self::new(status, json!({ "error": why.to_string() }))
    }

    /// Tells the client when to try again.
    pub(crate) fn retry_after(self, time: Duration) -> Self {
        Self {
            retry_after: Some(time),
            ..self
        }
    }

    fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            202 => "Accepted",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            409 => "Conflict",
            411 => "Length Required",
            413 => "Content Too Large",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let body = format!("{}\n", self.body);
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason());
        if let Some(time) = self.retry_after {
            let _always = write!(text, "Retry-After: {}\r\n", time.as_secs().max(1));
        }
        let _always = write!(
            text,
            "Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        text.into_bytes()
    }
}

/// Reads a request, has it answered, and closes the connection. Blocks for the peer, for
/// [`REQUEST_TIME`] each way.
pub(crate) fn serve(mut stream: TcpStream, answer: impl FnOnce(&Request) -> Reply) {
    let (reply, is_read) = match read(&mut stream) {
        Ok(Ok(request)) => (answer(&request), true),
        Ok(Err(refusal)) => (refusal, false),
        // Nobody is there to be told.
        Err(_) => return,
    };
    let sent = stream
        .set_write_timeout(Some(REQUEST_TIME))
        .and_then(|()| stream.write_all(&reply.bytes()))
        .and_then(|()| stream.shutdown(Shutdown::Write));
    if sent.is_ok() && !is_read {
        // To close with unread bytes would take the reply away from the peer.
        linger(&mut stream);
    }
}

fn linger(stream: &mut TcpStream) {
    let (deadline, mut buffer, mut read) = (Deadline::after(REQUEST_TIME), [0; 4 << 10], 0);
    while read < LINGER_MAX {
        match receive(stream, &mut buffer, deadline) {
            Ok(Some(count)) if count > 0 => read += count,
            Ok(Some(_) | None) | Err(_) => return,
        }
    }
}

/// Reads some bytes; `None` when the deadline has passed.
fn receive(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    deadline: Deadline,
) -> io::Result<Option<usize>> {
    let left = deadline.instant().saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(None);
    }
    stream.set_read_timeout(Some(left))?;
    match stream.read(buffer) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// The request, or what is to be told to who sent something else.
fn read(stream: &mut TcpStream) -> io::Result<Result<Request, Reply>> {
    let deadline = Deadline::after(REQUEST_TIME);
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4 << 10]);
    loop {
        match parse(&bytes) {
            Ok(Some((mut request, head, length))) if bytes.len() >= head + length => {
                request.body = bytes.drain(head..head + length).collect();
                return Ok(Ok(request));
            }
            Ok(Some(_) | None) => {}
            Err(refusal) => return Ok(Err(refusal)),
        }
        match receive(stream, &mut buffer, deadline)? {
            None => return Ok(Err(Reply::error(408, "the request took too long"))),
            Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The request without its body, the length of its head and that of its body; `None`: the head is not
/// whole yet.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize, usize)>, Reply> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(&bytes[..bytes.len().min(HEAD_MAX)]) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Reply::error(431, "the head is too long"));
        }
        Err(error) => return Err(Reply::error(400, error)),
    };
    let mut length = 0;
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Reply::error(411, "the body needs a length"));
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).ok();
            let told = text.and_then(|text| text.trim().parse().ok());
            length = told.ok_or_else(|| Reply::error(400, "the length is no number"))?;
        }
    }
    if length > BODY_MAX {
        return Err(Reply::error(
            413,
            format!("a task has {BODY_MAX} bytes at most"),
        ));
    }
    let request = Request {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        body: Vec::new(),
    };
    Ok(Some((request, head, length)))
}
