//! shardkeep-resp
