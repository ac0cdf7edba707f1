//! shardkeep
