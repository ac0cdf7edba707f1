//! Commands over several shards.
//!
//! 1. Such a command runs when everything before it in its connection has run, and before anything
//!    behind it is decoded: it is a barrier there, and there alone.
//! 2. It runs here if all its shards can be had at once; otherwise an owner carries it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use shardkeep::engine::{Deadline, Error, Loans, Refused};

use super::Reactor;
use super::away::Recipient;
use super::decode::{Flow, Stand};
use super::log::leave;
use super::round::{Answer, Held};
use crate::clock;
use crate::engine::{
    Item, LoanSet, Needs, Patience, Places, Reservation, ServerKeep, ShardState, ShardsWork,
    TransactionStep,
};
use crate::errors;
use shardkeep_data::commands::{Args, CommandId, CommandSpec, Flags};

/// A command over several shards.
pub(super) struct Request<'r> {
    pub(super) id: CommandId,
    pub(super) args: Args<'r>,
    /// What there is to do, where it is a step of a transaction, and its place among those of the round from 1.
    pub(super) step: Option<&'r Arc<TransactionStep>>,
    pub(super) mark: u64,
    /// It has a place in the log's queue.
    pub(super) writes: bool,
}

/// Puts one of `places`, if they are given, with the shards of a transaction.
fn deposit<'k>(
    keep: &'k ServerKeep,
    places: Option<&mut Places>,
    loans: &mut Loans<ShardState>,
) -> Option<Reservation<'k>> {
    let mut reserved = keep.reserve_from(places?, 1);
    reserved.deposit_all(loans);
    Some(reserved)
}

impl Reactor {
    /// Runs a command over all shards from `first` on.
    pub(super) fn run_range(
        &mut self,
        stand: Stand,
        id: CommandId,
        spec: &'static CommandSpec,
        args: Args<'_>,
        first: usize,
    ) -> Flow {
        let mut shards = std::mem::take(&mut self.wanted);
        shards.clear();
        shards.extend(first..self.context.routes.shards());
        let flow = self.run_many(stand, id, spec, args, &shards);
        self.wanted = shards;
        flow
    }

    /// Runs a command over several shards, or holds it until those before it have run.
    pub(super) fn run_many(
        &mut self,
        stand: Stand,
        id: CommandId,
        spec: &'static CommandSpec,
        args: Args<'_>,
        shards: &[usize],
    ) -> Flow {
        let writes = spec.flags.contains(Flags::WRITE);
        if let Some(flow) = self.throttle_many(stand, id, shards) {
            return flow;
        }
        let writes = writes && self.log.is_on;
        if writes && let Some(flow) = self.take_place(stand, id, None, spec.only_removes) {
            return flow;
        }
        let request = Request {
            id,
            args,
            step: None,
            mark: 0,
            writes,
        };
        self.begin_many(stand, &request, shards)
    }

    /// Refuses a command that is late, or one of whose shards is not to be had.
    pub(super) fn throttle_many(
        &mut self,
        stand: Stand,
        id: CommandId,
        shards: &[usize],
    ) -> Option<Flow> {
        let is_late = self.is_too_late(stand.token);
        let stuck = |&&shard: &&usize| self.is_stuck(stand.token, shard);
        let stuck = shards.iter().find(stuck);
        let shard = *stuck.or(shards.first().filter(|_| is_late))?;
        Some(self.throttle_one(stand, id, shard))
    }

    /// Begins a command over several shards that was admitted.
    pub(super) fn begin_many(
        &mut self,
        stand: Stand,
        request: &Request<'_>,
        shards: &[usize],
    ) -> Flow {
        let Some(Some(connection)) = self.connections.get(stand.token) else {
            return Flow::Hangup;
        };
        let (id, mark, writes) = (request.id, request.mark, request.writes);
        let generation = connection.generation;
        let until = connection.begins_until();
        let item = Item {
            spec: id.spec(),
            hash: 0,
            database: connection.database.into(),
            args: request.args,
            protocol: connection.protocol,
            client: connection.client.id,
            step: request.step,
        };
        self.stats.command(id).calls.add(1);
        let nowhere = self.context.routes.shards();
        let index = self.round.commands.len();
        if self.round.members[stand.member].sharded > 0 {
            let mut work = self.pack(&item, until, shards);
            work.places = writes.then(|| self.log.places.split_one());
            self.add(stand, Some(id), 0, mark, nowhere, Answer::NotYet);
            self.round.held.push(Held { index, work });
            return Flow::Stall;
        }
        let start = self.round.replies.len();
        match self.context.keep.try_acquire(shards) {
            Ok(loans) => {
                let needs = self.run_here(loans, &item, until, shards, writes);
                self.round.note_needs(index, needs);
                let flow = self.answered(stand, Some(id), start);
                self.round.commands[index].hash = mark;
                flow
            }
            Err(Refused::Busy { .. }) => {
                let mut work = self.pack(&item, until, shards);
                work.places = writes.then(|| self.log.places.split_one());
                let slot = index - self.round.members[stand.member].first;
                self.add(stand, Some(id), 0, mark, nowhere, Answer::Travelling);
                let token = stand.token;
                self.send_transaction(
                    work,
                    Recipient {
                        token,
                        generation,
                        slot,
                    },
                );
                Flow::Stall
            }
            Err(refused) => self.reject(
                stand,
                id,
                start,
                &errors::text(&Error::Refused(refused), self.stats.service()),
            ),
        }
    }

