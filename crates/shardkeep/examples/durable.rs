//! A store that outlives its process: run it twice, and it counts on.
//!
//! `cargo run -p shardkeep --example durable -- DIRECTORY`

use std::error::Error;

use shardkeep::{Durable, Store, Update};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "durable-example".to_owned());
    let store: Store<String, u64> = Store::builder()
        .durable(&directory, Durable::new())
        .on_event(|event| eprintln!("{event:?}"))
        .open()?;
    store.update("runs", |runs| Update::Put(runs.map_or(1, |runs| runs + 1)))?;
    // It was on the disk before this line: pull the plug now, and it is still there.
    let runs = store.get("runs")?.unwrap_or(0);
    let report = store.snapshot()?;
    let mut out = std::io::stdout().lock();
    std::io::Write::write_fmt(
        &mut out,
        format_args!("run {runs}; {} entries in {directory}\n", report.entries),
    )?;
    Ok(())
}
