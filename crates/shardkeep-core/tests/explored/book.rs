//! What the scenarios of the log do, and who judges it: states that write down what is done to them,
//! and a journal that remembers what was appended, written and synced.
//!
//! The journal's own lock is of the standard library: see `world`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shardkeep_core::{
    Borrowed, Call, Config, Deadline, DetachedSync, Durability, Effects, Error, Handover, Journal,
    JournalError, Keep, Loans, LogEvent, Lost, Outcome, Refused, Reservation, State, SyncMode,
    Ticket, Transaction, Work,
};

use crate::world::{by, never, pause, small};

/// Shard, key, value: what one write leaves in the log. Every value is written once.
pub(crate) type Effect = [u8; 3];

/// What the disk does when it is asked to write, or to sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Fine,
    /// There is no space until somebody makes some.
    Full,
    /// The second sync fails; the next would succeed.
    FailsOnce,
    /// It panics when it is to sync for the second time.
    Panics,
}

#[derive(Default)]
struct Disk {
    mood: Mood,
    records: Vec<Vec<u8>>,
    /// How many records stood before each cut.
    cuts: Vec<usize>,
    /// Everything that was written to a map, in order, and how many cuts its shard had seen by then.
    made: Vec<(Effect, usize)>,
    /// How many cuts each shard has seen.
    cuts_of: BTreeMap<u8, usize>,
    written: usize,
    synced: usize,
    syncs: usize,
    events: Vec<LogEvent>,
    put_away: bool,
}

/// The disk as everybody sees it.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Disk>>);

impl Paper {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_synced(&self, effect: Effect) -> bool {
        let disk = self.disk();
        disk.records[..disk.synced]
            .iter()
            .any(|record| record.chunks(3).any(|chunk| chunk == effect))
    }

    pub(crate) fn has(&self, effect: Effect) -> bool {
        let disk = self.disk();
        let mut chunks = disk.records.iter().flat_map(|record| record.chunks(3));
        chunks.any(|chunk| chunk == effect)
    }

    /// How many cuts were appended.
    pub(crate) fn cuts(&self) -> usize {
        self.disk().cuts.len()
    }

    pub(crate) fn events(&self) -> Vec<LogEvent> {
        self.disk().events.clone()
    }
}

/// The journal: the one handle by which the disk is written.
pub(crate) struct Pen(Paper);

impl Drop for Pen {
    fn drop(&mut self) {
        self.0.disk().put_away = true;
    }
}

impl Pen {
    pub(crate) fn make_space(&mut self) {
        self.0.disk().mood = Mood::Fine;
    }
}

/// A sync that runs while others write.
pub(crate) struct Aside {
    paper: Paper,
    covers: usize,
}

impl DetachedSync for Aside {
    type End = Result<usize, JournalError>;

    fn run(self) -> Self::End {
        self.paper.sync(self.covers)
    }
}

impl Paper {
    fn note_made(&self, effect: Effect) {
        let mut disk = self.disk();
        let cuts = disk.cuts_of.get(&effect[0]).copied().unwrap_or_default();
        disk.made.push((effect, cuts));
    }

    /// The effects of a record stand in the order in which they were made, and between the cuts between which they
    /// were.
    fn judge_order(&self) {
        let disk = self.disk();
        let made = |effect: &[u8]| {
            let at = disk.made.iter().position(|(made, _)| made == effect);
            at.expect("what is in the log was made")
        };
        for (at, record) in disk.records.iter().enumerate() {
            let order: Vec<_> = record.chunks(3).map(made).collect();
            assert!(order.is_sorted(), "out of order: {record:?}");
            let cuts = disk.cuts.iter().filter(|&&cut| cut <= at).count();
            let seen = order.iter().map(|&made| disk.made[made].1);
            assert!(
                seen.into_iter().all(|seen| seen == cuts),
                "on the wrong side of a cut: {record:?}"
            );
        }
    }

