//! A shard in somebody's hands, as a value.
//!
//! 1. A shard is on its desk, in exactly one loan, or lost and being rebuilt.
//! 2. A loan that is dropped anywhere returns its shard; if a change was under way, it reports the
//!    shard lost instead. So unwinding, a closed channel or a thread that ends never loses one
//!    silently, and a half-changed map is never used again.
//! 3. The holder of a loan does not block (transactions wait for *higher* shards, by a deadline).

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::batch::Batch;
use crate::clock;
use crate::discard::Discarded;
use crate::fail_point;
use crate::fault::{Fault, is_planted};
use crate::journal::Effects;
use crate::log::{Log, Marks};
use crate::mail::Posted;
use crate::place::Panic;
use crate::shared::Shared;
use crate::turns::Turns;
use crate::work::State;

/// One partition: the private map, and what travels with it.
///
/// Laid out by hand: what every operation looks at stands in the first cache line, together with the
/// beginning of the state.
#[repr(C, align(64))]
pub(crate) struct Shard<S: State> {
    /// Whoever borrows a closed shard refuses.
    pub(crate) closed: bool,
    /// Its owner knows that it wants tending.
    pub(crate) tending: bool,
    /// A place in the log's queue is taken for what is done now.
    pub(crate) place: bool,
    /// There is something in `discarded`.
    pub(crate) discards: bool,
    pub(crate) state: S,
    pub(crate) batch: Batch<Posted<S>>,
    /// To be dropped when this shard is back.
    pub(crate) discarded: Discarded,
}

/// The exclusive right to one shard, and the duty to return it.
///
/// Dropping it returns the shard and serves what was mailed in the meantime (a bounded number of
/// works; the rest goes to the shard's owner).
pub struct Loan<S: State, R: Deref<Target = Shared<S>> = Arc<Shared<S>>> {
    shared: R,
    pub(crate) shard: Option<Box<Shard<S>>>,
    index: usize,
    /// Changes under way, one inside the other. A panic leaves its change counted for good, so the
    /// map is never used again, not even by somebody who has caught the panic.
    /// As wide as its neighbours: a copy of the loan by words is then served from the stores.
    changing: usize,
}

impl<S: State, R: Deref<Target = Shared<S>>> Loan<S, R> {
    #[inline(always)]
    pub(crate) fn new(shared: R, index: usize, shard: Box<Shard<S>>) -> Self {
        Self {
            shared,
            shard: Some(shard),
            index,
            changing: 0,
        }
    }

    /// The shard's number.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    #[inline]
    pub(crate) fn shared(&self) -> &R {
        &self.shared
    }

    #[inline]
    pub(crate) fn shard(&self) -> &Shard<S> {
        match &self.shard {
            Some(shard) => shard,
            None => unreachable!("a loan holds its shard until it is dropped or passed on"),
        }
    }

    #[inline]
    pub(crate) fn shard_mut(&mut self) -> &mut Shard<S> {
        match &mut self.shard {
            Some(shard) => shard,
            None => unreachable!("a loan holds its shard until it is dropped or passed on"),
        }
    }

    /// Looks at the map. A panic in `look` harms nobody: nothing is being changed.
    #[inline(always)]
    pub fn look<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.shard().state)
    }

    /// Changes the map. A panic in `change` loses the shard.
    #[inline(always)]
    pub fn change<T>(&mut self, change: impl FnOnce(&mut S) -> T) -> T {
        self.begin_change();
        let result = change(&mut self.shard_mut().state);
        self.end_change();
        result
    }

    /// From here on a panic loses the shard, until [`Loan::end_change`].
    #[inline]
    pub(crate) fn begin_change(&mut self) {
        self.changing += 1;
    }

    #[inline]
    pub(crate) fn end_change(&mut self) {
        debug_assert!(self.changing > 0);
        self.changing -= 1;
        // Inside of another change that one may still break.
        if self.changing == 0 && self.shard().place {
            self.mark_whole();
        }
    }

    #[cold]
    fn mark_whole(&mut self) {
        if let Some(effects) = self.shard_mut().state.effects() {
            effects.mark_whole();
        }
    }

    /// Keeps nothing of what was done, and gives up the map if anything was.
    fn abandon_effects(&mut self) {
        if let Some(effects) = self.shard_mut().state.effects()
            && effects.is_dirty()
        {
            effects.abandon();
            self.begin_change();
        }
    }

    /// Whether a change is under way, or ended by a panic.
    #[inline(always)]
    pub(crate) fn is_changing(&self) -> bool {
        self.changing > 0
    }

    /// The same loan under another reference to the keep.
    pub(crate) fn rehome<Q: Deref<Target = Shared<S>>>(mut self, shared: Q) -> Loan<S, Q> {
        let shard = self.shard.take();
        Loan {
            shared,
            shard,
            index: self.index,
            changing: self.changing,
        }
    }

    /// A loan that can travel.
    pub(crate) fn travel(self) -> Loan<S> {
        let shared = self.shared.arc();
        self.rehome(shared)
    }

    /// Puts the shard back without looking for mail: the caller looks.
    #[inline]
    pub(crate) fn put_back(mut self) {
        if let Some(mut shard) = self.shard.take() {
            let discarded = shard.take_discarded();
            self.shared.put(self.index, shard);
            self.shared.discard(self.index, discarded);
        }
    }

    /// Gives the shard up as lost.
    pub(crate) fn lose(mut self) {
        if let Some(shard) = self.shard.take() {
            self.shared.report_lost(self.index, shard);
        }
    }
}

