//! The thread responsible for some shards.
//!
//! In `Handover::Lend` it mostly sleeps: it goes on where a passing holder reached its bound, tends
//! shards that asked for it, rebuilds lost ones and carries transactions for those who must not
//! wait. In `Handover::Mail` it serves all their mail as well.
//!
//! 1. One blocking call: the doorbell.
//! 2. Everything that wakes it is published before the doorbell is rung.
//! 3. Each tick serves a bounded number of mails for each shard, so no shard starves another.
//! 4. A panic of its own ends the tick, not the owner: it goes on after its delay. One that panics too
//!    often escalates: the keep admits nothing more, and the owner goes on slowly until it is closed.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::acquire::{Acquisition, Patience, Step};
use crate::clock;
use crate::deadline::Call;
use crate::discard::Discarded;
use crate::error::{Error, Lost, Refused};
use crate::event::Event;
use crate::fail_point;
use crate::limits;
use crate::loan::Loan;
use crate::log::Intent;
use crate::panicked;
use crate::place::Place;
use crate::port::{Port, Sent};
use crate::remaking::Unmade;
use crate::restart::{Backoff, Decision, Ending, Intensity, Policy, Restarts};
use crate::service::Served;
use crate::shared::{Phase, Shared};
use crate::supervisor::{ChildEvent, Standing, random};
use crate::sync::{Wake, thread};
use crate::work::{Outcome, State, Tended, Transaction};

pub(crate) struct Owner<S: State> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) number: usize,
    /// Shards whose mail exceeds a tick.
    in_hand: Vec<Loan<S>>,
    pending: VecDeque<Pending<S>>,
    tending: Vec<usize>,
    tend_at: Option<Instant>,
    /// Lost shards whose state could not be made yet.
    pub(crate) unmade: Unmade,
    restarts: Restarts,
    /// Lost shards whose state is being made from the journal.
    pub(crate) remaking: Vec<(usize, thread::JoinHandle)>,
}

/// A transaction in an owner's hands. Whatever becomes of the owner, it is settled.
struct Pending<S: State> {
    shared: Arc<Shared<S>>,
    carried: Option<Carried<S>>,
}

struct Carried<S: State> {
    transaction: S::Transaction,
    place: Option<Place<S::Journal>>,
    acquisition: Acquisition<S>,
}

