//! Lines to standard error that cannot harm.
//!
//! Not a log: it is for starting, stopping and what must not go unnoticed. Nothing here panics when
//! standard error is closed, and nobody waits long when its reader has stopped reading.
//!
//! 1. One thread of the process writes at a time: the room that a writer has found is not taken by another,
//!    who would let it wait for ever. Whoever has no turn within [`PATIENCE`] drops its line.
//! 2. A line takes at most [`PATIENCE`] for each piece; what does not fit then is dropped.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{retry_on_intr, write};

use crate::clock;
use crate::config::LogFormat;

/// Bytes written at once: what a pipe that is ready has room for (`PIPE_BUF` on Linux), so that the
/// write after the look does not block.
const PIECE_BYTES_MAX: usize = 4_096;

/// How long a reader of standard error may keep one piece of a line waiting.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// 1 for JSON. The process has one standard error.
static FORMAT: AtomicU8 = AtomicU8::new(0);

/// Of the threads that write.
static TURN: Mutex<()> = Mutex::new(());

/// Decides how the lines from now on are written.
pub(crate) fn set_format(format: LogFormat) {
    FORMAT.store(u8::from(format == LogFormat::Json), Relaxed);
}

/// One event as an object: when, how grave, and what.
fn object(line: &str, unix_micros: u64) -> String {
    let (level, message) = match line.split_once(": ") {
        Some(("error", rest)) => ("error", rest),
        Some(("warning", rest)) => ("warning", rest),
        Some(_) | None => ("info", line),
    };
    let object = serde_json::json!({
        "unix_seconds": unix_micros as f64 / 1e6,
        "level": level,
        "message": message,
    });
    object.to_string()
}

/// Writes `line` and a line's end to standard error, or drops what its reader does not take.
pub(crate) fn say(line: &str) {
    // Whoever closed standard error does not want to know.
    let _taken = is_taken(line);
}

/// As [`say`], and whether the reader took the line: whoever has many stops at the first that is not.
pub(crate) fn is_taken(line: &str) -> bool {
    let mut text = match FORMAT.load(Relaxed) {
        0 => line.to_owned(),
        _ => object(line, clock::unix_micros()),
    };
    text.push('\n');
    write_in_turn(&TURN, &io::stderr(), text.as_bytes()).is_ok()
}

fn write_in_turn(turn: &Mutex<()>, to: &impl AsFd, bytes: &[u8]) -> rustix::io::Result<()> {
    match turn.try_lock_for(PATIENCE) {
        Some(_turn) => write_patiently(to, bytes),
        None => Err(rustix::io::Errno::TIMEDOUT),
    }
}

fn write_patiently(to: &impl AsFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    let fd = to.as_fd();
    let patience = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(PATIENCE.subsec_nanos()),
    };
    while !bytes.is_empty() {
        let mut ready = [PollFd::new(&fd, PollFlags::OUT)];
        #[expect(
            clippy::disallowed_methods,
            reason = "blocking point B56: room in standard error, or a while"
        )]
        if retry_on_intr(|| poll(&mut ready, Some(&patience)))? == 0 {
            return Err(rustix::io::Errno::TIMEDOUT);
        }
        let piece = &bytes[..bytes.len().min(PIECE_BYTES_MAX)];
        #[expect(
            clippy::disallowed_methods,
            reason = "blocking point B57: there is room"
        )]
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
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use std::io::Read as _;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn an_event_is_an_object_with_its_gravity_taken_from_its_first_word() {
        let cases = [
            ("error: it \"broke\"", "error", "it \"broke\""),
            ("warning: a\nb", "warning", "a\nb"),
            ("ready: listening on x", "info", "ready: listening on x"),
        ];
        for (line, level, message) in cases {
            let text = object(line, 1_500_000);
            let object: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(object["level"], level);
            assert_eq!(object["message"], message);
            assert_eq!(object["unix_seconds"], 1.5);
            assert!(!text.contains('\n'));
        }
    }

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
    fn of_many_writers_none_is_held_when_there_is_room_for_one() {
        const WRITERS: usize = 8;
        for _ in 0..20 {
            let (reader, writer) = io::pipe().unwrap();
            let (turn, begin) = (Mutex::new(()), Barrier::new(WRITERS));
            let (end, ended) = bounded(WRITERS);
            thread::scope(|scope| {
                for _ in 0..WRITERS {
                    scope.spawn(|| {
                        begin.wait();
                        // Together more than the pipe holds, and each a piece at a time.
                        let line = [b'x'; 4 * PIECE_BYTES_MAX];
                        while write_in_turn(&turn, &writer, &line).is_ok() {}
                        end.send(()).unwrap();
                    });
                }
                let all = (0..WRITERS)
                    .all(|_| ended.recv_timeout(10 * WRITERS as u32 * PATIENCE).is_ok());
                // Lets go whoever is held.
                drop(reader);
                assert!(all, "a writer is held");
            });
        }
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
