//! What was done is there again, whatever did it.

use std::collections::HashMap;
use std::time::Duration;

use shardkeep::{Durable, Insert, Store, SyncMode, Ttl, Update};

use crate::place::Place;

const MODES: [SyncMode; 3] = [
    SyncMode::Always,
    SyncMode::Interval(Duration::from_secs(3_600)),
    SyncMode::Never,
];

fn open(place: &Place, sync: SyncMode, shards: usize) -> Store<String, u64> {
    let durable = Durable::new().sync(sync);
    Store::builder()
        .shards(shards)
        .durable(place.path(), durable)
        .open()
        .unwrap()
}

fn all(store: &Store<String, u64>) -> HashMap<String, u64> {
    store.iter().collect::<Result<_, _>>().unwrap()
}

fn key(number: u64) -> String {
    format!("key-{number}")
}

#[test]
fn what_every_kind_of_change_did_is_there_again_with_another_number_of_shards() {
    for sync in MODES {
        let place = Place::new();
        let store = open(&place, sync, 4);
        for number in 0..100 {
            assert_eq!(store.insert(key(number), number).unwrap(), None);
        }
        store.remove(&key(1)).unwrap();
        store
            .update(&key(2), |value| Update::Put(value.unwrap() + 1_000))
            .unwrap();
        store.update(&key(3), |_| Update::Remove).unwrap();
        store
            .insert_with(key(4), 44, Insert::new().if_present())
            .unwrap();
        store
            .insert_with(key(4), 45, Insert::new().if_absent())
            .unwrap();
        store.expire(&key(5), Duration::from_secs(3_600)).unwrap();
        store
            .insert_with_ttl(key(6), 6, Duration::from_secs(3_600))
            .unwrap();
        store.persist(&key(6)).unwrap();
        store.insert_many((100..200).map(|number| (key(number), number)));
        let mut pipeline = store.pipeline();
        pipeline.remove(key(100)).insert(key(101), 7).get(key(102));
        pipeline.run();
        store
            .transaction([key(7), key(8), key(9)], |keys| {
                keys.insert(&key(7), 70)?;
                keys.insert(&key(8), 80)?;
                keys.remove(&key(9))
            })
            .unwrap();
        assert_eq!(store.get_or_insert_with(&key(500), || 5).unwrap(), 5);
        store.try_insert(key(501), 6).unwrap();
        let before = all(&store);
        assert_eq!(before.len(), 198);
        assert!(store.close(Duration::from_secs(30)).is_clean());
        drop(store);

        for shards in [1, 16] {
            let store = open(&place, sync, shards);
            assert_eq!(all(&store), before, "{sync:?}");
            assert!(matches!(store.ttl(&key(5)).unwrap(), Some(Ttl::Left(_))));
            assert_eq!(store.ttl(&key(6)).unwrap(), Some(Ttl::Forever));
        }
    }
}

#[test]
fn a_cleared_store_stays_cleared_and_what_came_after_stays() {
    let place = Place::new();
    let store = open(&place, SyncMode::Always, 4);
    store.insert_many((0..50).map(|number| (key(number), number)));
    store.clear().unwrap();
    store.insert(key(7), 7).unwrap();
    drop(store);
    let store = open(&place, SyncMode::Always, 4);
    assert_eq!(all(&store), HashMap::from([(key(7), 7)]));
}

#[test]
fn a_snapshot_and_the_log_behind_it_make_the_same_store() {
    let place = Place::new();
    let store = open(&place, SyncMode::Interval(Duration::from_secs(3_600)), 4);
    store.insert_many((0..20_000).map(|number| (key(number), number)));
    let report = store.snapshot().unwrap();
    assert_eq!(report.entries, 20_000);
    store.remove(&key(0)).unwrap();
    store.insert(key(1), 11).unwrap();
    store.insert(key(20_000), 20_000).unwrap();
    let before = all(&store);
    drop(store);
    let store = open(&place, SyncMode::Never, 8);
    assert_eq!(all(&store), before);
    assert_eq!(store.snapshot().unwrap().entries, 20_000);
    drop(store);
    assert_eq!(all(&open(&place, SyncMode::Always, 2)), before);
}

#[test]
fn a_snapshot_taken_while_others_write_holds_every_change_before_and_after() {
    let place = Place::new();
    let store = open(&place, SyncMode::Never, 8);
    let writers = 3;
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let store = store.clone();
            scope.spawn(move || {
                for number in 0..5_000_u64 {
                    let key = key(number % 700 * writers + writer);
                    if number % 5 == 0 {
                        store.remove(&key).unwrap();
                    } else {
                        store.insert(key, number).unwrap();
                    }
                }
            });
        }
        for _ in 0..5 {
            store.snapshot().unwrap();
        }
    });
    let before = all(&store);
    drop(store);
    assert_eq!(all(&open(&place, SyncMode::Never, 4)), before);
}

#[test]
fn a_lost_shard_comes_back_with_all_that_was_done() {
    let place = Place::new();
    let store: Store<Touchy, u64> = Store::builder()
        .shards(1)
        .durable_with(
            place.path(),
            Durable::new(),
            TouchyCodec,
            shardkeep::codec::Plain,
        )
        .open()
        .unwrap();
    for number in 0..100 {
        store.insert(Touchy(number), u64::from(number)).unwrap();
    }
    let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.insert(Touchy(BOMB), 1)
    }));
    assert!(broken.is_err());
    let patient = store.with_deadline(Duration::from_secs(30));
    // Refused while the shard is being made again.
    let found = loop {
        match patient.get(&Touchy(42)) {
            Ok(found) => break found,
            Err(error) => assert!(error.to_string().contains("lost before"), "{error}"),
        }
    };
    assert_eq!(found, Some(42));
    assert_eq!(patient.len().unwrap(), 100);
}

/// A key whose hash panics when it is the bomb, once it is being put in its place.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Touchy(u32);

const BOMB: u32 = 1_000_000;

struct TouchyCodec;

impl shardkeep::Codec<Touchy> for TouchyCodec {
    fn encode(
        &self,
        key: &Touchy,
        into: &mut Vec<u8>,
    ) -> Result<(), shardkeep::codec::EncodeError> {
        assert!(
            key.0 != BOMB,
            "the bomb goes off while the shard is changed"
        );
        shardkeep::codec::Plain.encode(&key.0, into)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Touchy, shardkeep::codec::DecodeError> {
        shardkeep::codec::Plain.decode(bytes).map(Touchy)
    }
}
