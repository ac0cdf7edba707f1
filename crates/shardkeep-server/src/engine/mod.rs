//! Execution: commands on shards, here or wherever the shard is.
//!
//! Knows no sockets. A reactor runs commands on the shards it can borrow; for those it cannot it
//! packs them into a [`ShardWork`] (one shard) or a [`ShardsWork`] (several), which comes back
//! through the reactor's [`ReplyPort`].

mod freeing;
mod kept;
mod multi;
mod port;
mod run;
mod work;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use shardkeep::Router;
use shardkeep::durable::LogJournal;
use shardkeep::engine::{Discard, Effects, Keep, State, Tended};
use shardkeep::table::UnixMillis;

use freeing::{Freeing, Waiting};
pub(crate) use kept::{Keeping, Needs, run_kept};
pub(crate) use multi::{LoanSet, Patience, ShardsWork};
pub(crate) use port::{Reply, ReplyPort};
pub(crate) use run::{Item, run_item};
pub(crate) use work::{Claim, ShardWork};

use crate::clock;
use crate::slowlog::SlowLog;
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
    /// Figures that wait for their batch to become durable, to be shown then.
    pending: Option<(Counts, u64)>,
}

/// What INFO tells of a shard's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) keys: u64,
    pub(crate) expires: u64,
}

/// Figures of one shard that anybody may read at any time. Written by the holder alone.
#[derive(Default)]
pub(crate) struct Gauge {
    pub(crate) keys: AtomicU64,
    pub(crate) expires: AtomicU64,
    pub(crate) memory_bytes: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) changes: AtomicU64,
    /// The batch that `keys` and `expires` depend on, or a later one; 0 for none.
    newest: AtomicU64,
    /// The newest counts that were known to be durable when they were last published.
    durable_keys: AtomicU64,
    durable_expires: AtomicU64,
}

impl Gauge {
    fn note_durable(&self, counts: Counts) {
        self.durable_keys.store(counts.keys, Relaxed);
        self.durable_expires.store(counts.expires, Relaxed);
    }

    /// Keys, and keys that expire, of which a crash could take nothing back.
    pub(crate) fn counts(&self, is_synced: impl FnOnce(u64) -> bool) -> Counts {
        let counts = Counts {
            keys: self.keys.load(Acquire),
            expires: self.expires.load(Acquire),
        };
        // Read after the counts, and stored before them: no older than they are.
        match self.newest.load(Relaxed) {
            0 => counts,
            newest if is_synced(newest) => counts,
            _ => Counts {
                keys: self.durable_keys.load(Relaxed),
                expires: self.durable_expires.load(Relaxed),
            },
        }
    }
}

/// The figures of all shards, and which commands were slow.
pub(crate) struct Gauges {
    shards: Box<[CachePadded<Gauge>]>,
    pub(crate) slow: SlowLog,
    pub(crate) freeing: Freeing,
}

impl Gauges {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards)
                .map(|_| CachePadded::new(Gauge::default()))
                .collect(),
            slow: SlowLog::default(),
            freeing: Freeing::default(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Gauge> {
        self.shards.iter().map(|gauge| &**gauge)
    }

    /// Changes of entries in all shards.
    pub(crate) fn changes(&self) -> u64 {
        self.iter().map(|gauge| gauge.changes.load(Relaxed)).sum()
    }

    /// Bytes of all shards: tables, keys and values with the allocator's share. What has left them and waits
    /// to be freed does not count: a command that removes makes room at once.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.iter()
            .map(|gauge| gauge.memory_bytes.load(Relaxed))
            .sum()
    }
}

impl ShardState {
    /// An empty shard, whose changes are kept as `keeping` says.
    pub(crate) fn new(shard: usize, routes: Routes, gauges: Arc<Gauges>, keeping: Keeping) -> Self {
        let keyspace = routes.keyspace();
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
            pending: None,
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
        let gauge = &self.gauges.shards[self.shard];
        let keyspace = &self.keyspace;
        let counters = keyspace.counters();
        let counts = Counts {
            keys: keyspace.len() as u64,
            expires: keyspace.expires() as u64,
        };
        if let Some(effects) = keyspace.effects() {
            let newest = effects.needs_newest();
            if newest > 0 {
                if let Some((durable, number)) = self.pending
                    && effects.is_durable(number)
                {
                    gauge.note_durable(durable);
                    self.pending = None;
                }
                self.pending.get_or_insert((counts, newest));
            } else {
                gauge.note_durable(counts);
                self.pending = None;
            }
            gauge.newest.store(newest, Relaxed);
        }
        gauge.keys.store(counts.keys, Release);
        gauge.expires.store(counts.expires, Release);
        gauge.changes.store(keyspace.changes(), Relaxed);
        gauge
            .memory_bytes
            .store(keyspace.memory_bytes() as u64, Relaxed);
        gauge.expired.store(counters.expired, Relaxed);
        gauge.hits.store(counters.hits, Relaxed);
        gauge.misses.store(counters.misses, Relaxed);
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
