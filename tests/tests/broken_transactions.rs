//! Panics in the middle of a library's transaction, in a store that is kept: all of it or nothing, and the
//! shards come back.
//!
//! The panics are planted by fail points, which are in builds with debug assertions alone.

#![cfg(test)]
#![cfg(debug_assertions)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use shardkeep::engine::fail_point::{Plan, plant};
use shardkeep::{Durable, Handover, Store, SyncMode, TransactionError};
use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::harness::Scratch;

/// The keys of the transaction, and one that others use.
const KEYS: [u64; 3] = [1, 2, 3];
const OTHER: u64 = 1_000;

fn open(dir: &Path, name: &str, handover: Handover) -> Store<u64, u64> {
    let durable = Durable::new().sync(SyncMode::Always);
    let builder = Store::builder().shards(8).owners(2).handover(handover);
    let builder = builder.deadline(PATIENCE).name(name);
    builder.durable(dir, durable).open().expect("a store")
}

/// The values of the keys, when their shards are there.
fn values(store: &Store<u64, u64>) -> [Option<u64>; 3] {
    let deadline = clock::now() + PATIENCE;
    KEYS.map(|key| {
        loop {
            match store.get(&key) {
                Ok(value) => return value,
                Err(error) => assert!(clock::left(deadline).is_some(), "{error}"),
            }
        }
    })
}

fn set_all(
    store: &Store<u64, u64>,
    value: u64,
) -> Result<(), TransactionError<shardkeep::KeyNotNamed>> {
    store.transaction(KEYS, |tx| {
        for key in KEYS {
            tx.insert(&key, value)?;
        }
        Ok(())
    })
}

/// Ends those who look at it, also by a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn check(place: &str, at: &str, handover: Handover, left: u64) {
    let scratch = Scratch::new().expect("a directory");
    let dir = scratch.path().join("store");
    let name = format!("broken-{place}-{at}-{handover:?}");
    let store = open(&dir, &name, handover);
    set_all(&store, 1).expect("a transaction");
    store.insert(OTHER, 0).expect("a write");
    let done = AtomicBool::new(false);
    let acked = thread::scope(|scope| {
        let other = scope.spawn(|| {
            // What was acknowledged last, and what was lost since.
            let (mut acked, mut lost) = (0, Vec::new());
            for value in 1.. {
                match store.insert(OTHER, value) {
                    Ok(_) => (acked, lost) = (value, Vec::new()),
                    Err(shardkeep::Error::Lost(_)) => lost.push(value),
                    Err(shardkeep::Error::Refused(_)) => {}
                }
                if done.load(SeqCst) {
                    break;
                }
            }
            (acked, lost)
        });
        let _until_here = Ended(&done);
        plant(place, format!("{name}{at}").as_bytes(), Plan::Panic, 1);
        let panicked = catch_unwind(AssertUnwindSafe(|| set_all(&store, 2)));
        // It is told by the panic itself: whoever catches it knows that anything may have been done.
        assert!(panicked.is_err(), "{name}: {panicked:?}");
        assert_eq!(values(&store), [Some(left); 3], "{name}");
        done.store(true, SeqCst);
        other.join().expect("the other")
    });
    set_all(&store, 3).expect("a transaction");
    drop(store);
    let store = open(&dir, &name, handover);
    assert_eq!(values(&store), [Some(3); 3], "{name}");
    let (acked, lost) = acked;
    let found = store.get(&OTHER).expect("a value").expect("it was written");
    assert!(found == acked || lost.contains(&found), "{name}: {found}");
}

#[test]
fn a_panic_between_two_writes_of_a_transaction_leaves_none_of_them() {
    for handover in [Handover::Lend, Handover::Mail] {
        check("transaction.next", "#1.", handover, 1);
        check("transaction.applied", "", handover, 1);
    }
}

#[test]
fn a_panic_while_a_transaction_is_queued_leaves_all_of_it_or_nothing() {
    for handover in [Handover::Lend, Handover::Mail] {
        for (place, left) in [("log.queue", 1), ("log.queued", 2)] {
            let scratch = Scratch::new().expect("a directory");
            let name = format!("queued-{place}-{handover:?}");
            let store = open(&scratch.path().join("store"), &name, handover);
            set_all(&store, 1).expect("a transaction");
            plant(place, name.as_bytes(), Plan::Panic, 1);
            let panicked = catch_unwind(AssertUnwindSafe(|| set_all(&store, 2)));
            assert!(panicked.is_err(), "{name}: {panicked:?}");
            assert_eq!(values(&store), [Some(left); 3], "{name}");
            drop(store);
            let store = open(&scratch.path().join("store"), &name, handover);
            assert_eq!(values(&store), [Some(left); 3], "{name}");
        }
    }
}
