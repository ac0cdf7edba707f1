//! Where writes are acknowledged before they are synced: what is written and synced by itself, and
//! what on request.

use shardkeep_core::limits::LOG_PLACES;
use shardkeep_core::{Handover, SyncMode};

use crate::book::{INTERVAL, Library, NEVER, all_ways, call, config, durability};
use crate::paper::Step;

#[test]
fn at_intervals_everything_is_synced_by_itself() {
    for config in all_ways(SyncMode::Interval(INTERVAL)) {
        let library = Library::open(config);
        for value in 0..5 {
            library.set(1, value).expect("a write");
            library.paper.until_synced((1, value));
        }
        library.end();
    }
}

#[test]
fn while_a_sync_runs_writing_goes_on() {
    for sync in [SyncMode::Never, SyncMode::Interval(NEVER)] {
        for config in all_ways(sync) {
            let library = Library::open(config);
            library.set(1, 0).expect("a write");
            let held = library.paper.hold(Step::Sync);
            std::thread::scope(|scope| {
                let syncing = scope.spawn(|| library.keep.sync(&call()));
                held.wait();
                // More than there are places, so that all of them are given back meanwhile.
                for value in 0..=LOG_PLACES as u64 {
                    library.set(2, value).expect("a write");
                }
                library.paper.until_written(2 + LOG_PLACES);
                assert!(!library.paper.is_synced((1, 0)), "synced while it was held");
                drop(held);
                assert_eq!(syncing.join().expect("no panic"), Ok(()));
            });
            assert!(library.paper.is_synced((1, 0)));
            library.end();
        }
    }
}

/// The committer need not have been awake.
#[test]
fn at_intervals_what_a_caller_has_written_is_synced_too() {
    let library = Library::open(config(
        Handover::Lend,
        durability(SyncMode::Interval(INTERVAL), true),
    ));
    for value in 0..20 {
        let mut reserved = library.keep.reserve(&call()).expect("a place");
        let changed = library.change(1, &mut reserved, move |book| book.set(1, value));
        assert_eq!(changed, Ok(0), "a reply depends on nothing");
        library.keep.commit();
        drop(reserved);
        library.paper.until_synced((1, value));
    }
    library.end();
}

#[test]
fn what_is_not_synced_by_itself_is_written_by_itself_and_synced_on_request() {
    for sync in [SyncMode::Never, SyncMode::Interval(NEVER)] {
        for config in all_ways(sync) {
            let library = Library::open(config);
            for round in 1..4 {
                library.set(1, round).expect("a write");
                library.set(2, round).expect("a write");
                library.paper.until_written(2 * round as usize);
                // Later a request that has just been met may still be seen, and meet what follows.
                let syncs = library.paper.calls(Step::Sync);
                assert!(round > 1 || syncs == 0, "synced unasked");
                assert_eq!(library.keep.sync(&call()), Ok(()));
                assert!(library.paper.all_synced());
            }
            library.set(3, 1).expect("a write");
            // The close syncs, whatever the mode.
            library.end();
        }
    }
}

#[test]
fn a_sync_on_request_covers_what_was_answered_by_mail() {
    for config in all_ways(SyncMode::Never) {
        let library = Library::open(config);
        for value in 0..50 {
            let holder = library.hold(1);
            std::thread::scope(|scope| {
                let writing = scope.spawn(|| {
                    let mut reserved = library.keep.reserve(&call()).expect("a place");
                    let written = library.mail(1, &mut reserved, move |book| book.set(1, value));
                    written.expect("a write");
                    assert_eq!(library.keep.sync(&call()), Ok(()));
                    assert!(library.paper.is_synced((1, value)), "value {value}");
                });
                drop(holder);
                writing.join().expect("a writer");
            });
        }
        library.end();
    }
}
