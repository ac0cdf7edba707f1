//! A child of `fork` has a copy of the memory and of the open files: the store is not its own.
//!
//! A program of its own, whose tests run one after the other on its first thread: a child inherits the
//! locks that any other thread has at that moment, and no others than those of the store in question are
//! meant here. (A harness has threads of its own, that begin and end as its tests do.)

#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "a test may wait")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a test says that it has passed")]

use std::io::Read as _;
use std::time::Duration;

use shardkeep::{
    Durable, Error, Handover, LoadError, Refused, Reply, Store, SyncMode, TransactionError, Update,
};

#[path = "../durable/place.rs"]
mod place;
mod process;

use place::Place;
use process::Child;

type Numbers = Store<u32, u32>;

/// Every test, by its name.
const TESTS: [(&str, fn()); 6] = [
    (
        "the_directory_is_free_when_a_drop_returns_though_a_child_lives_on",
        the_directory_is_free_when_a_drop_returns_though_a_child_lives_on,
    ),
    (
        "in_a_forked_child_every_call_is_refused_and_a_drop_does_nothing",
        in_a_forked_child_every_call_is_refused_and_a_drop_does_nothing,
    ),
    (
        "a_child_that_was_forked_while_a_shard_was_in_other_hands_waits_for_nobody",
        a_child_that_was_forked_while_a_shard_was_in_other_hands_waits_for_nobody,
    ),
    (
        "a_call_from_whose_closure_a_child_was_forked_writes_nothing_there",
        a_call_from_whose_closure_a_child_was_forked_writes_nothing_there,
    ),
    (
        "a_thread_that_a_child_has_started_is_refused_too",
        a_thread_that_a_child_has_started_is_refused_too,
    ),
    (
        "a_child_opens_a_store_of_its_own",
        a_child_opens_a_store_of_its_own,
    ),
];

/// Runs those whose names have one of the arguments in them; all without any.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<_> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    for (name, test) in TESTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            test();
            println!("test {name} ... ok");
        }
    }
}

/// The number of the first call that was not refused as it must be, 0 if there is none.
fn first_let_in(store: &Numbers) -> u8 {
    const OTHER: Refused = Refused::OtherProcess;
    let error = || Err(Error::Refused(OTHER));
    let load = |result: Result<u32, LoadError<()>>| result == Err(LoadError::Store(OTHER.into()));
    let transaction = |result: Result<(), TransactionError<()>>| {
        result == Err(TransactionError::Store(OTHER.into()))
    };
    let failed =
        |replies: &[Reply<u32>]| replies.iter().all(|it| *it == Reply::Failed(OTHER.into()));
    let mut filled = store.pipeline();
    filled.insert(1, 2).get(1).remove(1);
    let second = Duration::from_secs(1);
    let calls: [bool; 33] = [
        store.get(&1) == error(),
        store.try_get(&1) == Err(OTHER),
        store.contains(&1) == Err(OTHER.into()),
        store.try_contains(&1) == Err(OTHER),
        store.read(&1, |_| ()) == Err(OTHER.into()),
        store.try_read(&1, |_| ()) == Err(OTHER),
        store.insert(1, 2) == error(),
        store.try_insert(1, 2) == error(),
        store.insert_with_ttl(1, 2, second) == error(),
        store.insert_if_absent(1, 2) == Err(OTHER.into()),
        store.insert_if_present(1, 2) == error(),
        store.remove(&1) == error(),
        store.try_remove(&1) == error(),
        store.update(&1, |_| Update::Remove) == error(),
        store.try_update(&1, |_| Update::Remove) == error(),
        store.ttl(&1) == Err(OTHER.into()),
        store.expire(&1, second) == Err(OTHER.into()),
        store.persist(&1) == Err(OTHER.into()),
        load(store.get_or_try_insert_with(&9, || Ok(1))),
        failed(filled.run()),
        store.get_many([1, 2]).into_iter().all(|it| it == error()),
        store
            .insert_many([(1, 2)])
            .into_iter()
            .all(|it| it == error()),
        transaction(store.transaction([1, 2], |tx| tx.insert(&1, 2).map_err(|_| ()))),
        transaction(store.transaction([], |_| Ok(()))),
        transaction(store.try_transaction([1], |tx| tx.remove(&1).map_err(|_| ()))),
        store.iter().next() == Some(Err(OTHER.into())),
        store.len() == Err(OTHER.into()),
        store.weight() == Err(OTHER.into()),
        store.memory_bytes() == Err(OTHER.into()),
        store.clear() == Err(OTHER.into()),
        store.sync() == Err(OTHER.into()),
        matches!(store.snapshot(), Err(error) if error.to_string().contains("another process")),
        !store.close(Duration::from_secs(60)).is_clean(),
    ];
    // They look only, but must not wait either.
    let _seen = (store.stats(), store.log_stats(), format!("{store:?}"));
    match calls.iter().position(|refused| !refused) {
        Some(at) => at as u8 + 1,
        None => 0,
    }
}

fn kinds(place: &Place) -> Vec<Numbers> {
    let open = |handover| {
        let builder = Store::builder().shards(4).handover(handover);
        builder.deadline(Duration::from_secs(60))
    };
    let mut stores = Vec::new();
    for handover in [Handover::Lend, Handover::Mail] {
        stores.push(open(handover).open().unwrap());
        for (name, sync) in [("always", SyncMode::Always), ("never", SyncMode::Never)] {
            let directory = place.path().join(format!("{name}-{handover:?}"));
            let durable = Durable::new().sync(sync);
            stores.push(open(handover).durable(directory, durable).open().unwrap());
        }
    }
    stores
}

