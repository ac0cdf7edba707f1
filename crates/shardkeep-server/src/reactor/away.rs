//! Commands whose shard was away: works out by mail, and works that wait here for their turn.
//!
//! 1. At most one work is out for each shard, and [`TRANSACTIONS_OUT_MAX`] transactions in all.
//! 2. What is out or waits is answered by its deadline, one way or the other: *throttled* if it had
//!    not begun, *lost* if it had.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shardkeep::engine::{Borrowed, Deadline, Error, Outcome, Refused};

use super::Reactor;
use super::connection::Late;
use super::round::{Answer, From};
use crate::clock;
use crate::config::Overload;
use crate::engine::{Claim, Reply, Reservation, ShardWork, ShardsWork};
use crate::errors;
use crate::limits::{self, TRANSACTIONS_OUT_MAX};

/// Whom a reply is for.
#[derive(Clone, Copy)]
pub(crate) struct Recipient {
    pub(crate) token: usize,
    pub(crate) generation: u32,
    pub(crate) slot: usize,
}

/// A work that has left, or waits to leave.
struct Trip {
    recipients: Vec<Recipient>,
    claim: Arc<Claim>,
    /// That of the most patient of them, and no later than `latest`.
    deadline: Instant,
    latest: Instant,
    since: Instant,
    answered: bool,
}

/// Works and transactions under way or waiting, by shard.
pub(crate) struct Away {
    out: Vec<Option<Trip>>,
    waiting: Vec<Option<(Trip, Box<ShardWork>)>>,
    /// Since when the work of a shard has been out that nobody waits for any more.
    stuck: Vec<Option<Instant>>,
    /// Shards with a work out or waiting.
    active: Vec<usize>,
    /// Those that are out, each in its place for the time; the last place is taken, where there is one.
    transactions: Vec<Option<Trip>>,
    transactions_waiting: VecDeque<(Trip, Box<ShardsWork>)>,
    #[expect(
        clippy::vec_box,
        reason = "works travel as boxes; unpacking them would copy them"
    )]
    pool: Vec<Box<ShardWork>>,
    /// Refused at the door, and not answered yet.
    turned_back: Vec<(Trip, Refused)>,
}

impl Away {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            out: (0..shards).map(|_| None).collect(),
            waiting: (0..shards).map(|_| None).collect(),
            stuck: vec![None; shards],
            active: Vec::new(),
            transactions: Vec::new(),
            transactions_waiting: VecDeque::new(),
            pool: Vec::new(),
            turned_back: Vec::new(),
        }
    }

    pub(crate) fn waits(&self, shard: usize) -> bool {
        self.waiting[shard].is_some()
    }

    #[inline]
    pub(crate) fn stuck_since(&self, shard: usize) -> Option<Instant> {
        self.stuck[shard]
    }

    pub(crate) fn has_out(&self) -> bool {
        !self.active.is_empty()
            || self.has_transactions_out()
            || !self.transactions_waiting.is_empty()
    }

    fn has_transactions_out(&self) -> bool {
        !self.transactions.is_empty()
    }

    /// A place for one more transaction that is out.
    fn free_place(&self) -> Option<usize> {
        let free = self.transactions.iter().position(Option::is_none);
        let place = free.unwrap_or(self.transactions.len());
        (place < TRANSACTIONS_OUT_MAX).then_some(place)
    }

    fn take_out(&mut self, place: usize, trip: Trip) {
        if place == self.transactions.len() {
            self.transactions.push(None);
        }
        self.transactions[place] = Some(trip);
    }

    fn take_in(&mut self, place: usize) -> Option<Trip> {
        let trip = self.transactions.get_mut(place)?.take();
        while let Some(None) = self.transactions.last() {
            self.transactions.pop();
        }
        trip
    }

    /// When the next of them must be answered.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let out = self
            .active
            .iter()
            .filter_map(|&shard| self.out[shard].as_ref());
        let waiting = self
            .active
            .iter()
            .filter_map(|&shard| self.waiting[shard].as_ref());
        let transactions = self.transactions_waiting.iter().map(|(trip, _)| trip);
        out.chain(waiting.map(|(trip, _)| trip))
            .chain(self.transactions.iter().flatten())
            .chain(transactions)
            .filter(|trip| !trip.answered)
            .map(|trip| trip.deadline)
            .min()
    }

    fn settle_activity(&mut self, shard: usize) {
        if self.out[shard].is_none() && self.waiting[shard].is_none() {
            self.active.retain(|&active| active != shard);
        }
    }

    fn recycle(&mut self, mut work: Box<ShardWork>) {
        work.places = None;
        if self.pool.len() < limits::WORKS_KEEP && work.capacity() <= limits::BUFFER_KEEP_BYTES {
            self.pool.push(work);
        }
    }
}

