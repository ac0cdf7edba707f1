//! A panic at every step of a command, in a server under clients: whose answer is what, and what is there then.
//!
//! The panics are planted by fail points, which are in builds with debug assertions alone.
//!
//! 1. What was answered OK is there, what was refused is not, and *lost* is said where either may be.
//! 2. What a panic takes is made again from the log: what is there after it is there after the next start.
//! 3. Clients of other shards notice nothing.

mod bench;
mod several;
mod steps;
mod under;
