//! What the store promises beyond a map: expiry, closures, limits, waiting, closing.
//!
//! No test sleeps: time jumps, and threads meet at channels.

#![expect(clippy::disallowed_methods, reason = "a test may wait")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod batches;
mod closures;
mod dropping;
mod expiry;
mod failing;
mod loading;
#[path = "../durable/place.rs"]
mod place;
mod waiting;

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use shardkeep::{Builder, Handover, Store};

/// Longer than any test takes; a wait that is meant to end ends long before.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const BOTH: [Handover; 2] = [Handover::Lend, Handover::Mail];

/// Room for whatever a test sends.
pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    bounded(64)
}

pub(crate) fn small<K: shardkeep::Key, V: shardkeep::Value>(handover: Handover) -> Builder<K, V> {
    Store::builder()
        .shards(4)
        .owners(2)
        .handover(handover)
        .deadline(PATIENCE)
        .hasher_seed(7)
}

/// A store of one shard, and a thread that holds that shard until it is told to let go.
pub(crate) struct Held {
    pub(crate) store: Store<u32, u32>,
    pub(crate) let_go: Sender<()>,
    pub(crate) holder: std::thread::JoinHandle<()>,
}

pub(crate) fn spawn(run: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::Builder::new().spawn(run).unwrap()
}

pub(crate) fn hold(builder: Builder<u32, u32>) -> Held {
    let store = builder.shards(1).owners(1).open().unwrap();
    store.insert(0, 0).unwrap();
    let (let_go, released): (_, Receiver<()>) = channel();
    let (held, is_held) = channel();
    let for_holder = store.clone();
    let holder = spawn(move || {
        for_holder
            .read(&0, |_| {
                held.send(()).unwrap();
                let _ = released.recv();
            })
            .unwrap();
    });
    is_held.recv().unwrap();
    Held {
        store,
        let_go,
        holder,
    }
}

impl Held {
    pub(crate) fn release(self) {
        drop(self.let_go);
        self.holder.join().unwrap();
    }
}