impl<S: State, R: Deref<Target = Shared<S>>> Drop for Loan<S, R> {
    #[inline(always)]
    fn drop(&mut self) {
        let Some(shard) = self.shard.take() else {
            return;
        };
        if self.changing > 0 {
            self.shared.report_lost(self.index, shard);
        } else if is_planted(Fault::DroppedInTransit) && std::any::type_name::<R>().contains("Arc")
        {
            std::mem::forget(shard);
        } else if S::DISCARDS && shard.has_discarded() {
            self.shared.put_and_discard(self.index, shard);
        } else {
            self.shared.put(self.index, shard);
            self.shared.look_again(self.index);
        }
    }
}

impl<'k, S: State> Loan<S, &'k Shared<S>> {
    /// The keep it comes from, for longer than the loan lasts.
    #[inline(always)]
    pub(crate) fn home(&self) -> &'k Shared<S> {
        self.shared
    }
}

/// What was discarded in a shard that is back.
type Left<S> = (Arc<Shared<S>>, usize, Discarded);

/// The shards of one transaction, all in hand, in ascending order.
pub struct Loans<S: State> {
    loans: Vec<Loan<S>>,
    /// Where a place in the log's queue is taken for what is done to all of them: which of them is changed now.
    place: Option<Box<Turns>>,
}

impl<S: State> Loans<S> {
    pub(crate) fn new(loans: Vec<Loan<S>>) -> Self {
        debug_assert!(loans.windows(2).all(|pair| pair[0].index < pair[1].index));
        Self { loans, place: None }
    }

    /// The loan of shard `index`.
    ///
    /// # Panics
    /// When the transaction did not ask for that shard.
    #[inline]
    pub fn shard(&mut self, index: usize) -> &mut Loan<S> {
        match self.loans.binary_search_by_key(&index, Loan::index) {
            Ok(at) => {
                if self.place.is_some() {
                    self.turn_to(at);
                }
                &mut self.loans[at]
            }
            Err(_) => panic!("shard {index} is not part of this transaction"),
        }
    }