impl<S: State> Owner<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, number: usize) -> Self {
        Self {
            shared,
            number,
            in_hand: Vec::new(),
            pending: VecDeque::new(),
            tending: Vec::new(),
            tend_at: None,
            unmade: Unmade::default(),
            restarts: Restarts::new(
                Policy::Permanent,
                Some(Intensity::default()),
                Backoff::default(),
            ),
            remaking: Vec::new(),
        }
    }

    /// Runs until the keep is closed.
    pub(crate) fn run(mut self) {
        let doorbell = Arc::clone(&self.port().doorbell);
        let pulse = self.port().pulse.clone();
        loop {
            doorbell.answer();
            pulse.work();
            let busy = match catch_unwind(AssertUnwindSafe(|| self.tick())) {
                Ok(busy) => busy,
                Err(panic) => {
                    self.put_off(panicked::text(&*panic));
                    true
                }
            };
            if busy {
                continue;
            }
            if self.shared.is_stopping() {
                self.finish();
                self.port().state.lock().standing = Standing::Ended;
                return;
            }
            pulse.rest();
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B11: rung, or the next duty"
            )]
            doorbell.sleep(self.next_duty());
        }
    }

    /// After a panic of its own: tells, and waits a while. What it had in its hands was returned.
    fn put_off(&mut self, why: String) {
        let (now, escalated) = (clock::now(), self.restarts.total());
        let decision = self.restarts.ended(Ending::Failed, now, random(escalated));
        let port = &self.shared.ports[self.number];
        let was = {
            let mut state = port.state.lock();
            state.last_reason = Some(why.clone());
            state.restarts = self.restarts.total();
            let standing = match decision {
                Decision::Restart(_) => Standing::Waiting,
                Decision::Leave | Decision::Escalate => Standing::Escalated,
            };
            std::mem::replace(&mut state.standing, standing)
        };
        let child = port.state.lock().name.clone();
        let delay = match decision {
            Decision::Restart(delay) => {
                self.shared.tell(Event::Thread(ChildEvent::Restarting {
                    child,
                    why,
                    restarts: self.restarts.total(),
                    delay,
                }));
                delay
            }
            Decision::Leave | Decision::Escalate => {
                if was != Standing::Escalated {
                    self.shared.enter(Phase::Draining);
                    let event = ChildEvent::Escalated { child, why };
                    self.shared.tell(Event::Thread(event));
                }
                Backoff::default().max
            }
        };
        let until = clock::later(now, delay);
        while clock::now() < until && !self.shared.is_stopping() {
            port.doorbell.answer();
            port.pulse.rest();
            // Ends by the delay, or by the close.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B12: the restart delay"
            )]
            port.doorbell.sleep(Some(until));
        }
        let mut state = port.state.lock();
        if state.standing == Standing::Waiting {
            state.standing = Standing::Running;
        }
    }

    pub(crate) fn port(&self) -> &Port<S> {
        &self.shared.ports[self.number]
    }

    fn my_shards(&self) -> impl Iterator<Item = usize> + use<S> {
        (self.number..self.shared.shards()).step_by(self.shared.config.owners)
    }

    /// One pass over all duties; says whether there is more to do at once.
    fn tick(&mut self) -> bool {
        fail_point::hit_at("owner.tick", || &self.shared.config.name);
        let mut busy = self.rebuild_lost();
        while let Some(loan) = self.port().handovers.try_recv() {
            self.in_hand.push(loan);
        }
        busy |= self.serve_in_hand();
        busy |= self.attend();
        busy |= self.carry_transactions();
        self.tend();
        busy
    }

    fn serve_in_hand(&mut self) -> bool {
        let mut busy = false;
        for loan in std::mem::take(&mut self.in_hand) {
            self.port().pulse.work_at(loan.index());
            fail_point::hit_at("owner.serve", || self.shared.place_name(loan.index()));
            match loan.serve(limits::OWNER_SERVICE_WORKS_MAX) {
                // Its drop returns the shard and looks again.
                Served::Empty(loan) => drop(loan),
                Served::Bound(loan) => busy |= self.keep_in_hand(loan),
                Served::Away => {}
            }
        }
        busy
    }

    /// Goes on with a shard in the next tick. One with values to be dropped goes back first, so that
    /// they do not gather while its mail never ends.
    fn keep_in_hand(&mut self, loan: Loan<S>) -> bool {
        if loan.shard().discards {
            drop(loan);
        } else {
            self.in_hand.push(loan);
        }
        true
    }

    /// Serves own shards whose flag is up and that lie on their desks.
    fn attend(&mut self) -> bool {
        let mut busy = false;
        let shared = Arc::clone(&self.shared);
        for index in self.my_shards() {
            if !shared.desk(index).has_mail() {
                continue;
            }
            self.port().pulse.work_at(index);
            // Away: whoever has it looks again, and rings where it may not serve.
            let Some(loan) = shared.try_borrow(index) else {
                continue;
            };
            fail_point::hit_at("owner.serve", || shared.place_name(index));
            match loan.serve(limits::OWNER_SERVICE_WORKS_MAX) {
                Served::Empty(loan) => {
                    loan.put_back();
                    busy |= shared.desk(index).has_mail();
                }
                Served::Bound(loan) => busy |= self.keep_in_hand(loan.travel()),
                Served::Away => busy = true,
            }
        }
        busy
    }

    fn carry_transactions(&mut self) -> bool {
        while self.pending.len() < limits::TRANSACTIONS_DEFAULT {
            let Some(Sent { transaction, place }) = self.port().transactions.try_recv() else {
                break;
            };
            let wake: Arc<dyn Wake> = Arc::clone(&self.port().doorbell) as Arc<dyn Wake>;
            let call = Call::by(transaction.deadline());
            let shards = transaction.shards().to_vec();
            let patience = Patience::Woken(wake);
            let acquisition = Acquisition::new(Arc::clone(&self.shared), shards, call, patience);
            self.pending.push_back(Pending {
                shared: Arc::clone(&self.shared),
                carried: Some(Carried {
                    transaction,
                    place,
                    acquisition,
                }),
            });
        }
        let now = clock::now();
        let mut waiting = VecDeque::with_capacity(self.pending.len());
        let mut busy = false;
        while let Some(mut pending) = self.pending.pop_front() {
            let Some(carried) = &mut pending.carried else {
                continue;
            };
            match carried.acquisition.step() {
                Step::Ready => {
                    pending.run();
                    busy = true;
                }
                Step::Failed(error) => pending.end(error),
                Step::Waiting if carried.acquisition.call().deadline.has_passed(now) => {
                    let shard = carried.first_shard();
                    let why = Refused::DeadlinePassed { shard, depth: 0 };
                    pending.end(why.into());
                }
                Step::Waiting => waiting.push_back(pending),
            }
        }
        self.pending = waiting;
        busy
    }

    fn tend(&mut self) {
        for index in self.my_shards() {
            let wants = &self.shared.beside(index).wants_tending;
            if wants.load(std::sync::atomic::Ordering::Relaxed)
                && wants.swap(false, std::sync::atomic::Ordering::AcqRel)
                && !self.tending.contains(&index)
            {
                self.tending.push(index);
            }
        }
        if self.tending.is_empty() {
            self.tend_at = None;
            return;
        }
        let now = clock::now();
        if *self
            .tend_at
            .get_or_insert(clock::later(now, limits::TEND_INTERVAL))
            > now
        {
            return;
        }
        self.tend_at = Some(clock::later(now, limits::TEND_INTERVAL));
        let shared = Arc::clone(&self.shared);
        self.tending.retain(|&index| tend_shard(&shared, index));
    }

    fn next_duty(&self) -> Option<Instant> {
        let deadlines = self
            .pending
            .iter()
            .filter_map(|pending| pending.carried.as_ref())
            .map(|carried| carried.acquisition.call().deadline.instant());
        let retry = self.unmade.next_due();
        deadlines.chain(self.tend_at).chain(retry).min()
    }

    fn finish(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            pending.end(Refused::Closed.into());
        }
        self.shared.refuse_transactions(self.port());
        self.in_hand.clear();
        self.shared.take_back_handovers(self.port());
        self.shared.take_losses(self.port());
        for (index, thread) in std::mem::take(&mut self.remaking) {
            // It ends by itself: with the log's end, or when its files are read.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B13: it ends by itself"
            )]
            drop(thread.join());
            self.shared.give_up(index);
        }
        for index in self.unmade.take_all() {
            self.shared.give_up(index);
        }
    }
}

