//! A cut: every shard in hand for a moment, and where it stands in the log.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shardkeep_core::limits::LOG_PLACES;
use shardkeep_core::{Call, CancelToken, Error, Handover, LogEvent, Lost, Refused, SyncMode};

use crate::book::{Book, Library, SHARDS, all_ways, call, config, durability, short};
use crate::losing::lost_shards;
use crate::paper::{Fate, Step};

fn always() -> Library {
    Library::open(config(Handover::Lend, durability(SyncMode::Always, true)))
}

/// A cut that does nothing else.
fn cut(library: &Library, call: &Call) -> Result<u32, Error> {
    let cut = library.keep.cut(call, |_, _| ());
    cut.map(|cut| cut.attempts)
}

/// How many records the journal has seen before each cut, told with the journal in hand.
fn cuts_seen(library: &Library) -> Vec<usize> {
    let paper = library.paper.clone();
    let seen = library.keep.on_journal(&call(), move |_| paper.cuts());
    seen.expect("the journal")
}

/// Waits until `count` requests lie in the mailbox of shard 2.
fn until_asked(library: &Library, count: usize) {
    while library.keep.depth(2) < count {
        std::thread::yield_now();
    }
}

#[test]
fn a_cut_stands_between_what_was_done_before_and_after_it() {
    for sync in [SyncMode::Always, SyncMode::Never] {
        for config in all_ways(sync) {
            let library = Library::open(config);
            (0..4).for_each(|key| assert!(library.set(key, 1).is_ok()));
            let mut seen = vec![];
            let switch = |shard, book: &mut Book| seen.push((shard, book.values.len()));
            let cut = library.keep.cut(&call(), switch);
            assert_eq!(cut.map(|cut| cut.attempts), Ok(1));
            assert_eq!(seen, [(0, 1), (1, 1), (2, 1), (3, 1)]);
            (0..4).for_each(|key| assert!(library.set(key, 2).is_ok()));
            assert_eq!(cuts_seen(&library), [4]);
            library.end();
        }
    }
}

#[test]
fn a_duty_after_a_cut_finds_it_synced_though_nothing_else_was_written() {
    for sync in [SyncMode::Always, SyncMode::Never] {
        for config in all_ways(sync) {
            let library = Library::open(config);
            assert_eq!(cut(&library, &call()), Ok(1));
            let paper = library.paper.clone();
            let seen = library.keep.on_journal(&call(), move |_| {
                (
                    paper.cuts(),
                    paper.calls(Step::Write),
                    paper.calls(Step::Sync),
                )
            });
            assert_eq!(seen, Ok((vec![0], 1, 1)));
            library.end();
        }
    }
}

#[test]
fn a_cut_gives_back_what_it_has_when_one_shard_stays_away_and_tries_again() {
    let library = always();
    let held = library.hold(2);
    std::thread::scope(|scope| {
        let cutting = scope.spawn(|| library.keep.cut(&call(), |_, _| ()));
        until_asked(&library, 1);
        // One who wants a shard that the cut has in hand gets it: the shard comes back.
        assert!(library.set(1, 1).is_ok());
        until_asked(&library, 2);
        drop(held);
        let cut = cutting.join().expect("a cut").expect("all shards");
        assert!(cut.attempts >= 2, "{cut:?}");
        let stats = library.keep.log_stats().expect("a log");
        assert_eq!((stats.cuts, stats.cut_attempts), (1, cut.attempts.into()));
        assert_eq!(stats.cut_attempts_max, stats.cut_attempts);
        assert_eq!(stats.cut_held.as_micros(), cut.held.as_micros());
        assert!(stats.cut_held_max == stats.cut_held);
    });
    assert_eq!(cuts_seen(&library), [1]);
    library.end();
}

