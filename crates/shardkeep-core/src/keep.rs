//! Opens, borrows, mails, drains, joins.

use std::sync::Arc;
use std::time::Duration;

use crate::acquire::{Acquisition, Patience};
use crate::clock;
use crate::committer::Committer;
use crate::config::{Config, Handover};
use crate::deadline::{Call, Deadline};
use crate::duty::JournalDesk;
use crate::error::{Error, OpenError, Refused};
use crate::fault::{Fault, is_planted};
use crate::limits;
use crate::loan::{Loan, Loans, Shard};
use crate::log::Condition;
use crate::owner::Owner;
use crate::place::Reservation;
use crate::restart::Policy;
use crate::service::Served;
use crate::shared::{Event, Events, Make, Phase, Posting, Remake, Shared};
use crate::stats::ShardStats;
use crate::supervisor::{ChildState, Standing};
use crate::sync::{AtomicUsize, Mutex, Waiter, thread};
use crate::syncer;
use crate::watch::{Sight, Watch};
use crate::work::State;

/// A set of shards with their owner threads.
///
/// Dropping it closes it, waiting at most [`limits::DROP_DEADLINE`].
pub struct Keep<S: State> {
    pub(crate) shared: Arc<Shared<S>>,
    owners: Mutex<Vec<thread::JoinHandle>>,
    gone: Arc<Gone>,
}

/// Counts owner threads out, so that a close can wait for them by a deadline.
struct Gone {
    left: AtomicUsize,
    waiter: Waiter,
}

struct CountOut(Arc<Gone>);

impl Drop for CountOut {
    fn drop(&mut self) {
        self.0
            .left
            .fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
        self.0.waiter.wake();
    }
}

/// What came of an attempt to borrow for one's own work.
pub enum Borrowed<'k, S: State> {
    /// The shard is in hand and all mail before this work is served.
    Loan(Loan<S, &'k Shared<S>>),
    /// It is away, or (in [`Handover::Mail`]) not to be borrowed: mail the work.
    Away,
    /// The shard is closed: the work is refused.
    Closed,
}

/// What a close found and left.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CloseReport {
    /// Mailed works served or refused while draining.
    pub drained: u64,
    /// Shards that did not come back by the deadline. Zero means that nothing was left running.
    pub shards_away: usize,
    /// Threads (owners, the committer and the syncer) that had not ended by the deadline.
    pub owners_left: usize,
    /// Works posted to this keep in all.
    pub mailed: u64,
    /// Works refused in all.
    pub refused: u64,
    /// Works lost in all.
    pub lost: u64,
    /// Changes that were not made durable: batches of them, each of one shard. Zero without a log.
    pub unsynced: u64,
    /// How long it took.
    pub took: Duration,
}

impl CloseReport {
    /// Whether everything that was admitted was finished and every thread joined.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.shards_away == 0 && self.owners_left == 0 && self.unsynced == 0
    }
}

impl<S: State> Keep<S> {
    /// Opens a keep: makes its shards with `make(shard)` and starts its owner threads. `events` is
    /// called on the thread that notices, and must not block.
    ///
    /// # Errors
    /// A setting outside of its limits, or a thread that could not be started.
    pub fn open(
        config: Config,
        make: impl Fn(usize) -> S + Send + Sync + 'static,
        events: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        Self::open_with(config, Box::new(make), None, Arc::new(events))
    }

    /// As [`Keep::open`], for states whose effects a journal keeps ([`Config::durability`]): a shard
    /// that was lost is made again by `remake(shard, journal)`, on a thread of its own, while the
    /// others go on; its mail is refused until then. What works had completed before the loss is in the
    /// journal when `remake` gets at it.
    ///
    /// Writes are admitted once the journal is there: [`Keep::install_journal`].
    ///
    /// # Errors
    /// As [`Keep::open`].
    pub fn open_kept(
        config: Config,
        make: impl Fn(usize) -> S + Send + Sync + 'static,
        remake: impl Fn(usize, &JournalDesk<S::Journal>) -> S + Send + Sync + 'static,
        events: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let remake = Some(Box::new(remake) as Remake<S>);
        Self::open_with(config, Box::new(make), remake, Arc::new(events))
    }

