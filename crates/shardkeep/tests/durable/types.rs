//! A store is opened with the types it was written with, or refused by name.

use shardkeep::codec::{Named, Plain};
use shardkeep::durable::NewStore;
use shardkeep::{Codec, Durable, Encode, Key, OpenError, RecoverError, Store, Value};

use crate::place::Place;

/// Opens it; or what the refusal says.
fn open<K: Key + Encode, V: Value + Encode>(
    place: &Place,
    durable: Durable,
) -> Result<Store<K, V>, String> {
    open_with(place, durable, Plain, Plain)
}

fn open_with<K: Key, V: Value>(
    place: &Place,
    durable: Durable,
    key: impl Codec<K>,
    value: impl Codec<V>,
) -> Result<Store<K, V>, String> {
    let builder = Store::builder().shards(2);
    let opened = builder
        .durable_with(place.path(), durable, key, value)
        .open();
    opened.map_err(|error| {
        let OpenError::Recovery(why) = error else {
            panic!("{error}");
        };
        let why: &RecoverError = why.downcast_ref().unwrap();
        assert!(matches!(why, RecoverError::OtherTypes { .. }), "{why}");
        why.to_string()
    })
}

#[test]
fn another_type_of_the_same_width_is_refused_by_name_and_nothing_is_changed() {
    let place = Place::new();
    let store = open::<u64, u64>(&place, Durable::new()).unwrap();
    store.insert(1, 2.5_f64.to_bits()).unwrap();
    drop(store);
    let expected = "the store holds keys u64, values u64, but is to be opened as keys 8 bytes, values \
                    f64: open it as what it is, or, where the bytes mean the same, with \
                    `Durable::accept_other_types`";
    let refused = open::<[u8; 8], f64>(&place, Durable::new());
    assert_eq!(refused.unwrap_err(), expected);
    let store = open::<u64, u64>(&place, Durable::new()).unwrap();
    assert_eq!(store.get(&1).unwrap(), Some(2.5_f64.to_bits()));
    store.snapshot().unwrap();
    drop(store);
    // A snapshot has the same types as the log behind it.
    assert!(open::<u64, i64>(&place, Durable::new()).is_err());
}

#[test]
fn one_that_is_accepted_counts_as_written_with_the_present_types() {
    let place = Place::new();
    drop(open::<u64, u64>(&place, Durable::new()).unwrap());
    drop(open::<u64, i64>(&place, Durable::new().accept_other_types()).unwrap());
    drop(open::<u64, i64>(&place, Durable::new()).unwrap());
    assert!(open::<u64, u64>(&place, Durable::new()).is_err());
}

#[test]
fn types_of_one_form_are_the_same() {
    let place = Place::new();
    drop(open::<String, Vec<u8>>(&place, Durable::new()).unwrap());
    drop(open::<std::sync::Arc<str>, Box<[u8]>>(&place, Durable::new()).unwrap());
}

#[test]
fn a_codec_with_a_name_of_its_own_goes_by_it() {
    let place = Place::new();
    let named = |name| {
        open_with::<u64, u64>(&place, Durable::new(), Plain, Named::new(name, Plain)).map(drop)
    };
    assert_eq!(named("cents"), Ok(()));
    assert_eq!(named("cents"), Ok(()));
    let refused = named("seconds").unwrap_err();
    assert!(refused.contains("keys u64, values cents"), "{refused}");
    // However long it is, it is told from one that differs at its end.
    let place = Place::new();
    let long = |end: &str| format!("{}{end}", "long ".repeat(1_000));
    let named = |name: String| {
        open_with::<u64, u64>(&place, Durable::new(), Plain, Named::new(name, Plain)).map(drop)
    };
    assert_eq!(named(long("a")), Ok(()));
    assert_eq!(named(long("a")), Ok(()));
    assert!(named(long("b")).is_err());
}

#[test]
fn a_store_written_at_once_is_of_the_types_it_says_or_of_those_that_open_it_first() {
    let place = Place::new();
    let mut new = NewStore::begin(place.path()).unwrap();
    new.put(0, b"k", b"v", None).unwrap();
    new.finish().unwrap();
    drop(open::<String, String>(&place, Durable::new()).unwrap());
    assert!(open::<Vec<u8>, Vec<u8>>(&place, Durable::new()).is_err());

    let place = Place::new();
    let mut new = NewStore::begin_with_content(place.path(), "keys text, values text").unwrap();
    new.put(0, b"k", b"v", None).unwrap();
    new.finish().unwrap();
    assert!(open::<Vec<u8>, Vec<u8>>(&place, Durable::new()).is_err());
    drop(open::<String, String>(&place, Durable::new()).unwrap());
}
