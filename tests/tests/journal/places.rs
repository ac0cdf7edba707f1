//! Places in the log's queue: what bounds them, and that each comes back once, whatever happens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use shardkeep_core::limits::{LOG_PLACE_BYTES, LOG_PLACES};
use shardkeep_core::{CancelToken, Config, Deadline, Error, Handover, Overload, Refused, SyncMode};

use crate::book::{
    Library, Note, Several, all_ways, call, config, durability, later, shard_of, short,
};
use crate::paper::Step;

fn is_full(refused: Option<Refused>) -> bool {
    matches!(refused, Some(Refused::LogFull { .. }))
}

fn never_synced() -> Config {
    config(Handover::Lend, durability(SyncMode::Never, true))
}

#[test]
fn places_are_bounded_and_given_back_when_nobody_uses_them() {
    let library = Library::open(never_synced());
    let all = library
        .keep
        .try_reserve(LOG_PLACES, None)
        .expect("an empty queue");
    assert_eq!(library.places_taken(), LOG_PLACES);
    assert!(is_full(library.keep.try_reserve(1, None).err()));
    assert!(is_full(library.keep.reserve(&short()).err()));
    let token = CancelToken::new();
    token.cancel();
    let cancelled = shardkeep_core::Call {
        cancel: Some(token),
        ..call()
    };
    let refused = library.keep.reserve(&cancelled).err();
    assert_eq!(refused, Some(Refused::Cancelled));
    drop(all);
    assert_eq!(library.places_taken(), 0);
    let (limit, allowed) = ("places of the log's queue", LOG_PLACES as u64);
    let needed = allowed + 1;
    let over = Refused::OverLimit {
        limit,
        allowed,
        needed,
    };
    assert_eq!(
        library.keep.try_reserve(LOG_PLACES + 1, None).err(),
        Some(over)
    );
    library.end();
}

#[test]
fn a_writer_gets_the_place_of_what_was_written() {
    for lend in [true, false] {
        let library = Library::open(config(Handover::Lend, durability(SyncMode::Always, lend)));
        let others = library
            .keep
            .try_reserve(LOG_PLACES - 1, None)
            .expect("places");
        let held = library.paper.hold(Step::Write);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| library.set_synced(1, 1));
            held.wait();
            assert!(is_full(library.keep.try_reserve(1, None).err()));
            let second = scope.spawn(|| library.set_synced(2, 2));
            drop(held);
            assert_eq!(first.join().expect("a writer"), Ok(()));
            assert_eq!(second.join().expect("a writer"), Ok(()));
        });
        drop(others);
        library.end();
    }
}

#[test]
fn readers_need_no_place() {
    let library = Library::open(config(Handover::Lend, durability(SyncMode::Always, true)));
    assert_eq!(library.set_synced(1, 1), Ok(()));
    let all = library.keep.try_reserve(LOG_PLACES, None).expect("places");
    let (value, number) = library.get(1);
    assert_eq!((value, library.synced(1, number)), (Some(1), Ok(())));
    drop(all);
}

#[test]
fn a_large_batch_takes_the_places_of_several() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let held = library.paper.hold(Step::Write);
        // Of sixteen bytes each.
        let count = 3 * LOG_PLACE_BYTES as u64 / 16;
        let mut reserved = library.keep.reserve(&call()).expect("a place");
        let number = library.change(1, &mut reserved, move |book| {
            (0..count)
                .map(|n| book.set(1 + 4 * n, n))
                .max()
                .unwrap_or(0)
        });
        let number = number.expect("a write");
        drop(reserved);
        assert_eq!(library.places_taken(), 4);
        drop(held);
        assert_eq!(library.synced(1, number), Ok(()));
        assert_eq!(library.places_taken(), 0);
        library.end();
    }
}

#[test]
fn a_place_comes_back_from_every_work_that_did_not_run() {
    for handover in [Handover::Lend, Handover::Mail] {
        let library = Library::open(Config {
            mailbox_works: 1,
            overload: Overload::Reject,
            ..config(handover, durability(SyncMode::Never, true))
        });
        let holder = library.hold(1);
        let mut reserved = library.keep.try_reserve(3, None).expect("places");
        let mut late = Note::new(|_| unreachable!("it is late"));
        late.deadline = Deadline::after(std::time::Duration::ZERO);
        let ticket = Arc::clone(&late.ticket);
        assert!(
            library
                .keep
                .post_write(1, late, &mut reserved, &call())
                .is_ok()
        );
        // The mailbox is full: the place stays with the reservation.
        let full = Note::new(|_| unreachable!("it was not posted"));
        let back = library.keep.post_write(1, full, &mut reserved, &call());
        assert!(matches!(back, Err((_, Refused::MailboxFull { .. }))));
        drop(reserved);
        assert_eq!(library.places_taken(), 1, "on its way with the work");
        drop(holder);
        let refused = ticket.wait(&call(), || 0);
        assert!(matches!(
            refused,
            Err(Error::Refused(Refused::DeadlinePassed { .. }))
        ));
        assert_eq!(
            library.places_taken(),
            0,
            "whoever has its reply has its place"
        );
        let given_up = Note::new(|_| unreachable!("it was given up"));
        let ticket = Arc::clone(&given_up.ticket);
        let holder = library.hold(1);
        let mut reserved = library.keep.reserve(&call()).expect("a place");
        let posted = library.keep.post_write(1, given_up, &mut reserved, &call());
        assert!(posted.is_ok());
        assert!(ticket.abandon(Refused::Cancelled).is_err());
        drop((holder, reserved));
        library.end();
    }
}

