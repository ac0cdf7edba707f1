//! A write waits for its sync as long as the log comes forward, and is lost when it stands still.

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use shardkeep_core::limits::LOG_STEP_BYTES;
use shardkeep_core::{Call, Config, Handover, LogEvent, Lost, SyncMode, clock};

use crate::book::{Library, NEVER, PATIENCE, config, durability, later, shard_of};
use crate::paper::{Fate, Step};

/// Long enough for a busy machine to run each of two threads once.
const DEADLINE: Duration = Duration::from_secs(1);

/// The committer alone writes, so that writers wait.
fn committed_by_thread() -> Config {
    config(Handover::Lend, durability(SyncMode::Always, false))
}

fn step(tell: &Sender<()>) {
    tell.send_timeout((), PATIENCE).expect("a write in steps");
}

/// Lets the log come forward until `until`.
fn step_until(tell: &Sender<()>, until: Instant) {
    while clock::now() < until {
        step(tell);
        std::thread::yield_now();
    }
}

/// A batch on the shard of `key` of `steps` least steps; says which.
fn set_much(library: &Library, key: u64, steps: u64) -> u64 {
    let mut reserved = library.keep.reserve(&Call::by(later())).expect("a place");
    let effects = steps * LOG_STEP_BYTES as u64 / 16;
    let number = library.change(key, &mut reserved, move |book| {
        (0..effects).map(|n| book.set(key, n)).max().unwrap_or(0)
    });
    number.expect("a write")
}

#[test]
fn a_sync_that_takes_longer_than_the_deadline_is_waited_for_while_the_log_comes_forward() {
    let library = Library::open(committed_by_thread());
    let tell = library.paper.in_steps();
    let number = library.set(1, 1).expect("a write");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let began = clock::now();
            let waited = (library.keep).wait_synced(shard_of(1), number, &Call::within(DEADLINE));
            (waited, clock::now() - began)
        });
        step_until(&tell, clock::now() + 5 * DEADLINE / 2);
        drop(tell);
        let (waited, took) = waiting.join().expect("a writer");
        assert_eq!(waited, Ok(()));
        assert!(took > DEADLINE, "it was not put to the test: {took:?}");
    });
    library.end();
}

#[test]
fn a_log_that_stands_still_after_it_came_forward_loses_what_waits() {
    let library = Library::open(committed_by_thread());
    let tell = library.paper.in_steps();
    let number = library.set(1, 1).expect("a write");
    std::thread::scope(|scope| {
        let began = clock::now();
        let waiting = scope.spawn(|| {
            let waited = (library.keep).wait_synced(shard_of(1), number, &Call::within(DEADLINE));
            (waited, clock::now())
        });
        step_until(&tell, began + DEADLINE / 2);
        let stands_still = clock::now();
        step(&tell);
        let (waited, ended) = waiting.join().expect("a writer");
        assert_eq!(waited, Err(Lost::NotSynced { shard: 1 }));
        assert!(ended >= stands_still + DEADLINE, "given up too early");
        drop(tell);
    });
    assert_eq!(library.synced(1, number), Ok(()));
    library.end();
}

/// Otherwise a record for which there is never space would be waited for as long as others make the attempt.
#[test]
fn the_steps_of_a_write_that_finds_no_space_again_and_again_are_no_progress() {
    let library = Library::open(committed_by_thread());
    library.paper.usual(Step::Write, Fate::NoSpace);
    let number = library.set(1, 1).expect("a write");
    assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
    let tell = library.paper.in_steps();
    std::thread::scope(|scope| {
        let waiting = scope
            .spawn(|| (library.keep).wait_synced(shard_of(1), number, &Call::within(DEADLINE)));
        while !waiting.is_finished() {
            step(&tell);
            std::thread::yield_now();
        }
        let lost = Err(Lost::NotSynced { shard: 1 });
        assert_eq!(waiting.join().expect("a writer"), lost);
    });
    library.paper.usual(Step::Write, Fate::Fine);
    drop(tell);
    assert_eq!(library.hear_log(), LogEvent::Resumed);
    library.end();
}

/// Otherwise a disk that hangs in a sync would be waited for as long as others write.
#[test]
fn writes_beside_a_sync_that_hangs_are_no_progress_of_it() {
    let interval = SyncMode::Interval(NEVER);
    let library = Library::open(config(Handover::Lend, durability(interval, false)));
    let held = library.paper.hold(Step::Sync);
    library.set(1, 0).expect("a write");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| library.keep.sync(&Call::within(DEADLINE)));
        held.wait();
        let mut written = 1;
        while !waiting.is_finished() {
            library.set(2, written).expect("a write");
            written += 1;
            library.paper.until_written(written as usize);
        }
        let lost = Err(Lost::NotSynced { shard: 1 });
        assert_eq!(waiting.join().expect("a caller"), lost);
    });
    drop(held);
    library.end();
}

#[test]
fn a_long_queue_is_committed_in_steps_and_each_step_acknowledged_by_itself() {
    let library = Library::open(committed_by_thread());
    let mut held = library.paper.hold(Step::Sync);
    // A step is twice as large as the one before it at most.
    let numbers = [(1, 1), (2, 2), (3, 1)].map(|(key, steps)| set_much(&library, key, steps));
    held.wait();
    for done in 1..=3_u64 {
        let next = library.paper.hold(Step::Sync);
        drop(std::mem::replace(&mut held, next));
        if done < 3 {
            held.wait();
        }
        let number = numbers[done as usize - 1];
        assert_eq!(library.synced(done, number), Ok(()));
        for later in done + 1..=3 {
            let number = numbers[later as usize - 1];
            assert!(!library.keep.is_synced(shard_of(later), number));
        }
    }
    drop(held);
    assert_eq!(library.paper.calls(Step::Sync), 3);
    library.end();
}

#[test]
fn without_space_a_long_queue_keeps_its_order_and_its_places() {
    let library = Library::open(committed_by_thread());
    let held = library.paper.hold(Step::Sync);
    set_much(&library, 1, 1);
    held.wait();
    for key in [2, 3, 1] {
        set_much(&library, key, 1);
    }
    library.paper.usual(Step::Write, Fate::NoSpace);
    drop(held);
    assert!(matches!(library.hear_log(), LogEvent::NoSpace(_)));
    assert!(
        library.places_taken() > 3,
        "what is not written keeps its places"
    );
    library.paper.usual(Step::Write, Fate::Fine);
    assert_eq!(library.hear_log(), LogEvent::Resumed);
    assert_eq!(library.keep.sync(&Call::by(later())), Ok(()));
    library.end();
}
