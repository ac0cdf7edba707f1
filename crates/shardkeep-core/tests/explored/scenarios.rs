//! Small meetings of threads, one for each thing that can go wrong in the hand-over.
//!
//! Every one ends by itself: where a thread waits with [`never`], nothing but the protocol may wake it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use shardkeep_core::{Config, Deadline, Error, Handover, Keep, Outcome, Overload, Refused, Ticket};
use shuttle::thread;

use crate::world::{Caller, Job, Pot, What, World, by, never, revocable, small, soon, sum};

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

macro_rules! scenarios {
    ($all:ident: $($name:ident),* $(,)?) => {
        pub(crate) static $all: &[Scenario] = &[$(Scenario { name: stringify!($name), run: $name }),*];
    };
}
pub(crate) use scenarios;

scenarios![SCENARIOS:
    two_callers_meet_at_one_shard,
    a_burst_is_served_in_order,
    a_full_mailbox_lets_posters_in_one_by_one,
    transactions_cross,
    transactions_cross_on_owners,
    an_owner_gives_up_a_transaction_by_its_deadline,
    a_call_is_cancelled,
    a_deadline_passes,
    closing_meets_posters,
    closing_meets_transactions,
    closing_gives_up_on_a_shard,
    a_keep_is_dropped_without_close,
    a_keep_is_dropped_by_its_own_work,
    a_work_panics,
    a_caller_panics,
    a_shard_is_lost_after_the_close,
    mail_only_gathers_writes,
    mail_only_lends_to_transactions,
];

fn calls(
    mut caller: Caller,
    run: impl FnOnce(&mut Caller) + Send + 'static,
) -> thread::JoinHandle<()> {
    thread::spawn(move || run(&mut caller))
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("a caller");
    }
}

/// Closes, and leaves what does not come back in time.
fn close_by(keep: &Keep<Pot>, deadline: Deadline) {
    let report = keep.close(deadline);
    assert!(report.shards_away <= keep.shards());
}

fn two_callers_meet_at_one_shard() {
    let world = World::open(small(Handover::Lend, 1, 4));
    let threads = (0..2)
        .map(|number| {
            calls(world.caller(number), |caller| {
                caller.call(0, What::Add, &by(never()));
                caller.call(0, What::Add, &by(never()));
                caller.hear();
            })
        })
        .collect();
    join(threads);
    world.end();
}

/// More mail than one holder serves, posted while the shard is away.
fn a_burst_is_served_in_order() {
    let world = World::open(small(Handover::Lend, 1, 8));
    let loans = world
        .keep
        .acquire(&[0], by(never()))
        .expect("an idle shard");
    let mut posters = [world.caller(0), world.caller(1)];
    posters[0].post(0, What::Add, &by(never()));
    posters[1].post(0, What::Add, &by(never()));
    posters[0].post(0, What::Add, &by(never()));
    let mut threads: Vec<_> = posters
        .into_iter()
        .map(|poster| {
            calls(poster, |caller| {
                caller.call(0, What::Add, &by(never()));
                caller.hear();
            })
        })
        .collect();
    threads.push(thread::spawn(move || drop(loans)));
    join(threads);
    world.end();
}

fn a_full_mailbox_lets_posters_in_one_by_one() {
    let world = World::open(Config {
        owners: 2,
        ..small(Handover::Lend, 2, 1)
    });
    let mut threads: Vec<_> = (0..2)
        .map(|number| {
            calls(world.caller(number), |caller| {
                caller.post(1, What::Add, &by(never()));
                caller.post(1, What::Add, &by(never()));
                caller.hear();
            })
        })
        .collect();
    // Their owner asks for shard 1 too, and must not take the wake-up of a poster.
    threads.push(calls(world.caller(2), |caller| {
        caller.send(&[0, 1], soon(), false);
        caller.hear();
    }));
    join(threads);
    world.end();
}

fn transactions_cross() {
    let world = World::open(small(Handover::Lend, 2, 4));
    let mut threads: Vec<_> = (0..2)
        .map(|number| {
            calls(world.caller(number), |caller| {
                caller.transact(&[0, 1], by(never())).expect("both shards");
            })
        })
        .collect();
    threads.push(calls(world.caller(2), |caller| {
        caller.call(1, What::Add, &by(never()));
        caller.call(1, What::Add, &by(never()));
        caller.hear();
    }));
    let keep = Arc::clone(&world.keep);
    threads.push(thread::spawn(move || {
        assert_eq!(
            sum(&keep, &[0, 1]),
            Ok(0),
            "a transaction was seen half done"
        );
    }));
    join(threads);
    world.end();
}

fn transactions_cross_on_owners() {
    let world = World::open(Config {
        owners: 2,
        ..small(Handover::Lend, 2, 2)
    });
    let threads = (0..3)
        .map(|number| {
            calls(world.caller(number), move |caller| {
                caller.send(
                    if number == 0 { &[0, 1] } else { &[1] },
                    never(),
                    number == 2,
                );
                caller.hear();
            })
        })
        .collect();
    join(threads);
    assert_eq!(
        world
            .oracle
            .count(|outcome| matches!(outcome, Outcome::Lost(_))),
        1
    );
    world.end();
}

