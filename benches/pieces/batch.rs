//! The piece: a batch of operations on the store, from one thread with nobody else about.
//!
//! Beside it the same operations one by one; 64 `parking_lot` mutexes over std's maps, which have no
//! batches; and one std `HashMap` that nobody else may use, where there is nothing to hand over. Every
//! read copies its value into a buffer that is used again. Keys are drawn uniformly out of a million,
//! so memory decides.

use std::collections::HashMap;

use ahash::RandomState;
use anyhow::{Result, anyhow};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use shardkeep::{Error, Reply, Store};

use entries::{Keys, VALUE, Value, hasher};

mod entries;
mod setup;

/// Entries of every map: 72 MB without its tables, more than caches hold.
const ENTRIES: u64 = 1_000_000;

/// Operations of one batch.
const BATCHES: [usize; 3] = [1, 16, 512];

/// Shards of the store (its default on two cores), and stripes of the locked map.
const SHARDS: usize = 64;

/// Bits at the top of a hash that hashbrown keeps as a tag, so that stripes must take others.
const TAG_BITS: u32 = 7;

/// Entries inserted by one batch while filling the store.
const FILLED_AT_ONCE: u64 = 1_000;
const _: () = assert!(ENTRIES.is_multiple_of(FILLED_AT_ONCE));

fn main() -> Result<()> {
    setup::measure(&[batches])
}

type Map = HashMap<u64, Value, RandomState>;

/// Mutexes over std's maps.
struct Striped {
    hasher: RandomState,
    stripes: Box<[CachePadded<Mutex<Map>>]>,
}

impl Striped {
    fn open() -> Self {
        let stripe = || CachePadded::new(Mutex::new(Map::with_hasher(hasher())));
        Self {
            hasher: hasher(),
            stripes: (0..SHARDS).map(|_| stripe()).collect(),
        }
    }

    #[inline]
    fn stripe(&self, key: u64) -> &Mutex<Map> {
        let hash = self.hasher.hash_one(key) << TAG_BITS;
        &self.stripes[(hash >> (u64::BITS - SHARDS.trailing_zeros())) as usize]
    }
}

/// A million entries in each of the maps.
struct Maps {
    store: Store<u64, Value>,
    striped: Striped,
    alone: Map,
}

impl Maps {
    fn filled() -> Result<Self> {
        let store = Store::builder().shards(SHARDS).hasher(hasher()).open()?;
        let mut pipeline = store.pipeline();
        for first in (0..ENTRIES).step_by(FILLED_AT_ONCE as usize) {
            for key in first..first + FILLED_AT_ONCE {
                pipeline.insert(key, VALUE);
            }
            let refused = pipeline
                .run()
                .iter()
                .find(|reply| **reply != Reply::Value(None));
            if let Some(reply) = refused {
                return Err(anyhow!("a key was not inserted: {reply:?}"));
            }
        }
        let striped = Striped::open();
        let mut alone = Map::with_hasher(hasher());
        for key in 0..ENTRIES {
            striped.stripe(key).lock().insert(key, VALUE);
            alone.insert(key, VALUE);
        }
        Ok(Self {
            store,
            striped,
            alone,
        })
    }
}

/// So many reads, or overwrites, in one call; the rate counts operations.
///
/// A batch fetches its entries before it needs them, so that their cache misses overlap; one by one,
/// each operation's two locked instructions keep the next one's misses waiting. A batch of one shows
/// what a batch costs by itself: single operations are not meant to be batches.
fn batches(criterion: &mut Criterion) -> Result<()> {
    let mut maps = Maps::filled()?;
    for ops in BATCHES {
        let mut group = criterion.benchmark_group(format!("batch of {ops}"));
        group.throughput(Throughput::Elements(ops as u64));
        gets(&mut group, &maps, ops);
        inserts(&mut group, &mut maps, ops);
        group.finish();
    }
    Ok(())
}

fn gets(group: &mut BenchmarkGroup<'_, WallTime>, maps: &Maps, ops: usize) {
    let mut keys = Keys::below(ENTRIES);
    let mut pipeline = maps.store.pipeline();
    group.bench_function(BenchmarkId::new("get", "pipeline"), |bencher| {
        bencher.iter(|| {
            for _ in 0..ops {
                pipeline.get(keys.draw());
            }
            pipeline.run().len()
        });
    });
    let mut found = Vec::with_capacity(ops);
    group.bench_function(BenchmarkId::new("get", "one by one"), |bencher| {
        bencher.iter(|| {
            found.clear();
            found.extend((0..ops).map(|_| sound(maps.store.get(&keys.draw()))));
            found.len()
        });
    });
    group.bench_function(BenchmarkId::new("get", "striped mutexes"), |bencher| {
        bencher.iter(|| {
            found.clear();
            found.extend((0..ops).map(|_| {
                let key = keys.draw();
                maps.striped.stripe(key).lock().get(&key).copied()
            }));
            found.len()
        });
    });
    group.bench_function(BenchmarkId::new("get", "HashMap alone"), |bencher| {
        bencher.iter(|| {
            found.clear();
            found.extend((0..ops).map(|_| maps.alone.get(&keys.draw()).copied()));
            found.len()
        });
    });
}

fn inserts(group: &mut BenchmarkGroup<'_, WallTime>, maps: &mut Maps, ops: usize) {
    let mut keys = Keys::below(ENTRIES);
    let mut pipeline = maps.store.pipeline();
    group.bench_function(BenchmarkId::new("insert", "pipeline"), |bencher| {
        bencher.iter(|| {
            for _ in 0..ops {
                pipeline.insert(keys.draw(), VALUE);
            }
            pipeline.run().len()
        });
    });
    let mut old = Vec::with_capacity(ops);
    group.bench_function(BenchmarkId::new("insert", "one by one"), |bencher| {
        bencher.iter(|| {
            old.clear();
            old.extend((0..ops).map(|_| sound(maps.store.insert(keys.draw(), VALUE))));
            old.len()
        });
    });
    group.bench_function(BenchmarkId::new("insert", "striped mutexes"), |bencher| {
        bencher.iter(|| {
            old.clear();
            old.extend((0..ops).map(|_| {
                let key = keys.draw();
                maps.striped.stripe(key).lock().insert(key, VALUE)
            }));
            old.len()
        });
    });
    group.bench_function(BenchmarkId::new("insert", "HashMap alone"), |bencher| {
        bencher.iter(|| {
            old.clear();
            old.extend((0..ops).map(|_| maps.alone.insert(keys.draw(), VALUE)));
            old.len()
        });
    });
}

/// The result of a call that nothing keeps from succeeding.
#[inline]
fn sound(result: Result<Option<Value>, Error>) -> Option<Value> {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the store failed with nobody else about: {error}"),
    }
}