    fn sync(&self, covers: usize) -> Result<usize, JournalError> {
        pause();
        let mut disk = self.disk();
        assert!(!disk.put_away, "synced after it was put away");
        disk.syncs += 1;
        match disk.mood {
            Mood::FailsOnce if disk.syncs == 2 => {
                return Err(JournalError::Failed("on purpose".to_owned()));
            }
            Mood::Panics if disk.syncs == 2 => {
                drop(disk);
                panic!("on purpose");
            }
            Mood::Fine | Mood::Full | Mood::FailsOnce | Mood::Panics => {}
        }
        disk.synced = disk.synced.max(covers);
        Ok(covers)
    }
}

impl Journal for Pen {
    type Synced = ();
    type Detached = Aside;

    fn append(&mut self, record: &[u8]) {
        self.0.disk().records.push(record.to_vec());
    }

    fn append_cut(&mut self) {
        let mut disk = self.0.disk();
        let before = disk.records.len();
        disk.cuts.push(before);
    }

    fn write(&mut self) -> Result<(), JournalError> {
        pause();
        let mut disk = self.0.disk();
        if disk.mood == Mood::Full {
            return Err(JournalError::NoSpace("full".to_owned()));
        }
        disk.written = disk.records.len();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let covers = self.0.disk().written;
        self.0.sync(covers).map(|_| ())
    }

    fn begin_sync(&mut self) -> Result<Aside, JournalError> {
        let covers = self.0.disk().written;
        let paper = self.0.clone();
        Ok(Aside { paper, covers })
    }

    fn end_sync(&mut self, end: Result<usize, JournalError>) -> Result<(), JournalError> {
        end.map(|_| ())
    }
}

/// A map whose writes are kept.
pub(crate) struct Book {
    shard: u8,
    pub(crate) values: BTreeMap<u8, u8>,
    effects: Effects,
    paper: Paper,
}

impl Book {
    /// Writes, and says which batch that depends on.
    pub(crate) fn write(&mut self, key: u8, value: u8) -> u64 {
        self.values.insert(key, value);
        let hash = u64::from(key);
        let effect = [self.shard, key, value];
        self.paper.note_made(effect);
        self.effects.of_key(hash).extend_from_slice(&effect);
        self.effects.needs(hash)
    }

    fn needs(&self, key: u8) -> u64 {
        self.effects.needs(u64::from(key))
    }
}

impl State for Book {
    type Work = Note;
    type Transaction = Both;
    type Journal = Pen;

    fn effects(&mut self) -> Option<&mut Effects> {
        Some(&mut self.effects)
    }
}

/// One write that travels.
pub(crate) struct Note {
    key: u8,
    value: u8,
    panics: bool,
    number: u64,
    ticket: Arc<Ticket<u64>>,
}

impl Work<Book> for Note {
    fn deadline(&self) -> Deadline {
        never()
    }

    fn begin(&mut self) -> bool {
        self.ticket.begin()
    }

    fn run(&mut self, book: &mut Book) {
        self.number = book.write(self.key, self.value);
        assert!(!self.panics, "on purpose");
    }

    fn settle(self, outcome: Outcome) {
        let number = self.number;
        drop(self.ticket.settle(told(outcome, number)));
    }

    fn is_write(&self) -> bool {
        true
    }
}

fn told<T>(outcome: Outcome, done: T) -> Result<T, Error> {
    match outcome {
        Outcome::Done => Ok(done),
        Outcome::Refused(refused) => Err(refused.into()),
        Outcome::Lost(lost) => Err(lost.into()),
    }
}

/// A write to shard 0 and one to shard 1, as one.
pub(crate) struct Both {
    value: u8,
    panics: bool,
    numbers: [u64; 2],
    ticket: Arc<Ticket<[u64; 2]>>,
}

impl Transaction<Book> for Both {
    fn shards(&self) -> &[usize] {
        &[0, 1]
    }

