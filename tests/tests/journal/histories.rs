//! Many threads, random works: nothing is acknowledged or shown before the proof that covers it, and
//! the log, read in its order, says what the maps say.

use std::collections::HashMap;
use std::sync::Arc;

use shardkeep_core::{Config, Durability, Error, Refused, SyncMode};
use shardkeep_tests::random::Random;

use crate::book::{INTERVAL, Library, REMOVED, SHARDS, Several, all_ways, call, shard_of};

const THREADS: u64 = 4;
const WORKS: u64 = 300;
const KEYS: usize = 24;
const SEEDS: u64 = 3;

/// The value that a thread writes: who, and the how many-th.
fn value(thread: u64, work: u64) -> u64 {
    thread << 32 | work
}

struct Walker<'l> {
    library: &'l Library,
    random: Random,
    /// Whether replies wait.
    always: bool,
}

impl Walker<'_> {
    fn key(&mut self) -> u64 {
        self.random.below(KEYS) as u64
    }

    /// Some keys, and the shards where they live.
    fn keys(&mut self) -> (Vec<u64>, Vec<usize>) {
        let keys: Vec<_> = (0..3).map(|_| self.key()).collect();
        let mut shards: Vec<_> = keys.iter().map(|&key| shard_of(key)).collect();
        shards.sort_unstable();
        shards.dedup();
        (keys, shards)
    }

    fn work(&mut self, value: u64) -> Result<(), Error> {
        let library = self.library;
        let key = self.key();
        match self.random.below(8) {
            0 | 1 => self.change(key, value, false),
            2 => self.change(key, value, true),
            3 => self.remove(key),
            4 => self.transact(value),
            5 => self.send(value),
            6 => {
                let mut reserved = library.keep.reserve(&call())?;
                let set = move |book: &mut crate::book::Book| book.set(key, value);
                let number = library.change(key, &mut reserved, set)?;
                library.keep.commit();
                self.acknowledged(&[(key, number)], value)
            }
            _ => self.read(key),
        }
    }

    fn change(&mut self, key: u64, value: u64, mails: bool) -> Result<(), Error> {
        let mut reserved = self.library.keep.reserve(&call())?;
        let set = move |book: &mut crate::book::Book| book.set(key, value);
        let number = match mails {
            true => self.library.mail(key, &mut reserved, set)?,
            false => self.library.change(key, &mut reserved, set)?,
        };
        drop(reserved);
        self.acknowledged(&[(key, number)], value)
    }

    fn remove(&mut self, key: u64) -> Result<(), Error> {
        let mut reserved = self.library.keep.reserve(&call())?;
        let number = self
            .library
            .change(key, &mut reserved, move |book| book.remove(key))?;
        self.acknowledged(&[(key, number)], REMOVED)
    }

    fn transact(&mut self, value: u64) -> Result<(), Error> {
        let (keys, shards) = self.keys();
        let mut reserved = self.library.keep.reserve(&call())?;
        let mut loans = self.library.keep.acquire(&shards, call())?;
        reserved.deposit_all(&mut loans);
        let set = |loans: &mut shardkeep_core::Loans<crate::book::Book>| {
            let set = |&key: &u64| (key, loans.state(shard_of(key)).set(key, value));
            keys.iter().map(set).collect::<Vec<_>>()
        };
        let needs = loans.change(set);
        drop((loans, reserved));
        self.acknowledged(&needs, value)
    }

    fn send(&mut self, value: u64) -> Result<(), Error> {
        let (keys, shards) = self.keys();
        let mut reserved = self.library.keep.reserve(&call())?;
        let written = keys.clone();
        let sent = Several::new(&shards, move |loans| {
            let set = |&key: &u64| loans.state(shard_of(key)).set(key, value);
            written.iter().map(set).collect()
        });
        let ticket = Arc::clone(&sent.ticket);
        let posted = self
            .library
            .keep
            .send_transaction(sent, Some(&mut reserved));
        posted.map_err(|(_, refused)| refused)?;
        drop(reserved);
        let numbers = ticket.wait(&call(), || 0)?;
        let needs: Vec<_> = keys.into_iter().zip(numbers).collect();
        self.acknowledged(&needs, value)
    }

    fn acknowledged(&self, needs: &[(u64, u64)], value: u64) -> Result<(), Error> {
        for &(key, number) in needs {
            self.library.synced(key, number)?;
            let synced = self.library.paper.is_synced((key, value));
            assert!(
                !self.always || synced,
                "acknowledged too early: {key} = {value:x}"
            );
        }
        Ok(())
    }

    fn read(&mut self, key: u64) -> Result<(), Error> {
        let (shown, number) = self.library.get(key);
        self.library.synced(key, number)?;
        if let (true, Some(value)) = (self.always, shown) {
            let synced = self.library.paper.is_synced((key, value));
            assert!(synced, "shown too early: {key} = {value:x}");
        }
        Ok(())
    }
}

