//! Running the commands of a round: shard by shard, each borrowed once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shardkeep::engine::Borrowed;

use super::Reactor;
use super::round::{Answer, Command, From, Round};
use crate::clock;
use crate::command::Args;
use crate::engine::{Item, ShardState, run_item};
use crate::errors;
use crate::limits;

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
        let groups = self.round.groups.len();
        let mut away = Vec::new();
        for at in 0..groups {
            let group = (self.turn + at) % groups;
            if let Share::Away = self.run_group(group) {
                away.push(group);
            }
        }
        for _ in 0..TRIES_AFTER_THE_OTHERS {
            away.retain(|&group| matches!(self.run_group(group), Share::Away));
        }
        for group in away {
            self.send_group(group);
        }
        self.count();
        if let Some(began) = began {
            self.count_time(clock::now().saturating_duration_since(began));
        }
    }

    fn run_group(&mut self, group: usize) -> Share {
        let shard = self.round.groups.group(group).shard;
        if shard == self.context.routes.shards() {
            return Share::Done;
        }
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
                let round = &mut self.round;
                let connections = &self.connections;
                let ran = catch_unwind(AssertUnwindSafe(move || {
                    loan.change(|state| {
                        state.keyspace.set_now(wall);
                        run_members(round, group, state, |token| {
                            connections[token].as_ref().map_or(&[][..], |c| &c.pending)
                        });
                        state.publish();
                    });
                }));
                if ran.is_ok() {
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

    /// The command under way is lost; those behind it had not begun.
    fn shard_was_lost(&mut self, group: usize, shard: usize) {
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
                self.round.answer(index, text);
            }
        }
        self.stats.lost.add(1);
    }

    fn answer_group(&mut self, group: usize, text: &str) {
        for at in 0..self.round.groups.group(group).members.len() {
            let index = self.round.groups.group(group).members[at] as usize;
            self.round.answer(index, text);
        }
    }

    /// The time of one round in [`TIMED_ROUNDS`], shared out evenly, stands for all of them.
    fn count_time(&self, took: Duration) {
        let commands = &self.round.commands;
        let each = took.as_nanos() as u64 * TIMED_ROUNDS as u64 / commands.len().max(1) as u64;
        for id in commands.iter().filter_map(|command| command.id) {
            self.stats.command(id).nanos.add(each);
        }
    }

    fn count(&self) {
        for command in &self.round.commands {
            let Some(id) = command.id else { continue };
            let figures = self.stats.command(id);
            if let Answer::Here { start, .. } = command.reply
                && self.round.replies.get(start) == Some(&b'-')
            {
                figures.failed.add(1);
            }
        }
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
        ..
    } = round;
    if groups.group(group).members.len() > 1 {
        for &index in groups.group(group).members {
            state.keyspace.touch(commands[index as usize].hash);
        }
    }
    for &index in groups.group(group).members {
        let command = &mut commands[index as usize];
        let member = &mut members[command.member as usize];
        let input = match command.from {
            From::Arena => &arena[command.base..],
            From::Connection => &pending(member.token)[command.base..],
        };
        let start = replies.len();
        if member.reply_bytes > limits::OUTPUT_HARD_BYTES {
            errors::encode(errors::OUTPUT_LIMIT, replies);
        } else {
            if let Some(item) = command.item(input, spans) {
                run_item(state, &item, replies);
            }
        }
        let end = replies.len();
        member.reply_bytes += end - start;
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
    ) -> Option<Item<'a>> {
        let first = self.first_span as usize;
        Some(Item {
            spec: self.id?.spec(),
            hash: self.hash,
            args: Args::new(input, &spans[first..first + self.spans as usize]),
            protocol: self.protocol,
        })
    }
}

impl Round {
    /// Answers a command with an error.
    pub(crate) fn answer(&mut self, index: usize, text: &str) {
        let start = self.replies.len();
        errors::encode(text, &mut self.replies);
        self.commands[index].reply = Answer::Here {
            start,
            end: self.replies.len(),
        };
    }
}
