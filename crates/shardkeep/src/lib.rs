#![doc = include_str!("../README.md")]
//!
//! # Architecture
//!
//! Upper rows use lower ones and never the reverse:
//!
//! ```text
//! facade      plain single load transaction whole pipeline     builder
//!             store (the handle)   operation (one, in hand or by mail)
//! hand-over   hand (one shard in hand)   mail (works that travel)   flight
//! state       state (the map of one shard, its budget)   reply
//! pure        table   router   limits   clock   closure   discard   prefetch
//! ```
//!
//! 1. What must be atomic happens with its shards in hand. The one lock, of a flight, is held for a
//!    moment and never while anything else is waited for.
//! 2. A user's closure runs while its shard is only looked at, never while it is changed.
//! 3. What is refused was refused before anything was changed.
//! 4. No key and no value is dropped while a shard is in hand.

use std::hash::Hash;

mod builder;
mod clock;
mod closure;
pub mod codec;
mod discard;
pub mod durable;
pub mod effect;
pub mod engine;
mod flight;
mod hand;
mod ledger;
pub mod limits;
mod load;
mod mail;
mod operation;
mod pipeline;
mod plain;
mod prefetch;
mod reply;
mod router;
pub mod shard;
mod single;
mod stamp;
mod state;
mod store;
pub mod table;
mod transaction;
mod whole;

pub use ahash::RandomState;
pub use builder::Builder;
pub use clock::{Clock, SystemClock};
pub use codec::{Codec, Encode};
pub use durable::{
    BackupError, Durable, RecoverError, RecoveryProgress, SnapshotError, SnapshotReport,
};
pub use load::LoadError;
pub use pipeline::Pipeline;
pub use reply::{Insert, Inserted, Reply, Ttl, Update};
pub use router::Router;
pub use shardkeep_core::{
    CancelToken, CloseReport, Error, Event, Handover, LogEvent, LogStats, Lost, OpenError,
    Overload, Refused, RefusedStats, ShardStats, SyncMode,
};
pub use store::Store;
pub use transaction::{KeyNotNamed, Transaction, TransactionError};
pub use whole::Entries;

/// What a key must be able to do. Implemented for whatever can.
pub trait Key: Hash + Eq + Clone + Send + 'static {}
impl<K: Hash + Eq + Clone + Send + 'static> Key for K {}

/// What a value must be able to do. Implemented for whatever can.
pub trait Value: Clone + Send + 'static {}
impl<V: Clone + Send + 'static> Value for V {}
