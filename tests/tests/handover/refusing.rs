//! Deadlines, cancel tokens, full mailboxes: what is refused was certainly not done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use shardkeep_core::{
    Call, CancelToken, Config, Deadline, Error, Handover, Outcome, Overload, Refused, Ticket,
};

use crate::pot::{BOTH, Several, add, call, config, hear, hold, job, open, sum, wait_out};

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(1))
}

#[test]
fn expired_mail_is_refused_without_being_run() {
    for handover in BOTH {
        let keep = open(config(handover));
        let holder = hold(&keep, 2);
        let (mut expires, outcome) = add(1);
        let deadline = soon();
        expires.deadline = deadline;
        assert!(keep.post(2, expires, &call()).is_ok());
        wait_out(deadline);
        drop(holder);
        assert!(
            matches!(
                hear(&outcome),
                Outcome::Refused(Refused::DeadlinePassed { shard: 2, .. })
            ),
            "{handover:?}"
        );
        assert_eq!(sum(&keep, 2), 0);
        assert_eq!(keep.shard_stats(2).refused.deadline, 1);
    }
}

#[test]
fn mail_that_expires_behind_a_slow_work_is_refused() {
    for handover in BOTH {
        let keep = open(config(handover));
        let holder = hold(&keep, 0);
        let deadline = Deadline::after(Duration::from_millis(20));
        let (slow, slow_outcome) = job(move |_| wait_out(deadline));
        let (mut expires, outcome) = add(1);
        expires.deadline = deadline;
        assert!(keep.post(0, slow, &call()).is_ok());
        assert!(keep.post(0, expires, &call()).is_ok());
        drop(holder);
        assert_eq!(hear(&slow_outcome), Outcome::Done);
        assert!(matches!(
            hear(&outcome),
            Outcome::Refused(Refused::DeadlinePassed { shard: 0, .. })
        ));
        assert_eq!(sum(&keep, 0), 0);
    }
}

#[test]
fn who_waits_for_a_stuck_shard_is_refused_by_his_deadline_and_leaves_nothing_behind() {
    for handover in BOTH {
        let keep = open(config(handover));
        let holder = hold(&keep, 3);
        let refused = keep.acquire(&[1, 3], Call::by(soon())).err();
        assert!(matches!(
            refused,
            Some(Error::Refused(Refused::DeadlinePassed { shard: 3, .. }))
        ));
        let mut sent = Several::new(&[1, 3], |_| {});
        sent.deadline = soon();
        let ticket = Arc::clone(&sent.ticket);
        assert!(keep.send_transaction(sent, None).is_ok());
        assert!(matches!(
            ticket.wait(&call(), || 0),
            Err(Error::Refused(Refused::DeadlinePassed { .. }))
        ));
        assert_eq!(sum(&keep, 1), 0, "shard 1 came back");
        drop(holder);
        assert_eq!(sum(&keep, 3), 0, "and so did shard 3");
    }
}

#[test]
fn a_cancel_token_revokes_what_has_not_begun() {
    let keep = open(config(Handover::Lend));
    let holder = hold(&keep, 0);
    let token = CancelToken::new();
    let revocable = Call {
        cancel: Some(token.clone()),
        ..call()
    };
    let ticket = Ticket::<()>::new(0);
    let (mut work, outcome) = add(1);
    let claimed = Arc::clone(&ticket);
    work.begin = Box::new(move || claimed.begin());
    assert!(keep.post(0, work, &revocable).is_ok());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| ticket.wait(&revocable, || 0));
        let acquires = scope.spawn(|| keep.acquire(&[0], revocable.clone()).err());
        token.cancel();
        assert_eq!(
            waits.join().expect("a caller"),
            Err(Refused::Cancelled.into())
        );
        assert_eq!(
            acquires.join().expect("a caller"),
            Some(Refused::Cancelled.into())
        );
    });
    drop(holder);
    assert_eq!(hear(&outcome), Outcome::Refused(Refused::Cancelled));
    assert_eq!(sum(&keep, 0), 0);
    assert_eq!(keep.shard_stats(0).refused.cancelled, 1);
}

fn full(overload: Overload) -> Config {
    Config {
        mailbox_works: 1,
        reserved_places: 1,
        overload,
        ..config(Handover::Lend)
    }
}

