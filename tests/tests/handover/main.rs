//! The hand-over with real threads: what callers see of panics, deadlines, full mailboxes, close.
//!
//! Every order of threads that matters is made by holding a shard until the rest is in place;
//! the orders that nobody can make are explored in the core's own suite.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod closing;
mod counting;
mod losing;
mod pot;
mod refusing;
mod restarting;
mod visiting;
