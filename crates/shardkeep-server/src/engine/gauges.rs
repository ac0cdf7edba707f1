//! The figures of the shards, which may be read at any time.
//!
//! 1. A shard's figures are written by its holder alone, after each group of commands.
//! 2. Of a store with a log, counts of entries are shown as they are durable.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crossbeam_utils::CachePadded;
use shardkeep::engine::Effects;
use shardkeep_data::keyspace::{Counts, Keyspace};

use super::freeing::Freeing;
use crate::slowlog::SlowLog;

/// How many entries one database has in one shard.
#[derive(Default)]
struct Counted {
    keys: AtomicU64,
    expires: AtomicU64,
    /// The batch that `keys` and `expires` depend on, or a later one; 0 for none.
    newest: AtomicU64,
    /// The newest counts that were known to be durable when they were last published.
    durable_keys: AtomicU64,
    durable_expires: AtomicU64,
}

/// Counts that wait for their batch to become durable, to be shown then.
type Waiting = Option<(Counts, u64)>;

/// Those of all databases of a shard.
#[derive(Default)]
pub(super) struct Pending {
    first: Waiting,
    others: Vec<Waiting>,
}

impl Pending {
    fn of(&mut self, database: u32) -> &mut Waiting {
        let Some(other) = database.checked_sub(1) else {
            return &mut self.first;
        };
        let other = other as usize;
        if self.others.len() <= other {
            self.others.resize(other + 1, None);
        }
        &mut self.others[other]
    }
}

impl Counted {
    #[inline]
    fn publish(&self, counts: Counts) {
        self.keys.store(counts.keys as u64, Release);
        self.expires.store(counts.expires as u64, Release);
    }

    fn note(&self, counts: Counts, effects: &Effects, pending: &mut Waiting) {
        let newest = effects.needs_newest();
        if newest > 0 {
            if let Some((durable, number)) = *pending
                && effects.is_durable(number)
            {
                self.note_durable(durable);
                *pending = None;
            }
            pending.get_or_insert((counts, newest));
        } else {
            self.note_durable(counts);
            *pending = None;
        }
        self.newest.store(newest, Relaxed);
    }

    fn note_durable(&self, counts: Counts) {
        self.durable_keys.store(counts.keys as u64, Relaxed);
        self.durable_expires.store(counts.expires as u64, Relaxed);
    }

    /// Keys, and keys that expire, of which a crash could take nothing back.
    fn counts(&self, is_synced: impl FnOnce(u64) -> bool) -> Counts {
        let counts = Counts {
            keys: self.keys.load(Acquire) as usize,
            expires: self.expires.load(Acquire) as usize,
        };
        // Read after the counts, and stored before them: no older than they are.
        match self.newest.load(Relaxed) {
            0 => counts,
            newest if is_synced(newest) => counts,
            _ => Counts {
                keys: self.durable_keys.load(Relaxed) as usize,
                expires: self.durable_expires.load(Relaxed) as usize,
            },
        }
    }
}

/// Figures of one shard.
#[derive(Default)]
pub(crate) struct Gauge {
    first: Counted,
    /// Of the other databases, once another is used.
    others: OnceLock<Box<[Counted]>>,
    pub(crate) memory_bytes: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) changes: AtomicU64,
}

impl Gauge {
    #[inline]
    pub(super) fn publish(&self, keyspace: &mut Keyspace, pending: &mut Pending) {
        if keyspace.has_changed() {
            self.publish_changed(keyspace, pending);
        }
        self.publish_counts(keyspace, keyspace.selected(), pending);
        let counters = keyspace.counters();
        self.changes.store(keyspace.changes(), Relaxed);
        let memory_bytes = keyspace.memory_bytes() as u64;
        self.memory_bytes.store(memory_bytes, Relaxed);
        self.expired.store(counters.expired, Relaxed);
        self.hits.store(counters.hits, Relaxed);
        self.misses.store(counters.misses, Relaxed);
    }

    #[cold]
    fn publish_changed(&self, keyspace: &mut Keyspace, pending: &mut Pending) {
        for database in keyspace.take_changed() {
            self.publish_counts(keyspace, database, pending);
        }
    }

    #[inline]
    fn publish_counts(&self, keyspace: &Keyspace, database: u32, pending: &mut Pending) {
        let counts = keyspace.counts(database);
        let counted = match database {
            0 => &self.first,
            other => self.other(other, keyspace.databases()),
        };
        if let Some(effects) = keyspace.effects() {
            counted.note(counts, effects, pending.of(database));
        }
        counted.publish(counts);
    }

    #[cold]
    fn other(&self, database: u32, databases: u32) -> &Counted {
        let make = || (1..databases).map(|_| Counted::default()).collect();
        &self.others.get_or_init(make)[database as usize - 1]
    }

    fn all(&self) -> impl Iterator<Item = &Counted> {
        let others = self.others.get().into_iter().flatten();
        std::iter::once(&self.first).chain(others)
    }

    /// Keys of all databases.
    pub(crate) fn keys(&self) -> u64 {
        self.all().map(|counted| counted.keys.load(Relaxed)).sum()
    }

    /// Keys of all databases that expire.
    pub(crate) fn expires(&self) -> u64 {
        self.all()
            .map(|counted| counted.expires.load(Relaxed))
            .sum()
    }

    /// Keys of each database, and keys that expire, of which a crash could take nothing back; at least those
    /// of the first.
    pub(crate) fn counts(&self, is_synced: impl Fn(u64) -> bool) -> impl Iterator<Item = Counts> {
        self.all().map(move |counted| counted.counts(&is_synced))
    }
}

/// The figures of all shards, and which commands were slow.
pub(crate) struct Gauges {
    databases: u32,
    shards: Box<[CachePadded<Gauge>]>,
    pub(crate) slow: SlowLog,
    pub(crate) freeing: Freeing,
}

impl Gauges {
    pub(crate) fn new(shards: usize, databases: u32) -> Self {
        Self {
            databases,
            shards: (0..shards)
                .map(|_| CachePadded::new(Gauge::default()))
                .collect(),
            slow: SlowLog::default(),
            freeing: Freeing::default(),
        }
    }

    /// How many databases the store has.
    pub(crate) fn databases(&self) -> u32 {
        self.databases
    }

    #[inline]
    pub(super) fn of(&self, shard: usize) -> &Gauge {
        &self.shards[shard]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Gauge> {
        self.shards.iter().map(|gauge| &**gauge)
    }

    /// Keys of each database, and keys that expire, of which a crash could take nothing back.
    pub(crate) fn by_database(&self, is_synced: impl Fn(usize, u64) -> bool) -> Vec<Counts> {
        let mut all: Vec<Counts> = Vec::new();
        for (shard, gauge) in self.iter().enumerate() {
            for (database, counts) in gauge.counts(|number| is_synced(shard, number)).enumerate() {
                if all.len() <= database {
                    all.push(Counts::default());
                }
                all[database].keys += counts.keys;
                all[database].expires += counts.expires;
            }
        }
        all
    }

    /// Changes of entries in all shards.
    pub(crate) fn changes(&self) -> u64 {
        self.iter().map(|gauge| gauge.changes.load(Relaxed)).sum()
    }

    /// Bytes of all shards: tables, keys and values with the allocator's share.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.iter()
            .map(|gauge| gauge.memory_bytes.load(Relaxed))
            .sum()
    }
}