    /// What is gathered from here on is gathered by the shard at `at`.
    #[cold]
    #[inline(never)]
    fn turn_to(&mut self, at: usize) {
        if let Some(turns) = &mut self.place {
            turns.turn_to(at, &mut self.loans);
        }
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Loan<S>> {
        if let Some(turns) = &mut self.place {
            turns.turn_to_all(&mut self.loans);
        }
        self.loans.iter_mut()
    }

    /// From here on what is done to them is gathered for the log, as one record in the order in which it is done. A
    /// transaction has one place at most: a second one is given back.
    pub(crate) fn put_place(&mut self) {
        let Some(log) = self.loans.first().and_then(|loan| loan.shared.log.clone()) else {
            return;
        };
        if self.place.is_some() {
            return log.give_places(1);
        }
        self.place = Some(Box::new(Turns::new()));
        self.settle_each();
        for loan in &mut self.loans {
            let (shared, index) = (Arc::clone(&loan.shared), loan.index);
            shared.begin_gathering(index, loan.shard_mut());
        }
    }

    /// Queues what was done to each of them alone before, as a batch of its own.
    pub(crate) fn settle_each(&mut self) {
        for loan in &mut self.loans {
            let (shared, index) = (Arc::clone(&loan.shared), loan.index);
            let shard = loan.shard_mut();
            if shard.place
                && let Err(panic) = shared.settle_place(index, shard)
            {
                // Not used again.
                loan.begin_change();
                resume_unwind(panic);
            }
        }
    }

    /// Queues what was done to all of them. If a change did not end, nothing of it is kept, and what
    /// the transaction has changed is lost with it: a map that the log knows nothing of must not be
    /// used. So it is after a panic in here, which is then to go on.
    fn settle_place(&mut self, turns: &mut Turns) -> Result<(), Panic> {
        let Some(log) = self.loans.first().and_then(|loan| loan.shared.log.clone()) else {
            return Ok(());
        };
        if self.loans.iter().any(Loan::is_changing) {
            self.loans.iter_mut().for_each(Loan::abandon_effects);
            log.give_places(1);
            return Ok(());
        }
        let queued = catch_unwind(AssertUnwindSafe(|| self.queue(&log, turns)));
        queued.inspect_err(|_| self.loans.iter_mut().for_each(Loan::begin_change))
    }

    fn queue(&mut self, log: &Log<S::Journal>, turns: &mut Turns) {
        let first = self.loans.first();
        let name = first.map(|loan| (Arc::clone(&loan.shared), loan.index));
        let name = || {
            name.as_ref()
                .map(|(shared, index)| shared.place_name(*index))
        };
        fail_point::hit_at("log.queue", || name().unwrap_or_default());
        self.queue_record(log, turns);
        fail_point::hit_at("log.queued", || name().unwrap_or_default());
    }

    fn queue_record(&mut self, log: &Log<S::Journal>, turns: &mut Turns) {
        let mut dirty = self.dirty();
        match (dirty.next(), dirty.next()) {
            (None, _) => log.give_places(1),
            (Some((index, effects)), None) => log.queue_batch(index, effects),
            (Some(_), Some(_)) => {
                drop(dirty);
                let mut record = log.spare_buffer();
                turns.merge(&mut self.loans, &mut record);
                let number = |(index, effects): (usize, &mut Effects)| {
                    effects.abandon();
                    (index, log.take_number(index))
                };
                let marks = self.dirty().map(number).collect();
                log.enqueue(record, Marks::Many(marks));
            }
        }
    }

    /// The shards that have effects, and these.
    fn dirty(&mut self) -> impl Iterator<Item = (usize, &mut Effects)> {
        self.loans.iter_mut().filter_map(|loan| {
            let index = loan.index;
            let effects = loan.shard.as_mut()?.state.effects()?;
            effects.is_dirty().then_some((index, effects))
        })
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.loans.len()
    }

    /// The only one of them.
    pub(crate) fn into_only(mut self) -> Loan<S> {
        match (self.loans.pop(), self.loans.is_empty()) {
            (Some(loan), true) => loan,
            (_, _) => unreachable!("exactly one shard was asked for"),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.loans.is_empty()
    }

    /// Changes several maps as one: a panic in `change` loses every shard held, because nobody can
    /// tell how far it came.
    pub fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> T) -> T {
        self.loans.iter_mut().for_each(Loan::begin_change);
        let result = change(self);
        self.loans.iter_mut().for_each(Loan::end_change);
        result
    }

    /// Puts all of them back on their desks, or reports them lost; returns what was discarded in them.
    #[inline]
    fn put_all(&mut self) -> Vec<Left<S>> {
        let mut discarded = Vec::new();
        for loan in &mut self.loans {
            let Some(mut shard) = loan.shard.take() else {
                continue;
            };
            if loan.changing > 0 && !is_planted(Fault::BrokenMapReused) {
                loan.shared.report_lost(loan.index, shard);
            } else {
                let left = shard.take_discarded();
                loan.shared.put(loan.index, shard);
                if !left.is_empty() {
                    discarded.push((Arc::clone(&loan.shared), loan.index, left));
                }
            }
        }
        discarded
    }

    /// Serves what was mailed meanwhile, and drops what was discarded.
    #[inline]
    fn look_again(&mut self, discarded: Vec<Left<S>>) {
        for loan in self.loans.drain(..) {
            // A lost shard's flag is its owner's business; looking at it does no harm.
            loan.shared.look_again(loan.index);
        }
        for (shared, index, left) in discarded {
            shared.discard(index, left);
        }
    }

    /// Returns all of them, as a drop does; says when the last was back.
    pub(crate) fn give_back(mut self) -> Instant {
        debug_assert!(self.place.is_none(), "a transaction is settled by its drop");
        let discarded = self.put_all();
        let back = clock::now();
        self.look_again(discarded);
        back
    }

    /// The state of shard `index`, inside of [`Loans::change`].
    ///
    /// # Panics
    /// When the transaction did not ask for that shard.
    #[inline]
    pub fn state(&mut self, index: usize) -> &mut S {
        &mut self.shard(index).shard_mut().state
    }
}

impl<S: State> Drop for Loans<S> {
    /// Returns all of them before serving mail for any: nobody waits for one shard while this thread
    /// serves another.
    fn drop(&mut self) {
        let settled = match self.place.take() {
            Some(mut turns) => self.settle_place(&mut turns),
            None => Ok(()),
        };
        // What was discarded is dropped when all of them are back.
        let discarded = self.put_all();
        self.look_again(discarded);
        if let Err(panic) = settled
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
