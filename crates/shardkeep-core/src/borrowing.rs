//! Taking a shard off its desk and putting it back.
//!
//! 1. Returning is: put back, *then* look at the flag.
//! 2. Mail that is seen is served by this thread, or by the owner, which is rung.

use std::sync::atomic::Ordering::SeqCst;

use crate::config::Handover;
use crate::fail_point;
use crate::fault::{Fault, is_planted};
use crate::limits;
use crate::loan::{Loan, Shard};
use crate::port::Port;
use crate::service::Served;
use crate::shared::{Phase, Shared};
use crate::spot::Spot;
use crate::sync::{SPIN_ROUNDS, YIELD_ROUNDS, spin_loop, yield_now};
use crate::work::State;

impl<S: State> Shared<S> {
    /// Takes the shard off its desk if it lies there.
    #[inline]
    pub(crate) fn try_borrow(&self, index: usize) -> Option<Loan<S, &Self>> {
        let loan = Loan::new(self, index, self.spots[index].take()?);
        fail_point::hit_at("shard.borrowed", || self.place_name(index));
        Some(loan)
    }

    /// As [`Shared::try_borrow`], with a brief spin: most holders are gone in 0.1 to 0.5 us, or were
    /// preempted and need the core.
    #[inline]
    pub(crate) fn borrow_soon(&self, index: usize) -> Option<Loan<S, &Self>> {
        match self.try_borrow(index) {
            Some(loan) => Some(loan),
            None => self.spin(index),
        }
    }

    /// As [`Shared::borrow_soon`], with the mail that waits there served first. `None` also where that
    /// took the shard away, or exceeded the bound and left it to its owner.
    pub(crate) fn borrow_served(&self, index: usize) -> Option<Loan<S, &Self>> {
        let loan = self.borrow_soon(index)?;
        if !self.desk(index).has_mail() {
            return Some(loan);
        }
        match loan.serve(limits::SERVICE_WORKS_MAX) {
            Served::Empty(loan) => Some(loan),
            Served::Bound(loan) => {
                self.hand_to_owner(loan);
                None
            }
            Served::Away => None,
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn spin(&self, index: usize) -> Option<Loan<S, &Self>> {
        let desk = self.desk(index);
        for round in 0..SPIN_ROUNDS + YIELD_ROUNDS {
            if round < SPIN_ROUNDS {
                spin_loop();
            } else {
                yield_now();
            }
            if !desk.looks_empty()
                && let Some(loan) = self.try_borrow(index)
            {
                return Some(loan);
            }
        }
        None
    }

    /// Puts a shard back on its desk. What is to be dropped then was taken out of it before.
    #[inline(always)]
    pub(crate) fn put(&self, index: usize, mut shard: Box<Shard<S>>) {
        debug_assert!(!shard.discards, "nobody would drop it");
        if shard.place {
            if is_planted(Fault::QueuedAfterReturn) {
                return self.put_then_queue(index, shard);
            }
            if let Err(panic) = self.settle_place(index, &mut shard) {
                return self.unsettled(index, shard, panic);
            }
        }
        check_queued(&mut shard);
        self.see_to_tending(index, &mut shard);
        self.desk(index).put(shard);
    }

    /// Only planted: the wrong way to put a shard back.
    fn put_then_queue(&self, index: usize, mut shard: Box<Shard<S>>) {
        shard.place = false;
        let Some(log) = &self.log else {
            return;
        };
        let effects = shard.state.effects().filter(|effects| effects.is_dirty());
        let batch = effects.map(|effects| log.take_batch(index, effects));
        self.desk(index).put(shard);
        match batch {
            Some((record, marks)) => log.enqueue(record, marks),
            None => log.give_places(1),
        }
    }

    /// After a change: a shard that has become one that wants tending tells its owner, once.
    #[inline(always)]
    pub(crate) fn see_to_tending(&self, index: usize, shard: &mut Shard<S>) {
        if !shard.tending && shard.state.wants_tending() {
            shard.tending = true;
            self.ask_for_tending(index);
        }
    }

    #[cold]
    fn ask_for_tending(&self, index: usize) {
        self.beside(index).wants_tending.store(true, SeqCst);
        self.owner_of(index).doorbell.ring();
    }

    /// The second look, owed by whoever has just put a shard back.
    #[inline(always)]
    pub(crate) fn look_again(&self, index: usize) {
        self.look_again_at(self.spot(index), index);
    }

    /// As [`Shared::look_again`], for those who have the spot at hand.
    #[inline(always)]
    pub(crate) fn look_again_at(&self, spot: &Spot<S>, index: usize) {
        if spot.desk.has_mail() && !is_planted(Fault::NoSecondLook) {
            self.attend(index);
        }
    }

    /// Somebody must serve the mail of `index`: this thread if it may, else the owner.
    #[cold]
    #[inline(never)]
    pub(crate) fn attend(&self, index: usize) {
        if self.is_elsewhere() {
            return;
        }
        let mut rounds = 0;
        while self.desk(index).has_mail() {
            if !self.may_serve(rounds) {
                return self.owner_of(index).doorbell.ring();
            }
            rounds += 1;
            // Not on its desk: whoever has it looks again after putting it back.
            let Some(loan) = self.try_borrow(index) else {
                return self.refuse_if_gone(index);
            };
            match loan.serve(limits::SERVICE_WORKS_MAX) {
                Served::Empty(loan) => loan.put_back(),
                // The owners have ended, and on a closed shard serving is refusing: go on here.
                Served::Bound(loan) if self.is_stopping() => loan.put_back(),
                Served::Bound(loan) => return self.hand_to_owner(loan),
                Served::Away => return,
            }
        }
    }

    /// Whether this thread may serve mail now, after `rounds` of it; if not, the owner does. Asked
    /// after the flag was seen set, so that whoever closes meanwhile is seen, or sees the flag.
    fn may_serve(&self, rounds: usize) -> bool {
        match self.phase() {
            // The owners have ended; there is nobody else.
            Phase::Closed => true,
            Phase::Draining => rounds < limits::SERVICE_ROUNDS_MAX && !std::thread::panicking(),
            Phase::Open => {
                self.config.handover == Handover::Lend
                    && rounds < limits::SERVICE_ROUNDS_MAX
                    && !std::thread::panicking()
            }
        }
    }

    /// Makes whoever holds the shard, or else this thread, look at it as at one with mail.
    pub(crate) fn nudge(&self, index: usize) {
        self.desk(index).set_mail();
        self.attend(index);
    }

    /// The bound of service is reached: the owner goes on.
    pub(crate) fn hand_to_owner(&self, loan: Loan<S, &Self>) {
        let index = loan.index();
        self.beside(index).counters.handed_to_owner.add(1);
        let port = self.owner_of(index);
        // There is a place for each shard, and a shard is in one loan: never full.
        if let Err(loan) = port.handovers.try_send(loan.travel()) {
            loan.put_back();
        }
        port.doorbell.ring();
        // The owner may have ended just before: one of the two sees the other.
        if self.is_stopping() {
            self.take_back_handovers(port);
        }
    }

    /// Puts shards back that nobody will go on with, because the owners have ended.
    pub(crate) fn take_back_handovers(&self, port: &Port<S>) {
        while let Some(loan) = port.handovers.try_recv() {
            drop(loan);
        }
    }
}

/// What is still in the shard when it is put back would be in no batch.
#[inline(always)]
pub(crate) fn check_queued<S: State>(shard: &mut Shard<S>) {
    debug_assert!(
        shard
            .state
            .effects()
            .is_none_or(|effects| !effects.is_dirty()),
        "a change without a place in the log's queue"
    );
}
