use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use shardkeep::effect;
use shardkeep::engine::Effects;
use shardkeep::shard::{Image, Moment, Pressure, Slice, WalkPoint};

use super::*;
use crate::commands::replay;

const NOW: u64 = 1_000_000;
const DATABASES: u32 = 3;

fn keyspace() -> Keyspace {
    let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let mut keyspace = Keyspace::new(2, hasher).with_databases(DATABASES);
    keyspace.set_now(UnixMillis::new(NOW));
    keyspace
}

fn hash(keyspace: &Keyspace, key: &[u8]) -> u64 {
    hash_key(&keyspace.hasher, key)
}

/// What the accounts say must be what a count of all entries gives.
#[track_caller]
fn check_accounts(keyspace: &Keyspace) {
    let records = || keyspace.table.iter();
    let memory: usize = records().map(Record::allocated_bytes).sum();
    assert_eq!(keyspace.accounts.memory, memory);
    let expires = records().filter(|record| record.expires_at().is_some());
    assert_eq!(keyspace.expires(), expires.count());
}

#[derive(Clone, Debug)]
enum Step {
    Get,
    Set(Vec<u8>, Option<u64>),
    Put(Vec<u8>, Option<u64>),
    SetValue(Vec<u8>),
    SetExpiry(Option<u64>),
    Append(Vec<u8>),
    Overwrite(usize, Vec<u8>),
    Remove,
    LookAway,
    Pass(u64),
    Tend,
    Clear,
    Select(u32),
    Swap(u32, u32),
    ClearAll,
    Cut(Moment),
    Slice,
    Void,
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..80)
}

fn life() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(1..100_u64)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Get),
        4 => (value(), life()).prop_map(|(value, life)| Step::Set(value, life)),
        1 => (value(), life()).prop_map(|(value, life)| Step::Put(value, life)),
        2 => value().prop_map(Step::SetValue),
        2 => life().prop_map(Step::SetExpiry),
        2 => value().prop_map(Step::Append),
        1 => (0..100_usize, value().prop_filter("none", |bytes| !bytes.is_empty())).prop_map(|(at, bytes)| Step::Overwrite(at, bytes)),
        2 => Just(Step::Remove),
        1 => Just(Step::LookAway),
        3 => (1..30_u64).prop_map(Step::Pass),
        1 => Just(Step::Tend),
        1 => Just(Step::Clear),
        3 => (0..DATABASES).prop_map(Step::Select),
        1 => (0..DATABASES, 0..DATABASES).prop_map(|(one, other)| Step::Swap(one, other)),
        1 => Just(Step::ClearAll),
        1 => Just(Step::Cut(Moment::Exact)),
        1 => Just(Step::Cut(Moment::WithLog)),
        4 => Just(Step::Slice),
        1 => Just(Step::Void),
    ]
}

type Model = HashMap<(u32, u8), (Vec<u8>, Option<u64>)>;

