//! What the scenarios do, and who judges it.
//!
//! The oracle's own locks are of the standard library: explored threads take turns on one thread of
//! the machine and never give up their turn inside of the oracle.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shardkeep_core::{
    Borrowed, Call, CancelToken, Config, Deadline, Error, Event, Handover, Keep, Loan, Loans, Lost,
    NoJournal, Outcome, Overload, Refused, Shared, State, Ticket, Transaction, Visit, Work,
};

/// Who called, and which of his calls it was.
pub(crate) type Tag = (usize, usize);

#[derive(Default)]
struct Seen {
    posted: Vec<Tag>,
    /// Transactions that were taken.
    admitted: Vec<Tag>,
    applied: Vec<(usize, Tag)>,
    settled: BTreeMap<Tag, Vec<Outcome>>,
    wrong: Vec<String>,
    shards_lost: usize,
    dropped_states: usize,
    made_states: usize,
}

/// Sees everything, and says whether it can be.
#[derive(Clone, Default)]
pub(crate) struct Oracle(Arc<Mutex<Seen>>);

impl Oracle {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn posted(&self, tag: Tag) {
        self.seen().posted.push(tag);
    }

    fn admitted(&self, tag: Tag) {
        self.seen().admitted.push(tag);
    }

    /// What was taken before the close was finished, not refused because of it.
    pub(crate) fn judge_admitted(&self) {
        let seen = self.seen();
        for tag in &seen.admitted {
            let outcomes = &seen.settled[tag];
            let closed = Outcome::Refused(Refused::Closed);
            assert!(
                !outcomes.contains(&closed),
                "{tag:?} was admitted, and then refused"
            );
        }
    }

    fn applied(&self, shard: usize, tag: Tag) {
        self.seen().applied.push((shard, tag));
    }

    pub(crate) fn settled(&self, tag: Tag, outcome: Outcome) {
        self.seen().settled.entry(tag).or_default().push(outcome);
    }

    pub(crate) fn wrong(&self, text: String) {
        self.seen().wrong.push(text);
    }

    pub(crate) fn event(&self, event: &Event) {
        if matches!(event, Event::ShardLost { .. }) {
            self.seen().shards_lost += 1;
        }
    }

    pub(crate) fn shards_lost(&self) -> usize {
        self.seen().shards_lost
    }

    pub(crate) fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.seen()
            .settled
            .values()
            .flatten()
            .filter(|outcome| is(outcome))
            .count()
    }

    /// What was posted was settled once; done was applied, refused was not; each caller's works took
    /// effect in his order.
    pub(crate) fn judge(&self) {
        let seen = self.seen();
        assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
        for tag in &seen.posted {
            let outcomes = seen.settled.get(tag).map_or(&[][..], Vec::as_slice);
            let applied = seen
                .applied
                .iter()
                .filter(|(_, other)| other == tag)
                .count();
            assert!(outcomes.len() == 1, "{tag:?} was settled {outcomes:?}");
            let possible = match &outcomes[0] {
                Outcome::Done => applied == 1,
                Outcome::Refused(_) => applied == 0,
                Outcome::Lost(_) => applied <= 1,
            };
            assert!(
                possible,
                "{tag:?} was applied {applied} times: {outcomes:?}"
            );
        }
        assert_eq!(
            seen.settled.len(),
            seen.posted.len(),
            "settled what nobody posted"
        );
        let mut last = BTreeMap::new();
        for &(shard, (caller, call)) in &seen.applied {
            let before = last.insert((shard, caller), call);
            assert!(
                before.is_none_or(|before| before < call),
                "{caller} overtook himself: {seen_applied:?}",
                seen_applied = seen.applied
            );
        }
    }

    /// Every map that was made is dropped: nothing keeps the keep alive in a circle.
    pub(crate) fn judge_dropped(&self) {
        let seen = self.seen();
        assert_eq!(seen.made_states, seen.dropped_states, "maps were leaked");
    }
}

