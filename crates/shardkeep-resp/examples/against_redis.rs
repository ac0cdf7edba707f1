//! Plays the table of conversations, and generated ones, against a real Redis 7.0 and against this
//! crate, and reports every difference.
//!
//! `cargo run -p shardkeep-resp --example against_redis -- HOST:PORT [HOST:PORT with a password]`

#![expect(clippy::disallowed_methods, reason = "an example may wait")]

#[path = "../tests/cases/mod.rs"]
mod cases;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use cases::Case;
use shardkeep_resp::Limits;

/// Longest wait for Redis to answer and close.
const PATIENCE: Duration = Duration::from_secs(5);

/// Generated conversations of each of the three kinds.
const GENERATED: usize = 3_000;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut addresses = std::env::args().skip(1);
    let open = addresses
        .next()
        .ok_or("usage: against_redis HOST:PORT [HOST:PORT]")?;
    let mut differences = compare(&open, &cases::same_as_redis())?;
    differences += compare(&open, &generated(GENERATED))?;
    if let Some(guarded) = addresses.next() {
        differences += compare(&guarded, &cases::same_as_redis_unauthenticated())?;
    }
    for Case { sent, reply } in cases::stricter_than_redis() {
        let redis = ask(&open, &sent)?;
        let (sent, reply, redis) = (shown(&sent), shown(&reply), shown(&redis));
        writeln!(
            io::stdout(),
            "stricter on purpose: {sent}\n  here  {reply}\n  redis {redis}"
        )?;
    }
    writeln!(io::stdout(), "{differences} differences")?;
    Ok(if differences == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn compare(address: &str, cases: &[Case]) -> io::Result<usize> {
    let mut differences = 0;
    for Case { sent, reply } in cases {
        let redis = ask(address, sent)?;
        if redis != *reply {
            differences += 1;
            let (sent, reply, redis) = (shown(sent), shown(reply), shown(&redis));
            writeln!(
                io::stdout(),
                "DIFFERENT: {sent}\n  here  {reply}\n  redis {redis}"
            )?;
        }
    }
    writeln!(io::stdout(), "{} conversations with {address}", cases.len())?;
    Ok(differences)
}

/// Everything Redis answers to `sent` until it closes.
fn ask(address: &str, sent: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Redis may have answered an error and closed before it read everything.
    let sending = stream
        .write_all(sent)
        .and_then(|()| stream.shutdown(Shutdown::Write));
    let (mut reply, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => reply.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error),
        }
    }
    if reply.is_empty() {
        sending.map(|()| reply)
    } else {
        Ok(reply)
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(100)].escape_ascii().to_string()
}

/// Lines with quotes, and headers with numbers, put together from what may matter.
fn generated(each: usize) -> Vec<Case> {
    const WORDS: [&str; 18] = [
        "\"", "\"", "'", "'", "\\", "\\x", "\\x4", "41", "\\n", "\\'", "\\\"", " ", " ", "\t",
        "\x0b", "a", "\r", "\u{e9}",
    ];
    const DIGITS: [&str; 9] = ["0", "1", "9", "-", "+", " ", "x", "21474836", "53687091"];
    // Any fixed seed will do; the sequence is the same in every run.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 33) as usize % below
    };
    // The one limit in which Redis is more generous.
    let limits = Limits {
        args_max: i32::MAX as usize,
        ..Limits::default()
    };
    let mut cases = Vec::new();
    for _ in 0..each {
        let line: String = (0..random(9)).map(|_| WORDS[random(WORDS.len())]).collect();
        let number: String = (0..random(4))
            .map(|_| DIGITS[random(DIGITS.len())])
            .collect();
        for sent in [
            format!("ECHO {line}\r\n"),
            format!("PING\r\n*{number}\r\nPING\r\n"),
            format!("*1\r\n${number}\r\n"),
        ] {
            let reply = cases::serve(sent.as_bytes(), limits, usize::MAX);
            cases.push(Case {
                sent: sent.into_bytes(),
                reply,
            });
        }
    }
    cases
}
