//! Limits, panics of keys and values, closing.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use shardkeep::{
    Builder, CancelToken, Error, Event, Handover, KeyNotNamed, Lost, OpenError, Refused, Store,
    TransactionError,
};

use crate::{BOTH, PATIENCE, channel, small};

#[test]
fn inserts_beyond_the_shards_share_of_the_weight_are_refused_and_lighter_ones_are_not() {
    for handover in BOTH {
        let store = small(handover)
            .shards(1)
            .owners(1)
            .max_weight(10, |_: &&str, weight: &u64| *weight)
            .open()
            .unwrap();
        store.insert("a", 6).unwrap();
        let refused = |needed| {
            Error::Refused(Refused::OverLimit {
                limit: "the shard's share of max_weight",
                allowed: 10,
                needed,
            })
        };
        assert_eq!(store.insert("b", 5), Err(refused(11)));
        assert_eq!(store.get(&"b").unwrap(), None);
        store.insert("b", 4).unwrap();
        assert_eq!(store.insert("a", 7), Err(refused(11)));
        assert_eq!(store.insert("a", 5).unwrap(), Some(6));
        assert_eq!(store.weight().unwrap(), 9);
        let swapped = store.transaction(["a", "b"], |tx| {
            tx.insert(&"a", 9)?;
            tx.insert(&"b", 1)?;
            Ok::<_, KeyNotNamed>(())
        });
        assert_eq!(swapped, Ok(()), "what counts is where it ends");
        let too_much = store.transaction(["a", "b"], |tx| {
            tx.insert(&"b", 2)?;
            Ok::<_, KeyNotNamed>(())
        });
        assert_eq!(too_much, Err(TransactionError::Store(refused(11))));
        store.remove(&"a").unwrap();
        assert_eq!(store.weight().unwrap(), 1);
        store.clear().unwrap();
        assert_eq!(store.weight().unwrap(), 0);
    }
}

#[test]
fn an_impossible_setting_is_refused_by_name() {
    let cases: [(Builder<u8, u8>, &str); 4] = [
        (Store::builder().shards(3), "shards = 3"),
        (Store::builder().shards(2).owners(4), "owners = 4"),
        (Store::builder().mailbox_works(0), "mailbox_works = 0"),
        (
            Store::builder().shards(8).max_weight(7, |_, _| 1),
            "max_weight = 7",
        ),
    ];
    for (builder, begins) in cases {
        let error: OpenError = builder.open().err().unwrap();
        assert!(error.to_string().starts_with(begins), "{error}");
    }
}

thread_local! {
    static POISON: Cell<bool> = const { Cell::new(false) };
}

#[derive(Clone, Debug)]
struct Fragile(u32);

impl std::hash::Hash for Fragile {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        assert!(!POISON.get(), "as planned");
        self.0 == other.0
    }
}

impl Eq for Fragile {}

#[test]
fn a_panic_in_a_keys_code_during_a_change_loses_its_shard_and_no_other() {
    let (events, happened) = channel();
    let store = small(Handover::Lend)
        .shards(2)
        .on_event(move |event| drop(events.send(event)))
        .open()
        .unwrap();
    for key in 0..100 {
        store.insert(Fragile(key), key).unwrap();
    }
    let shard_of_0 = {
        POISON.set(true);
        let panicked = catch_unwind(AssertUnwindSafe(|| store.insert(Fragile(0), 1)));
        POISON.set(false);
        assert!(panicked.is_err());
        match happened.recv_timeout(PATIENCE).unwrap() {
            Event::ShardLost { shard } => shard,
            event => panic!("{event:?}"),
        }
    };
    let left = store.len().unwrap();
    assert!((1..100).contains(&left), "{left}");
    assert_eq!(
        store.insert(Fragile(0), 2).unwrap(),
        None,
        "it is open again"
    );
    assert_eq!(store.stats()[shard_of_0].times_lost, 1);
}

#[test]
fn the_callers_of_a_work_that_panics_in_other_hands_are_told_that_it_is_lost() {
    #[derive(Clone)]
    struct Bomb;
    impl std::hash::Hash for Bomb {
        fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
    }
    impl PartialEq for Bomb {
        fn eq(&self, _: &Self) -> bool {
            panic!("as planned")
        }
    }
    impl Eq for Bomb {}
    let store = small(Handover::Mail).shards(1).owners(1).open().unwrap();
    store.insert(Bomb, 1).unwrap();
    let lost = Err(Error::Lost(Lost::ShardLost { shard: 0 }));
    assert_eq!(store.get(&Bomb), lost);
}

#[test]
fn a_closed_store_refuses_through_every_handle() {
    for handover in BOTH {
        let store = small(handover).open().unwrap();
        let clone = store.clone();
        store.insert(1, 1).unwrap();
        let report = store.close(PATIENCE);
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(clone.get(&1), Err(Refused::Closed.into()));
        assert_eq!(clone.insert(1, 1), Err(Refused::Closed.into()));
        assert_eq!(clone.try_get(&1), Err(Refused::Closed));
        assert_eq!(clone.len(), Err(Refused::Closed.into()));
        assert_eq!(
            clone.get_many([1, 2]),
            [Err(Refused::Closed.into()), Err(Refused::Closed.into())]
        );
        assert_eq!(clone.iter().count(), 1, "one error, then the end");
    }
}

#[test]
fn dropping_the_last_handle_ends_the_owners_even_with_a_handle_inside_of_the_store() {
    let store: Store<u8, Option<CancelToken>> = small(Handover::Lend).open().unwrap();
    store.insert(1, Some(CancelToken::new())).unwrap();
    let pipeline = store.pipeline();
    drop(store);
    drop(pipeline);
}
