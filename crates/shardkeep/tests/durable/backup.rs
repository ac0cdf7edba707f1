//! A backup of a store that goes on, and walks that meet.

use std::sync::atomic::{AtomicBool, Ordering};

use shardkeep::durable::NewStoreError;
use shardkeep::{BackupError, Durable, SnapshotError, Store, SyncMode};

use crate::place::Place;

const ACCOUNTS: u64 = 2_000;
const EACH: u64 = 100;

fn open(place: &Place, sync: SyncMode) -> Store<u64, u64> {
    let durable = Durable::new().disk_reserve(0).sync(sync);
    let builder = Store::builder().shards(8).durable(place.path(), durable);
    builder.open().unwrap()
}

fn sum(store: &Store<u64, u64>) -> u64 {
    let accounts = store.get_many(0..ACCOUNTS);
    accounts
        .into_iter()
        .map(|found| found.unwrap().unwrap())
        .sum()
}

/// Moves money between accounts of different shards until `stop`.
fn transfer(store: &Store<u64, u64>, mut draw: u64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (from, to) = (draw >> 33 & 1_023, 1_024 + (draw >> 20 & 511));
        let moved = store.transaction([from, to], |tx| {
            let (has, gets) = (*tx.get(&from)?.unwrap(), *tx.get(&to)?.unwrap());
            if has > 0 {
                tx.insert(&from, has - 1)?;
                tx.insert(&to, gets + 1)?;
            }
            Ok::<(), shardkeep::KeyNotNamed>(())
        });
        moved.unwrap();
    }
}

#[test]
fn a_backup_holds_one_moment_of_a_store_whose_transactions_go_on() {
    for sync in [SyncMode::Always, SyncMode::Never] {
        let (place, stop) = (Place::new(), AtomicBool::new(false));
        let store = open(&place, sync);
        store.insert_many((0..ACCOUNTS).map(|account| (account, EACH)));
        let backups = [Place::new(), Place::new(), Place::new()];
        std::thread::scope(|scope| {
            let (store, stop) = (&store, &stop);
            for thread in 0..2 {
                scope.spawn(move || transfer(store, thread, stop));
            }
            for backup in &backups {
                let report = store.backup(backup.path()).unwrap();
                assert_eq!(report.entries, ACCOUNTS);
            }
            stop.store(true, Ordering::Relaxed);
        });
        for backup in &backups {
            assert_eq!(sum(&open(backup, SyncMode::Never)), ACCOUNTS * EACH);
        }
        assert_eq!(sum(&store), ACCOUNTS * EACH);
    }
}

#[test]
fn a_backup_is_of_the_types_of_its_store_and_touches_nothing_that_is_there() {
    let (place, backup) = (Place::new(), Place::new());
    let store = open(&place, SyncMode::Always);
    store.insert(1, 1).unwrap();
    store.backup(backup.path()).unwrap();
    let again = store.backup(backup.path()).unwrap_err();
    assert!(
        matches!(again, BackupError::New(NewStoreError::Occupied { .. })),
        "{again}"
    );
    let durable = Durable::new().must_exist();
    let other = Store::<String, u64>::builder().durable(backup.path(), durable);
    assert!(other.open().is_err());
    let in_memory = Store::<u64, u64>::open().unwrap();
    let nowhere = Place::new();
    let refused = in_memory.backup(nowhere.path()).unwrap_err();
    assert!(
        matches!(refused, BackupError::Walk(SnapshotError::NotDurable)),
        "{refused}"
    );
    assert!(!nowhere.path().exists());
}

#[test]
fn of_two_walks_at_once_one_is_told_that_the_other_is_under_way() {
    let place = Place::new();
    let store = open(&place, SyncMode::Never);
    store.insert_many((0..ACCOUNTS).map(|account| (account, EACH)));
    let taken = std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..4)
            .map(|walker| {
                let store = &store;
                scope.spawn(move || {
                    let walk = |_: &u64| match walker {
                        0 => store.backup(Place::new().path()).map(drop),
                        _ => store.snapshot().map(drop).map_err(BackupError::from),
                    };
                    let walks = (0..20).map(|number| walk(&number));
                    walks
                        .filter(|walk| match walk {
                            Ok(()) => true,
                            Err(error) => {
                                assert_eq!(
                                    error.to_string(),
                                    "a snapshot is being written already"
                                );
                                false
                            }
                        })
                        .count()
                })
            })
            .collect();
        walkers
            .into_iter()
            .map(|walker| walker.join().unwrap())
            .sum::<usize>()
    });
    assert!(taken > 0);
    drop(store);
    assert_eq!(sum(&open(&place, SyncMode::Never)), ACCOUNTS * EACH);
}
