//! Pipelines and walks.

use shardkeep::{Handover, Reply};

use crate::{BOTH, small};

#[test]
fn a_pipeline_can_be_used_again_and_keeps_the_order_of_each_key() {
    for handover in BOTH {
        let store = small(handover).open().unwrap();
        let mut pipeline = store.pipeline();
        assert!(pipeline.run().is_empty());
        for round in 0..3_u32 {
            // More than one loan's worth for each shard.
            for key in 0..4_000_u32 {
                pipeline.insert(key, key + round).get(key);
            }
            assert_eq!(pipeline.len(), 8_000);
            let replies = pipeline.run();
            for key in 0..4_000 {
                let old = (round > 0).then(|| key + round - 1);
                assert_eq!(replies[2 * key as usize], Reply::Value(old));
                assert_eq!(
                    replies[2 * key as usize + 1],
                    Reply::Value(Some(key + round))
                );
            }
            assert!(pipeline.is_empty());
        }
    }
}

#[test]
fn a_walk_returns_every_entry_that_stays_exactly_once_while_others_come_and_go() {
    let store = small(Handover::Lend).segment_entries(7).open().unwrap();
    store.insert_many((0..1_000).map(|key| (key, ())));
    let mut seen = Vec::new();
    for (turn, entry) in (0_u32..).zip(store.iter()) {
        let (key, ()) = entry.unwrap();
        store.insert(10_000 + turn, ()).unwrap();
        store.remove(&(10_000 + turn / 2)).unwrap();
        if key < 1_000 {
            seen.push(key);
        }
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..1_000));
}
