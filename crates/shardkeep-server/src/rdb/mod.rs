//! Redis' own file of a whole data set (RDB, versions 9 to 11), read and imported.
//!
//! Not a writer, and not a loader into a running server: a file becomes a store, or nothing does.
//!
//! ```text
//! command      flags in, a line out              progress   what a terminal shows meanwhile
//! import       entries into a new store          problem    what cannot be imported, by name
//! reader       item after item                   skip       values that are passed over
//! text         lengths and strings               lzf        the one compression
//! input        bytes, their place, their CRC     source     a file that can be given up
//! format       codes and names                   error
//! ```
//!
//! 1. Nothing in the file is dropped silently: what cannot be imported is a [`Problem`], and with one
//!    there is no store. What carries no data (hints, statistics) is passed over.
//! 2. Memory follows the bytes that were read: a length in the file reserves nothing.
//! 3. No byte makes the reader panic, recurse, or read on for ever.
//! 4. A file with a checksum that is not right is an error, whatever else was found in it.

use std::fmt;

mod command;
mod error;
mod format;
mod import;
mod input;
mod lzf;
mod problem;
mod progress;
mod reader;
mod skip;
mod source;
mod text;

#[cfg(test)]
mod import_tests;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub(crate) use command::run;
pub use error::{Malformed, ReadError};
pub use format::{Kind, ModuleName, VERSIONS};
pub use import::{ImportError, Imported, import};
pub use input::checksum;
pub use problem::{Problem, Problems};
pub use reader::{Item, Reader, Value};

/// Bytes read from the file at a time: few system calls, and little beside the store's own memory.
const INPUT_BYTES: usize = 64 * 1_024;

/// Bytes by which memory for a string grows at least while it is read; then it doubles.
const STRING_STEP_BYTES: usize = 64 * 1_024;

/// Bytes that the buffers for key and value keep after a large one.
const STRING_KEPT_BYTES: usize = 1_024 * 1_024;

/// Problems that are told one by one; the rest is counted. As many as one screen holds.
pub const PROBLEMS_SHOWN_MAX: usize = 20;

/// Bytes of a key that an error shows: enough to find it, and too few to flood a terminal.
const KEY_SHOWN_BYTES: usize = 64;

/// A key as an error shows it: quoted, escaped, and cut.
struct Shown<'k>(&'k [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(KEY_SHOWN_BYTES) {
            Some((start, rest)) if !rest.is_empty() => {
                let all = self.0.len();
                write!(f, "\"{}...\" ({all} bytes)", start.escape_ascii())
            }
            Some(_) | None => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}