impl Reactor {
    /// Packs a group of the round and sends it after its shard.
    pub(crate) fn send_group(&mut self, group: usize, reserved: Option<&mut Reservation<'_>>) {
        let shard = self.round.groups.group(group).shard;
        let latest = clock::later(self.now, self.context.runtime.deadline());
        let (mut trip, mut work) = match self.away.waiting[shard].take() {
            Some(waiting) => waiting,
            None => {
                let work = match self.away.pool.pop() {
                    Some(mut work) => {
                        work.reset(shard, Deadline::from(latest));
                        work
                    }
                    None => ShardWork::new(shard, Deadline::from(latest), Arc::clone(&self.port)),
                };
                let claim = Arc::clone(&work.claim);
                (
                    Trip {
                        recipients: vec![],
                        claim,
                        deadline: self.now,
                        latest,
                        since: self.now,
                        answered: false,
                    },
                    work,
                )
            }
        };
        for at in 0..self.round.groups.group(group).members.len() {
            let index = self.round.groups.group(group).members[at] as usize;
            let command = &self.round.commands[index];
            let member = &self.round.members[command.member as usize];
            let Some(Some(connection)) = self.connections.get(member.token) else {
                continue;
            };
            let input = match command.from {
                From::Arena => &self.round.arena[command.base..],
                From::Connection => &connection.pending[command.base..],
            };
            let Some(item) =
                command.item(input, &self.round.spans, &self.round.steps, member.client)
            else {
                continue;
            };
            let rejects = self.context.runtime.overload() == Overload::Reject
                && work.entries.len() >= limits::REJECT_COMMANDS;
            if rejects || !work.has_room_for(&item) {
                let depth = self.context.keep.depth(shard) + work.entries.len();
                let text = errors::throttled(shard, depth, self.stats.service());
                self.stats.note_told(text.as_bytes());
                self.round.answer(index, &text);
                continue;
            }
            let until = connection.begins_until();
            work.push(&item, until);
            trip.deadline = trip.deadline.max(until.unwrap_or(latest)).min(trip.latest);
            let slot = index - member.first;
            let (token, generation) = (member.token, connection.generation);
            trip.recipients.push(Recipient {
                token,
                generation,
                slot,
            });
            self.round.commands[index].reply = Answer::Travelling;
        }
        work.deadline = Deadline::from(trip.deadline);
        if let (Some(reserved), None, true) = (reserved, &work.places, work.writes()) {
            work.places = Some(reserved.put_aside());
        }
        if !self.away.active.contains(&shard) {
            self.away.active.push(shard);
        }
        self.away.waiting[shard] = Some((trip, work));
        self.post_waiting(shard);
    }

    /// Mails what waits for `shard`, unless something is out already.
    fn post_waiting(&mut self, shard: usize) {
        if self.away.out[shard].is_some() {
            return;
        }
        let Some((trip, mut work)) = self.away.waiting[shard].take() else {
            return;
        };
        self.stats.mailed.add(1);
        self.away.out[shard] = Some(trip);
        let keep = &self.context.keep;
        let mut places = work.places.take();
        let mut reserved = places.as_mut().map(|places| keep.reserve_from(places, 1));
        if let Err((work, refused)) = keep.post_reserved(shard, work, reserved.as_mut()) {
            let trip = self.away.out[shard].take();
            self.away.recycle(work);
            self.away.settle_activity(shard);
            if let Some(trip) = trip {
                self.away.turned_back.push((trip, refused));
            }
        }
    }

