//! Lines to standard error that hold up nobody: what its reader does not take soon is dropped.

use std::error::Error;
use std::io;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{retry_on_intr, write};

/// Longest line: what a pipe that is ready has room for (`PIPE_BUF`), so that the write does not wait.
const LINE_MAX: usize = 4_096;

/// How long a line waits for its reader.
const PATIENCE: Duration = Duration::from_millis(100);

/// Of the threads that write: the room that one has found must not be taken by another.
static TURN: Mutex<()> = Mutex::new(());

/// Writes a line, or drops it.
pub(crate) fn say(line: &str) {
    let mut bytes = line.as_bytes().to_vec();
    bytes.truncate(LINE_MAX - 1);
    bytes.push(b'\n');
    let to = io::stderr();
    let Some(_turn) = TURN.try_lock_for(PATIENCE) else {
        return;
    };
    let mut ready = [PollFd::new(&to, PollFlags::OUT)];
    let patience = Timespec {
        tv_sec: 0,
        tv_nsec: PATIENCE.subsec_nanos().into(),
    };
    if retry_on_intr(|| poll(&mut ready, Some(&patience))) == Ok(1) {
        // Whoever closed it does not want to know.
        let _written = retry_on_intr(|| write(&to, &bytes));
    }
}

/// An error with all that lies behind it.
pub(crate) fn whole(error: &dyn Error) -> String {
    let (mut text, mut behind) = (error.to_string(), error.source());
    while let Some(error) = behind {
        text.push_str(&format!(": {error}"));
        behind = error.source();
    }
    text
}

/// Has panics told the same way: the standard library's way waits for the reader.
pub(crate) fn say_panics(program: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.to_string().replace('\n', " ");
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        say(&format!("{program}: thread {name} {text}"));
    }));
}
