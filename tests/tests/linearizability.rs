//! Recorded histories of several threads on few keys: each key behaves as one register would.
//!
//! The checker is Wing and Gong's search, one key at a time: some order of the operations must
//! explain every answer, without turning round two of which one ended before the other began.
//!
//! 1. Every written value is another, so an answer tells which write it saw.
//! 2. A configuration (how far each thread has come, and the register's value) is tried once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use shardkeep::{Handover, Reply, Store, Update};

const THREADS: usize = 4;
const OPERATIONS_PER_THREAD: usize = 1_000;
/// For each of the two handovers.
const HISTORIES: u64 = 100;
/// Longer than any history takes: no call may end without its result.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an operation showed and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Did {
    Read(Option<u64>),
    /// Returned the first, left the second.
    Wrote(Option<u64>, Option<u64>),
    /// A conditional write that found something and did nothing.
    FoundAny,
}

/// One operation of one thread on one key.
#[derive(Clone, Copy, Debug)]
struct Event {
    key: u8,
    /// Ticks of one clock for all threads.
    began: u64,
    ended: u64,
    did: Did,
}

/// The events of each thread, in its own order.
type History = Vec<Vec<Event>>;

/// The register's value after an event, if the event fits to the value before.
fn apply(did: Did, value: Option<u64>) -> Option<Option<u64>> {
    match did {
        Did::Read(seen) => (seen == value).then_some(value),
        Did::Wrote(seen, left) => (seen == value).then_some(left),
        Did::FoundAny => value.is_some().then_some(value),
    }
}

/// Whether some order explains the events of one key; the register begins empty.
fn explains(history: &[Vec<Event>]) -> bool {
    let end: Vec<usize> = history.iter().map(Vec::len).collect();
    let start = (vec![0; history.len()], None);
    let mut tried = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some((at, value)) = open.pop() {
        if at == end {
            return true;
        }
        let next = |thread: usize| history[thread].get(at[thread]);
        let first_end = (0..at.len())
            .filter_map(|thread| Some(next(thread)?.ended))
            .min();
        for thread in 0..at.len() {
            let Some(event) = next(thread) else { continue };
            // Another one ended before this one began: that one comes first.
            if first_end.is_some_and(|first| first < event.began) {
                continue;
            }
            if let Some(value) = apply(event.did, value) {
                let mut at = at.clone();
                at[thread] += 1;
                let configuration = (at, value);
                if tried.insert(configuration.clone()) {
                    open.push(configuration);
                }
            }
        }
    }
    false
}

fn of_key(history: &History, key: u8) -> History {
    let mine = |events: &Vec<Event>| {
        events
            .iter()
            .filter(|event| event.key == key)
            .copied()
            .collect()
    };
    history.iter().map(mine).collect()
}

fn is_linearizable(history: &History, keys: u8) -> bool {
    (0..keys).all(|key| explains(&of_key(history, key)))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut draw = self.0;
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (draw ^ (draw >> 31)) % bound
    }
}

struct Recorder<'r> {
    store: &'r Store<u8, u64>,
    ticks: &'r AtomicU64,
    random: Random,
    next_value: u64,
    events: Vec<Event>,
}

impl Recorder<'_> {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, SeqCst)
    }

    fn value(&mut self) -> u64 {
        self.next_value += THREADS as u64;
        self.next_value
    }

    /// Runs and records one call, which may be several operations in a fixed order.
    fn record(&mut self, keys: u8) {
        let key = self.random.below(u64::from(keys)) as u8;
        let (value, store) = (self.value(), self.store);
        let choice = self.random.below(10);
        let began = self.tick();
        let mut did = vec![];
        match choice {
            0..=2 => did.push((key, Did::Read(store.get(&key).unwrap()))),
            3 => did.push((key, Did::Read(store.read(&key, |value| *value).unwrap()))),
            4 | 5 => did.push((
                key,
                Did::Wrote(store.insert(key, value).unwrap(), Some(value)),
            )),
            6 => did.push((key, Did::Wrote(store.remove(&key).unwrap(), None))),
            7 => {
                let mut seen = None;
                let decide = |old: Option<&u64>| {
                    seen = old.copied();
                    Update::Put(value)
                };
                store.update(&key, decide).unwrap();
                did.push((key, Did::Wrote(seen, Some(value))));
            }
            8 => did.push(match store.insert_if_absent(key, value).unwrap() {
                true => (key, Did::Wrote(None, Some(value))),
                false => (key, Did::FoundAny),
            }),
            _ => {
                let other = (key + 1) % keys;
                let mut pipeline = store.pipeline();
                let replies = pipeline.get(key).insert(other, value).get(key).run();
                let seen = |reply: &Reply<u64>| reply.clone().into_value().unwrap();
                did.push((key, Did::Read(seen(&replies[0]))));
                did.push((other, Did::Wrote(seen(&replies[1]), Some(value))));
                did.push((key, Did::Read(seen(&replies[2]))));
            }
        }
        let ended = self.tick();
        self.events.extend(did.into_iter().map(|(key, did)| Event {
            key,
            began,
            ended,
            did,
        }));
    }
}

