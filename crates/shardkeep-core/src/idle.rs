//! Borrowing in passing: one short thing to do with a shard that lies idle.
//!
//! The same protocol as [`Keep::borrow`] and the drop of its loan, for callers whose every nanosecond
//! counts.
//!
//! 1. The spot is looked up once, before the first swap: behind a locked instruction every load that
//!    depends on another waits for it in full, so finding the spot again costs 2 to 3 ns each time.
//! 2. Nothing travels through memory: a load that spans two young stores cannot be forwarded, and
//!    would make each call wait for the cache misses of the one before.
//! 3. The loan is there for unwinding alone.

use crate::config::Handover;
use crate::keep::Keep;
use crate::loan::{Loan, Shard};
use crate::shared::{Shared, Spot};
use crate::work::State;

/// What was done with the shard before it goes back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Looked,
    Changed,
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
            Some(shard) => Ok(lend(shared, spot, index, shard, Done::Looked, |loan| {
                loan.look(look)
            })),
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
            Some(shard) => Ok(lend(shared, spot, index, shard, Done::Changed, |loan| {
                loan.change(change)
            })),
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
fn lend<S: State, T>(
    shared: &Shared<S>,
    spot: &Spot<S>,
    index: usize,
    shard: Box<Shard<S>>,
    done: Done,
    work: impl FnOnce(&mut Loan<S, &Shared<S>>) -> T,
) -> T {
    let mut loan = Loan::new(shared, index, shard);
    let result = work(&mut loan);
    if loan.is_changing() {
        // `work` has caught a panic of its own change: the drop reports the shard lost.
        return result;
    }
    if let Some(mut shard) = loan.shard.take() {
        if done == Done::Changed {
            shared.see_to_tending(index, &mut shard);
        }
        spot.desk.put(shard);
        shared.look_again_at(spot, index);
    }
    std::mem::forget(loan);
    result
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
        visit.run(*at, loan);
        if loan.is_changing() {
            // `run` has caught a panic of its own change: the drop reports the shard lost.
            self.held[slot] = None;
            return;
        }
        if let Some(mut shard) = loan.shard.take() {
            let spot = shared.spot(index);
            shared.see_to_tending(index, &mut shard);
            spot.desk.put(shard);
            shared.look_again_at(spot, index);
        }
    }
}