/// A map: how much is in it, and how often each caller has been here.
pub(crate) struct Pot {
    shard: usize,
    pub(crate) sum: i64,
    calls: BTreeMap<usize, usize>,
    oracle: Oracle,
}

impl Pot {
    pub(crate) fn add(&mut self, tag: Tag) {
        self.oracle.applied(self.shard, tag);
        *self.calls.entry(tag.0).or_default() += 1;
    }
}

impl Drop for Pot {
    fn drop(&mut self) {
        self.oracle.seen().dropped_states += 1;
    }
}

impl State for Pot {
    type Work = Job;
    type Transaction = Transfer;
    type Journal = NoJournal;
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Add,
    /// A read: must see so many of this caller's works.
    Expect(usize),
    /// Adds, and then panics.
    Panic,
}

pub(crate) struct Job {
    pub(crate) tag: Tag,
    pub(crate) what: What,
    pub(crate) ticket: Option<Arc<Ticket<()>>>,
    pub(crate) deadline: Deadline,
    pub(crate) oracle: Oracle,
    /// Dropped when it is settled.
    pub(crate) cargo: Option<Box<dyn Send>>,
}

impl Work<Pot> for Job {
    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn begin(&mut self) -> bool {
        self.ticket.as_ref().is_none_or(|ticket| ticket.begin())
    }

    fn run(&mut self, pot: &mut Pot) {
        match self.what {
            What::Expect(calls) => {
                let found = pot.calls.get(&self.tag.0).copied().unwrap_or(0);
                if found != calls {
                    self.oracle
                        .wrong(format!("{:?} found {found} calls, not {calls}", self.tag));
                }
                self.oracle.applied(pot.shard, self.tag);
            }
            What::Add => pot.add(self.tag),
            What::Panic => {
                pot.add(self.tag);
                panic!("on purpose");
            }
        }
    }

    fn settle(self, outcome: Outcome) {
        self.oracle.settled(self.tag, outcome.clone());
        if let Some(ticket) = self.ticket {
            drop(ticket.settle(match outcome {
                Outcome::Done => Ok(()),
                Outcome::Refused(refused) => Err(Error::Refused(refused)),
                Outcome::Lost(lost) => Err(Error::Lost(lost)),
            }));
        }
        drop(self.cargo);
    }

    fn is_write(&self) -> bool {
        !matches!(self.what, What::Expect(_))
    }
}

/// Moves one from the first of its shards to the last.
pub(crate) struct Transfer {
    pub(crate) tag: Tag,
    pub(crate) shards: Vec<usize>,
    pub(crate) ticket: Arc<Ticket<()>>,
    pub(crate) deadline: Deadline,
    pub(crate) oracle: Oracle,
    pub(crate) panics: bool,
}

pub(crate) fn transfer(loans: &mut Loans<Pot>, shards: &[usize]) {
    let (from, to) = (shards[0], shards[shards.len() - 1]);
    loans.state(from).sum -= 1;
    pause();
    loans.state(to).sum += 1;
}

impl Transaction<Pot> for Transfer {
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
        self.oracle.applied(usize::MAX, self.tag);
        transfer(loans, &self.shards);
        assert!(!self.panics, "on purpose");
    }

    fn settle(self, outcome: Outcome) {
        self.oracle.settled(self.tag, outcome.clone());
        drop(self.ticket.settle(match outcome {
            Outcome::Done => Ok(()),
            Outcome::Refused(refused) => Err(Error::Refused(refused)),
            Outcome::Lost(lost) => Err(Error::Lost(lost)),
        }));
    }
}

/// A place where the schedule may switch.
pub(crate) fn pause() {
    let _ = shuttle::sync::atomic::AtomicBool::new(false).load(SeqCst);
}

/// Never passes: whoever waits until then and is not woken hangs, and the explorer says so.
pub(crate) fn never() -> Deadline {
    Deadline::after(Duration::from_secs(100_000))
}

