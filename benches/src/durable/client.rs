//! One blocking connection to a server that speaks RESP2: commands that no load is made of.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::wire::protocol::{KEY_BYTES, VALUE_BYTES_MAX, push_value};

/// Longest silence: a `SAVE` of several gigabytes.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Longest line of a reply.
const LINE_BYTES_MAX: u64 = 4_096;
/// Longest text of a reply: INFO, or a value.
const TEXT_BYTES_MAX: usize = VALUE_BYTES_MAX;
const _: () = assert!(TEXT_BYTES_MAX >= 16 * 1_024);
/// Reads sent before their replies are taken: few enough that both fit every socket buffer.
const READS_TOGETHER: usize = 64;

/// A reply to a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A status, or a number as text
    Line(String),
    /// Its text begins with its kind, as `LOADING`
    Error(String),
    Text(Vec<u8>),
    Absent,
}

/// The connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// The server closes, is silent for longer than [`SILENCE_MAX`], or answers an aggregate.
    pub(super) fn ask(&mut self, words: &[&str]) -> Result<Reply> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.reply()
    }

    /// The same for a command that must be obeyed; returns what it was answered.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), and an error or no text.
    pub(super) fn order(&mut self, words: &[&str]) -> Result<String> {
        match self.ask(words)? {
            Reply::Line(line) => Ok(line),
            Reply::Text(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            other @ (Reply::Error(_) | Reply::Absent) => {
                bail!("{} was answered by {other:?}", words.join(" "))
            }
        }
    }

    /// Reads every `step`th of the keys `0..keys`; returns how many do not have their values.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub(super) fn count_wrong(
        &mut self,
        keys: u64,
        step: usize,
        value_bytes: usize,
    ) -> Result<u64> {
        let asked: Vec<u64> = (0..keys).step_by(step).collect();
        let mut wrong = 0;
        for together in asked.chunks(READS_TOGETHER) {
            let mut requests = Vec::new();
            for key in together {
                // Writing into a Vec cannot fail.
                let _written = write!(
                    requests,
                    "*2\r\n$3\r\nGET\r\n${KEY_BYTES}\r\nkey:{key:010}\r\n"
                );
            }
            self.stream.get_mut().write_all(&requests)?;
            for &key in together {
                let mut value = Vec::new();
                push_value(&mut value, key, value_bytes);
                wrong += u64::from(self.reply()? != Reply::Text(value));
            }
        }
        Ok(wrong)
    }

    fn reply(&mut self) -> Result<Reply> {
        let mut line = String::new();
        (&mut self.stream)
            .take(LINE_BYTES_MAX)
            .read_line(&mut line)
            .context("read a reply")?;
        let Some(line) = line.strip_suffix("\r\n") else {
            bail!("the reply ends in {line:?}");
        };
        let rest = line.get(1..).unwrap_or_default().to_owned();
        match line.as_bytes().first() {
            Some(b'+' | b':') => Ok(Reply::Line(rest)),
            Some(b'-') => Ok(Reply::Error(rest)),
            Some(b'$') if rest == "-1" => Ok(Reply::Absent),
            Some(b'$') => {
                let length: usize = rest.parse().with_context(|| format!("length {rest:?}"))?;
                ensure!(length <= TEXT_BYTES_MAX, "a reply of {length} bytes");
                let mut text = vec![0; length + 2];
                self.stream.read_exact(&mut text)?;
                text.truncate(length);
                Ok(Reply::Text(text))
            }
            _ => bail!("no reply: {line:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::threads;

    /// What a client makes of these bytes.
    fn replies(bytes: &'static [u8], count: usize) -> Vec<Result<Reply>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = threads::spawn("server", move || {
            let (mut stream, _peer) = listener.accept().unwrap();
            stream.write_all(bytes).unwrap();
        })
        .unwrap();
        let mut client = Client::connect(address).unwrap();
        server.join().unwrap();
        (0..count).map(|_| client.reply()).collect()
    }

    #[test]
    fn replies_are_told_apart_and_what_is_none_is_an_error() {
        let found = replies(
            b"+OK\r\n:7\r\n-LOADING x\r\n$-1\r\n$3\r\na\r\n\r\n*0\r\n",
            7,
        );
        let expected = [
            Reply::Line("OK".to_owned()),
            Reply::Line("7".to_owned()),
            Reply::Error("LOADING x".to_owned()),
            Reply::Absent,
            Reply::Text(b"a\r\n".to_vec()),
        ];
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.as_ref().unwrap(), expected);
        }
        assert!(found[5].is_err(), "an aggregate");
        assert!(found[6].is_err(), "the end");
    }
}
