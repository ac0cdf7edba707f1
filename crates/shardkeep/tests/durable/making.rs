//! A store made at once, from what another program has kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shardkeep::durable::{NewStore, NewStoreError};
use shardkeep::table::UnixMillis;
use shardkeep::{Durable, Store, Ttl};

use crate::place::Place;

fn open(path: &Path) -> Store<Vec<u8>, Vec<u8>> {
    let durable = Durable::new().must_exist();
    Store::builder().durable(path, durable).open().unwrap()
}

/// A place in a directory of its own, with what else may be there.
fn place_in(above: &Place) -> PathBuf {
    fs::create_dir(above.path()).unwrap();
    above.path().join("store")
}

fn names(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_put_is_there_with_its_expiry_and_can_be_changed() {
    #[expect(clippy::disallowed_methods, reason = "a time that is still to come")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let hour = Duration::from_secs(3_600);
    let at = |when: Duration| Some(UnixMillis::new(when.as_millis() as u64));
    let above = Place::new();
    let place = place_in(&above);
    let large = vec![b'x'; 3 << 20];
    let mut new = NewStore::begin(&place).unwrap();
    for number in 0..20_000_u32 {
        new.put(0, &number.to_le_bytes(), b"some value", None)
            .unwrap();
    }
    new.put(0, b"large", &large, None).unwrap();
    for (key, expires) in [(&b"later"[..], at(now + hour)), (b"past", at(now - hour))] {
        new.put(0, key, b"v", expires).unwrap();
    }
    let report = new.finish().unwrap();
    assert_eq!(report.entries, 20_003);
    assert!(report.bytes > 3 << 20, "{report:?}");
    assert_eq!(names(above.path()), ["store"]);

    let store = open(&place);
    assert_eq!(store.get(b"large".as_slice()).unwrap(), Some(large));
    assert_eq!(store.get(b"past".as_slice()).unwrap(), None);
    let ttl = store.ttl(b"later".as_slice()).unwrap();
    assert!(
        matches!(ttl, Some(Ttl::Left(left)) if left <= hour),
        "{ttl:?}"
    );
    for number in 0..20_000_u32 {
        let value = store.get(number.to_le_bytes().as_slice()).unwrap();
        assert_eq!(value, Some(b"some value".to_vec()));
    }
    store.insert(b"new".to_vec(), b"n".to_vec()).unwrap();
    assert!(store.close(Duration::from_secs(5)).is_clean());
    let again = open(&place);
    assert_eq!(again.get(b"new".as_slice()).unwrap(), Some(b"n".to_vec()));
}

#[test]
fn a_store_of_nothing_is_a_store() {
    let above = Place::new();
    let place = place_in(&above);
    assert_eq!(
        NewStore::begin(&place).unwrap().finish().unwrap().entries,
        0
    );
    assert_eq!(open(&place).len().unwrap(), 0);
}

#[test]
fn given_up_it_leaves_nothing() {
    let above = Place::new();
    let place = place_in(&above);
    let mut new = NewStore::begin(&place).unwrap();
    new.put(0, b"k", &vec![0; 1 << 20], None).unwrap();
    assert_eq!(names(above.path()), ["store.unfinished"]);
    drop(new);
    assert_eq!(names(above.path()), [""; 0]);
}

#[test]
fn an_empty_directory_is_a_place_and_so_is_a_link_to_one() {
    let above = Place::new();
    let place = place_in(&above);
    let link = above.path().join("link");
    fs::create_dir(&place).unwrap();
    std::os::unix::fs::symlink("store", &link).unwrap();
    let mut new = NewStore::begin(&link).unwrap();
    new.put(0, b"k", b"v", None).unwrap();
    new.finish().unwrap();
    assert_eq!(names(above.path()), ["link", "store"]);
    assert_eq!(
        open(&link).get(b"k".as_slice()).unwrap(),
        Some(b"v".to_vec())
    );
}

#[test]
fn what_is_there_is_refused_by_name_and_stays_as_it_was() {
    let above = Place::new();
    let place = place_in(&above);
    NewStore::begin(&place).unwrap().finish().unwrap();
    let store = names(&place);
    let file = above.path().join("file");
    fs::write(&file, "text").unwrap();
    let dangling = above.path().join("dangling");
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    let cases = [
        (place.clone(), "\"lock\" and 3 more in it"),
        (file, "it is no directory"),
        (dangling, "No such file or directory"),
        (above.path().join("no/where"), "No such file or directory"),
        (PathBuf::from("/"), "is there already"),
        (PathBuf::from(""), "it has no name"),
    ];
    for (path, expected) in cases {
        let error = NewStore::begin(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{}: {error}", path.display());
    }
    assert_eq!(names(above.path()), ["dangling", "file", "store"]);
    assert_eq!(names(&place), store);
}

#[test]
fn what_was_begun_and_never_finished_is_refused_by_name() {
    let above = Place::new();
    let place = place_in(&above);
    let running = NewStore::begin(&place).unwrap();
    let error = NewStore::begin(&place).unwrap_err();
    assert!(matches!(error, NewStoreError::Leftover { .. }), "{error}");
    assert!(error.to_string().contains("store.unfinished"), "{error}");
    running.finish().unwrap();
}

#[test]
fn what_somebody_put_at_the_place_meanwhile_stays() {
    let above = Place::new();
    let place = place_in(&above);
    let new = NewStore::begin(&place).unwrap();
    fs::create_dir(&place).unwrap();
    fs::write(place.join("theirs"), "text").unwrap();
    let error = new.finish().unwrap_err();
    assert!(matches!(error, NewStoreError::NotWritten { .. }), "{error}");
    assert_eq!(names(above.path()), ["store"]);
    assert_eq!(names(&place), ["theirs"]);
}

#[test]
fn an_entry_that_is_too_large_for_any_record_is_not_taken() {
    let above = Place::new();
    let place = place_in(&above);
    let mut new = NewStore::begin(&place).unwrap();
    let half = vec![0; NewStore::ENTRY_BYTES_MAX / 2 + 1];
    let error = new.put(0, &half, &half, None).unwrap_err();
    assert!(matches!(error, NewStoreError::TooLarge { .. }), "{error}");
    new.put(0, b"k", b"v", None).unwrap();
    assert_eq!(new.finish().unwrap().entries, 1);
}

#[test]
fn what_others_put_in_the_place_of_an_unfinished_store_is_neither_used_nor_removed() {
    let above = Place::new();
    let place = place_in(&above);
    let (unfinished, moved) = (
        above.path().join("store.unfinished"),
        above.path().join("moved"),
    );
    for is_finished in [true, false] {
        let mut new = NewStore::begin(&place).unwrap();
        new.put(0, b"k", b"v", None).unwrap();
        fs::rename(&unfinished, &moved).unwrap();
        fs::create_dir(&unfinished).unwrap();
        fs::write(unfinished.join("manifest"), "precious").unwrap();
        if is_finished {
            let refused = new.finish().unwrap_err();
            assert!(
                matches!(refused, NewStoreError::NotWritten { .. }),
                "{refused}"
            );
            let said = refused.to_string();
            assert!(said.contains("moved, removed or replaced"), "{said}");
        } else {
            drop(new);
        }
        assert!(!place.exists());
        assert_eq!(names(&unfinished), ["manifest"]);
        assert_eq!(fs::read(unfinished.join("manifest")).unwrap(), b"precious");
        fs::remove_dir_all(&unfinished).unwrap();
        fs::remove_dir_all(&moved).unwrap();
    }
}
