//! shardkeep-tests
