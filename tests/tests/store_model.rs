//! The store against a `HashMap`: the same operations, the same answers.
//!
//! Time jumps, segments are small so that they split, and some keys collide on purpose.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use proptest::prelude::*;
use shardkeep::table::UnixMillis;
use shardkeep::{
    Clock, Error, Handover, Insert, Inserted, KeyNotNamed, Refused, Reply, Store, Ttl, Update,
};

/// Longer than any run takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Few, so that operations meet.
const KEYS: u8 = 24;
/// Small enough that so few keys split a segment.
const SEGMENT_ENTRIES: usize = 7;
const OPERATIONS_MAX: usize = 120;
const CASES: u32 = 128;

#[derive(Clone)]
struct JumpingClock(Arc<AtomicU64>);

impl Clock for JumpingClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(SeqCst))
    }
}

/// A key made of a number; its hash may be good or bad.
trait ModelKey: shardkeep::Key + Ord + std::fmt::Debug + From<u8> {}
impl<K: shardkeep::Key + Ord + std::fmt::Debug + From<u8>> ModelKey for K {}

/// All hashes are one of three.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Colliding(u8);

impl Hash for Colliding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0 % 3).hash(state);
    }
}

impl From<u8> for Colliding {
    fn from(key: u8) -> Self {
        Self(key)
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Ask(Ask),
    Write(Write),
    Change(Change),
    Many(Many),
    Jump(u8),
}

#[derive(Clone, Debug)]
enum Ask {
    Get(u8),
    TryGet(u8),
    Read(u8),
    Contains(u8),
    Ttl(u8),
    GetMany(Vec<u8>),
    Walk,
}

#[derive(Clone, Debug)]
enum Write {
    Insert(u8),
    InsertWithTtl(u8, u8),
    InsertIfAbsent(u8),
    InsertIfPresent(u8),
    InsertKeepingTtl(u8),
    Remove(u8),
    GetOrInsert(u8),
    Expire(u8, u8),
    Persist(u8),
}

/// By `update`.
#[derive(Clone, Debug)]
enum Change {
    Put(u8),
    PutWithTtl(u8, u8),
    Drop(u8),
}

#[derive(Clone, Debug)]
enum Many {
    Insert(Vec<u8>),
    Pipeline(Vec<(u8, u8)>),
    Swap(u8, u8),
    AbortedSwap(u8, u8),
    Clear,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let key = || 0..KEYS;
    let pair = || (0..KEYS, 0..KEYS);
    let keys = || prop::collection::vec(0..KEYS, 0..20);
    let with_ttl = || (0..KEYS, 0..50_u8);
    let ask = prop_oneof![
        4 => key().prop_map(Ask::Get),
        2 => key().prop_map(Ask::TryGet),
        2 => key().prop_map(Ask::Read),
        2 => key().prop_map(Ask::Contains),
        2 => key().prop_map(Ask::Ttl),
        1 => keys().prop_map(Ask::GetMany),
        1 => Just(Ask::Walk),
    ];
    let write = prop_oneof![
        key().prop_map(Write::Insert),
        with_ttl().prop_map(|(key, ttl)| Write::InsertWithTtl(key, ttl)),
        key().prop_map(Write::InsertIfAbsent),
        key().prop_map(Write::InsertIfPresent),
        key().prop_map(Write::InsertKeepingTtl),
        key().prop_map(Write::Remove),
        key().prop_map(Write::GetOrInsert),
        with_ttl().prop_map(|(key, ttl)| Write::Expire(key, ttl)),
        key().prop_map(Write::Persist),
    ];
    let change = prop_oneof![
        key().prop_map(Change::Put),
        with_ttl().prop_map(|(key, ttl)| Change::PutWithTtl(key, ttl)),
        key().prop_map(Change::Drop),
    ];
    let many = prop_oneof![
        4 => keys().prop_map(Many::Insert),
        8 => prop::collection::vec((0..5_u8, key()), 0..20).prop_map(Many::Pipeline),
        4 => pair().prop_map(|(a, b)| Many::Swap(a, b)),
        2 => pair().prop_map(|(a, b)| Many::AbortedSwap(a, b)),
        1 => Just(Many::Clear),
    ];
    let operation = prop_oneof![
        6 => ask.prop_map(Operation::Ask),
        8 => write.prop_map(Operation::Write),
        3 => change.prop_map(Operation::Change),
        3 => many.prop_map(Operation::Many),
        2 => (0..40_u8).prop_map(Operation::Jump),
    ];
    prop::collection::vec(operation, 1..OPERATIONS_MAX)
}

/// The naive twin: no shards, no expiry but by asking.
#[derive(Default)]
struct Model {
    entries: BTreeMap<u8, (u64, Option<u64>)>,
}

impl Model {
    fn find(&self, key: u8, now: u64) -> Option<(u64, Option<u64>)> {
        let entry = self.entries.get(&key).copied()?;
        entry.1.is_none_or(|expires| expires > now).then_some(entry)
    }

