//! A panic while a shard is held: what works had completed is kept, and nothing of the broken one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use shardkeep_core::{Error, Event, Lost, Refused, SyncMode};

use crate::book::{Library, Note, Several, all_ways, call, hear, later, replayed};

pub(crate) fn lost_shards(library: &Library, count: usize) -> Vec<usize> {
    let mut shards: Vec<_> = (0..count)
        .map(|_| match hear(&library.events) {
            Event::ShardLost { shard } => shard,
            other => panic!("{other:?}"),
        })
        .collect();
    shards.sort_unstable();
    shards
}

/// The value of a key, as soon as its shard is made again.
fn again(library: &Library, key: u64) -> Option<u64> {
    loop {
        match library.keep.acquire(&[crate::book::shard_of(key)], call()) {
            Ok(mut loans) => {
                let loan = loans.shard(crate::book::shard_of(key));
                return loan.look(|book| book.values.get(&key).copied());
            }
            Err(Error::Refused(Refused::ShardLost { .. })) => std::thread::yield_now(),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn works_before_a_panic_are_kept_the_broken_one_is_lost_and_those_behind_are_refused() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        assert_eq!(library.set_synced(1, 1), Ok(()));
        let holder = library.hold(1);
        let mut reserved = library.keep.try_reserve(3, None).expect("places");
        let notes = [
            Note::new(|book| book.set(5, 50)),
            Note::new(|book| {
                book.set(5, 51);
                book.clear(true);
                panic!("on purpose")
            }),
            Note::new(|book| book.set(5, 52)),
        ];
        let tickets = notes.map(|note| {
            let ticket = Arc::clone(&note.ticket);
            let posted = library.keep.post_write(1, note, &mut reserved, &call());
            assert!(posted.is_ok());
            ticket
        });
        drop((holder, reserved));
        let [first, broken, behind] = tickets.map(|ticket| ticket.wait(&call(), || 0));
        let number = first.expect("it was done");
        let lost = Lost::ShardLost { shard: 1 };
        assert_eq!(broken, Err(Error::Lost(lost)));
        assert_eq!(behind, Err(Error::Refused(Refused::ShardLost { shard: 1 })));
        assert_eq!(library.synced(5, number), Ok(()));
        assert!(library.paper.is_synced((5, 50)));
        assert_eq!(library.paper.records().concat(), [(1, 1), (5, 50)]);
        assert_eq!(lost_shards(&library, 1), [1]);
        assert_eq!(
            (again(&library, 1), again(&library, 5)),
            (Some(1), Some(50))
        );
        assert_eq!(library.set_synced(5, 53), Ok(()));
        library.end();
    }
}

/// And nobody but the committer is there to write them.
#[test]
fn works_before_a_panic_are_written_though_nobody_waits_for_that() {
    for config in all_ways(SyncMode::Never) {
        let library = Library::open_forgetful(config);
        let holder = library.hold(1);
        let mut reserved = library.keep.reserve(&call()).expect("a place");
        let kept = Note::new(|book| book.set(1, 1));
        assert!(
            library
                .keep
                .post_write(1, kept, &mut reserved, &call())
                .is_ok()
        );
        drop(reserved);
        // It changes nothing, and needs no place.
        let broken = Note::new(|_| panic!("on purpose"));
        assert!(library.keep.post(1, broken, &call()).is_ok());
        drop(holder);
        library.paper.until_written(1);
        assert_eq!(library.paper.records(), [[(1, 1)]]);
        assert!(library.keep.close(later()).is_clean());
    }
}

#[test]
fn changes_of_a_loan_before_its_panic_are_kept() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let mut reserved = library.keep.reserve(&call()).expect("a place");
        let mut loans = library.hold(1);
        reserved.deposit(loans.shard(1));
        let number = loans.shard(1).change(|book| book.set(1, 1));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            loans.change(|loans| {
                // Ended, but inside of one that breaks.
                loans.shard(1).change(|book| book.set(1, 2));
                loans.state(1).clear(true);
                panic!("on purpose")
            })
        }));
        assert!(panicked.is_err());
        drop((loans, reserved));
        assert_eq!(library.synced(1, number), Ok(()));
        assert_eq!(library.paper.records(), [[(1, 1)]]);
        assert_eq!(again(&library, 1), Some(1));
        library.end();
    }
}

/// What a reply may show right after the shard was made again.
#[test]
fn a_shard_made_again_depends_on_all_that_was_queued_before() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let mut reserved = library.keep.reserve(&call()).expect("a place");
        let newest = library
            .change(1, &mut reserved, |book| book.set(1, 1))
            .expect("a write");
        drop(reserved);
        let mut reserved = library.keep.reserve(&call()).expect("a place");
        let broken = library.mail(1, &mut reserved, |_| panic!("on purpose"));
        assert!(broken.is_err());
        drop(reserved);
        assert_eq!(again(&library, 1), Some(1));
        for key in [1, 5] {
            let (_, number) = library.get(key);
            assert!(number == newest && library.synced(key, number).is_ok());
        }
        library.end();
    }
}

#[test]
fn a_transaction_that_panics_is_in_no_record_and_its_shards_are_what_they_were() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        for key in [0, 1, 2] {
            assert_eq!(library.set_synced(key, 10), Ok(()));
        }
        let mut reserved = library.keep.try_reserve(2, None).expect("places");
        let sent = Several::new(&[0, 1], |loans| {
            loans.state(0).set(0, 11);
            loans.state(1).set(1, 11);
            panic!("on purpose")
        });
        let ticket = Arc::clone(&sent.ticket);
        assert!(
            library
                .keep
                .send_transaction(sent, Some(&mut reserved))
                .is_ok()
        );
        assert!(matches!(ticket.wait(&call(), || 0), Err(Error::Lost(_))));
        assert_eq!(lost_shards(&library, 2), [0, 1]);
        assert_eq!(
            (again(&library, 0), again(&library, 1)),
            (Some(10), Some(10))
        );
        // One change of several broke: the other shard it has changed is lost with it, the third not.
        let mut loans = library.keep.acquire(&[0, 1, 2], call()).expect("shards");
        reserved.deposit_all(&mut loans);
        loans.shard(0).change(|book| book.set(0, 12));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            loans.shard(1).change(|book| {
                book.set(1, 12);
                panic!("on purpose")
            })
        }));
        assert!(panicked.is_err());
        drop((loans, reserved));
        assert_eq!(lost_shards(&library, 2), [0, 1]);
        assert_eq!(
            (again(&library, 0), again(&library, 1)),
            (Some(10), Some(10))
        );
        assert_eq!(library.get(2).0, Some(10));
        assert_eq!(library.paper.records().len(), 3, "in no record");
        library.end();
    }
}

#[test]
fn a_shard_that_is_made_again_while_the_disk_is_stuck_does_not_hold_up_a_close() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let held = library.paper.hold(crate::paper::Step::Sync);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| library.set_synced(2, 2));
            held.wait();
            let mut reserved = library.keep.reserve(&call()).expect("a place");
            let broken = library.mail(1, &mut reserved, |_| panic!("on purpose"));
            assert!(broken.is_err());
            drop(reserved);
            let soon = shardkeep_core::Deadline::after(std::time::Duration::from_millis(20));
            let report = library.keep.close(soon);
            assert_eq!(report.shards_away, 1);
            assert!(report.owners_left > 0);
            drop(held);
            assert_eq!(writing.join().expect("a writer"), Ok(()));
        });
        assert_eq!(library.keep.close(later()).owners_left, 0);
        assert_eq!(replayed(&library.paper).len(), 1);
    }
}
