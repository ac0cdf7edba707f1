//! A server as a process.
//!
//! 1. The process is killed and reaped when its handle is dropped.
//! 2. What it writes is read by a thread of its own, so that it never waits for us; the last
//!    [`LINES_KEPT`] lines are kept.
//! 3. Readiness is a line that the server writes, never a guess.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open};

pub use rustix::process::Signal;

use super::client::Client;
use crate::clock::{self, PATIENCE};
use crate::planting::SAID;

/// Lines of a server's output that are kept for a failing test to show.
const LINES_KEPT: usize = 200;

/// How often a port that somebody else took in the meantime is replaced by another.
const PORTS_TRIED: usize = 5;

/// What Shardkeep says when it accepts connections; the address follows.
const SHARDKEEP_READY: &str = "ready: listening on ";

/// What Shardkeep says when it accepts connections and reads its store; the addresses follow.
const SHARDKEEP_LOADING: &str = "; accepting on ";

/// What Redis says when it accepts connections.
const REDIS_READY: &str = "Ready to accept connections";

/// Which server a program is, that is, how it is started and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launch {
    /// `PROGRAM serve --bind 127.0.0.1:0 ...`
    Shardkeep,
    /// `PROGRAM --port ...`, without persistence.
    Redis,
}

impl Launch {
    /// By the name of the program.
    #[must_use]
    pub fn of(program: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("redis") {
            Self::Redis
        } else {
            Self::Shardkeep
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    address: SocketAddr,
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
    /// How often something was planted in it.
    planted: usize,
}

impl ServerProcess {
    /// Starts `program` with `flags` beside what `launch` needs. Blocks until it accepts connections,
    /// for [`PATIENCE`] at most.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or does not become ready; with what it said.
    pub fn start(program: &Path, launch: Launch, flags: &[&str]) -> io::Result<Self> {
        match launch {
            Launch::Shardkeep => Self::shardkeep(program, flags, &[]),
            Launch::Redis => Self::redis(program, flags),
        }
    }

    /// Starts Shardkeep as [`ServerProcess::start`] does, with more variables in its environment.
    ///
    /// # Errors
    /// As there.
    pub fn shardkeep(
        program: &Path,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.envs(environment.iter().copied());
        Self::shardkeep_by(command, flags)
    }

    /// Starts Shardkeep by `wrapper`, a program and its arguments that ends by running the command that
    /// follows them. [`ServerProcess::pid`] is then the wrapper's, unless it runs the command in its place.
    ///
    /// # Errors
    /// As [`ServerProcess::start`].
    pub fn start_by(wrapper: &[&str], program: &Path, flags: &[&str]) -> io::Result<Self> {
        let Some((first, rest)) = wrapper.split_first() else {
            return Self::shardkeep(program, flags, &[]);
        };
        let mut command = Command::new(first);
        command.args(rest).arg(program);
        Self::shardkeep_by(command, flags)
    }

    /// Starts Shardkeep as [`ServerProcess::shardkeep`] does, and returns when it accepts connections,
    /// while it still reads its store. Where it listens is not known.
    ///
    /// # Errors
    /// As there.
    pub fn shardkeep_loading(
        program: &Path,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.envs(environment.iter().copied());
        Self::serve(&mut command, flags);
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::launch(command, SHARDKEEP_LOADING, Some(nowhere))
    }

    fn shardkeep_by(mut command: Command, flags: &[&str]) -> io::Result<Self> {
        Self::serve(&mut command, flags);
        Self::launch(command, SHARDKEEP_READY, None)
    }

    fn serve(command: &mut Command, flags: &[&str]) {
        command.arg("serve");
        if !flags.contains(&"--bind") {
            command.args(["--bind", "127.0.0.1:0"]);
        }
        if !flags.contains(&"--admin") {
            command.args(["--admin", "off"]);
        }
        command
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
    }

    fn redis(program: &Path, flags: &[&str]) -> io::Result<Self> {
        let mut last = io::Error::other("no port tried");
        for _ in 0..PORTS_TRIED {
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let mut command = Command::new(program);
            command
                .args(["--port", &address.port().to_string()])
                .args(["--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no"])
                .args(flags)
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            match Self::launch(command, REDIS_READY, Some(address)) {
                Ok(server) => return Ok(server),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn launch(
        mut command: Command,
        ready: &'static str,
        known: Option<SocketAddr>,
    ) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        let output: Box<dyn Read + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(output), _) => Box::new(output),
            (None, Some(output)) => Box::new(output),
            (None, None) => return Err(io::Error::other("no output to read")),
        };
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let (said, heard) = bounded(1);
        let kept = Arc::clone(&lines);
        let reader = thread::Builder::new()
            .name("server-output".to_owned())
            .spawn(move || keep_lines(output, ready, &kept, said))?;
        // From here on, dropping `server` kills the process.
        let mut server = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            lines,
            reader: Some(reader),
            planted: 0,
        };
        let line = server.await_ready(&heard)?;
        server.address = match known {
            Some(address) => address,
            None => address_in(&line)
                .ok_or_else(|| io::Error::other(format!("no address in {line:?}")))?,
        };
        Ok(server)
    }

    fn await_ready(&self, heard: &Receiver<String>) -> io::Result<String> {
        heard.recv_timeout(PATIENCE).map_err(|_| {
            let said = self.output().join("\n  ");
            io::Error::other(format!(
                "the server did not become ready; it said:\n  {said}"
            ))
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The last lines it wrote.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    /// Plants `plans` in a server whose environment has [`FAIL_POINTS`](crate::planting::FAIL_POINTS), be
    /// it empty. Blocks until it has said so.
    ///
    /// # Errors
    /// There is no such place, or no such server.
    pub fn plant(&mut self, plans: &str) -> io::Result<()> {
        let Some(input) = &mut self.child.stdin else {
            return Err(io::Error::other("its standard input is closed"));
        };
        // Empty parts mean nothing, and make each line another.
        self.planted += 1;
        let line = format!("{plans}{}", ",".repeat(self.planted));
        writeln!(input, "{line}")?;
        let (said, deadline) = (format!("{SAID}{line}"), clock::now() + PATIENCE);
        while clock::left(deadline).is_some() {
            if self.output().iter().any(|line| line.contains(&said)) {
                return Ok(());
            }
            thread::yield_now();
        }
        Err(io::Error::other(format!(
            "{plans:?} was not planted: {:?}",
            self.output()
        )))
    }

    /// A new connection. Blocks until it is accepted.
    ///
    /// # Errors
    /// Nobody accepts any more.
    pub fn client(&self) -> io::Result<Client> {
        Client::connect(self.address)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(raw_pid(&self.child)?, signal)?)
    }

    /// Waits until the process ends, for `within` at most. All that it wrote has been read then.
    ///
    /// # Errors
    /// `TimedOut` when it still runs.
    pub fn wait(&mut self, within: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            self.read_to_end();
            return Ok(status);
        }
        wait_for_exit(raw_pid(&self.child)?, within)?;
        self.read_to_end();
        self.child.wait()
    }

    /// Reads what a process that has ended wrote last.
    fn read_to_end(&mut self) {
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Fails only when the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        self.read_to_end();
    }
}

/// Runs `program` until it ends by itself: its status, and what it wrote to standard error.
///
/// Blocks until then, for `within` at most; then it is killed.
///
/// # Errors
/// It cannot be started, or `TimedOut` when it still runs.
pub fn run_to_end(
    program: &Path,
    args: &[&str],
    environment: &[(&str, &str)],
    within: Duration,
) -> io::Result<(ExitStatus, String)> {
    let mut child = Command::new(program)
        .args(args)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let waited = raw_pid(&child).and_then(|pid| wait_for_exit(pid, within));
    if waited.is_err() {
        child.kill()?;
    }
    // What a program says before it ends by itself fits into the pipe.
    let output = child.wait_with_output()?;
    waited?;
    Ok((
        output.status,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

fn raw_pid(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("no such process id"))
}

fn wait_for_exit(pid: Pid, within: Duration) -> io::Result<()> {
    let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = clock::now() + within;
    while let Some(left) = clock::left(deadline) {
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
        match poll(&mut polled, Some(&left)) {
            Ok(0) => {}
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "the server still runs"))
}

fn keep_lines(
    output: Box<dyn Read + Send>,
    ready: &str,
    kept: &Mutex<VecDeque<String>>,
    said: Sender<String>,
) {
    let mut said = Some(said);
    for line in BufReader::new(output).split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).into_owned();
        {
            let mut lines = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == LINES_KEPT {
                lines.pop_front();
            }
            lines.push_back(line.clone());
        }
        if line.contains(ready)
            && let Some(said) = said.take()
        {
            // Nobody listens any more when the start was given up.
            drop(said.send(line));
        }
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(SHARDKEEP_READY)?;
    rest.split_whitespace().next()?.parse().ok()
}
