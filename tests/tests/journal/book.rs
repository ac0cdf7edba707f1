//! A map whose changes are kept, the works on it, and a library of such maps.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use shardkeep_core::{
    Borrowed, Call, Config, Deadline, Durability, Effects, Error, Event, Handover, JournalDesk,
    Keep, Loans, LogEvent, Outcome, Refused, Reservation, State, SyncMode, Ticket, Transaction,
    Work,
};

use crate::paper::{Paper, Pen};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A key and its value; [`REMOVED`] and [`CLEARED`] say otherwise.
pub(crate) type Effect = (u64, u64);

pub(crate) const REMOVED: u64 = u64::MAX;

/// As a key: all keys of the shards that are in the record are gone.
pub(crate) const CLEARED: u64 = u64::MAX;

pub(crate) fn later() -> Deadline {
    Deadline::after(PATIENCE)
}

pub(crate) fn call() -> Call {
    Call::by(later())
}

/// A call that ends soon, for those who are meant to wait in vain.
pub(crate) fn short() -> Call {
    Call::by(Deadline::after(Duration::from_millis(20)))
}

/// Receives by the patience of the tests.
pub(crate) fn hear<T>(from: &Receiver<T>) -> T {
    from.recv_deadline(later().instant()).expect("an answer")
}

pub(crate) struct Book {
    pub(crate) values: HashMap<u64, u64>,
    effects: Effects,
    /// Wants a slice of work of its own that removes this key.
    pub(crate) expires: Option<u64>,
}

impl Book {
    pub(crate) fn new(values: HashMap<u64, u64>, tracks_keys: bool) -> Self {
        Self {
            values,
            effects: Effects::new(tracks_keys),
            expires: None,
        }
    }

    fn keep(&mut self, key: u64, value: u64) -> u64 {
        let record = self.effects.of_key(key);
        record.extend_from_slice(&key.to_le_bytes());
        record.extend_from_slice(&value.to_le_bytes());
        self.effects.needs(key)
    }

    /// Writes, and says which batch that depends on.
    pub(crate) fn set(&mut self, key: u64, value: u64) -> u64 {
        self.values.insert(key, value);
        self.keep(key, value)
    }

    pub(crate) fn remove(&mut self, key: u64) -> u64 {
        self.values.remove(&key);
        self.keep(key, REMOVED)
    }

    /// Empties the map; `says` where the record is to say so.
    pub(crate) fn clear(&mut self, says: bool) -> u64 {
        self.values.clear();
        let record = self.effects.of_clear();
        if says {
            record.extend_from_slice(&CLEARED.to_le_bytes());
            record.extend_from_slice(&[0; 8]);
        }
        self.effects.needs_newest()
    }

    pub(crate) fn needs(&self, key: u64) -> u64 {
        self.effects.needs(key)
    }

    pub(crate) fn needs_newest(&self) -> u64 {
        self.effects.needs_newest()
    }
}

impl State for Book {
    type Work = Note;
    type Transaction = Several;
    type Journal = Pen;

    fn effects(&mut self) -> Option<&mut Effects> {
        Some(&mut self.effects)
    }

    fn wants_tending(&self) -> bool {
        self.expires.is_some()
    }

    fn tend(&mut self) -> shardkeep_core::Tended {
        if let Some(key) = self.expires.take() {
            self.remove(key);
        }
        shardkeep_core::Tended::Done
    }
}

type Run = Box<dyn FnMut(&mut Book) -> u64 + Send>;

/// A work that says which batch its reply depends on.
pub(crate) struct Note {
    run: Run,
    pub(crate) deadline: Deadline,
    number: u64,
    pub(crate) ticket: Arc<Ticket<u64>>,
}

impl Note {
    pub(crate) fn new(run: impl FnMut(&mut Book) -> u64 + Send + 'static) -> Self {
        Self {
            run: Box::new(run),
            deadline: later(),
            number: 0,
            ticket: Ticket::new(0),
        }
    }
}

fn told<T>(outcome: Outcome, done: T) -> Result<T, Error> {
    match outcome {
        Outcome::Done => Ok(done),
        Outcome::Refused(refused) => Err(refused.into()),
        Outcome::Lost(lost) => Err(lost.into()),
    }
}

impl Work<Book> for Note {
    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn begin(&mut self) -> bool {
        self.ticket.begin()
    }

    fn run(&mut self, book: &mut Book) {
        self.number = (self.run)(book);
    }

    fn settle(self, outcome: Outcome) {
        let number = self.number;
        drop(self.ticket.settle(told(outcome, number)));
    }

