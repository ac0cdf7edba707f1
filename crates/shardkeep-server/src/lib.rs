//! shardkeep-server
pub mod command;
pub mod keyspace;
