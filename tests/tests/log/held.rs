//! A directory of the operating system that others move, remove, replace or link while it is open; and who
//! else may open it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use shardkeep_log::{
    Compression, Directory, DirectoryError, Log, NewDirectory, Options, Recovery, StoreId, Warning,
};
use shardkeep_tests::harness::Scratch;

const SEGMENT: &str = "log-00000000000000000001.skl";

fn open(path: &Path, store: u8) -> Log<Directory> {
    let options = Options {
        create: Some(StoreId::new([store; 16])),
        segment_bytes: 4_096,
        ..Options::new()
    };
    let directory = Arc::new(Directory::create(path).unwrap());
    let (log, warnings): (_, Vec<Warning>) = Recovery::open(directory, options)
        .unwrap()
        .into_log()
        .unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    log
}

fn append(log: &mut Log<Directory>, records: usize) -> bool {
    (0..records).all(|_| {
        log.append(&[5; 100]).unwrap();
        log.write().is_ok() && log.sync().is_ok()
    })
}

/// Every file below `path`, with its content.
fn everything(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        found.push((path.clone(), fs::read(path).unwrap()));
    }
    found.sort();
    found
}

/// What somebody does to the directory at a path, with another path that is free; and what is said of it.
type Deed = (&'static str, fn(&Path, &Path), &'static str);

const DEEDS: [Deed; 9] = [
    (
        "it is moved",
        |path, other| fs::rename(path, other).unwrap(),
        "store: moved, removed or replaced",
    ),
    (
        "it is removed",
        |path, _| fs::remove_dir_all(path).unwrap(),
        "store: moved, removed or replaced",
    ),
    (
        "it is replaced by an empty one",
        |path, other| {
            fs::rename(path, other).unwrap();
            fs::create_dir(path).unwrap();
        },
        "store: moved, removed or replaced",
    ),
    (
        "its lock is removed",
        |path, _| fs::remove_file(path.join("lock")).unwrap(),
        "looking for lock: renamed, removed or replaced",
    ),
    (
        "its lock is replaced",
        |path, _| {
            fs::remove_file(path.join("lock")).unwrap();
            fs::write(path.join("lock"), "").unwrap();
        },
        "looking for lock: renamed, removed or replaced",
    ),
    (
        "its segment is removed",
        |path, _| fs::remove_file(path.join(SEGMENT)).unwrap(),
        "looking for log-00000000000000000001.skl: renamed, removed or replaced",
    ),
    (
        "its segment is replaced",
        |path, _| {
            fs::copy(path.join(SEGMENT), path.join("copy")).unwrap();
            fs::rename(path.join("copy"), path.join(SEGMENT)).unwrap();
        },
        "looking for log-00000000000000000001.skl: renamed, removed or replaced",
    ),
    (
        "its segment is cut",
        |path, _| {
            let segment = File::options().write(true).open(path.join(SEGMENT));
            segment.unwrap().set_len(100).unwrap();
        },
        "it has 100 bytes and was left with",
    ),
    (
        "its segment is linked",
        |path, other| fs::hard_link(path.join(SEGMENT), other).unwrap(),
        "it has 2 names, and a file that is written must have one",
    ),
];

#[test]
fn whatever_happens_to_an_open_directory_fails_its_log_by_name() {
    for (deed, carry_out, said) in DEEDS {
        let scratch = Scratch::new().unwrap();
        let (path, other) = (scratch.path().join("store"), scratch.path().join("other"));
        let mut log = open(&path, 1);
        assert!(append(&mut log, 3));
        log.look().unwrap();
        carry_out(&path, &other);
        let why = log.look().unwrap_err().to_string();
        assert!(why.contains(said), "{deed}: {why}");
        assert!(
            log.append(b"later").is_err() && log.sync().is_err(),
            "{deed}"
        );
    }
}

#[test]
fn a_log_whose_directory_is_removed_touches_nothing_of_the_store_that_takes_its_place() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let mut first = open(&path, 1);
    assert!(append(&mut first, 3));
    let unfinished = first.snapshot(Compression::None).unwrap();
    fs::remove_dir_all(&path).unwrap();
    let mut second = open(&path, 2);
    assert!(append(&mut second, 20));
    let finished = second.snapshot(Compression::None).unwrap();
    let finished = finished.finish(0, second.appended()).unwrap();
    let before = everything(&path);
    // Enough for several segments.
    assert!(!append(&mut first, 100));
    let finished_first = unfinished.finish(0, first.appended()).unwrap();
    let adopted = first.adopt(finished_first, first.synced());
    assert!(adopted.is_err() && first.close().is_err());
    drop(first);
    assert_eq!(everything(&path), before);
    second.adopt(finished, second.synced()).unwrap();
    assert!(append(&mut second, 3));
    second.close().unwrap();
}