    /// Runs what was held, now that the shards' shares of the round have run.
    pub(super) fn run_held(&mut self) {
        for Held { index, mut work } in std::mem::take(&mut self.round.held) {
            let member = self.round.commands[index].member as usize;
            let (token, first) = (
                self.round.members[member].token,
                self.round.members[member].first,
            );
            let before = &self.round.commands[first..index];
            if before
                .iter()
                .any(|command| matches!(command.reply, Answer::Travelling))
            {
                self.round.commands[index].reply = Answer::Travelling;
                self.round.members[member].after = Some(work);
                continue;
            }
            let start = self.round.replies.len();
            match self.context.keep.try_acquire(&work.shards) {
                Ok(mut loans) => {
                    let mut places = work.places.take();
                    let reserved = deposit(&self.context.keep, places.as_mut(), &mut loans);
                    let ran = catch_unwind(AssertUnwindSafe(|| {
                        let mut loans = loans;
                        work.run_on(&mut loans);
                    }));
                    leave(reserved);
                    if ran.is_ok() {
                        if let [b'-', error @ ..] = &work.reply.bytes[..] {
                            self.stats.note_told(error);
                        }
                        let needs = std::mem::take(&mut work.needs);
                        self.round.note_needs(index, needs);
                        let reply = work.reply.piece(0, work.reply.len());
                        self.round.replies.append(reply);
                        let end = self.round.replies.len();
                        self.round.members[member].reply_bytes += work.reply.size();
                        self.round.commands[index].reply = Answer::Here { start, end };
                    } else {
                        let text = errors::lost(work.shards[0]);
                        self.stats.note_told(text.as_bytes());
                        self.round.answer(index, &text);
                    }
                }
                Err(Refused::Busy { .. }) => {
                    self.round.commands[index].reply = Answer::Travelling;
                    let Some(Some(connection)) = self.connections.get(token) else {
                        continue;
                    };
                    let generation = connection.generation;
                    let slot = index - first;
                    self.send_transaction(
                        work,
                        Recipient {
                            token,
                            generation,
                            slot,
                        },
                    );
                }
                Err(refused) => {
                    let text = errors::text(&Error::Refused(refused), self.stats.service());
                    self.stats.note_told(text.as_bytes());
                    self.round.answer(index, &text);
                }
            }
        }
    }

    fn run_here(
        &mut self,
        mut loans: Loans<ShardState>,
        item: &Item<'_>,
        until: Option<Instant>,
        shards: &[usize],
        writes: bool,
    ) -> Needs {
        let start = self.round.replies.len();
        let wall = self.wall;
        let places = writes.then_some(&mut self.log.places);
        let reserved = deposit(&self.context.keep, places, &mut loans);
        let routes = &self.context.routes;
        let gauges = &*self.context.gauges;
        let runtime = Some(&self.context.runtime);
        let replies = &mut self.round.replies;
        // The shards go back in here: what was done is queued then.
        let ran = catch_unwind(AssertUnwindSafe(move || {
            let mut set = LoanSet {
                loans: &mut loans,
                routes,
                shards,
                gauges,
                patience: Patience { runtime, until },
            };
            set.run(item, wall, replies)
        }));
        leave(reserved);
        if let (Ok(_), [b'-', error @ ..]) = (&ran, &self.round.replies.bytes[start..]) {
            self.stats.note_told(error);
        }
        ran.unwrap_or_else(|_| {
            self.round.replies.truncate(start);
            let text = errors::lost(shards[0]);
            self.stats.note_told(text.as_bytes());
            errors::encode(&text, &mut self.round.replies.bytes);
            Needs::Nothing
        })
    }

    fn pack(&self, item: &Item<'_>, until: Option<Instant>, shards: &[usize]) -> Box<ShardsWork> {
        let deadline = clock::later(self.now, self.context.runtime.deadline());
        let deadline = Deadline::from(until.map_or(deadline, |until| until.min(deadline)));
        let routes = self.context.routes.clone();
        let port = Arc::clone(&self.port);
        ShardsWork::new(item, shards.to_vec(), deadline, routes, port)
    }
}
