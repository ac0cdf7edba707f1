//! The thread responsible for some shards.
//!
//! In `Handover::Lend` it mostly sleeps: it goes on where a passing holder reached its bound, tends
//! shards that asked for it, rebuilds lost ones and carries transactions for those who must not
//! wait. In `Handover::Mail` it serves all their mail as well.
//!
//! 1. One blocking call: the doorbell.
//! 2. Everything that wakes it is published before the doorbell is rung.
//! 3. Each tick serves a bounded number of mails for each shard, so no shard starves another.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::acquire::{Acquisition, Patience, Step};
use crate::clock;
use crate::deadline::Call;
use crate::error::{Error, Lost, Refused};
use crate::limits;
use crate::loan::{Loan, Shard};
use crate::place::Place;
use crate::port::{Port, Sent};
use crate::service::Served;
use crate::shared::{Event, Shared};
use crate::sync::{Wake, thread};
use crate::work::{Outcome, State, Tended, Transaction};

pub(crate) struct Owner<S: State> {
    shared: Arc<Shared<S>>,
    number: usize,
    /// Shards whose mail exceeds a tick.
    in_hand: Vec<Loan<S>>,
    pending: VecDeque<Pending<S>>,
    tending: Vec<usize>,
    tend_at: Option<Instant>,
    /// Lost shards whose state could not be made yet.
    unmade: Vec<usize>,
    /// Lost shards whose state is being made from the journal.
    remaking: Vec<(usize, thread::JoinHandle)>,
}

