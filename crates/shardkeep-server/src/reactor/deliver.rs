//! Writing the replies of a round, in request order.

use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shardkeep::engine::fail_point;

use super::Reactor;
use super::away::Recipient;
use super::connection::{Connection, Late, Life, Slot, Stalled};
use super::held::Part;
use super::progress::Unread;
use super::round::{Answer, Command, From};
use crate::buffer;
use crate::clock;
use crate::limits;
use crate::output::{Output, PARTS};
use shardkeep_data::commands::Args;

/// A round that was shorter has nothing that is slow.
const MAY_BE_SLOW: Duration = Duration::from_millis(1);

/// A reply of this size is likely to be what has made its round slow: copying it takes 0.1 ms at least.
const LARGE_REPLY_BYTES: usize = 1 << 20;

impl Reactor {
    /// Delivers what the round has, and puts aside what it could not decode.
    pub(crate) fn deliver(&mut self) {
        self.count_failed();
        let mut next = 0;
        while next < self.round.members.len() {
            let delivered = catch_unwind(AssertUnwindSafe(|| {
                while next < self.round.members.len() {
                    next += 1;
                    self.keep_rest(next - 1);
                    self.deliver_member(next - 1);
                }
            }));
            if delivered.is_err() {
                // It costs the connection whose replies were being written, and no other.
                self.stats.panics.add(1);
                self.close(self.round.members[next - 1].token);
            }
        }
        self.count_latency();
        // A value is held by those alone that have yet to send it.
        self.round.replies.segments.clear();
        self.answer_turned_back();
    }

    /// Every reply of the round that left took as long: from the poll until now.
    fn count_latency(&self) {
        let commands = &self.round.commands;
        if commands.is_empty() {
            return;
        }
        let took = clock::now().saturating_duration_since(self.now);
        if took >= MAY_BE_SLOW {
            self.note_slow(took);
        }
        // Pipelines repeat themselves.
        for run in commands.chunk_by(|a, b| a.id == b.id) {
            if let Some(id) = run[0].id {
                self.stats.command(id).latency.note(took, run.len() as u64);
            }
        }
    }

    /// A value that is large when it is read was not timed by itself: the time of its round stands for it.
    #[cold]
    fn note_slow(&self, took: Duration) {
        let slow = &self.context.gauges.slow;
        let size = |command: &Command| command.reply.size(&self.round.replies);
        let largest = self
            .round
            .commands
            .iter()
            .max_by_key(|command| size(command));
        let Some(command) = largest.filter(|command| size(command) >= LARGE_REPLY_BYTES) else {
            return;
        };
        let Some(id) = command
            .id
            .filter(|id| !id.spec().is_heavy && !slow.times_all())
        else {
            return;
        };
        let first = command.first_span as usize;
        let args = match command.from {
            From::Arena => Args::new(
                &self.round.arena[command.base..],
                &self.round.spans[first..first + command.spans as usize],
            ),
            // Its bytes are not there any more.
            From::Connection => Args::new(&[], &[]),
        };
        let client = self.round.members[command.member as usize].client;
        slow.note(took, id.spec().name, args, client);
    }

    /// What was not consumed stays with the connection until the next round.
    fn keep_rest(&mut self, at: usize) {
        let member = &self.round.members[at];
        let Some(Some(connection)) = self.connections.get_mut(member.token) else {
            return;
        };
        match member.from {
            // Nothing more of it is decoded.
            _ if !connection.life.is_open() => connection.pending = Vec::new(),
            From::Arena => {
                if let Some(postponed) = connection.postponed.take() {
                    connection.keep_input(&postponed);
                }
                connection.keep_input(&self.round.arena[member.rest.clone()]);
            }
            From::Connection => {
                let postponed = connection.postponed.take().into_iter().flatten();
                drop(connection.pending.splice(..member.rest.start, postponed));
            }
        }
        connection.rest_input();
    }

    fn deliver_member(&mut self, at: usize) {
        let member = &self.round.members[at];
        let (token, first, end) = (member.token, member.first, member.end);
        fail_point::hit_at("reply.deliver", || client_name(member.client));
        if member.has_too_much
            && let Some(Some(connection)) = self.connections.get_mut(token)
        {
            connection.life = Life::Finishing;
        }
        if first == end {
            return self.after_delivery(token);
        }
        if self.waits_for_log(token, first, end) {
            return self.hold(at, token, first, end);
        }
        if !self.round.replies.segments.is_empty() {
            return self.deliver_shared(at);
        }
        match self.replies_in_one_piece(first, end) {
            Replies::Piece { start, end } => {
                let replies = std::mem::take(&mut self.round.replies.bytes);
                self.send(token, &replies[start..end]);
                self.round.replies.bytes = replies;
            }
            Replies::Scattered => {
                let mut gathered = std::mem::take(&mut self.round.gathered);
                gathered.clear();
                for command in &self.round.commands[first..end] {
                    if let Answer::Here { start, end } = command.reply {
                        gathered.extend_from_slice(&self.round.replies.bytes[start..end]);
                    }
                }
                self.send(token, &gathered);
                self.round.gathered = gathered;
            }
            Replies::Missing => return self.stall(at, token, first, end),
        }
        self.after_delivery(token);
    }

