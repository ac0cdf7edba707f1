//! A program as a process, and what it says.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shardkeep_tests::clock::{self, PATIENCE};

/// Lines of a program that are kept until somebody reads them.
const LINES_MAX: usize = 10_000;

/// A running program; killed and reaped when it goes.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    said: Vec<String>,
}

impl Program {
    pub(crate) fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stderr.take().unwrap());
        let (says, lines) = bounded(LINES_MAX);
        let reader = std::thread::Builder::new()
            .name("program-output".to_owned())
            .spawn(move || {
                for line in output.split(b'\n') {
                    let Ok(line) = line else { return };
                    // What is too much is not kept, so that the program never waits for us.
                    drop(says.try_send(String::from_utf8_lossy(&line).into_owned()));
                }
            })
            .unwrap();
        Self {
            child,
            lines,
            reader: Some(reader),
            said: Vec::new(),
        }
    }

    /// The next line that contains `part`.
    pub(crate) fn await_line(&mut self, part: &str) -> String {
        let deadline = clock::now() + PATIENCE;
        loop {
            match self.lines.recv_deadline(deadline) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => self.said.push(line),
                Err(_) => panic!("it did not say {part:?}, but {:#?}", self.said),
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&mut self) -> SocketAddr {
        address_in(&self.await_line("ready: listening on ")).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its exit code when it has ended (`None`: by a signal), and the lines that were not awaited.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        let deadline = clock::now() + PATIENCE;
        loop {
            match self.lines.recv_deadline(deadline) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it still runs, and said {:#?}", self.said)
                }
            }
        }
        let code = self.child.wait().unwrap().code();
        (code, std::mem::take(&mut self.said))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

/// A program whose standard error is full, and nobody reads it.
pub(crate) struct Unheard {
    child: Child,
    address: SocketAddr,
    said: PipeReader,
}

impl Unheard {
    pub(crate) fn start(program: &str, args: &[&str]) -> Self {
        let (said, writer) = std::io::pipe().unwrap();
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(writer.try_clone().unwrap())
            .spawn()
            .unwrap();
        // From here on, dropping it kills the program.
        let mut program = Self {
            child,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            said,
        };
        let (mut line, mut byte) = (String::new(), [0]);
        while !line.ends_with('\n') {
            program.said.read_exact(&mut byte).unwrap();
            line.push(char::from(byte[0]));
        }
        program.address = address_in(&line).unwrap_or_else(|| panic!("{line}"));
        fill(writer);
        program
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its exit code after a signal that drains it.
    pub(crate) fn drain(mut self) -> Option<i32> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let deadline = clock::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(clock::left(deadline).is_some(), "it still runs");
            std::thread::yield_now();
        }
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("ready: listening on ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Writes until there is no room.
fn fill(mut writer: PipeWriter) {
    const PAGE_BYTES: usize = 4_096;
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    while poll(&mut [PollFd::new(&writer, PollFlags::OUT)], Some(&now)) == Ok(1) {
        writer.write_all(&[b'x'; PAGE_BYTES]).unwrap();
    }
}

/// What was answered over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// Asks once. An error says that nothing, or not all, was answered.
pub(crate) fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
    send(to, format!("{head}{body}").as_bytes())
}

/// Sends these bytes and reads the answer.
pub(crate) fn send(to: SocketAddr, bytes: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let cut = || std::io::Error::other(format!("no whole answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(cut)?,
        head: head.to_owned(),
        body: serde_json::from_str(body)?,
    })
}
