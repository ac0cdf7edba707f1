//! What the tests of the whole are made of.
//!
//! Not the tests: those are in `tests/tests/`, and each is a sentence. Here is what they share, and
//! the differential test, which needs a Redis server and is therefore a program of its own.
//!
//! 1. Nothing here waits without a deadline.
//! 2. A process that was started is stopped when its handle goes, also by a panic.
//! 3. Chance comes from a printed seed.

pub mod campaign;
pub mod clock;
pub mod differential;
pub mod disk;
pub mod harness;
pub mod killing;
pub mod others;
pub mod planting;
pub mod random;
pub mod standalone;
pub mod writers;
