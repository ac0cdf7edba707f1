//! What somebody wants done with the journal in hand.

use shardkeep_core::limits::LOG_DUTIES_MAX;
use shardkeep_core::{Deadline, Error, Handover, LogEvent, Lost, Refused, SyncMode};

use crate::book::{Library, all_ways, call, config, durability, later, short};
use crate::paper::{Fate, Step};

#[test]
fn a_duty_comes_after_everything_queued_before_it_was_synced() {
    for sync in [SyncMode::Always, SyncMode::Never] {
        for config in all_ways(sync) {
            let library = Library::open(config);
            library.set(1, 1).expect("a write");
            let paper = library.paper.clone();
            let synced = library
                .keep
                .on_journal(&call(), move |_| paper.is_synced((1, 1)));
            assert_eq!(synced, Ok(true));
            library.end();
        }
    }
}

#[test]
fn a_duty_that_panics_fails_the_log_and_is_lost() {
    let library = Library::open(config(Handover::Lend, durability(SyncMode::Always, true)));
    let done: Result<(), _> = library.keep.on_journal(&call(), |_| panic!("on purpose"));
    assert_eq!(done, Err(Error::Lost(Lost::LogFailed)));
    assert!(
        library.keep.log_refuses().is_some(),
        "before its caller hears of it"
    );
    let again = library.keep.on_journal(&call(), |_| ());
    assert_eq!(again, Err(Error::Refused(Refused::LogFailed)));
}

#[test]
fn a_duty_is_not_carried_out_when_the_sync_before_it_fails() {
    let library = Library::open(config(Handover::Lend, durability(SyncMode::Never, true)));
    library.set(1, 1).expect("a write");
    library.paper.next(Step::Sync, Fate::Failed);
    let done: Result<(), _> = library
        .keep
        .on_journal(&call(), |_| unreachable!("it failed"));
    assert_eq!(done, Err(Error::Refused(Refused::LogFailed)));
}

#[test]
fn a_duty_is_carried_out_without_space_and_may_make_some() {
    let library = Library::open(config(Handover::Lend, durability(SyncMode::Always, true)));
    library.paper.usual(Step::Write, Fate::NoSpace);
    library.set(1, 1).expect("a write");
    assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
    let paper = library.paper.clone();
    let made = library
        .keep
        .on_journal(&call(), move |_| paper.usual(Step::Write, Fate::Fine));
    assert_eq!(made, Ok(()));
    assert_eq!(library.hear_log(), LogEvent::Resumed);
    library.end();
}

#[test]
fn duties_that_wait_are_bounded_refused_by_their_deadline_and_by_the_close() {
    let library = Library::open(config(Handover::Lend, durability(SyncMode::Always, false)));
    let held = library.paper.hold(Step::Sync);
    library.set(1, 1).expect("a write");
    held.wait();
    let late = library.keep.on_journal(&short(), |_| ());
    assert!(matches!(
        late,
        Err(Error::Refused(Refused::DeadlinePassed { .. }))
    ));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (1..LOG_DUTIES_MAX)
            .map(|_| scope.spawn(|| library.keep.on_journal(&call(), |_| ())))
            .collect();
        // One more than fit, as soon as the others are there.
        loop {
            match library.keep.on_journal(&short(), |_| ()) {
                Err(Error::Refused(Refused::OverLimit { allowed, .. })) => {
                    assert_eq!(allowed, LOG_DUTIES_MAX as u64);
                    break;
                }
                other => assert!(matches!(
                    other,
                    Err(Error::Refused(Refused::DeadlinePassed { .. }))
                )),
            }
        }
        let now = Deadline::after(std::time::Duration::ZERO);
        assert_eq!(library.keep.close(now).owners_left, 1);
        drop(held);
        for waiting in waiting {
            let done = waiting.join().expect("a caller");
            assert!(
                matches!(
                    done,
                    Ok(()) | Err(Error::Refused(Refused::Closed | Refused::OverLimit { .. }))
                ),
                "{done:?}"
            );
        }
    });
    assert!(library.keep.close(later()).is_clean());
}

#[test]
fn without_a_journal_there_are_no_duties() {
    let mut ways = all_ways(SyncMode::Always);
    let library = Library::open_without_journal(ways.next().expect("a way"));
    let refused = Err(Error::Refused(Refused::Recovering));
    assert_eq!(library.keep.on_journal(&call(), |_| ()), refused);
    assert_eq!(library.set(1, 1).map(|_| ()), refused);
    library
        .keep
        .install_journal(library.paper.pen())
        .expect("a committer");
    assert_eq!(library.set_synced(1, 1), Ok(()));
    library.end();
    let closed = Err(Error::Refused(Refused::Closed));
    assert_eq!(library.keep.on_journal(&call(), |_| ()), closed);
}
