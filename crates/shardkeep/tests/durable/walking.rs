//! Walks beside histories of chance: a backup is the store at one of its moments, and whatever snapshots were taken,
//! the store that is opened next is the one that was left.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::Duration;

use shardkeep::table::UnixMillis;
use shardkeep::{Clock, Durable, Insert, Inserted, KeyNotNamed, Store, SyncMode, Ttl, Update};

use crate::place::Place;

/// Keys of a store: enough that a walk takes some slices for each shard.
const KEYS: u64 = 4_000;

/// Backups beside one history.
const BACKUPS_MAX: usize = 5;

/// Value and the moment of its expiry.
type Entry = (u64, Option<u64>);

#[derive(Clone)]
struct StoppedClock(Arc<AtomicU64>);

impl StoppedClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000)))
    }

    fn millis(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.millis())
    }
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn open(place: &Place, sync: SyncMode, shards: usize, clock: &StoppedClock) -> Store<u64, u64> {
    let durable = Durable::new().disk_reserve(0).sync(sync);
    let builder = Store::builder().shards(shards).clock(clock.clone());
    // No call ends for want of time, however crowded the machine is.
    let builder = builder.deadline(Duration::from_secs(60));
    builder.durable(place.path(), durable).open().unwrap()
}

/// What a store shows.
fn shown(store: &Store<u64, u64>, clock: &StoppedClock) -> BTreeMap<u64, Entry> {
    let entries = store.iter().map(Result::unwrap);
    entries
        .map(|(key, value)| {
            let expires = match store.ttl(&key).unwrap() {
                Some(Ttl::Left(left)) => Some(clock.millis() + left.as_millis() as u64),
                Some(Ttl::Forever) => None,
                None => panic!("{key} is gone, and the clock stands still"),
            };
            (key, (value, expires))
        })
        .collect()
}

/// Keys, and what a step has left of each.
type Changes = Vec<(u64, Option<Entry>)>;

/// What one step did.
enum Changed {
    /// At one moment.
    AtOnce(Changes),
    /// To each key for itself: a walk may see some of it.
    OneByOne(Changes),
    All,
}

impl Changed {
    fn keys(&self) -> &[(u64, Option<Entry>)] {
        match self {
            Self::AtOnce(keys) | Self::OneByOne(keys) => keys,
            Self::All => &[],
        }
    }

    fn apply(&self, model: &mut BTreeMap<u64, Entry>) {
        if matches!(self, Self::All) {
            model.clear();
        }
        for &(key, entry) in self.keys() {
            match entry {
                Some(entry) => model.insert(key, entry),
                None => model.remove(&key),
            };
        }
    }
}

/// A backup, and how many steps were done before it was asked for and had begun when it was there.
struct Taken {
    place: Place,
    from: u64,
    to: u64,
}

/// A store, what it must hold, and each of the moments since the last look.
struct History {
    store: Store<u64, u64>,
    clock: StoppedClock,
    chance: Chance,
    model: BTreeMap<u64, Entry>,
    before: BTreeMap<u64, Entry>,
    steps: Vec<Changed>,
    /// Steps that have begun, and that are done.
    begun: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
}

impl History {
    fn new(store: Store<u64, u64>, clock: StoppedClock, seed: u64) -> Self {
        let mut history = Self {
            store,
            clock,
            chance: Chance(seed),
            model: BTreeMap::new(),
            before: BTreeMap::new(),
            steps: Vec::new(),
            begun: Arc::default(),
            done: Arc::default(),
        };
        history.fill();
        history
    }

    /// Every second key has an entry.
    fn fill(&mut self) {
        let filled = (0..KEYS / 2).map(|number| (number * 2, number));
        let inserted = self.store.insert_many(filled.clone());
        assert!(inserted.iter().all(Result::is_ok));
        self.model
            .extend(filled.map(|(key, value)| (key, (value, None))));
    }

    fn walker(&self) -> Walker {
        Walker {
            store: self.store.clone(),
            begun: Arc::clone(&self.begun),
            done: Arc::clone(&self.done),
        }
    }

    /// Opens the store again, with another number of shards.
    fn reopen(&mut self, place: &Place, sync: SyncMode, shards: usize) {
        // The directory is free when no handle is left.
        drop(std::mem::replace(&mut self.store, Store::open().unwrap()));
        self.store = open(place, sync, shards, &self.clock);
    }

    /// From here on moments are remembered.
    fn remember(&mut self) {
        self.before.clone_from(&self.model);
        self.steps.clear();
        self.begun.store(0, SeqCst);
        self.done.store(0, SeqCst);
    }

    fn alive(&self, key: u64) -> Option<Entry> {
        let now = self.clock.millis();
        let found = self.model.get(&key).copied();
        found.filter(|(_, expires)| expires.is_none_or(|at| at > now))
    }

    fn key(&mut self) -> u64 {
        self.chance.below(KEYS)
    }

    /// A time to live, and the moment at which it ends.
    fn life(&mut self) -> (Duration, u64) {
        let millis = 1 + self.chance.below(2_000);
        (Duration::from_millis(millis), self.clock.millis() + millis)
    }

