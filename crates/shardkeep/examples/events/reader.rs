//! Lines in: from a file, or from a connection.
//!
//! 1. A line without its end is no event yet.
//! 2. What is wrong with a file is fatal; what is wrong with a peer ends its connection alone.
//! 3. A file only grows, and is one source under all its names. That another has taken its place is noticed
//!    where it is shorter, or has no line's end where the last event ended.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::flow::{Event, Flow, Names, Offset, Source};
use crate::writer::Vault;

/// Longest line, in bytes, with its end.
pub(crate) const LINE_MAX: u64 = 64 << 10;

/// Longest kind, in bytes.
const KIND_MAX: usize = 32;

/// Reads a file from where it was stored up to its end.
///
/// # Errors
/// It cannot be read, or has a line that is no event.
pub(crate) fn read_file(
    path: &Path,
    names: &Names,
    vault: &Vault,
    flow: &Flow,
) -> Result<(), String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let whole = path.canonicalize().map_err(|error| named(&error))?;
    // A pipe would hold up the end, and cannot be read twice.
    if !whole.is_file() {
        return Err(named(&"it is not a file"));
    }
    let name = format!("file:{}", whole.display());
    let (source, from) = names
        .source(&name, None, || vault.offset(&name))
        .ok_or_else(|| named(&"it was named twice"))?
        .map_err(|error| named(&error))?;
    let mut file = File::open(path).map_err(|error| named(&error))?;
    let length = file.metadata().map_err(|error| named(&error))?.len();
    if length < from.bytes {
        return Err(named(&format_args!(
            "it has {length} bytes, and {} were stored",
            from.bytes
        )));
    }
    if !goes_on(&mut file, from.bytes).map_err(|error| named(&error))? {
        return Err(named(&format_args!(
            "no line ends at byte {}, where the last stored one ended",
            from.bytes
        )));
    }
    read_lines(&mut BufReader::new(file), &source, from, flow).map_err(|error| named(&error))
}

/// Goes to `offset`; whether a line begins there.
fn goes_on(file: &mut File, offset: u64) -> io::Result<bool> {
    let Some(before) = offset.checked_sub(1) else {
        return Ok(true);
    };
    let mut end = [0];
    file.seek(SeekFrom::Start(before))?;
    file.read_exact(&mut end)?;
    Ok(end == *b"\n")
}

/// Sends every line on, until the end, or until it is told to stop.
///
/// # Errors
/// A line that is no event, with its number; or the input fails.
pub(crate) fn read_lines(
    input: &mut impl BufRead,
    source: &Arc<Source>,
    mut at: Offset,
    flow: &Flow,
) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        let count = input.take(LINE_MAX).read_until(b'\n', &mut line)? as u64;
        if line.pop() != Some(b'\n') {
            return match count {
                LINE_MAX => Err(wrong(at, &format!("a line has {LINE_MAX} bytes at most"))),
                _ => Ok(()),
            };
        }
        let text = String::from_utf8(line).map_err(|_| wrong(at, "an event is text"))?;
        let kind = kind_of(&text);
        if kind.is_empty() || kind.len() > KIND_MAX {
            return Err(wrong(at, &format!("a kind has 1 to {KIND_MAX} bytes")));
        }
        // With the line in hand: whoever waits for input keeps nobody from going on.
        let Some(permit) = flow.admit() else {
            return Ok(());
        };
        let number = at.lines;
        at.lines += 1;
        at.bytes += count;
        flow.counts.read.fetch_add(1, Relaxed);
        let event = Event {
            source: Arc::clone(source),
            number,
            until: at,
            text,
            permit: Some(permit),
        };
        if flow.events.send(event).is_err() {
            // The workers are gone; why, is told by who failed.
            return Ok(());
        }
    }
}

fn wrong(at: Offset, why: &str) -> io::Error {
    let line = at.lines + 1;
    io::Error::new(io::ErrorKind::InvalidData, format!("line {line}: {why}"))
}

/// The first word of an event.
pub(crate) fn kind_of(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}
