//! Entries that expire: hidden at once, removed in time.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crossbeam_channel::Sender;
use shardkeep::table::UnixMillis;
use shardkeep::{Clock, Handover, Insert, Inserted, Ttl, Update};

use crate::{BOTH, PATIENCE, channel, small};

#[derive(Clone)]
struct JumpingClock(Arc<AtomicU64>);

impl JumpingClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000)))
    }

    fn jump(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, SeqCst);
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
