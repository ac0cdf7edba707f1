//! With a sync held back: nobody learns what a crash could take back, and nobody else waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use shardkeep::durable::DiskStep;
use shardkeep::{Durable, Error, Insert, Lost, Refused, Store, Update};

use crate::place::Place;

type Numbers = Store<u32, u32>;

/// A key whose change is not durable, and one that nobody has touched.
const CHANGED: u32 = 1;
const OTHER: u32 = 2;

/// Holds syncs back, once it is shut.
struct Gate {
    shut: Arc<AtomicBool>,
    /// Says that a sync has come to the gate.
    arrived: Receiver<()>,
    /// Dropped to let everything through.
    open: Option<Sender<()>>,
    is_open: Arc<AtomicBool>,
}

impl Gate {
    fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    fn open(&mut self) {
        self.is_open.store(true, Ordering::SeqCst);
        self.open = None;
    }
}

fn store(place: &Place, shards: usize) -> (Numbers, Gate) {
    #[expect(
        clippy::disallowed_methods,
        reason = "as many as there are syncs in a test"
    )]
    let (arrive, arrived) = unbounded();
    let (open, opened) = bounded::<()>(0);
    let shut = Arc::new(AtomicBool::new(false));
    let is_shut = Arc::clone(&shut);
    let durable = Durable::new().gate(move |step| {
        if step == DiskStep::Sync && is_shut.load(Ordering::SeqCst) {
            let _done = arrive.send(());
            // Ends when the test drops its end.
            let _done = opened.recv();
        }
        Ok(())
    });
    let store = Store::builder()
        .shards(shards)
        .hasher_seed(1)
        .deadline(Duration::from_secs(60))
        .durable(place.path(), durable)
        .open()
        .unwrap();
    let gate = Gate {
        shut,
        arrived,
        open: Some(open),
        is_open: Arc::new(AtomicBool::new(false)),
    };
    (store, gate)
}

/// Runs `change` on one thread until its sync is held back, then `ask` on another: it must not have its
/// answer before the sync is let through, while another key is read meanwhile.
fn check(what: &str, change: fn(&Numbers), ask: impl Fn(&Numbers) + Send + Sync + 'static) {
    let place = Place::new();
    let (store, mut gate) = store(&place, 1);
    store.insert(CHANGED, 10).unwrap();
    store.insert(OTHER, 20).unwrap();
    gate.shut();
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| change(&store));
        gate.arrived.recv().unwrap();
        let (is_open, asked) = (Arc::clone(&gate.is_open), &store);
        let asking = scope.spawn(move || {
            ask(asked);
            is_open.load(Ordering::SeqCst)
        });
        // Nobody who asks for another key waits, in the very same shard.
        if what != "clear" {
            assert_eq!(store.get(&OTHER).unwrap(), Some(20), "{what}");
            assert!(store.try_get(&OTHER).is_ok(), "{what}");
        }
        assert_eq!(
            store.try_get(&CHANGED),
            Err(Refused::Busy { shard: 0 }),
            "{what}"
        );
        gate.open();
        assert!(asking.join().unwrap(), "{what} was answered too early");
        changing.join().unwrap();
    });
}

/// The call was answered; what it said does not matter here.
fn done<T>(_: T) {}

#[test]
fn no_kind_of_answer_shows_a_change_that_is_not_durable() {
    let insert: fn(&Numbers) = |store| done(store.insert(CHANGED, 11).unwrap());
    let remove: fn(&Numbers) = |store| done(store.remove(&CHANGED).unwrap());
    for (how, change) in [("insert", insert), ("remove", remove)] {
        let check =
            |what: &str, ask: fn(&Numbers)| check(&format!("{what} after {how}"), change, ask);
        check("get", |store| done(store.get(&CHANGED).unwrap()));
        check("contains", |store| done(store.contains(&CHANGED).unwrap()));
        check("read", |store| done(store.read(&CHANGED, |_| ()).unwrap()));
        check("ttl", |store| done(store.ttl(&CHANGED).unwrap()));
        check("remove", |store| done(store.remove(&CHANGED).unwrap()));
        check("insert_if_absent", |store| {
            done(store.insert_if_absent(CHANGED, 1).unwrap())
        });
        check("insert_if_present", |store| {
            done(store.insert_if_present(CHANGED, 1).unwrap())
        });
        check("insert_with", |store| {
            done(store.insert_with(CHANGED, 1, Insert::new()).unwrap());
        });
        check("update that keeps", |store| {
            done(store.update(&CHANGED, |_| Update::Keep).unwrap());
        });
        check("expire", |store| {
            done(store.expire(&CHANGED, Duration::from_secs(9)).unwrap())
        });
        check("persist", |store| done(store.persist(&CHANGED).unwrap()));
        check("get_or_insert_with", |store| {
            store.get_or_insert_with(&CHANGED, || 5).unwrap();
        });
        check("get_many", |store| done(store.get_many([OTHER, CHANGED])));
        check("pipeline", |store| {
            let mut pipeline = store.pipeline();
            pipeline.get(OTHER).contains(CHANGED);
            done(pipeline.run().to_vec());
        });
        check("transaction that reads", |store| {
            let read = |keys: &mut shardkeep::Transaction<'_, u32, u32>| {
                keys.get(&CHANGED).map(Option::<&u32>::copied)
            };
            done(store.transaction([CHANGED], read).unwrap());
        });
        check("transaction that fails", |store| {
            let fail = |keys: &mut shardkeep::Transaction<'_, u32, u32>| match keys.get(&CHANGED) {
                Ok(found) => Err(found.copied()),
                Err(_) => Ok(()),
            };
            assert!(store.transaction([CHANGED], fail).is_err());
        });
        check("len", |store| done(store.len().unwrap()));
        check("iter", |store| done(store.iter().collect::<Vec<_>>()));
        check("sync", |store| store.sync().unwrap());
    }
    check(
        "clear",
        |store| store.clear().unwrap(),
        |store| done(store.get(&CHANGED).unwrap()),
    );
}