    fn is_write(&self) -> bool {
        true
    }
}

type RunSeveral = Box<dyn FnMut(&mut Loans<Book>) -> Vec<u64> + Send>;

/// A transaction that says which batches its reply depends on, one for each of its shards.
pub(crate) struct Several {
    shards: Vec<usize>,
    pub(crate) deadline: Deadline,
    run: RunSeveral,
    numbers: Vec<u64>,
    pub(crate) ticket: Arc<Ticket<Vec<u64>>>,
}

impl Several {
    pub(crate) fn new(
        shards: &[usize],
        run: impl FnMut(&mut Loans<Book>) -> Vec<u64> + Send + 'static,
    ) -> Self {
        Self {
            shards: shards.to_vec(),
            deadline: later(),
            run: Box::new(run),
            numbers: vec![],
            ticket: Ticket::new(shards[0]),
        }
    }
}

impl Transaction<Book> for Several {
    fn shards(&self) -> &[usize] {
        &self.shards
    }

    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn begin(&mut self) -> bool {
        self.ticket.begin()
    }

    fn run(&mut self, loans: &mut Loans<Book>) {
        self.numbers = (self.run)(loans);
    }

    fn settle(mut self, outcome: Outcome) {
        let numbers = std::mem::take(&mut self.numbers);
        drop(self.ticket.settle(told(outcome, numbers)));
    }
}

pub(crate) const SHARDS: usize = 4;

/// The shard where `key` lives.
pub(crate) fn shard_of(key: u64) -> usize {
    (key % SHARDS as u64) as usize
}

pub(crate) const INTERVAL: Duration = Duration::from_millis(1);

/// Longer than any test: what waits for it waits for something else.
pub(crate) const NEVER: Duration = Duration::from_secs(10_000);

pub(crate) fn durability(sync: SyncMode, lend: bool) -> Durability {
    Durability {
        sync,
        window: Duration::ZERO,
        lend,
    }
}

pub(crate) fn config(handover: Handover, durability: Durability) -> Config {
    Config {
        shards: SHARDS,
        owners: 2,
        handover,
        mailbox_works: 256,
        durability: Some(durability),
        name: "book".to_owned(),
        ..Config::default()
    }
}

/// Both ways in which a shard and its work come together, and both in which the log is written.
pub(crate) fn all_ways(sync: SyncMode) -> impl Iterator<Item = Config> {
    let both = [(true, Handover::Lend), (false, Handover::Lend)].into_iter();
    both.chain([(true, Handover::Mail), (false, Handover::Mail)])
        .map(move |(lend, handover)| config(handover, durability(sync, lend)))
}

fn tracks_keys(config: &Config) -> bool {
    config.durability.as_ref().expect("a log").sync == SyncMode::Always
}

fn telling() -> (impl Fn(Event) + Send + Sync + 'static, Receiver<Event>) {
    let (sender, events) = bounded(64);
    let tell = move |event| sender.try_send(event).expect("room for an event");
    (tell, events)
}

pub(crate) struct Library {
    pub(crate) keep: Keep<Book>,
    pub(crate) paper: Paper,
    pub(crate) events: Receiver<Event>,
}

impl Library {
    pub(crate) fn open(config: Config) -> Self {
        let library = Self::open_without_journal(config);
        let installed = library.keep.install_journal(library.paper.pen());
        installed.expect("a committer");
        library
    }

    pub(crate) fn open_without_journal(config: Config) -> Self {
        let (paper, tracks_keys) = (Paper::default(), tracks_keys(&config));
        let known = paper.clone();
        // A lost shard is what the log says of it.
        let remake = move |shard, journal: &JournalDesk<Pen>| {
            let here = journal.on_journal(&call(), |_| ());
            here.expect("the journal");
            let all = replayed(&known).into_iter();
            let mine = all.filter(|&(key, _)| shard_of(key) == shard);
            Book::new(mine.collect(), tracks_keys)
        };
        let (tell, events) = telling();
        let make = move |_| Book::new(HashMap::new(), tracks_keys);
        let keep = Keep::open_kept(config, make, remake, tell).expect("a keep");
        Self {
            keep,
            paper,
            events,
        }
    }

    /// A library whose lost shards are empty again.
    pub(crate) fn open_forgetful(config: Config) -> Self {
        let (paper, tracks_keys) = (Paper::default(), tracks_keys(&config));
        let (tell, events) = telling();
        let make = move |_| Book::new(HashMap::new(), tracks_keys);
        let keep = Keep::open(config, make, tell).expect("a keep");
        keep.install_journal(paper.pen()).expect("a committer");
        Self {
            keep,
            paper,
            events,
        }
    }

