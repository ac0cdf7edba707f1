//! Borrowing in passing: one short thing to do with a shard that lies idle.
//!
//! The same protocol as [`Keep::borrow`] and the drop of its loan, for callers whose every nanosecond
//! counts.
//!
//! 1. The spot is looked up once, before the first swap: behind a locked instruction every load that
//!    depends on another waits for it in full, so finding the spot again costs 2 to 3 ns each time.
//! 2. Nothing travels through memory: a load that spans two young stores cannot be forwarded, and
//!    would make each call wait for the cache misses of the one before.
//! 3. What unwinding needs to know stays in registers until something unwinds.

use crate::borrowing::check_queued;
use crate::config::Handover;
use crate::discard::Discarded;
use crate::fail_point;
use crate::keep::Keep;
use crate::loan::{Loan, Shard};
use crate::shared::Shared;
use crate::spot::Spot;
use crate::work::State;

/// A shard in hand in passing. Dropped by unwinding alone: then a shard that was only looked at goes
/// back, and one that was being changed is lost.
///
/// Never lent out itself, only the state in it: so it stays in registers.
struct Passing<'k, S: State, const CHANGING: bool> {
    shared: &'k Shared<S>,
    index: usize,
    shard: Option<Box<Shard<S>>>,
}

impl<S: State, const CHANGING: bool> Drop for Passing<'_, S, CHANGING> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(shard) = self.shard.take() {
            unwound::<S, CHANGING>(self.shared, self.index, shard);
        }
    }
}

#[cold]
#[inline(never)]
fn unwound<S: State, const CHANGING: bool>(shared: &Shared<S>, index: usize, shard: Box<Shard<S>>) {
    if CHANGING {
        shared.report_lost(index, shard);
    } else {
        put_aside(shared, index, shard);
    }
}

impl<S: State> Keep<S> {
    /// Looks at shard `index` at once, if it lies on its desk open and without mail; else gives
    /// `look` back, and [`Keep::borrow`] is the way. As `borrow` and [`Loan::look`] in one.
    ///
    /// # Errors
    /// `look`, which was not called.
    #[inline(always)]
    pub fn look_idle<T, W>(&self, index: usize, look: W) -> Result<T, W>
    where
        W: FnOnce(&S) -> T,
    {
        let shared = &*self.shared;
        let spot = shared.spot(index);
        match take_idle(shared, spot, index) {
            Some(shard) => {
                let shard = Some(shard);
                let mut passing = Passing::<S, false> {
                    shared,
                    index,
                    shard,
                };
                let result = passing.shard.as_ref().map(|shard| look(&shard.state));
                Ok(put_back(spot, &mut passing, result))
            }
            None => Err(look),
        }
    }

    /// As [`Keep::look_idle`], to change the map: a panic in `change` loses the shard.
    ///
    /// # Errors
    /// `change`, which was not called.
    #[inline(always)]
    pub fn change_idle<T, W>(&self, index: usize, change: W) -> Result<T, W>
    where
        W: FnOnce(&mut S) -> T,
    {
        let shared = &*self.shared;
        let spot = shared.spot(index);
        match take_idle(shared, spot, index) {
            Some(shard) => {
                let shard = Some(shard);
                let mut passing = Passing::<S, true> {
                    shared,
                    index,
                    shard,
                };
                let result = passing.shard.as_mut().map(|shard| change(&mut shard.state));
                Ok(put_back(spot, &mut passing, result))
            }
            None => Err(change),
        }
    }
}

#[inline(always)]
fn take_idle<S: State>(shared: &Shared<S>, spot: &Spot<S>, index: usize) -> Option<Box<Shard<S>>> {
    if shared.config.handover == Handover::Mail {
        return None;
    }
    let shard = spot.take()?;
    if shard.closed || spot.desk.has_mail() {
        put_aside(shared, index, shard);
        return None;
    }
    Some(shard)
}

#[cold]
#[inline(never)]
fn put_aside<S: State>(shared: &Shared<S>, index: usize, shard: Box<Shard<S>>) {
    drop(Loan::new(shared, index, shard));
}

/// Returns the shard as the loan's drop would.
#[inline(always)]
fn put_back<S: State, T, const CHANGING: bool>(
    spot: &Spot<S>,
    passing: &mut Passing<'_, S, CHANGING>,
    result: Option<T>,
) -> T {
    match (passing.shard.take(), result) {
        (Some(shard), Some(result)) if S::DISCARDS && shard.state.has_discarded() => {
            passing.shared.put_and_discard(passing.index, shard);
            result
        }
        (Some(mut shard), Some(result)) => {
            check_queued(&mut shard);
            if CHANGING {
                passing.shared.see_to_tending(passing.index, &mut shard);
            }
            spot.desk.put(shard);
            passing.shared.look_again_at(spot, passing.index);
            result
        }
        (_, _) => unreachable!("a shard in passing is there until it is put back"),
    }
}