/// May pass at any moment the schedule likes.
pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(1))
}

pub(crate) fn by(deadline: Deadline) -> Call {
    Call::by(deadline)
}

pub(crate) fn small(handover: Handover, shards: usize, mailbox_works: usize) -> Config {
    Config {
        shards,
        owners: 1,
        handover,
        mailbox_works,
        overload: Overload::Block,
        ..Config::default()
    }
}

pub(crate) struct World {
    pub(crate) keep: Arc<Keep<Pot>>,
    pub(crate) oracle: Oracle,
}

impl World {
    pub(crate) fn open(config: Config) -> Self {
        let oracle = Oracle::default();
        let (made, told) = (oracle.clone(), oracle.clone());
        let make = move |shard| {
            made.seen().made_states += 1;
            Pot {
                shard,
                sum: 0,
                calls: BTreeMap::new(),
                oracle: made.clone(),
            }
        };
        let keep = Keep::open(config, make, move |event| told.event(&event));
        Self {
            keep: Arc::new(keep.expect("a keep")),
            oracle,
        }
    }

    pub(crate) fn caller(&self, number: usize) -> Caller {
        Caller {
            keep: Arc::clone(&self.keep),
            oracle: self.oracle.clone(),
            number,
            calls: 0,
            tickets: vec![],
        }
    }

    /// Closes, and finds nothing left.
    pub(crate) fn close(&self) {
        let report = self.keep.close(never());
        assert!(report.is_clean(), "{report:?}");
    }

    /// Closes in good order, and judges.
    pub(crate) fn end(self) {
        self.close();
        self.judge();
    }

    /// Drops the keep, wherever its shards are, and judges.
    pub(crate) fn judge(self) {
        let Self { keep, oracle } = self;
        assert_eq!(Arc::strong_count(&keep), 1, "a caller was left behind");
        drop(keep);
        oracle.judge();
        oracle.judge_dropped();
    }
}

/// A visit to all shards, with something to do on one of them.
struct Rounds {
    shards: Vec<usize>,
    shard: usize,
    tag: Tag,
    done: bool,
}

impl Visit<Pot> for Rounds {
    fn shard(&self, at: usize) -> usize {
        self.shards[at]
    }

    fn ops(&self, _: usize) -> usize {
        1
    }

    fn touch(&mut self, _: usize, _: &Pot) {
        pause();
    }

    fn run(&mut self, at: usize, loan: &mut Loan<Pot, &Shared<Pot>>) {
        if self.shards[at] == self.shard {
            loan.change(|pot| pot.add(self.tag));
            self.done = true;
        }
        pause();
    }

    fn away(&mut self, _: usize) {}
}

/// One thread that calls, and remembers what it has not yet heard of.
pub(crate) struct Caller {
    pub(crate) keep: Arc<Keep<Pot>>,
    pub(crate) oracle: Oracle,
    number: usize,
    pub(crate) calls: usize,
    tickets: Vec<Arc<Ticket<()>>>,
}

impl Caller {
    pub(crate) fn next_tag(&mut self) -> Tag {
        self.calls += 1;
        (self.number, self.calls)
    }

    fn job(&mut self, what: What, deadline: Deadline, ticket: Arc<Ticket<()>>) -> Job {
        Job {
            tag: self.next_tag(),
            what,
            ticket: Some(ticket),
            deadline,
            oracle: self.oracle.clone(),
            cargo: None,
        }
    }

    /// Mails a work, and does not wait for it.
    pub(crate) fn post(&mut self, shard: usize, what: What, call: &Call) {
        let ticket = Ticket::new(shard);
        let job = self.job(what, call.deadline, Arc::clone(&ticket));
        self.oracle.posted(job.tag);
        match self.keep.post(shard, job, call) {
            Ok(()) => self.tickets.push(ticket),
            Err((job, why)) => self.oracle.settled(job.tag, Outcome::Refused(why)),
        }
    }

