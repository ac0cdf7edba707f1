//! Errors and delays put into the system calls of a running server.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::{Scratch, ServerProcess};

use super::bench::ensure;

/// strace, attached to every thread of a server; detached when the value goes.
#[derive(Debug)]
pub(super) struct Trace {
    child: Child,
    written: PathBuf,
    _scratch: Scratch,
}

impl Trace {
    /// Injects into the system call `call` what `what` says, in the words of strace. Blocks until it is so.
    pub(super) fn attach(server: &ServerProcess, call: &str, what: &str) -> io::Result<Self> {
        let scratch = Scratch::new()?;
        let written = scratch.path().join("calls");
        let mut child = Command::new("strace")
            .args(["-f", "-p", &server.pid().to_string()])
            .args(["-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:{what}")])
            .arg("-o")
            .arg(&written)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = child.stderr.take();
        let trace = Self {
            child,
            written,
            _scratch: scratch,
        };
        let mut line = String::new();
        if let Some(said) = said {
            BufReader::new(said).read_line(&mut line)?;
        }
        ensure(line.contains("attached"), format!("strace: {line}"))?;
        Ok(trace)
    }

    /// The calls up to now, a line each.
    pub(super) fn calls(&self) -> io::Result<Vec<String>> {
        let text = fs::read_to_string(&self.written)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // A tracer that is killed lets go of the traced.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