/// Does the same with a keyspace and a map that forgets at once what expires.
fn play(steps: &[(u8, Step)]) {
    let mut keyspace = keyspace().keeping(Effects::new(true), true);
    let mut model = Model::new();
    let (mut now, mut selected) = (NOW, 0);
    let (mut walk, mut is_void): (Option<Walk>, bool) = (None, false);
    for (name, step) in steps {
        // As the engine runs commands: a read may change nothing but what has expired.
        keyspace.begin_command(!matches!(step, Step::Get | Step::LookAway | Step::Slice));
        keyspace.select(selected);
        let key = [b'k', *name];
        let hash = hash(&keyspace, &key);
        let name = (selected, *name);
        let moment = |life: &Option<u64>| life.map(|life| now + life);
        let unix = |life: &Option<u64>| moment(life).map(UnixMillis::new);
        let known = model.get_mut(&name);
        match step {
            Step::Get => {
                let shown = keyspace.get(hash, &key).map(|record| {
                    let expires_at = record.expires_at().map(UnixMillis::get);
                    (record.value().to_vec(), expires_at)
                });
                assert_eq!(shown, known.cloned());
            }
            Step::Set(value, life) => {
                keyspace.set(hash, &key, value, unix(life));
                model.insert(name, (value.clone(), moment(life)));
            }
            Step::Put(value, life) => {
                keyspace.put(hash, Record::new(&key, value, unix(life)));
                model.insert(name, (value.clone(), moment(life)));
            }
            Step::SetValue(_) | Step::SetExpiry(_) | Step::Append(_) | Step::Overwrite(..) => {
                let place = keyspace.place(hash, &key);
                assert_eq!(matches!(place, Place::Taken(_)), known.is_some());
                if let (Place::Taken(mut taken), Some(known)) = (place, known) {
                    change(&mut taken, known, step, now);
                }
            }
            Step::Remove => {
                assert_eq!(keyspace.remove(hash, &key), model.remove(&name).is_some());
            }
            Step::LookAway => drop(keyspace.place(hash, &key)),
            Step::Pass(millis) => {
                now += millis;
                keyspace.set_now(UnixMillis::new(now));
                model.retain(|_, (_, expires_at)| expires_at.is_none_or(|at| at > now));
            }
            Step::Tend => while keyspace.tend() {},
            Step::Clear => {
                keyspace.clear();
                model.retain(|(database, _), _| *database != selected);
            }
            Step::Select(database) => selected = *database,
            Step::Swap(one, other) => {
                keyspace.swap(*one, *other);
                let place = |database| match database {
                    there if there == *one => *other,
                    there if there == *other => *one,
                    there => there,
                };
                let entries = model.drain();
                model = entries
                    .map(|((database, name), entry)| ((place(database), name), entry))
                    .collect();
            }
            Step::ClearAll => {
                keyspace.clear_all();
                model.clear();
            }
            Step::Cut(moment) => {
                if !keyspace.walks().unwrap().is_under_way() {
                    (walk, is_void) = (Some(Walk::cut(&mut keyspace, *moment)), false);
                }
            }
            Step::Void => {
                if walk.is_some() {
                    keyspace.walks().unwrap().void();
                    is_void = true;
                }
            }
            Step::Slice => {
                if let Some(going) = &mut walk
                    && going.slice(&mut keyspace)
                {
                    if !is_void {
                        going.check(&mut keyspace);
                    }
                    walk = None;
                }
            }
        }
        check_accounts(&keyspace);
        assert_eq!(
            shown_at(&mut keyspace, UnixMillis::new(now)).len(),
            model.len()
        );
        assert!(keyspace.counts_of_all().keys >= model.len());
        keyspace.end_command();
    }
    check_effects(&mut keyspace);
}

type Shown = HashMap<(u32, Vec<u8>), (Vec<u8>, Option<UnixMillis>)>;

/// The entries that a look at `moment` would show.
fn shown_at(keyspace: &mut Keyspace, moment: UnixMillis) -> Shown {
    let mut shown = Shown::new();
    for database in 0..keyspace.databases() {
        keyspace.select(database);
        let records = keyspace.table.iter();
        shown.extend(
            records
                .filter(|record| !is_over(record, moment))
                .map(|record| {
                    let value = (record.value().to_vec(), record.expires_at());
                    ((database, record.key().to_vec()), value)
                }),
        );
    }
    shown
}

/// What is there after the effects of these records.
fn replayed(records: &[&[u8]]) -> Keyspace {
    let mut again = keyspace();
    for record in records {
        for effect in effect::decode(record) {
            replay(&mut again, &effect.unwrap()).unwrap();
        }
    }
    check_accounts(&again);
    again
}

/// The effects of everything that was done.
fn log(keyspace: &mut Keyspace) -> Vec<u8> {
    keyspace.effects_mut().unwrap().of_key(0).clone()
}

/// Replaying the effects of everything that was done gives the same entries.
#[track_caller]
fn check_effects(keyspace: &mut Keyspace) {
    let log = log(keyspace);
    let now = keyspace.now();
    assert_eq!(
        shown_at(&mut replayed(&[&log]), now),
        shown_at(keyspace, now)
    );
}

/// A walk in small slices, beside the changes of a history.
struct Walk {
    moment: Moment,
    pressure: Arc<Pressure>,
    image: Image,
    next: Option<WalkPoint>,
    /// Where the log was at the cut, and what was shown there.
    cut: usize,
    shown: Shown,
    now: UnixMillis,
}

