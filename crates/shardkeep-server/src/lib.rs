//! shardkeep-server
pub mod keyspace;
