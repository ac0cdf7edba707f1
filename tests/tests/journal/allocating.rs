//! In steady state a write allocates nothing on its way into the log.

use shardkeep_core::{Handover, SyncMode};

use crate::book::{Library, NEVER, call, config, durability};

const ROUNDS: u64 = 1_000;

/// Writes once, and commits what is queued on this thread.
fn write(library: &Library, value: u64) {
    let mut reserved = library.keep.reserve(&call()).expect("a place");
    let number = library.change(value % 64, &mut reserved, move |book| {
        book.set(value % 64, value)
    });
    library.keep.commit();
    drop(reserved);
    let number = number.expect("a write");
    assert_eq!(library.synced(value % 64, number), Ok(()));
}

#[test]
fn a_write_in_steady_state_allocates_nothing() {
    for sync in [SyncMode::Interval(NEVER), SyncMode::Never, SyncMode::Always] {
        let library = Library::open(config(Handover::Lend, durability(sync, true)));
        library.paper.forget();
        // Until every buffer has its size.
        (0..ROUNDS).for_each(|value| write(&library, value));
        let counted = allocation_counter::measure(|| {
            (0..ROUNDS).for_each(|value| write(&library, value));
        });
        assert_eq!(counted.count_total, 0, "{sync:?}");
    }
}
