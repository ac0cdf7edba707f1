//! Small meetings of threads at the log: who commits, who waits, and what they are told.
//!
//! No deadline passes here: whoever waits is woken by the protocol, or hangs.

use std::sync::Arc;
use std::time::Duration;

use shardkeep_core::limits::LOG_PLACES;
use shardkeep_core::{Config, Durability, Error, LogEvent, Lost, Refused, SyncMode, Wake};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use crate::book::{Library, Mood, Writer, always, logged};
use crate::scenarios::{Scenario, scenarios};
use crate::world::{by, never};

scenarios![LOGGING:
    writers_commit_for_themselves,
    a_committer_commits_for_all,
    writers_gather,
    transactions_are_one_record,
    a_sync_fails,
    a_journal_panics,
    there_is_no_space_and_then_some,
    a_close_meets_writers,
    a_close_meets_a_borrower_of_the_journal,
    duties_meet_writers_and_the_close,
    a_full_queue_lets_writers_in_one_by_one,
    a_full_queue_turns_writers_away_when_the_log_fails,
    a_shard_is_lost_with_what_it_wrote,
    a_sync_on_request_covers_what_was_mailed,
    writing_goes_on_beside_a_sync,
    a_sync_beside_the_writers_fails,
    a_close_meets_a_sync_beside,
    a_keep_with_a_log_is_dropped_without_close,
];

pub(crate) fn writes(
    library: &Library,
    run: impl FnOnce(&Writer) + Send + 'static,
) -> thread::JoinHandle<()> {
    let writer = library.writer();
    thread::spawn(move || run(&writer))
}

/// What wakes somebody with other things to do.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
}

impl Wake for Bell {
    fn wake(&self) {
        *self.rung.lock().expect("a bell") = true;
        self.ring.notify_one();
    }
}

impl Bell {
    pub(crate) fn wait(&self) {
        let mut rung = self.rung.lock().expect("a bell");
        while !*rung {
            rung = self.ring.wait(rung).expect("a bell");
        }
        *rung = false;
    }
}

pub(crate) fn join(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("a writer");
    }
}

/// Two who write, and one who reads what one of them writes.
fn meet(durability: Durability) {
    let library = Library::open(logged(2, durability), Mood::Fine);
    join(vec![
        writes(&library, |writer| {
            assert_eq!(writer.write(0, 1, 1), Ok(()));
            assert_eq!(writer.write(1, 1, 2), Ok(()));
        }),
        writes(&library, |writer| {
            assert_eq!(writer.write(0, 1, 3), Ok(()));
        }),
        writes(&library, |writer| {
            assert_eq!(writer.read(0, 1), Ok(()));
        }),
    ]);
    library.end();
}

fn writers_commit_for_themselves() {
    meet(always(true));
}

fn a_committer_commits_for_all() {
    meet(always(false));
}

/// The window ends at any moment, or when enough has gathered.
fn writers_gather() {
    meet(Durability {
        window: Duration::from_secs(1),
        ..always(true)
    });
}

/// Where a shard may be lost meanwhile.
pub(crate) fn done_or_refused(result: Result<(), Error>) {
    let refused = matches!(result, Err(Error::Refused(Refused::ShardLost { .. })));
    assert!(refused || result.is_ok(), "{result:?}");
}

fn transactions_are_one_record() {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    let lost = Err(Error::Lost(Lost::ShardLost { shard: 0 }));
    join(vec![
        writes(&library, |writer| {
            done_or_refused(writer.write_both(1));
            done_or_refused(writer.send_both(2, false));
        }),
        writes(&library, move |writer| {
            assert_eq!(writer.send_both(3, true), lost);
            assert_eq!(
                writer.has_both(3),
                [false; 2],
                "a broken transaction is kept"
            );
        }),
        writes(&library, |writer| done_or_refused(writer.write(1, 1, 4))),
    ]);
    library.end_failed();
}