/// Shards in hand at once at most during [`Keep::visit_idle`].
const HELD_MAX: usize = 8;

/// Operations in hand for which memory has been asked: enough for the misses in flight that a core can
/// have (about two dozen), and no more than its nearest cache holds.
const TOUCHED_OPS: usize = 24;

/// Work on several shards, a group of operations for each.
pub trait Visit<S: State> {
    /// The shard of group `at`.
    fn shard(&self, at: usize) -> usize;

    /// How many operations it has.
    fn ops(&self, at: usize) -> usize;

    /// Asks the memory for what group `at` will need.
    fn touch(&mut self, at: usize, state: &S);

    /// Carries group `at` out.
    fn run(&mut self, at: usize, loan: &mut Loan<S, &Shared<S>>);

    /// The shard of group `at` is not to be had at once.
    fn away(&mut self, at: usize);
}

/// The loan for a group.
type Held<'k, S> = (usize, Loan<S, &'k Shared<S>>);

/// The shards in hand, oldest first, in a ring.
struct Hand<'k, S: State> {
    held: [Option<Held<'k, S>>; HELD_MAX],
    first: usize,
    len: usize,
    ops: usize,
    /// To be dropped when none is in hand any more.
    discarded: Vec<(usize, Discarded)>,
}

impl<S: State> Keep<S> {
    /// Visits the shards of `groups` that lie idle. Each is borrowed and touched while those before it
    /// are still being fetched from memory, so that the misses of several shards overlap; a few are in
    /// hand at a time. Never waits, and does not even spin while it has one in hand: so two visitors
    /// cannot hold each other up.
    ///
    /// Holding *all* shards of a batch would be worse than one at a time, because everybody would hold
    /// what everybody needs; with a few the fetching is hidden and the others hardly notice.
    pub fn visit_idle<V: Visit<S>>(&self, groups: impl Iterator<Item = usize>, visit: &mut V) {
        let shared = &*self.shared;
        let mut hand = Hand {
            held: [const { None }; HELD_MAX],
            first: 0,
            len: 0,
            ops: 0,
            discarded: Vec::new(),
        };
        for at in groups {
            let index = visit.shard(at);
            let Some(shard) = take_idle(shared, shared.spot(index), index) else {
                visit.away(at);
                continue;
            };
            let slot = (hand.first + hand.len) % HELD_MAX;
            let (_, loan) = hand.held[slot].insert((at, Loan::new(shared, index, shard)));
            hand.len += 1;
            hand.ops += visit.ops(at);
            loan.look(|state| visit.touch(at, state));
            while hand.len == HELD_MAX || hand.ops > TOUCHED_OPS && hand.len > 1 {
                hand.run_oldest(visit);
            }
        }
        while hand.len > 0 {
            hand.run_oldest(visit);
        }
        if !hand.discarded.is_empty() {
            hand.give_away(shared);
        }
    }
}

impl<S: State> Hand<'_, S> {
    #[inline(always)]
    fn run_oldest(&mut self, visit: &mut impl Visit<S>) {
        let slot = self.first;
        self.first = (self.first + 1) % HELD_MAX;
        self.len -= 1;
        let Some((at, loan)) = &mut self.held[slot] else {
            return;
        };
        self.ops -= visit.ops(*at);
        let (shared, index) = (loan.home(), loan.index());
        fail_point::hit_at("shard.borrowed", || shared.place_name(index));
        visit.run(*at, loan);
        if loan.is_changing() {
            // `run` has caught a panic of its own change: the drop reports the shard lost.
            self.held[slot] = None;
            return;
        }
        if let Some(mut shard) = loan.shard.take() {
            let spot = shared.spot(index);
            if shard.place
                && let Err(panic) = shared.settle_place(index, &mut shard)
            {
                return shared.unsettled(index, shard, panic);
            }
            check_queued(&mut shard);
            debug_assert!(
                !shard.discards,
                "it was taken idle, and no mail was served since"
            );
            if S::DISCARDS && shard.state.has_discarded() {
                self.discard(index, &mut shard);
            }
            shared.see_to_tending(index, &mut shard);
            spot.desk.put(shard);
            shared.look_again_at(spot, index);
        }
    }

    #[cold]
    fn discard(&mut self, index: usize, shard: &mut Shard<S>) {
        self.discarded.push((index, shard.take_discarded()));
    }

    /// Drops what was discarded, with none in hand.
    #[cold]
    #[inline(never)]
    fn give_away(&mut self, shared: &Shared<S>) {
        for (index, discarded) in self.discarded.drain(..) {
            shared.discard(index, discarded);
        }
    }
}