    /// One operation, of any kind.
    fn step(&mut self) {
        self.begun.fetch_add(1, SeqCst);
        let changed = match self.chance.below(600) {
            0 => {
                self.store.clear().unwrap();
                Changed::All
            }
            1..20 => Changed::OneByOne(self.batch()),
            20..40 => Changed::OneByOne(self.pipeline()),
            40..80 => Changed::AtOnce(self.transaction()),
            80..120 => {
                let millis = self.chance.below(50);
                self.clock.0.fetch_add(millis, SeqCst);
                Changed::AtOnce(Vec::new())
            }
            kind => Changed::AtOnce(self.single(kind).into_iter().collect()),
        };
        changed.apply(&mut self.model);
        self.steps.push(changed);
        self.done.fetch_add(1, SeqCst);
    }

    /// An operation on one key.
    fn single(&mut self, kind: u64) -> Option<(u64, Option<Entry>)> {
        let (key, value) = (self.key(), self.chance.below(1_000));
        let (old, (ttl, ends)) = (self.alive(key), self.life());
        let was = old.map(|(value, _)| value);
        let store = &self.store;
        let entry = match kind % 11 {
            0 => {
                assert_eq!(store.insert(key, value).unwrap(), was);
                Some((value, None))
            }
            1 => {
                assert_eq!(store.insert_with_ttl(key, value, ttl).unwrap(), was);
                Some((value, Some(ends)))
            }
            2 => {
                let how = Insert::new().if_absent().ttl(ttl);
                let inserted = store.insert_with(key, value, how).unwrap();
                assert_eq!(inserted == Inserted::Kept, old.is_some());
                old.or(Some((value, Some(ends))))
            }
            3 => {
                let how = Insert::new().if_present().keep_ttl();
                let inserted = store.insert_with(key, value, how).unwrap();
                assert_eq!(inserted == Inserted::Kept, old.is_none());
                old.map(|(_, expires)| (value, expires))
            }
            4 | 5 => {
                assert_eq!(store.expire(&key, ttl).unwrap(), old.is_some());
                old.map(|(value, _)| (value, Some(ends)))
            }
            6 => {
                let persisted = store.persist(&key).unwrap();
                assert_eq!(persisted, old.is_some_and(|(_, at)| at.is_some()));
                old.map(|(value, _)| (value, None))
            }
            7 => {
                assert_eq!(store.remove(&key).unwrap(), was);
                None
            }
            8 => {
                let add = |found: Option<&u64>| Update::Put(found.map_or(0, |found| found + 1));
                assert_eq!(store.update(&key, add).unwrap(), was);
                // Its expiry is the one that it had.
                let (value, expires) = old.map_or((0, None), |(was, at)| (was + 1, at));
                Some((value, expires))
            }
            9 => {
                store.update(&key, |_| Update::Remove).unwrap();
                None
            }
            _ => {
                assert_eq!(store.get(&key).unwrap(), was);
                return None;
            }
        };
        Some((key, entry))
    }

    /// All in one record.
    fn transaction(&mut self) -> Changes {
        let keys = [self.key(), self.key(), self.key(), self.key()];
        let (ttl, ends) = self.life();
        let sum: u64 = keys
            .iter()
            .filter_map(|key| self.alive(*key))
            .map(|it| it.0)
            .sum();
        let sums = self.store.transaction(keys, |them| {
            let mut sum = 0;
            for key in &keys {
                sum += them.get(key)?.copied().unwrap_or_default();
            }
            them.insert(&keys[0], sum)?;
            them.insert_with_ttl(&keys[1], sum + 1, ttl)?;
            them.remove(&keys[2])?;
            Ok::<_, KeyNotNamed>(sum)
        });
        assert_eq!(sums.unwrap(), sum);
        vec![
            (keys[0], Some((sum, None))),
            (keys[1], Some((sum + 1, Some(ends)))),
            (keys[2], None),
        ]
    }

    fn pipeline(&mut self) -> Changes {
        let (key, (ttl, ends)) = (self.key(), self.life());
        let keys = [0, 1, 2].map(|more| (key + more * 7) % KEYS);
        let mut pipeline = self.store.pipeline();
        let with_ttl = Insert::new().ttl(ttl);
        pipeline.insert_with(keys[0], 1, with_ttl).remove(keys[1]);
        assert_eq!(pipeline.insert(keys[2], 3).run().len(), 3);
        let left = [Some((1, Some(ends))), None, Some((3, None))];
        keys.into_iter().zip(left).collect()
    }

    fn batch(&mut self) -> Changes {
        let (first, value) = (self.key(), self.chance.below(1_000));
        let keys = (0..10).map(|more| (first + more) % KEYS);
        let inserted = self.store.insert_many(keys.clone().map(|key| (key, value)));
        assert!(inserted.iter().all(Result::is_ok));
        keys.map(|key| (key, Some((value, None)))).collect()
    }

    /// The store shows what it must.
    #[track_caller]
    fn check(&self) {
        let now = self.clock.millis();
        let mut alive = self.model.clone();
        alive.retain(|_, entry| is_alive(*entry, now));
        assert!(
            shown(&self.store, &self.clock) == alive,
            "another state than was left"
        );
    }