#[test]
fn what_a_moved_log_still_writes_is_where_it_has_moved_and_nowhere_else() {
    let scratch = Scratch::new().unwrap();
    let (path, moved) = (scratch.path().join("store"), scratch.path().join("moved"));
    let mut log = open(&path, 1);
    assert!(append(&mut log, 3));
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    // Fits into the segment, so that nothing is looked at before.
    assert!(append(&mut log, 3));
    let last = log.synced().lsn();
    assert!(log.look().is_err());
    drop(log);
    assert_eq!(everything(&path), []);
    let mut recovered = open(&moved, 1);
    assert_eq!(recovered.appended(), last);
    assert!(append(&mut recovered, 3));
}

#[test]
fn a_directory_that_was_moved_cannot_be_opened_where_it_is_now_either() {
    let scratch = Scratch::new().unwrap();
    let (path, moved) = (scratch.path().join("store"), scratch.path().join("moved"));
    let log = open(&path, 1);
    fs::rename(&path, &moved).unwrap();
    let again = Directory::open(&moved).unwrap_err();
    assert!(
        matches!(again, DirectoryError::AlreadyOpen { .. }),
        "{again}"
    );
    drop(log);
    drop(open(&moved, 1));
}

#[test]
fn the_directory_is_locked_although_its_lock_file_is_gone() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let log = open(&path, 1);
    fs::remove_file(path.join("lock")).unwrap();
    for again in [Directory::open(&path), Directory::inspect(&path)] {
        let again = again.unwrap_err();
        assert!(
            matches!(again, DirectoryError::AlreadyOpen { .. }),
            "{again}"
        );
    }
    drop(log);
    drop(open(&path, 1));
}

#[test]
fn a_program_that_knows_the_lock_file_alone_is_kept_out_and_keeps_out() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let log = open(&path, 1);
    let lock = File::open(path.join("lock")).unwrap();
    let take = |how| flock(&lock, how);
    assert!(take(FlockOperation::NonBlockingLockShared).is_err());
    drop(log);
    take(FlockOperation::NonBlockingLockExclusive).unwrap();
    for refused in [Directory::open(&path), Directory::inspect(&path)] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, DirectoryError::Locked { .. }),
            "{refused}"
        );
    }
    take(FlockOperation::NonBlockingLockShared).unwrap();
    drop(Directory::inspect(&path).unwrap());
    assert!(Directory::open(&path).is_err());
}

#[test]
fn a_directory_is_free_once_it_is_dropped_however_often_it_was_open() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    drop(open(&path, 1));
    for _ in 0..3 {
        let looks = [(); 3].map(|()| Directory::inspect(&path).unwrap());
        assert!(Directory::open(&path).is_err());
        drop(looks);
        let held = Directory::open(&path).unwrap();
        assert!(Directory::inspect(&path).is_err());
        drop(held);
    }
}

#[test]
fn no_symbolic_link_in_a_directory_is_followed() {
    for name in ["lock", "manifest", SEGMENT] {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("store");
        let victim = scratch.file("victim", "precious").unwrap();
        fs::create_dir(&path).unwrap();
        symlink(&victim, path.join(name)).unwrap();
        let options = Options {
            create: Some(StoreId::new([1; 16])),
            ..Options::new()
        };
        let opened = Directory::create(&path).map(|directory| {
            Recovery::open(Arc::new(directory), options)
                .and_then(Recovery::into_log)
                .map(drop)
        });
        assert!(!matches!(opened, Ok(Ok(()))), "{name}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{name}");
    }
}

#[test]
fn a_path_of_links_leads_to_the_directory_until_it_leads_elsewhere() {
    let scratch = Scratch::new().unwrap();
    let (path, other) = (scratch.path().join("store"), scratch.path().join("other"));
    let link = scratch.path().join("link");
    fs::create_dir(&path).unwrap();
    fs::create_dir(&other).unwrap();
    symlink(&path, &link).unwrap();
    let mut log = open(&link, 1);
    log.look().unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    assert!(log.look().is_err());
    assert_eq!(everything(&other), []);
}

#[test]
fn a_new_directory_gets_its_name_or_is_removed_and_nothing_else_is() {
    let scratch = Scratch::new().unwrap();
    let (path, moved) = (scratch.path().join("new"), scratch.path().join("moved"));
    let mut named = NewDirectory::make(&path).unwrap();
    assert!(NewDirectory::make(&path).is_err(), "it is there");
    named.rename("named".as_ref()).unwrap();
    named.sync_name().unwrap();
    drop(named);
    assert!(scratch.path().join("named").join("lock").exists() && !path.exists());
    drop(NewDirectory::make(&path).unwrap());
    assert!(!path.exists());
    // Somebody has put something else in its place.
    let mut displaced = NewDirectory::make(&path).unwrap();
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("precious"), "").unwrap();
    assert!(displaced.rename("other".as_ref()).is_err());
    drop(displaced);
    assert!(path.join("precious").exists() && moved.join("lock").exists());
}
