//! What callers and owners of one keep share: desks, mailboxes, doorbells. Posting and borrowing.
//!
//! 1. Posting is: send, set the flag, *then* borrow (lend) or ring (mail).
//! 2. Returning is: put back, *then* look at the flag.
//! 3. A poster that was told "posted" will be settled: by a holder, by the owner, or by whoever
//!    borrows the shard after it was closed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};

use crossbeam_utils::CachePadded;

use crate::batch::Batch;
use crate::child::ChildEvent;
use crate::clock;
use crate::config::{Config, Handover, Overload};
use crate::deadline::{Call, Deadline};
use crate::desk::Desk;
use crate::duty::JournalDesk;
use crate::error::Refused;
use crate::fail_point;
use crate::fault::{Fault, is_planted};
use crate::limits;
use crate::loan::{Loan, Shard};
use crate::log::{Log, LogEvent};
use crate::mail::{Mail, Posted};
use crate::mailbox::{Mailbox, Place};
use crate::place::Reservation;
use crate::port::{Port, Sent};
use crate::service::Served;
use crate::stats::{HolderCount, ShardCounters};
use crate::sync::{
    AtomicBool, AtomicU8, AtomicUsize, SPIN_ROUNDS, Waiter, Wake, YIELD_ROUNDS, spin_loop,
    yield_now,
};
use crate::watch::Sight;
use crate::work::{Outcome, State, Transaction};

/// What is said to the callback of a keep.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A panic while the shard was held: its map was dropped, it starts again empty.
    ShardLost {
        /// The shard.
        shard: usize,
    },
    /// The state of a lost shard could not be made again; its owner goes on trying, and refuses its
    /// mail meanwhile.
    RebuildFailed {
        /// The shard.
        shard: usize,
        /// Why: what the panic said.
        why: String,
    },
    /// A lost shard could not be made again, too often: it is refused from now on, and the others
    /// serve. Whoever opened the keep should close it.
    ShardGivenUp {
        /// The shard.
        shard: usize,
        /// Why, the last time.
        why: String,
    },
    /// An owner has panicked outside of a work, and goes on. When that happens too often
    /// ([`ChildEvent::Escalated`]) the keep admits nothing more, and should be closed.
    Thread(ChildEvent),
    /// The log stands otherwise than before.
    Log(LogEvent),
}

pub(crate) type Events = Arc<dyn Fn(Event) + Send + Sync>;
pub(crate) type Make<S> = Box<dyn Fn(usize) -> S + Send + Sync>;
/// Makes the state of a lost shard again, from what the journal has kept.
pub(crate) type Remake<S> =
    Box<dyn Fn(usize, &JournalDesk<<S as State>::Journal>) -> S + Send + Sync>;

/// The hot part of a shard's place: one cache line that moves with the shard.
pub(crate) struct Spot<S: State> {
    pub(crate) desk: Desk<Shard<S>>,
    borrowed: HolderCount,
}

impl<S: State> Spot<S> {
    /// Takes the shard off its desk if it lies there. The caller owes it a loan.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<Box<Shard<S>>> {
        let shard = self.desk.borrow()?;
        self.borrowed.add(1);
        Some(shard)
    }
}

/// What lies beside a desk.
pub(crate) struct Beside<S: State> {
    pub(crate) mailbox: Mailbox<Mail<S>>,
    pub(crate) counters: ShardCounters,
    /// Asks the owner to tend the shard.
    pub(crate) wants_tending: AtomicBool,
    /// The shard was lost and is not back: it is being made again, or its owner has ended. Who posts
    /// refuses.
    pub(crate) gone: AtomicBool,
    /// It will not come back.
    pub(crate) given_up: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Open = 0,
    Draining = 1,
    Closed = 2,
}

impl Phase {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::Draining,
            _ => Self::Closed,
        }
    }
}