    fn deadline(&self) -> Deadline {
        never()
    }

    fn begin(&mut self) -> bool {
        self.ticket.begin()
    }

    fn run(&mut self, loans: &mut Loans<Book>) {
        self.numbers = write_both(loans, self.value);
        assert!(!self.panics, "on purpose");
    }

    fn settle(self, outcome: Outcome) {
        let numbers = self.numbers;
        drop(self.ticket.settle(told(outcome, numbers)));
    }
}

const BOTH_KEY: u8 = 9;

/// The higher shard first: that is how they are to stand in the record.
fn write_both(loans: &mut Loans<Book>, value: u8) -> [u64; 2] {
    let second = loans.state(1).write(BOTH_KEY, value);
    pause();
    [loans.state(0).write(BOTH_KEY, value), second]
}

pub(crate) fn logged(shards: usize, durability: Durability) -> Config {
    Config {
        durability: Some(durability),
        ..small(Handover::Lend, shards, 4)
    }
}

/// Every write is synced before it is acknowledged; at once, without gathering.
pub(crate) fn always(lend: bool) -> Durability {
    Durability {
        sync: SyncMode::Always,
        window: std::time::Duration::ZERO,
        lend,
    }
}

pub(crate) struct Library {
    pub(crate) keep: Arc<Keep<Book>>,
    pub(crate) paper: Paper,
}

impl Library {
    pub(crate) fn open(config: Config, mood: Mood) -> Self {
        let paper = Paper::default();
        paper.disk().mood = mood;
        let tracks = (config.durability.as_ref()).is_some_and(|d| d.sync == SyncMode::Always);
        let written = paper.clone();
        let make = move |shard| Book {
            shard: shard as u8,
            values: BTreeMap::new(),
            effects: Effects::new(tracks),
            paper: written.clone(),
        };
        let events = paper.clone();
        let tell = move |event| {
            if let shardkeep_core::Event::Log(event) = event {
                events.disk().events.push(event);
            }
        };
        let keep = Keep::open(config, make, tell).expect("a keep");
        keep.install_journal(Pen(paper.clone()))
            .expect("a committer");
        let keep = Arc::new(keep);
        Self { keep, paper }
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer {
            keep: Arc::clone(&self.keep),
            paper: self.paper.clone(),
        }
    }

    /// Closes, and finds nothing but what the log could not keep.
    pub(crate) fn end_failed(self) {
        let report = self.keep.close(never());
        assert_eq!((report.shards_away, report.owners_left), (0, 0));
        self.judge_closed();
    }

    /// Closes, and finds nothing left; what was written is what the log says, all of it synced.
    pub(crate) fn end(self) {
        let states = self.states();
        let report = self.keep.close(never());
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(states, self.replayed());
        self.end_closed();
    }

    /// What was closed in good order by somebody else.
    pub(crate) fn end_closed(self) {
        self.judge_closed();
        let disk = self.paper.disk();
        assert_eq!(disk.synced, disk.records.len(), "written, and not synced");
    }

    /// What holds after every close.
    fn judge_closed(&self) {
        let places = self.keep.log_stats().expect("a log").places_taken;
        assert_eq!(places, 0, "a place was not given back");
        assert!(self.paper.disk().put_away, "the journal is still there");
        assert_eq!(Arc::strong_count(&self.keep), 1, "a caller was left behind");
        self.paper.judge_order();
        for record in &self.paper.disk().records {
            let of_both = record.chunks(3).filter(|effect| effect[1] == BOTH_KEY);
            assert!(of_both.count() % 2 == 0, "half a transaction: {record:?}");
        }
    }

    fn states(&self) -> Vec<BTreeMap<u8, u8>> {
        let all: Vec<_> = (0..self.keep.shards()).collect();
        let mut loans = self.keep.acquire(&all, by(never())).expect("all shards");
        let states = loans
            .iter_mut()
            .map(|loan| loan.look(|book| book.values.clone()));
        states.collect()
    }