    /// The backup is what the store was at one moment while it was taken.
    #[track_caller]
    fn check_backup(&self, taken: &Taken) {
        let store = open(&taken.place, SyncMode::Never, 4, &self.clock);
        let (shown, now) = (shown(&store, &self.clock), self.clock.millis());
        let is_shown = |key: &u64, entry: Option<Entry>| {
            shown.get(key).copied() == entry.filter(|entry| is_alive(*entry, now))
        };
        let wrong = |model: &BTreeMap<u64, Entry>| {
            let keys = 0..KEYS;
            keys.filter(|key| !is_shown(key, model.get(key).copied()))
                .count()
        };
        let mut model = self.before.clone();
        let mut left = wrong(&model);
        for (number, step) in (0..).zip(&self.steps) {
            if left == 0 && (taken.from..=taken.to).contains(&number) {
                return;
            }
            let of_step = |model: &BTreeMap<u64, Entry>| {
                let keys: BTreeSet<u64> = step.keys().iter().map(|(key, _)| *key).collect();
                keys.into_iter()
                    .filter(|key| !is_shown(key, model.get(key).copied()))
                    .count()
            };
            let (before, is_within) = (of_step(&model), (taken.from..taken.to).contains(&number));
            if let Changed::OneByOne(keys) = step
                && is_within
                && left == before
                && keys
                    .iter()
                    .all(|(key, new)| is_shown(key, *new) || is_shown(key, model.get(key).copied()))
            {
                return;
            }
            step.apply(&mut model);
            left = match step {
                Changed::All => wrong(&model),
                _ => left - before + of_step(&model),
            };
        }
        let at_the_end = left == 0 && taken.to == self.steps.len() as u64;
        assert!(
            at_the_end,
            "the backup is no moment of {}..={}",
            taken.from, taken.to
        );
    }

    /// So many steps, while another thread takes snapshots and backups of it, which are given.
    fn beside_walks(&mut self, steps: usize) -> Vec<Taken> {
        self.remember();
        let walker = self.walker();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let walks = scope.spawn(|| walker.walk_until(&stop));
            // It stops whether or not a step panics.
            let stepped = catch_unwind(AssertUnwindSafe(|| {
                for _ in 0..steps {
                    self.step();
                }
            }));
            stop.store(true, SeqCst);
            let taken = walks.join().unwrap();
            stepped.unwrap();
            taken
        })
    }
}

fn is_alive((_, expires): Entry, now: u64) -> bool {
    expires.is_none_or(|at| at > now)
}

/// Takes snapshots and backups of a store that goes on.
struct Walker {
    store: Store<u64, u64>,
    begun: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
}

impl Walker {
    fn backup(&self) -> Taken {
        let (place, from) = (Place::new(), self.done.load(SeqCst));
        self.store.backup(place.path()).unwrap();
        let to = self.begun.load(SeqCst);
        Taken { place, from, to }
    }

    fn walk_until(&self, stop: &AtomicBool) -> Vec<Taken> {
        let mut taken = Vec::new();
        // The newest snapshot is one that was taken in the middle.
        while !stop.load(SeqCst) && taken.len() < BACKUPS_MAX {
            self.store.snapshot().unwrap();
            if !stop.load(SeqCst) {
                taken.push(self.backup());
            }
        }
        taken
    }
}

/// Steps of a store that is opened again behind them.
const fn steps(sync: SyncMode) -> usize {
    match sync {
        // Each waits for the disk.
        SyncMode::Always => 300,
        _ => 4_000,
    }
}

#[expect(clippy::print_stdout, reason = "a seed that failed is wanted again")]
#[test]
fn a_backup_beside_a_history_is_one_of_its_moments_and_what_is_opened_next_is_what_was_left() {
    for (seed, sync) in [
        (1, SyncMode::Never),
        (2, SyncMode::Always),
        (3, SyncMode::Never),
    ] {
        println!("seed {seed}, {sync:?}");
        let (place, clock) = (Place::new(), StoppedClock::new());
        let mut history = History::new(open(&place, sync, 8, &clock), clock.clone(), seed);
        for shards in [1, 4, 16] {
            let taken = history.beside_walks(steps(sync));
            taken.iter().for_each(|taken| history.check_backup(taken));
            history.check();
            history.reopen(&place, sync, shards);
            history.check();
        }
    }
}

#[test]
fn a_backup_between_two_steps_is_the_moment_at_which_it_was_asked_for() {
    let (place, clock) = (Place::new(), StoppedClock::new());
    let store = open(&place, SyncMode::Never, 4, &clock);
    let mut history = History::new(store, clock, 4);
    for shards in [2, 8] {
        history.remember();
        for _ in 0..4 {
            (0..300).for_each(|_| history.step());
            let walker = history.walker();
            let taken = walker.backup();
            assert_eq!(taken.from, taken.to);
            history.check_backup(&taken);
            (0..100).for_each(|_| history.step());
            walker.store.snapshot().unwrap();
        }
        history.reopen(&place, SyncMode::Never, shards);
        history.check();
    }
}