fn record(seed: u64, handover: Handover, keys: u8) -> History {
    let store = Store::builder()
        .shards(if seed.is_multiple_of(2) { 1 } else { 4 })
        .owners(1)
        .handover(handover)
        .hasher_seed(seed)
        .deadline(PATIENCE)
        .open()
        .unwrap();
    let ticks = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS as u64)
            .map(|thread| {
                let mut recorder = Recorder {
                    store: &store,
                    ticks: &ticks,
                    random: Random(seed * THREADS as u64 + thread),
                    next_value: thread,
                    events: Vec::with_capacity(OPERATIONS_PER_THREAD * 2),
                };
                scope.spawn(move || {
                    for _ in 0..OPERATIONS_PER_THREAD {
                        recorder.record(keys);
                    }
                    recorder.events
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn check(handover: Handover) {
    for seed in 0..HISTORIES {
        let keys = 2 + (seed % 3) as u8;
        let history = record(seed, handover, keys);
        assert!(
            is_linearizable(&history, keys),
            "seed {seed}, {handover:?}, {keys} keys"
        );
    }
}

#[test]
fn histories_of_lent_shards_are_linearizable_for_each_key() {
    check(Handover::Lend);
}

#[test]
fn histories_of_mailed_work_are_linearizable_for_each_key() {
    check(Handover::Mail);
}

fn event(began: u64, ended: u64, did: Did) -> Event {
    Event {
        key: 0,
        began,
        ended,
        did,
    }
}

#[test]
fn the_checker_tells_what_one_register_can_do_from_what_it_cannot() {
    let put = |old, new| Did::Wrote(old, Some(new));
    let cases = [
        (
            "a read of the last write",
            true,
            vec![vec![
                event(0, 1, put(None, 1)),
                event(2, 3, Did::Read(Some(1))),
            ]],
        ),
        (
            "a stale read",
            false,
            vec![
                vec![event(0, 1, put(None, 1)), event(2, 3, put(Some(1), 2))],
                vec![event(4, 5, Did::Read(Some(1)))],
            ],
        ),
        (
            "a read of the old value while it is overwritten",
            true,
            vec![
                vec![event(0, 1, put(None, 1)), event(2, 5, put(Some(1), 2))],
                vec![event(3, 4, Did::Read(Some(1)))],
            ],
        ),
        (
            "reads that see a write come and go",
            false,
            vec![
                vec![event(0, 1, put(None, 1)), event(2, 9, put(Some(1), 2))],
                vec![
                    event(3, 4, Did::Read(Some(2))),
                    event(5, 6, Did::Read(Some(1))),
                ],
            ],
        ),
        (
            "a lost update",
            false,
            vec![
                vec![event(0, 1, put(None, 1)), event(2, 6, put(Some(1), 2))],
                vec![event(3, 5, put(Some(1), 3))],
            ],
        ),
        (
            "two inserts that both found nothing",
            false,
            vec![
                vec![event(0, 3, put(None, 1))],
                vec![event(1, 2, put(None, 2))],
            ],
        ),
        (
            "a condition that held on nothing",
            false,
            vec![vec![event(0, 1, Did::FoundAny)]],
        ),
        (
            "two writes in the only order that explains them",
            true,
            vec![
                vec![event(0, 3, put(Some(2), 1))],
                vec![event(1, 2, put(None, 2))],
            ],
        ),
    ];
    for (name, expected, history) in cases {
        assert_eq!(explains(&history), expected, "{name}");
    }
}

/// Long enough ago that no order can save it.
const LONG_AGO: usize = 50;

#[test]
fn the_checker_rejects_a_stale_read_planted_in_a_real_history() {
    let mut history = of_key(&record(1, Handover::Lend, 2), 0);
    assert!(explains(&history));
    let events = &mut history[0];
    let (at, old) = events
        .iter()
        .enumerate()
        .find_map(|(at, event)| match event.did {
            Did::Wrote(_, Some(value)) => Some((at, value)),
            Did::Read(_) | Did::Wrote(_, None) | Did::FoundAny => None,
        })
        .unwrap();
    let read = events[at + LONG_AGO..]
        .iter_mut()
        .find(|event| matches!(event.did, Did::Read(_)))
        .unwrap();
    read.did = Did::Read(Some(old));
    assert!(!explains(&history));
}

#[test]
fn the_checker_rejects_a_lost_update_planted_in_a_real_history() {
    let mut history = of_key(&record(2, Handover::Lend, 2), 0);
    assert!(explains(&history));
    // One write claims to have replaced what another had replaced before.
    let mut writes = history
        .iter_mut()
        .flatten()
        .filter(|event| matches!(event.did, Did::Wrote(Some(_), Some(_))));
    let first = writes.next().unwrap().did;
    let second = writes.nth(LONG_AGO).unwrap();
    if let (Did::Wrote(old, _), Did::Wrote(_, new)) = (first, second.did) {
        second.did = Did::Wrote(old, new);
    }
    assert!(!explains(&history));
}