#[test]
fn after_a_failed_sync_whoever_waits_is_told_lost_and_later_writes_are_refused() {
    let place = Place::new();
    let fails = Arc::new(AtomicBool::new(false));
    let is_failing = Arc::clone(&fails);
    let durable = Durable::new().gate(move |step| match step {
        DiskStep::Sync if is_failing.load(Ordering::SeqCst) => Err(
            shardkeep::engine::JournalError::Failed("no such disk".to_owned()),
        ),
        DiskStep::Sync | DiskStep::Write => Ok(()),
    });
    let store: Numbers = Store::builder()
        .durable(place.path(), durable)
        .open()
        .unwrap();
    store.insert(OTHER, 20).unwrap();
    fails.store(true, Ordering::SeqCst);
    assert_eq!(store.insert(CHANGED, 1), Err(Error::Lost(Lost::LogFailed)));
    // The next one would succeed, and must not.
    fails.store(false, Ordering::SeqCst);
    assert_eq!(store.insert(3, 3), Err(Error::Refused(Refused::LogFailed)));
    assert_eq!(store.get(&CHANGED), Err(Error::Lost(Lost::LogFailed)));
    assert_eq!(store.get(&OTHER).unwrap(), Some(20));
    assert_eq!(store.get(&3).unwrap(), None);
    assert!(!store.close(Duration::from_secs(30)).is_clean());
}

#[test]
fn without_space_writes_are_refused_and_go_on_when_there_is_some() {
    let place = Place::new();
    let full = Arc::new(AtomicBool::new(false));
    let is_full = Arc::clone(&full);
    let durable = Durable::new().gate(move |step| match step {
        DiskStep::Write if is_full.load(Ordering::SeqCst) => Err(
            shardkeep::engine::JournalError::NoSpace("disk full".to_owned()),
        ),
        DiskStep::Sync | DiskStep::Write => Ok(()),
    });
    let (told, events) = bounded(16);
    let store: Numbers = Store::builder()
        .durable(place.path(), durable)
        .on_event(move |event| done(told.try_send(format!("{event:?}"))))
        .open()
        .unwrap();
    store.insert(OTHER, 20).unwrap();
    full.store(true, Ordering::SeqCst);
    let hasty = store.with_deadline(Duration::from_millis(50));
    let lost = hasty.insert(CHANGED, 1);
    assert!(
        matches!(lost, Err(Error::Lost(Lost::NotSynced { .. }))),
        "{lost:?}"
    );
    assert!(events.recv().unwrap().contains("NoSpace"));
    assert_eq!(
        store.insert(3, 3),
        Err(Error::Refused(Refused::LogHasNoSpace))
    );
    assert_eq!(store.get(&OTHER).unwrap(), Some(20));
    full.store(false, Ordering::SeqCst);
    // The committer asks again by itself.
    assert!(events.recv().unwrap().contains("Resumed"));
    store.insert(3, 4).unwrap();
    assert_eq!(
        store.get(&CHANGED).unwrap(),
        Some(1),
        "what had been applied was kept"
    );
    // Both handles of it.
    drop((store, hasty));
    let again: Numbers = Store::builder()
        .durable(place.path(), Durable::new())
        .open()
        .unwrap();
    assert_eq!(again.len().unwrap(), 3);
}

/// Syncs that take a part of the deadline each, and all of them more than it.
#[test]
fn large_values_of_many_threads_wait_for_their_syncs_as_long_as_these_come() {
    const WRITERS: u32 = 5;
    const DEADLINE: Duration = Duration::from_secs(2);
    for durable in [Durable::new(), Durable::new().commit_by_thread()] {
        let place = Place::new();
        let (allow, allowed) = bounded::<()>(0);
        let durable = durable.gate(move |step| {
            if step == DiskStep::Sync {
                // One for each, and all when the test drops its end.
                let _done = allowed.recv();
            }
            Ok(())
        });
        let store: Store<u32, Vec<u8>> = Store::builder()
            .deadline(DEADLINE)
            .durable(place.path(), durable)
            .open()
            .unwrap();
        let (tell, told) = bounded(WRITERS as usize);
        let longest = std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (store, tell) = (&store, tell.clone());
                scope.spawn(move || {
                    let began = shardkeep::engine::clock::now();
                    let inserted = store.insert(writer, vec![7; 5_000_000]);
                    let took = shardkeep::engine::clock::now() - began;
                    tell.send((inserted, took)).unwrap();
                });
            }
            let (mut written, mut longest) = (0, Duration::ZERO);
            while written < WRITERS {
                match told.recv_timeout(DEADLINE * 2 / 5) {
                    Ok((inserted, took)) => {
                        assert_eq!(inserted, Ok(None));
                        written += 1;
                        longest = longest.max(took);
                    }
                    // Nobody may be at a sync yet.
                    Err(_) => drop(allow.send_timeout((), DEADLINE)),
                }
            }
            longest
        });
        assert!(
            longest > DEADLINE,
            "it was not put to the test: {longest:?}"
        );
        drop(allow);
        assert!(store.close(Duration::from_secs(30)).is_clean());
    }
}
