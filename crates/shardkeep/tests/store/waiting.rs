//! What happens while a shard is in other hands.

use std::time::Duration;

use shardkeep::{CancelToken, Error, Handover, Overload, Refused, Reply, TransactionError, Update};

use crate::{hold, small, spawn};

#[test]
fn what_finds_its_shard_away_is_mailed_and_served_when_it_comes_back() {
    let held = hold(small(Handover::Lend));
    let store = held.store.clone();
    let before: u64 = store.stats().iter().map(|shard| shard.mailed).sum();
    let calls = spawn(move || {
        assert_eq!(store.insert(1, 1).unwrap(), None);
        let mut pipeline = store.pipeline();
        let replies = pipeline.get(1).insert(1, 2).remove(1).contains(1).run();
        assert_eq!(
            replies,
            [
                Reply::Value(Some(1)),
                Reply::Value(Some(1)),
                Reply::Value(Some(2)),
                Reply::Flag(false)
            ]
        );
    });
    while held.store.stats()[0].mailed == before {
        std::thread::yield_now();
    }
    held.release();
    calls.join().unwrap();
}

#[test]
fn try_calls_never_wait_for_a_shard_in_other_hands() {
    let held = hold(small(Handover::Lend));
    let store = &held.store;
    let busy = Refused::Busy { shard: 0 };
    assert_eq!(store.try_get(&1), Err(busy.clone()));
    assert_eq!(store.try_contains(&1), Err(busy.clone()));
    assert_eq!(store.try_insert(1, 1), Err(busy.clone().into()));
    assert_eq!(store.try_remove(&1), Err(busy.clone().into()));
    assert_eq!(store.try_read(&1, |_| ()), Err(busy.clone()));
    assert_eq!(
        store.try_update(&1, |_| Update::Keep),
        Err(busy.clone().into())
    );
    let transaction = store.try_transaction([1], |_| Ok::<_, ()>(()));
    assert_eq!(transaction, Err(TransactionError::Store(busy.into())));
    held.release();
}

#[test]
fn a_call_whose_deadline_passes_before_it_begins_is_refused_and_never_applied() {
    let held = hold(small(Handover::Lend));
    let hasty = held.store.with_deadline(Duration::from_millis(1));
    let is_refused = |error: Error| {
        assert!(
            matches!(
                error,
                Error::Refused(Refused::DeadlinePassed { shard: 0, .. })
            ),
            "{error}"
        );
    };
    is_refused(hasty.insert(1, 1).unwrap_err());
    is_refused(hasty.get(&1).unwrap_err());
    is_refused(hasty.update(&1, |_| Update::Put(1)).unwrap_err());
    is_refused(hasty.clear().unwrap_err());
    is_refused(hasty.len().unwrap_err());
    for result in hasty.insert_many([(1, 1), (2, 2)]) {
        is_refused(result.unwrap_err());
    }
    let store = held.store.clone();
    held.release();
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn a_cancelled_token_ends_a_waiting_call() {
    let held = hold(small(Handover::Lend));
    let token = CancelToken::new();
    let revocable = held.store.with_cancel(token.clone());
    let waiting = spawn(move || {
        assert_eq!(revocable.insert(1, 1), Err(Refused::Cancelled.into()));
        assert_eq!(revocable.get(&0), Err(Refused::Cancelled.into()));
    });
    while held.store.stats()[0].depth == 0 {
        std::thread::yield_now();
    }
    token.cancel();
    waiting.join().unwrap();
    let store = held.store.clone();
    held.release();
    assert_eq!(store.get(&1).unwrap(), None);
}

#[test]
fn a_full_mailbox_rejects_where_it_was_asked_to() {
    let held = hold(
        small(Handover::Lend)
            .mailbox_works(1)
            .overload(Overload::Reject),
    );
    let first = held.store.clone();
    let waiting = spawn(move || assert_eq!(first.get(&0).unwrap(), Some(0)));
    while held.store.stats()[0].depth == 0 {
        std::thread::yield_now();
    }
    let full = Refused::MailboxFull { shard: 0, depth: 1 };
    assert_eq!(held.store.get(&0), Err(full.into()));
    held.release();
    waiting.join().unwrap();
}
