//! The lent log with real threads: what writers and readers are told, and when.
//!
//! Every order of threads that matters is made by holding a shard, a place or the disk until the rest
//! is there; the orders that nobody can make are explored in the core's own suite. The oracle is the
//! journal itself, which remembers what was appended, and what a proof covered.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod acknowledging;
mod allocating;
mod book;
mod closing;
mod cuts;
mod duties;
mod failing;
mod histories;
mod intervals;
mod losing;
mod paper;
mod places;
mod pressure;
mod progress;
mod resting;
mod space;
mod transactions;
