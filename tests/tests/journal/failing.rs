//! A log that failed has failed for good: who waits is lost, who comes is refused before anything is
//! changed, and what was synced before stays readable.

use std::sync::Arc;

use shardkeep_core::limits::LOG_PLACES;
use shardkeep_core::{Config, Error, Handover, LogEvent, Lost, Refused, SyncMode, Ticket, Wake};

use crate::book::{Library, all_ways, call, config, durability, later, short};
use crate::paper::{Fate, Step};

const FAILURES: [(Step, Fate); 6] = [
    (Step::Append, Fate::Panics),
    (Step::Write, Fate::Failed),
    (Step::Write, Fate::Panics),
    (Step::Sync, Fate::Failed),
    (Step::Sync, Fate::NoSpace),
    (Step::Sync, Fate::Panics),
];

#[test]
fn one_failure_is_final_although_the_next_sync_would_succeed() {
    for (step, fate) in FAILURES {
        for config in all_ways(SyncMode::Always) {
            let name = format!("{step:?} {fate:?} {:?}", config.handover);
            let library = Library::open(config);
            assert_eq!(library.set_synced(1, 10), Ok(()));
            library.paper.next(step, fate);
            let lost = Err(Error::Lost(Lost::LogFailed));
            assert_eq!(library.set_synced(5, 50), lost, "{name}");
            assert!(matches!(library.hear_log(), LogEvent::Failed(_)), "{name}");
            let refused = Err(Error::Refused(Refused::LogFailed));
            assert_eq!(library.set(9, 90), refused, "{name}");
            assert_eq!(
                library.get(9).0,
                None,
                "a refused write was applied: {name}"
            );
            let (why, text) = library.keep.log_refuses().expect("a reason");
            assert!(why == Refused::LogFailed && !text.is_empty(), "{name}");
            let (value, number) = library.get(1);
            assert_eq!(
                (value, library.synced(1, number)),
                (Some(10), Ok(())),
                "{name}"
            );
            let (value, number) = library.get(5);
            assert_eq!(
                (value, library.synced(5, number)),
                (Some(50), lost),
                "{name}"
            );
            assert!(!library.paper.is_synced((5, 50)), "{name}");
            assert_eq!(library.places_taken(), 0, "{name}");
            let report = library.keep.close(later());
            let left = (report.shards_away, report.owners_left, report.unsynced);
            assert_eq!(left, (0, 0, 1), "{name}");
            assert!(library.paper.is_put_away());
            assert_eq!(library.set(1, 1), refused, "more than closed: {name}");
        }
    }
}

#[test]
fn a_sync_at_intervals_that_fails_refuses_later_writes_too() {
    for sync in [SyncMode::Interval(crate::book::INTERVAL), SyncMode::Never] {
        for config in all_ways(sync) {
            let library = Library::open(config);
            library.paper.next(Step::Sync, Fate::Failed);
            library.set(1, 1).expect("a write");
            if sync == SyncMode::Never {
                assert_eq!(library.keep.sync(&call()), Err(Lost::LogFailed));
            }
            assert!(matches!(library.hear_log(), LogEvent::Failed(_)));
            let refused = Err(Error::Refused(Refused::LogFailed));
            assert_eq!(library.set(1, 2), refused);
            assert_eq!(library.keep.sync(&call()), Err(Lost::LogFailed));
            assert_eq!(library.keep.close(later()).unsynced, 1);
        }
    }
}

#[test]
fn who_waits_for_a_place_is_refused_when_the_log_fails_though_no_place_comes_back() {
    let library = Library::open(config(Handover::Lend, durability(SyncMode::Always, true)));
    let all = library
        .keep
        .try_reserve(LOG_PLACES, None)
        .expect("an empty queue");
    let bell = Ticket::<()>::new(0);
    let wake: Arc<dyn Wake> = Arc::clone(&bell) as Arc<dyn Wake>;
    let full = library.keep.try_reserve(1, Some(&wake)).err();
    assert!(matches!(full, Some(Refused::LogFull { .. })));
    std::thread::scope(|scope| {
        let writing = [1, 2].map(|key| {
            let library = &library;
            scope.spawn(move || library.set(key, key))
        });
        let failed: Result<(), _> = library.keep.on_journal(&call(), |_| panic!("on purpose"));
        assert_eq!(failed, Err(Error::Lost(Lost::LogFailed)));
        for writing in writing {
            let refused = Err(Error::Refused(Refused::LogFailed));
            assert_eq!(writing.join().expect("a writer"), refused);
        }
    });
    drop(all);
    assert_eq!(library.places_taken(), 0);
}

