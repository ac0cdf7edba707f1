//! The piece: the table of one shard, used by one thread, without any hand-over.
//!
//! Beside it hashbrown's bare `HashTable`, of which its segments are made, and std's `HashMap`. All
//! hash with the same function, hold 64-byte values beside their keys, and hash inside of the
//! measured time.
//!
//! Splitting is not public by itself. It is measured through the insert that causes it.

use std::collections::HashMap;
use std::hint::black_box;

use ahash::RandomState;
use anyhow::{Result, ensure};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use hashbrown::HashTable;
use hashbrown::hash_table;
use shardkeep::table::{Entry, SEGMENT_ENTRIES_MAX, Slot, Table, UnixMillis};

use entries::{Keys, VALUE, Value, hasher};

mod entries;
mod setup;

/// Entries that lie in the first two caches, and entries that lie in memory.
const SIZES: [u64; 2] = [1_000, 1_000_000];

/// Entries inserted by one growth: 28 segments, some 8 MB.
const GROWN_ENTRIES: u64 = 100_000;

/// Entries of one full segment.
const SEGMENT_ENTRIES: u64 = SEGMENT_ENTRIES_MAX as u64;

/// Entries of one full map sixteen times as large.
const FLAT_ENTRIES: u64 = 16 * SEGMENT_ENTRIES;

/// Bytes allocated and freed before anything is measured. glibc returns freed blocks to the kernel,
/// and the next one costs a page fault for each of its pages, until it has seen one as large as this;
/// then it keeps them. Without it a figure would depend on which others were measured before it.
const ONCE_FREED_BYTES: usize = 31 << 20;

fn main() -> Result<()> {
    drop(black_box(vec![1_u8; ONCE_FREED_BYTES]));
    setup::measure(&[by_size, grow, split])
}

/// A map under test.
trait Map {
    const NAME: &'static str;

    fn empty() -> Self;

    /// Copies the value out.
    fn get(&self, key: u64) -> Option<Value>;

    /// Inserts or overwrites, and gives back the old value.
    fn put(&mut self, key: u64, value: Value) -> Option<Value>;

    fn remove(&mut self, key: u64) -> Option<Value>;

    fn filled(entries: u64) -> Self
    where
        Self: Sized,
    {
        let mut map = Self::empty();
        for key in 0..entries {
            map.put(key, VALUE);
        }
        map
    }
}

/// A key with its value, as the table keeps them.
#[derive(Clone)]
struct Record {
    key: u64,
    value: Value,
}

impl Entry for Record {
    fn expires_at(&self) -> Option<UnixMillis> {
        None
    }
}

/// This project's table, of a store with one shard.
struct Ours {
    table: Table<Record>,
    hasher: RandomState,
}

impl Map for Ours {
    const NAME: &'static str = "shardkeep";

    fn empty() -> Self {
        Self {
            table: Table::new(0),
            hasher: hasher(),
        }
    }

    #[inline]
    fn get(&self, key: u64) -> Option<Value> {
        let hash = self.hasher.hash_one(key);
        let found = self.table.find(hash, |record| record.key == key);
        found.map(|record| record.value)
    }

    #[inline]
    fn put(&mut self, key: u64, value: Value) -> Option<Value> {
        let Self { table, hasher } = self;
        let hash = hasher.hash_one(key);
        let rehash = |record: &Record| hasher.hash_one(record.key);
        match table.entry(hash, |record| record.key == key, rehash) {
            Slot::Occupied(mut slot) => Some(slot.replace(Record { key, value }).value),
            Slot::Vacant(slot) => {
                slot.insert(Record { key, value });
                None
            }
        }
    }

    #[inline]
    fn remove(&mut self, key: u64) -> Option<Value> {
        let hash = self.hasher.hash_one(key);
        let removed = self.table.remove(hash, |record| record.key == key);
        removed.map(|record| record.value)
    }
}

/// One hashbrown table: what ours would be without segments.
#[derive(Clone)]
struct Flat {
    table: HashTable<Record>,
    hasher: RandomState,
}