    /// What the log says, applied in its order.
    fn replayed(&self) -> Vec<BTreeMap<u8, u8>> {
        let mut states = vec![BTreeMap::new(); self.keep.shards()];
        for record in &self.paper.disk().records {
            for effect in record.chunks(3) {
                states[usize::from(effect[0])].insert(effect[1], effect[2]);
            }
        }
        states
    }
}

/// One thread that writes and reads, and wants to be sure.
pub(crate) struct Writer {
    pub(crate) keep: Arc<Keep<Book>>,
    pub(crate) paper: Paper,
}

impl Writer {
    /// Makes a cut, which each shard notes.
    pub(crate) fn cut(&self, call: &Call) -> Result<(), Error> {
        let switch = |shard, _: &mut Book| {
            pause();
            *self.paper.disk().cuts_of.entry(shard as u8).or_default() += 1;
        };
        self.keep.cut(call, switch).map(|_| ())
    }

    /// Writes, and waits until it is synced; then it is.
    pub(crate) fn write(&self, shard: usize, key: u8, value: u8) -> Result<(), Error> {
        let call = by(never());
        let mut reserved = self.keep.reserve(&call)?;
        let number = self.apply(shard, key, value, &mut reserved, &call)?;
        let waited = self.keep.wait_synced(shard, number, &call);
        drop(reserved);
        if waited.is_ok() && number > 0 {
            let effect = [shard as u8, key, value];
            assert!(
                self.paper.is_synced(effect),
                "acknowledged too early: {effect:?}"
            );
        }
        if waited == Err(Lost::LogFailed) {
            let later = self.keep.reserve(&call).err();
            assert_eq!(later, Some(Refused::LogFailed), "a write after the failure");
        }
        Ok(waited?)
    }

    fn apply(
        &self,
        shard: usize,
        key: u8,
        value: u8,
        reserved: &mut Reservation<'_, Book>,
        call: &Call,
    ) -> Result<u64, Error> {
        match self.keep.borrow(shard) {
            Borrowed::Loan(mut loan) => {
                reserved.deposit(&mut loan);
                Ok(loan.change(|book| book.write(key, value)))
            }
            Borrowed::Away => self.mail(shard, key, value, false, reserved, call),
            Borrowed::Closed => Err(Refused::Closed.into()),
        }
    }

    /// Mails a write, and hears which batch it is in.
    fn mail(
        &self,
        shard: usize,
        key: u8,
        value: u8,
        panics: bool,
        reserved: &mut Reservation<'_, Book>,
        call: &Call,
    ) -> Result<u64, Error> {
        let ticket = Ticket::new(shard);
        let note = Note {
            key,
            value,
            panics,
            number: 0,
            ticket: Arc::clone(&ticket),
        };
        let posted = self.keep.post_write(shard, note, reserved, call);
        posted.map_err(|(_, refused)| refused)?;
        ticket.wait(call, || 0)
    }

