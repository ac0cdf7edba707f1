//! Stores opened, broken and dropped again and again: no thread, no descriptor and no memory stays.
//!
//! One test, and so one process: what it counts is its own.

#![cfg(test)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use shardkeep::{Builder, CancelToken, Durable, Handover, Key, Refused, Store, SyncMode, Value};
use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::harness::{Scratch, open_files, resident_bytes, threads};

/// Opened and dropped so often.
const OPENED: u32 = 1_000;

/// Each failure happens so often before it is counted, and so often after.
const ROUNDS: u32 = 30;

/// What a process may have grown by when nothing leaks: the allocator's own.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

const BOTH: [Handover; 2] = [Handover::Lend, Handover::Mail];

fn small<K: Key, V: Value>(handover: Handover) -> Builder<K, V> {
    let builder = Store::builder().shards(4).owners(2).handover(handover);
    builder.deadline(PATIENCE)
}

/// Threads, descriptors and resident bytes of this process.
fn held() -> (u64, usize, u64) {
    let pid = process::id();
    (
        threads(pid).expect("threads"),
        open_files(pid).expect("descriptors"),
        resident_bytes(pid).expect("bytes"),
    )
}

/// Runs `failure` again and again, and looks at what the later rounds leave behind.
fn leaves_nothing(what: &str, mut rounds: u32, mut failure: impl FnMut(u32)) {
    (0..rounds / 10 + 3).for_each(&mut failure);
    let before = held();
    while rounds > 0 {
        failure(rounds);
        rounds -= 1;
    }
    // A joined thread is in the kernel's list for a moment more.
    let deadline = clock::now() + PATIENCE;
    let after = loop {
        let now = held();
        if (now.0 <= before.0 && now.1 <= before.1) || clock::left(deadline).is_none() {
            break now;
        }
        thread::yield_now();
    };
    assert!(after.0 <= before.0, "{what}: {before:?}, {after:?} threads");
    assert!(after.1 <= before.1, "{what}: {before:?}, {after:?} files");
    let grown = after.2.saturating_sub(before.2);
    assert!(grown < GROWTH_BYTES_MAX, "{what}: {grown} bytes stay");
}

fn channel<T>() -> (Sender<T>, Receiver<T>) {
    bounded(1)
}

/// A key whose comparison panics, which loses the shard it is in.
#[derive(Clone)]
struct Bomb;