#[test]
fn what_took_its_place_before_the_failure_gives_it_back_after_it() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let mut reserved = library.keep.try_reserve(2, None).expect("places");
        library.paper.next(Step::Sync, Fate::Failed);
        assert_eq!(library.set_synced(1, 1), Err(Error::Lost(Lost::LogFailed)));
        let number = library.change(5, &mut reserved, |book| book.set(5, 5));
        let number = number.expect("it had its place");
        let lost = Err(Error::Lost(Lost::LogFailed));
        assert_eq!(library.synced(5, number), lost);
        drop(reserved);
        // What it queued is discarded by whoever looks next.
        assert_eq!(library.places_taken(), 0);
        assert!(!library.paper.has((5, 5)));
    }
}

#[test]
fn those_who_wait_for_many_things_are_woken_by_a_sync_and_by_the_failure() {
    let library = Library::open(config(Handover::Lend, durability(SyncMode::Always, false)));
    for fate in [Fate::Fine, Fate::Failed] {
        let bell = Bell::default();
        let wake: Arc<dyn Wake> = Arc::new(bell.clone());
        library.paper.next(Step::Sync, fate);
        let held = library.paper.hold(Step::Sync);
        let number = library.set(1, 1).expect("a write");
        held.wait();
        library.keep.await_sync(&wake);
        assert!(!library.keep.is_synced(1, number));
        drop(held);
        bell.wait();
        assert_eq!(library.keep.is_synced(1, number), fate == Fate::Fine);
        assert_eq!(library.keep.log_refuses().is_some(), fate == Fate::Failed);
    }
    assert_eq!(
        library.keep.wait_synced(1, 2, &short()),
        Err(Lost::LogFailed)
    );
}

#[derive(Clone)]
pub(crate) struct Bell(
    crossbeam_channel::Sender<()>,
    crossbeam_channel::Receiver<()>,
);

impl Default for Bell {
    fn default() -> Self {
        let (ring, rung) = crossbeam_channel::bounded(1);
        Self(ring, rung)
    }
}

impl Bell {
    fn wait(&self) {
        crate::book::hear(&self.1);
    }

    /// Whether it was rung since this was last asked.
    pub(crate) fn has_rung(&self) -> bool {
        self.1.try_recv().is_ok()
    }
}

impl Wake for Bell {
    fn wake(&self) {
        // Rung already.
        let _ = self.0.try_send(());
    }
}

const SYNCS: [SyncMode; 3] = [
    SyncMode::Always,
    SyncMode::Interval(crate::book::INTERVAL),
    SyncMode::Never,
];

#[test]
fn a_log_that_is_not_where_it_was_fails_although_nothing_is_written() {
    fn check(config: &Config, fate: Fate) {
        let name = format!("{fate:?} {config:?}");
        let library = Library::open(config.clone());
        library.set(1, 10).expect("a write");
        assert_eq!(library.keep.sync(&call()), Ok(()));
        library.paper.next(Step::Look, fate);
        assert!(matches!(library.hear_log(), LogEvent::Failed(_)), "{name}");
        let refused = Err(Error::Refused(Refused::LogFailed));
        assert_eq!(library.set(9, 90), refused, "{name}");
        assert_eq!(library.get(1).0, Some(10), "{name}");
        let report = library.keep.close(later());
        assert_eq!(report.unsynced, 0, "{name}");
        assert!(report.log_failed.is_some() && !report.is_clean(), "{name}");
    }
    // Each waits for the next look.
    std::thread::scope(|scope| {
        for config in SYNCS.into_iter().flat_map(all_ways) {
            scope.spawn(move || {
                for fate in [Fate::Failed, Fate::NoSpace, Fate::Panics] {
                    check(&config, fate);
                }
            });
        }
    });
}

#[test]
fn a_log_that_is_not_where_it_was_fails_under_writers_that_never_leave_it() {
    for sync in SYNCS {
        for config in all_ways(sync) {
            let library = Library::open(config);
            std::thread::scope(|scope| {
                for key in [1, 2, 5] {
                    let library = &library;
                    scope.spawn(move || {
                        let refused = (0..).find_map(|value| library.set(key, value).err());
                        assert_eq!(refused, Some(Error::Refused(Refused::LogFailed)));
                    });
                }
                library.paper.usual(Step::Look, Fate::Failed);
                assert!(matches!(library.hear_log(), LogEvent::Failed(_)));
            });
        }
    }
}

#[test]
fn a_log_that_is_not_where_it_was_says_so_when_it_is_closed() {
    for sync in SYNCS {
        for config in all_ways(sync) {
            let library = Library::open(config);
            library.set(1, 10).expect("a write");
            library.paper.usual(Step::Look, Fate::Failed);
            let report = library.keep.close(later());
            let why = report.log_failed.as_deref().unwrap_or_default();
            assert!(why.contains("Look") && !report.is_clean(), "{why}");
        }
    }
}