fn in_a_forked_child_every_call_is_refused_and_a_drop_does_nothing() {
    let place = Place::new();
    std::fs::create_dir_all(place.path()).unwrap();
    for store in kinds(&place) {
        for number in 0..100 {
            store.insert(number, number).unwrap();
        }
        let mut handles = vec![store.clone(), store];
        let child = Child::running(|| {
            let let_in = first_let_in(&handles[0]);
            // One of them, then the last one that this process has.
            handles.clear();
            let_in
        });
        let store = handles.remove(0);
        assert_eq!(child.ends_with(), 0, "a call was let in: {store:?}");
        for number in 0..200 {
            store.insert(number, number + 1).unwrap();
        }
        assert_eq!(store.get(&199), Ok(Some(200)));
        assert!(store.close(Duration::from_secs(60)).is_clean());
    }
    for directory in std::fs::read_dir(place.path()).unwrap() {
        let directory = directory.unwrap().path();
        let again = Numbers::builder().durable(&directory, Durable::new());
        let again = again.open().unwrap();
        for number in 0..200 {
            assert_eq!(again.get(&number), Ok(Some(number + 1)), "{directory:?}");
        }
    }
}

fn a_child_that_was_forked_while_a_shard_was_in_other_hands_waits_for_nobody() {
    let place = Place::new();
    std::fs::create_dir_all(place.path()).unwrap();
    for store in kinds(&place) {
        store.insert(1, 1).unwrap();
        let (begun, has_begun) = crossbeam_channel::bounded(1);
        let (let_go, released) = crossbeam_channel::bounded::<()>(0);
        std::thread::scope(|scope| {
            let (store, held) = (&store, &store);
            scope.spawn(move || {
                let read = held.read(&1, |_| {
                    begun.send(()).unwrap();
                    let _released = released.recv();
                });
                read.unwrap();
            });
            has_begun.recv().unwrap();
            let child = Child::running(|| first_let_in(store));
            assert_eq!(child.ends_with(), 0);
            drop(let_go);
        });
    }
}

fn a_call_from_whose_closure_a_child_was_forked_writes_nothing_there() {
    let place = Place::new();
    let open = || {
        Numbers::builder()
            .durable(place.path(), Durable::new())
            .open()
    };
    let store = open().unwrap();
    store.insert(1, 1).unwrap();
    let mut child = None;
    let updated = store.update(&1, |_| {
        child = process::fork();
        Update::Put(if child.is_some() { 2 } else { 1_000 })
    });
    let Some(child) = child else {
        let in_doubt = matches!(updated, Err(Error::Lost(_)));
        process::end(u8::from(!in_doubt));
    };
    assert_eq!(updated, Ok(Some(1)));
    assert_eq!(child.ends_with(), 0, "the child got a result");
    for number in 2..50 {
        store.insert(number, number).unwrap();
    }
    drop(store);
    let again = open().unwrap();
    assert_eq!((again.get(&1), again.len()), (Ok(Some(2)), Ok(49)));
}

/// A store whose threads have ended: one that begins or ends while a child is made has locks of the
/// standard library, which the child needs for threads of its own.
fn quiet() -> Numbers {
    let store = Numbers::open().unwrap();
    store.insert(1, 1).unwrap();
    assert!(store.close(Duration::from_secs(60)).is_clean());
    store
}

fn a_thread_that_a_child_has_started_is_refused_too() {
    let store = quiet();
    let child = Child::running(|| {
        std::thread::scope(|scope| {
            let started = scope.spawn(|| first_let_in(&store));
            started.join().unwrap_or(u8::MAX)
        })
    });
    assert_eq!(child.ends_with(), 0);
}

fn the_directory_is_free_when_a_drop_returns_though_a_child_lives_on() {
    let place = Place::new();
    let open = || {
        Numbers::builder()
            .durable(place.path(), Durable::new())
            .open()
    };
    let store = open().unwrap();
    store.insert(1, 1).unwrap();
    let (mut released, let_go) = std::io::pipe().unwrap();
    let mut let_go = Some(let_go);
    let child = Child::running(|| {
        drop(let_go.take());
        // Ends when the parent drops its end.
        u8::from(released.read(&mut [0]).is_err())
    });
    drop(store);
    let again = open().unwrap();
    assert_eq!(again.get(&1), Ok(Some(1)));
    drop(let_go);
    assert_eq!(child.ends_with(), 0);
    assert_eq!(again.insert(1, 2), Ok(Some(1)));
}

fn a_child_opens_a_store_of_its_own() {
    let place = Place::new();
    let store = quiet();
    let child = Child::running(|| {
        let Ok(own) = Numbers::builder()
            .durable(place.path(), Durable::new())
            .open()
        else {
            return 1;
        };
        let reentrant = own.read(&1, |_| own.get(&1)) == Ok(None)
            && own.insert(1, 2) == Ok(None)
            && own.read(&1, |_| own.get(&1)) == Ok(Some(Err(Refused::Reentrant.into())));
        let fine = reentrant && own.get(&1) == Ok(Some(2));
        let refused = store.get(&1) == Err(Refused::OtherProcess.into());
        let closed = own.close(Duration::from_secs(10)).is_clean();
        u8::from(!(fine && refused && closed)) * 2
    });
    assert_eq!(child.ends_with(), 0);
    let again = Numbers::builder()
        .durable(place.path(), Durable::new())
        .open();
    assert_eq!(again.unwrap().get(&1), Ok(Some(2)));
}