impl Map for Flat {
    const NAME: &'static str = "hashbrown";

    fn empty() -> Self {
        Self {
            table: HashTable::new(),
            hasher: hasher(),
        }
    }

    #[inline]
    fn get(&self, key: u64) -> Option<Value> {
        let hash = self.hasher.hash_one(key);
        let found = self.table.find(hash, |record| record.key == key);
        found.map(|record| record.value)
    }

    #[inline]
    fn put(&mut self, key: u64, value: Value) -> Option<Value> {
        let Self { table, hasher } = self;
        let hash = hasher.hash_one(key);
        let rehash = |record: &Record| hasher.hash_one(record.key);
        match table.entry(hash, |record| record.key == key, rehash) {
            hash_table::Entry::Occupied(mut entry) => {
                Some(std::mem::replace(&mut entry.get_mut().value, value))
            }
            hash_table::Entry::Vacant(entry) => {
                entry.insert(Record { key, value });
                None
            }
        }
    }

    #[inline]
    fn remove(&mut self, key: u64) -> Option<Value> {
        let hash = self.hasher.hash_one(key);
        let found = self.table.find_entry(hash, |record| record.key == key);
        found.ok().map(|entry| entry.remove().0.value)
    }
}

/// What most programs use.
struct Std(HashMap<u64, Value, RandomState>);

impl Map for Std {
    const NAME: &'static str = "std";

    fn empty() -> Self {
        Self(HashMap::with_hasher(hasher()))
    }

    #[inline]
    fn get(&self, key: u64) -> Option<Value> {
        self.0.get(&key).copied()
    }

    #[inline]
    fn put(&mut self, key: u64, value: Value) -> Option<Value> {
        self.0.insert(key, value)
    }

    #[inline]
    fn remove(&mut self, key: u64) -> Option<Value> {
        self.0.remove(&key)
    }
}

/// A map filled when it is first asked for, and kept for the questions after.
struct Filled<M> {
    map: Option<M>,
    entries: u64,
    /// The key that comes next when keys come and go.
    next: u64,
}

impl<M: Map> Filled<M> {
    fn new(entries: u64) -> Self {
        Self {
            map: None,
            entries,
            next: entries,
        }
    }

    fn map(&mut self) -> &mut M {
        self.map.get_or_insert_with(|| M::filled(self.entries))
    }
}

/// One operation on a map of so many entries, keys drawn uniformly.
///
/// Operations do not depend on each other, so their cache misses overlap: the figure is the share
/// of a busy thread, not the wait of a single call. Ours looks its segment up first, two loads more
/// than the others, and pays for that with every operation what it saves in [`split`].
fn by_size(criterion: &mut Criterion) -> Result<()> {
    for entries in SIZES {
        let mut group = criterion.benchmark_group(format!("table of {entries}"));
        let mut ours = Filled::<Ours>::new(entries);
        let mut flat = Filled::<Flat>::new(entries);
        let mut std = Filled::<Std>::new(entries);
        hit(&mut group, &mut ours);
        hit(&mut group, &mut flat);
        hit(&mut group, &mut std);
        miss(&mut group, &mut ours);
        miss(&mut group, &mut flat);
        miss(&mut group, &mut std);
        overwrite(&mut group, &mut ours);
        overwrite(&mut group, &mut flat);
        overwrite(&mut group, &mut std);
        come_and_go(&mut group, &mut ours);
        come_and_go(&mut group, &mut flat);
        come_and_go(&mut group, &mut std);
        group.finish();
    }
    Ok(())
}

/// A key that is there: its value is copied out.
fn hit<M: Map>(group: &mut BenchmarkGroup<'_, WallTime>, filled: &mut Filled<M>) {
    let mut keys = Keys::below(filled.entries);
    group.bench_function(BenchmarkId::new("get", M::NAME), |bencher| {
        let map = filled.map();
        bencher.iter(|| map.get(keys.draw()));
    });
}