impl std::hash::Hash for Bomb {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl PartialEq for Bomb {
    fn eq(&self, _: &Self) -> bool {
        panic!("as planned")
    }
}

impl Eq for Bomb {}

fn a_store_is_opened_and_dropped(round: u32) {
    let store = small(BOTH[round as usize % 2]).open().expect("a store");
    store.insert(round, round).expect("a write");
}

/// Writers go on while the other handles go; the last handle is one of theirs.
fn a_store_is_dropped_in_mid_write(round: u32, dir: &Path) {
    let durable = Durable::new().sync(SyncMode::Always);
    let builder = small(BOTH[round as usize % 2]).durable(dir, durable);
    let store = builder.open().expect("a store");
    let (begun, begins) = channel();
    thread::scope(|scope| {
        for writer in 0..2 {
            let (store, begun) = (store.clone(), begun.clone());
            scope.spawn(move || {
                for key in 0..20 {
                    store.insert(writer * 100 + key, round).expect("a write");
                    let _is_full = begun.try_send(());
                }
            });
        }
        begins.recv_timeout(PATIENCE).expect("a writer");
        drop(store);
    });
}

/// A clone that outlives the close is refused, and is all that is left.
fn a_clone_survives_the_close(round: u32) {
    let store = small(BOTH[round as usize % 2]).open().expect("a store");
    let clone = store.clone();
    assert!(store.close(PATIENCE).is_clean());
    drop(store);
    assert_eq!(clone.insert(1, 1), Err(Refused::Closed.into()));
}

/// The work of a caller that has gone holds the last handle, and an owner drops it.
fn the_last_handle_is_dropped_by_whoever_serves(round: u32) {
    let store = small(BOTH[round as usize % 2]).open().expect("a store");
    let last: Store<u32, u32> = store.clone();
    let worker = thread::Builder::new().spawn(move || {
        last.insert(1, 1).expect("a write");
        // Goes with this thread, or with the other: whoever is later.
        drop(last);
    });
    drop(store);
    worker.expect("a thread").join().expect("its end");
}

fn a_shard_is_lost(_: u32) {
    let store = small(Handover::Mail).shards(1).owners(1);
    let store = store.open().expect("a store");
    store.insert(Bomb, 1).expect("a write");
    assert!(store.get(&Bomb).is_err());
    let deadline = clock::now() + PATIENCE;
    while store.insert(Bomb, 2).is_err() {
        assert!(clock::left(deadline).is_some(), "it is open again");
        thread::yield_now();
    }
}

fn a_closure_panics_with_a_shard_in_hand(_: u32) {
    let store = small(Handover::Lend).open().expect("a store");
    store.insert(1, 1).expect("a write");
    let panicked = catch_unwind(AssertUnwindSafe(|| store.read(&1, |_| panic!("planned"))));
    assert!(panicked.is_err());
    assert_eq!(store.get(&1).expect("a value"), Some(1));
}

/// Callers give up while another has their shard, by their deadline or by a token; it goes on.
fn callers_leave_before_their_replies(round: u32) {
    let store = small(BOTH[round as usize % 2]).shards(1).owners(1);
    let store = store.open().expect("a store");
    store.insert(1, 1).expect("a write");
    let (held, is_held) = channel();
    let (let_go, released) = channel::<()>();
    thread::scope(|scope| {
        let store = &store;
        scope.spawn(move || {
            let read = store.read(&1, |_| {
                held.send(()).expect("the test");
                let _disconnected = released.recv_timeout(PATIENCE);
            });
            read.expect("a value");
        });
        is_held.recv_timeout(PATIENCE).expect("the holder");
        let hasty = store.with_deadline(Duration::from_millis(1));
        assert!(hasty.insert(1, 2).is_err());
        let token = CancelToken::new();
        token.cancel();
        assert!(store.with_cancel(token).insert(1, 3).is_err());
        drop(let_go);
    });
    assert_eq!(
        store.get(&1).expect("a value"),
        Some(1),
        "refused is not applied"
    );
}

#[cfg(debug_assertions)]
fn an_owner_panics(round: u32) {
    use shardkeep::engine::fail_point::{Plan, plant};

    let name = format!("leaks-{round}");
    plant("owner.tick", name.as_bytes(), Plan::Panic, 1);
    let (tell, told) = bounded(16);
    let store = small(Handover::Mail)
        .name(name)
        .on_event(move |event| drop(tell.try_send(event)))
        .open()
        .expect("a store");
    store.insert(1, 1).expect("a write");
    told.recv_timeout(PATIENCE).expect("a restart");
    store.insert(1, 2).expect("a write");
}

#[test]
fn stores_that_are_opened_broken_and_dropped_leave_no_thread_no_descriptor_and_no_memory() {
    let scratch = Scratch::new().expect("a directory");
    let dir = scratch.path().join("store");
    leaves_nothing("opened", OPENED, a_store_is_opened_and_dropped);
    leaves_nothing("mid-write", ROUNDS, |round| {
        a_store_is_dropped_in_mid_write(round, &dir);
    });
    leaves_nothing("clone", ROUNDS, a_clone_survives_the_close);
    leaves_nothing("last", ROUNDS, the_last_handle_is_dropped_by_whoever_serves);
    leaves_nothing("lost", ROUNDS, a_shard_is_lost);
    leaves_nothing("closure", ROUNDS, a_closure_panics_with_a_shard_in_hand);
    leaves_nothing("callers", ROUNDS, callers_leave_before_their_replies);
    #[cfg(debug_assertions)]
    leaves_nothing("owner", ROUNDS, an_owner_panics);
}