    /// Changes a shard, and then changes it again and panics halfway: the first change is kept.
    pub(crate) fn break_own(&self, shard: usize, kept: u8, broken: u8) {
        let call = by(never());
        let mut reserved = self.keep.reserve(&call).expect("a place");
        let mut loans = self.keep.acquire(&[shard], call.clone()).expect("a shard");
        let loan = loans.shard(shard);
        reserved.deposit(loan);
        let number = loan.change(|book| book.write(kept, kept));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            loan.change(|book| {
                book.write(broken, broken);
                panic!("on purpose");
            })
        }));
        assert!(panicked.is_err());
        drop(loans);
        assert_eq!(self.keep.wait_synced(shard, number, &call), Ok(()));
        assert!(
            self.paper.is_synced([shard as u8, kept, kept]),
            "acknowledged too early"
        );
    }

    /// Mails a write that panics halfway.
    pub(crate) fn break_down(&self, shard: usize, key: u8, value: u8) {
        let call = by(never());
        let Ok(mut reserved) = self.keep.reserve(&call) else {
            return;
        };
        let broken = self.mail(shard, key, value, true, &mut reserved, &call);
        assert!(
            matches!(
                broken,
                Err(Error::Lost(Lost::ShardLost { .. }) | Error::Refused(_))
            ),
            "{broken:?}"
        );
    }

    /// Writes, and wants everything synced; then this is.
    pub(crate) fn write_and_sync(&self, shard: usize, key: u8, value: u8) {
        self.write_only(shard, key, value).expect("a write");
        assert_eq!(self.keep.sync(&by(never())), Ok(()));
        assert!(
            self.paper.is_synced([shard as u8, key, value]),
            "not synced on request"
        );
    }

    /// Writes, and commits what is queued on this thread.
    pub(crate) fn write_and_commit(&self, shard: usize, key: u8, value: u8) {
        let call = by(never());
        let mut reserved = self.keep.reserve(&call).expect("a place");
        let written = self.apply(shard, key, value, &mut reserved, &call);
        written.expect("a write");
        self.keep.commit();
    }

    /// Writes, and does not wait.
    pub(crate) fn write_only(&self, shard: usize, key: u8, value: u8) -> Result<(), Error> {
        let call = by(never());
        let mut reserved = self.keep.reserve(&call)?;
        self.apply(shard, key, value, &mut reserved, &call)?;
        Ok(())
    }

    /// Reads, and waits until what it has seen is synced; then it is.
    pub(crate) fn read(&self, shard: usize, key: u8) -> Result<(), Error> {
        let call = by(never());
        let mut loans = self.keep.acquire(&[shard], call.clone())?;
        let book = loans.shard(shard);
        let (value, number) = book.look(|book| (book.values.get(&key).copied(), book.needs(key)));
        drop(loans);
        self.keep.wait_synced(shard, number, &call)?;
        if let Some(value) = value {
            let effect = [shard as u8, key, value];
            assert!(self.paper.is_synced(effect), "shown too early: {effect:?}");
        }
        Ok(())
    }

    /// Writes to shards 0 and 1 as one, on this thread.
    pub(crate) fn write_both(&self, value: u8) -> Result<(), Error> {
        let call = by(never());
        let mut reserved = self.keep.reserve(&call)?;
        let mut loans = self.keep.acquire(&[0, 1], call.clone())?;
        reserved.deposit_all(&mut loans);
        let numbers = loans.change(|loans| write_both(loans, value));
        drop(loans);
        self.hear_of_both(value, numbers)
    }

    /// Has an owner write to shards 0 and 1 as one.
    pub(crate) fn send_both(&self, value: u8, panics: bool) -> Result<(), Error> {
        let call = by(never());
        let mut reserved = self.keep.reserve(&call)?;
        let ticket = Ticket::new(0);
        let both = Both {
            value,
            panics,
            numbers: [0; 2],
            ticket: Arc::clone(&ticket),
        };
        let sent = self.keep.send_transaction(both, Some(&mut reserved));
        sent.map_err(|(_, refused)| refused)?;
        drop(reserved);
        let numbers = ticket.wait(&call, || 0)?;
        self.hear_of_both(value, numbers)
    }

    fn hear_of_both(&self, value: u8, numbers: [u64; 2]) -> Result<(), Error> {
        for (shard, number) in numbers.into_iter().enumerate() {
            self.keep.wait_synced(shard, number, &by(never()))?;
            let effect = [shard as u8, BOTH_KEY, value];
            assert!(
                self.paper.is_synced(effect),
                "acknowledged too early: {effect:?}"
            );
        }
        Ok(())
    }

    pub(crate) fn has_both(&self, value: u8) -> [bool; 2] {
        [0, 1].map(|shard| self.paper.has([shard, BOTH_KEY, value]))
    }
}
