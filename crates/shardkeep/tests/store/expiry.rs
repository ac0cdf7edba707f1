//! Entries that expire: hidden at once, removed in time.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crossbeam_channel::Sender;
use shardkeep::table::UnixMillis;
use shardkeep::{Clock, Handover, Insert, Inserted, Reply, Store, Transaction, Ttl, Update};

use crate::{BOTH, PATIENCE, channel, hold, small, spawn};

#[derive(Clone)]
struct JumpingClock(Arc<AtomicU64>);

impl JumpingClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000)))
    }

    fn jump(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, SeqCst);
    }

    fn jump_back(&self, by: Duration) {
        self.0.fetch_sub(by.as_millis() as u64, SeqCst);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(SeqCst))
    }
}

#[test]
fn an_expired_entry_is_absent_for_every_operation() {
    for handover in BOTH {
        let clock = JumpingClock::new();
        let store = small(handover).clock(clock.clone()).open().unwrap();
        let minute = Duration::from_secs(60);
        let put = |key: &'static str| store.insert_with_ttl(key, 1, minute).unwrap();
        for key in ["get", "put", "take", "cond", "upd", "kept"] {
            assert_eq!(put(key), None);
        }
        assert_eq!(store.ttl(&"get").unwrap(), Some(Ttl::Left(minute)));
        clock.jump(minute - Duration::from_millis(1));
        assert_eq!(store.get(&"get").unwrap(), Some(1));
        assert!(store.persist(&"kept").unwrap());
        clock.jump(Duration::from_millis(1));
        assert_eq!(store.get(&"get").unwrap(), None);
        assert!(!store.contains(&"get").unwrap());
        assert_eq!(store.read(&"get", |_| ()).unwrap(), None);
        assert_eq!(store.ttl(&"get").unwrap(), None);
        assert!(!store.expire(&"get", minute).unwrap());
        assert_eq!(store.insert("put", 2).unwrap(), None);
        assert_eq!(store.remove(&"take").unwrap(), None);
        let if_present = Insert::new().if_present();
        assert_eq!(
            store.insert_with("cond", 2, if_present).unwrap(),
            Inserted::Kept
        );
        assert!(store.insert_if_absent("cond", 3).unwrap());
        let mut seen = Some(0);
        store
            .update(&"upd", |value| {
                seen = value.copied();
                Update::Keep
            })
            .unwrap();
        assert_eq!(seen, None);
        assert_eq!(store.get(&"kept").unwrap(), Some(1));
        let mut left: Vec<_> = store.iter().map(|entry| entry.unwrap().0).collect();
        left.sort_unstable();
        assert_eq!(left, ["cond", "kept", "put"]);
    }
}

#[test]
fn an_insert_that_keeps_the_ttl_keeps_it_and_another_takes_it_away() {
    let clock = JumpingClock::new();
    let store = small(Handover::Lend).clock(clock.clone()).open().unwrap();
    let minute = Duration::from_secs(60);
    store.insert_with_ttl(1, 1, minute).unwrap();
    store.insert_with(1, 2, Insert::new().keep_ttl()).unwrap();
    assert_eq!(store.ttl(&1).unwrap(), Some(Ttl::Left(minute)));
    store.update(&1, |_| Update::Put(3)).unwrap();
    assert_eq!(store.ttl(&1).unwrap(), Some(Ttl::Left(minute)));
    store
        .update(&1, |_| Update::PutWithTtl(4, minute * 2))
        .unwrap();
    assert_eq!(store.ttl(&1).unwrap(), Some(Ttl::Left(minute * 2)));
    store.insert(1, 5).unwrap();
    assert_eq!(store.ttl(&1).unwrap(), Some(Ttl::Forever));
}

