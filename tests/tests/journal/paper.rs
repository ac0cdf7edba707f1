//! A journal that remembers everything, and a hand on the disk: its calls can be held back, fail, have
//! no space, or panic.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crossbeam_channel::{Receiver, Sender, bounded};
use shardkeep_core::{DetachedSync, Journal, JournalError, Room};

use crate::book::{Effect, hear, later};

/// What is asked of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Append,
    Write,
    Sync,
    Mark,
    /// Whether everything is where it was.
    Look,
}

/// How it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Fine,
    NoSpace,
    Failed,
    Panics,
}

/// Where a call waits to be let through.
#[derive(Clone)]
struct Gate {
    came: Sender<()>,
    go: Receiver<()>,
}

#[derive(Default)]
struct Way {
    /// How the next calls go.
    next: VecDeque<Fate>,
    /// How all others go.
    usual: Fate,
    gate: Option<Gate>,
    calls: usize,
}

#[derive(Default)]
struct Disk {
    ways: [Way; 5],
    records: Vec<Vec<u8>>,
    /// How many records stood before each cut.
    cuts: Vec<usize>,
    written: usize,
    synced: usize,
    durable: HashSet<Effect>,
    /// What the last mark says is written and synced.
    marked: Option<(usize, usize)>,
    /// Who has synced.
    syncers: Vec<String>,
    /// The next write in steps takes one for each that comes from here, and ends when no more will.
    steps: Option<Receiver<()>>,
    /// What is appended is not remembered.
    forgets: bool,
    put_away: bool,
    /// What there is for more, where that is not ample.
    room: Option<Room>,
    bytes_kept_free: Option<u64>,
}

#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<(Mutex<Disk>, Condvar)>);

/// Calls of one kind are held back until this is dropped.
pub(crate) struct Held {
    came: Receiver<()>,
    _go: Sender<()>,
}

impl Held {
    /// Waits until somebody is held back.
    pub(crate) fn wait(&self) {
        hear(&self.came);
    }
}

impl Paper {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.0.lock().expect("the disk")
    }

    /// From here on calls of `step` wait, until what comes back is dropped.
    pub(crate) fn hold(&self, step: Step) -> Held {
        let (came, coming) = bounded(64);
        let (go, wait) = bounded(0);
        self.disk().ways[step as usize].gate = Some(Gate { came, go: wait });
        Held {
            came: coming,
            _go: go,
        }
    }

    /// The next write in steps takes one whenever it is told to, and goes on when what comes back is
    /// dropped.
    pub(crate) fn in_steps(&self) -> Sender<()> {
        let (tell, told) = bounded(0);
        self.disk().steps = Some(told);
        tell
    }

    /// The next call of `step` goes so.
    pub(crate) fn next(&self, step: Step, fate: Fate) {
        self.disk().ways[step as usize].next.push_back(fate);
    }

    /// All calls of `step` go so.
    pub(crate) fn usual(&self, step: Step, fate: Fate) {
        self.disk().ways[step as usize].usual = fate;
    }

    /// From here on nothing is remembered, and nothing allocated.
    pub(crate) fn forget(&self) {
        self.disk().forgets = true;
    }

    /// What is written leaves this room.
    pub(crate) fn room(&self, room: Room) {
        self.disk().room = Some(room);
    }

    /// Room for so many bytes is kept.
    pub(crate) fn keep_free(&self, bytes: u64) {
        self.disk().bytes_kept_free = Some(bytes);
    }

    /// The names of the threads that have synced.
    pub(crate) fn syncers(&self) -> Vec<String> {
        self.disk().syncers.clone()
    }

    pub(crate) fn calls(&self, step: Step) -> usize {
        self.disk().ways[step as usize].calls
    }

    /// Waits until it is as wanted.
    fn until(&self, is: impl Fn(&Disk) -> bool) {
        let (mutex, changed) = &*self.0;
        let patience = crate::book::PATIENCE;
        let disk = mutex.lock().expect("the disk");
        let waited = changed.wait_timeout_while(disk, patience, |disk| !is(disk));
        assert!(!waited.expect("the disk").1.timed_out(), "in vain");
    }

    pub(crate) fn until_synced(&self, effect: Effect) {
        self.until(|disk| disk.durable.contains(&effect));
    }

    pub(crate) fn until_written(&self, records: usize) {
        self.until(|disk| disk.written >= records);
    }

    /// Waits until the log says of itself that it is written and synced so far.
    pub(crate) fn until_marked(&self, written: usize, synced: usize) {
        self.until(|disk| disk.marked == Some((written, synced)));
    }

    pub(crate) fn is_synced(&self, effect: Effect) -> bool {
        self.disk().durable.contains(&effect)
    }

    pub(crate) fn all_synced(&self) -> bool {
        let disk = self.disk();
        disk.synced == disk.records.len()
    }

    pub(crate) fn is_put_away(&self) -> bool {
        self.disk().put_away
    }

    /// Every record, as the effects in it.
    pub(crate) fn records(&self) -> Vec<Vec<Effect>> {
        let disk = self.disk();
        disk.records.iter().map(|bytes| effects(bytes)).collect()
    }

    /// How many records stand before each cut.
    pub(crate) fn cuts(&self) -> Vec<usize> {
        self.disk().cuts.clone()
    }

    pub(crate) fn has(&self, effect: Effect) -> bool {
        self.records().concat().contains(&effect)
    }

    pub(crate) fn pen(&self) -> Pen {
        Pen(self.clone())
    }

    /// Meets whatever was arranged for `step`.
    fn meet(&self, step: Step) -> Fate {
        let gate = self.disk().ways[step as usize].gate.clone();
        if let Some(gate) = gate {
            // Whoever does not look any more need not be told.
            let _ = gate.came.try_send(());
            let _ = gate.go.recv_deadline(later().instant());
        }
        let way = &mut self.disk().ways[step as usize];
        way.calls += 1;
        way.next.pop_front().unwrap_or(way.usual)
    }

    fn take(&self, step: Step) -> Result<(), JournalError> {
        let why = || format!("{step:?}, on purpose");
        match self.meet(step) {
            Fate::Fine => Ok(()),
            Fate::NoSpace => Err(JournalError::NoSpace(why())),
            Fate::Failed => Err(JournalError::Failed(why())),
            Fate::Panics => panic!("{}", why()),
        }
    }
}

