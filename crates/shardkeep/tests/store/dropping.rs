//! Keys and values whose `Drop` calls their own store, panics, or blocks: in every way in which an
//! operation can discard one.
//!
//! A `Drop` that ran with the shard in hand would wait for itself, lose the shard, or hold up everybody.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::Receiver;
use shardkeep::codec::{Codec, DecodeError, EncodeError};
use shardkeep::table::UnixMillis;
use shardkeep::{
    Clock, Durable, Error, Event, Handover, Insert, Refused, Store, SyncMode, TransactionError,
    Update,
};

use crate::place::Place;
use crate::{BOTH, PATIENCE, channel, spawn};

/// Long enough for whatever is free to answer, and shorter than a `Drop` waits that holds it up.
const SOON: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

type Act = Box<dyn FnOnce() + Send>;

/// Acts once, when its last copy is dropped.
struct Acts(Mutex<Option<Act>>);

impl Drop for Acts {
    fn drop(&mut self) {
        let act = self.0.get_mut().unwrap().take();
        act.into_iter().for_each(|act| act());
    }
}

/// A key or a value: a number, and perhaps something that its `Drop` does.
#[derive(Clone)]
struct Loud(u64, Option<Arc<Acts>>);

fn quiet(number: u64) -> Loud {
    Loud(number, None)
}

thread_local! {
    static POISON: Cell<bool> = const { Cell::new(false) };
}

impl PartialEq for Loud {
    fn eq(&self, other: &Self) -> bool {
        assert!(!POISON.get(), "as planned");
        self.0 == other.0
    }
}

impl Eq for Loud {}

impl Hash for Loud {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

struct Numbers;

impl Codec<Loud> for Numbers {
    fn encode(&self, loud: &Loud, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        into.extend(loud.0.to_le_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Loud, DecodeError> {
        let bytes = bytes
            .try_into()
            .map_err(|_| DecodeError("not eight".into()))?;
        Ok(quiet(u64::from_le_bytes(bytes)))
    }
}

#[derive(Clone)]
struct JumpingClock(Arc<AtomicU64>);

impl Clock for JumpingClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(SeqCst))
    }
}

/// A store of one shard, full with the entries 1 to 4.
struct Full {
    store: Store<Loud, Loud>,
    clock: JumpingClock,
    events: Receiver<Event>,
    _place: Place,
}

fn full(handover: Handover, durable: bool) -> Full {
    named("shardkeep", handover, durable)
}

fn named(name: &str, handover: Handover, durable: bool) -> Full {
    let (tell, events) = channel();
    let clock = JumpingClock(Arc::new(AtomicU64::new(1_000_000)));
    let place = Place::new();
    let mut builder = Store::builder()
        .name(name)
        .shards(1)
        .owners(1)
        .handover(handover)
        .deadline(SOON)
        .clock(clock.clone())
        .max_weight(4, |_, _| 1)
        .on_event(move |event| drop(tell.send(event)));
    if durable {
        let settings = Durable::new().sync(SyncMode::Always);
        builder = builder.durable_with(place.path(), settings, Numbers, Numbers);
    }
    let store = builder.open().unwrap();
    for key in 1..=4 {
        store.insert(quiet(key), quiet(0)).unwrap();
    }
    Full {
        store,
        clock,
        events,
        _place: place,
    }
}

impl Full {
    fn jump(&self) {
        self.clock.0.fetch_add(MINUTE.as_millis() as u64, SeqCst);
    }

    /// Whether the shard answers; what it answers is not the question.
    fn answers(store: &Store<Loud, Loud>) -> Result<(), Error> {
        store.get(&quiet(2)).map(drop)
    }
}