    /// Borrows if it can, else mails and does not wait.
    pub(crate) fn call(&mut self, shard: usize, what: What, call: &Call) {
        let keep = Arc::clone(&self.keep);
        let tag = (self.number, self.calls + 1);
        let done = match self.calls % 3 {
            0 => keep
                .change_idle(shard, |pot| {
                    pause();
                    pot.add(tag);
                })
                .is_ok(),
            1 => {
                let others = (0..keep.shards()).filter(|&other| other != shard);
                let shards = others.chain([shard]).collect();
                let mut rounds = Rounds {
                    shards,
                    shard,
                    tag,
                    done: false,
                };
                keep.visit_idle(0..keep.shards(), &mut rounds);
                rounds.done
            }
            _ => false,
        };
        if done {
            assert_eq!(self.next_tag(), tag);
            self.oracle.posted(tag);
            return self.oracle.settled(tag, Outcome::Done);
        }
        match keep.borrow(shard) {
            Borrowed::Loan(mut loan) => {
                let tag = self.next_tag();
                self.oracle.posted(tag);
                loan.change(|pot| {
                    pause();
                    pot.add(tag);
                });
                drop(loan);
                self.oracle.settled(tag, Outcome::Done);
            }
            Borrowed::Away => self.post(shard, what, call),
            Borrowed::Closed => {
                let tag = self.next_tag();
                self.oracle.posted(tag);
                let closed = shardkeep_core::Refused::Closed;
                self.oracle.settled(tag, Outcome::Refused(closed));
            }
        }
    }

    /// Sends a transaction to an owner, and does not wait.
    pub(crate) fn send(&mut self, shards: &[usize], deadline: Deadline, panics: bool) {
        let ticket = Ticket::new(shards[0]);
        let transfer = Transfer {
            tag: self.next_tag(),
            shards: shards.to_vec(),
            ticket: Arc::clone(&ticket),
            deadline,
            oracle: self.oracle.clone(),
            panics,
        };
        let tag = transfer.tag;
        self.oracle.posted(tag);
        match self.keep.send_transaction(transfer, None) {
            Ok(()) => {
                self.oracle.admitted(tag);
                self.tickets.push(ticket);
            }
            Err((transfer, why)) => {
                self.oracle.settled(transfer.tag, Outcome::Refused(why));
            }
        }
    }

    /// Gets several shards in hand on this thread, and moves one from the first to the last.
    pub(crate) fn transact(&mut self, shards: &[usize], call: Call) -> Result<(), Error> {
        let mut loans = self.keep.acquire(shards, call)?;
        loans.change(|loans| transfer(loans, shards));
        Ok(())
    }

    /// Waits for everything it has mailed.
    pub(crate) fn hear(&mut self) {
        self.wait(&by(never()));
    }

    pub(crate) fn wait(&mut self, call: &Call) {
        for ticket in std::mem::take(&mut self.tickets) {
            let lost = ticket.wait(call, || 0);
            let timed_out = matches!(lost, Err(Error::Lost(Lost::DeadlinePassed { .. })));
            if timed_out && !call.deadline.has_passed(shardkeep_core::clock::now()) {
                self.oracle
                    .wrong("a deadline was said to have passed".to_owned());
            }
        }
    }
}

pub(crate) fn revocable(deadline: Deadline) -> (CancelToken, Call) {
    let token = CancelToken::new();
    let call = Call {
        cancel: Some(token.clone()),
        ..Call::by(deadline)
    };
    (token, call)
}

/// The sum over all shards, seen at one moment.
pub(crate) fn sum(keep: &Keep<Pot>, shards: &[usize]) -> Result<i64, Error> {
    let loans = &mut keep.acquire(shards, by(never()))?;
    Ok(loans.iter_mut().map(|loan| loan.look(|pot| pot.sum)).sum())
}
