//! Execution: commands on shards, here or wherever the shard is.
//!
//! Knows no sockets. A reactor runs commands on the shards it can borrow; for those it cannot it
//! packs them into a [`ShardWork`] (one shard) or a [`ShardsWork`] (several), which comes back
//! through the reactor's [`ReplyPort`].

mod freeing;
mod gauges;
mod kept;
mod multi;
mod port;
mod run;
mod transaction;
mod work;

use std::sync::Arc;

use ahash::RandomState;
use shardkeep::Router;
use shardkeep::durable::LogJournal;
use shardkeep::engine::{Discard, Effects, Keep, State, Tended};
use shardkeep::table::UnixMillis;

use freeing::Waiting;
use gauges::Pending;
pub(crate) use gauges::{Gauge, Gauges};
pub(crate) use kept::{Keeping, Needs, run_kept};
pub(crate) use multi::{LoanSet, Patience, ShardsWork};
pub(crate) use port::{Reply, ReplyPort};
pub(crate) use run::{Item, run_item};
pub(crate) use transaction::{Queue, Surroundings, TransactionStep, WatchedKey, Watching};
pub(crate) use work::{Claim, ShardWork};

use crate::clock;
use shardkeep_data::keyspace::{Keyspace, hash_key};

pub(crate) type ServerKeep = Keep<ShardState>;
pub(crate) type Reservation<'k> = shardkeep::engine::Reservation<'k, ShardState>;
pub(crate) type Places = shardkeep::engine::Places<LogJournal>;

/// From a key to its hash and shard. Keyed with a random seed for each process, so that nobody
/// outside can choose keys that collide.
#[derive(Clone)]
pub(crate) struct Routes {
    router: Router,
    hasher: RandomState,
}

impl Routes {
    pub(crate) fn new(shards: usize, hasher: RandomState) -> Self {
        Self {
            router: Router::new(shards, hasher.clone()),
            hasher,
        }
    }

    pub(crate) fn shards(&self) -> usize {
        self.router.shards()
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        hash_key(&self.hasher, key)
    }

    #[inline]
    pub(crate) fn shard(&self, hash: u64) -> usize {
        self.router.shard(hash)
    }

    /// An empty keyspace for one of the shards.
    pub(crate) fn keyspace(&self) -> Keyspace {
        Keyspace::new(self.router.bits(), self.hasher.clone())
    }
}

/// What a shard of the server holds.
#[repr(C)]
pub(crate) struct ShardState {
    pub(crate) keyspace: Keyspace,
    pub(crate) shard: usize,
    pub(crate) routes: Routes,
    gauges: Arc<Gauges>,
    /// Every command is timed, not the heavy ones alone.
    times_all: bool,
    pending: Pending,
}

impl ShardState {
    /// An empty shard, whose changes are kept as `keeping` says.
    pub(crate) fn new(shard: usize, routes: Routes, gauges: Arc<Gauges>, keeping: Keeping) -> Self {
        let keyspace = routes.keyspace().with_databases(gauges.databases());
        let keyspace = match keeping {
            Keeping::Nothing => keyspace,
            Keeping::Log => keyspace.keeping(Effects::new(false), shard == 0),
            Keeping::Synced => keyspace.keeping(Effects::new(true), shard == 0),
        };
        Self {
            keyspace,
            shard,
            routes,
            gauges,
            times_all: false,
            pending: Pending::default(),
        }
    }

    /// To be called before a group of commands.
    #[inline]
    pub(crate) fn begin(&mut self, now: UnixMillis) {
        self.keyspace.set_now(now);
        self.times_all = self.gauges.slow.times_all();
    }

    /// To be called after a group of commands: figures for INFO and for the memory limit.
    #[inline]
    pub(crate) fn publish(&mut self) {
        let gauge = self.gauges.of(self.shard);
        gauge.publish(&mut self.keyspace, &mut self.pending);
    }
}

impl State for ShardState {
    type Work = Box<ShardWork>;
    type Transaction = Box<ShardsWork>;
    type Journal = LogJournal;

    const DISCARDS: bool = true;

    #[inline]
    fn has_discarded(&self) -> bool {
        self.keyspace.has_aside()
    }

    fn discarded(&mut self) -> Option<Box<dyn Discard>> {
        let aside = self.keyspace.take_aside()?;
        Some(Box::new(Waiting::new(aside, Arc::clone(&self.gauges))))
    }

    #[inline]
    fn effects(&mut self) -> Option<&mut Effects> {
        self.keyspace.effects_mut()
    }

    #[inline]
    fn wants_tending(&self) -> bool {
        self.keyspace.wants_tending()
    }

    fn tend(&mut self) -> Tended {
        self.keyspace.set_now(clock::unix_millis());
        self.keyspace.begin_command(true);
        let more = self.keyspace.tend();
        self.keyspace.end_command();
        self.publish();
        if more { Tended::More } else { Tended::Done }
    }
}