/// A way in which a key or a value is discarded, with the last copy of it.
type Way = (&'static str, fn(&Full, Loud));

fn replaces_key_1(full: &Full, key: Loud) {
    full.store.remove(&quiet(1)).unwrap();
    full.store.insert(Loud(1, key.1), quiet(0)).unwrap();
}

fn lets_1_expire(full: &Full, loud: Loud) {
    full.store.remove(&quiet(1)).unwrap();
    full.store.insert_with_ttl(quiet(1), loud, MINUTE).unwrap();
    full.jump();
}

/// Discarded by the operation of a caller, who drops it.
const BY_THE_CALLER: [Way; 26] = [
    ("a key that is there already", |full, loud| {
        drop(full.store.insert(Loud(1, loud.1), quiet(0)).unwrap());
    }),
    ("a value whose key is there already", |full, loud| {
        assert!(!full.store.insert_if_absent(quiet(1), loud).unwrap());
    }),
    (
        "a key that is not inserted because it is there",
        |full, loud| {
            let key = Loud(1, loud.1);
            assert!(!full.store.insert_if_absent(key, quiet(0)).unwrap());
        },
    ),
    ("a value whose key is absent", |full, loud| {
        drop(full.store.insert_if_present(quiet(9), loud).unwrap());
    }),
    ("a value beyond the weight", |full, loud| {
        assert!(full.store.insert(quiet(9), loud).is_err());
    }),
    ("a key beyond the weight", |full, loud| {
        assert!(full.store.insert(Loud(9, loud.1), quiet(0)).is_err());
    }),
    ("a value that was tried beyond the weight", |full, loud| {
        assert!(full.store.try_insert(quiet(9), loud).is_err());
    }),
    ("an update beyond the weight", |full, loud| {
        let updated = full.store.update(&quiet(9), |_| Update::Put(loud));
        assert!(updated.is_err());
    }),
    ("the key of an entry that is removed", |full, loud| {
        replaces_key_1(full, loud);
        drop(full.store.remove(&quiet(1)).unwrap());
    }),
    (
        "the key of an entry that is tried to be removed",
        |full, loud| {
            replaces_key_1(full, loud);
            while let Err(Error::Refused(Refused::Busy { .. })) = full.store.try_remove(&quiet(1)) {
            }
        },
    ),
    (
        "the key of an entry that an update removes",
        |full, loud| {
            replaces_key_1(full, loud);
            drop(full.store.update(&quiet(1), |_| Update::Remove).unwrap());
        },
    ),
    ("what is loaded when another was faster", |full, loud| {
        full.store.remove(&quiet(1)).unwrap();
        let loaded = full.store.get_or_insert_with(&quiet(1), || {
            full.store.insert(quiet(1), quiet(7)).unwrap();
            loud
        });
        assert_eq!(loaded.unwrap().0, 7);
    }),
    ("the key of a load that is over", |full, loud| {
        full.store.remove(&quiet(1)).unwrap();
        let failed = full
            .store
            .get_or_try_insert_with(&Loud(1, loud.1), || Err(()));
        assert!(failed.is_err());
        drop(full.store.get_or_try_insert_with(&quiet(1), || Err(())));
    }),
    ("a value that a batch does not store", |full, loud| {
        let mut batch = full.store.pipeline();
        batch.insert_with(quiet(1), loud, Insert::new().if_absent());
        batch.run();
    }),
    ("a value that is too heavy for a batch", |full, loud| {
        full.store.pipeline().insert(quiet(9), loud).run();
    }),
    ("a key of a batch that is there already", |full, loud| {
        let mut batch = full.store.pipeline();
        batch.insert(Loud(1, loud.1), quiet(0));
        batch.run();
    }),
    ("a key that a batch looks for", |full, loud| {
        full.store.pipeline().get(Loud(1, loud.1)).run();
    }),
    ("the key of an entry that a batch removes", |full, loud| {
        replaces_key_1(full, loud);
        full.store.pipeline().remove(quiet(1)).run();
    }),
    ("a value that a transaction replaces", |full, loud| {
        full.store.insert(quiet(1), loud).unwrap();
        let replaced = full
            .store
            .transaction([quiet(1)], |tx| tx.insert(&quiet(1), quiet(0)));
        replaced.unwrap();
    }),
    ("a value that a transaction removes", |full, loud| {
        full.store.insert(quiet(1), loud).unwrap();
        let removed = full
            .store
            .transaction([quiet(1)], |tx| tx.remove(&quiet(1)));
        removed.unwrap();
    }),
    (
        "a write that another of its transaction replaces",
        |full, loud| {
            let written = full.store.transaction([quiet(1)], |tx| {
                tx.insert(&quiet(1), loud)?;
                tx.insert(&quiet(1), quiet(0))
            });
            written.unwrap();
        },
    ),
    ("a write to a key that was not named", |full, loud| {
        let written = full
            .store
            .transaction([quiet(1)], |tx| tx.insert(&quiet(9), loud));
        assert_eq!(written, Err(TransactionError::KeyNotNamed));
    }),
    ("a write of a transaction that is aborted", |full, loud| {
        let aborted = full.store.transaction([quiet(1)], |tx| {
            tx.insert(&quiet(1), loud).unwrap();
            Err::<(), _>("aborted")
        });
        assert_eq!(aborted, Err(TransactionError::Aborted("aborted")));
    }),
    (
        "a write of a transaction beyond the weight",
        |full, loud| {
            let refused = full
                .store
                .transaction([quiet(9)], |tx| tx.insert(&quiet(9), loud));
            assert!(refused.is_err());
        },
    ),
    ("a key that a transaction names", |full, loud| {
        let named = [Loud(1, loud.1)];
        full.store
            .transaction(named, |tx| tx.insert(&quiet(1), quiet(0)))
            .unwrap();
    }),
    ("a value that is cleared", |full, loud| {
        full.store.insert(quiet(1), loud).unwrap();
        full.store.clear().unwrap();
    }),
];

/// Discarded by the caller, or on the store's own account: whoever comes first.
const BY_EITHER: [Way; 3] = [
    (
        "a value that had expired when it was replaced",
        |full, loud| {
            lets_1_expire(full, loud);
            full.store.insert(quiet(1), quiet(0)).unwrap();
        },
    ),
    (
        "a value that had expired when it was removed",
        |full, loud| {
            lets_1_expire(full, loud);
            assert!(full.store.remove(&quiet(1)).unwrap().is_none());
        },
    ),
    (
        "a value that had expired when a batch replaced it",
        |full, loud| {
            lets_1_expire(full, loud);
            full.store.pipeline().insert(quiet(1), quiet(0)).run();
        },
    ),
];

/// Discarded on the store's own account.
const BY_THE_STORE: [Way; 1] = [("a value that expires", lets_1_expire)];

/// The same, of a store whose callers send what they insert: one without a log.
const BY_MAIL: [Way; 1] = [("what a caller has given up in the mail", |full, loud| {
    let (held, is_held) = channel();
    let (let_go, released) = channel::<()>();
    let store = full.store.clone();
    let holder = spawn(move || {
        let read = store.read(&quiet(2), |_| {
            held.send(()).unwrap();
            let _disconnected = released.recv_timeout(PATIENCE);
        });
        read.unwrap();
    });
    is_held.recv_timeout(PATIENCE).unwrap();
    let hasty = full.store.with_deadline(Duration::from_millis(1));
    assert!(hasty.pipeline().insert(quiet(1), loud).run().len() == 1);
    drop(let_go);
    holder.join().unwrap();
})];

fn each_way(check: impl Fn(&str, Whose, &Full, fn(&Full, Loud))) {
    for handover in BOTH {
        for durable in [false, true] {
            let by_caller = BY_THE_CALLER.iter().map(|way| (Whose::Caller, way));
            let by_either = BY_EITHER.iter().map(|way| (Whose::Either, way));
            let by_store = BY_THE_STORE.iter().map(|way| (Whose::Store, way));
            let by_mail = BY_MAIL.iter().filter(|_| !durable);
            let by_store = by_store.chain(by_mail.map(|way| (Whose::Store, way)));
            for (whose, (name, run)) in by_caller.chain(by_either).chain(by_store) {
                let name = format!("{name} ({handover:?}, durable: {durable})");
                check(&name, whose, &full(handover, durable), *run);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Caller,
    Either,
    Store,
}

fn loud(act: impl FnOnce() + Send + 'static) -> Loud {
    Loud(0, Some(Arc::new(Acts(Mutex::new(Some(Box::new(act)))))))
}

#[test]
fn a_value_may_call_its_own_store_when_it_is_dropped() {
    each_way(|name, _, full, run| {
        let (tell, told) = channel();
        let store = full.store.clone();
        run(
            full,
            loud(move || tell.send(Full::answers(&store)).unwrap()),
        );
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Ok(())), "{name}");
    });
}

#[test]
fn a_value_that_panics_when_it_is_dropped_harms_whoever_discarded_it_and_no_shard() {
    each_way(|name, whose, full, run| {
        let panics = loud(|| panic!("as planned"));
        let panicked = catch_unwind(AssertUnwindSafe(|| run(full, panics))).is_err();
        match whose {
            Whose::Caller => assert!(panicked, "{name}"),
            Whose::Store => assert!(!panicked, "{name}"),
            Whose::Either => {}
        }
        if !panicked {
            match full.events.recv_timeout(PATIENCE).unwrap() {
                Event::DropPanicked { shard: 0, why } => assert_eq!(why, "as planned", "{name}"),
                event => panic!("{name}: {event:?}"),
            }
            assert_eq!(full.store.stats()[0].drops_panicked, 1, "{name}");
        }
        assert_eq!(Full::answers(&full.store), Ok(()), "{name}");
        assert_eq!(full.store.stats()[0].times_lost, 0, "{name}");
        assert!(full.store.insert(quiet(2), quiet(1)).is_ok(), "{name}");
        assert!(full.events.is_empty(), "{name}");
    });
}

#[test]
fn a_value_that_blocks_when_it_is_dropped_holds_up_no_shard() {
    each_way(|name, _, full, run| {
        let (enter, entered) = channel();
        let (let_go, released) = channel::<()>();
        let blocks = loud(move || {
            enter.send(()).unwrap();
            let _disconnected = released.recv_timeout(PATIENCE);
        });
        std::thread::scope(|scope| {
            scope.spawn(|| run(full, blocks));
            entered.recv_timeout(PATIENCE).expect(name);
            assert_eq!(Full::answers(&full.store), Ok(()), "{name}");
            assert!(full.store.insert(quiet(2), quiet(1)).is_ok(), "{name}");
            drop(let_go);
        });
    });
}

#[test]
fn what_a_closure_holds_that_finds_nothing_to_read_is_dropped_when_the_shard_is_back() {
    for handover in BOTH {
        for durable in [false, true] {
            let full = full(handover, durable);
            let (tell, told) = channel();
            let store = full.store.clone();
            let held = loud(move || tell.send(Full::answers(&store)).unwrap());
            let read = full.store.read(&quiet(77), move |_| drop(held));
            assert_eq!(read, Ok(None));
            assert_eq!(told.recv_timeout(PATIENCE), Ok(Ok(())));
            let store = full.store.clone();
            let (tell, told) = channel();
            let held = loud(move || tell.send(Full::answers(&store)).unwrap());
            drop(full.store.try_read(&quiet(77), move |_| drop(held)));
            assert_eq!(told.recv_timeout(PATIENCE), Ok(Ok(())));
        }
    }
}

#[test]
fn the_writes_of_a_transaction_that_panics_are_dropped_when_its_shards_are_back() {
    for handover in BOTH {
        let full = full(handover, false);
        let (tell, told) = channel();
        let store = full.store.clone();
        let calls = loud(move || {
            tell.send(Full::answers(&store)).unwrap();
            panic!("as planned");
        });
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            full.store.transaction([quiet(1)], |tx| {
                tx.insert(&quiet(1), calls).unwrap();
                panic!("as planned");
                #[expect(unreachable_code, reason = "says what it would return")]
                Ok::<(), ()>(())
            })
        }));
        assert!(panicked.is_err(), "by its closure");
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Ok(())));
        assert_eq!(full.store.stats()[0].times_lost, 0);
    }
}

