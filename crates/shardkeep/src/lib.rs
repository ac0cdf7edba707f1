//! shardkeep
pub mod table;