#[test]
fn a_place_comes_back_from_every_transaction_that_did_not_run() {
    for handover in [Handover::Lend, Handover::Mail] {
        let library = Library::open(config(handover, durability(SyncMode::Never, true)));
        let mut reserved = library.keep.try_reserve(3, None).expect("places");
        let mut late = Several::new(&[0, 1], |_| unreachable!("it is late"));
        late.deadline = Deadline::after(std::time::Duration::ZERO);
        let ticket = Arc::clone(&late.ticket);
        assert!(
            library
                .keep
                .send_transaction(late, Some(&mut reserved))
                .is_ok()
        );
        assert!(ticket.wait(&call(), || 0).is_err());
        assert_eq!(library.places_taken(), 2);
        let given_up = Several::new(&[0, 1], |_| unreachable!("it was given up"));
        let ticket = Arc::clone(&given_up.ticket);
        assert!(ticket.abandon(Refused::Cancelled).is_err());
        assert!(
            library
                .keep
                .send_transaction(given_up, Some(&mut reserved))
                .is_ok()
        );
        library.end_with(reserved);
    }
}

#[test]
fn a_place_comes_back_from_a_change_that_changed_nothing_or_had_too_many() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let mut reserved = library.keep.try_reserve(8, None).expect("places");
        drop(
            library
                .keep
                .acquire(&[], call())
                .map(|mut none| reserved.deposit_all(&mut none)),
        );
        let mut loans = library.keep.acquire(&[0, 1], call()).expect("two shards");
        reserved.deposit(loans.shard(0));
        reserved.deposit(loans.shard(0));
        reserved.deposit_all(&mut loans);
        reserved.deposit_all(&mut loans);
        reserved.deposit(loans.shard(1));
        drop(loans);
        assert!(reserved.has_place());
        let nothing = library.change(2, &mut reserved, |_| 0);
        assert_eq!(nothing, Ok(0));
        drop(reserved);
        assert_eq!(library.places_taken(), 0);
        assert_eq!(library.paper.records().len(), 0);
        library.end();
    }
}

#[test]
fn a_place_comes_back_from_a_panic() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        let mut reserved = library.keep.try_reserve(3, None).expect("places");
        let broken = library.mail(1, &mut reserved, |book| {
            book.set(1, 1);
            panic!("on purpose")
        });
        assert!(matches!(broken, Err(Error::Lost(_))));
        let sent = Several::new(&[2, 3], |loans| {
            loans.state(2).set(2, 2);
            panic!("on purpose")
        });
        let ticket = Arc::clone(&sent.ticket);
        assert!(
            library
                .keep
                .send_transaction(sent, Some(&mut reserved))
                .is_ok()
        );
        assert!(matches!(ticket.wait(&call(), || 0), Err(Error::Lost(_))));
        let mut loans = library.hold(0);
        reserved.deposit(loans.shard(0));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            loans.shard(0).change(|book| {
                book.set(0, 0);
                panic!("on purpose")
            })
        }));
        assert!(panicked.is_err());
        drop((loans, reserved));
        assert_eq!(library.places_taken(), 0);
        assert_eq!(
            library.paper.records().len(),
            0,
            "nothing of what broke is kept"
        );
    }
}

#[test]
fn a_shard_that_tends_itself_takes_its_own_place_and_its_effects_are_kept() {
    for config in all_ways(SyncMode::Always) {
        let library = Library::open(config);
        assert_eq!(library.set_synced(1, 1), Ok(()));
        library
            .hold(1)
            .shard(shard_of(1))
            .change(|book| book.expires = Some(1));
        library.paper.until_synced((1, crate::book::REMOVED));
        assert_eq!(library.get(1).0, None);
        library.end();
    }
}

#[test]
fn mail_that_is_left_when_the_keep_is_dropped_gives_its_place_back() {
    let library = Library::open(never_synced());
    let holder = library.hold(1);
    let mut reserved = library.keep.reserve(&call()).expect("a place");
    let note = Note::new(|book| book.set(1, 1));
    let ticket = Arc::clone(&note.ticket);
    assert!(
        library
            .keep
            .post_write(1, note, &mut reserved, &call())
            .is_ok()
    );
    drop(reserved);
    let closed = library
        .keep
        .close(Deadline::after(std::time::Duration::ZERO));
    assert_eq!((closed.shards_away, closed.owners_left), (1, 0));
    drop(holder);
    let refused = Err(Error::Refused(Refused::Closed));
    assert_eq!(ticket.wait(&call(), || 0), refused);
    assert_eq!(library.places_taken(), 0);
    assert!(library.keep.close(later()).is_clean());
}
