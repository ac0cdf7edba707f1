//! Servers under test: started by us on a free port, stopped when dropped.
//!
//! 1. A server is ready when it says so in its own log; nothing is polled and nothing is guessed.
//! 2. No server outlives the value that stands for it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, bounded};
use rustix::process::{Pid, Signal, kill_process};

use self::programs::Start;
pub(crate) use self::programs::{Capacity, Keep, Launch, Promise, ServerName};
use crate::threads;

pub(crate) mod echo;
pub(crate) mod process;
mod programs;

/// Longest start of a server that has nothing to read.
const START_MAX: Duration = Duration::from_secs(10);
/// Longest start of a server that reads what it kept: several gigabytes.
const RECOVERY_MAX: Duration = Duration::from_secs(120);
/// Longest stop before it is killed; a server that has drained has nothing to do.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Lines of a server's log kept until it is ready, for the message when it does not start: more than
/// any of them says before that.
const LOG_LINES_MAX: usize = 256;
/// Longest wait for memcached to obey.
const OBEY_MAX: Duration = Duration::from_secs(5);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    name: ServerName,
    version: String,
    address: SocketAddr,
    pid: u32,
    child: Child,
    /// Disconnects when the server has closed its log, that is, when it has ended.
    log: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Launch {
    /// Starts a server that can hold what it must, and waits until it is ready.
    ///
    /// # Errors
    /// The program is missing, ends, or is not ready within [`START_MAX`]; the message has what
    /// it said.
    pub(crate) fn start(&self, name: ServerName, capacity: Capacity) -> Result<Server> {
        let mut server = self.spawn(name, capacity, None)?;
        server.wait_until_ready(START_MAX)?;
        if name == ServerName::Memcached {
            quieten(server.address).context("make memcached quiet")?;
        }
        Ok(server)
    }

    /// The same of a server that keeps what it is told, and has read what it kept before.
    ///
    /// # Errors
    /// The program is missing, ends, or is not ready within [`RECOVERY_MAX`].
    pub(crate) fn start_kept(
        &self,
        name: ServerName,
        capacity: Capacity,
        keep: &Keep,
    ) -> Result<Server> {
        let mut server = self.spawn(name, capacity, Some(keep))?;
        server.wait_until_ready(RECOVERY_MAX)?;
        Ok(server)
    }

    /// Starts a server and does not wait. One that keeps something listens at its
    /// [`address`](Server::address) soon after; of others that is known when they are ready.
    ///
    /// # Errors
    /// The program is missing, or cannot be started.
    pub(crate) fn spawn(
        &self,
        name: ServerName,
        capacity: Capacity,
        keep: Option<&Keep>,
    ) -> Result<Server> {
        let Start {
            mut command,
            address: known_address,
        } = self.prepare(name, capacity, keep)?;
        command.stdin(Stdio::null());
        if name.logs_to_output() {
            command.stdout(Stdio::piped()).stderr(Stdio::null());
        } else {
            command.stdout(Stdio::null()).stderr(Stdio::piped());
        }
        let program = command.get_program().to_owned();
        let version = version(&program);
        let mut child = command
            .spawn()
            .with_context(|| format!("start {}", program.to_string_lossy()))?;
        let pid = child.id();
        let output: Box<dyn Read + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), _) => Box::new(stdout),
            (None, Some(stderr)) => Box::new(stderr),
            (None, None) => bail!("{} has no log", name.label()),
        };
        let (lines, log) = bounded(LOG_LINES_MAX);
        let reader = threads::spawn("server-log", move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // A full channel is a log nobody needs any more: what comes later is dropped, but
                // read, so that the server never waits for us.
                let _kept = lines.try_send(line);
            }
        })?;
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let address = known_address.unwrap_or(unknown);
        Ok(Server {
            name,
            version,
            address,
            pid,
            child,
            log,
            reader: Some(reader),
        })
    }
}

/// The first line a program answers to `--version`; empty if it does not.
fn version(program: &OsStr) -> String {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// memcached says that it listens only if it is told to log every command as well, which it must not
/// do while it is measured.
fn quieten(address: SocketAddr) -> Result<()> {
    const OK: &[u8; 4] = b"OK\r\n";
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(OBEY_MAX))?;
    stream.write_all(b"verbosity 0\r\n")?;
    let mut reply = [0; OK.len()];
    stream.read_exact(&mut reply)?;
    ensure!(&reply == OK, "it answered {}", reply.escape_ascii());
    Ok(())
}

/// The address a log line announces after `text`.
fn announced(line: &str, text: &str) -> Option<SocketAddr> {
    line.split_once(text)?
        .1
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

impl Server {
    /// Which server it is.
    pub(crate) const fn name(&self) -> ServerName {
        self.name
    }

    /// What it says its version is.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    fn wait_until_ready(&mut self, longest: Duration) -> Result<()> {
        let deadline = crossbeam_channel::after(longest);
        let text = self.name.ready_text();
        let mut said = String::new();
        loop {
            crossbeam_channel::select! {
                recv(self.log) -> line => {
                    let Ok(line) = line else { break };
                    if line.contains(text) {
                        // The port of ours is chosen by the server, that of others by us.
                        if let Some(address) = announced(&line, text) {
                            self.address = address;
                        }
                        if self.address.port() == 0 {
                            return Err(anyhow!("no address in {line:?}"));
                        }
                        return Ok(());
                    }
                    said.push_str(&line);
                    said.push('\n');
                }
                recv(deadline) -> _at => break,
            }
        }
        Err(anyhow!(
            "{} did not become ready within {longest:?}:\n{said}",
            self.name.label()
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself; then there is nothing to signal.
            let _signalled = kill_process(pid, Signal::TERM);
        }
        let deadline = crossbeam_channel::after(STOP_MAX);
        loop {
            crossbeam_channel::select! {
                recv(self.log) -> line => if line.is_err() { break },
                recv(deadline) -> _at => {
                    let _killed = self.child.kill();
                    break;
                }
            }
        }
        let _status = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _joined = reader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_ready_line() {
        let text = ServerName::Shardkeep.ready_text();
        let address = announced("ready: listening on 127.0.0.1:4711", text);
        assert_eq!(address, Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 4711))));
        assert_eq!(announced("12:00 * Ready to accept connections", text), None);
        assert_eq!(announced("ready: listening on nowhere", text), None);
    }
}
