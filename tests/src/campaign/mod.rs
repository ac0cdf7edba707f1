//! Faults of the machine under a running server: the power goes, the disk is full, fails or hangs.
//!
//! Needs Linux, root, and the tools that [`contain`] looks for. Each scenario prints what it saw and ends
//! with an error at the first thing that must not happen.
//!
//! 1. Everything happens in namespaces of its own: whatever ends the campaign, no process, mount or loop
//!    device outlives it.
//! 2. The oracle is [`crate::writers`]: what a server must still know, and what it must not.

mod bench;
mod clocks;
mod contained;
mod limits;
mod power;
mod space;
mod starting;
mod syncs;
mod threads;
mod trace;
mod volume;

use std::io;
use std::path::PathBuf;

pub use contained::contain;

/// What every scenario is given.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The server.
    pub program: PathBuf,
    /// Where chance begins.
    pub seed: u64,
    /// Power cuts for each of the two promises.
    pub cuts: u64,
    /// How long a sync hangs, in seconds.
    pub stuck_seconds: u64,
}

/// A scenario: its name, what it is about, and how it is played.
pub type Scenario = (&'static str, &'static str, fn(&Setting) -> io::Result<()>);

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    (
        "power",
        "the power goes under eight writers (row 4)",
        power::power,
    ),
    (
        "space",
        "the disk is full, and then it is not (rows 14, 15)",
        space::space,
    ),
    (
        "sync-error",
        "one sync fails, the next would not (row 12)",
        syncs::error,
    ),
    ("sync-stuck", "one sync hangs (rows 13, 40)", syncs::stuck),
    (
        "read-error",
        "a file cannot be read at the start (row 17)",
        starting::read_error,
    ),
    (
        "read-only",
        "the directory cannot be written (row 18)",
        starting::read_only,
    ),
    (
        "second",
        "two servers on one directory (row 20)",
        starting::second,
    ),
    (
        "files",
        "no file can be opened when a segment is full (row 22)",
        limits::files,
    ),
    (
        "threads",
        "no thread can be started (row 34)",
        threads::threads,
    ),
    (
        "memory",
        "the kernel kills for want of memory (row 59)",
        limits::memory,
    ),
    (
        "clock",
        "the wall clock jumps by a day (row 23)",
        clocks::clock,
    ),
];
