//! A shard that counts, and works made of closures: what the tests of the hand-over put into a keep.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use shardkeep_core::{
    Call, Config, Deadline, Error, Handover, Keep, Loans, Outcome, State, Ticket, Transaction, Work,
};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn later() -> Deadline {
    Deadline::after(PATIENCE)
}

pub(crate) fn call() -> Call {
    Call::by(later())
}

/// Receives by the patience of the tests.
pub(crate) fn hear<T>(from: &Receiver<T>) -> T {
    from.recv_deadline(later().instant()).expect("an answer")
}

/// Waits until `deadline` has passed.
pub(crate) fn wait_out(deadline: Deadline) {
    let (_sender, never) = bounded::<()>(0);
    assert!(never.recv_deadline(deadline.instant()).is_err());
    assert!(deadline.has_passed(shardkeep_core::clock::now()));
}

#[derive(Default)]
pub(crate) struct Pot {
    pub(crate) sum: u64,
    /// Held until the map is dropped.
    pub(crate) _alive: Option<Sender<()>>,
}

impl State for Pot {
    type Work = Job;
    type Transaction = Several;
    type Journal = shardkeep_core::NoJournal;
}

type Run = Box<dyn FnMut(&mut Pot) + Send>;

pub(crate) struct Job {
    run: Run,
    pub(crate) deadline: Deadline,
    pub(crate) begin: Box<dyn FnMut() -> bool + Send>,
    pub(crate) is_write: bool,
    /// Dropped by whoever settles it.
    pub(crate) cargo: Option<Box<dyn Send>>,
    told: Sender<Outcome>,
}

/// A work, and where its outcome is told.
pub(crate) fn job(run: impl FnMut(&mut Pot) + Send + 'static) -> (Job, Receiver<Outcome>) {
    let (told, outcome) = bounded(2);
    let job = Job {
        run: Box::new(run),
        deadline: later(),
        begin: Box::new(|| true),
        is_write: true,
        cargo: None,
        told,
    };
    (job, outcome)
}

pub(crate) fn add(n: u64) -> (Job, Receiver<Outcome>) {
    job(move |pot| pot.sum += n)
}

impl Work<Pot> for Job {
    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn begin(&mut self) -> bool {
        (self.begin)()
    }

    fn run(&mut self, pot: &mut Pot) {
        (self.run)(pot);
    }

    fn settle(self, outcome: Outcome) {
        drop(self.cargo);
        // Who does not listen any more need not be told.
        drop(self.told.try_send(outcome));
    }

    fn is_write(&self) -> bool {
        self.is_write
    }
}

type RunSeveral = Box<dyn FnMut(&mut Loans<Pot>) + Send>;

pub(crate) struct Several {
    pub(crate) shards: Vec<usize>,
    pub(crate) deadline: Deadline,
    run: RunSeveral,
    pub(crate) ticket: Arc<Ticket<()>>,
}

impl Several {
    pub(crate) fn new(shards: &[usize], run: impl FnMut(&mut Loans<Pot>) + Send + 'static) -> Self {
        Self {
            shards: shards.to_vec(),
            deadline: later(),
            run: Box::new(run),
            ticket: Ticket::new(shards[0]),
        }
    }
}

impl Transaction<Pot> for Several {
    fn shards(&self) -> &[usize] {
        &self.shards
    }

    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn begin(&mut self) -> bool {
        self.ticket.begin()
    }

    fn run(&mut self, loans: &mut Loans<Pot>) {
        (self.run)(loans);
    }

    fn settle(self, outcome: Outcome) {
        let result = match outcome {
            Outcome::Done => Ok(()),
            Outcome::Refused(refused) => Err(Error::Refused(refused)),
            Outcome::Lost(lost) => Err(Error::Lost(lost)),
        };
        assert!(self.ticket.settle(result).is_ok(), "settled once");
    }
}

pub(crate) const BOTH: [Handover; 2] = [Handover::Lend, Handover::Mail];

pub(crate) fn config(handover: Handover) -> Config {
    Config {
        shards: 4,
        owners: 2,
        handover,
        mailbox_works: 256,
        name: "pot".to_owned(),
        ..Config::default()
    }
}

pub(crate) fn open(config: Config) -> Keep<Pot> {
    Keep::open(config, |_| Pot::default(), |_| {}).expect("a keep")
}

/// A stuck holder: shard `index` stays away until this is dropped.
pub(crate) fn hold(keep: &Keep<Pot>, index: usize) -> Loans<Pot> {
    keep.acquire(&[index], call()).expect("a shard")
}

pub(crate) fn sum(keep: &Keep<Pot>, index: usize) -> u64 {
    hold(keep, index).shard(index).look(|pot| pot.sum)
}
