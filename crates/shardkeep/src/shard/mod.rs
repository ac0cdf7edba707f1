//! What hears of every change of a shard, for states of any kind: walks now, more to come.
//!
//! Knows entries and their effects as bytes; neither types nor commands, neither threads nor clocks.

#[doc(hidden)]
pub mod fault;
mod image;
mod walks;

pub use image::Image;
pub use shardkeep_core::Pressure;
pub use walks::{Change, Moment, Saved, Slice, WalkPoint, Walks};