impl<S: State> Pending<S> {
    fn run(mut self) {
        if let Some(carried) = self.carried.take() {
            carried.run(&self.shared);
        }
    }

    fn end(mut self, error: Error) {
        if let Some(carried) = self.carried.take() {
            carried.end(&self.shared, error);
        }
    }
}

impl<S: State> Drop for Pending<S> {
    fn drop(&mut self) {
        if let Some(carried) = self.carried.take() {
            // It had not begun.
            let shard = carried.first_shard();
            carried.end(&self.shared, Refused::Busy { shard }.into());
        }
    }
}

impl<S: State> Carried<S> {
    fn first_shard(&self) -> usize {
        self.transaction.shards().first().copied().unwrap_or(0)
    }

    fn run(self, shared: &Shared<S>) {
        let Self {
            mut transaction,
            place,
            acquisition,
        } = self;
        let shard = transaction.shards().first().copied().unwrap_or(0);
        let mut loans = acquisition.into_loans();
        if transaction.deadline().has_passed(clock::now()) {
            let why = Refused::DeadlinePassed { shard, depth: 0 };
            drop(place);
            return shared.end_transaction(transaction, Outcome::Refused(why));
        }
        if !transaction.begin() {
            drop(place);
            return shared.end_transaction(transaction, Outcome::Refused(Refused::Cancelled));
        }
        if let Some(place) = place {
            place.take_over();
            loans.put_place();
        }
        // Returned (or reported lost) before the reply goes out.
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let mut loans = loans;
            loans.change(|loans| transaction.run(loans));
        }));
        shared.wake_committer();
        let outcome = match ran {
            Ok(()) => Outcome::Done,
            Err(_) => Outcome::Lost(Lost::ShardLost { shard }),
        };
        shared.end_transaction(transaction, outcome);
    }

    fn end(self, shared: &Shared<S>, error: Error) {
        drop(self.acquisition);
        drop(self.place);
        let outcome = match error {
            Error::Refused(refused) => Outcome::Refused(refused),
            Error::Lost(lost) => Outcome::Lost(lost),
        };
        shared.end_transaction(self.transaction, outcome);
    }
}

/// Some slices of tending; says whether the shard still wants it.
fn tend_shard<S: State>(shared: &Shared<S>, index: usize) -> bool {
    // What was taken out before is not dropped yet: this shard's stays where it is.
    if S::DISCARDS && shared.dropping.is_full() {
        return true;
    }
    // Before the shard is borrowed, and without waiting: who tends comes again.
    if let Some(log) = &shared.log
        && log.try_take_places(1, Intent::Remove, None).is_err()
    {
        return true;
    }
    let Some(mut loan) = shared.try_borrow(index) else {
        if let Some(log) = &shared.log {
            log.give_places(1);
        }
        return true;
    };
    if shared.log.is_some() {
        shared.put_place(index, loan.shard_mut());
    }
    for _ in 0..limits::TEND_SLICES_MAX {
        let slice = catch_unwind(AssertUnwindSafe(|| {
            loan.change(|state| {
                fail_point::hit_at("owner.tend", || shared.place_name(index));
                state.tend()
            })
        }));
        match slice {
            Ok(Tended::More) => {}
            Ok(Tended::Done) => break,
            // The drop of the loan reports the shard lost.
            Err(_) => return false,
        }
    }
    let wants = loan.look(State::wants_tending);
    if let Some(values) = loan.shard_mut().state.discarded() {
        let mut discarded = Discarded::new();
        discarded.push(values);
        loan.shard_mut().discard(discarded);
    }
    loan.shard_mut().tending = wants;
    drop(loan);
    shared.wake_committer();
    wants
}
