//! What a store takes before anything is in it: an embedder opens dozens.
//!
//! Counts what the opening thread allocates and keeps: all but the stacks of the store's threads.

#![cfg(test)]

use shardkeep::{Builder, Durable, Handover, Store};
use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::Scratch;

/// As on two cores by default.
const SHARDS: usize = 64;

/// An empty store of [`SHARDS`] shards, in bytes: a tenth of what an embedder may expect.
const EMPTY_BYTES_MAX: u64 = 100 << 10;

/// An empty durable one: the same, and the log's buffers.
const EMPTY_DURABLE_BYTES_MAX: u64 = 1 << 20;

/// What a mailbox takes from its first work on, in bytes: a thousand places, and no work in any.
const MAILBOX_BYTES_MAX: u64 = 100 << 10;

fn builder(shards: usize) -> Builder<u64, String> {
    Store::builder().shards(shards).owners(2).deadline(PATIENCE)
}

/// What opening a store leaves allocated.
fn taken(builder: Builder<u64, String>) -> (Store<u64, String>, u64) {
    let mut store = None;
    let counted = allocation_counter::measure(|| store = builder.open().ok());
    let bytes = u64::try_from(counted.bytes_current).expect("more was taken than given back");
    (store.expect("a store"), bytes)
}

#[test]
fn an_empty_store_takes_little_and_so_does_one_of_many_shards() {
    let (_store, bytes) = taken(builder(SHARDS));
    assert!(bytes <= EMPTY_BYTES_MAX, "{bytes} bytes");
    // The default on 64 cores.
    let (_store, bytes) = taken(builder(32 * SHARDS));
    assert!(bytes <= 32 * EMPTY_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn an_empty_durable_store_takes_little() {
    let scratch = Scratch::new().expect("a directory");
    let directory = scratch.path().join("store");
    let (_store, bytes) = taken(builder(SHARDS).durable(directory, Durable::new()));
    assert!(bytes <= EMPTY_DURABLE_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn a_shard_makes_its_mailbox_when_the_first_work_comes_and_its_places_are_small() {
    let (store, _) = taken(builder(SHARDS).handover(Handover::Mail));
    let counted = allocation_counter::measure(|| {
        store.insert(1, "one".to_owned()).expect("a write");
    });
    let bytes = counted.bytes_current;
    assert!(bytes > 0, "the first work makes the mailbox");
    assert!(bytes <= MAILBOX_BYTES_MAX as i64, "{bytes} bytes");
    let again = allocation_counter::measure(|| {
        store.insert(1, "uno".to_owned()).expect("a write");
    });
    assert!(again.bytes_total < 1 << 10, "{} bytes", again.bytes_total);
}