/// Desks, mailboxes and doorbells of one keep.
pub struct Shared<S: State> {
    spots: Box<[CachePadded<Spot<S>>]>,
    beside: Box<[CachePadded<Beside<S>>]>,
    pub(crate) ports: Box<[Port<S>]>,
    pub(crate) config: Config,
    make: Make<S>,
    remake: Option<Remake<S>>,
    events: Events,
    phase: AtomicU8,
    pub(crate) log: Option<Arc<Log<S::Journal>>>,
    /// Transactions sent and not settled; a close waits for them.
    transactions: AtomicUsize,
    transactions_ended: Waiter,
    /// A lost shard is back, or could not be brought back; a close waits for that.
    pub(crate) shard_back: Waiter,
    me: Weak<Self>,
}

impl<S: State> Shared<S> {
    pub(crate) fn new(
        config: Config,
        make: Make<S>,
        remake: Option<Remake<S>>,
        events: Events,
    ) -> Arc<Self> {
        let spots = (0..config.shards).map(|_| {
            CachePadded::new(Spot {
                desk: Desk::empty(),
                borrowed: HolderCount::default(),
            })
        });
        let beside = (0..config.shards).map(|shard| {
            CachePadded::new(Beside {
                mailbox: Mailbox::new(shard, config.mailbox_works, config.reserved_places),
                counters: ShardCounters::default(),
                wants_tending: AtomicBool::new(false),
                gone: AtomicBool::new(false),
                given_up: AtomicBool::new(false),
            })
        });
        let per_owner = config.shards.div_ceil(config.owners);
        let ports = (0..config.owners).map(|number| {
            let name = format!("{}-owner-{number}", config.name);
            Port::new(name, per_owner, config.reserved_places)
        });
        let (spots, beside, ports) = (spots.collect(), beside.collect(), ports.collect());
        let phase = AtomicU8::new(Phase::Open as u8);
        let log = config.durability.as_ref().map(|durability| {
            let events = Arc::clone(&events);
            let tell = move |event| tell(&events, Event::Log(event));
            Arc::new(Log::new(config.shards, durability.clone(), Box::new(tell)))
        });
        let shared = Arc::new_cyclic(|me| Self {
            spots,
            beside,
            ports,
            config,
            make,
            remake,
            events,
            phase,
            log,
            transactions: AtomicUsize::new(0),
            transactions_ended: Waiter::new(),
            shard_back: Waiter::new(),
            me: Weak::clone(me),
        });
        for index in 0..shared.shards() {
            shared.spots[index].desk.put(shared.fresh(index));
        }
        shared
    }

    pub(crate) fn fresh(&self, index: usize) -> Box<Shard<S>> {
        self.shard(index, (self.make)(index))
    }

    /// Whether a lost shard is made again from the journal, which takes its time.
    pub(crate) fn remakes(&self) -> bool {
        self.remake.is_some() && self.log.is_some()
    }

    /// A lost shard, made again from the journal. Blocks for the disk.
    pub(crate) fn remade(&self, index: usize) -> Box<Shard<S>> {
        let (Some(remake), Some(log)) = (&self.remake, &self.log) else {
            return self.fresh(index);
        };
        self.shard(index, remake(index, &JournalDesk::new(log)))
    }

    fn shard(&self, index: usize, mut state: S) -> Box<Shard<S>> {
        let window = self.config.write_window;
        if let (Some(log), Some(effects)) = (&self.log, state.effects()) {
            // It was made from what was queued, and some of that may not be durable yet.
            effects.needs_all_until(log.queued(index));
        }
        Box::new(Shard {
            state,
            closed: false,
            tending: false,
            place: false,
            batch: Batch::new(window),
        })
    }

    pub(crate) fn arc(&self) -> Arc<Self> {
        match self.me.upgrade() {
            Some(shared) => shared,
            None => unreachable!("a loan keeps its keep alive"),
        }
    }