    fn get(&self, key: u8, now: u64) -> Option<u64> {
        self.find(key, now).map(|entry| entry.0)
    }

    fn put(&mut self, key: u8, value: u64, expires: Option<u64>, now: u64) -> Option<u64> {
        let old = self.get(key, now);
        self.entries.insert(key, (value, expires));
        old
    }

    fn remove(&mut self, key: u8, now: u64) -> Option<u64> {
        let old = self.get(key, now);
        self.entries.remove(&key);
        old
    }
}

struct Pair<K: ModelKey> {
    store: Store<K, u64>,
    clock: JumpingClock,
    model: Model,
    /// Every written value is another.
    next: u64,
}

impl<K: ModelKey> Pair<K> {
    fn open(shards: usize, handover: Handover) -> Self {
        let clock = JumpingClock(Arc::new(AtomicU64::new(1_000)));
        let store = Store::builder()
            .shards(shards)
            .owners(1)
            .handover(handover)
            .hasher_seed(11)
            .segment_entries(SEGMENT_ENTRIES)
            .deadline(PATIENCE)
            .clock(clock.clone())
            .open()
            .unwrap();
        Self {
            store,
            clock,
            model: Model::default(),
            next: 0,
        }
    }

    fn now(&self) -> u64 {
        self.clock.0.load(SeqCst)
    }

