//! The whole state at once, so that the log before it can go.
//!
//! Not the state: frames are opaque here. A snapshot at record `l` holds all effects up to `l`, and may
//! hold some of later ones up to `needs`; the log is replayed from `l + 1` and must reach `needs`.
//!
//! 1. A snapshot has its own name only when it is whole and durable.
//! 2. It counts only once the manifest lists it, and it is listed only when the log is synced up to
//!    `needs`.

mod reader;
mod writer;

pub use reader::{FrameBuffer, SnapshotReader};
pub use writer::{Compression, FinishedSnapshot, SnapshotWriter};