/// What a panic carries, and panics in its own `Drop`.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as planned, again");
    }
}

#[test]
fn every_value_is_dropped_when_several_of_those_that_are_cleared_or_swept_panic() {
    for handover in BOTH {
        let full = full(handover, false);
        let dropped = Arc::new(AtomicU64::new(0));
        let fill = |ttl| {
            for key in 1..=4 {
                let dropped = Arc::clone(&dropped);
                let panics = loud(move || {
                    dropped.fetch_add(1, SeqCst);
                    std::panic::panic_any(Bomb);
                });
                full.store.insert_with(quiet(key), panics, ttl).unwrap();
            }
        };
        fill(Insert::new());
        let cleared = catch_unwind(AssertUnwindSafe(|| full.store.clear()));
        std::mem::forget(cleared.expect_err("the caller hears of it"));
        assert_eq!(dropped.load(SeqCst), 4);
        fill(Insert::new().ttl(MINUTE));
        full.jump();
        while full.store.stats()[0].drops_panicked < 4 {
            full.events.recv_timeout(PATIENCE).unwrap();
        }
        assert_eq!(dropped.load(SeqCst), 8);
        assert_eq!(full.store.stats()[0].times_lost, 0);
    }
}

#[test]
fn a_lost_shard_is_back_while_a_value_of_its_old_map_still_blocks() {
    for handover in BOTH {
        let full = full(handover, false);
        let (enter, entered) = channel();
        let (let_go, released) = channel::<()>();
        let blocks = loud(move || {
            enter.send(()).unwrap();
            let _disconnected = released.recv_timeout(PATIENCE);
        });
        full.store.insert(quiet(1), blocks).unwrap();
        full.store
            .insert(quiet(2), loud(|| panic!("as planned")))
            .unwrap();
        let broken = catch_unwind(AssertUnwindSafe(|| {
            full.store.update(&quiet(3), |_| {
                POISON.set(true);
                Update::Put(quiet(1))
            })
        }));
        POISON.set(false);
        assert!(
            broken.is_err(),
            "the comparison of keys panics in the change"
        );
        entered.recv_timeout(PATIENCE).unwrap();
        let deadline = std::time::Instant::now() + PATIENCE;
        while let Err(error) = full.store.insert(quiet(1), quiet(0)) {
            assert!(std::time::Instant::now() < deadline, "{error}");
            std::thread::yield_now();
        }
        drop(let_go);
        assert!(full.store.close(PATIENCE).is_clean());
        assert_eq!(full.store.stats()[0].times_lost, 1);
        assert_eq!(full.store.stats()[0].drops_panicked, 1);
    }
}