    pub(crate) fn hear_log(&self) -> LogEvent {
        match hear(&self.events) {
            Event::Log(event) => event,
            other => panic!("{other:?}"),
        }
    }

    /// Changes the shard of `key` on this thread where that may be, else by mail; says which batch that
    /// depends on.
    pub(crate) fn change(
        &self,
        key: u64,
        reserved: &mut Reservation<'_, Book>,
        change: impl FnMut(&mut Book) -> u64 + Send + 'static,
    ) -> Result<u64, Error> {
        match self.keep.borrow(shard_of(key)) {
            Borrowed::Loan(mut loan) => {
                reserved.deposit(&mut loan);
                Ok(loan.change(change))
            }
            Borrowed::Away => self.mail(key, reserved, change),
            Borrowed::Closed => Err(Refused::Closed.into()),
        }
    }

    pub(crate) fn mail(
        &self,
        key: u64,
        reserved: &mut Reservation<'_, Book>,
        change: impl FnMut(&mut Book) -> u64 + Send + 'static,
    ) -> Result<u64, Error> {
        let note = Note::new(change);
        let ticket = Arc::clone(&note.ticket);
        let posted = self.keep.post_write(shard_of(key), note, reserved, &call());
        posted.map_err(|(_, refused)| refused)?;
        ticket.wait(&call(), || 0)
    }

    /// Writes, and does not wait for a sync.
    pub(crate) fn set(&self, key: u64, value: u64) -> Result<u64, Error> {
        let mut reserved = self.keep.reserve(&call())?;
        self.change(key, &mut reserved, move |book| book.set(key, value))
    }

    /// Writes, and waits for the sync; then it is synced.
    pub(crate) fn set_synced(&self, key: u64, value: u64) -> Result<(), Error> {
        let mut reserved = self.keep.reserve(&call())?;
        let number = self.change(key, &mut reserved, move |book| book.set(key, value))?;
        self.synced(key, number)?;
        assert!(self.paper.is_synced((key, value)), "acknowledged too early");
        Ok(())
    }

    /// Removes, and does not wait for a sync.
    pub(crate) fn remove(&self, key: u64) -> Result<u64, Error> {
        let mut reserved = self.keep.reserve_removal(&call())?;
        self.change(key, &mut reserved, move |book| book.remove(key))
    }

    pub(crate) fn synced(&self, key: u64, number: u64) -> Result<(), Error> {
        Ok(self.keep.wait_synced(shard_of(key), number, &call())?)
    }

    /// What a key says, and which batch that depends on.
    pub(crate) fn get(&self, key: u64) -> (Option<u64>, u64) {
        let mut loans = self.hold(key);
        let loan = loans.shard(shard_of(key));
        loan.look(|book| (book.values.get(&key).copied(), book.needs(key)))
    }

    /// A stuck holder: the shard of `key` stays away until this is dropped.
    pub(crate) fn hold(&self, key: u64) -> Loans<Book> {
        self.keep
            .acquire(&[shard_of(key)], call())
            .expect("a shard")
    }

    pub(crate) fn places_taken(&self) -> usize {
        self.keep.log_stats().expect("a log").places_taken
    }

    /// Everything in all maps.
    pub(crate) fn state(&self) -> HashMap<u64, u64> {
        let all: Vec<_> = (0..self.keep.shards()).collect();
        let mut loans = self.keep.acquire(&all, call()).expect("all shards");
        let maps = loans
            .iter_mut()
            .map(|loan| loan.look(|book| book.values.clone()));
        maps.flatten().collect()
    }

    /// As [`Library::end`], where somebody still has places when everything else is settled.
    pub(crate) fn end_with(&self, reserved: Reservation<'_, Book>) {
        drop(reserved);
        self.end();
    }

    /// Closes, and finds nothing left; what there was is what the log says, all of it synced.
    pub(crate) fn end(&self) {
        let state = self.state();
        let report = self.keep.close(later());
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(self.places_taken(), 0, "a place was not given back");
        assert_eq!(replayed(&self.paper), state);
        assert!(self.paper.all_synced() && self.paper.is_put_away());
    }
}

/// What the log says, applied in its order.
pub(crate) fn replayed(paper: &Paper) -> HashMap<u64, u64> {
    let mut state = HashMap::new();
    for (key, value) in paper.records().concat() {
        match (key, value) {
            (CLEARED, _) => state.clear(),
            (key, REMOVED) => drop(state.remove(&key)),
            (key, value) => drop(state.insert(key, value)),
        }
    }
    state
}
