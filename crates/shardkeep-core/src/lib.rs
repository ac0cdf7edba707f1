//! shardkeep-core