impl Walk {
    fn cut(keyspace: &mut Keyspace, moment: Moment) -> Self {
        let (now, pressure) = (keyspace.now(), Arc::new(Pressure::new(1 << 20)));
        let walk = Self {
            moment,
            pressure: Arc::clone(&pressure),
            image: Image::default(),
            next: Some(WalkPoint::START),
            cut: log(keyspace).len(),
            shown: shown_at(keyspace, now),
            now,
        };
        keyspace.cut(moment, pressure);
        walk
    }

    /// Goes on by one slice; whether that was the last.
    fn slice(&mut self, keyspace: &mut Keyspace) -> bool {
        let slice = Slice {
            entries: 2,
            bytes: 60,
        };
        let Some(from) = self.next else {
            return true;
        };
        self.next = keyspace.slice(from, slice, &mut self.image).unwrap().next;
        if self.next.is_none() {
            keyspace.walks().unwrap().end();
        }
        self.next.is_none()
    }

    /// The image is the state at the cut, and with the log behind it the state now.
    #[track_caller]
    fn check(&mut self, keyspace: &mut Keyspace) {
        let mut image = Vec::new();
        let mut each = |bytes: &[u8]| {
            image.extend_from_slice(bytes);
            Ok::<(), ()>(())
        };
        self.image.drain(0, &mut each).unwrap();
        assert_eq!(self.pressure.bytes(), 0, "handed over and never fetched");
        let now = keyspace.now();
        let behind = &log(keyspace)[self.cut..];
        if self.moment == Moment::Exact {
            let mut alone = replayed(&[&image]);
            assert_eq!(
                shown_at(&mut alone, self.now),
                self.shown,
                "the image alone"
            );
        }
        let mut again = replayed(&[&image, behind]);
        assert_eq!(shown_at(&mut again, now), shown_at(keyspace, now));
    }
}

fn change(taken: &mut Taken<'_>, known: &mut (Vec<u8>, Option<u64>), step: &Step, now: u64) {
    match step {
        Step::SetValue(value) => {
            taken.set_value(value);
            known.0.clone_from(value);
        }
        Step::SetExpiry(life) => {
            known.1 = life.map(|life| now + life);
            taken.set_expires_at(known.1.map(UnixMillis::new));
        }
        Step::Append(bytes) => {
            taken.append(bytes);
            known.0.extend_from_slice(bytes);
        }
        Step::Overwrite(offset, bytes) => {
            taken.overwrite(*offset, bytes);
            let end = offset + bytes.len();
            known.0.resize(known.0.len().max(end), 0);
            known.0[*offset..end].copy_from_slice(bytes);
        }
        Step::Get
        | Step::Set(..)
        | Step::Put(..)
        | Step::Remove
        | Step::LookAway
        | Step::Pass(_)
        | Step::Tend
        | Step::Clear
        | Step::Select(_)
        | Step::Swap(..)
        | Step::ClearAll
        | Step::Cut(_)
        | Step::Slice
        | Step::Void => unreachable!("{step:?} needs no value"),
    }
    assert_eq!(taken.value(), known.0);
}

proptest! {
    #[test]
    fn a_keyspace_does_what_a_map_does(steps in proptest::collection::vec((0..6_u8, step()), 0..120)) {
        play(&steps);
    }
}

#[test]
fn reads_are_counted_as_hits_and_misses_and_writes_are_not() {
    let mut keyspace = keyspace();
    let hash = hash(&keyspace, b"k");
    keyspace.set(hash, b"k", b"v", Some(UnixMillis::new(NOW + 1)));
    assert!(keyspace.contains(hash, b"k"));
    assert!(keyspace.get(hash, b"k").is_some());
    keyspace.set_now(UnixMillis::new(NOW + 1));
    assert!(keyspace.get(hash, b"k").is_none());
    assert!(keyspace.get(hash, b"k").is_none());
    let expected = Counters {
        hits: 1,
        misses: 2,
        expired: 1,
    };
    assert_eq!(keyspace.counters(), expected);
}