#[test]
fn a_full_mailbox_rejects_at_once_and_gives_the_work_back() {
    let keep = open(full(Overload::Reject));
    let holder = hold(&keep, 0);
    let (work, first) = add(1);
    assert!(keep.post(0, work, &call()).is_ok());
    let (mut work, _) = add(1);
    work.is_write = false;
    let Err((work, why)) = keep.post(0, work, &call()) else {
        panic!("a full mailbox took a work");
    };
    assert_eq!(why, Refused::MailboxFull { shard: 0, depth: 1 });
    assert!(!work.is_write, "the very work");
    assert_eq!(keep.depth(0), 1);
    let (work, reserved) = add(1);
    assert!(
        keep.post_reserved(0, work, None).is_ok(),
        "a place is kept for those who never wait"
    );
    drop(holder);
    assert_eq!(
        (hear(&first), hear(&reserved)),
        (Outcome::Done, Outcome::Done)
    );
    assert_eq!(keep.shard_stats(0).refused.mailbox_full, 1);
}

#[test]
fn a_full_mailbox_blocks_until_there_is_a_place_or_the_call_ends() {
    let keep = open(full(Overload::Block));
    let holder = hold(&keep, 0);
    let (work, first) = add(1);
    assert!(keep.post(0, work, &call()).is_ok());
    let (work, _) = add(1);
    let refused = keep
        .post(0, work, &Call::by(soon()))
        .err()
        .map(|(_, why)| why);
    assert_eq!(
        refused,
        Some(Refused::DeadlinePassed { shard: 0, depth: 1 })
    );
    let token = CancelToken::new();
    let revocable = Call {
        cancel: Some(token.clone()),
        ..call()
    };
    std::thread::scope(|scope| {
        let (work, _) = add(1);
        let keep = &keep;
        let cancelled = scope.spawn(move || keep.post(0, work, &revocable).err());
        token.cancel();
        let why = cancelled.join().expect("a caller").map(|(_, why)| why);
        assert_eq!(why, Some(Refused::Cancelled));
        let (work, second) = add(1);
        let blocked = scope.spawn(move || keep.post(0, work, &call()).is_ok());
        drop(holder);
        assert!(blocked.join().expect("a caller"));
        assert_eq!(
            (hear(&first), hear(&second)),
            (Outcome::Done, Outcome::Done)
        );
    });
    assert_eq!(sum(&keep, 0), 2);
}

/// Each of them would have been one more frame of the stack of whoever returns the shard.
#[test]
fn a_long_row_of_requesters_that_gave_up_is_passed_over() {
    let many = 100_000;
    let keep = open(Config {
        mailbox_works: many + 1,
        ..config(Handover::Lend)
    });
    let mut holder = hold(&keep, 0);
    let token = CancelToken::new();
    token.cancel();
    for _ in 0..many {
        let revoked = Call {
            cancel: Some(token.clone()),
            ..call()
        };
        assert!(keep.acquire(&[0], revoked).is_err());
    }
    let (work, outcome) = add(1);
    assert!(keep.post(0, work, &call()).is_ok());
    holder.shard(0).change(|pot| pot.sum = 10);
    drop(holder);
    assert_eq!(hear(&outcome), Outcome::Done);
    assert_eq!(sum(&keep, 0), 11);
}

#[test]
#[should_panic(expected = "no such shard")]
fn a_transaction_on_a_shard_that_does_not_exist_fails_its_sender_not_the_owner() {
    let keep = open(config(Handover::Lend));
    drop(keep.send_transaction(Several::new(&[0, 4], |_| {}), None));
}

#[test]
fn what_never_waits_is_refused_while_a_shard_is_away() {
    let keep = open(config(Handover::Lend));
    let holder = hold(&keep, 1);
    let busy = keep.try_acquire(&[0, 1]).err();
    assert_eq!(busy, Some(Refused::Busy { shard: 1 }));
    assert!(matches!(keep.borrow(1), shardkeep_core::Borrowed::Away));
    drop(holder);
    assert!(keep.try_acquire(&[0, 1]).is_ok());
    assert_eq!(keep.shard_stats(1).refused.busy, 1);
}

#[test]
fn one_callers_works_take_effect_in_his_order() {
    for handover in BOTH {
        let keep = open(Config {
            write_window: Duration::from_millis(1),
            ..config(handover)
        });
        let holder = hold(&keep, 0);
        let saw_it = Arc::new(AtomicBool::new(false));
        let (write, _written) = add(1);
        let saw = Arc::clone(&saw_it);
        let (mut read, outcome) = job(move |pot| saw.store(pot.sum == 1, SeqCst));
        read.is_write = false;
        assert!(keep.post(0, write, &call()).is_ok());
        assert!(keep.post(0, read, &call()).is_ok());
        drop(holder);
        assert_eq!(hear(&outcome), Outcome::Done);
        assert!(
            saw_it.load(SeqCst),
            "{handover:?}: a read passed the write before it"
        );
    }
}
