//! The last commit, and a close that does not wait for a stuck disk.

use std::time::Duration;

use shardkeep_core::{Config, Deadline, Error, Handover, Lost, Refused, SyncMode};

use crate::book::{INTERVAL, Library, NEVER, all_ways, call, config, durability, later, shard_of};
use crate::paper::Step;

/// Threads of this process whose names begin so.
fn threads(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads");
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    let names = tasks.filter_map(|task| name(task.ok()?).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

fn until(is: impl Fn() -> bool) {
    let deadline = later();
    while !is() {
        assert!(
            !deadline.has_passed(shardkeep_core::clock::now()),
            "in vain"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_close_syncs_everything_in_every_mode_and_leaves_no_thread() {
    for sync in [
        SyncMode::Always,
        SyncMode::Interval(NEVER),
        SyncMode::Interval(INTERVAL),
        SyncMode::Never,
    ] {
        for config in all_ways(sync) {
            let library = Library::open(Config {
                name: "ended".to_owned(),
                ..config
            });
            for key in 0..20 {
                library.set(key, key).expect("a write");
            }
            // They take their names when they begin.
            until(|| threads("ended-") > 0);
            library.end();
            // Joined; the system forgets them a moment later.
            until(|| threads("ended-") == 0);
            let closed = Err(Error::Refused(Refused::Closed));
            assert_eq!(library.set(1, 1), closed);
            assert_eq!(library.keep.sync(&call()), Ok(()));
        }
    }
}

#[test]
fn a_stuck_sync_does_not_hold_up_a_close_or_readers_of_what_is_synced() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        assert_eq!(library.set_synced(1, 1), Ok(()));
        assert_eq!(library.set_synced(5, 5), Ok(()));
        let held = library.paper.hold(Step::Sync);
        std::thread::scope(|scope| {
            let stuck = scope.spawn(|| library.set_synced(1, 2));
            held.wait();
            for key in [5, 9, 2] {
                let (_, number) = library.get(key);
                assert_eq!(library.synced(key, number), Ok(()), "key {key}");
            }
            let report = library.keep.close(Deadline::after(Duration::ZERO));
            let left = (report.shards_away, report.owners_left, report.unsynced);
            assert_eq!(left, (0, 1, 1), "the committer, and what it waits for");
            assert!(!report.is_clean());
            drop(held);
            assert_eq!(stuck.join().expect("a writer"), Ok(()));
        });
        assert!(library.keep.close(later()).is_clean());
        assert!(library.paper.all_synced() && library.paper.is_put_away());
    }
}

#[test]
fn a_keep_is_closed_before_its_journal_came() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open_without_journal(config);
        assert!(library.keep.close(later()).is_clean());
        let late = library.keep.install_journal(library.paper.pen());
        late.expect("a committer, for as long as it takes");
        assert!(library.keep.close(later()).is_clean());
        assert!(library.paper.is_put_away());
    }
}

#[test]
fn what_comes_back_after_the_close_is_not_kept_and_nobody_waits_for_it() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let mut reserved = library.keep.reserve(&call()).expect("a place");
        let mut loans = library.hold(1);
        reserved.deposit(loans.shard(shard_of(1)));
        let report = library.keep.close(Deadline::after(Duration::ZERO));
        assert_eq!((report.shards_away, report.owners_left), (1, 0));
        let number = loans.shard(1).change(|book| book.set(1, 1));
        drop((loans, reserved));
        let lost = Err(Error::Lost(Lost::NotSynced { shard: 1 }));
        assert_eq!(library.synced(1, number), lost);
        assert_eq!(library.places_taken(), 0);
        assert_eq!(library.keep.close(later()).unsynced, 1);
        assert_eq!(library.paper.records().len(), 0);
    }
}

#[test]
fn a_keep_that_is_dropped_syncs_too() {
    for handover in [Handover::Lend, Handover::Mail] {
        let library = Library::open(config(handover, durability(SyncMode::Never, true)));
        library.set(1, 1).expect("a write");
        let paper = library.paper.clone();
        drop(library);
        assert!(paper.is_synced((1, 1)) && paper.is_put_away());
    }
}