    /// Delivers the replies of a round in which a value is shared.
    #[cold]
    fn deliver_shared(&mut self, at: usize) {
        let member = &self.round.members[at];
        let (token, first, end) = (member.token, member.first, member.end);
        let commands = &self.round.commands[first..end];
        let is_missing = |command: &Command| !matches!(command.reply, Answer::Here { .. });
        if commands.iter().any(is_missing) {
            return self.stall(at, token, first, end);
        }
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        for command in commands {
            if let Answer::Here { start, end } = command.reply {
                let reply = self.round.replies.piece(start, end);
                self.stats.output_bytes.add(reply.size() as u64);
                connection.out.append(reply);
            }
        }
        if connection.held_back.is_none() {
            return self.flush(token);
        }
        self.note_output(token);
        self.after_delivery(token);
    }

    /// Whether a reply of these, or one before them, waits for the log.
    fn waits_for_log(&self, token: usize, first: usize, end: usize) -> bool {
        self.log.is_on
            && (self.round.any_needs(first, end)
                || self.connections[token]
                    .as_ref()
                    .is_some_and(|connection| !connection.held.is_empty()))
    }

    /// Delivers replies to leave when they may.
    fn hold(&mut self, at: usize, token: usize, first: usize, end: usize) {
        let commands = &self.round.commands[first..end];
        let is_missing = |command: &Command| !matches!(command.reply, Answer::Here { .. });
        if commands.iter().any(is_missing) {
            return self.stall(at, token, first, end);
        }
        let until = clock::later(self.now, self.context.runtime.deadline());
        for index in first..end {
            let needs = self.round.take_needs(index);
            let command = &mut self.round.commands[index];
            let Some(Some(connection)) = self.connections.get_mut(token) else {
                return;
            };
            if let Answer::Here { start, end } = command.reply {
                let reply = self.round.replies.piece(start, end);
                self.stats.output_bytes.add(reply.size() as u64);
                let part = Part {
                    bytes: end - start,
                    needs,
                    writes: command.writes(&self.round.steps),
                    until,
                    command: command.id,
                    since: self.now,
                };
                if connection.hold(reply, part).is_none() {
                    // Counted when it leaves.
                    command.id = None;
                }
            }
        }
        self.note_output(token);
        self.note_held(token);
        self.after_delivery(token);
    }

    fn replies_in_one_piece(&self, first: usize, end: usize) -> Replies {
        let commands = &self.round.commands[first..end];
        let mut piece: Option<(usize, usize)> = None;
        let mut scattered = false;
        for command in commands {
            let Answer::Here { start, end } = command.reply else {
                return Replies::Missing;
            };
            piece = match piece {
                None => Some((start, end)),
                Some((from, to)) => {
                    scattered |= to != start;
                    Some((from, end))
                }
            };
        }
        match piece {
            Some((start, end)) if !scattered => Replies::Piece { start, end },
            Some(_) | None => Replies::Scattered,
        }
    }

    fn stall(&mut self, at: usize, token: usize, first: usize, end: usize) {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        let after = self.round.members[at].after.take();
        let mut stalled = Stalled {
            slots: Vec::new(),
            replies: Output::default(),
            missing: 0,
            commands: Vec::new(),
            since: self.now,
            after,
        };
        for index in first..end {
            let needs = self.round.take_needs(index);
            let command = &mut self.round.commands[index];
            stalled.slots.push(match command.reply {
                Answer::Here { start, end } => {
                    let at = stalled.replies.len();
                    stalled.replies.append(self.round.replies.piece(start, end));
                    Slot::Here {
                        start: at,
                        end: stalled.replies.len(),
                        needs,
                        writes: command.writes(&self.round.steps),
                    }
                }
                Answer::NotYet | Answer::Travelling => {
                    stalled.missing += 1;
                    Slot::Missing
                }
            });
            // Counted when its reply leaves.
            stalled.commands.push(command.id.take());
        }
        connection.stalled = Some(Box::new(stalled));
    }

