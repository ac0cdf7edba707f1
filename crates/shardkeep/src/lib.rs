//! The embeddable store.

use std::hash::Hash;

mod builder;
mod clock;
mod closure;
pub mod engine;
mod flight;
mod hand;
pub mod limits;
mod mail;
mod pipeline;
mod prefetch;
mod reply;
mod router;
mod single;
mod state;
mod store;
pub mod table;

pub use ahash::RandomState;
pub use builder::Builder;
pub use clock::{Clock, SystemClock};
pub use pipeline::Pipeline;
pub use reply::{Insert, Inserted, Reply, Ttl, Update};
pub use router::Router;
pub use shardkeep_core::{
    CancelToken, CloseReport, Error, Event, Handover, Lost, OpenError, Overload, Refused,
    RefusedStats, ShardStats,
};
pub use store::Store;

/// What a key must be able to do. Implemented for whatever can.
pub trait Key: Hash + Eq + Clone + Send + 'static {}
impl<K: Hash + Eq + Clone + Send + 'static> Key for K {}

/// What a value must be able to do. Implemented for whatever can.
pub trait Value: Clone + Send + 'static {}
impl<V: Clone + Send + 'static> Value for V {}
