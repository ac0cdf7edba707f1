//! Running the commands of a round: shard by shard, each borrowed once, a few in hand at a time so
//! that their cache misses overlap.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use shardkeep::engine::fail_point;
use shardkeep::engine::histogram::Histogram;
use shardkeep::engine::{Borrowed, Loan, Shared, Visit};
use shardkeep::table::UnixMillis;

use super::Reactor;
use super::connection::Connection;
use super::log::leave;
use super::round::{Answer, Command, From, Member, Round, note_needs};
use crate::clock;
use crate::engine::{Item, Needs, Reservation, ShardState, TransactionStep, run_item, run_kept};
use crate::errors;
use crate::limits;
use crate::output::Output;
use shardkeep_data::commands::Args;
use shardkeep_data::commands::REPLY_BYTES_MAX;

/// How often a shard that was away is tried again, after the others.
const TRIES_AFTER_THE_OTHERS: usize = 2;

/// One round in so many is timed for INFO: reading the clock twice in each would cost more than the
/// shortest rounds.
const TIMED_ROUNDS: usize = 16;

/// What came of one shard's share of a round.
enum Share {
    Done,
    /// The shard was away: nothing has run.
    Away,
    /// A panic took the shard in the middle.
    Lost,
    /// The shard is closed: nothing has run.
    Closed,
}

impl Reactor {
    /// Runs what can be run here; the rest gets mail.
    pub(crate) fn execute(&mut self) {
        if self.round.sharded == 0 {
            return;
        }
        let shards = self
            .round
            .commands
            .iter()
            .map(|command| command.shard as usize);
        self.round.groups.build(shards);
        self.turn = self.turn.wrapping_add(1);
        let began = self.turn.is_multiple_of(TIMED_ROUNDS).then(clock::now);
        let mut away = std::mem::take(&mut self.away_groups);
        let context;
        let mut reserved = None;
        if self.log.is_on {
            context = Arc::clone(&self.context);
            let count = self.log.places.count();
            reserved = Some(context.keep.reserve_from(&mut self.log.places, count));
        }
        self.visit_idle(&mut away, reserved.as_mut());
        for _ in 0..TRIES_AFTER_THE_OTHERS {
            away.retain(|&group| matches!(self.run_group(group, reserved.as_mut()), Share::Away));
        }
        for group in away.drain(..) {
            self.send_group(group, reserved.as_mut());
        }
        leave(reserved);
        self.away_groups = away;
        if let Some(began) = began {
            self.count_time(clock::now().saturating_duration_since(began));
        }
    }

    /// Runs the groups whose shards lie idle, a few in hand at a time; the others are noted as away.
    fn visit_idle(&mut self, away: &mut Vec<usize>, mut reserved: Option<&mut Reservation<'_>>) {
        let nowhere = self.context.routes.shards();
        let groups = self.round.groups.len();
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        for at in 0..groups {
            let group = (self.turn + at) % groups;
            let shard = self.round.groups.group(group).shard;
            if shard != nowhere {
                let list = if self.away.waits(shard) {
                    &mut *away
                } else {
                    &mut order
                };
                list.push(group);
            }
        }
        loop {
            let mut visitor = Visitor {
                round: &mut self.round,
                connections: &self.connections,
                wall: self.wall,
                away,
                reserved: reserved.as_deref_mut(),
                visits: &self.stats.visits,
                running: None,
                ran: None,
            };
            let keep = &self.context.keep;
            let visited = catch_unwind(AssertUnwindSafe(|| {
                keep.visit_idle(order.iter().copied(), &mut visitor);
            }));
            let running = visitor.running;
            let ran = visitor.ran;
            if visited.is_err()
                && let Some(group) = ran
            {
                // What it has written may be in no batch.
                let shard = self.round.groups.group(group).shard;
                self.shard_was_lost(group, shard);
            }
            match (visited, running) {
                (Ok(()), _) => break,
                (Err(_), None) => {
                    // Nothing of a shard was touched: the slow way gives each its own chance.
                    let round = &self.round;
                    order.retain(|&group| round.is_unanswered(group) && !away.contains(&group));
                    away.append(&mut order);
                    break;
                }
                (Err(_), Some(group)) => {
                    let shard = self.round.groups.group(group).shard;
                    self.shard_was_lost(group, shard);
                    // Those that were in hand with it, or not yet visited, are as they were.
                    let round = &self.round;
                    order.retain(|&group| round.is_unanswered(group) && !away.contains(&group));
                }
            }
        }
        self.order = order;
    }

