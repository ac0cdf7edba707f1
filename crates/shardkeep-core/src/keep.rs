//! Borrows, mails, gets several shards in hand; says how they do.

use std::sync::Arc;

use crate::acquire::{Acquisition, Patience};
use crate::config::{Config, Handover};
use crate::deadline::Call;
use crate::error::{Error, Refused};
use crate::fault::{Fault, is_planted};
use crate::limits;
use crate::loan::{Loan, Loans, Shard};
use crate::log::Condition;
use crate::place::Reservation;
use crate::posting::Posting;
use crate::restart::Policy;
use crate::service::Served;
use crate::shared::Shared;
use crate::stats::ShardStats;
use crate::supervisor::{ChildState, Standing};
use crate::threads::Threads;
use crate::watch::{Sight, Watch};
use crate::work::State;

/// A set of shards with their owner threads.
///
/// Dropping it closes it, waiting at most [`limits::DROP_DEADLINE`].
///
/// It belongs to the process that opened it. In a child that was forked what waits, writes or asks a thread
/// is refused ([`Refused::OtherProcess`]), and a drop returns at once: it leaves files, locks and memory as
/// they are. A caller that borrows in passing looks at [`Keep::is_elsewhere`] first.
pub struct Keep<S: State> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) threads: Arc<Threads>,
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

impl<S: State> Keep<S> {
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

    /// Whether this is another process than the one that opened the keep, a child that was forked. There
    /// nothing may be borrowed; what waits, writes, or asks a thread is refused, and a drop does nothing.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.shared.is_elsewhere()
    }

    /// Whether this thread is one of the keep's own: one that waited here would wait for itself.
    #[must_use]
    pub fn is_own_thread(&self) -> bool {
        self.threads.has_current()
    }

    /// Lets the threads that a close has left go on by themselves: the drop does not wait for them again.
    pub fn let_go(&self) {
        self.threads.let_go();
    }

    /// The same keep for a thread in the background: dropping this closes nothing, and does not put off
    /// the close by the drop of the other. Calls are refused once that one is closed.
    #[must_use]
    pub fn unowned(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            threads: Arc::new(Threads::new()),
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
    pub(crate) fn borrow_first(&self, shards: &[usize]) -> Result<Vec<Loan<S>>, Refused> {
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
}