#[test]
fn the_owner_removes_expired_entries_that_nobody_asks_for() {
    #[derive(Clone)]
    struct Tells(Sender<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let clock = JumpingClock::new();
    let store = small(Handover::Lend).clock(clock.clone()).open().unwrap();
    let (dropped, is_dropped) = channel();
    for key in 0..10 {
        store
            .insert_with_ttl(key, Tells(dropped.clone()), Duration::from_secs(1))
            .map(drop)
            .unwrap();
    }
    clock.jump(Duration::from_secs(100));
    for _ in 0..10 {
        is_dropped.recv_timeout(PATIENCE).unwrap();
    }
    assert!(store.is_empty().unwrap());
}

#[test]
fn what_was_gone_stays_gone_when_the_clock_is_set_back() {
    for handover in BOTH {
        let clock = JumpingClock::new();
        let store = small(handover).clock(clock.clone()).open().unwrap();
        let minute = Duration::from_secs(60);
        store.insert_with_ttl("early", 1, minute).unwrap();
        store.insert_with_ttl("late", 1, 3 * minute).unwrap();
        clock.jump(2 * minute);
        assert_eq!(store.get(&"early").unwrap(), None);
        clock.jump_back(2 * minute);
        assert_eq!(store.get(&"early").unwrap(), None);
        assert!(!store.contains(&"early").unwrap());
        assert_eq!(store.iter().count(), 1);
        assert_eq!(store.ttl(&"late").unwrap(), Some(Ttl::Left(minute)));
        // Expiry time goes on when the clock is where it was.
        clock.jump(2 * minute);
        assert_eq!(store.get(&"late").unwrap(), Some(1));
        clock.jump(minute);
        assert_eq!(store.get(&"late").unwrap(), None);
    }
}

/// Whatever gives an entry a time to live.
type Giving = fn(&Store<u32, u32>, u32, Duration);

const GIVING: [(&str, Giving); 7] = [
    ("insert_with_ttl", |store, key, ttl| {
        store.insert_with_ttl(key, 1, ttl).unwrap();
    }),
    ("insert_with", |store, key, ttl| {
        let how = Insert::new().if_absent().ttl(ttl);
        assert_eq!(store.insert_with(key, 1, how), Ok(Inserted::Stored(None)));
    }),
    ("update", |store, key, ttl| {
        let put = |_: Option<&u32>| Update::PutWithTtl(1, ttl);
        store.update(&key, put).unwrap();
    }),
    ("expire", |store, key, ttl| {
        store.insert(key, 1).unwrap();
        assert!(store.expire(&key, ttl).unwrap());
    }),
    ("transaction", |store, key, ttl| {
        let run = |tx: &mut Transaction<'_, u32, u32>| tx.insert_with_ttl(&key, 1, ttl);
        store.transaction([key], run).unwrap();
    }),
    ("pipeline", |store, key, ttl| {
        let mut pipeline = store.pipeline();
        pipeline.insert_with(key, 1, Insert::new().ttl(ttl));
        assert_eq!(pipeline.run(), [Reply::Value(None)]);
    }),
    (
        "a batch that reads what it has written",
        |store, key, ttl| {
            let mut pipeline = store.pipeline();
            pipeline
                .insert_with(key, 1, Insert::new().ttl(ttl))
                .get(key);
            assert_eq!(pipeline.run(), [Reply::Value(None), Reply::Value(Some(1))]);
        },
    ),
];

#[test]
fn a_time_to_live_begins_when_the_entry_is_there_however_long_its_call_has_waited() {
    let minute = Duration::from_secs(60);
    for handover in BOTH {
        for (name, give) in GIVING {
            let clock = JumpingClock::new();
            let held = hold(small(handover).clock(clock.clone()));
            let store = held.store.clone();
            let mailed = || held.store.stats()[0].depth;
            let before = mailed();
            let given = spawn(move || give(&store, 7, minute));
            while mailed() == before {
                std::thread::yield_now();
            }
            clock.jump(2 * minute);
            let store = held.store.clone();
            held.release();
            given.join().unwrap();
            assert_eq!(
                store.ttl(&7),
                Ok(Some(Ttl::Left(minute))),
                "{name}, {handover:?}"
            );
        }
    }
}

#[test]
fn what_is_written_in_one_transaction_expires_at_one_moment_counted_from_its_end() {
    let minute = Duration::from_secs(60);
    let clock = JumpingClock::new();
    let store = small(Handover::Lend).clock(clock.clone()).open().unwrap();
    let transaction = store.transaction([1, 2], |tx| {
        tx.insert_with_ttl(&1, 1, minute)?;
        clock.jump(2 * minute);
        tx.insert_with_ttl(&2, 2, minute)
    });
    transaction.unwrap();
    for key in [1, 2] {
        assert_eq!(store.ttl(&key), Ok(Some(Ttl::Left(minute))));
    }
}

#[test]
fn no_time_to_live_is_too_long_and_none_but_nothing_is_nothing() {
    for handover in BOTH {
        for (name, give) in GIVING {
            for (ttl, is_there) in [
                (Duration::MAX, true),
                (Duration::from_millis(u64::MAX), true),
                (Duration::from_nanos(1), true),
                (Duration::ZERO, false),
            ] {
                // The batch that reads what it has written sees nothing of what is gone at once.
                if !is_there && name.starts_with("a batch") {
                    continue;
                }
                let clock = JumpingClock::new();
                let store = small(handover).clock(clock.clone()).open().unwrap();
                give(&store, 7, ttl);
                let found = store.get(&7).unwrap();
                assert_eq!(found.is_some(), is_there, "{name}, {handover:?}, {ttl:?}");
                clock.jump(Duration::from_millis(1));
                let outlives = ttl > Duration::from_secs(1);
                assert_eq!(
                    store.get(&7).unwrap().is_some(),
                    outlives,
                    "{name}, {ttl:?}"
                );
            }
        }
    }
}

#[test]
fn no_deadline_and_no_window_is_too_long() {
    for handover in BOTH {
        let store: Store<u32, u32> = small(handover)
            .deadline(Duration::MAX)
            .write_window(Duration::MAX)
            .open()
            .unwrap();
        assert_eq!(store.insert(1, 1), Ok(None));
        assert_eq!(store.with_deadline(Duration::MAX).get(&1), Ok(Some(1)));
        assert!(store.close(Duration::MAX).is_clean());
    }
}