#[test]
fn what_was_gone_is_not_shown_again_to_a_thread_whose_round_began_earlier() {
    let mut keyspace = keyspace();
    let hash = hash(&keyspace, b"k");
    keyspace.set(hash, b"k", b"v", Some(UnixMillis::new(NOW + 5)));
    keyspace.set_now(UnixMillis::new(NOW + 5));
    assert!(!keyspace.contains(hash, b"k"));
    keyspace.set_now(UnixMillis::new(NOW + 4));
    assert!(!keyspace.contains(hash, b"k"));
    assert_eq!(keyspace.now(), UnixMillis::new(NOW + 5));
}

#[test]
fn what_has_expired_is_removed_though_nobody_looks() {
    let mut keyspace = keyspace();
    for number in 0..10_000_u32 {
        let key = number.to_le_bytes();
        let life = u64::from(number % 2) * 1_000 + 1;
        let hash = hash(&keyspace, &key);
        keyspace.set(hash, &key, b"v", Some(UnixMillis::new(NOW + life)));
    }
    assert!(keyspace.wants_tending());
    let mut now = NOW;
    while keyspace.wants_tending() {
        assert!(now < NOW + 60_000, "{keyspace:?}");
        now += 500;
        keyspace.set_now(UnixMillis::new(now));
        while keyspace.tend() {}
        check_accounts(&keyspace);
    }
    assert_eq!(keyspace.counters().expired, 10_000);
    assert!(keyspace.is_empty());
}

#[test]
fn an_emptied_keyspace_takes_as_much_memory_as_a_new_one() {
    let mut keyspace = keyspace();
    let new = keyspace.memory_bytes();
    for number in 0..10_000_u32 {
        let key = number.to_le_bytes();
        let hash = hash(&keyspace, &key);
        keyspace.set(hash, &key, b"v", None);
    }
    assert!(keyspace.memory_bytes() > new + 10_000 * 8);
    keyspace.clear();
    assert_eq!(keyspace.memory_bytes(), new);
}

#[test]
fn a_value_as_long_as_the_old_one_takes_its_place() {
    let mut keyspace = keyspace();
    let hash = hash(&keyspace, b"k");
    for expires_at in [None, Some(UnixMillis::new(NOW + 1))] {
        keyspace.set(hash, b"k", b"one", expires_at);
        let before = keyspace
            .get(hash, b"k")
            .map(|record| record.value().as_ptr());
        keyspace.set(hash, b"k", b"two", expires_at);
        let after = keyspace
            .get(hash, b"k")
            .map(|record| record.value().as_ptr());
        assert!(before.is_some() && before == after);
    }
}

const FREED_ELSEWHERE: usize = aside::ASIDE_VALUE_BYTES_MIN;

/// A keyspace with one value of this size, and the hash of its key.
fn with_value(size: usize) -> (Keyspace, u64) {
    let mut keyspace = keyspace();
    let hash = hash(&keyspace, b"k");
    keyspace.set(hash, b"k", &vec![7; size], Some(UnixMillis::new(NOW + 1)));
    (keyspace, hash)
}

