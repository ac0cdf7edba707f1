//! A log that rests says of itself how far it is written and synced.

use shardkeep_core::{Error, LogEvent, Refused, SyncMode};

use crate::book::{INTERVAL, Library, NEVER, all_ways, call, later};
use crate::paper::{Fate, Step};

#[test]
fn a_log_that_rests_is_marked_whoever_has_written_and_once_for_each_rest() {
    for sync in [
        SyncMode::Always,
        SyncMode::Interval(INTERVAL),
        SyncMode::Interval(NEVER),
        SyncMode::Never,
    ] {
        let syncs = !matches!(sync, SyncMode::Never | SyncMode::Interval(NEVER));
        for config in all_ways(sync) {
            let library = Library::open(config);
            for value in 1..=3 {
                match sync {
                    SyncMode::Always => assert_eq!(library.set_synced(1, value), Ok(())),
                    _ => assert!(library.set(1, value).is_ok()),
                }
                let written = value as usize;
                library
                    .paper
                    .until_marked(written, if syncs { written } else { 0 });
            }
            // What is synced later, on request, is said too.
            assert_eq!(library.keep.sync(&call()), Ok(()));
            library.paper.until_marked(3, 3);
            // One for each write, and one for a sync that came behind it.
            assert!(library.paper.calls(Step::Mark) <= 7, "again and again");
            library.end();
        }
    }
}

#[test]
fn a_mark_that_fails_has_failed_the_log_and_one_that_finds_no_space_has_not() {
    for fate in [Fate::Failed, Fate::Panics] {
        for config in all_ways(SyncMode::Always) {
            let library = Library::open(config);
            library.paper.next(Step::Mark, fate);
            assert_eq!(library.set_synced(1, 10), Ok(()));
            assert!(matches!(library.hear_log(), LogEvent::Failed(_)));
            let refused = Err(Error::Refused(Refused::LogFailed));
            assert_eq!(library.set(1, 11), refused);
            library.keep.close(later());
        }
    }
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        library.paper.usual(Step::Mark, Fate::NoSpace);
        let held = library.paper.hold(Step::Mark);
        assert_eq!(library.set_synced(1, 10), Ok(()));
        held.wait();
        drop(held);
        library.paper.usual(Step::Mark, Fate::Fine);
        assert_eq!(library.set_synced(1, 11), Ok(()));
        library.paper.until_marked(2, 2);
        library.end();
    }
}
