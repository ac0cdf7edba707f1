//! The same requests to Redis and to Shardkeep, and every reply compared.
//!
//! Not a specification: Redis is. Whatever differs is a failure unless it stands in the one table of
//! explained differences ([`EXPLAINED`]).
//!
//! 1. An episode depends on its seed and number alone, and begins with empty servers and new
//!    connections; so it can be repeated by itself.
//! 2. Both servers have answered one step before the next is sent: what a reply should be never depends
//!    on timing. Where it depends on the clock, the generator keeps a wide distance.
//! 3. Replies are compared byte for byte; the table is asked only about bytes that differ.

mod compare;
mod explained;
mod generate;
mod request;
mod run;
mod shrink;

pub use compare::Failure;
pub use explained::{EXPLAINED, Explained};
pub use generate::{PASSWORD, episode};
pub use request::{Episode, Request, Step};
pub use run::{Counts, Pair};
pub use shrink::shrink;
