//! Lines to standard error that cannot harm.
//!
//! Not a log: it is for starting, stopping and what must not go unnoticed. Nothing here panics when
//! standard error is closed, and nobody waits long when its reader has stopped reading.
//!
//! 1. No lock is held while a line is written, so a stuck writer elsewhere stops nobody here.
//! 2. A line takes at most [`PATIENCE`] for each piece; what does not fit then is dropped.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{retry_on_intr, write};

/// Bytes written at once: what a pipe that is ready has room for (`PIPE_BUF` on Linux), so that the
/// write after the look does not block.
const PIECE_BYTES_MAX: usize = 4_096;

/// How long a reader of standard error may keep one piece of a line waiting.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// Writes `line` and a line's end to standard error, or drops what its reader does not take.
pub(crate) fn say(line: &str) {
    let mut text = String::with_capacity(line.len() + 1);
    text.push_str(line);
    text.push('\n');
    // Whoever closed standard error does not want to know.
    let _ = write_patiently(&io::stderr(), text.as_bytes());
}

fn write_patiently(to: &impl AsFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    let fd = to.as_fd();
    let patience = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(PATIENCE.subsec_nanos()),
    };
    while !bytes.is_empty() {
        let mut ready = [PollFd::new(&fd, PollFlags::OUT)];
        if retry_on_intr(|| poll(&mut ready, Some(&patience)))? == 0 {
            return Err(rustix::io::Errno::TIMEDOUT);
        }
        let piece = &bytes[..bytes.len().min(PIECE_BYTES_MAX)];
        let written = retry_on_intr(|| write(fd, piece))?;
        if written == 0 {
            return Err(rustix::io::Errno::IO);
        }
        bytes = &bytes[written..];
    }
    Ok(())
}

const _: () = assert!(PATIENCE.as_secs() == 0);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_long_line_arrives_whole() {
        let (mut reader, writer) = io::pipe().unwrap();
        let line = vec![b'x'; 3 * PIECE_BYTES_MAX + 1];
        write_patiently(&writer, &line).unwrap();
        drop(writer);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, line);
    }

    #[test]
    fn a_reader_that_stopped_reading_does_not_hold_the_writer() {
        let (_reader, writer) = io::pipe().unwrap();
        let more_than_any_pipe_holds = vec![b'x'; 16 << 20];
        let error = write_patiently(&writer, &more_than_any_pipe_holds).unwrap_err();
        assert_eq!(error, rustix::io::Errno::TIMEDOUT);
    }

    #[test]
    fn a_closed_reader_is_an_error_and_no_panic() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let error = write_patiently(&writer, b"hello\n").unwrap_err();
        assert_eq!(error, rustix::io::Errno::PIPE);
    }
}
