//! The keys, values and commands of a server: what each command does to one shard's entries.
//!
//! Pure: no sockets, no threads, no clock. Time, hashes and the shards in hand come in as arguments.
//!
//! ```text
//! commands    the table of commands, what each does, and its replies
//! keyspace    the entries of one shard, and the record of one entry
//! ```

pub mod commands;
pub mod keyspace;
