//! The piece: from a key to its hash and its shard.
//!
//! Not a test of the hash function's quality: the router's tests look at that.

use std::hash::{BuildHasher, Hash};
use std::hint::black_box;

use ahash::RandomState;
use anyhow::Result;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use shardkeep::Router;

mod setup;

/// The default on two cores.
const SHARDS: usize = 64;

fn main() -> Result<()> {
    setup::measure(&[hash])
}

/// One key hashed, and its shard chosen; `std` hashes with the standard library's default (SipHash)
/// and chooses by the same bits.
///
/// The key lies in the first cache and hashes of different calls overlap: this is the share of a
/// busy thread, not the wait of a single call. Every operation of the store pays it once.
fn hash(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("hash");
    with_key(&mut group, "u64", &7_u64);
    for bytes in [14, 64, 256] {
        let key = vec![b'k'; bytes];
        with_key(&mut group, &format!("{bytes} bytes"), key.as_slice());
    }
    group.finish();
    Ok(())
}

fn with_key<Q: Hash + ?Sized>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, key: &Q) {
    let router = Router::new(SHARDS, RandomState::with_seeds(1, 2, 3, 4));
    group.bench_function(BenchmarkId::new("router", name), |bencher| {
        bencher.iter(|| {
            let hash = router.hash(black_box(key));
            (hash, router.shard(hash))
        });
    });
    let hasher = std::hash::RandomState::new();
    group.bench_function(BenchmarkId::new("std", name), |bencher| {
        bencher.iter(|| {
            let hash = hasher.hash_one(black_box(key));
            (hash, router.shard(hash))
        });
    });
}
