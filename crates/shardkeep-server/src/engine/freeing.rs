//! What has left the shards and waits to be freed by a thread that holds none.
//!
//! The core keeps the queue, and its bound; here is what INFO shows of it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use shardkeep::engine::Discard;
use shardkeep_data::keyspace::Aside;

use super::Gauges;

/// Figures of what waits, and of what was freed.
#[derive(Default)]
pub(crate) struct Freeing {
    /// Entries that wait.
    pub(crate) pending: AtomicU64,
    /// Bytes that wait.
    pub(crate) pending_bytes: AtomicU64,
    /// Entries that were freed.
    pub(crate) freed: AtomicU64,
}

/// Values and tables of one shard, on their way.
pub(super) struct Waiting {
    aside: Box<Aside>,
    gauges: Arc<Gauges>,
}

impl Waiting {
    pub(super) fn new(aside: Box<Aside>, gauges: Arc<Gauges>) -> Self {
        let weight = aside.weight();
        let freeing = &gauges.freeing;
        freeing.pending.fetch_add(weight.entries as u64, Relaxed);
        freeing
            .pending_bytes
            .fetch_add(weight.bytes as u64, Relaxed);
        Self { aside, gauges }
    }
}

impl Discard for Waiting {
    fn drop_next(&mut self) -> bool {
        let Some(weight) = self.aside.free_next() else {
            return false;
        };
        let freeing = &self.gauges.freeing;
        freeing.pending.fetch_sub(weight.entries as u64, Relaxed);
        freeing
            .pending_bytes
            .fetch_sub(weight.bytes as u64, Relaxed);
        freeing.freed.fetch_add(weight.entries as u64, Relaxed);
        true
    }
}