#[test]
fn a_cut_ends_with_its_call_and_leaves_nothing_behind() {
    let library = always();
    let held = library.hold(2);
    let switch = |_, _: &mut Book| unreachable!("one shard is away");
    let late = library
        .keep
        .cut(&short(), switch)
        .expect_err("it waits in vain");
    let names_it = |error: &Error| matches!(error, Error::Refused(Refused::DeadlinePassed { shard, .. }) if *shard == 2);
    assert!(names_it(&late), "{late:?}");
    let token = CancelToken::new();
    let revoked = Call {
        cancel: Some(token.clone()),
        ..call()
    };
    std::thread::scope(|scope| {
        let cutting = scope.spawn(|| library.keep.cut(&revoked, switch));
        until_asked(&library, 3);
        token.cancel();
        let cancelled = cutting.join().expect("a cut");
        assert_eq!(cancelled, Err(Error::Refused(Refused::Cancelled)));
    });
    assert_eq!(library.places_taken(), 0);
    drop(held);
    assert_eq!(cuts_seen(&library), [0; 0]);
    library.end();
}

/// It waits for its place with no shard in hand.
#[test]
fn a_full_queue_delays_a_cut_and_no_shard() {
    let library = always();
    let all = library.keep.try_reserve(LOG_PLACES, None).expect("places");
    std::thread::scope(|scope| {
        let cutting = scope.spawn(|| cut(&library, &call()));
        let refused = cut(&library, &short());
        assert!(matches!(
            refused,
            Err(Error::Refused(Refused::LogFull { .. }))
        ));
        let shards: Vec<_> = (0..SHARDS).collect();
        drop(library.keep.try_acquire(&shards).expect("all are there"));
        drop(all);
        assert_eq!(cutting.join().expect("a cut"), Ok(1));
    });
    library.end();
}

#[test]
fn a_lost_shard_refuses_a_cut_until_it_is_back() {
    let library = always();
    assert_eq!(library.set_synced(1, 1), Ok(()));
    // Its maker waits for the journal.
    let held = library.paper.hold(Step::Sync);
    library.set(0, 1).expect("a write");
    held.wait();
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let mut loans = library.hold(1);
        loans.change(|_| panic!("on purpose"));
    }));
    assert!(broken.is_err());
    assert_eq!(lost_shards(&library, 1), [1]);
    let refused = cut(&library, &call());
    assert_eq!(
        refused,
        Err(Error::Refused(Refused::ShardLost { shard: 1 }))
    );
    drop(held);
    while let Err(refused) = cut(&library, &call()) {
        assert_eq!(refused, Error::Refused(Refused::ShardLost { shard: 1 }));
        std::thread::yield_now();
    }
    assert_eq!(cuts_seen(&library), [2]);
    library.end();
}

#[test]
fn a_panic_in_a_switch_loses_every_shard_and_nothing_is_queued() {
    let library = always();
    (0..4).for_each(|key| assert_eq!(library.set_synced(key, 1), Ok(())));
    let broken = catch_unwind(AssertUnwindSafe(|| {
        library
            .keep
            .cut(&call(), |shard, _| assert!(shard < 2, "on purpose"))
    }));
    assert!(broken.is_err());
    assert_eq!(lost_shards(&library, 4), [0, 1, 2, 3]);
    assert_eq!(library.places_taken(), 0);
    while cut(&library, &call()).is_err() {
        std::thread::yield_now();
    }
    assert_eq!(cuts_seen(&library), [4]);
    library.end();
}

#[test]
fn a_cut_has_its_place_where_there_is_no_space_and_none_where_the_log_has_failed() {
    let library = always();
    library.paper.usual(Step::Write, Fate::NoSpace);
    library.set(1, 1).expect("a write");
    assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
    assert_eq!(cut(&library, &call()), Ok(1));
    assert_eq!(cuts_seen(&library), [1]);
    let failed: Result<(), _> = library.keep.on_journal(&call(), |_| panic!("on purpose"));
    assert_eq!(failed, Err(Error::Lost(Lost::LogFailed)));
    assert_eq!(
        cut(&library, &call()),
        Err(Error::Refused(Refused::LogFailed))
    );
}

#[test]
fn a_closed_keep_refuses_a_cut() {
    let library = always();
    library.end();
    let refused = cut(&library, &call());
    assert_eq!(refused, Err(Error::Refused(Refused::Closed)));
}
