//! Closures that run with a shard in hand, and the rule that they must not call a store.
//!
//! A closure that called its own store would wait for the shard it holds itself. So each call looks
//! at a mark of its thread first, and is refused instead.
//!
//! 1. The mark is set exactly while a user's closure runs with a shard in hand on this thread.
//! 2. The same look says that the store belongs to this process: see [`process`].

use shardkeep_core::process;

pub(crate) use process::{holding as run, is_free, is_holding as is_running};