/// One thread's writes of one key stand in the log in its own order.
fn judge_order(library: &Library) {
    let mut last = HashMap::new();
    for (key, value) in library.paper.records().concat() {
        if value != REMOVED {
            let before = last.insert((key, value >> 32), value);
            assert!(
                before.is_none_or(|before| before <= value),
                "key {key} was turned round"
            );
        }
    }
}

fn walk(config: Config, seed: u64) {
    let sync = config.durability.as_ref().map(|durability| durability.sync);
    let library = Library::open(config);
    std::thread::scope(|scope| {
        for thread in 1..=THREADS {
            let mut walker = Walker {
                library: &library,
                random: Random::new(seed * 1_000 + thread),
                always: sync == Some(SyncMode::Always),
            };
            scope.spawn(move || {
                for work in 0..WORKS {
                    let done = walker.work(value(thread, work));
                    assert_eq!(done, Ok(()), "seed {seed}, thread {thread}, work {work}");
                }
            });
        }
    });
    judge_order(&library);
    library.end();
}

#[test]
fn random_works_of_many_threads_leave_the_log_that_says_what_they_did() {
    for sync in [
        SyncMode::Always,
        SyncMode::Interval(INTERVAL),
        SyncMode::Never,
    ] {
        for seed in 1..=SEEDS {
            for config in all_ways(sync) {
                eprintln!("seed {seed}, {config:?}");
                walk(config, seed);
            }
        }
    }
}

#[test]
fn so_do_works_that_are_gathered() {
    for config in all_ways(SyncMode::Always) {
        eprintln!("{config:?}");
        let window = std::time::Duration::from_micros(200);
        let durability = config.durability.clone().map(|durability| Durability {
            window,
            ..durability
        });
        walk(
            Config {
                write_window: window,
                durability,
                ..config
            },
            7,
        );
    }
}

/// A close in the middle: what was acknowledged is there, what is there is what the maps say.
#[test]
fn a_close_among_random_works_keeps_what_was_acknowledged() {
    for config in all_ways(SyncMode::Always) {
        eprintln!("seed 9, {config:?}");
        let library = Library::open(config);
        std::thread::scope(|scope| {
            let (begun, beginning) = crossbeam_channel::bounded(THREADS as usize);
            for thread in 1..=THREADS {
                let begun = begun.clone();
                let mut walker = Walker {
                    library: &library,
                    random: Random::new(9_000 + thread),
                    always: true,
                };
                scope.spawn(move || {
                    for work in 0.. {
                        match walker.work_or_end(value(thread, work)) {
                            Ok(()) if work == 20 => begun.send(()).expect("a listener"),
                            Ok(()) => {}
                            Err(Error::Refused(Refused::Closed | Refused::Draining)) => return,
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                });
            }
            for _ in 0..THREADS {
                crate::book::hear(&beginning);
            }
            let report = library.keep.close(crate::book::later());
            assert!(report.is_clean(), "{report:?}");
        });
        judge_order(&library);
        assert!(library.paper.all_synced() && library.paper.is_put_away());
        assert_eq!(library.places_taken(), 0);
        assert_eq!(library.keep.shards(), SHARDS);
    }
}

impl Walker<'_> {
    /// As [`Walker::work`], without reads, which do not expect a close.
    fn work_or_end(&mut self, value: u64) -> Result<(), Error> {
        let key = self.key();
        match self.random.below(4) {
            0 => self.change(key, value, false),
            1 => self.change(key, value, true),
            2 => self.transact(value),
            _ => self.send(value),
        }
    }
}