/// What was handed to a requester that has given up comes back.
fn an_owner_gives_up_a_transaction_by_its_deadline() {
    let world = World::open(small(Handover::Lend, 2, 2));
    let loans = world
        .keep
        .acquire(&[1], by(never()))
        .expect("an idle shard");
    let mut sender = world.caller(0);
    sender.send(&[0, 1], soon(), false);
    let mut threads = vec![
        calls(sender, Caller::hear),
        thread::spawn(move || drop(loans)),
    ];
    threads.push(calls(world.caller(1), |caller| {
        caller.call(1, What::Add, &by(never()));
        caller.hear();
        caller.call(0, What::Add, &by(never()));
        caller.hear();
    }));
    join(threads);
    world.end();
}

fn a_call_is_cancelled() {
    let world = World::open(small(Handover::Lend, 2, 1));
    let (token, call) = revocable(never());
    let transaction = call.clone();
    let threads = vec![
        calls(world.caller(0), move |caller| {
            caller.call(1, What::Add, &call);
            caller.call(1, What::Add, &call);
            caller.wait(&call);
        }),
        calls(world.caller(1), move |caller| {
            match caller.transact(&[0, 1], transaction) {
                Ok(()) | Err(Error::Refused(Refused::Cancelled)) => {}
                Err(other) => caller.oracle.wrong(other.to_string()),
            }
        }),
        calls(world.caller(2), |caller| {
            caller.call(1, What::Add, &by(never()));
            caller.hear();
        }),
        thread::spawn(move || token.cancel()),
    ];
    join(threads);
    world.end();
}

fn a_deadline_passes() {
    let world = World::open(small(Handover::Lend, 1, 1));
    let threads = (0..3)
        .map(|number| {
            calls(world.caller(number), move |caller| {
                let call = by(if number == 0 { never() } else { soon() });
                caller.call(0, What::Add, &call);
                caller.call(0, What::Add, &call);
                caller.wait(&call);
            })
        })
        .collect();
    join(threads);
    world.end();
}

fn closing_meets_posters() {
    let world = World::open(small(Handover::Lend, 1, 2));
    let mut threads: Vec<_> = (0..2)
        .map(|number| {
            calls(world.caller(number), |caller| {
                caller.post(0, What::Add, &by(never()));
                caller.call(0, What::Add, &by(never()));
                caller.hear();
            })
        })
        .collect();
    let keep = Arc::clone(&world.keep);
    threads.push(thread::spawn(move || {
        let report = keep.close(never());
        assert!(report.is_clean(), "{report:?}");
    }));
    join(threads);
    world.end();
}

fn closing_meets_transactions() {
    let world = World::open(Config {
        owners: 2,
        overload: Overload::Reject,
        ..small(Handover::Lend, 2, 1)
    });
    let threads = vec![
        calls(world.caller(0), |caller| {
            caller.send(&[0, 1], never(), false);
            caller.hear();
        }),
        calls(world.caller(1), |caller| {
            drop(caller.transact(&[0, 1], by(never())));
        }),
        calls(world.caller(2), |caller| {
            caller.send(&[1], never(), true);
            caller.call(1, What::Add, &by(never()));
            caller.hear();
        }),
    ];
    let report = world.keep.close(never());
    assert!(report.is_clean(), "{report:?}");
    join(threads);
    world.oracle.judge_admitted();
    world.end();
}

/// A shard that does not come back in time is closed by whoever returns it.
fn closing_gives_up_on_a_shard() {
    let world = World::open(small(Handover::Lend, 2, 6));
    let loans = world
        .keep
        .acquire(&[0], by(never()))
        .expect("an idle shard");
    let mut poster = world.caller(0);
    // More than its holder serves at once.
    poster.post(0, What::Add, &by(never()));
    poster.post(0, What::Add, &by(never()));
    poster.post(0, What::Add, &by(never()));
    let keep = Arc::clone(&world.keep);
    let threads = vec![
        calls(poster, |caller| {
            caller.call(0, What::Add, &by(never()));
            caller.hear();
        }),
        thread::spawn(move || drop(loans)),
        thread::spawn(move || close_by(&keep, soon())),
    ];
    join(threads);
    assert!(
        matches!(
            world.keep.acquire(&[0], by(never())),
            Err(Error::Refused(Refused::Closed))
        ),
        "a shard outlived its keep"
    );
    assert!(matches!(
        world.keep.borrow(0),
        shardkeep_core::Borrowed::Closed
    ));
    world.judge();
}

fn a_keep_is_dropped_without_close() {
    let world = World::open(Config {
        owners: 2,
        ..small(Handover::Lend, 2, 2)
    });
    let mut callers = [world.caller(0), world.caller(1)];
    callers[0].send(&[0, 1], never(), false);
    let oracle = world.oracle.clone();
    drop(world);
    let threads = callers
        .into_iter()
        .map(|caller| {
            calls(caller, |caller| {
                // Not waited for: the last of the two closes over it.
                caller.post(1, What::Add, &by(never()));
                caller.call(0, What::Add, &by(never()));
            })
        })
        .collect();
    join(threads);
    oracle.judge();
    oracle.judge_dropped();
}

