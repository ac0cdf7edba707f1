//! Closures with a shard in hand: read, update, transactions.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use shardkeep::{Error, Handover, KeyNotNamed, Refused, Reply, TransactionError, Update};

use crate::{BOTH, small};

#[test]
fn calling_a_store_from_inside_of_a_closure_is_refused_and_not_a_deadlock() {
    for handover in BOTH {
        let store = small(handover).open().unwrap();
        let other = small(handover).open().unwrap();
        store.insert(1, 1).unwrap();
        let refused = Err(Error::Refused(Refused::Reentrant));
        let check = || {
            assert_eq!(store.get(&1), refused);
            assert_eq!(other.insert(1, 1), refused);
            assert_eq!(store.try_get(&2), Err(Refused::Reentrant));
            assert!(store.clear().is_err());
            assert_eq!(store.update(&1, |_| Update::Keep), refused);
            let mut pipeline = other.pipeline();
            assert_eq!(
                pipeline.get(1).run(),
                [Reply::Failed(Refused::Reentrant.into())]
            );
        };
        store.read(&1, |_| check()).unwrap();
        store
            .update(&1, |_| {
                check();
                Update::Keep
            })
            .unwrap();
        store
            .transaction([1], |_| {
                check();
                Ok::<_, ()>(())
            })
            .unwrap();
        assert_eq!(store.get(&1).unwrap(), Some(1), "afterwards all is well");
    }
}

#[test]
fn a_closure_that_panics_harms_nobody_but_its_caller() {
    for handover in BOTH {
        let store = small(handover).open().unwrap();
        store.insert(1, 1).unwrap();
        let panics: [&dyn Fn(); 3] = [
            &|| drop(store.read(&1, |_| panic!("read"))),
            &|| drop(store.update(&1, |_| panic!("update"))),
            &|| {
                drop(store.transaction([1, 2], |tx| -> Result<(), ()> {
                    tx.insert(&1, 9).unwrap();
                    panic!("transaction")
                }));
            },
        ];
        for run in panics {
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
            assert_eq!(store.get(&1).unwrap(), Some(1));
        }
        assert!(store.stats().iter().all(|shard| shard.times_lost == 0));
    }
}

/// The owner may be looking for mail just now.
fn until_free<R>(
    attempt: impl Fn() -> Result<R, TransactionError<()>>,
) -> Result<R, TransactionError<()>> {
    loop {
        match attempt() {
            Err(TransactionError::Store(Error::Refused(Refused::Busy { .. }))) => {
                std::thread::yield_now();
            }
            result => return result,
        }
    }
}

#[test]
fn update_puts_keeps_or_removes_and_returns_what_was_replaced() {
    for handover in BOTH {
        let store = small(handover).open().unwrap();
        let add = |value: Option<&u32>| Update::Put(value.map_or(1, |value| value + 1));
        assert_eq!(store.update(&"n", add).unwrap(), None);
        assert_eq!(store.update(&"n", add).unwrap(), Some(1));
        assert_eq!(store.update(&"n", |_| Update::Keep).unwrap(), None);
        assert_eq!(store.update(&"n", |_| Update::Remove).unwrap(), Some(2));
        let tried = until_free(|| Ok(store.try_update(&"n", add)?));
        assert_eq!(tried, Ok::<_, TransactionError<()>>(None));
        assert_eq!(store.get(&"n").unwrap(), Some(1));
    }
}

#[test]
fn a_transaction_applies_all_of_its_writes_or_none() {
    for handover in BOTH {
        let store = small(handover).open().unwrap();
        store.insert_many([(1, 10), (2, 20)]);
        let aborted = store.transaction([1, 2], |tx| {
            tx.insert(&1, 0).unwrap();
            tx.remove(&2).unwrap();
            assert_eq!(tx.get(&1), Ok(Some(&0)), "it sees its own writes");
            assert_eq!(tx.get(&2), Ok(None));
            Err::<(), _>("enough")
        });
        assert_eq!(aborted, Err(TransactionError::Aborted("enough")));
        assert_eq!((store.get(&1), store.get(&2)), (Ok(Some(10)), Ok(Some(20))));
        let sum = store.transaction([2, 1, 3, 1], |tx| {
            let sum = *tx.get(&1)?.unwrap_or(&0);
            let sum = sum + tx.get(&2)?.unwrap_or(&0);
            tx.insert(&3, sum)?;
            tx.remove(&1)?;
            tx.remove(&2)?;
            Ok::<_, KeyNotNamed>(sum)
        });
        assert_eq!(sum, Ok(30));
        assert_eq!((store.len(), store.get(&3)), (Ok(1), Ok(Some(30))));
        let read = until_free(|| {
            store.try_transaction([3], |tx| Ok::<_, ()>(tx.get(&3).unwrap().copied()))
        });
        assert_eq!(read, Ok(Some(30)));
    }
}

#[test]
fn a_transaction_that_touches_a_key_it_has_not_named_is_not_applied() {
    let store = small(Handover::Lend).open().unwrap();
    let result = store.transaction([1], |tx| {
        tx.insert(&1, 1).unwrap();
        assert_eq!(tx.get(&2), Err(KeyNotNamed));
        Ok::<_, ()>(())
    });
    assert_eq!(result, Err(TransactionError::KeyNotNamed));
    assert_eq!(store.get(&1).unwrap(), None);
}