    /// A reply that was missing has come.
    pub(crate) fn fill_slot(&mut self, to: Recipient, reply: Late<'_>) {
        let Recipient {
            token,
            generation,
            slot,
        } = to;
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        if connection.generation != generation {
            return;
        }
        let Some(stalled) = &mut connection.stalled else {
            return;
        };
        if reply.reply.bytes.first() == Some(&b'-') {
            self.stats.note_told(&reply.reply.bytes[1..]);
            if let Some(&Some(id)) = stalled.commands.get(slot) {
                self.stats.command(id).failed.add(1);
            }
        }
        stalled.fill(slot, reply);
        if stalled.missing == 1
            && let Some(work) = stalled.after.take()
        {
            let slot = stalled.slots.len() - 1;
            return self.send_transaction(
                work,
                Recipient {
                    token,
                    generation,
                    slot,
                },
            );
        }
        if stalled.missing > 0 {
            return;
        }
        let Some(stalled) = connection.stalled.take() else {
            return;
        };
        let before = connection.out.size();
        let until = clock::later(self.now, self.context.runtime.deadline());
        let (stats, left_at) = (&self.stats, clock::now());
        stalled.replies(until, |reply, part| {
            if let Some(part) = connection.hold(reply, part) {
                stats.note_latency(part.command, part.since, left_at);
            }
        });
        let bytes = connection.out.size() - before;
        let holds = !connection.held.is_empty();
        self.stats.output_bytes.add(bytes as u64);
        if holds {
            self.note_output(token);
            self.note_held(token);
            self.after_delivery(token);
        } else {
            self.flush(token);
        }
    }

    /// Sends, or keeps what the socket does not take.
    pub(crate) fn send(&mut self, token: usize, bytes: &[u8]) {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        self.stats.output_bytes.add(bytes.len() as u64);
        let mut sent = 0;
        debug_assert!(connection.held.is_empty(), "a reply overtakes another");
        if connection.unsent() == 0 && connection.held_back.is_none() {
            match write_all(connection, bytes) {
                Ok(n) => sent = n,
                Err(_) => return self.broken(token),
            }
        }
        if sent < bytes.len() {
            connection.keep_output(&bytes[sent..]);
            self.note_output(token);
        }
    }

    /// Sends what is kept, as far as the socket takes it.
    pub(crate) fn flush(&mut self, token: usize) {
        let now = self.now;
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        if connection.held_back.is_some() {
            return;
        }
        match write_kept(connection) {
            Ok(n) => {
                if let Some(unread) = &mut connection.unread {
                    unread.give(n);
                }
                connection.active_at = if n > 0 { now } else { connection.active_at };
            }
            Err(_) => return self.broken(token),
        }
        if connection.unsent() == 0 {
            connection.sent = 0;
            connection.out.clear();
        } else if connection.sent > connection.out.len() / 2 {
            connection.out.cut(connection.sent);
            connection.sent = 0;
        }
        buffer::fit(&mut connection.out.bytes);
        self.note_output(token);
        self.after_delivery(token);
    }

    fn note_output(&mut self, token: usize) {
        let now = self.now;
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        let out = &connection.out;
        let shared = out.segments.held_bytes() + out.segments.bytes();
        let held = out.bytes.capacity() + shared + connection.held.held_bytes();
        let unsent = connection.unsent();
        connection.client.note_output(unsent, held);
        let unauthenticated = !connection.authenticated;
        if unsent > limits::OUTPUT_HARD_BYTES
            || unauthenticated && unsent > limits::UNAUTHENTICATED_BYTES
        {
            return self.close(token);
        }
        // Who has nothing to read yet is not the one that keeps us waiting. One that is to end is waited for
        // until it has read all.
        if connection.life.is_open() && (connection.may_read() || !connection.owes_reading()) {
            connection.unread = None;
        } else {
            connection
                .unread
                .get_or_insert_with(|| Box::new(Unread::new(now)));
            self.sweep_soon();
        }
    }

    fn broken(&mut self, token: usize) {
        self.close(token);
    }

    fn after_delivery(&mut self, token: usize) {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        if connection.held_back.is_some() {
            self.look_at_stranger(token);
        } else if connection.life == Life::Finishing {
            self.finish(token);
        } else {
            self.queue(token);
        }
    }
}

/// What a fail point at a client is named by.
pub(super) fn client_name(client: u64) -> String {
    format!("client={client}.")
}

enum Replies {
    Piece { start: usize, end: usize },
    Scattered,
    Missing,
}

/// Writes until all is written or the socket takes no more; says how much went out.
fn write_all(connection: &mut Connection, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match connection.stream.write(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => sent += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// As [`write_all`], of what the connection keeps and what may leave.
fn write_kept(connection: &mut Connection) -> io::Result<usize> {
    if !connection.out.segments.is_empty() {
        return write_shared(connection);
    }
    let (sent, free_end) = (connection.sent, connection.free_end());
    let out = std::mem::take(&mut connection.out.bytes);
    let written = write_all(connection, &out[sent..free_end]);
    connection.out.bytes = out;
    connection.sent += *written.as_ref().unwrap_or(&0);
    written
}

/// As [`write_kept`], with the values that stand in it.
#[cold]
fn write_shared(connection: &mut Connection) -> io::Result<usize> {
    let mut sent = 0;
    while connection.owes_reading() {
        let mut parts = [IoSlice::new(&[]); PARTS];
        let end = connection.free_end();
        let count = connection.out.parts(connection.sent, end, &mut parts);
        match connection.stream.write_vectored(&parts[..count]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                connection.sent = connection.out.advance(connection.sent, n);
                sent += n;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