    /// Runs what waits for `shard` here, if the shard can be had now.
    pub(crate) fn run_waiting(&mut self, shard: usize) {
        let context = Arc::clone(&self.context);
        let Borrowed::Loan(mut loan) = context.keep.borrow(shard) else {
            return;
        };
        let Some((trip, mut work)) = self.away.waiting[shard].take() else {
            return;
        };
        // Outlives the loan: it then sees to what was queued.
        let mut places = work.places.take();
        let mut reserved = places
            .as_mut()
            .map(|places| context.keep.reserve_from(places, 1));
        if let Some(reserved) = &mut reserved {
            reserved.deposit(&mut loan);
        }
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            loan.change(|state| work.run_on(state));
            drop(loan);
            work
        }));
        match ran {
            Ok(work) => {
                self.answer_with(&trip, &work);
                self.away.recycle(work);
            }
            Err(_) => self.answer_all(&trip, &errors::lost(shard)),
        }
        self.away.settle_activity(shard);
    }

    /// What has come back: answers, and sends what waited behind it.
    pub(crate) fn take_replies(&mut self) {
        while let Some(reply) = self.port.try_recv() {
            match reply {
                Reply::Shard(work) => self.take_work(work),
                Reply::Shards(work) => self.take_transaction(*work),
                Reply::Saved(error) => self.saved(error),
            }
        }
        self.answer_turned_back();
    }

    fn take_work(&mut self, mut work: Box<ShardWork>) {
        let shard = work.shard;
        self.away.stuck[shard] = None;
        if let Some(trip) = self.away.out[shard].take()
            && !trip.answered
        {
            match &work.outcome {
                Outcome::Done => self.answer_with(&trip, &work),
                Outcome::Refused(refused) => {
                    self.answer_all(
                        &trip,
                        &errors::text(&Error::Refused(refused.clone()), self.stats.service()),
                    );
                }
                Outcome::Lost(lost) => {
                    self.answer_all(
                        &trip,
                        &errors::text(&Error::Lost(lost.clone()), Duration::ZERO),
                    );
                }
            }
        }
        // The values in them are let go.
        work.replies.clear();
        self.away.recycle(work);
        if self.away.waits(shard) {
            self.run_waiting(shard);
            self.post_waiting(shard);
        }
        self.away.settle_activity(shard);
    }

    fn answer_with(&mut self, trip: &Trip, work: &ShardWork) {
        for (at, to) in trip.recipients.iter().enumerate() {
            let reply = Late {
                reply: work.reply(at),
                needs: work.needs(at),
                writes: work.entries[at].writes(),
            };
            self.fill_slot(*to, reply);
        }
    }

    fn answer_all(&mut self, trip: &Trip, text: &str) {
        let mut reply = Vec::new();
        errors::encode(text, &mut reply);
        for to in &trip.recipients {
            self.fill_slot(*to, Late::free(&reply));
        }
    }

    /// Sends a command over several shards to an owner, when it is its turn.
    pub(crate) fn send_transaction(&mut self, work: Box<ShardsWork>, to: Recipient) {
        let claim = Arc::clone(&work.claim);
        let deadline = work.deadline.instant();
        let trip = Trip {
            recipients: vec![to],
            claim,
            deadline,
            latest: deadline,
            since: self.now,
            answered: false,
        };
        self.away.transactions_waiting.push_back((trip, work));
        self.next_transactions();
    }

    /// Sends those that wait, while there are places for them.
    fn next_transactions(&mut self) {
        while let Some(place) = self.away.free_place() {
            let Some((trip, work)) = self.away.transactions_waiting.pop_front() else {
                return;
            };
            if let Some(waits) = self.send_one(place, trip, work) {
                return self.away.transactions_waiting.push_front(waits);
            }
        }
    }

    /// Sends one; gives it back where the owner has no place for it, and one that is out will come back.
    fn send_one(
        &mut self,
        place: usize,
        trip: Trip,
        mut work: Box<ShardsWork>,
    ) -> Option<(Trip, Box<ShardsWork>)> {
        let keep = &self.context.keep;
        work.trip = place;
        let mut places = work.places.take();
        let mut reserved = places.as_mut().map(|places| keep.reserve_from(places, 1));
        match keep.send_transaction(work, reserved.as_mut()) {
            Ok(()) => {
                self.stats.mailed.add(1);
                self.away.take_out(place, trip);
                None
            }
            Err((mut work, Refused::MailboxFull { .. })) if self.away.has_transactions_out() => {
                work.places = reserved.map(|mut reserved| reserved.put_aside());
                Some((trip, work))
            }
            Err((_, refused)) => {
                self.away.turned_back.push((trip, refused));
                None
            }
        }
    }

    /// Answers what was refused at the door. Not while a round is being executed: its connections
    /// have no place for late replies before it has been delivered.
    pub(crate) fn answer_turned_back(&mut self) {
        for (trip, refused) in std::mem::take(&mut self.away.turned_back) {
            self.answer_all(
                &trip,
                &errors::text(&Error::Refused(refused), self.stats.service()),
            );
        }
    }

    fn take_transaction(&mut self, work: ShardsWork) {
        if let Some(trip) = self.away.take_in(work.trip)
            && !trip.answered
        {
            match &work.outcome {
                Outcome::Done => {
                    for to in &trip.recipients {
                        let reply = Late {
                            reply: work.reply.piece(0, work.reply.len()),
                            needs: work.needs.clone(),
                            writes: work.writes(),
                        };
                        self.fill_slot(*to, reply);
                    }
                }
                Outcome::Refused(refused) => {
                    self.answer_all(
                        &trip,
                        &errors::text(&Error::Refused(refused.clone()), self.stats.service()),
                    );
                }
                Outcome::Lost(lost) => {
                    self.answer_all(
                        &trip,
                        &errors::text(&Error::Lost(lost.clone()), Duration::ZERO),
                    );
                }
            }
        }
        self.next_transactions();
    }

    /// Answers everything whose deadline has passed.
    pub(crate) fn expire_trips(&mut self) {
        if self.away.has_out() {
            // A long tick must not make an answer that lies here an error.
            self.take_replies();
        }
        let now = self.now;
        for shard in self.away.active.clone() {
            if self.away.waiting[shard]
                .as_ref()
                .is_some_and(|(trip, _)| trip.deadline <= now)
                && let Some((trip, work)) = self.away.waiting[shard].take()
            {
                self.away.recycle(work);
                self.throttle(&trip, shard);
            }
            if let Some(mut trip) = self.away.out[shard].take() {
                if !trip.answered && trip.deadline <= now {
                    self.give_up(&mut trip, shard);
                    self.away.stuck[shard] = Some(trip.since);
                }
                self.away.out[shard] = Some(trip);
            }
            self.away.settle_activity(shard);
        }
        for place in 0..self.away.transactions.len() {
            if let Some(mut trip) = self.away.transactions[place].take() {
                if !trip.answered && trip.deadline <= now {
                    self.give_up(&mut trip, 0);
                }
                self.away.transactions[place] = Some(trip);
            }
        }
        for (trip, work) in std::mem::take(&mut self.away.transactions_waiting) {
            if trip.deadline <= now {
                self.throttle(&trip, work.shards.first().copied().unwrap_or(0));
            } else {
                self.away.transactions_waiting.push_back((trip, work));
            }
        }
    }

    /// It is out: whether it was refused or is lost, its claim decides.
    fn give_up(&mut self, trip: &mut Trip, shard: usize) {
        trip.answered = true;
        if trip.claim.abandon() {
            self.throttle(trip, shard);
        } else {
            self.answer_all(trip, &errors::lost(shard));
        }
    }

    fn throttle(&mut self, trip: &Trip, shard: usize) {
        let depth = self.context.keep.depth(shard) + trip.recipients.len();
        let text = errors::throttled(shard, depth, self.stats.service());
        self.answer_all(trip, &text);
    }
}