    fn open_with(
        config: Config,
        make: Make<S>,
        remake: Option<Remake<S>>,
        events: Events,
    ) -> Result<Self, OpenError> {
        config.check()?;
        let shared = Shared::new(config, make, remake, events);
        let gone = Arc::new(Gone {
            left: AtomicUsize::new(0),
            waiter: Waiter::new(),
        });
        let keep = Self {
            shared,
            owners: Mutex::new(Vec::new()),
            gone,
        };
        for number in 0..keep.shared.config.owners {
            keep.start_owner(number)?;
        }
        Ok(keep)
    }

    fn start_owner(&self, number: usize) -> Result<(), OpenError> {
        let name = format!("{}-owner-{number}", self.shared.config.name);
        let owner = Owner::new(Arc::clone(&self.shared), number);
        self.start(name, move || owner.run())
    }

    pub(crate) fn start_committer(&self) -> Result<(), OpenError> {
        let name = format!("{}-committer", self.shared.config.name);
        let committer = Committer::new(Arc::clone(&self.shared));
        let aside = self.shared.log.as_ref().filter(|log| log.syncs_aside());
        if let Some(log) = aside {
            let log = Arc::clone(log);
            let name = format!("{}-syncer", self.shared.config.name);
            self.start(name, move || syncer::run(&log))?;
        }
        self.start(name, move || committer.run()).inspect_err(|_| {
            if let Some(log) = aside {
                log.aside.close();
            }
        })
    }

    /// Starts a thread that the close waits for and joins.
    fn start(&self, name: String, body: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        self.gone
            .left
            .fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        let count_out = CountOut(Arc::clone(&self.gone));
        let run = move || {
            let _count_out = count_out;
            body();
        };
        let handle = thread::spawn(name.clone(), run)
            .map_err(|source| OpenError::Thread { name, source })?;
        self.owners.lock().push(handle);
        Ok(())
    }

    /// Shards of this keep.
    #[must_use]
    #[inline]
    pub fn shards(&self) -> usize {
        self.shared.shards()
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Takes shard `index` off its desk for one's own work, after serving the mail that waits there.
    /// Spins for less than a microsecond; never sleeps.
    #[inline(always)]
    pub fn borrow(&self, index: usize) -> Borrowed<'_, S> {
        if self.shared.config.handover == Handover::Mail {
            return self.unborrowed(index);
        }
        // The loan is made once, at the end: moving it through memory would make every borrow wait
        // for the cache misses of the one before (a load that spans two young stores cannot be
        // forwarded).
        match self.shared.spot(index).take() {
            Some(shard) if !shard.closed && !self.shared.desk(index).has_mail() => {
                Borrowed::Loan(Loan::new(&self.shared, index, shard))
            }
            taken => self.borrow_slowly(index, taken),
        }
    }

