//! A walk that is behind: a thread that wants a place in the log's queue waits until it has caught up.

use std::sync::Arc;

use shardkeep_core::limits::WALK_BUFFER_BYTES_MAX as BOUND;
use shardkeep_core::{Call, CancelToken, Error, Handover, Lost, Pressure, Refused, SyncMode, Wake};

use crate::book::{Library, call, config, durability, short};
use crate::failing::Bell;

/// A library whose walk has one byte too many waiting, and its pressure.
fn behind() -> (Library, Arc<Pressure>) {
    let library = Library::open(config(Handover::Lend, durability(SyncMode::Always, true)));
    let pressure = library.keep.walk_pressure();
    assert!(pressure.add(BOUND / 2 + 1));
    (library, pressure)
}

fn held_up(bytes: usize) -> Option<Refused> {
    Some(Refused::WalkBehind {
        bytes,
        bound: BOUND,
    })
}

#[test]
fn writers_wait_while_a_walk_is_behind_and_go_on_when_it_has_caught_up() {
    let (library, pressure) = behind();
    std::thread::scope(|scope| {
        let writers = [0, 1, 2].map(|key| {
            let library = &library;
            scope.spawn(move || library.set_synced(key, 1))
        });
        let remover = scope.spawn(|| library.remove(7).map(|_| ()));
        assert_eq!(library.keep.reserve(&short()).err(), held_up(BOUND / 2 + 1));
        assert_eq!(library.places_taken(), 0);
        pressure.take(1);
        for writer in writers.into_iter().chain([remover]) {
            assert_eq!(writer.join().expect("a writer"), Ok(()));
        }
    });
    pressure.take(BOUND / 2);
    library.end();
}

#[test]
fn who_waits_for_a_walk_in_vain_is_refused_by_its_deadline_or_its_cancellation() {
    let (library, pressure) = behind();
    let bytes = BOUND / 2 + 1;
    assert_eq!(library.keep.reserve(&short()).err(), held_up(bytes));
    assert_eq!(library.keep.reserve_removal(&short()).err(), held_up(bytes));
    assert_eq!(library.keep.try_reserve(3, None).err(), held_up(bytes));
    let removals = library.keep.try_reserve_removals(1, None).err();
    assert_eq!(removals, held_up(bytes));
    let token = CancelToken::new();
    token.cancel();
    let cancelled = Call {
        cancel: Some(token),
        ..call()
    };
    let refused = library.keep.reserve(&cancelled).err();
    assert_eq!(refused, Some(Refused::Cancelled));
    let stats = library.keep.log_stats().expect("a log");
    assert_eq!((stats.walk_refused, stats.refused), (2, 0));
    pressure.take(bytes);
    library.end();
}

#[test]
fn half_of_the_bound_holds_nobody_up() {
    let (library, pressure) = behind();
    pressure.take(1);
    assert_eq!(pressure.bytes(), BOUND / 2);
    assert_eq!(library.set_synced(1, 1), Ok(()));
    pressure.take(BOUND / 2);
    library.end();
}

#[test]
fn who_has_a_place_goes_on_and_so_do_a_clear_and_a_cut() {
    let library = Library::open(config(Handover::Lend, durability(SyncMode::Always, true)));
    let mut reserved = library.keep.reserve(&call()).expect("a place");
    let pressure = library.keep.walk_pressure();
    assert!(pressure.add(BOUND) && !pressure.add(1));
    let written = library.change(1, &mut reserved, |book| book.set(1, 1));
    assert_eq!(written, Ok(1));
    drop(library.keep.reserve_clear(&call()).expect("a place"));
    assert!(library.keep.cut(&call(), |_, _| ()).is_ok());
    drop(reserved);
    pressure.take(BOUND + 1);
    library.end();
}

#[test]
fn who_never_waits_is_rung_once_when_the_walk_has_caught_up() {
    let (library, pressure) = behind();
    let bell = Bell::default();
    let wake: Arc<dyn Wake> = Arc::new(bell.clone());
    let mut places = library.keep.no_places();
    assert!(pressure.add(9));
    assert_eq!(places.try_take(&wake).err(), held_up(BOUND / 2 + 10));
    pressure.take(9);
    assert!(!bell.has_rung(), "it is still behind");
    pressure.take(1);
    assert!(bell.has_rung());
    assert_eq!(places.try_take(&wake), Ok(()));
    pressure.take(BOUND / 2);
    assert!(!bell.has_rung(), "nobody waits any more");
    drop(places);
    library.end();
}

#[test]
fn writers_that_wait_for_a_walk_are_turned_away_when_the_log_fails() {
    let (library, _pressure) = behind();
    std::thread::scope(|scope| {
        let writers = [0, 1].map(|key| {
            let library = &library;
            scope.spawn(move || library.set(key, 1))
        });
        let failed: Result<(), _> = library.keep.on_journal(&call(), |_| panic!("on purpose"));
        assert_eq!(failed, Err(Error::Lost(Lost::LogFailed)));
        for writer in writers {
            let refused = Err(Error::Refused(Refused::LogFailed));
            assert_eq!(writer.join().expect("a writer"), refused);
        }
    });
}
