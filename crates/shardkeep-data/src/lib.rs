//! The keys, values and commands of a server: what each command does to one shard's entries.
//!
//! Pure: no sockets, no threads, no clock. Time, hashes and the shards in hand come in as arguments.
//!
//! ```text
//! registry    which commands there are
//! commands    how commands are described, found and replayed, and those on keys and databases
//! types       a folder for each type of values: its commands
//! keyspace    the entries of one shard, and the record of one entry
//! ```

pub mod commands;
pub mod keyspace;
mod registry;
mod types;
