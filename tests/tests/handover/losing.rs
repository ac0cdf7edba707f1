//! Panics: the shards held are lost, and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crossbeam_channel::bounded;
use shardkeep_core::{Error, Event, Keep, Lost, Outcome, Refused};

use crate::pot::{BOTH, Pot, Several, add, call, config, hear, hold, job, later, open, sum};
use crate::visiting::Visitor;

/// A keep whose events are told.
fn told(handover: shardkeep_core::Handover) -> (Keep<Pot>, crossbeam_channel::Receiver<Event>) {
    let (sender, events) = bounded(16);
    let tell = move |event| sender.try_send(event).expect("room for an event");
    let keep = Keep::open(config(handover), |_| Pot::default(), tell).expect("a keep");
    (keep, events)
}

fn is_lost(event: &Event, expected: usize) -> bool {
    matches!(event, Event::ShardLost { shard } if *shard == expected)
}

#[test]
fn a_work_that_panics_loses_its_shard_and_no_other() {
    for handover in BOTH {
        let (keep, events) = told(handover);
        for shard in 0..4 {
            let (work, outcome) = add(7);
            assert!(keep.post(shard, work, &call()).is_ok());
            assert_eq!(hear(&outcome), Outcome::Done);
        }
        let holder = hold(&keep, 1);
        let (first, first_outcome) = add(1);
        let (panics, panics_outcome) = job(|pot| {
            pot.sum += 1;
            panic!("on purpose");
        });
        let (behind, behind_outcome) = add(1);
        for work in [first, panics, behind] {
            assert!(keep.post(1, work, &call()).is_ok());
        }
        drop(holder);
        assert_eq!(hear(&first_outcome), Outcome::Done);
        let lost = Outcome::Lost(Lost::ShardLost { shard: 1 });
        assert_eq!(hear(&panics_outcome), lost, "the work under way");
        let refused = Outcome::Refused(Refused::ShardLost { shard: 1 });
        assert_eq!(hear(&behind_outcome), refused, "mail that had not begun");
        assert!(is_lost(&hear(&events), 1));
        let sums: Vec<_> = (0..4).map(|shard| sum(&keep, shard)).collect();
        assert_eq!(
            sums,
            [7, 0, 7, 7],
            "{handover:?}: empty again, the others untouched"
        );
        let stats = keep.shard_stats(1);
        assert_eq!(
            (stats.times_lost, stats.works_lost, stats.refused.shard_lost),
            (1, 1, 1)
        );
        let (work, outcome) = add(3);
        assert!(keep.post(1, work, &call()).is_ok());
        assert_eq!(
            (hear(&outcome), sum(&keep, 1)),
            (Outcome::Done, 3),
            "it serves again"
        );
        assert!(keep.close(later()).is_clean());
    }
}

#[test]
fn a_panic_in_a_look_harms_nobody_and_one_in_a_change_loses_the_shard() {
    let (keep, events) = told(shardkeep_core::Handover::Lend);
    hold(&keep, 0).shard(0).change(|pot| pot.sum = 5);
    let looked = catch_unwind(AssertUnwindSafe(|| {
        hold(&keep, 0).shard(0).look(|_| panic!("on purpose"))
    }));
    assert!(looked.is_err());
    assert_eq!(sum(&keep, 0), 5);
    let changed = catch_unwind(AssertUnwindSafe(|| {
        hold(&keep, 0).shard(0).change(|pot| {
            pot.sum = 6;
            panic!("on purpose");
        })
    }));
    assert!(changed.is_err());
    assert!(is_lost(&hear(&events), 0));
    assert_eq!(sum(&keep, 0), 0);
}

#[test]
fn who_catches_his_panic_cannot_bring_the_half_changed_map_back() {
    let (keep, events) = told(shardkeep_core::Handover::Lend);
    let mut loans = hold(&keep, 0);
    let changed = catch_unwind(AssertUnwindSafe(|| {
        loans.shard(0).change(|pot| {
            pot.sum = 1;
            panic!("on purpose");
        })
    }));
    assert!(changed.is_err());
    loans.shard(0).change(|pot| pot.sum += 1);
    loans.change(|loans| loans.state(0).sum += 1);
    drop(loans);
    assert!(is_lost(&hear(&events), 0));
    assert_eq!(sum(&keep, 0), 0);
}

