//! Server processes and a client, for tests from outside.
//!
//! Not a mock of anything: the server is a process of its own, reached through a socket.
//!
//! 1. A server is stopped and reaped when its handle goes.
//! 2. Ports are chosen by the kernel.
//! 3. Every wait ends by a deadline, with an error that says what was awaited.

/// The variable that names the fault which the server under test has.
pub const PLANTED: &str = "PLANTED_FAULT";

mod client;
mod process;
mod procfs;
mod scratch;

pub(crate) use client::value;
pub use client::{Client, Ended, request};
pub use process::{Launch, ServerProcess, Signal, run_to_end};
pub use procfs::{handles, open_files, resident_bytes, threads};
pub use scratch::Scratch;
