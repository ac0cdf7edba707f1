//! Walks that become void while they are under way: they begin again, or end, and no shard notices.

use std::cell::Cell;
use std::path::PathBuf;

use shardkeep_core::Refused;
use shardkeep_log::Compression;

use super::error::SnapshotError;
use super::replay::Persist as _;
use super::snapshot::{SnapshotReport, snapshot};
use super::walker::step;
use crate::{Durable, Store, SyncMode};

const KEYS: u64 = 1_000;
const SHARDS: usize = 4;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("shardkeep-overtaken-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn open(&self) -> Store<u64, u64> {
        let durable = Durable::new().disk_reserve(0).sync(SyncMode::Never);
        let builder = Store::builder().shards(SHARDS).durable(&self.0, durable);
        builder.open().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// As a change that finds the buffer full.
fn overtake(store: &Store<u64, u64>, shard: usize) {
    let mut loans = store.inner.keep.acquire(&[shard], step()).unwrap();
    loans
        .shard(shard)
        .change(|state| state.walks().unwrap().void());
}

/// A snapshot whose walk is void in `shard` when it is asked for the first time whether it is cancelled; that it is from
/// then on, if it says so.
fn overtaken(
    store: &Store<u64, u64>,
    shard: usize,
    then_cancelled: bool,
) -> Result<SnapshotReport, SnapshotError> {
    let asked = Cell::new(0);
    let is_cancelled = || {
        asked.set(asked.get() + 1);
        if asked.get() == 1 {
            overtake(store, shard);
        }
        then_cancelled && asked.get() > 1
    };
    snapshot(&store.inner.keep, Compression::None, &is_cancelled)
}

fn sum(store: &Store<u64, u64>) -> u64 {
    let values = store.get_many(0..KEYS).into_iter();
    values.map(|value| value.unwrap().unwrap()).sum()
}

#[test]
fn a_snapshot_that_is_overtaken_in_any_shard_begins_again_and_is_whole() {
    let place = Place::new("again");
    let store = place.open();
    store.insert_many((0..KEYS).map(|key| (key, key)));
    for shard in 0..SHARDS {
        let report = overtaken(&store, shard, false).unwrap();
        assert_eq!(report.entries, KEYS, "{shard}");
    }
    let left = sum(&store);
    drop(store);
    assert_eq!(sum(&place.open()), left);
}

#[test]
fn a_snapshot_that_is_cancelled_when_it_is_overtaken_ends_and_loses_no_shard() {
    let place = Place::new("cancelled");
    let store = place.open();
    store.insert_many((0..KEYS).map(|key| (key, key)));
    let left = sum(&store);
    for _ in 0..2 {
        let ended = overtaken(&store, 0, true).unwrap_err();
        let cancelled = SnapshotError::Store(Refused::Cancelled.into());
        assert_eq!(ended.to_string(), cancelled.to_string());
        assert_eq!(sum(&store), left);
    }
    assert_eq!(store.snapshot().unwrap().entries, KEYS);
}
