//! A start to which the machine gives no thread.

use std::fs;
use std::io;
use std::path::Path;

use crate::clock::PATIENCE;
use crate::harness::{Scratch, ServerProcess, Signal, run_to_end};

use super::Setting;
use super::bench::{ensure, expect, say};

/// More threads than a server starts by itself.
const THREADS_MAX: u32 = 64;

/// Refuses the first thread that the server starts, in the next start the second, and so on: each start
/// ends by itself and says what it lacks, until none is refused any more.
pub(super) fn threads(setting: &Setting) -> io::Result<()> {
    let scratch = Scratch::new()?;
    let (dir, trace) = (scratch.path().join("store"), scratch.path().join("calls"));
    let (dir, trace_text) = (dir.to_string_lossy(), trace.to_string_lossy());
    let flags = ["--dir", &dir, "--admin", "127.0.0.1:0"];
    for number in 1..=THREADS_MAX {
        let inject = format!("inject=clone3:error=EAGAIN:when={number}");
        let options = ["-D", "-f", "-qq", "-o", &trace_text, "-e", "trace=clone3"];
        let wrapper = [&["strace"], &options[..], &["-e", &inject]].concat();
        if let Ok(mut server) = ServerProcess::start_by(&wrapper, &setting.program, &flags) {
            let refused = fs::read_to_string(&trace)?.contains("INJECTED");
            ensure(
                !refused,
                format!(
                    "it serves without its thread {number}: {:?}",
                    server.output()
                ),
            )?;
            expect(&mut server.client()?, "PING", "PONG")?;
            server.signal(Signal::TERM)?;
            let status = server.wait(PATIENCE)?;
            ensure(status.success(), format!("{status}: {:?}", server.output()))?;
            return say(format!("all of {} threads were missed", number - 1));
        }
        let program = setting.program.to_string_lossy();
        let serve = [&program, "serve", "--bind", "127.0.0.1:0"];
        let command = [&wrapper[1..], &serve, &flags].concat();
        let (status, said) = run_to_end(Path::new("strace"), &command, &[], PATIENCE)?;
        ensure(
            status.code() == Some(1) && said.contains("error: ") && said.contains("thread"),
            format!("without its thread {number}: {status}: {said}"),
        )?;
    }
    Err(io::Error::other("threads without end"))
}
