//! Small meetings of threads at a walk: its cut, and writers that wait while it is behind.
//!
//! Where a cut stands in the log is judged for every scenario, when it is closed: see `book`.

use std::sync::Arc;

use shardkeep_core::limits::WALK_BUFFER_BYTES_MAX as BOUND;
use shardkeep_core::{Call, CancelToken, Error, Refused, Wake};
use shuttle::thread;

use crate::book::{Library, Mood, Writer, always, logged};
use crate::logging::{Bell, done_or_refused, join, writes};
use crate::scenarios::{Scenario, scenarios};
use crate::world::{by, never, soon};

scenarios![WALKING:
    a_cut_meets_writers,
    a_cut_meets_mail_and_transactions,
    two_cuts_meet,
    a_cut_meets_a_shard_that_is_lost,
    a_cut_ends_with_its_call,
    a_cut_is_cancelled,
    a_cut_meets_a_close,
    writers_wait_for_a_walk,
    a_writer_waits_for_a_walk_until_its_deadline,
    writers_that_wait_for_a_walk_are_turned_away_when_the_log_fails,
];

/// Cuts, and finds the cut in the log before anything that is done with the journal in hand.
fn cut(writer: &Writer, call: &Call) -> Result<(), Error> {
    writer.cut(call)?;
    let paper = writer.paper.clone();
    let seen = writer.keep.on_journal(&by(never()), move |_| paper.cuts());
    assert!(seen? > 0, "a duty came before the cut");
    Ok(())
}

fn a_cut_meets_writers() {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    join(vec![
        writes(&library, |writer| {
            assert_eq!(writer.write(0, 1, 1), Ok(()));
            assert_eq!(writer.write(1, 1, 2), Ok(()));
        }),
        writes(&library, |writer| {
            assert_eq!(writer.write_only(1, 2, 3), Ok(()));
            assert_eq!(writer.write_only(0, 2, 4), Ok(()));
        }),
        writes(&library, |writer| {
            assert_eq!(cut(writer, &by(never())), Ok(()));
        }),
    ]);
    library.end();
}

fn a_cut_meets_mail_and_transactions() {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    let away = (library.keep.acquire(&[1], by(never()))).expect("a shard");
    let threads = vec![
        writes(&library, |writer| {
            assert_eq!(writer.write_both(1), Ok(()));
            assert_eq!(writer.write(1, 1, 2), Ok(()));
        }),
        writes(&library, |writer| {
            assert_eq!(writer.send_both(3, false), Ok(()));
        }),
        writes(&library, |writer| {
            assert_eq!(cut(writer, &by(never())), Ok(()));
        }),
        thread::spawn(move || drop(away)),
    ];
    join(threads);
    library.end();
}

fn two_cuts_meet() {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    let cuts = |writer: &Writer| assert_eq!(cut(writer, &by(never())), Ok(()));
    let mut threads = vec![writes(&library, cuts), writes(&library, cuts)];
    threads.push(writes(&library, |writer| {
        assert_eq!(writer.write_both(1), Ok(()));
    }));
    join(threads);
    assert_eq!(library.paper.cuts(), 2);
    library.end();
}

fn a_cut_meets_a_shard_that_is_lost() {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    join(vec![
        writes(&library, |writer| writer.break_down(1, 1, 1)),
        writes(&library, |writer| done_or_refused(writer.write_both(2))),
        writes(&library, |writer| match cut(writer, &by(never())) {
            Ok(()) => {}
            Err(refused) => {
                assert_eq!(refused, Refused::ShardLost { shard: 1 }.into());
                assert_eq!(writer.paper.cuts(), 0, "a cut that was refused");
            }
        }),
    ]);
    library.end_failed();
}

/// Whoever has a shard keeps it until the call is over; or gives it back before.
fn cut_in_vain(call: Call, end: impl FnOnce() + Send + 'static, why: fn(&Refused) -> bool) {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    let away = (library.keep.acquire(&[1], by(never()))).expect("a shard");
    let mut threads = vec![
        writes(&library, move |writer| match cut(writer, &call) {
            Ok(()) => {}
            Err(Error::Refused(refused)) if why(&refused) => {
                assert_eq!(writer.paper.cuts(), 0, "a cut that was refused");
            }
            Err(other) => panic!("{other:?}"),
        }),
        writes(&library, |writer| {
            assert_eq!(writer.write(0, 1, 1), Ok(()));
        }),
    ];
    end();
    threads.push(thread::spawn(move || drop(away)));
    join(threads);
    library.end();
}

