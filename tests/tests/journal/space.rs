//! Without space nothing is forgotten, nothing new is begun, and service resumes by itself.

use shardkeep_core::{Error, LogEvent, Lost, Refused, Room, SyncMode, limits};

use crate::book::{INTERVAL, Library, REMOVED, all_ways, call, later, short};
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

fn scarce() -> Room {
    Room::Scarce("the reserve is given up".to_owned())
}

#[test]
fn what_is_written_into_the_reserve_is_acknowledged_and_only_removals_follow() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        assert_eq!(library.set_synced(1, 10), Ok(()));
        library.paper.room(scarce());
        assert_eq!(library.set_synced(5, 50), Ok(()), "there was room for it");
        assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
        let refused = Err(Error::Refused(Refused::LogHasNoSpace));
        assert_eq!(library.set(9, 90), refused);
        assert_eq!(library.get(9).0, None, "a refused write was applied");
        let number = library.remove(1).expect("a removal");
        assert_eq!(library.synced(1, number), Ok(()));
        assert_eq!(library.get(1).0, None);

        library.paper.room(Room::None("full".to_owned()));
        // The last that goes through: then it is found out.
        let number = library.remove(5).expect("a removal");
        assert_eq!(library.synced(5, number), Ok(()));
        assert_eq!(library.remove(5), refused);
        assert_eq!(library.set(9, 91), refused);

        library.paper.room(Room::Ample);
        assert_eq!(
            library.hear_log(),
            LogEvent::Resumed,
            "and nothing before it"
        );
        assert_eq!(library.set_synced(9, 92), Ok(()));
        let order = [(1, 10), (5, 50), (1, REMOVED), (5, REMOVED), (9, 92)];
        let order = order.map(|effect| vec![effect]);
        assert_eq!(library.paper.records(), order, "no gap, no duplicate");
        library.end();
    }
}

#[test]
fn entries_expire_where_there_is_space_for_removals_alone() {
    for config in all_ways(SyncMode::Never) {
        let library = Library::open(config);
        library.paper.room(scarce());
        library.set(1, 10).expect("a write");
        library.keep.commit();
        assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
        let mut loans = library.hold(1);
        for loan in loans.iter_mut() {
            loan.change(|book| book.expires = Some(1));
        }
        drop(loans);
        library.paper.until_written(2);
        assert!(library.paper.has((1, REMOVED)));
        library.paper.room(Room::Ample);
        assert_eq!(library.hear_log(), LogEvent::Resumed);
        library.end();
    }
}

#[test]
fn a_log_that_is_opened_on_a_full_disk_begins_without_space() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open_without_journal(config);
        library.paper.room(scarce());
        let installed = library.keep.install_journal(library.paper.pen());
        installed.expect("a committer");
        assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
        let refused = Err(Error::Refused(Refused::LogHasNoSpace));
        assert_eq!(library.set(1, 10), refused);
        let number = library.remove(1).expect("a removal");
        assert_eq!(library.synced(1, number), Ok(()));
        library.paper.room(Room::Ample);
        assert_eq!(library.hear_log(), LogEvent::Resumed);
        assert_eq!(library.set_synced(1, 11), Ok(()));
        library.end();
    }
}

#[test]
fn what_is_done_with_the_journal_in_hand_may_take_the_room_that_others_have() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let paper = library.paper.clone();
        let taken = library
            .keep
            .on_journal(&call(), move |_| paper.room(scarce()));
        assert_eq!(taken, Ok(()));
        assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
        let refused = Err(Error::Refused(Refused::LogHasNoSpace));
        assert_eq!(library.set(1, 10), refused);
        library.paper.room(Room::Ample);
        assert_eq!(library.hear_log(), LogEvent::Resumed);
        library.end();
    }
}

#[test]
fn the_queue_holds_no_more_than_the_room_that_is_kept_for_it() {
    let place = limits::LOG_PLACE_BYTES as u64;
    let (fewest, most) = (limits::LOG_PLACES_MIN, limits::LOG_PLACES);
    let cases = [
        (0, fewest),
        (1_000 * place + 1, 1_000),
        (limits::LOG_QUEUE_BYTES, most),
        (u64::MAX, most),
    ];
    let config = all_ways(SyncMode::Always).next().expect("one of them");
    for (bytes, places) in cases {
        let library = Library::open_without_journal(config.clone());
        library.paper.keep_free(bytes);
        let installed = library.keep.install_journal(library.paper.pen());
        installed.expect("a committer");
        assert_eq!(library.keep.log_stats().expect("a log").places, places);
        let all = library.keep.try_reserve(places, None).expect("all places");
        let full = library.keep.try_reserve(1, None).err();
        assert_eq!(full, Some(Refused::LogFull { places }));
        drop(all);
        let more = library.keep.try_reserve(places + 1, None).err();
        assert!(matches!(more, Some(Refused::OverLimit { .. })), "{more:?}");
        library.end();
    }
}

#[test]
fn in_the_last_of_the_room_that_is_kept_everything_may_be_removed_at_once() {
    for (kept, admitted) in [(Some(1 << 20), true), (None, false)] {
        for config in all_ways(SyncMode::Always) {
            let library = Library::open_without_journal(config);
            if let Some(bytes) = kept {
                library.paper.keep_free(bytes);
            }
            library.paper.room(Room::None("full".to_owned()));
            let installed = library.keep.install_journal(library.paper.pen());
            installed.expect("a committer");
            assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
            let refused = Err(Error::Refused(Refused::LogHasNoSpace));
            assert_eq!(library.remove(1), refused);
            assert_eq!(library.keep.reserve_clear(&call()).is_ok(), admitted);
            library.paper.room(Room::Ample);
            assert_eq!(library.hear_log(), LogEvent::Resumed);
            library.end();
        }
    }
}