fn effects(bytes: &[u8]) -> Vec<Effect> {
    let (chunks, rest) = bytes.as_chunks::<16>();
    assert!(rest.is_empty(), "half an effect");
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
    let both = |chunk: &[u8; 16]| (number(&chunk[..8]), number(&chunk[8..]));
    chunks.iter().map(both).collect()
}

/// The journal: the one handle by which the disk is written.
pub(crate) struct Pen(Paper);

impl Drop for Pen {
    fn drop(&mut self) {
        self.0.disk().put_away = true;
    }
}

/// A sync that runs while others write.
pub(crate) struct Aside {
    paper: Paper,
    covers: usize,
}

impl DetachedSync for Aside {
    type End = Result<(), JournalError>;

    fn run(self) -> Self::End {
        self.paper.sync(self.covers)
    }
}

impl Paper {
    fn sync(&self, covers: usize) -> Result<(), JournalError> {
        self.take(Step::Sync)?;
        let disk = &mut *self.disk();
        if disk.forgets {
            return Ok(());
        }
        let name = std::thread::current().name().map(str::to_owned);
        disk.syncers.push(name.unwrap_or_default());
        for bytes in &disk.records[disk.synced..covers] {
            disk.durable.extend(effects(bytes));
        }
        disk.synced = covers;
        self.0.1.notify_all();
        Ok(())
    }
}

impl Journal for Pen {
    type Synced = ();
    type Detached = Aside;

    fn append(&mut self, record: &[u8]) {
        if self.0.meet(Step::Append) == Fate::Panics {
            panic!("on purpose");
        }
        let mut disk = self.0.disk();
        if !disk.forgets {
            disk.records.push(record.to_vec());
        }
    }

    fn append_cut(&mut self) {
        let mut disk = self.0.disk();
        let before = disk.records.len();
        disk.cuts.push(before);
    }

    fn write(&mut self) -> Result<(), JournalError> {
        self.0.take(Step::Write)?;
        let mut disk = self.0.disk();
        disk.written = disk.records.len();
        drop(disk);
        self.0.0.1.notify_all();
        Ok(())
    }

    fn write_in_steps(
        &mut self,
        bytes: usize,
        step: &mut dyn FnMut(usize) -> usize,
    ) -> Result<(), JournalError> {
        let told = self.0.disk().steps.take();
        while let Some(Ok(())) = (told.as_ref()).map(|told| told.recv_deadline(later().instant())) {
            step(bytes);
        }
        self.write()
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let covers = self.0.disk().written;
        self.0.sync(covers)
    }

    fn look(&mut self) -> Result<(), JournalError> {
        self.0.take(Step::Look)
    }

    fn begin_sync(&mut self) -> Result<Aside, JournalError> {
        let covers = self.0.disk().written;
        let paper = self.0.clone();
        Ok(Aside { paper, covers })
    }

    fn end_sync(&mut self, end: Result<(), JournalError>) -> Result<(), JournalError> {
        end
    }

    fn room(&mut self) -> Room {
        self.0.disk().room.clone().unwrap_or(Room::Ample)
    }

    fn bytes_kept_free(&self) -> u64 {
        self.0.disk().bytes_kept_free.unwrap_or(u64::MAX)
    }

    fn mark(&mut self) -> Result<(), JournalError> {
        self.0.take(Step::Mark)?;
        let mut disk = self.0.disk();
        disk.marked = Some((disk.written, disk.synced));
        drop(disk);
        self.0.0.1.notify_all();
        Ok(())
    }
}