    /// Shards of this keep.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.spots.len()
    }

    pub(crate) fn owner_of(&self, index: usize) -> &Port<S> {
        &self.ports[index % self.ports.len()]
    }

    pub(crate) fn beside(&self, index: usize) -> &Beside<S> {
        &self.beside[index]
    }

    #[inline(always)]
    pub(crate) fn spot(&self, index: usize) -> &Spot<S> {
        &self.spots[index]
    }

    pub(crate) fn desk(&self, index: usize) -> &Desk<Shard<S>> {
        &self.spots[index].desk
    }

    pub(crate) fn borrowed(&self, index: usize) -> u64 {
        self.spots[index].borrowed.get()
    }

    /// What a watch sees of a shard: whether it is in somebody's hands, and whether that is still the
    /// same work.
    pub(crate) fn sight(&self, index: usize) -> Sight {
        let beside = self.beside(index);
        let counters = &beside.counters;
        Sight {
            busy: self.desk(index).looks_empty() && !beside.gone.load(SeqCst),
            count: self.borrowed(index)
                + counters.served_for_others.get()
                + counters.lent_by_mail.get(),
            shard: None,
        }
    }

    /// What a fail point at shard `index` is named by.
    pub(crate) fn place_name(&self, index: usize) -> String {
        format!("{}#{index}.", self.config.name)
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::of(self.phase.load(SeqCst))
    }

    /// Moves on to `phase`, unless it lies behind already; says which phase it was.
    pub(crate) fn enter(&self, phase: Phase) -> Phase {
        Phase::of(self.phase.fetch_max(phase as u8, SeqCst))
    }

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

    #[inline(always)]
    pub(crate) fn put(&self, index: usize, mut shard: Box<Shard<S>>) {
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

    pub(crate) fn tell(&self, event: Event) {
        tell(&self.events, event);
    }

    /// Mails a work; it comes back if it was not posted.
    pub(crate) fn post(
        &self,
        index: usize,
        work: S::Work,
        reserved: Option<&mut Reservation<'_, S>>,
        how: &Posting<'_>,
    ) -> Result<(), (S::Work, Refused)> {
        if let Some(why) = self.admits_nothing() {
            self.beside(index).counters.refused(&why);
            return Err((work, why));
        }
        let mut reserved = reserved;
        let place = reserved.as_mut().and_then(|reserved| reserved.detach());
        let mail = Mail::Work(Posted::new(work, place, clock::now()));
        match self.send(index, mail, how) {
            Ok(()) => Ok(()),
            Err((Mail::Work(mut posted), why)) => {
                self.beside(index).counters.refused(&why);
                if let Some(reserved) = reserved {
                    reserved.attach(posted.take_place());
                }
                match posted.into_work() {
                    Some(work) => Err((work, why)),
                    None => unreachable!("mail that was not posted still has its work"),
                }
            }
            Err((Mail::HandMe(_), _)) => unreachable!("what comes back is what was sent"),
        }
    }

    pub(crate) fn send(
        &self,
        index: usize,
        mail: Mail<S>,
        how: &Posting<'_>,
    ) -> Result<(), (Mail<S>, Refused)> {
        fail_point::hit_at("mail.post", || self.place_name(index));
        let beside = self.beside(index);
        let is_work = matches!(mail, Mail::Work(_));
        let depth = match how {
            Posting::Wait(call) if self.config.overload == Overload::Block => {
                beside.mailbox.post(mail, call)?
            }
            Posting::Insist(call) => beside.mailbox.post(mail, call)?,
            Posting::Wait(_) => beside.mailbox.try_post(mail, Place::Open)?,
            Posting::Reserved => beside.mailbox.try_post(mail, Place::Reserved)?,
            Posting::Register(wake) => beside.mailbox.post_or_register(mail, wake)?,
        };
        if is_work {
            beside.counters.mailed.add(1);
        }
        beside.counters.depth_max.at_least(depth as u64);
        fail_point::hit_at("mail.posted", || self.place_name(index));
        self.nudge(index);
        Ok(())
    }

    /// Sends a transaction to the owner of its first shard; it comes back if there is no place.
    pub(crate) fn send_transaction(
        &self,
        transaction: S::Transaction,
        reserved: Option<&mut Reservation<'_, S>>,
    ) -> Result<(), (S::Transaction, Refused)> {
        let shards = transaction.shards();
        assert!(
            shards.windows(2).all(|pair| pair[0] < pair[1]),
            "shards must be ascending"
        );
        assert!(
            shards.last().is_none_or(|&last| last < self.shards()),
            "no such shard"
        );
        let first = shards.first().copied().unwrap_or(0);
        // Counted before the phase is looked at: a close that does not see the count is seen.
        self.transactions.fetch_add(1, SeqCst);
        if let Some(why) = self.admits_nothing() {
            self.count_out_transaction();
            return Err((transaction, why));
        }
        let port = self.owner_of(first);
        let mut reserved = reserved;
        let sent = Sent {
            transaction,
            place: reserved.as_mut().and_then(|reserved| reserved.detach()),
        };
        match port.transactions.try_send(sent) {
            Ok(()) => {
                port.doorbell.ring();
                // The owner may have ended just before: one of the two sees the other.
                if self.is_stopping() {
                    self.refuse_transactions(port);
                }
                Ok(())
            }
            Err(Sent { transaction, place }) => {
                if let Some(reserved) = reserved {
                    reserved.attach(place);
                }
                self.count_out_transaction();
                let depth = limits::TRANSACTIONS_DEFAULT;
                Err((
                    transaction,
                    Refused::MailboxFull {
                        shard: first,
                        depth,
                    },
                ))
            }
        }
    }

    /// Settles a transaction. A panic in the user's `settle` must not end the owner.
    pub(crate) fn end_transaction(&self, transaction: S::Transaction, outcome: Outcome) {
        drop(catch_unwind(AssertUnwindSafe(|| {
            transaction.settle(outcome);
        })));
        self.count_out_transaction();
    }

    fn count_out_transaction(&self) {
        self.transactions.fetch_sub(1, SeqCst);
        if self.phase() != Phase::Open {
            self.transactions_ended.wake();
        }
    }

    /// Waits until every transaction that was sent is settled, or `deadline` passes.
    pub(crate) fn finish_transactions(&self, deadline: Deadline) {
        while self.transactions.load(SeqCst) > 0 && !deadline.has_passed(clock::now()) {
            // Woken by each transaction that ends while the keep drains; ends by the deadline.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B18: a transaction ends, or the deadline"
            )]
            self.transactions_ended.wait_until(Some(deadline.instant()));
        }
        // Another close may be waiting too, and a wake-up is for one.
        self.transactions_ended.wake();
    }

    /// Refuses the transactions that no owner will carry any more.
    pub(crate) fn refuse_transactions(&self, port: &Port<S>) {
        while let Some(Sent { transaction, place }) = port.transactions.try_recv() {
            drop(place);
            self.end_transaction(transaction, Outcome::Refused(Refused::Closed));
        }
    }

    /// Why nothing new is admitted, if so.
    pub(crate) fn admits_nothing(&self) -> Option<Refused> {
        match self.phase() {
            Phase::Open => None,
            Phase::Draining => Some(Refused::Draining),
            Phase::Closed => Some(Refused::Closed),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.load(SeqCst) == Phase::Closed as u8
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

/// A panic in the user's callback is the user's: the keep goes on.
fn tell(events: &Events, event: Event) {
    drop(catch_unwind(AssertUnwindSafe(|| events(event))));
}

/// How a poster meets a full mailbox.
pub(crate) enum Posting<'c> {
    /// It waits for a place until the call ends (or is refused, as the keep is set).
    Wait(&'c Call),
    /// It waits for a place until the call ends, however the keep is set.
    Insist(&'c Call),
    /// It never waits, and a place is kept for it.
    Reserved,
    /// It never waits, and is woken when a place may be free.
    Register(&'c Arc<dyn Wake>),
}