#[cfg(debug_assertions)]
#[test]
fn without_a_thread_for_them_an_owner_drops_what_expires_when_its_shard_is_back() {
    use shardkeep::engine::fail_point::{Plan, plant};

    plant("thread.start", b"threadless-drops", Plan::Refuse, 1);
    let full = named("threadless", Handover::Lend, false);
    for _ in 0..2 {
        let (tell, told) = channel();
        let store = full.store.clone();
        let calls = loud(move || {
            tell.send(Full::answers(&store)).unwrap();
            panic!("as planned");
        });
        lets_1_expire(&full, calls);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Ok(())));
        let told = full.events.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(told, Event::DropPanicked { .. }), "{told:?}");
    }
    assert_eq!(full.store.stats()[0].times_lost, 0);
}

#[test]
fn a_store_that_is_dropped_drops_all_its_values_whatever_they_do() {
    for handover in BOTH {
        let dropped = Arc::new(AtomicU64::new(0));
        let full = full(handover, false);
        for key in 1..=4 {
            let dropped = Arc::clone(&dropped);
            let panics = loud(move || {
                dropped.fetch_add(1, SeqCst);
                panic!("as planned");
            });
            full.store.insert(quiet(key), panics).unwrap();
        }
        drop(full);
        assert_eq!(dropped.load(SeqCst), 4);
    }
}
