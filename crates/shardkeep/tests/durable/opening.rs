//! Who may open a store, and what becomes of one whose directory others take away.

use std::error::Error as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use shardkeep::durable::DirectoryError;
use shardkeep::{Durable, Error, Lost, OpenError, RecoverError, Refused, Store, SyncMode};

use crate::place::Place;

/// Nothing in here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(path: &Path, sync: SyncMode) -> Result<Store<u64, u64>, OpenError> {
    let durable = Durable::new().sync(sync).snapshot_after_bytes(0);
    Store::builder().durable(path, durable).open()
}

#[test]
fn a_second_open_in_the_same_process_says_so_and_says_it_once() {
    let place = Place::new();
    let first = open(place.path(), SyncMode::Always).unwrap();
    let second = open(place.path(), SyncMode::Always).unwrap_err();
    let OpenError::Recovery(why) = &second else {
        panic!("{second:?}");
    };
    let is_said = matches!(
        why.downcast_ref(),
        Some(RecoverError::Directory(DirectoryError::AlreadyOpen { .. }))
    );
    assert!(is_said, "{why:?}");
    let (mut said, mut cause) = (second.to_string(), second.source());
    while let Some(error) = cause {
        said.push_str(&format!(": {error}"));
        cause = error.source();
    }
    let path = place.path().display();
    let expected = format!(
        "the store could not be recovered: directory {path} is already open in this process"
    );
    assert_eq!(said, expected);
    assert!(first.close(PATIENCE).is_clean());
    drop(first);
    open(place.path(), SyncMode::Always).unwrap();
}

#[test]
fn a_store_whose_directory_is_taken_away_refuses_writes_and_says_why_at_its_close() {
    let modes = [
        SyncMode::Always,
        SyncMode::Interval(Duration::from_secs(3_600)),
        SyncMode::Never,
    ];
    for sync in modes {
        let place = Place::new();
        let first = open(place.path(), sync).unwrap();
        first.insert(1, 1).unwrap();
        fs::remove_dir_all(place.path()).unwrap();
        let second = open(place.path(), SyncMode::Always).unwrap();
        second.insert(2, 2).unwrap();
        let met = (0..).find_map(|value| first.insert(3, value).err());
        let is_told = matches!(
            met,
            Some(Error::Refused(Refused::LogFailed) | Error::Lost(Lost::LogFailed))
        );
        assert!(is_told, "{met:?}");
        assert!(first.snapshot().is_err(), "{sync:?}");
        let report = first.close(PATIENCE);
        let why = report.log_failed.as_deref().unwrap_or_default();
        assert!(why.contains("moved, removed or replaced"), "{why}");
        assert!(!report.is_clean(), "{sync:?}");
        drop(first);
        assert!(second.close(PATIENCE).is_clean(), "{sync:?}");
        drop(second);
        let third = open(place.path(), SyncMode::Always).unwrap();
        assert_eq!((third.get(&2), third.len()), (Ok(Some(2)), Ok(1)));
    }
}

#[test]
fn a_store_that_is_moved_while_it_is_open_is_found_whole_where_it_was_moved_to() {
    let (place, other) = (Place::new(), Place::new());
    let store = open(place.path(), SyncMode::Always).unwrap();
    store.insert(0, 0).unwrap();
    fs::rename(place.path(), other.path()).unwrap();
    fs::create_dir(place.path()).unwrap();
    let acknowledged = (1..)
        .take_while(|key| store.insert(*key, 0).is_ok())
        .count() as u64;
    drop(store);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    let again = open(other.path(), SyncMode::Always).unwrap();
    for key in 0..=acknowledged {
        assert_eq!(again.get(&key), Ok(Some(0)), "{key} of {acknowledged}");
    }
}