/// The first failure is for good: whoever waits is lost, whoever comes is refused.
fn fail(mood: Mood, lend: bool) {
    let library = Library::open(logged(2, always(lend)), mood);
    let threads = (0..3)
        .map(|number| {
            writes(&library, move |writer| {
                for round in 0..2 {
                    match writer.write(usize::from(number % 2), number, 10 * number + round) {
                        Ok(()) => {}
                        Err(Error::Lost(Lost::LogFailed)) => {}
                        Err(Error::Refused(Refused::LogFailed)) => return,
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    join(threads);
    library.end_failed();
}

fn a_sync_fails() {
    fail(Mood::FailsOnce, true);
}

fn a_journal_panics() {
    fail(Mood::Panics, false);
}

fn there_is_no_space_and_then_some() {
    let library = Library::open(logged(2, always(true)), Mood::Full);
    let mut threads: Vec<_> = (0..2)
        .map(|number| {
            writes(&library, move |writer| {
                match writer.write(0, number, number) {
                    Ok(()) | Err(Error::Refused(Refused::LogHasNoSpace)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            })
        })
        .collect();
    threads.push(writes(&library, |writer| {
        let made = writer.keep.on_journal(&by(never()), |pen| pen.make_space());
        assert_eq!(made, Ok(()));
    }));
    join(threads);
    let events = library.paper.events();
    assert!(
        events.is_empty() || matches!(events[..], [LogEvent::NoSpace(_), LogEvent::Resumed]),
        "{events:?}"
    );
    library.end();
}

fn a_close_meets_writers() {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    let mut threads: Vec<_> = (0..2)
        .map(|number| {
            writes(&library, move |writer| {
                for round in 0..2 {
                    match writer.write(usize::from(round), number, 10 * number + round) {
                        Ok(()) | Err(Error::Refused(Refused::Closed | Refused::Draining)) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    threads.push(writes(&library, |writer| {
        let report = writer.keep.close(never());
        assert!(report.is_clean(), "{report:?}");
    }));
    join(threads);
    library.end_closed();
}

/// Whoever has the journal when the committer wants it for the last time gives it back; and does not
/// wait for what will not come any more.
fn a_close_meets_a_borrower_of_the_journal() {
    let library = Library::open(logged(1, always(true)), Mood::Fine);
    let writer = writes(&library, |writer| {
        let waited = writer.keep.wait_synced(0, 1, &by(never()));
        assert_eq!(waited, Err(Lost::NotSynced { shard: 0 }));
    });
    let report = library.keep.close(never());
    assert!(report.is_clean(), "{report:?}");
    join(vec![writer]);
    library.end_closed();
}

/// Whoever gives the journal something to do hears of it; what was queued before is synced by then.
fn duties_meet_writers_and_the_close() {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    let mut threads: Vec<_> = (0..2)
        .map(|number| {
            writes(&library, move |writer| {
                let written = writer.write_only(0, number, number);
                match writer.keep.on_journal(&by(never()), |_| ()) {
                    Ok(()) => assert!(
                        written.is_err() || writer.paper.is_synced([0, number, number]),
                        "a duty came before what was queued"
                    ),
                    Err(Error::Refused(Refused::Closed)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            })
        })
        .collect();
    threads.push(writes(&library, |writer| {
        drop(writer.write(1, 1, 1));
    }));
    threads.push(writes(&library, |writer| {
        let report = writer.keep.close(never());
        assert!(report.is_clean(), "{report:?}");
    }));
    join(threads);
    library.end_closed();
}

fn a_full_queue_lets_writers_in_one_by_one() {
    let library = Library::open(logged(1, always(true)), Mood::Fine);
    let all = library
        .keep
        .try_reserve(LOG_PLACES, None)
        .expect("an empty queue");
    let mut threads: Vec<_> = (0..2)
        .map(|number| {
            writes(&library, move |writer| {
                assert_eq!(writer.write(0, number, number), Ok(()));
                // A place that is not used comes back.
                let mut reserved = writer.keep.reserve(&by(never())).expect("a place");
                let mut loans = writer.keep.acquire(&[0], by(never())).expect("a shard");
                reserved.deposit(loans.shard(0));
            })
        })
        .collect();
    // One that never waits for its places, and wants two of them.
    threads.push(writes(&library, |writer| {
        let bell = Arc::new(Bell::default());
        let wake: Arc<dyn Wake> = Arc::clone(&bell) as Arc<dyn Wake>;
        loop {
            match writer.keep.try_reserve(2, Some(&wake)) {
                Ok(reserved) => return drop(reserved),
                Err(Refused::LogFull { .. }) => bell.wait(),
                Err(other) => panic!("{other:?}"),
            }
        }
    }));
    drop(all);
    join(threads);
    library.end();
}

/// No place comes back, and still nobody waits for one in vain; and who gets one then, is refused.
fn a_full_queue_turns_writers_away_when_the_log_fails() {
    let library = Library::open(logged(1, always(true)), Mood::Fine);
    let keep = Arc::clone(&library.keep);
    let all = keep.try_reserve(LOG_PLACES, None).expect("an empty queue");
    let mut threads: Vec<_> = (0..2)
        .map(|number| {
            writes(&library, move |writer| {
                let refused = Err(Error::Refused(Refused::LogFailed));
                assert_eq!(writer.write(0, number, number), refused);
            })
        })
        .collect();
    let failed: Result<(), _> = keep.on_journal(&by(never()), |_| panic!("on purpose"));
    assert_eq!(failed, Err(Error::Lost(Lost::LogFailed)));
    let last = threads.pop();
    join(threads);
    drop(all);
    join(last.into_iter().collect());
    drop(keep);
    library.end_failed();
}

fn a_shard_is_lost_with_what_it_wrote() {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    let all = [0, 1];
    let loans = library
        .keep
        .acquire(&all, by(never()))
        .expect("both shards");
    let mut threads: Vec<_> = (1..3)
        .map(|number| {
            writes(&library, move |writer| {
                done_or_refused(writer.write(0, number, number))
            })
        })
        .collect();
    threads.push(writes(&library, |writer| writer.break_down(0, 3, 3)));
    threads.push(writes(&library, |writer| writer.break_own(1, 4, 5)));
    threads.push(thread::spawn(move || drop(loans)));
    join(threads);
    assert!(!library.paper.has([0, 3, 3]), "a broken work is kept");
    assert!(!library.paper.has([1, 5, 5]), "a broken change is kept");
    library.end_failed();
}

/// Syncs, duties and the close meet where a sync needs no journal while it runs.
fn writing_goes_on_beside_a_sync() {
    let never_synced = Durability {
        sync: SyncMode::Never,
        ..always(true)
    };
    let library = Library::open(logged(2, never_synced), Mood::Fine);
    let mut threads: Vec<_> = (1..3)
        .map(|number| {
            writes(&library, move |writer| {
                writer.write_and_sync(0, number, number);
            })
        })
        .collect();
    threads.push(writes(&library, |writer| {
        writer.write_only(1, 3, 3).expect("a write");
        assert_eq!(writer.keep.on_journal(&by(never()), |_| ()), Ok(()));
        assert!(
            writer.paper.is_synced([1, 3, 3]),
            "a duty came before what was queued"
        );
    }));
    join(threads);
    library.end();
}

/// The journal is put away when the sync has ended, and not before.
fn a_close_meets_a_sync_beside() {
    let never_synced = Durability {
        sync: SyncMode::Never,
        ..always(true)
    };
    let library = Library::open(logged(1, never_synced), Mood::Fine);
    let threads = vec![
        writes(&library, |writer| {
            if writer.write_only(0, 1, 1).is_ok() {
                // The close may come first; it syncs too.
                drop(writer.keep.sync(&by(never())));
            }
        }),
        writes(&library, |writer| {
            let report = writer.keep.close(never());
            assert!(report.is_clean(), "{report:?}");
        }),
    ];
    join(threads);
    library.end_closed();
}

fn a_sync_beside_the_writers_fails() {
    let never_synced = Durability {
        sync: SyncMode::Never,
        ..always(true)
    };
    let library = Library::open(logged(1, never_synced), Mood::FailsOnce);
    let threads = (1..4)
        .map(|number| {
            writes(&library, move |writer| {
                if writer.write_only(0, number, number).is_ok()
                    && writer.keep.sync(&by(never())).is_ok()
                {
                    let effect = [0, number, number];
                    assert!(writer.paper.is_synced(effect), "not synced on request");
                }
            })
        })
        .collect();
    join(threads);
    library.end_failed();
}

/// Where nothing is synced by itself.
fn a_sync_on_request_covers_what_was_mailed() {
    let config = Config {
        owners: 2,
        ..logged(
            2,
            Durability {
                sync: SyncMode::Never,
                ..always(true)
            },
        )
    };
    let library = Library::open(config, Mood::Fine);
    let threads = vec![
        writes(&library, |writer| writer.write_and_sync(0, 1, 1)),
        writes(&library, |writer| {
            writer.write_only(0, 2, 2).expect("a write");
            writer.keep.commit();
            writer.write_and_sync(0, 2, 3);
        }),
        writes(&library, |writer| {
            // Nobody else is woken for it.
            writer.write_and_commit(0, 1, 4);
        }),
    ];
    join(threads);
    library.end();
}

fn a_keep_with_a_log_is_dropped_without_close() {
    let library = Library::open(logged(2, always(true)), Mood::Fine);
    let threads = vec![
        writes(&library, |writer| {
            assert_eq!(writer.write(0, 1, 1), Ok(()));
        }),
        writes(&library, |writer| {
            writer.write_only(1, 1, 2).expect("a write");
        }),
    ];
    let paper = library.paper.clone();
    drop(library);
    join(threads);
    assert!(paper.is_synced([0, 1, 1]) && paper.is_synced([1, 1, 2]));
}
