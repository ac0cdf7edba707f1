//! Without space nothing is forgotten, nothing new is begun, and service resumes by itself.

use shardkeep_core::{Error, LogEvent, Lost, Refused, SyncMode};

use crate::book::{INTERVAL, Library, all_ways, call, later, short};
use crate::paper::{Fate, Step};

#[test]
fn a_log_without_space_refuses_writes_and_resumes_by_itself() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        assert_eq!(library.set_synced(1, 10), Ok(()));
        library.paper.usual(Step::Write, Fate::NoSpace);
        let number = library.set(5, 50).expect("it has its place");
        let waited = library.keep.wait_synced(1, number, &short());
        assert_eq!(waited, Err(Lost::NotSynced { shard: 1 }));
        assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
        let refused = Err(Error::Refused(Refused::LogHasNoSpace));
        assert_eq!(library.set(9, 90), refused);
        assert_eq!(library.get(9).0, None, "a refused write was applied");
        assert_eq!(
            library.places_taken(),
            1,
            "what is not written keeps its place"
        );
        let (value, number) = library.get(1);
        assert_eq!((value, library.synced(1, number)), (Some(10), Ok(())));
        library.paper.usual(Step::Write, Fate::Fine);
        assert_eq!(library.hear_log(), LogEvent::Resumed);
        library.paper.until_synced((5, 50));
        assert_eq!(library.set_synced(9, 91), Ok(()));
        assert_eq!(library.keep.log_refuses(), None);
        let order = [(1, 10), (5, 50), (9, 91)].map(|effect| vec![effect]);
        assert_eq!(library.paper.records(), order, "no gap, no duplicate");
        library.end();
    }
}

#[test]
fn who_waits_long_enough_is_acknowledged_when_there_is_space_again() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        library.paper.next(Step::Write, Fate::NoSpace);
        library.paper.next(Step::Write, Fate::NoSpace);
        assert_eq!(library.set_synced(1, 1), Ok(()));
        library.end();
    }
}

#[test]
fn where_nobody_waits_it_is_tried_again_too() {
    for sync in [SyncMode::Interval(INTERVAL), SyncMode::Never] {
        for config in all_ways(sync) {
            let library = Library::open(config);
            library.paper.usual(Step::Write, Fate::NoSpace);
            library.set(1, 1).expect("a write");
            // Whoever finds out.
            library.keep.commit();
            assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
            library.paper.usual(Step::Write, Fate::Fine);
            assert_eq!(library.hear_log(), LogEvent::Resumed);
            library.paper.until_written(1);
            library.end();
        }
    }
}

#[test]
fn what_was_written_before_is_synced_while_there_is_no_space() {
    for config in all_ways(SyncMode::Never) {
        let library = Library::open(config);
        library.set(1, 1).expect("a write");
        library.paper.until_written(1);
        library.paper.usual(Step::Write, Fate::NoSpace);
        library.set(1, 2).expect("it has its place");
        assert_eq!(
            library.keep.sync(&short()),
            Err(Lost::NotSynced { shard: 1 })
        );
        library.paper.until_synced((1, 1));
        assert!(!library.paper.is_synced((1, 2)));
        library.paper.usual(Step::Write, Fate::Fine);
        assert_eq!(library.keep.sync(&call()), Ok(()));
        assert!(library.paper.is_synced((1, 2)));
        library.end();
    }
}

#[test]
fn a_close_without_space_says_what_it_left() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        library.paper.usual(Step::Write, Fate::NoSpace);
        let number = library.set(1, 1).expect("it has its place");
        let report = library.keep.close(later());
        let left = (report.shards_away, report.owners_left, report.unsynced);
        assert_eq!(left, (0, 0, 1));
        assert!(!report.is_clean());
        let lost = Err(Error::Lost(Lost::NotSynced { shard: 1 }));
        assert_eq!(library.synced(1, number), lost);
        assert_eq!(library.places_taken(), 0);
    }
}