/// The last handle goes down with a work, on whatever thread serves it.
fn a_keep_is_dropped_by_its_own_work() {
    let world = World::open(small(Handover::Mail, 2, 2));
    let oracle = world.oracle.clone();
    let ticket = Ticket::new(0);
    let job = Job {
        tag: (9, 1),
        what: What::Add,
        ticket: Some(Arc::clone(&ticket)),
        deadline: never(),
        oracle: oracle.clone(),
        cargo: Some(Box::new(Arc::clone(&world.keep))),
    };
    oracle.posted(job.tag);
    let mut other = world.caller(0);
    other.post(1, What::Add, &by(never()));
    assert!(world.keep.post(0, job, &by(never())).is_ok());
    drop((world, other));
    assert_eq!(ticket.wait(&by(never()), || 0), Ok(()));
}

fn a_work_panics() {
    let world = World::open(small(Handover::Lend, 2, 4));
    let threads = (0..3)
        .map(|number| {
            calls(world.caller(number), move |caller| {
                let what = if number == 0 { What::Panic } else { What::Add };
                caller.post(0, what, &by(never()));
                caller.call(0, What::Add, &by(never()));
                caller.hear();
                caller.call(1, What::Add, &by(never()));
                caller.hear();
            })
        })
        .collect();
    join(threads);
    world.close();
    assert_eq!(world.oracle.shards_lost(), 1);
    let lost = |outcome: &Outcome| matches!(outcome, Outcome::Lost(_));
    assert_eq!(
        world.oracle.count(lost),
        1,
        "only the work under way is lost"
    );
    world.end();
}

/// A panic on the caller's own thread, with the shards of a transaction in hand.
fn a_caller_panics() {
    let world = World::open(small(Handover::Lend, 2, 4));
    let threads = vec![
        calls(world.caller(0), |caller| {
            let mut loans = caller
                .keep
                .acquire(&[0, 1], by(never()))
                .expect("both shards");
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                loans.change(|loans| {
                    loans.state(0).sum -= 1;
                    panic!("on purpose");
                })
            }));
            assert!(panicked.is_err());
            drop(loans);
            assert_eq!(
                sum(&caller.keep, &[0, 1]).ok().filter(|&sum| sum != 0),
                None
            );
        }),
        calls(world.caller(1), |caller| {
            caller.call(0, What::Add, &by(never()));
            caller.call(1, What::Add, &by(never()));
            caller.hear();
        }),
    ];
    join(threads);
    world.close();
    assert_eq!(world.oracle.shards_lost(), 2);
    world.judge();
}

fn a_shard_is_lost_after_the_close() {
    let world = World::open(small(Handover::Lend, 2, 2));
    let mut loans = world
        .keep
        .acquire(&[0], by(never()))
        .expect("an idle shard");
    let mut poster = world.caller(0);
    poster.post(0, What::Add, &by(never()));
    let keep = Arc::clone(&world.keep);
    let threads = vec![
        calls(poster, |caller| {
            caller.post(0, What::Add, &by(never()));
            caller.hear();
        }),
        thread::spawn(move || {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                loans.change(|_| panic!("on purpose"));
            }));
            assert!(panicked.is_err());
            drop(loans);
        }),
        thread::spawn(move || close_by(&keep, soon())),
    ];
    join(threads);
    assert_eq!(world.oracle.shards_lost(), 1);
    world.judge();
}

/// Writes are gathered; a read sees all that its caller wrote before.
fn mail_only_gathers_writes() {
    let world = World::open(Config {
        write_window: Duration::from_secs(1),
        ..small(Handover::Mail, 1, 3)
    });
    let threads = (0..2)
        .map(|number| {
            calls(world.caller(number), |caller| {
                caller.post(0, What::Add, &by(never()));
                caller.post(0, What::Expect(1), &by(never()));
                caller.post(0, What::Add, &by(never()));
                caller.post(0, What::Add, &by(never()));
                caller.post(0, What::Expect(3), &by(never()));
                caller.hear();
            })
        })
        .collect();
    join(threads);
    world.end();
}

fn mail_only_lends_to_transactions() {
    let world = World::open(Config {
        write_window: Duration::from_secs(1),
        ..small(Handover::Mail, 2, 2)
    });
    let threads = vec![
        calls(world.caller(0), |caller| {
            caller.post(0, What::Add, &by(never()));
            caller.transact(&[0, 1], by(never())).expect("both shards");
            caller.post(0, What::Expect(1), &by(never()));
            caller.hear();
        }),
        calls(world.caller(1), |caller| {
            caller.post(1, What::Add, &by(never()));
            caller.send(&[0, 1], never(), false);
            caller.hear();
        }),
    ];
    let keep = Arc::clone(&world.keep);
    assert_eq!(
        sum(&keep, &[0, 1]),
        Ok(0),
        "a transaction was seen half done"
    );
    drop(keep);
    join(threads);
    world.end();
}
