//! What callers and owners of one keep share: desks, mailboxes, doorbells.
//!
//! 1. The phase only moves on.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};

use crossbeam_utils::CachePadded;

use crate::batch::Batch;
use crate::config::Config;
use crate::desk::Desk;
use crate::discard::Discarded;
use crate::dropping::Dropping;
use crate::duty::JournalDesk;
use crate::error::Refused;
use crate::event::{self, Event, Events};
use crate::limits;
use crate::loan::Shard;
use crate::log::Log;
use crate::mailbox::Mailbox;
use crate::port::Port;
use crate::pressure::Pressure;
use crate::process;
use crate::spot::{Beside, Spot};
use crate::stats::{HolderCount, ShardCounters};
use crate::sync::{AtomicBool, AtomicU8, AtomicUsize, Waiter};
use crate::threads::Threads;
use crate::watch::Sight;
use crate::work::State;

pub(crate) type Make<S> = Box<dyn Fn(usize) -> S + Send + Sync>;
/// Makes the state of a lost shard again, from what the journal has kept.
pub(crate) type Remake<S> =
    Box<dyn Fn(usize, &JournalDesk<<S as State>::Journal>) -> S + Send + Sync>;

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
    pub(crate) spots: Box<[CachePadded<Spot<S>>]>,
    beside: Box<[CachePadded<Beside<S>>]>,
    pub(crate) ports: Box<[Port<S>]>,
    pub(crate) config: Config,
    /// The generation of the process that opened it.
    home: u32,
    make: Make<S>,
    remake: Option<Remake<S>>,
    events: Events,
    phase: AtomicU8,
    pub(crate) log: Option<Arc<Log<S::Journal>>>,
    /// Of the walk that is under way.
    pub(crate) pressure: Arc<Pressure>,
    /// Transactions sent and not settled; a close waits for them.
    pub(crate) transactions: AtomicUsize,
    pub(crate) transactions_ended: Waiter,
    /// A lost shard is back, or could not be brought back; a close waits for that.
    pub(crate) shard_back: Waiter,
    /// Values that no caller drops.
    pub(crate) dropping: Dropping,
    pub(crate) threads: Arc<Threads>,
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
        let pressure = Arc::new(Pressure::new(limits::WALK_BUFFER_BYTES_MAX));
        let log = config.durability.as_ref().map(|durability| {
            let events = Arc::clone(&events);
            let tell = move |event| event::tell(&events, Event::Log(event));
            let (durability, pressure) = (durability.clone(), Arc::clone(&pressure));
            Arc::new(Log::new(
                config.shards,
                durability,
                pressure,
                Box::new(tell),
            ))
        });
        let shared = Arc::new_cyclic(|me| Self {
            spots,
            beside,
            ports,
            config,
            home: process::generation(),
            make,
            remake,
            events,
            phase,
            log,
            pressure,
            transactions: AtomicUsize::new(0),
            transactions_ended: Waiter::new(),
            shard_back: Waiter::new(),
            dropping: Dropping::new(),
            threads: Arc::new(Threads::new()),
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
        let window = self.config.write_window.min(limits::WINDOW_MAX);
        if let (Some(log), Some(effects)) = (&self.log, state.effects()) {
            // It was made from what was queued, and some of that may not be durable yet.
            effects.needs_all_until(log.queued(index));
        }
        Box::new(Shard {
            state,
            closed: false,
            tending: false,
            place: false,
            discards: false,
            batch: Batch::new(window),
            discarded: Discarded::new(),
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

    pub(crate) fn tell(&self, event: Event) {
        event::tell(&self.events, event);
    }

    /// Whether this is another process than the one that has opened the keep: then its threads are not
    /// here, its files are not ours, and its locks may be held for ever.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.home != process::generation()
    }

    /// Why nothing new is admitted, if so.
    pub(crate) fn admits_nothing(&self) -> Option<Refused> {
        if self.is_elsewhere() {
            return Some(Refused::OtherProcess);
        }
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
