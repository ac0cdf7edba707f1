//! The last handle goes: the store is closed, whatever runs beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use shardkeep::codec::{Codec, DecodeError, EncodeError, Plain};
use shardkeep::{Durable, Store, SyncMode};

use crate::place::Place;

/// Longer than anything takes in here, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Enough for a snapshot of many slices, each of which is followed by a rest.
const ENTRIES: u64 = 50_000;

/// A value that is taken for a fault when it is written.
const BOMB: u64 = u64::MAX;

/// Says when a thread that works in the background has come to its first entry.
struct Noticing {
    thread: &'static str,
    notice: Sender<()>,
}

impl Noticing {
    fn look(&self) {
        let current = thread::current();
        if current
            .name()
            .is_some_and(|name| name.contains(self.thread))
        {
            // Full: it has been said.
            let _said = self.notice.try_send(());
        }
    }
}

impl Codec<u64> for Noticing {
    fn encode(&self, value: &u64, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        assert!(*value != BOMB, "on purpose, while the shard is changed");
        self.look();
        Plain.encode(value, into)
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, DecodeError> {
        self.look();
        Plain.decode(bytes)
    }

    fn form(&self) -> String {
        Codec::<u64>::form(&Plain)
    }
}

/// A store with many entries, and what its `thread` says.
fn filled(
    place: &Place,
    durable: Durable,
    thread: &'static str,
) -> (Store<u64, u64>, Receiver<()>) {
    let (notice, noticed) = bounded(1);
    let store = Store::builder()
        .shards(4)
        .deadline(PATIENCE)
        .durable_with(place.path(), durable, Plain, Noticing { thread, notice })
        .open()
        .unwrap();
    let keys: Vec<u64> = (0..ENTRIES).collect();
    for keys in keys.chunks(1_000) {
        let inserted = store.insert_many(keys.iter().map(|&key| (key, key)));
        assert!(inserted.iter().all(Result::is_ok));
    }
    (store, noticed)
}

/// Opens at once, with everything that was put.
fn check_whole(place: &Place) {
    let again = Store::<u64, u64>::builder();
    let again = again.durable(place.path(), Durable::new()).open().unwrap();
    assert_eq!(again.len().unwrap() as u64, ENTRIES);
}

fn drop_promptly(store: Store<u64, u64>) {
    let began = Instant::now();
    drop(store);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_drop_during_a_snapshot_that_nobody_asked_for_loses_nothing_and_frees_the_directory() {
    for sync in [SyncMode::Never, SyncMode::Interval(Duration::MAX)] {
        let place = Place::new();
        let durable = Durable::new().sync(sync).snapshot_after_bytes(1);
        let (store, noticed) = filled(&place, durable, "-snapshots");
        noticed.recv_timeout(PATIENCE).unwrap();
        drop_promptly(store);
        check_whole(&place);
    }
}

#[test]
fn a_close_during_a_snapshot_leaves_no_thread_and_frees_the_directory() {
    let place = Place::new();
    let durable = Durable::new().sync(SyncMode::Never).snapshot_after_bytes(1);
    let (store, noticed) = filled(&place, durable, "-snapshots");
    noticed.recv_timeout(PATIENCE).unwrap();
    assert!(store.close(PATIENCE).is_clean());
    check_whole(&place);
    drop(store);
}

#[test]
fn a_drop_while_a_lost_shard_is_made_again_loses_nothing_and_frees_the_directory() {
    let place = Place::new();
    let durable = Durable::new().sync(SyncMode::Never).snapshot_after_bytes(0);
    let (store, noticed) = filled(&place, durable, "-remake-");
    let lost = catch_unwind(AssertUnwindSafe(|| store.insert(0, BOMB)));
    assert!(lost.is_err());
    noticed.recv_timeout(PATIENCE).unwrap();
    drop_promptly(store);
    check_whole(&place);
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
