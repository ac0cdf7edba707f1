//! In `SyncMode::Always` no reply shows what a crash could take back, and nobody waits for others.

use std::time::Duration;

use shardkeep_core::{Durability, Error, Handover, Lost, SyncMode};

use crate::book::{Library, NEVER, all_ways, config, durability, shard_of, short};
use crate::paper::Step;

#[test]
fn a_write_is_acknowledged_by_the_sync_that_covers_it_and_not_before() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let held = library.paper.hold(Step::Sync);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| library.set_synced(1, 10));
            held.wait();
            let (value, number) = library.get(1);
            assert_eq!(value, Some(10), "it is applied");
            assert!(!library.keep.is_synced(shard_of(1), number));
            assert!(!writing.is_finished());
            drop(held);
            assert_eq!(writing.join().expect("a writer"), Ok(()));
        });
        library.end();
    }
}

/// Every kind of reply that depends on what is not synced.
#[test]
fn what_is_not_synced_is_known_by_key_and_other_keys_do_not_wait() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        for key in [1, 5, 9, 2] {
            assert_eq!(library.set_synced(key, key), Ok(()));
        }
        let held = library.paper.hold(Step::Sync);
        library.set(1, 10).expect("a write");
        let mut reserved = library.keep.reserve(&short()).expect("a place");
        let removed = library.change(5, &mut reserved, |book| book.remove(5));
        drop(reserved);
        let (changed, gone) = (library.get(1), library.get(5));
        assert_eq!((changed.0, gone.0), (Some(10), None));
        assert_eq!(Ok(gone.1), removed, "an absence depends on the removal");
        let mut newest = 0;
        library
            .hold(1)
            .shard(1)
            .look(|book| newest = book.needs_newest());
        assert_eq!(newest, gone.1, "a count depends on the newest");
        for number in [changed.1, gone.1] {
            assert!(number > 0);
            assert!(!library.keep.is_synced(1, number));
        }
        for other in [9, 13, 2, 3] {
            let (_, number) = library.get(other);
            assert_eq!(
                library.synced(other, number),
                Ok(()),
                "key {other} waits for nobody"
            );
        }
        drop(held);
        assert_eq!(library.synced(1, newest), Ok(()));
        library.end();
    }
}

#[test]
fn after_a_clear_every_key_of_the_shard_waits() {
    let library = Library::open(config(Handover::Lend, durability(SyncMode::Always, false)));
    assert_eq!(library.set_synced(1, 1), Ok(()));
    let held = library.paper.hold(Step::Sync);
    let mut reserved = library.keep.reserve(&short()).expect("a place");
    let number = library.change(1, &mut reserved, |book| {
        book.clear(false);
        book.set(5, 5)
    });
    drop(reserved);
    for key in [1, 5, 9] {
        assert_eq!(Ok(library.get(key).1), number, "key {key}");
    }
    assert_eq!(library.get(2).1, 0, "another shard");
    drop(held);
}

#[test]
fn what_comes_during_a_sync_rides_on_the_next() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let held = library.paper.hold(Step::Sync);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| library.set_synced(1, 1));
            held.wait();
            let numbers: Vec<_> = (10..30)
                .map(|key| (key, library.set(key, key).expect("a write")))
                .collect();
            drop(held);
            for (key, number) in numbers {
                assert_eq!(library.synced(key, number), Ok(()));
                assert!(library.paper.is_synced((key, key)));
            }
            assert_eq!(first.join().expect("a writer"), Ok(()));
        });
        assert_eq!(library.paper.calls(Step::Sync), 2);
        library.end();
    }
}

/// The window is for company: who is alone does not wait for it, nor for another thread.
#[test]
fn a_lone_writer_commits_for_itself() {
    for window in [Duration::ZERO, NEVER] {
        let always = durability(SyncMode::Always, true);
        let library = Library::open(config(Handover::Lend, Durability { window, ..always }));
        // Somebody has waited, and gone.
        let waited = library.keep.wait_synced(1, 1, &short());
        assert_eq!(waited, Err(Lost::NotSynced { shard: 1 }));
        for value in 0..5 {
            assert_eq!(library.set_synced(1, value), Ok(()));
        }
        let committer = "book-committer".to_owned();
        assert!(!library.paper.syncers().contains(&committer), "{window:?}");
        library.end();
    }
}

#[test]
fn where_the_log_is_not_lent_the_committer_alone_syncs() {
    for handover in [Handover::Lend, Handover::Mail] {
        let library = Library::open(config(handover, durability(SyncMode::Always, false)));
        for value in 0..5 {
            assert_eq!(library.set_synced(1, value), Ok(()));
        }
        assert_eq!(library.paper.syncers(), ["book-committer"; 5]);
        library.end();
    }
}

#[test]
fn who_waits_for_a_stuck_sync_is_lost_by_its_deadline() {
    for handover in [Handover::Lend, Handover::Mail] {
        let library = Library::open(config(handover, durability(SyncMode::Always, false)));
        let held = library.paper.hold(Step::Sync);
        let number = library.set(1, 1).expect("a write");
        held.wait();
        let waited = library.keep.wait_synced(1, number, &short());
        assert_eq!(waited, Err(Lost::NotSynced { shard: 1 }));
        let later = library.set(1, 2).expect("a write");
        assert!(later > number);
        drop(held);
        assert_eq!(library.synced(1, later), Ok::<_, Error>(()));
        library.end();
    }
}
