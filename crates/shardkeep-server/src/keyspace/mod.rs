//! What the server keeps in a shard.

pub mod record;