    fn run_group(&mut self, group: usize, reserved: Option<&mut Reservation<'_>>) -> Share {
        let shard = self.round.groups.group(group).shard;
        // Borrowing serves waiting mail first, ours included; what still waits here comes next.
        if self.away.waits(shard) {
            self.run_waiting(shard);
            if self.away.waits(shard) {
                return Share::Away;
            }
        }
        let wall = self.wall;
        let share = match self.context.keep.borrow(shard) {
            Borrowed::Loan(mut loan) => {
                if let (Some(reserved), true) = (reserved, self.round.placed.contains(shard)) {
                    reserved.deposit(&mut loan);
                }
                let round = &mut self.round;
                let connections = &self.connections;
                let ran = catch_unwind(AssertUnwindSafe(move || {
                    loan.change(|state| {
                        state.begin(wall);
                        run_members(round, group, state, |token| {
                            connections[token].as_ref().map_or(&[][..], |c| &c.pending)
                        });
                        state.publish();
                    });
                }));
                if ran.is_ok() {
                    let commands = self.round.groups.group(group).members.len();
                    self.stats.visits.note(commands as u64);
                    Share::Done
                } else {
                    Share::Lost
                }
            }
            Borrowed::Away => Share::Away,
            Borrowed::Closed => Share::Closed,
        };
        match share {
            Share::Done | Share::Away => {}
            Share::Lost => self.shard_was_lost(group, shard),
            Share::Closed => self.answer_group(group, errors::DRAINING),
        }
        share
    }

    /// The command under way is lost; those behind it had not begun. If all have run, it was lost before
    /// what they wrote was queued, and all of them with it.
    fn shard_was_lost(&mut self, group: usize, shard: usize) {
        if !self.round.is_unfinished(group) {
            return self.answer_group(group, &errors::lost(shard));
        }
        let lost = errors::lost(shard);
        let refused = errors::shard_lost(shard);
        let mut first = true;
        for at in 0..self.round.groups.group(group).members.len() {
            let index = self.round.groups.group(group).members[at] as usize;
            if let Answer::NotYet = self.round.commands[index].reply {
                let text = if std::mem::take(&mut first) {
                    &lost
                } else {
                    &refused
                };
                self.stats.note_told(text.as_bytes());
                self.round.answer(index, text);
            }
        }
    }

    fn answer_group(&mut self, group: usize, text: &str) {
        for at in 0..self.round.groups.group(group).members.len() {
            let index = self.round.groups.group(group).members[at] as usize;
            self.stats.note_told(text.as_bytes());
            self.round.answer(index, text);
        }
    }

    /// The time of one round in [`TIMED_ROUNDS`], shared out evenly, stands for all of them.
    fn count_time(&self, took: Duration) {
        let commands = &self.round.commands;
        self.stats.timed.add(commands.len() as u64);
        self.stats.timed_nanos.add(took.as_nanos() as u64);
        let each = took.as_nanos() as u64 * TIMED_ROUNDS as u64 / commands.len().max(1) as u64;
        for id in commands.iter().filter_map(|command| command.id) {
            self.stats.command(id).nanos.add(each);
        }
    }

    /// Counts the errors among the replies that are there.
    pub(super) fn count_failed(&self) {
        for command in &self.round.commands {
            let Some(id) = command.id else { continue };
            let figures = self.stats.command(id);
            if let Answer::Here { start, .. } = command.reply
                && self.round.replies.bytes.get(start) == Some(&b'-')
            {
                figures.failed.add(1);
            }
        }
    }
}

/// A round on its way over the shards.
struct Visitor<'r, 'k> {
    round: &'r mut Round,
    connections: &'r [Option<Box<Connection>>],
    wall: UnixMillis,
    away: &'r mut Vec<usize>,
    /// Places in the log's queue for the shards that are placed.
    reserved: Option<&'r mut Reservation<'k>>,
    visits: &'r Histogram,
    /// The group whose commands are being run.
    running: Option<usize>,
    /// The group whose commands have run last: its shard may still be on its way back.
    ran: Option<usize>,
}

impl Visit<ShardState> for Visitor<'_, '_> {
    #[inline]
    fn shard(&self, group: usize) -> usize {
        self.round.groups.group(group).shard
    }

    #[inline]
    fn ops(&self, group: usize) -> usize {
        self.round.groups.group(group).members.len()
    }

    #[inline]
    fn touch(&mut self, group: usize, state: &ShardState) {
        let members = self.round.groups.group(group).members;
        let hashes = members
            .iter()
            .map(|&index| self.round.commands[index as usize].hash);
        hashes
            .clone()
            .for_each(|hash| state.keyspace.prefetch(hash));
        hashes.for_each(|hash| state.keyspace.touch(hash));
    }

