//! Close, and what is left of a keep after it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use shardkeep_core::{
    Borrowed, Config, Deadline, Error, Handover, Keep, Outcome, Overload, Refused,
};

use crate::pot::{BOTH, Pot, Several, add, call, config, hear, hold, job, later, open};

#[test]
fn a_close_finishes_what_was_admitted_and_reports() {
    for handover in BOTH {
        let keep = open(config(handover));
        let mut outcomes = vec![];
        std::thread::scope(|scope| {
            let holder = hold(&keep, 0);
            for _ in 0..100 {
                let (work, outcome) = add(1);
                assert!(keep.post(0, work, &call()).is_ok());
                outcomes.push(outcome);
            }
            let sent = Several::new(&[0, 3], |loans| loans.state(3).sum += 1);
            let ticket = Arc::clone(&sent.ticket);
            assert!(keep.send_transaction(sent, None).is_ok());
            let closing = scope.spawn(|| keep.close(later()));
            drop(holder);
            let report = closing.join().expect("a close");
            assert!(report.is_clean(), "{report:?}");
            assert_eq!((report.mailed, report.refused, report.lost), (100, 0, 0));
            assert_eq!(ticket.take(), Some(Ok(())), "the transaction was admitted");
        });
        for outcome in outcomes {
            assert_eq!(outcome.try_recv(), Ok(Outcome::Done), "{handover:?}");
        }
    }
}

#[test]
fn who_still_has_a_handle_after_the_close_is_refused() {
    for handover in BOTH {
        let keep = Arc::new(open(config(handover)));
        let survivor = Arc::clone(&keep);
        assert!(keep.close(later()).is_clean());
        drop(keep);
        assert!(matches!(survivor.borrow(0), Borrowed::Closed));
        let (work, _outcome) = add(1);
        let back = survivor.post(0, work, &call());
        assert!(
            matches!(back, Err((_, Refused::Closed))),
            "with the work itself"
        );
        let (work, _outcome) = add(1);
        assert!(matches!(
            survivor.post_reserved(0, work, None),
            Err((_, Refused::Closed))
        ));
        let closed = Some(Error::Refused(Refused::Closed));
        assert_eq!(survivor.acquire(&[0, 1], call()).err(), closed);
        assert_eq!(survivor.try_acquire(&[0]).err(), Some(Refused::Closed));
        let sent = survivor.send_transaction(Several::new(&[0], |_| {}), None);
        assert!(matches!(sent, Err((_, Refused::Closed))));
        let again = survivor.close(later());
        assert!(again.is_clean());
        assert_eq!(again.drained, 0);
        assert_eq!(
            survivor
                .stats()
                .iter()
                .map(|shard| shard.refused.closing)
                .sum::<u64>(),
            2
        );
    }
}

#[test]
fn a_shard_that_stays_away_is_reported_and_closed_when_it_comes_back() {
    for handover in BOTH {
        let keep = open(config(handover));
        let holder = hold(&keep, 2);
        let (work, outcome) = add(1);
        assert!(keep.post(2, work, &call()).is_ok());
        let report = keep.close(Deadline::after(Duration::from_millis(10)));
        assert_eq!(
            (report.shards_away, report.owners_left),
            (1, 0),
            "{handover:?}"
        );
        assert!(!report.is_clean());
        assert!(outcome.try_recv().is_err(), "it waits for the holder");
        drop(holder);
        assert_eq!(hear(&outcome), Outcome::Refused(Refused::Closed));
        assert!(matches!(keep.borrow(2), Borrowed::Closed));
        assert!(keep.close(later()).is_clean());
    }
}

#[test]
fn a_shard_that_is_lost_after_the_close_still_refuses_its_mail() {
    let keep = open(config(Handover::Lend));
    let mut holder = hold(&keep, 2);
    let (work, outcome) = add(1);
    assert!(keep.post(2, work, &call()).is_ok());
    assert!(
        !keep
            .close(Deadline::after(Duration::from_millis(10)))
            .is_clean()
    );
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        holder.change(|_| panic!("on purpose"));
    }));
    assert!(panicked.is_err());
    drop(holder);
    assert_eq!(
        hear(&outcome),
        Outcome::Refused(Refused::ShardLost { shard: 2 })
    );
    assert!(matches!(keep.borrow(2), Borrowed::Closed));
}

#[test]
fn a_close_waits_for_a_place_where_callers_are_rejected() {
    let keep = open(Config {
        mailbox_works: 1,
        overload: Overload::Reject,
        ..config(Handover::Lend)
    });
    let holder = hold(&keep, 0);
    let (work, outcome) = add(1);
    assert!(keep.post(0, work, &call()).is_ok());
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| keep.close(later()));
        drop(holder);
        let report = closing.join().expect("a close");
        assert!(report.is_clean(), "{report:?}");
    });
    assert_eq!(hear(&outcome), Outcome::Done);
}

#[test]
fn a_keep_that_is_dropped_finishes_its_mail_and_drops_its_maps() {
    for handover in BOTH {
        let (alive, dropped) = bounded::<()>(0);
        let make = move |_| Pot {
            sum: 0,
            _alive: Some(alive.clone()),
        };
        let keep = Keep::open(config(handover), make, |_| {}).expect("a keep");
        let (work, outcome) = add(1);
        assert!(keep.post(0, work, &call()).is_ok());
        drop(keep);
        assert_eq!(outcome.try_recv(), Ok(Outcome::Done), "{handover:?}");
        let gone = dropped.recv_deadline(later().instant());
        assert_eq!(
            gone,
            Err(RecvTimeoutError::Disconnected),
            "every map is dropped"
        );
    }
}

#[test]
fn a_keep_whose_last_handle_goes_down_on_an_owner_thread_ends_too() {
    let (alive, dropped) = bounded::<()>(0);
    let make = move |_| Pot {
        sum: 0,
        _alive: Some(alive.clone()),
    };
    let keep = Keep::open(config(Handover::Mail), make, |_| {}).expect("a keep");
    let keep = Arc::new(keep);
    let (go, wait) = bounded::<()>(0);
    let (mut work, outcome) = job(move |pot| {
        pot.sum = 1;
        assert_eq!(
            wait.recv_deadline(later().instant()),
            Err(RecvTimeoutError::Disconnected)
        );
    });
    work.cargo = Some(Box::new(Arc::clone(&keep)));
    let (behind, behind_outcome) = add(1);
    assert!(keep.post(0, work, &call()).is_ok());
    assert!(keep.post(0, behind, &call()).is_ok());
    drop(keep);
    // Now the work's own handle is the last.
    drop(go);
    assert_eq!(hear(&outcome), Outcome::Done);
    assert!(matches!(
        hear(&behind_outcome),
        Outcome::Done | Outcome::Refused(Refused::Closed)
    ));
    let gone = dropped.recv_deadline(later().instant());
    assert_eq!(
        gone,
        Err(RecvTimeoutError::Disconnected),
        "every map is dropped"
    );
}
