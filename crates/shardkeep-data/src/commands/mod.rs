//! The commands: which there are, and what each does to a keyspace.
//!
//! Pure: no sockets, no threads, no clock of its own; a command gets its keyspaces, its arguments and a
//! place for its reply. One table ([`TABLE`]) drives dispatch, arity, routing, COMMAND and counters.
//!
//! 1. A command appends exactly one whole reply.
//! 2. Its arity has been checked before it runs ([`resolve`]).
//! 3. It looks only into shards that its route names.
//! 4. A command that fails has changed nothing.

mod args;
pub mod error;
mod expire;
pub mod glob;
mod index;
mod introspect;
mod key;
pub(crate) mod key_specs;
mod object;
pub(crate) mod options;
mod positions;
mod replay;
mod resolve;
mod scan;
pub(crate) mod server;
pub(crate) mod spec;
mod store;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tips;

use crate::keyspace::Keyspace;

pub use args::Args;
pub use error::{unknown_command, wrong_arity};
pub use glob::Hour;
pub use introspect::introspect;
pub use options::{NoDatabase, database};
pub use positions::{Begin, Find, KeyFlags, KeyIter, KeyPositions, KeySpec};
pub use replay::replay;
pub use resolve::{CommandId, TABLE, lookup, resolve};
pub use spec::{
    Action, Categories, CommandSpec, ConnectionCommand, Flags, Group, OnShard, OnShards, RouteKind,
};

/// The commands on keys whatever their values, and on whole databases.
pub(crate) const ON_KEYS: &[&[CommandSpec]] = &[
    key::COMMANDS,
    store::COMMANDS,
    scan::COMMANDS,
    object::COMMANDS,
    expire::COMMANDS,
];

/// The shards a command has in hand.
///
/// A command asks only for shards and keys that its route names; what happens if it asks for
/// another is the implementation's choice (a panic).
pub trait ShardSet {
    /// The hash of a key, and the shard it belongs to.
    fn of(&mut self, key: &[u8]) -> (u64, &mut Keyspace);

    /// The lowest number of a shard in the set. Where the route is the whole store or a cursor,
    /// all from here to [`ShardSet::last`] are in it.
    fn first(&self) -> usize;

    /// The highest number of a shard in the set.
    fn last(&self) -> usize;

    /// The shard with this number.
    fn shard(&mut self, number: usize) -> &mut Keyspace;

    /// How many shards the store has.
    fn shards_total(&self) -> usize;

    /// A look at the clock, from now on: for commands that may go on for long.
    fn clock(&self) -> Box<dyn Fn() -> Hour>;
}

/// Bytes of one reply: the largest value twice. A command whose reply would exceed it is refused.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// How many low bits of a SCAN cursor are the number of a shard.
pub const CURSOR_SHARD_BITS: u32 = 16;

/// The shard in which the cursor of a SCAN stands. What is no cursor stands in shard 0: the
/// command itself refuses it.
///
/// ```
/// use shardkeep_data::commands::cursor_shard;
///
/// assert_eq!(cursor_shard(b"0"), 0);
/// assert_eq!(cursor_shard(b"65539"), 3);
/// assert_eq!(cursor_shard(b"what"), 0);
/// ```
pub fn cursor_shard(cursor: &[u8]) -> usize {
    shard_of_cursor(options::cursor(cursor).unwrap_or(0))
}

fn shard_of_cursor(cursor: u64) -> usize {
    (cursor & ((1 << CURSOR_SHARD_BITS) - 1)) as usize
}
