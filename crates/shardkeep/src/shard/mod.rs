//! What hears of every change of a shard, for states of any kind: walks now, more to come.
//!
//! Knows entries and their effects as bytes; neither types nor commands, neither threads nor clocks.

mod pressure;
mod walks;

pub use pressure::Pressure;
pub use walks::{Change, Moment, Saved, Slice, WalkPoint, Walks};