    #[inline]
    fn run(&mut self, group: usize, loan: &mut Loan<ShardState, &Shared<ShardState>>) {
        (self.running, self.ran) = (Some(group), None);
        let connections = self.connections;
        if let Some(reserved) = &mut self.reserved
            && self.round.placed.contains(loan.index())
        {
            reserved.deposit(loan);
        }
        loan.change(|state| {
            state.begin(self.wall);
            run_members(self.round, group, state, |token| {
                connections[token].as_ref().map_or(&[][..], |c| &c.pending)
            });
            state.publish();
        });
        self.visits
            .note(self.round.groups.group(group).members.len() as u64);
        (self.running, self.ran) = (None, Some(group));
    }

    #[cold]
    fn away(&mut self, group: usize) {
        self.away.push(group);
    }
}

/// Runs one shard's commands in the order in which they stand in the round.
fn run_members<'c>(
    round: &mut Round,
    group: usize,
    state: &mut ShardState,
    pending: impl Fn(usize) -> &'c [u8],
) {
    let Round {
        arena,
        spans,
        commands,
        members,
        replies,
        groups,
        needs,
        steps,
        ..
    } = round;
    let kept = state.keyspace.is_kept();
    for &index in groups.group(group).members {
        let member = &mut members[commands[index as usize].member as usize];
        let has_too_much = member.reply_bytes > limits::PIPELINE_REPLY_BYTES_MAX
            && member.has_too_much(commands, replies);
        let command = &mut commands[index as usize];
        let input = match command.from {
            From::Arena => &arena[command.base..],
            From::Connection => &pending(member.token)[command.base..],
        };
        let start = replies.len();
        if has_too_much {
            member.has_too_much = true;
            errors::encode(errors::OUTPUT_LIMIT, &mut replies.bytes);
        } else {
            let item = command.item(input, spans, steps, member.client);
            fail_point::hit_at("batch.next", || item.as_ref().map_or(&[][..], Item::key));
            match item {
                Some(item) if kept => {
                    let number = run_kept(state, &item, replies);
                    note_needs(needs, index as usize, Needs::of(state.shard, number));
                }
                Some(item) => run_item(state, &item, replies),
                None => {}
            }
        }
        let end = replies.len();
        member.reply_bytes += replies.size_of(start, end);
        command.reply = Answer::Here { start, end };
    }
}

impl Command {
    /// The command with its arguments, `input` beginning where its request begins; `None` for one
    /// that was none of ours.
    pub(crate) fn item<'a>(
        &self,
        input: &'a [u8],
        spans: &'a [shardkeep_resp::Span],
        steps: &'a [Arc<TransactionStep>],
        client: u64,
    ) -> Option<Item<'a>> {
        let spec = self.id?.spec();
        let first = self.first_span as usize;
        let mut item = Item {
            spec,
            hash: self.hash,
            database: self.database.into(),
            args: Args::new(input, &spans[first..first + self.spans as usize]),
            protocol: self.protocol,
            client,
            step: None,
        };
        if self.spans == 0 {
            self.add_step(&mut item, steps);
        }
        Some(item)
    }

    #[cold]
    fn add_step<'a>(&self, item: &mut Item<'a>, steps: &'a [Arc<TransactionStep>]) {
        item.step = self.step(steps);
    }
}

impl Member {
    /// Whether its replies come to more than those of a pipeline may. One alone never does.
    #[cold]
    fn has_too_much(&self, commands: &[Command], replies: &Output) -> bool {
        let commands = commands[self.first..self.end].iter();
        let largest = commands.map(|command| command.reply.size(replies)).max();
        self.reply_bytes - largest.unwrap_or(0) > limits::PIPELINE_REPLY_BYTES_MAX
            || self.reply_bytes > REPLY_BYTES_MAX
    }
}

impl Round {
    /// Whether the commands of a group have still to be run.
    fn is_unanswered(&self, group: usize) -> bool {
        let first = self.groups.group(group).members[0] as usize;
        matches!(self.commands[first].reply, Answer::NotYet)
    }

    /// Whether one of the commands of a group has still to be run.
    fn is_unfinished(&self, group: usize) -> bool {
        let members = self.groups.group(group).members.iter();
        let mut replies = members.map(|&index| self.commands[index as usize].reply);
        replies.any(|reply| matches!(reply, Answer::NotYet))
    }

    /// Answers a command with an error, which shows nothing.
    pub(crate) fn answer(&mut self, index: usize, text: &str) {
        self.take_needs(index);
        let start = self.replies.len();
        errors::encode(text, &mut self.replies.bytes);
        self.commands[index].reply = Answer::Here {
            start,
            end: self.replies.len(),
        };
    }
}