type WayOut = (&'static str, fn(&mut Keyspace, u64));

/// All ways in which a value may leave its place.
const WAYS_OUT: [WayOut; 8] = [
    ("removed", |keyspace, hash| {
        assert!(keyspace.remove(hash, b"k"));
    }),
    ("replaced", |keyspace, hash| {
        keyspace.set(hash, b"k", b"v", None);
    }),
    ("replaced, the expiry kept", |keyspace, hash| {
        if let Place::Taken(mut taken) = keyspace.place(hash, b"k") {
            taken.set_value(b"v");
        }
    }),
    ("another entry", |keyspace, hash| {
        keyspace.put(hash, Record::new(b"k", b"v", None));
    }),
    ("expired when read", |keyspace, hash| {
        keyspace.set_now(UnixMillis::new(NOW + 1));
        assert!(keyspace.get(hash, b"k").is_none());
    }),
    ("expired when looked for", |keyspace, hash| {
        keyspace.set_now(UnixMillis::new(NOW + 1));
        assert!(!keyspace.contains(hash, b"k"));
    }),
    ("expired when written", |keyspace, hash| {
        keyspace.set_now(UnixMillis::new(NOW + 1));
        keyspace.set(hash, b"k", b"v", None);
    }),
    ("expired by itself", |keyspace, _| {
        keyspace.set_now(UnixMillis::new(NOW + 1));
        while keyspace.tend() {}
    }),
];

#[test]
fn a_large_value_is_put_aside_on_every_way_out_and_a_small_one_on_none() {
    for (way, leave) in WAYS_OUT {
        for size in [100, FREED_ELSEWHERE - 1, FREED_ELSEWHERE] {
            let (mut keyspace, hash) = with_value(size);
            let memory = keyspace.accounts.memory;
            leave(&mut keyspace, hash);
            check_accounts(&keyspace);
            let expected = (size == FREED_ELSEWHERE).then_some(memory);
            assert_eq!(keyspace.has_aside(), expected.is_some(), "{way}, {size}");
            let aside = keyspace.take_aside();
            let bytes = aside.map(|aside| aside.weight().bytes);
            // The head of one that has another expiry is another one.
            let head = |bytes: usize| bytes / 1_024;
            assert_eq!(bytes.map(head), expected.map(head), "{way}, {size}");
            assert!(!keyspace.has_aside());
        }
    }
}

#[test]
fn the_entries_of_a_cleared_keyspace_are_put_aside_with_what_they_take() {
    let mut keyspace = keyspace();
    for number in 0..1_000_u32 {
        let key = number.to_le_bytes();
        let hash = hash(&keyspace, &key);
        keyspace.set(hash, &key, b"v", None);
    }
    let weight = Weight {
        entries: 1_000,
        bytes: keyspace.memory_bytes(),
    };
    keyspace.clear();
    let mut aside = keyspace.take_aside().expect("there were entries");
    assert_eq!(aside.weight(), weight);
    assert_eq!(aside.free_next(), Some(weight));
    assert_eq!(aside.free_next(), None);
    assert_eq!(aside.weight(), Weight::default());
    keyspace.clear();
    assert!(!keyspace.has_aside(), "nothing was there");
}

#[test]
fn a_keyspace_from_which_nothing_is_taken_puts_aside_no_more_than_its_bound() {
    let mut keyspace = keyspace();
    let hash = hash(&keyspace, b"k");
    let value = vec![7; FREED_ELSEWHERE];
    for _ in 0..aside::ASIDE_MAX + 3 {
        keyspace.set(hash, b"k", &value, None);
        keyspace.remove(hash, b"k");
    }
    let weight = keyspace.take_aside().map(|aside| aside.weight());
    let entries = weight.map(|weight| weight.entries);
    assert_eq!(entries, Some(aside::ASIDE_MAX));
}

#[test]
fn what_is_restored_leaves_nothing_aside() {
    let (mut keyspace, _) = with_value(FREED_ELSEWHERE);
    let mut record = Vec::new();
    effect::del(&mut record, 0, b"k");
    let effect = effect::decode(&record).next().unwrap().unwrap();
    replay(&mut keyspace, &effect).unwrap();
    assert!(keyspace.is_empty() && !keyspace.has_aside());
}

/// Keys to their values.
#[test]
fn a_snapshot_in_slices_with_the_changes_since_its_cut_is_the_state() {
    for seed in 0..20 {
        let mut keyspace = keyspace().keeping(Effects::new(false), true);
        let mut draw = seed;
        let mut below = |bound: u64| {
            draw = hash_key(
                &ahash::RandomState::with_seeds(9, 9, 9, 9),
                &u64::to_le_bytes(draw),
            );
            draw % bound
        };
        let change = |keyspace: &mut Keyspace, number: u64, value: u64| {
            let key = format!("key:{number}").into_bytes();
            let hash = hash(keyspace, &key);
            keyspace.begin_command(true);
            match (value % 4, keyspace.place(hash, &key)) {
                (0, Place::Taken(mut taken)) => taken.append(b"behind"),
                (1, Place::Taken(taken)) => drop(taken.remove()),
                (_, Place::Taken(mut taken)) => taken.set(&vec![b'v'; value as usize], None),
                (_, Place::Free(free)) => free.insert(&key, &vec![b'n'; value as usize], None),
            }
            keyspace.end_command();
        };
        for number in 0..3_000 {
            change(&mut keyspace, number, 1 + below(50));
        }
        let moment = [Moment::Exact, Moment::WithLog][seed as usize % 2];
        let mut walk = Walk::cut(&mut keyspace, moment);
        let slice = Slice {
            entries: 100,
            bytes: 3_000,
        };
        let mut restarts = 0;
        while let Some(from) = walk.next {
            let saved = keyspace.slice(from, slice, &mut walk.image).unwrap();
            restarts += u32::from(saved.restarted);
            walk.next = saved.next;
            // Keys come faster than they go, so that segments split; in the end there is peace.
            for _ in 0..if keyspace.len() < 9_000 { 150 } else { 0 } {
                let number = below(20_000);
                change(&mut keyspace, number, below(100));
            }
        }
        keyspace.walks().unwrap().end();
        assert!(restarts > 0, "no segment was split under the walk");
        walk.check(&mut keyspace);
        assert!(walk.shown.len() <= 3_000);
    }
}

#[test]
fn a_reader_removes_nothing_whose_removal_the_log_would_not_know() {
    let mut keyspace = keyspace().keeping(Effects::new(false), true);
    let at = |millis| Some(UnixMillis::new(NOW + millis));
    let hash = hash(&keyspace, b"k");
    keyspace.begin_command(true);
    keyspace.set(hash, b"k", b"v", at(10));
    keyspace.end_command();
    keyspace.set_now(UnixMillis::new(NOW + 20));
    keyspace.begin_command(false);
    assert!(keyspace.get(hash, b"k").is_none() && !keyspace.contains(hash, b"k"));
    assert!(keyspace.random().is_none());
    keyspace.end_command();
    assert_eq!((keyspace.len(), keyspace.counters().expired), (1, 0));

    keyspace.begin_command(true);
    match keyspace.place(hash, b"k") {
        Place::Free(free) => free.insert(b"k", b"x", None),
        Place::Taken(_) => panic!("its time has come"),
    }
    keyspace.end_command();
    let log = log(&mut keyspace);
    let mut again = replayed(&[&log]);
    assert_eq!(
        shown_at(&mut again, keyspace.now())[&(0, b"k".to_vec())].0,
        b"x"
    );
}

#[test]
fn the_log_says_what_changed_and_no_more() {
    let mut keyspace = keyspace().keeping(Effects::new(false), true);
    let hash = hash(&keyspace, b"k");
    keyspace.begin_command(true);
    keyspace.set(hash, b"k", &vec![b'v'; 100_000], None);
    let mut before = log(&mut keyspace).len();
    let mut grown = |keyspace: &mut Keyspace, change: fn(&mut Taken<'_>)| {
        match keyspace.place(hash_key(&keyspace.hasher.clone(), b"k"), b"k") {
            Place::Taken(mut taken) => change(&mut taken),
            Place::Free(_) => panic!("it was set"),
        }
        let after = log(keyspace).len();
        std::mem::replace(&mut before, after).abs_diff(after)
    };
    assert_eq!(grown(&mut keyspace, |taken| taken.append(b"x")), 30);
    assert_eq!(grown(&mut keyspace, |taken| taken.overwrite(7, b"y")), 39);
    let later = |taken: &mut Taken<'_>| taken.set_expires_at(Some(UnixMillis::new(NOW + 5)));
    assert_eq!(grown(&mut keyspace, later), 39);
    assert_eq!(grown(&mut keyspace, |taken| taken.set_expires_at(None)), 24);
    assert_eq!(grown(&mut keyspace, |taken| taken.set_expires_at(None)), 0);
    keyspace.end_command();
}

#[test]
#[cfg(debug_assertions)]
#[expect(clippy::print_stdout, reason = "`.ci/planted` says what noticed each")]
fn each_planted_bug_of_walks_is_noticed() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    use shardkeep::shard::fault::{ALL, plant};

    const HISTORIES_MAX: usize = 20_000;
    let histories = proptest::collection::vec((0..4_u8, step()), 1..60);
    for fault in ALL {
        let mut runner = TestRunner::deterministic();
        let noticed = (1..=HISTORIES_MAX).find(|_| {
            let steps = histories.new_tree(&mut runner).unwrap().current();
            plant(Some(fault));
            let played = catch_unwind(AssertUnwindSafe(|| play(&steps)));
            plant(None);
            played.is_err()
        });
        let history = noticed.unwrap_or_else(|| panic!("{fault:?} is NOT noticed"));
        println!("{fault:?}: noticed in history {history}");
    }
}
