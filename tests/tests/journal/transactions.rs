//! A transaction is one record, behind what its shards had done before.

use std::sync::Arc;

use shardkeep_core::{Loans, SyncMode};

use crate::book::{CLEARED, Library, Several, all_ways, call, shard_of};
use crate::paper::Step;

fn set_all(loans: &mut Loans<crate::book::Book>, keys: &[u64], value: u64) -> Vec<u64> {
    let set = |&key: &u64| loans.state(shard_of(key)).set(key, value);
    keys.iter().map(set).collect()
}

#[test]
fn a_transaction_is_one_record_synced_in_all_its_shards_at_once() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let held = library.paper.hold(Step::Sync);
        std::thread::scope(|scope| {
            let mut reserved = library.keep.try_reserve(2, None).expect("places");
            let mut loans = library.keep.acquire(&[0, 1, 3], call()).expect("shards");
            reserved.deposit_all(&mut loans);
            let own = loans.change(|loans| set_all(loans, &[0, 1, 3], 1));
            drop(loans);
            let sent = Several::new(&[1, 2], |loans| set_all(loans, &[1, 2], 2));
            let ticket = Arc::clone(&sent.ticket);
            assert!(
                library
                    .keep
                    .send_transaction(sent, Some(&mut reserved))
                    .is_ok()
            );
            let sent = ticket.wait(&call(), || 0).expect("it was done");
            let first = own[0];
            let library = &library;
            let waiting = scope.spawn(move || library.synced(0, first));
            drop(reserved);
            held.wait();
            assert!((0..3).all(|at| !library.keep.is_synced([0, 1, 3][at], own[at])));
            drop(held);
            assert_eq!(waiting.join().expect("a waiter"), Ok(()));
            assert!((0..3).all(|at| library.keep.is_synced([0, 1, 3][at], own[at])));
            for (key, number) in [1, 2].into_iter().zip(sent) {
                assert_eq!(library.synced(key, number), Ok(()));
            }
        });
        let records = [vec![(0, 1), (1, 1), (3, 1)], vec![(1, 2), (2, 2)]];
        assert_eq!(library.paper.records(), records);
        library.end();
    }
}

#[test]
fn the_effects_of_a_transaction_stand_in_the_order_in_which_they_were_made() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let mut reserved = library.keep.try_reserve(3, None).expect("places");
        for keys in [&[3, 0, 3, 2, 7, 0, 1][..], &[2, 6, 2], &[]] {
            let mut loans = library.keep.acquire(&[0, 1, 2, 3], call()).expect("shards");
            reserved.deposit_all(&mut loans);
            loans.change(|loans| set_all(loans, keys, 1));
            // Looks at all, and changes them one after the other.
            for loan in loans.iter_mut() {
                let index = loan.index() as u64;
                loan.change(|book| (!keys.is_empty()).then(|| book.set(index, 2)));
            }
            loans.change(|loans| set_all(loans, keys, 3));
            drop(loans);
        }
        drop(reserved);
        let record = |keys: &[u64]| {
            let set = |value| keys.iter().map(move |&key| (key, value));
            set(1)
                .chain((0..4).map(|key| (key, 2)))
                .chain(set(3))
                .collect()
        };
        let records: Vec<Vec<_>> = vec![record(&[3, 0, 3, 2, 7, 0, 1]), record(&[2, 6, 2])];
        assert_eq!(library.keep.sync(&call()), Ok(()));
        assert_eq!(library.paper.records(), records);
        library.end();
    }
}

#[test]
fn a_transaction_that_changed_one_of_its_shards_is_a_record_like_any_other() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let mut reserved = library.keep.reserve(&call()).expect("a place");
        let mut loans = library.keep.acquire(&[0, 1, 2], call()).expect("shards");
        reserved.deposit_all(&mut loans);
        let numbers = loans.change(|loans| {
            loans.state(0).needs(0);
            let numbers = set_all(loans, &[1, 5], 1);
            loans.state(2).needs(2);
            [numbers, set_all(loans, &[1], 2)].concat()
        });
        drop((loans, reserved));
        assert_eq!(numbers, [1, 1, 1]);
        assert_eq!(library.synced(1, 1), Ok(()));
        assert_eq!(library.paper.records(), [[(1, 1), (5, 1), (1, 2)]]);
        library.end();
    }
}

#[test]
fn what_was_done_to_one_shard_before_is_a_record_of_its_own() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let mut reserved = library.keep.try_reserve(2, None).expect("places");
        let mut loans = library.keep.acquire(&[0, 1], call()).expect("shards");
        reserved.deposit(loans.shard(1));
        loans.shard(1).change(|book| book.set(1, 1));
        reserved.deposit_all(&mut loans);
        let numbers = loans.change(|loans| set_all(loans, &[0, 1], 2));
        drop((loans, reserved));
        assert_eq!(library.synced(1, numbers[1]), Ok(()));
        assert_eq!(
            library.paper.records(),
            [vec![(1, 1)], vec![(0, 2), (1, 2)]]
        );
        library.end();
    }
}

/// The first of its shards says it; what was done before stands before it, and what is done afterwards behind it,
/// in every shard.
#[test]
fn a_clear_of_everything_is_one_record_and_stands_in_it_where_it_was_done() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        for key in 0..8 {
            assert_eq!(library.set_synced(key, key), Ok(()));
        }
        let mut reserved = library.keep.reserve(&call()).expect("a place");
        let mut loans = library.keep.acquire(&[0, 1, 2, 3], call()).expect("shards");
        reserved.deposit_all(&mut loans);
        loans.change(|loans| {
            set_all(loans, &[2, 3], 1);
            for shard in 0..4 {
                loans.state(shard).clear(shard == 0);
            }
            set_all(loans, &[1], 2);
        });
        drop((loans, reserved));
        for key in 0..4 {
            let (_, number) = library.get(key);
            assert!(number > 0 || library.paper.is_synced((1, 2)));
            assert_eq!(library.synced(key, number), Ok(()));
        }
        let last = library.paper.records().pop();
        assert_eq!(last, Some(vec![(2, 1), (3, 1), (CLEARED, 0), (1, 2)]));
        library.end();
    }
}
