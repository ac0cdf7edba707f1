//! The last handle goes: the store is closed, whatever runs beside it.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use shardkeep::codec::{Codec, DecodeError, EncodeError, Plain};
use shardkeep::{Durable, Store, SyncMode};

use crate::place::Place;

/// Enough for a snapshot of many slices, each of which is followed by a rest.
const ENTRIES: u64 = 50_000;

/// Says when a snapshot that nobody has asked for has come to its first entry.
struct Noticing(Sender<()>);

impl Codec<u64> for Noticing {
    fn encode(&self, value: &u64, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        let thread = thread::current();
        if thread
            .name()
            .is_some_and(|name| name.ends_with("-snapshots"))
        {
            // Full: it has been said.
            let _said = self.0.try_send(());
        }
        Plain.encode(value, into)
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, DecodeError> {
        Plain.decode(bytes)
    }
}

#[test]
fn a_drop_during_a_snapshot_that_nobody_asked_for_loses_nothing_and_frees_the_directory() {
    for sync in [SyncMode::Never, SyncMode::Interval(Duration::MAX)] {
        let place = Place::new();
        let (notice, noticed) = bounded(1);
        let durable = Durable::new().sync(sync).snapshot_after_bytes(1);
        let builder = Store::builder().deadline(Duration::from_secs(60));
        let store = builder
            .durable_with(place.path(), durable, Plain, Noticing(notice))
            .open()
            .unwrap();
        for keys in (0..ENTRIES).collect::<Vec<_>>().chunks(1_000) {
            for old in store.insert_many(keys.iter().map(|&key| (key, key))) {
                assert_eq!(old.unwrap(), None);
            }
        }
        noticed.recv_timeout(Duration::from_secs(60)).unwrap();
        let began = Instant::now();
        drop(store);
        assert!(began.elapsed() < Duration::from_secs(10));
        let again = Store::<u64, u64>::builder();
        let again = again.durable(place.path(), Durable::new()).open().unwrap();
        assert_eq!(again.len().unwrap() as u64, ENTRIES);
    }
}

#[test]
fn a_close_during_a_snapshot_leaves_no_thread_and_frees_the_directory() {
    let place = Place::new();
    let (notice, noticed) = bounded(1);
    let durable = Durable::new().snapshot_after_bytes(1).sync(SyncMode::Never);
    let builder = Store::builder().deadline(Duration::from_secs(60));
    let store = builder
        .durable_with(place.path(), durable, Plain, Noticing(notice))
        .open()
        .unwrap();
    let entries = (0..ENTRIES).map(|key| (key, key));
    assert!(store.insert_many(entries).iter().all(Result::is_ok));
    noticed.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(store.close(Duration::from_secs(10)).is_clean());
    let again = Store::<u64, u64>::builder();
    let again = again.durable(place.path(), Durable::new()).open().unwrap();
    assert_eq!(again.len().unwrap() as u64, ENTRIES);
    drop(store);
}

#[test]
fn no_interval_and_no_window_is_too_long() {
    let modes = [
        SyncMode::Never,
        SyncMode::Interval(Duration::MAX),
        SyncMode::Interval(Duration::ZERO),
    ];
    for sync in modes {
        for window in [Duration::ZERO, Duration::MAX] {
            let place = Place::new();
            let open = || {
                Store::<u8, u8>::builder()
                    .deadline(Duration::MAX)
                    .durable(place.path(), Durable::new().sync(sync).window(window))
                    .open()
                    .unwrap()
            };
            let store = open();
            for number in 0..100 {
                store.insert(number, number).unwrap();
            }
            store.sync().unwrap();
            store.insert(100, 100).unwrap();
            store.snapshot().unwrap();
            assert!(
                store.close(Duration::MAX).is_clean(),
                "{sync:?}, {window:?}"
            );
            drop(store);
            assert_eq!(open().len().unwrap(), 101, "{sync:?}, {window:?}");
        }
    }
}
