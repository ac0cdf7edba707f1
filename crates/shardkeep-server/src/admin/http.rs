//! Requests and responses of HTTP/1.1, as far as looking needs them: GET and HEAD, and no bodies.
//!
//! Pure: no sockets, no clock.
//!
//! 1. A request that is not whole within [`REQUEST_BYTES_MAX`] is refused.
//! 2. Every response says its length, and that the connection ends with it.

/// Bytes of a request, its headers included: what browsers and scrapers send is a tenth of it.
pub(crate) const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// Headers of a request; browsers send about twenty.
const HEADERS_MAX: usize = 64;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Without its query.
    pub(crate) path: String,
    /// The response without its body.
    pub(crate) head: bool,
}

/// What the bytes that have come so far are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    More,
    Request(Request),
    Refused(Status),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    TooLarge,
    Internal,
    Unavailable,
}

impl Status {
    pub(crate) fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::Internal => "500 Internal Server Error",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

/// Reads a request.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() >= REQUEST_BYTES_MAX => {
            return Parsed::Refused(Status::TooLarge);
        }
        Ok(httparse::Status::Partial) => return Parsed::More,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(Status::TooLarge),
        Err(_) => return Parsed::Refused(Status::BadRequest),
    }
    let head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Parsed::Refused(Status::MethodNotAllowed),
    };
    let target = request.path.unwrap_or_default();
    let path = target.split(['?', '#']).next().unwrap_or_default();
    Parsed::Request(Request {
        path: path.to_owned(),
        head,
    })
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: Status,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn new(
        status: Status,
        content_type: &'static str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
        }
    }

    /// A line of text.
    pub(crate) fn text(status: Status, line: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{line}\n"))
    }

    /// The status and nothing else to say.
    pub(crate) fn bare(status: Status) -> Self {
        Self::text(status, status.line())
    }

    /// The bytes to send; without the body for HEAD.
    pub(crate) fn encode(self, head: bool) -> Vec<u8> {
        let allow = match self.status {
            Status::MethodNotAllowed => "Allow: GET, HEAD\r\n",
            _ => "",
        };
        let mut bytes = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'\r\n\
             Connection: close\r\n\r\n",
            self.status.line(),
            self.content_type,
            self.body.len(),
        )
        .into_bytes();
        if !head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(path: &str, head: bool) -> Parsed {
        Parsed::Request(Request {
            path: path.to_owned(),
            head,
        })
    }

    #[test]
    fn a_request_is_understood_or_refused_by_its_kind() {
        let cases = [
            ("", Parsed::More),
            ("GET / HTTP/1.1\r\nHost: a\r\n", Parsed::More),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", asks("/", false)),
            ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", asks("/metrics", false)),
            ("HEAD /readyz HTTP/1.1\r\n\r\n", asks("/readyz", true)),
            (
                "POST / HTTP/1.1\r\n\r\n",
                Parsed::Refused(Status::MethodNotAllowed),
            ),
            ("SET k v\r\n\r\n", Parsed::Refused(Status::BadRequest)),
            ("\u{0}\u{1}", Parsed::Refused(Status::BadRequest)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }

    #[test]
    fn every_prefix_of_a_request_waits_for_more() {
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
        for end in 0..request.len() {
            assert_eq!(parse(&request[..end]), Parsed::More, "{end}");
        }
    }

    #[test]
    fn a_request_that_does_not_end_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(REQUEST_BYTES_MAX));
        let parsed = parse(&long.as_bytes()[..REQUEST_BYTES_MAX]);
        assert_eq!(parsed, Parsed::Refused(Status::TooLarge));
        let many = "A: b\r\n".repeat(HEADERS_MAX + 1);
        let parsed = parse(format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes());
        assert_eq!(parsed, Parsed::Refused(Status::TooLarge));
    }

    #[test]
    fn a_response_to_head_has_the_length_and_no_body() {
        let whole = Response::text(Status::Ok, "hello").encode(false);
        let head = Response::text(Status::Ok, "hello").encode(true);
        assert!(whole.starts_with(&head) && whole.ends_with(b"\r\n\r\nhello\n"));
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("\r\nContent-Length: 6\r\n"), "{head}");
    }
}
