//! Batches: each shard is visited once, and the buffers are used again.

use std::io::Write;

use shardkeep::{Reply, Store};

const BATCHES: u64 = 100;
const BATCH: u64 = 512;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open()?;
    let mut pipeline = store.pipeline();
    let mut found = 0;
    for batch in 0..BATCHES {
        for at in 0..BATCH {
            let key = batch * BATCH + at;
            // Operations on one key keep their order.
            pipeline.insert(key, key * 2).get(key);
        }
        for reply in pipeline.run() {
            match reply {
                Reply::Value(Some(_)) => found += 1,
                Reply::Value(None) => {}
                Reply::Failed(error) => return Err(error.clone().into()),
                other => return Err(format!("unexpected: {other:?}").into()),
            }
        }
    }
    assert_eq!(found, BATCHES * BATCH);

    let some: Result<Vec<_>, _> = store.get_many([1, 2, u64::MAX]).into_iter().collect();
    assert_eq!(some?, [Some(2), Some(4), None]);
    writeln!(
        std::io::stdout(),
        "{} entries in {BATCHES} batches",
        store.len()?
    )?;
    Ok(())
}
