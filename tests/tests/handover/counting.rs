//! What a shard counts.

use std::time::Duration;

use shardkeep_core::{Borrowed, Config, Handover, Outcome, limits};

use crate::pot::{add, call, config, hear, hold, open};

#[test]
fn a_shard_counts_who_borrowed_and_who_mailed_and_who_served() {
    let keep = open(config(Handover::Lend));
    for _ in 0..3 {
        assert!(matches!(keep.borrow(0), Borrowed::Loan(_)));
    }
    assert_eq!(keep.shard_stats(0).borrowed, 3);
    let holder = hold(&keep, 0);
    let works = limits::SERVICE_WORKS_MAX + 1;
    let outcomes: Vec<_> = (0..works)
        .map(|_| {
            let (work, outcome) = add(1);
            assert!(keep.post(0, work, &call()).is_ok());
            outcome
        })
        .collect();
    assert_eq!(keep.shard_stats(0).depth, works);
    drop(holder);
    for outcome in &outcomes {
        assert_eq!(hear(outcome), Outcome::Done);
    }
    let stats = keep.shard_stats(0);
    let works = works as u64;
    assert_eq!((stats.depth, stats.depth_max), (0, works));
    assert_eq!((stats.mailed, stats.served_for_others), (works, works));
    assert_eq!(
        stats.handed_to_owner, 1,
        "one more than a caller serves for others"
    );
    assert!(stats.waited_max <= stats.waited && stats.waited_max > Duration::ZERO);
    assert_eq!(
        keep.shard_stats(1).borrowed,
        0,
        "the others saw nothing of it"
    );
}

#[test]
fn a_shard_counts_what_was_lent_by_mail() {
    let keep = open(config(Handover::Lend));
    let holder = hold(&keep, 0);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| keep.acquire(&[0], call()).is_ok());
        // It asks by mail, and then waits.
        while keep.depth(0) == 0 {
            std::thread::yield_now();
        }
        drop(holder);
        assert!(waits.join().expect("a caller"));
    });
    let stats = keep.shard_stats(0);
    assert_eq!(
        (stats.lent_by_mail, stats.mailed),
        (1, 0),
        "a request is not a work"
    );
}

#[test]
fn writes_that_wait_together_are_applied_together() {
    let keep = open(Config {
        write_window: Duration::from_secs(10),
        ..config(Handover::Mail)
    });
    let holder = hold(&keep, 0);
    let outcomes: Vec<_> = (0..50)
        .map(|_| {
            let (work, outcome) = add(1);
            assert!(keep.post(0, work, &call()).is_ok());
            outcome
        })
        .collect();
    drop(holder);
    for outcome in &outcomes {
        assert_eq!(
            hear(outcome),
            Outcome::Done,
            "due at once when no other writer is about"
        );
    }
    let stats = keep.shard_stats(0);
    assert_eq!(
        (stats.batches, stats.batch_writes, stats.batch_writes_max),
        (1, 50, 50)
    );
}