/// A key that is not there: only tags are looked at.
fn miss<M: Map>(group: &mut BenchmarkGroup<'_, WallTime>, filled: &mut Filled<M>) {
    let mut keys = Keys::below(filled.entries);
    group.bench_function(BenchmarkId::new("get none", M::NAME), |bencher| {
        let map = filled.map();
        bencher.iter(|| map.get(!keys.draw()));
    });
}

/// The value of a key that is there, replaced.
fn overwrite<M: Map>(group: &mut BenchmarkGroup<'_, WallTime>, filled: &mut Filled<M>) {
    let mut keys = Keys::below(filled.entries);
    group.bench_function(BenchmarkId::new("overwrite", M::NAME), |bencher| {
        let map = filled.map();
        bencher.iter(|| map.put(keys.draw(), VALUE));
    });
}

/// A new key inserted and the oldest removed: two operations in one figure, in a map that keeps its
/// size. Now and then marks of removed entries are cleaned away; that is part of it.
fn come_and_go<M: Map>(group: &mut BenchmarkGroup<'_, WallTime>, filled: &mut Filled<M>) {
    group.bench_function(BenchmarkId::new("insert, remove", M::NAME), |bencher| {
        let (entries, mut next) = (filled.entries, filled.next);
        let map = filled.map();
        bencher.iter(|| {
            map.put(next, VALUE);
            next += 1;
            map.remove(next - 1 - entries)
        });
        filled.next = next;
    });
}

/// From empty to 100,000 entries: the time of all inserts, the rate of each. This is the mean, in
/// which a long pause disappears (`shardkeep-bench growth` shows those), and in memory that was used
/// before: without the page faults of a program that grows for the first time.
fn grow(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("table grows");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(GROWN_ENTRIES));
    grow_one::<Ours>(&mut group);
    grow_one::<Flat>(&mut group);
    grow_one::<Std>(&mut group);
    group.finish();
    Ok(())
}

fn grow_one<M: Map>(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.bench_function(M::NAME, |bencher| {
        bencher.iter_batched_ref(
            M::empty,
            |map| {
                for key in 0..GROWN_ENTRIES {
                    map.put(key, VALUE);
                }
            },
            BatchSize::PerIteration,
        );
    });
}

/// The one insert that finds no room: the longest an insert ever takes.
///
/// `shardkeep` splits a full segment in two, and does no more than that in a table of any size.
/// `hashbrown` moves all its entries into a table twice as large: as many as a segment has, and 16
/// times as many. The entries have just been written and lie in a cache; where they have gone cold
/// the same insert takes several times longer (`shardkeep-bench growth`).
fn split(criterion: &mut Criterion) -> Result<()> {
    let mut probe = Ours::filled(SEGMENT_ENTRIES);
    ensure!(
        shape(&probe).contains("segments: 1,"),
        "{SEGMENT_ENTRIES} entries are one segment, not {}",
        shape(&probe)
    );
    probe.put(SEGMENT_ENTRIES, VALUE);
    ensure!(
        shape(&probe).contains("segments: 2,"),
        "one more entry splits it, not {}",
        shape(&probe)
    );

    let mut group = criterion.benchmark_group("table without room");
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("shardkeep", |bencher| {
        bencher.iter_batched_ref(
            || Ours::filled(SEGMENT_ENTRIES),
            |map| map.put(SEGMENT_ENTRIES, VALUE),
            BatchSize::PerIteration,
        );
    });
    for entries in [SEGMENT_ENTRIES, FLAT_ENTRIES] {
        let full = Flat::filled(entries);
        ensure!(
            full.table.len() == full.table.capacity(),
            "{entries} entries fill a hashbrown table"
        );
        group.bench_function(BenchmarkId::new("hashbrown", entries), |bencher| {
            bencher.iter_batched_ref(
                || full.clone(),
                |map| map.put(entries, VALUE),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    Ok(())
}

fn shape(map: &Ours) -> String {
    format!("{:?}", map.table)
}
