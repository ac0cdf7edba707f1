//! Conversations, and a server of two commands that holds them.
//!
//! The table is played against the crate by a test, and against a real Redis by an example, so that
//! "the wording of Redis" is a fact that can be looked up again.

use shardkeep_resp::{Decoder, Limits, PONG, Protocol, Reply, Span, Step};

/// Bytes a client sends before it closes its side, and all that it gets back.
pub(crate) struct Case {
    pub(crate) sent: Vec<u8>,
    pub(crate) reply: Vec<u8>,
}

fn case(sent: impl AsRef<[u8]>, reply: impl AsRef<[u8]>) -> Case {
    Case {
        sent: sent.as_ref().to_vec(),
        reply: reply.as_ref().to_vec(),
    }
}

/// A case that ends with a protocol error of this text.
fn refused(sent: impl AsRef<[u8]>, text: &str) -> Case {
    case(sent, format!("-ERR Protocol error: {text}\r\n"))
}

/// What Redis 7.0.15 answers in the same way.
pub(crate) fn same_as_redis() -> Vec<Case> {
    let multibulk = "invalid multibulk length";
    let bulk = "invalid bulk length";
    let unbalanced = "unbalanced quotes in request";
    let digits = "1".repeat(70_000);
    let mut cases = vec![
        case("PING\r\n", "+PONG\r\n"),
        case("PING\n", "+PONG\r\n"),
        case("\r\n\n  \r\nPING\r\n", "+PONG\r\n"),
        case("*0\r\n*-1\r\n*-7\r\nPING\r\n", "+PONG\r\n"),
        case(
            "*1\r\n$4\r\nPING\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n",
            "+PONG\r\n+PONG\r\n$1\r\nx\r\n",
        ),
        case("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "$0\r\n\r\n"),
        case(
            b"*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\0\xff\r\n",
            b"$4\r\n\r\n\0\xff\r\n",
        ),
        refused("*01\r\n$4\r\nPING\r\n", multibulk),
        refused("*1\r\n$04\r\nPING\r\n", bulk),
        case("*2147483648", ""),
        case("*1048576\r\n", ""),
        case("*1\r\n$536870912\r\n", ""),
        case("ECHO \"a\\x41\\n\\q'\"\r\n", "$5\r\naA\nq'\r\n"),
    ];
    for text in [
        "",
        "+1",
        " 1",
        "1 ",
        "01",
        "-0",
        "x",
        "1x",
        "2147483648",
        "99999999999999999999999",
    ] {
        cases.push(refused(format!("*{text}\r\n"), multibulk));
    }
    for text in [
        "",
        "+1",
        " 1",
        "01",
        "-0",
        "-1",
        "-2",
        "x",
        "536870913",
        "99999999999999999999999",
    ] {
        cases.push(refused(format!("*1\r\n${text}\r\n"), bulk));
    }
    for line in [
        "ECHO \"",
        "ECHO '",
        "ECHO \"a\"b",
        "ECHO 'a'b",
        "ECHO \"a\\\"",
        "ECHO \"a\\",
        "\"a\"\"b\"",
    ] {
        cases.push(refused(format!("{line}\r\n"), unbalanced));
    }
    cases.extend([
        refused("*1\r\nPING\r\n", "expected '$', got 'P'"),
        refused("*1\r\n:1\r\n", "expected '$', got ':'"),
        refused("*1\r\n\r\n", "expected '$', got ' '"),
        refused("*1\r\n%1\r\n", "expected '$', got '%'"),
        refused("*1\r\n".repeat(100_000), "expected '$', got '*'"),
        case(
            b"*1\r\n\xff\r\n",
            b"-ERR Protocol error: expected '$', got '\xff'\r\n",
        ),
        refused(format!("*{digits}"), "too big mbulk count string"),
        refused(format!("*1\r\n${digits}"), "too big bulk count string"),
        refused(&digits, "too big inline request"),
        case(
            "PING\r\n*1\r\nx\r\nPING\r\n",
            "+PONG\r\n-ERR Protocol error: expected '$', got 'x'\r\n",
        ),
        case(
            "PING\r\n\"\r\nPING\r\n",
            format!("+PONG\r\n-ERR Protocol error: {unbalanced}\r\n"),
        ),
    ]);
    cases
}

/// The same, for a client that has not authenticated with a server that demands it.
pub(crate) fn same_as_redis_unauthenticated() -> Vec<Case> {
    vec![
        refused("*11\r\n", "unauthenticated multibulk length"),
        refused("*2147483647\r\n", "unauthenticated multibulk length"),
        refused("*2147483648\r\n", "invalid multibulk length"),
        refused("*1\r\n$16385\r\n", "unauthenticated bulk length"),
        refused("*1\r\n$536870913\r\n", "invalid bulk length"),
        case("*10\r\n$16384\r\n", ""),
    ]
}

/// Where this crate is stricter than Redis on purpose.
pub(crate) fn stricter_than_redis() -> Vec<Case> {
    let multibulk = "invalid multibulk length";
    let bulk = "invalid bulk length";
    vec![
        refused("*1\n$4\nPING\n", multibulk),
        refused("*1\rX$4\r\nPING\r\n", multibulk),
        refused("*1\r\n$4\n", bulk),
        refused("*1\r\n$4\rXPING\r\n", bulk),
        refused("*1\r\n$4\r\nPINGXX", bulk),
        refused("*1\r\nP", "expected '$', got 'P'"),
        refused("PI\0NG", "NUL byte in inline request"),
        refused("*1048577\r\n", multibulk),
    ]
}

/// All that a server of PING and ECHO answers to `sent`, which arrives in pieces of `piece` bytes.
pub(crate) fn serve(sent: &[u8], limits: Limits, piece: usize) -> Vec<u8> {
    let (mut decoder, mut spans) = (Decoder::new(limits), Vec::new());
    let (mut input, mut out) = (Vec::new(), Vec::new());
    for now in sent.chunks(piece) {
        input.extend_from_slice(now);
        let mut at = 0;
        loop {
            spans.clear();
            let frame = &mut input[at..];
            match decoder.decode(frame, &mut spans) {
                Ok(Step::NeedMore { .. }) => break,
                Ok(Step::Request { consumed }) => {
                    answer(frame, &spans, &mut out);
                    at += consumed;
                }
                Err(error) => {
                    Reply::new(&mut out, Protocol::Resp2).protocol_error(error);
                    return out;
                }
            }
        }
        input.drain(..at);
    }
    out
}

fn answer(frame: &[u8], spans: &[Span], out: &mut Vec<u8>) {
    let mut reply = Reply::new(out, Protocol::Resp2);
    match spans {
        [] => {}
        [ping] if ping.of(frame) == b"PING" => reply.raw(PONG),
        [echo, text] if echo.of(frame) == b"ECHO" => reply.bulk(text.of(frame)),
        [echo, ..] if echo.of(frame) == b"ECHO" => {
            reply.error("ERR wrong number of arguments for 'echo' command");
        }
        [..] => reply.error("ERR not a command of this server"),
    }
}
