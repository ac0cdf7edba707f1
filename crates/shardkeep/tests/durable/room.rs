//! Room that is kept for a full disk, and given back by snapshots.

use std::fs;

use shardkeep::{Durable, Error, Refused, Store};
use shardkeep_log::{Directory, Storage as _};

use crate::place::Place;

/// A reserve as large as the whole file system, on which something is always taken.
fn all_of_the_disk(place: &Place) -> u64 {
    let directory = Directory::inspect(place.path()).unwrap();
    directory.space().unwrap().total
}

fn open(place: &Place, durable: Durable) -> Store<u64, Vec<u8>> {
    let builder = Store::builder().shards(4).durable(place.path(), durable);
    builder.open().unwrap()
}

/// The files of the log, with how long each is.
fn files(place: &Place, ending: &str) -> Vec<u64> {
    let entries = fs::read_dir(place.path()).unwrap().map(Result::unwrap);
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(ending));
    ours.map(|entry| entry.metadata().unwrap().len()).collect()
}

#[test]
fn the_directory_holds_the_reserve_as_long_as_one_is_wanted() {
    let place = Place::new();
    drop(open(&place, Durable::new().disk_reserve(3 << 20)));
    assert_eq!(files(&place, ".skr"), [3 << 20]);
    drop(open(&place, Durable::new().disk_reserve(2 << 20)));
    assert_eq!(files(&place, ".skr"), [2 << 20]);
    drop(open(&place, Durable::new().disk_reserve(0)));
    assert!(files(&place, ".skr").is_empty());
    drop(open(&place, Durable::new()));
    let bytes = files(&place, ".skr")[0];
    assert!((1 << 20..=64 << 20).contains(&bytes), "{bytes}");
    let too_small = Durable::new().disk_reserve((1 << 20) - 1);
    let builder = Store::<u64, Vec<u8>>::builder();
    let refused = builder.durable(place.path(), too_small).open();
    assert!(format!("{:?}", refused.unwrap_err()).contains("disk_reserve"));
    let too_large = Durable::new().disk_reserve(all_of_the_disk(&place) + 1);
    let builder = Store::<u64, Vec<u8>>::builder();
    let refused = builder.durable(place.path(), too_large).open();
    assert!(format!("{:?}", refused.unwrap_err()).contains("disk_reserve"));
}

#[test]
fn where_the_reserve_cannot_be_had_entries_can_be_removed_and_a_snapshot_taken() {
    let place = Place::new();
    let store = open(&place, Durable::new().disk_reserve(0));
    for key in 0..100 {
        store.insert(key, vec![1; 100]).unwrap();
    }
    drop(store);
    // None that nobody asked for is under way.
    let durable = Durable::new().snapshot_after_bytes(0);
    let store = open(&place, durable.disk_reserve(all_of_the_disk(&place)));
    let no_space = |error: Error| matches!(error, Error::Refused(Refused::LogHasNoSpace));
    assert!(no_space(store.insert(1, vec![]).unwrap_err()));
    assert!(no_space(store.try_insert(1, vec![]).unwrap_err()));
    assert_eq!(store.get(&1).unwrap(), Some(vec![1; 100]));
    assert!(store.remove(&1).unwrap().is_some());
    assert!(store.try_remove(&2).unwrap().is_some());
    let mut pipeline = store.pipeline();
    for key in 10..20 {
        pipeline.remove(key);
    }
    pipeline.run();
    drop(pipeline);
    assert_eq!(store.len().unwrap(), 88);
    assert_eq!(store.snapshot().unwrap().entries, 88);
    store.clear().unwrap();
    drop(store);
    let store = open(&place, Durable::new().disk_reserve(0));
    assert!(store.is_empty().unwrap());
    store.insert(1, vec![]).unwrap();
}

#[test]
fn segments_follow_the_growth_between_snapshots_and_a_snapshot_replaces_all_of_them() {
    let place = Place::new();
    let durable = Durable::new().disk_reserve(0).snapshot_after_bytes(4 << 20);
    let store = open(&place, durable.commit_by_thread());
    for _ in 0..30 {
        store.insert(1, vec![7; 100_000]).unwrap();
    }
    let segments = files(&place, ".skl");
    assert!(segments.len() >= 3, "{segments:?}");
    assert!(
        segments.iter().all(|bytes| *bytes <= 1 << 20),
        "{segments:?}"
    );
    store.snapshot().unwrap();
    let segments = files(&place, ".skl");
    assert_eq!(segments.len(), 1, "{segments:?}");
    // The cut of the snapshot stands in it, and room that is written ahead.
    assert!(segments[0] < 300_000, "{segments:?}");
    store.insert(2, vec![]).unwrap();
}