    /// The shard is away, or has mail, or is closed.
    #[cold]
    #[inline(never)]
    fn borrow_slowly(&self, index: usize, taken: Option<Box<Shard<S>>>) -> Borrowed<'_, S> {
        let taken = taken.map(|shard| Loan::new(&*self.shared, index, shard));
        let Some(loan) = taken.or_else(|| self.shared.spin(index)) else {
            return self.unborrowed(index);
        };
        if self.shared.desk(index).has_mail() {
            return self.serve_first(loan);
        }
        if loan.shard().closed {
            return Borrowed::Closed;
        }
        Borrowed::Loan(loan)
    }

    #[cold]
    fn unborrowed(&self, _: usize) -> Borrowed<'_, S> {
        if self.shared.is_stopping() {
            Borrowed::Closed
        } else {
            Borrowed::Away
        }
    }

    #[cold]
    #[inline(never)]
    fn serve_first<'k>(&'k self, loan: Loan<S, &'k Shared<S>>) -> Borrowed<'k, S> {
        match loan.serve(limits::SERVICE_WORKS_MAX) {
            Served::Empty(loan) if loan.shard().closed => Borrowed::Closed,
            Served::Empty(loan) => Borrowed::Loan(loan),
            Served::Bound(loan) if is_planted(Fault::OwnWorkFirst) => Borrowed::Loan(loan),
            Served::Bound(loan) => {
                self.shared.hand_to_owner(loan);
                Borrowed::Away
            }
            Served::Away => Borrowed::Away,
        }
    }

    /// Whether shard `index` seems to be on its desk: a hint for those with other things to do.
    #[must_use]
    #[inline]
    pub fn looks_idle(&self, index: usize) -> bool {
        !self.shared.desk(index).looks_empty()
    }

    /// Mails a work to shard `index`. Blocks only while the mailbox is full, until the call ends
    /// (not at all with [`Overload::Reject`](crate::Overload::Reject)). The work is settled later,
    /// by whoever holds the shard.
    ///
    /// # Errors
    /// Why it was refused, and the work itself.
    pub fn post(&self, index: usize, work: S::Work, call: &Call) -> Result<(), (S::Work, Refused)> {
        self.shared.post(index, work, None, &Posting::Wait(call))
    }

    /// As [`Keep::post`], for a work that writes: it takes a place of `reserved` with it.
    ///
    /// # Errors
    /// Why it was refused, and the work itself; the place stays with `reserved`.
    pub fn post_write(
        &self,
        index: usize,
        work: S::Work,
        reserved: &mut Reservation<'_, S>,
        call: &Call,
    ) -> Result<(), (S::Work, Refused)> {
        self.shared
            .post(index, work, Some(reserved), &Posting::Wait(call))
    }

    /// Mails a work without ever waiting, into a reserved place
    /// ([`Config::reserved_places`]): for a poster with at most one work out for each shard. A work
    /// that writes takes a place of `reserved` with it.
    ///
    /// # Errors
    /// Why it was refused, and the work itself.
    pub fn post_reserved(
        &self,
        index: usize,
        work: S::Work,
        reserved: Option<&mut Reservation<'_, S>>,
    ) -> Result<(), (S::Work, Refused)> {
        self.shared.post(index, work, reserved, &Posting::Reserved)
    }

    /// Works waiting in the mailbox of shard `index`.
    #[must_use]
    pub fn depth(&self, index: usize) -> usize {
        self.shared.beside(index).mailbox.depth()
    }

    /// Gets all of `shards` (ascending) in hand, waiting where they are away, until the call ends.
    ///
    /// # Errors
    /// *Refused*, with nothing held, when the call ends first or the keep closes.
    ///
    /// # Panics
    /// When `shards` is not ascending or names a shard that does not exist.
    pub fn acquire(&self, shards: &[usize], call: Call) -> Result<Loans<S>, Error> {
        self.acquire_with(shards, || call)
    }

    /// As [`Keep::acquire`]; `call` is asked only when one of them is away.
    ///
    /// # Errors
    /// As for [`Keep::acquire`].
    ///
    /// # Panics
    /// As for [`Keep::acquire`].
    pub fn acquire_with(
        &self,
        shards: &[usize],
        call: impl FnOnce() -> Call,
    ) -> Result<Loans<S>, Error> {
        let loans = self.borrow_first(shards)?;
        if loans.len() == shards.len() {
            return Ok(Loans::new(loans));
        }
        let shared = Arc::clone(&self.shared);
        Acquisition::new(shared, shards.to_vec(), call(), Patience::Sleep)
            .beginning_with(loans)
            .wait()
    }

    /// Gets all of `shards` (ascending) in hand if none of them is away. Never waits and never
    /// mails.
    ///
    /// # Errors
    /// [`Refused::Busy`] names the first shard that is away; or the keep is draining or closed.
    ///
    /// # Panics
    /// When `shards` is not ascending.
    pub fn try_acquire(&self, shards: &[usize]) -> Result<Loans<S>, Refused> {
        let loans = self.borrow_first(shards)?;
        let Some(&shard) = shards.get(loans.len()) else {
            return Ok(Loans::new(loans));
        };
        drop(Loans::new(loans));
        Err(self.count_refused(shard, Refused::Busy { shard }))
    }

    /// Borrows `shards` from the first on, up to one that is away.
    fn borrow_first(&self, shards: &[usize]) -> Result<Vec<Loan<S>>, Refused> {
        assert!(
            shards.windows(2).all(|pair| pair[0] < pair[1]),
            "shards must be ascending"
        );
        if let Some(why) = self.shared.admits_nothing() {
            return Err(why);
        }
        let mut loans = Vec::with_capacity(shards.len());
        for &shard in shards {
            let Some(loan) = self.shared.borrow_served(shard) else {
                break;
            };
            if loan.shard().closed {
                drop(Loans::new(loans));
                return Err(Refused::Closed);
            }
            loans.push(loan.travel());
        }
        Ok(loans)
    }

    fn count_refused(&self, shard: usize, why: Refused) -> Refused {
        self.shared.beside(shard).counters.refused(&why);
        why
    }

    /// Sends a transaction to an owner thread, which gets its shards in hand without blocking, runs
    /// it, and settles it; one that writes takes a place of `reserved` with it. For those who must
    /// never wait. Bounded by
    /// [`limits::TRANSACTIONS_DEFAULT`] in each owner's queue.
    ///
    /// # Errors
    /// Why it was refused, and the transaction itself.
    ///
    /// # Panics
    /// When its shards are not ascending.
    pub fn send_transaction(
        &self,
        transaction: S::Transaction,
        reserved: Option<&mut Reservation<'_, S>>,
    ) -> Result<(), (S::Transaction, Refused)> {
        self.shared.send_transaction(transaction, reserved)
    }

    /// How each owner does, and the committer if there is one.
    #[must_use]
    pub fn threads(&self) -> Vec<ChildState> {
        let ports = self.shared.ports.iter();
        let mut threads: Vec<_> = ports.map(|port| port.state.lock().clone()).collect();
        threads.extend(self.shared.log.as_ref().map(|log| ChildState {
            name: format!("{}-committer", self.shared.config.name),
            policy: Policy::FailStop,
            standing: match log.condition() {
                Condition::Failed => Standing::Escalated,
                _ => Standing::Running,
            },
            restarts: 0,
            last_reason: None,
        }));
        threads
    }

    /// Has `watch` look at the owners, the committer and the shards: a shard stalls when one holder
    /// has it for the whole bound. To be called once, when the keep is recovered.
    pub fn watch(&self, watch: &Watch) {
        for port in &self.shared.ports {
            let (name, pulse) = (port.state.lock().name.clone(), port.pulse.clone());
            watch.add(name, move || pulse.sight());
        }
        if let Some(log) = &self.shared.log {
            let (name, pulse) = (&self.shared.config.name, log.pulse.clone());
            watch.add(format!("{name}-committer"), move || pulse.sight());
            let pulse = log.aside.pulse.clone();
            watch.add(format!("{name}-syncer"), move || pulse.sight());
        }
        for shard in 0..self.shards() {
            let shared = Arc::downgrade(&self.shared);
            watch.add(format!("the holder of shard {shard}"), move || {
                let shared = shared.upgrade();
                shared.map_or(Sight::default(), |shared| shared.sight(shard))
            });
        }
    }

    /// What each shard has seen.
    #[must_use]
    pub fn stats(&self) -> Vec<ShardStats> {
        (0..self.shards())
            .map(|index| self.shard_stats(index))
            .collect()
    }

    /// What one shard has seen.
    #[must_use]
    pub fn shard_stats(&self, index: usize) -> ShardStats {
        let beside = self.shared.beside(index);
        beside.counters.snapshot(
            index,
            self.shared.borrowed(index),
            beside.mailbox.depth(),
            beside.gone.load(std::sync::atomic::Ordering::Acquire),
        )
    }

    /// Stops admitting, finishes what was admitted (mail, and transactions sent to an owner), closes
    /// every shard, ends and joins the owners. [`Keep::borrow`] works until its shard is closed.
    ///
    /// Blocks until that is done or `deadline` passes; each shard in other hands is waited for by
    /// that deadline, and closed by whoever returns it later. The owner threads get
    /// [`limits::JOIN_GRACE`] beyond it. A second close only waits for what is still there. Called
    /// on an owner thread (from inside a work), it waits for no shard, and not for that thread.
    pub fn close(&self, deadline: Deadline) -> CloseReport {
        let began = clock::now();
        let (drained, shards_away) = match self.shared.enter(Phase::Draining) {
            Phase::Open | Phase::Draining => self.close_shards(deadline),
            Phase::Closed => (0, self.shared.shards_away()),
        };
        let owners_left = self.join_owners(deadline);
        let stats = self.stats();
        CloseReport {
            drained,
            shards_away,
            owners_left,
            mailed: stats.iter().map(|shard| shard.mailed).sum(),
            refused: stats.iter().map(|shard| shard.refused.sum()).sum(),
            lost: stats.iter().map(|shard| shard.works_lost).sum(),
            unsynced: self.shared.log.as_ref().map_or(0, |log| log.unsynced()),
            took: clock::now().saturating_duration_since(began),
        }
    }

    fn close_shards(&self, deadline: Deadline) -> (u64, usize) {
        // An owner that waited here would wait for what it has in its own hands.
        let deadline = match self.is_owner_thread() {
            true => Deadline::from(clock::now()),
            false => deadline,
        };
        self.shared.finish_transactions(deadline);
        let mut drained = 0;
        let mut shards_away = 0;
        for index in 0..self.shards() {
            match self.close_shard(index, deadline) {
                Some(served) => drained += served,
                None => shards_away += 1,
            }
        }
        self.shared.enter(Phase::Closed);
        if shards_away > 0 {
            // Whoever returns one of them looks at its flag, and closes it then.
            (0..self.shards()).for_each(|index| self.shared.nudge(index));
        }
        self.shared
            .ports
            .iter()
            .for_each(|port| port.doorbell.ring());
        if let Some(log) = &self.shared.log {
            log.begin_closing();
        }
        (drained, shards_away)
    }

    fn is_owner_thread(&self) -> bool {
        let me = thread::current_id();
        let owners = self.owners.lock();
        owners.iter().any(|handle| thread::id_of(handle) == me)
    }

    /// Serves what is left on one shard and marks it closed; `None` when it did not come back.
    fn close_shard(&self, index: usize, deadline: Deadline) -> Option<u64> {
        let beside = self.shared.beside(index);
        let before = beside.counters.served_for_others.get();
        loop {
            let call = Call::by(deadline);
            let shared = Arc::clone(&self.shared);
            let mut loan =
                match Acquisition::new(shared, vec![index], call, Patience::Insist).wait() {
                    Ok(loans) => loans.into_only(),
                    // Closed before: by an earlier close.
                    Err(Error::Refused(Refused::Closed)) => return Some(0),
                    // It died, or was dead when it was asked for: its owner brings it back.
                    Err(Error::Refused(Refused::ShardLost { .. }))
                        if !deadline.has_passed(clock::now())
                            && !beside.given_up.load(std::sync::atomic::Ordering::SeqCst) =>
                    {
                        self.shared.wait_for_shard_back(deadline);
                        continue;
                    }
                    Err(Error::Refused(_) | Error::Lost(_)) => return None,
                };
            loan = match loan.serve(limits::OWNER_SERVICE_WORKS_MAX) {
                Served::Empty(loan) => loan,
                Served::Bound(loan) => {
                    drop(loan);
                    continue;
                }
                Served::Away => continue,
            };
            // `serve` has cleared the flag by a read-modify-write: a poster that sets it from now on
            // sees that the keep is draining, and serves the closed shard itself.
            loan.shard_mut().closed = true;
            return Some(beside.counters.served_for_others.get() - before);
        }
    }

    fn join_owners(&self, deadline: Deadline) -> usize {
        // The last handle can be dropped on an owner thread, by a value's own drop: it cannot join
        // itself, and ends right after.
        let own = usize::from(self.is_owner_thread());
        let deadline = deadline.max(Deadline::after(limits::JOIN_GRACE));
        loop {
            let left = self.gone.left.load(std::sync::atomic::Ordering::Acquire);
            if left <= own {
                break;
            }
            if deadline.has_passed(clock::now()) {
                // The handles stay, for the next close or the drop.
                return left - own;
            }
            // Woken by each owner that ends; ends by the deadline.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B15: an owner ends, or the deadline"
            )]
            self.gone.waiter.wait_until(Some(deadline.instant()));
        }
        // Another close may be waiting too, and a wake-up is for one.
        self.gone.waiter.wake();
        let me = thread::current_id();
        let handles = std::mem::take(&mut *self.owners.lock());
        for handle in handles {
            if thread::id_of(&handle) == me {
                continue;
            }
            // It has counted itself out as its last act, so this does not wait for anything. An
            // owner that ended by a panic has nothing left to say.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B16: it has counted itself out"
            )]
            drop(handle.join());
        }
        0
    }
}

impl<S: State> Drop for Keep<S> {
    fn drop(&mut self) {
        if !self.owners.lock().is_empty() {
            self.close(Deadline::after(limits::DROP_DEADLINE));
        }
    }
}