#[test]
fn nor_can_who_borrows_in_passing() {
    let (keep, events) = told(shardkeep_core::Handover::Lend);
    let mut visit = Visitor::new(vec![0], |_, loan| {
        let changed = catch_unwind(AssertUnwindSafe(|| {
            loan.change(|pot| {
                pot.sum = 1;
                panic!("on purpose");
            })
        }));
        assert!(changed.is_err());
    });
    keep.visit_idle(0..1, &mut visit);
    assert_eq!(visit.ran, [0]);
    assert!(is_lost(&hear(&events), 0));
    assert_eq!(sum(&keep, 0), 0);
}

#[test]
fn a_change_within_a_change_does_not_end_the_outer_one() {
    let (keep, events) = told(shardkeep_core::Handover::Lend);
    let mut loans = keep.acquire(&[0, 1], call()).expect("two shards");
    let changed = catch_unwind(AssertUnwindSafe(|| {
        loans.change(|loans| {
            loans.shard(0).change(|pot| pot.sum = 1);
            panic!("on purpose");
        })
    }));
    assert!(changed.is_err());
    drop(loans);
    for _ in 0..2 {
        assert!(matches!(hear(&events), Event::ShardLost { shard: 0 | 1 }));
    }
    assert_eq!((sum(&keep, 0), sum(&keep, 1)), (0, 0));
}

#[test]
fn a_transaction_that_panics_loses_all_its_shards() {
    for handover in BOTH {
        let (keep, events) = told(handover);
        let panics = Several::new(&[1, 2], |loans| {
            loans.state(1).sum = 1;
            panic!("on purpose");
        });
        let ticket = std::sync::Arc::clone(&panics.ticket);
        assert!(keep.send_transaction(panics, None).is_ok());
        let lost = Error::Lost(Lost::ShardLost { shard: 1 });
        assert_eq!(ticket.wait(&call(), || 0), Err(lost));
        let mut shards = [hear(&events), hear(&events)].map(|event| match event {
            Event::ShardLost { shard } => shard,
            other => panic!("{other:?}"),
        });
        shards.sort_unstable();
        assert_eq!(shards, [1, 2]);
        assert_eq!((sum(&keep, 1), sum(&keep, 2)), (0, 0));
    }
}

#[test]
fn a_work_that_panics_when_asked_to_begin_is_refused_and_its_server_lives() {
    for handover in BOTH {
        let keep = open(config(handover));
        let holder = hold(&keep, 0);
        let (mut rude, rude_outcome) = add(1);
        rude.begin = Box::new(|| panic!("on purpose"));
        let (work, outcome) = add(2);
        assert!(keep.post(0, rude, &call()).is_ok());
        assert!(keep.post(0, work, &call()).is_ok());
        drop(holder);
        assert_eq!(hear(&rude_outcome), Outcome::Refused(Refused::Cancelled));
        assert_eq!(hear(&outcome), Outcome::Done);
        assert_eq!(sum(&keep, 0), 2);
    }
}

#[test]
fn a_map_that_cannot_be_made_again_at_once_is_made_later_and_its_mail_is_refused_meanwhile() {
    let (sender, events) = bounded(64);
    let made = AtomicUsize::new(0);
    let make = move |_| {
        // Four at the opening; the next attempt fails.
        assert!(made.fetch_add(1, SeqCst) != 4, "on purpose");
        Pot::default()
    };
    let tell = move |event| sender.try_send(event).expect("room for an event");
    let keep = Keep::open(config(shardkeep_core::Handover::Lend), make, tell).expect("a keep");
    let (panics, outcome) = job(|_| panic!("on purpose"));
    assert!(keep.post(0, panics, &call()).is_ok());
    assert_eq!(hear(&outcome), Outcome::Lost(Lost::ShardLost { shard: 0 }));
    assert!(is_lost(&hear(&events), 0));
    assert!(matches!(
        hear(&events),
        Event::RebuildFailed { shard: 0, .. }
    ));
    loop {
        let (work, outcome) = add(1);
        assert!(keep.post(0, work, &call()).is_ok());
        match hear(&outcome) {
            Outcome::Done => break,
            other => assert_eq!(other, Outcome::Refused(Refused::ShardLost { shard: 0 })),
        }
    }
    assert!(keep.close(later()).is_clean());
}
