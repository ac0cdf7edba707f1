//! Several shards in hand, a few at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shardkeep_core::{Config, Event, Handover, Keep, Loan, Shared, Visit};

use crate::pot::{Pot, add, call, config, hear, hold, open, sum};

type InHand<'k> = Loan<Pot, &'k Shared<Pot>>;

/// Visits the shards it is told, and remembers where it was.
pub(crate) struct Visitor<F> {
    shards: Vec<usize>,
    run: F,
    pub(crate) touched: Vec<usize>,
    pub(crate) ran: Vec<usize>,
    pub(crate) away: Vec<usize>,
}

impl<F: FnMut(usize, &mut InHand<'_>)> Visitor<F> {
    pub(crate) fn new(shards: Vec<usize>, run: F) -> Self {
        Self {
            shards,
            run,
            touched: vec![],
            ran: vec![],
            away: vec![],
        }
    }
}

impl<F: FnMut(usize, &mut InHand<'_>)> Visit<Pot> for Visitor<F> {
    fn shard(&self, at: usize) -> usize {
        self.shards[at]
    }

    fn ops(&self, _: usize) -> usize {
        1
    }

    fn touch(&mut self, at: usize, _: &Pot) {
        self.touched.push(at);
    }

    fn run(&mut self, at: usize, loan: &mut InHand<'_>) {
        self.ran.push(at);
        (self.run)(at, loan);
    }

    fn away(&mut self, at: usize) {
        self.away.push(at);
    }
}

fn wide() -> Keep<Pot> {
    open(Config {
        shards: 64,
        ..config(Handover::Lend)
    })
}

#[test]
fn every_idle_shard_is_touched_and_then_run_in_order_and_goes_back() {
    let keep = wide();
    let mut visit = Visitor::new((0..64).collect(), |_, loan| loan.change(|pot| pot.sum += 1));
    for _ in 0..3 {
        keep.visit_idle(0..64, &mut visit);
    }
    let thrice: Vec<usize> = (0..3).flat_map(|_| 0..64).collect();
    assert_eq!((&visit.touched, &visit.ran), (&thrice, &thrice));
    assert!(visit.away.is_empty());
    assert!((0..64).all(|shard| sum(&keep, shard) == 3));
}

#[test]
fn a_shard_in_other_hands_is_away_and_holds_nobody_up() {
    let keep = wide();
    let held = hold(&keep, 5);
    let mut visit = Visitor::new((0..64).collect(), |_, loan| loan.change(|pot| pot.sum += 1));
    keep.visit_idle(0..64, &mut visit);
    drop(held);
    assert_eq!(visit.away, [5]);
    assert_eq!(sum(&keep, 5), 0);
    assert_eq!(visit.ran.len(), 63);
}

#[test]
fn a_shard_asked_for_twice_is_had_twice_or_is_away_the_second_time() {
    let keep = wide();
    let mut visit = Visitor::new(vec![1, 1], |_, loan| loan.change(|pot| pot.sum += 1));
    keep.visit_idle(0..2, &mut visit);
    assert_eq!(visit.ran.len() + visit.away.len(), 2);
    assert_eq!(sum(&keep, 1), visit.ran.len() as u64);
}

#[test]
fn mail_that_comes_while_a_shard_is_in_hand_is_served_when_it_goes_back() {
    let keep = wide();
    let (outcomes, told) = crossbeam_channel::bounded(8);
    let mut visit = Visitor::new((0..8).collect(), |at, _| {
        let (job, outcome) = add(1);
        assert!(keep.post(at, job, &call()).is_ok());
        drop(outcomes.send(outcome));
    });
    keep.visit_idle(0..8, &mut visit);
    for _ in 0..8 {
        assert_eq!(hear(&hear(&told)), shardkeep_core::Outcome::Done);
    }
    assert!((0..8).all(|shard| sum(&keep, shard) == 1));
}

#[test]
fn a_panic_loses_the_shard_that_was_being_changed_and_returns_the_others() {
    let (lost, events) = crossbeam_channel::bounded(1);
    let config = Config {
        shards: 64,
        ..config(Handover::Lend)
    };
    let tell = move |event| drop(lost.try_send(event));
    let keep = Keep::open(config, |_| Pot::default(), tell).expect("a keep");
    assert!((0..8).all(|shard| {
        let mut loans = hold(&keep, shard);
        loans.shard(shard).change(|pot| pot.sum = 7);
        true
    }));
    let mut visit = Visitor::new((0..8).collect(), |at, loan| {
        loan.change(|_| assert_ne!(at, 2, "on purpose"));
    });
    let visited = catch_unwind(AssertUnwindSafe(|| keep.visit_idle(0..8, &mut visit)));
    assert!(visited.is_err());
    assert!(matches!(hear(&events), Event::ShardLost { shard: 2 }));
    let sums: Vec<u64> = (0..8).map(|shard| sum(&keep, shard)).collect();
    assert_eq!(sums, [7, 7, 0, 7, 7, 7, 7, 7]);
}

#[test]
fn where_work_is_mailed_every_shard_is_away() {
    let keep = open(config(Handover::Mail));
    let mut visit = Visitor::new((0..4).collect(), |_, _| {});
    keep.visit_idle(0..4, &mut visit);
    assert_eq!(visit.away, [0, 1, 2, 3]);
}
