//! shardkeep-server