fn a_cut_ends_with_its_call() {
    let too_late = |why: &Refused| matches!(why, Refused::DeadlinePassed { .. });
    cut_in_vain(by(soon()), || {}, too_late);
}

fn a_cut_is_cancelled() {
    let token = CancelToken::new();
    let call = Call {
        cancel: Some(token.clone()),
        ..by(never())
    };
    let cancelled = |why: &Refused| *why == Refused::Cancelled;
    cut_in_vain(call, move || token.cancel(), cancelled);
}

fn a_cut_meets_a_close() {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    join(vec![
        writes(&library, |writer| {
            match writer.cut(&by(never())) {
                Ok(()) | Err(Error::Refused(Refused::Closed | Refused::Draining)) => {}
                Err(other) => panic!("{other:?}"),
            };
        }),
        writes(&library, |writer| {
            let report = writer.keep.close(never());
            assert!(report.is_clean(), "{report:?}");
        }),
    ]);
    library.end_closed();
}

/// One byte too many waits, and is written at last.
fn writers_wait_for_a_walk() {
    let library = Library::open(logged(1, always(true)), Mood::Fine);
    let pressure = library.keep.walk_pressure();
    assert!(pressure.add(BOUND / 2 + 2));
    let mut threads: Vec<_> = (0..2)
        .map(|number| {
            writes(&library, move |writer| {
                assert_eq!(writer.write(0, number, number), Ok(()));
                // Its own old state, which is written in turn.
                let pressure = writer.keep.walk_pressure();
                assert!(pressure.add(1));
                pressure.take(1);
            })
        })
        .collect();
    // One that never waits for its places.
    threads.push(writes(&library, |writer| {
        let bell = Arc::new(Bell::default());
        let wake: Arc<dyn Wake> = Arc::clone(&bell) as Arc<dyn Wake>;
        loop {
            match writer.keep.try_reserve(2, Some(&wake)) {
                Ok(reserved) => return drop(reserved),
                Err(Refused::WalkBehind { .. } | Refused::LogFull { .. }) => bell.wait(),
                Err(other) => panic!("{other:?}"),
            }
        }
    }));
    pressure.take(1);
    pressure.take(1);
    join(threads);
    pressure.take(BOUND / 2);
    library.end();
}

fn a_writer_waits_for_a_walk_until_its_deadline() {
    let library = Library::open(logged(1, always(true)), Mood::Fine);
    let pressure = library.keep.walk_pressure();
    assert!(pressure.add(BOUND / 2 + 1));
    let threads = (0..2).map(|number| {
        writes(&library, move |writer| {
            let call = by(if number == 0 { soon() } else { never() });
            match writer.keep.reserve(&call) {
                Ok(reserved) => drop(reserved),
                Err(Refused::WalkBehind { .. }) if number == 0 => {}
                Err(other) => panic!("{other:?}"),
            }
        })
    });
    let threads = threads.collect();
    pressure.take(BOUND / 2 + 1);
    join(threads);
    library.end();
}

/// The walk never catches up, and still nobody waits for it in vain.
fn writers_that_wait_for_a_walk_are_turned_away_when_the_log_fails() {
    let library = Library::open(logged(1, always(true)), Mood::Fine);
    assert!(library.keep.walk_pressure().add(BOUND));
    let threads = (0..2).map(|number| {
        writes(&library, move |writer| {
            let refused = Err(Error::Refused(Refused::LogFailed));
            assert_eq!(writer.write(0, number, number), refused);
        })
    });
    let threads = threads.collect();
    let failed: Result<(), _> = (library.keep).on_journal(&by(never()), |_| panic!("on purpose"));
    assert!(failed.is_err());
    join(threads);
    library.end_failed();
}
