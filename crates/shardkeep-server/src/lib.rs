//! shardkeep-server
pub mod cli;
pub mod command;
pub mod config;
pub mod keyspace;
pub mod rlimit;
mod say;