    fn value(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn step(&mut self, operation: &Operation) {
        match operation {
            Operation::Ask(ask) => self.ask(ask),
            Operation::Write(write) => self.write(write),
            Operation::Change(change) => self.change(change),
            Operation::Many(many) => self.many(many),
            Operation::Jump(millis) => {
                self.clock.0.fetch_add(u64::from(*millis), SeqCst);
            }
        }
    }

    fn ask(&self, ask: &Ask) {
        let (store, model, now) = (&self.store, &self.model, self.now());
        match ask {
            Ask::Get(key) => {
                assert_eq!(store.get(&K::from(*key)), Ok(model.get(*key, now)));
            }
            Ask::TryGet(key) => {
                let found = loop {
                    match store.try_get(&K::from(*key)) {
                        Err(Refused::Busy { .. }) => std::thread::yield_now(),
                        result => break result,
                    }
                };
                assert_eq!(found, Ok(model.get(*key, now)));
            }
            Ask::Read(key) => {
                let read = store.read(&K::from(*key), |value| *value);
                assert_eq!(read, Ok(model.get(*key, now)));
            }
            Ask::Contains(key) => {
                let contains = store.contains(&K::from(*key));
                assert_eq!(contains, Ok(model.get(*key, now).is_some()));
            }
            Ask::Ttl(key) => {
                let ttl = model.find(*key, now).map(|(_, expires)| match expires {
                    None => Ttl::Forever,
                    Some(at) => Ttl::Left(Duration::from_millis(at - now)),
                });
                assert_eq!(store.ttl(&K::from(*key)), Ok(ttl));
            }
            Ask::GetMany(keys) => {
                let found: Result<Vec<_>, Error> = store
                    .get_many(keys.iter().map(|&key| K::from(key)))
                    .into_iter()
                    .collect();
                let expected = keys.iter().map(|&key| model.get(key, now)).collect();
                assert_eq!(found, Ok(expected));
            }
            Ask::Walk => {
                let mut walked: Vec<_> = store.iter().map(Result::unwrap).collect();
                walked.sort_unstable();
                let expected: Vec<_> = (0..KEYS)
                    .filter_map(|key| Some((K::from(key), model.get(key, now)?)))
                    .collect();
                assert_eq!(walked, expected);
                // Expired entries may have been removed already, or not yet.
                assert!((expected.len()..=model.entries.len()).contains(&store.len().unwrap()));
            }
        }
    }

    fn write(&mut self, write: &Write) {
        let (now, value) = (self.now(), self.value());
        let (store, model) = (&self.store, &mut self.model);
        match write {
            Write::Insert(key) => {
                let old = model.put(*key, value, None, now);
                assert_eq!(store.insert(K::from(*key), value), Ok(old));
            }
            Write::InsertWithTtl(key, ttl) => {
                let old = model.put(*key, value, Some(now + u64::from(*ttl)), now);
                let ttl = Duration::from_millis(u64::from(*ttl));
                assert_eq!(store.insert_with_ttl(K::from(*key), value, ttl), Ok(old));
            }
            Write::InsertIfAbsent(key) => {
                let absent = model.get(*key, now).is_none();
                if absent {
                    model.put(*key, value, None, now);
                }
                assert_eq!(store.insert_if_absent(K::from(*key), value), Ok(absent));
            }
            Write::InsertIfPresent(key) => {
                let old = model.get(*key, now);
                if old.is_some() {
                    model.put(*key, value, None, now);
                }
                assert_eq!(store.insert_if_present(K::from(*key), value), Ok(old));
            }
            Write::InsertKeepingTtl(key) => {
                let expires = model.find(*key, now).and_then(|entry| entry.1);
                let old = model.put(*key, value, expires, now);
                let inserted = store.insert_with(K::from(*key), value, Insert::new().keep_ttl());
                assert_eq!(inserted, Ok(Inserted::Stored(old)));
            }
            Write::Remove(key) => {
                let old = model.remove(*key, now);
                assert_eq!(store.remove(&K::from(*key)), Ok(old));
            }
            Write::GetOrInsert(key) => {
                let expected = model.get(*key, now).unwrap_or_else(|| {
                    model.put(*key, value, None, now);
                    value
                });
                let got = store.get_or_insert_with(&K::from(*key), || value);
                assert_eq!(got, Ok(expected));
            }
            Write::Expire(key, ttl) => {
                let found = model.find(*key, now);
                if let Some((value, _)) = found {
                    model.put(*key, value, Some(now + u64::from(*ttl)), now);
                }
                let ttl = Duration::from_millis(u64::from(*ttl));
                assert_eq!(store.expire(&K::from(*key), ttl), Ok(found.is_some()));
            }
            Write::Persist(key) => {
                let found = model.find(*key, now);
                if let Some((value, _)) = found {
                    model.put(*key, value, None, now);
                }
                let had = found.is_some_and(|entry| entry.1.is_some());
                assert_eq!(store.persist(&K::from(*key)), Ok(had));
            }
        }
    }

    fn change(&mut self, change: &Change) {
        let (now, value) = (self.now(), self.value());
        let (store, model) = (&self.store, &mut self.model);
        let (key, update, expected) = match change {
            Change::Put(key) => {
                let expires = model.find(*key, now).and_then(|entry| entry.1);
                let old = model.put(*key, value, expires, now);
                (*key, Update::Put(value), old)
            }
            Change::PutWithTtl(key, ttl) => {
                let old = model.put(*key, value, Some(now + u64::from(*ttl)), now);
                let ttl = Duration::from_millis(u64::from(*ttl));
                (*key, Update::PutWithTtl(value, ttl), old)
            }
            Change::Drop(key) => {
                let old = model.remove(*key, now);
                (*key, Update::Remove, old)
            }
        };
        let mut seen = None;
        let replaced = store.update(&K::from(key), |value| {
            seen = value.copied();
            update
        });
        assert_eq!((replaced, seen), (Ok(expected), expected));
    }

    fn many(&mut self, many: &Many) {
        let now = self.now();
        match many {
            Many::Insert(keys) => {
                let entries: Vec<_> = keys.iter().map(|&key| (key, self.value())).collect();
                let expected: Vec<_> = entries
                    .iter()
                    .map(|&(key, value)| Ok(self.model.put(key, value, None, now)))
                    .collect();
                let entries = entries
                    .into_iter()
                    .map(|(key, value)| (K::from(key), value));
                assert_eq!(self.store.insert_many(entries), expected);
            }
            Many::Pipeline(steps) => self.pipeline(steps),
            Many::Swap(a, b) => {
                let (of_a, of_b) = (self.model.get(*a, now), self.model.get(*b, now));
                for (key, value) in [(*a, of_b), (*b, of_a)] {
                    match value {
                        Some(value) => self.model.put(key, value, None, now),
                        None => self.model.remove(key, now),
                    };
                }
                let (a, b) = (K::from(*a), K::from(*b));
                let swapped = self.store.transaction([a.clone(), b.clone()], |tx| {
                    let (of_a, of_b) = (tx.get(&a)?.copied(), tx.get(&b)?.copied());
                    for (key, value) in [(&a, of_b), (&b, of_a)] {
                        match value {
                            Some(value) => tx.insert(key, value)?,
                            None => tx.remove(key)?,
                        }
                    }
                    Ok::<_, KeyNotNamed>(())
                });
                assert_eq!(swapped, Ok(()));
            }
            Many::AbortedSwap(a, b) => {
                let (a, b) = (K::from(*a), K::from(*b));
                let aborted = self.store.transaction([a.clone(), b.clone()], |tx| {
                    tx.insert(&a, 0).unwrap();
                    tx.remove(&b).unwrap();
                    Err::<Infallible, _>(())
                });
                assert!(aborted.is_err());
            }
            Many::Clear => {
                self.model.entries.clear();
                assert_eq!(self.store.clear(), Ok(()));
            }
        }
    }

    fn pipeline(&mut self, steps: &[(u8, u8)]) {
        let now = self.now();
        let mut pipeline = self.store.pipeline();
        let mut expected = Vec::new();
        for &(what, key) in steps {
            let value = self.value();
            let model = &mut self.model;
            match what {
                0 => {
                    pipeline.get(K::from(key));
                    expected.push(Reply::Value(model.get(key, now)));
                }
                1 => {
                    pipeline.insert(K::from(key), value);
                    expected.push(Reply::Value(model.put(key, value, None, now)));
                }
                2 => {
                    pipeline.remove(K::from(key));
                    expected.push(Reply::Value(model.remove(key, now)));
                }
                3 => {
                    pipeline.contains(K::from(key));
                    expected.push(Reply::Flag(model.get(key, now).is_some()));
                }
                _ => {
                    pipeline.insert_with(K::from(key), value, Insert::new().if_absent());
                    expected.push(match model.get(key, now) {
                        Some(_) => Reply::Kept,
                        None => Reply::Value(model.put(key, value, None, now)),
                    });
                }
            }
        }
        assert_eq!(pipeline.run(), expected);
    }
}

fn check<K: ModelKey>(operations: &[Operation]) {
    for shards in [1, 2, 8] {
        for handover in [Handover::Lend, Handover::Mail] {
            let mut pair = Pair::<K>::open(shards, handover);
            for operation in operations {
                pair.step(operation);
            }
            pair.step(&Operation::Ask(Ask::Walk));
            let report = pair.store.close(PATIENCE);
            assert!(report.is_clean(), "{report:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_like_a_map(operations in operations()) {
        check::<u8>(&operations);
    }

    #[test]
    fn the_store_answers_like_a_map_when_hashes_collide(operations in operations()) {
        check::<Colliding>(&operations);
    }
}