struct Pending<S: State> {
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
            unmade: Vec::new(),
            remaking: Vec::new(),
        }
    }

    /// Runs until the keep is closed.
    pub(crate) fn run(mut self) {
        let doorbell = Arc::clone(&self.port().doorbell);
        loop {
            doorbell.answer();
            let busy = self.tick();
            if busy {
                continue;
            }
            if self.shared.is_stopping() {
                return self.finish();
            }
            doorbell.sleep(self.next_duty());
        }
    }

    fn port(&self) -> &Port<S> {
        &self.shared.ports[self.number]
    }

    fn my_shards(&self) -> impl Iterator<Item = usize> + use<S> {
        (self.number..self.shared.shards()).step_by(self.shared.config.owners)
    }

    /// One pass over all duties; says whether there is more to do at once.
    fn tick(&mut self) -> bool {
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
        for loan in std::mem::take(&mut self.in_hand) {
            match loan.serve(limits::OWNER_SERVICE_WORKS_MAX) {
                // Its drop returns the shard and looks again.
                Served::Empty(loan) => drop(loan),
                Served::Bound(loan) => self.in_hand.push(loan),
                Served::Away => {}
            }
        }
        !self.in_hand.is_empty()
    }

    /// Serves own shards whose flag is up and that lie on their desks.
    fn attend(&mut self) -> bool {
        let mut busy = false;
        let shared = Arc::clone(&self.shared);
        for index in self.my_shards() {
            if !shared.desk(index).has_mail() {
                continue;
            }
            // Away: whoever has it looks again, and rings where it may not serve.
            let Some(loan) = shared.try_borrow(index) else {
                continue;
            };
            match loan.serve(limits::OWNER_SERVICE_WORKS_MAX) {
                Served::Empty(loan) => {
                    loan.put_back();
                    busy |= shared.desk(index).has_mail();
                }
                Served::Bound(loan) => {
                    self.in_hand.push(loan.travel());
                    busy = true;
                }
                Served::Away => busy = true,
            }
        }
        busy
    }

    fn rebuild_lost(&mut self) -> bool {
        let mut busy = false;
        while let Some((index, shard)) = self.port().losses.try_recv() {
            self.shared.drop_lost(index, shard);
            self.unmade.push(index);
            busy = true;
        }
        for index in std::mem::take(&mut self.unmade) {
            if self.shared.remakes() {
                self.remake(index);
            } else {
                let made = catch_unwind(AssertUnwindSafe(|| self.shared.fresh(index)));
                self.bring_back(index, made.ok());
            }
        }
        // After those that are tried again: what fails now waits for the next duty.
        while let Some((index, made)) = self.port().remade.try_recv() {
            busy |= made.is_some();
            self.forget_remaking(index);
            self.bring_back(index, made);
        }
        busy
    }

    /// Has a lost shard made again by a thread of its own. Whoever asks for it meanwhile is refused.
    fn remake(&mut self, index: usize) {
        self.shared.give_up(index);
        let shared = Arc::clone(&self.shared);
        let name = format!("{}-remake-{index}", shared.config.name);
        let thread = thread::spawn(name, move || {
            let made = catch_unwind(AssertUnwindSafe(|| shared.remade(index)));
            let port = shared.owner_of(index);
            // There is a place for each shard, and a shard is made again once at a time: never full.
            drop(port.remade.try_send((index, made.ok())));
            port.doorbell.ring();
        });
        match thread {
            Ok(thread) => self.remaking.push((index, thread)),
            Err(_) => self.bring_back(index, None),
        }
    }

    fn forget_remaking(&mut self, index: usize) {
        if let Some(at) = self.remaking.iter().position(|(other, _)| *other == index) {
            let (_, thread) = self.remaking.swap_remove(at);
            // It has sent what it made as its last act.
            drop(thread.join());
        }
    }

    fn bring_back(&mut self, index: usize, made: Option<Box<Shard<S>>>) {
        let Some(shard) = made else {
            self.shared.tell(Event::RebuildFailed { shard: index });
            self.shared.refuse_mail(index);
            self.unmade.push(index);
            return;
        };
        self.shared.take_back(index);
        self.shared.put(index, shard);
        self.shared.look_again(index);
        self.shared.shard_back.wake();
        // A close that did not find it has left word in the flag, which refusing mail has cleared.
        if self.shared.is_stopping() {
            self.shared.nudge(index);
        }
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
                transaction,
                place,
                acquisition,
            });
        }
        let now = clock::now();
        let mut waiting = VecDeque::with_capacity(self.pending.len());
        let mut busy = false;
        while let Some(mut pending) = self.pending.pop_front() {
            match pending.acquisition.step() {
                Step::Ready => {
                    pending.run(&self.shared);
                    busy = true;
                }
                Step::Failed(error) => pending.end(&self.shared, error),
                Step::Waiting if pending.acquisition.call().deadline.has_passed(now) => {
                    let shard = pending.transaction.shards().first().copied().unwrap_or(0);
                    let why = Refused::DeadlinePassed { shard, depth: 0 };
                    pending.end(&self.shared, why.into());
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
        if *self.tend_at.get_or_insert(now + limits::TEND_INTERVAL) > now {
            return;
        }
        self.tend_at = Some(now + limits::TEND_INTERVAL);
        let shared = Arc::clone(&self.shared);
        self.tending.retain(|&index| tend_shard(&shared, index));
    }

    fn next_duty(&self) -> Option<Instant> {
        let deadlines = self
            .pending
            .iter()
            .map(|p| p.acquisition.call().deadline.instant());
        let retry = (!self.unmade.is_empty()).then(|| clock::now() + limits::TEND_INTERVAL);
        deadlines.chain(self.tend_at).chain(retry).min()
    }

    fn finish(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            pending.end(&self.shared, Refused::Closed.into());
        }
        self.shared.refuse_transactions(self.port());
        self.in_hand.clear();
        self.shared.take_back_handovers(self.port());
        self.shared.take_losses(self.port());
        for (index, thread) in std::mem::take(&mut self.remaking) {
            // It ends by itself: with the log's end, or when its files are read.
            drop(thread.join());
            self.shared.give_up(index);
        }
        for index in std::mem::take(&mut self.unmade) {
            self.shared.give_up(index);
        }
    }
}

impl<S: State> Pending<S> {
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
        let ran = catch_unwind(AssertUnwindSafe(|| {
            loans.change(|loans| transaction.run(loans));
        }));
        // Returned (or reported lost) before the reply goes out.
        drop(loans);
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
    // Before the shard is borrowed, and without waiting: who tends comes again.
    if let Some(log) = &shared.log
        && log.try_take_places(1, None).is_err()
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
        let slice = catch_unwind(AssertUnwindSafe(|| loan.change(State::tend)));
        match slice {
            Ok(Tended::More) => {}
            Ok(Tended::Done) => break,
            // The drop of the loan reports the shard lost.
            Err(_) => return false,
        }
    }
    let wants = loan.look(State::wants_tending);
    loan.shard_mut().tending = wants;
    drop(loan);
    shared.wake_committer();
    wants
}
