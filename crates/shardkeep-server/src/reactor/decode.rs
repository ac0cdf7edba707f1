//! From bytes to commands: what can be answered at once is, the rest goes into the round.
//!
//! 1. Each byte is decoded once: quoted inline arguments are unescaped in place. But a request that is an
//!    array, and found no place in the log's queue, is decoded again where it stands.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shardkeep::engine::fail_point;
use shardkeep_resp::{Reply, Step};

use super::Reactor;
use super::connection::Life;
use super::log::request_again;
use super::progress::Progress;
use super::round::{Answer, Command, From, Member};
use crate::clock;
use crate::errors;
use crate::fault;
use crate::limits;
use shardkeep_data::commands::{
    Action, Args, CommandId, CommandSpec, ConnectionCommand, Flags, Group, RouteKind, cursor_shard,
    resolve,
};

/// What follows from a command for those behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    /// It is held or on its way: those behind it wait for its reply.
    Stall,
    /// It waits for a place in the log's queue, and is decoded again.
    Wait,
    /// The connection ends when everything is sent.
    End,
    /// The connection ends now, without a word.
    Hangup,
}

/// Where a command stands.
#[derive(Clone, Copy)]
pub(crate) struct Stand {
    pub(crate) token: usize,
    pub(super) member: usize,
    from: From,
    base: usize,
    first_span: usize,
}

/// Why decoding stopped.
struct Stop {
    at: usize,
    more: bool,
    end: bool,
    hangup: bool,
}

impl Reactor {
    /// Decodes `region` of the arena, or of the connection's own buffer. `ended` says that no more
    /// will come.
    pub(crate) fn decode(
        &mut self,
        token: usize,
        from: From,
        region: std::ops::Range<usize>,
        ended: bool,
    ) {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        let client = connection.client.id;
        let mut buffer = match from {
            From::Arena => std::mem::take(&mut self.round.arena),
            From::Connection => std::mem::take(&mut connection.pending),
        };
        let mut spans = std::mem::take(&mut self.round.spans);
        let first = self.round.commands.len();
        let member = Member {
            token,
            client,
            first,
            end: first,
            reply_bytes: 0,
            has_too_much: false,
            sharded: 0,
            after: None,
            from,
            rest: region.clone(),
        };
        self.round.members.push(member);
        let input = &mut buffer[..region.end];
        let stop = catch_unwind(AssertUnwindSafe(|| {
            fail_point::hit_at("reactor.decode", || &input[region.start..]);
            self.decode_all(token, from, input, region.start, &mut spans)
        }));
        let stop = stop.unwrap_or_else(|_| {
            self.stats.panics.add(1);
            // What it has sent before is answered; then it is closed, and it alone.
            Stop {
                at: region.end,
                more: false,
                end: false,
                hangup: true,
            }
        });
        self.round.spans = spans;
        match from {
            From::Arena => self.round.arena = buffer,
            From::Connection => {
                if let Some(Some(connection)) = self.connections.get_mut(token) {
                    connection.pending = buffer;
                }
            }
        }
        self.after_decoding(token, first, stop.at..region.end, &stop, ended);
    }

    fn decode_all(
        &mut self,
        token: usize,
        from: From,
        input: &mut [u8],
        start: usize,
        spans: &mut Vec<shardkeep_resp::Span>,
    ) -> Stop {
        let member = self.round.members.len() - 1;
        let first = self.round.commands.len();
        let mut stop = Stop {
            at: start,
            more: false,
            end: false,
            hangup: false,
        };
        while self.round.commands.len() - first < limits::ROUND_COMMANDS_MAX
            && self.round.members[member].reply_bytes <= limits::OUTPUT_SOFT_BYTES
        {
            let Some(Some(connection)) = self.connections.get_mut(token) else {
                return stop;
            };
            let first_span = spans.len();
            let consumed = match connection.decoder.decode(&mut input[stop.at..], spans) {
                Ok(Step::Request { consumed }) => consumed,
                Ok(Step::NeedMore { more }) => {
                    fault::announced(more);
                    return stop;
                }
                Err(error) => {
                    let protocol = connection.protocol;
                    let stand = Stand {
                        token,
                        member,
                        from,
                        base: stop.at,
                        first_span,
                    };
                    let reply = self.round.replies.len();
                    Reply::new(&mut self.round.replies.bytes, protocol).protocol_error(error);
                    self.stats.protocol_errors.add(1);
                    self.answered(stand, None, reply);
                    stop.end = true;
                    return stop;
                }
            };
            let base = stop.at;
            stop.at += consumed;
            if spans.len() == first_span {
                continue;
            }
            let args = Args::new(&input[base..stop.at], &spans[first_span..]);
            let stand = Stand {
                token,
                member,
                from,
                base,
                first_span,
            };
            match self.dispatch(stand, args) {
                Flow::Next => {}
                Flow::Stall => {
                    stop.more = true;
                    return stop;
                }
                Flow::Wait => {
                    stop.more = true;
                    if input[base] == b'*' {
                        stop.at = base;
                    } else if let Some(Some(connection)) = self.connections.get_mut(token) {
                        let again = request_again(&input[base..stop.at], &spans[first_span..]);
                        connection.postponed = Some(again);
                    }
                    spans.truncate(first_span);
                    return stop;
                }
                Flow::End => {
                    stop.end = true;
                    return stop;
                }
                Flow::Hangup => {
                    stop.hangup = true;
                    return stop;
                }
            }
        }
        stop.more = true;
        stop
    }

    fn after_decoding(
        &mut self,
        token: usize,
        first: usize,
        rest: std::ops::Range<usize>,
        stop: &Stop,
        ended: bool,
    ) {
        let commands = self.round.commands.len();
        let last_command = self.round.commands.last().and_then(|command| command.id);
        if let Some(member) = self.round.members.last_mut() {
            member.end = commands;
            member.rest = rest.clone();
        }
        let now = self.now;
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        connection.more = stop.more;
        if stop.hangup {
            connection.life = Life::Finishing;
            connection.peer_done = true;
        } else if stop.end || ended && !stop.more {
            connection.life = Life::Finishing;
        }
        if commands > first {
            self.stats.commands.add((commands - first) as u64);
            connection.active_at = now;
            connection.client.note(now, last_command);
        }
        if rest.is_empty() || stop.more {
            connection.frame = None;
        } else {
            // A new request has begun behind the last whole one.
            if commands > first {
                connection.frame = None;
            }
            let frame = connection.frame.get_or_insert_with(|| Progress::new(now));
            frame.reach(rest.len() as u64, now);
            if !connection.authenticated && rest.len() > limits::UNAUTHENTICATED_BYTES {
                connection.life = Life::Finishing;
            }
            self.sweep_soon();
        }
    }

    fn dispatch(&mut self, stand: Stand, args: Args<'_>) -> Flow {
        let Some(Some(connection)) = self.connections.get(stand.token) else {
            return Flow::Hangup;
        };
        let protocol = connection.protocol;
        let is_free = connection.authenticated & connection.transaction.is_none();
        let start = self.round.replies.len();
        let Some((id, spec)) = resolve(
            args,
            &mut Reply::new(&mut self.round.replies.bytes, protocol),
        ) else {
            return self.unresolved(stand, args, start);
        };
        if !is_free && let Some(flow) = self.by_standing(stand, (id, spec), args, start) {
            return flow;
        }
        if self.loading && !spec.flags.contains(Flags::LOADING) {
            if self.context.is_loading() {
                return self.reject(stand, id, start, errors::LOADING);
            }
            self.loading = false;
        }
        if let Action::Connection(command) = spec.action {
            match command {
                ConnectionCommand::Save => return self.save(stand, id),
                ConnectionCommand::Exec => return self.exec(stand, id, args),
                ConnectionCommand::Watch => return self.watch(stand, id, args),
                _ => {}
            }
            self.stats.command(id).calls.add(1);
            let flow = self.connection_command_timed(stand.token, spec, command, args);
            self.answered(stand, Some(id), start);
            return flow;
        }
        if self.refusing_since.is_some() {
            self.stats.refused_draining.add(1);
            return self.reject(stand, id, start, errors::DRAINING);
        }
        if spec.flags.contains(Flags::DENYOOM) && self.context.is_out_of_memory() {
            return self.reject(stand, id, start, errors::OUT_OF_MEMORY);
        }
        if let Some(text) = self.refuse_write(spec, args) {
            return self.reject(stand, id, start, &text);
        }
        self.route(stand, id, spec, args)
    }

    /// As [`Reactor::connection_command`]; those that look at the whole server are noted where they are
    /// slow, and where that is asked for all others, except those that carry a password.
    pub(super) fn connection_command_timed(
        &mut self,
        token: usize,
        spec: &CommandSpec,
        command: ConnectionCommand,
        args: Args<'_>,
    ) -> Flow {
        let slow = &self.context.gauges.slow;
        let is_timed =
            spec.group == Group::Server || slow.times_all() && !spec.flags.contains(Flags::NO_AUTH);
        let client = self.connections.get(token).and_then(Option::as_ref);
        let Some(client) = client.filter(|_| is_timed).map(|one| one.client.id) else {
            return self.connection_command(token, command, args);
        };
        let began = clock::now();
        let flow = self.connection_command(token, command, args);
        let took = clock::now().saturating_duration_since(began);
        let slow = &self.context.gauges.slow;
        slow.note(took, spec.name, args, client);
        flow
    }

    fn route(
        &mut self,
        stand: Stand,
        id: CommandId,
        spec: &'static CommandSpec,
        args: Args<'_>,
    ) -> Flow {
        let routes = &self.context.routes;
        let last = routes.shards() - 1;
        match spec.route {
            RouteKind::FirstKey => {
                let hash = routes.hash(args.get(spec.first_key as usize));
                let shard = routes.shard(hash);
                self.push(stand, id, args, hash, shard)
            }
            RouteKind::AllKeys => {
                let mut shards = std::mem::take(&mut self.wanted);
                shards.clear();
                shards.extend(spec.keys.of(args).map(|key| routes.shard(routes.hash(key))));
                shards.sort_unstable();
                shards.dedup();
                let flow = match shards[..] {
                    // Arguments that name no key: the command itself says what is wrong with them.
                    [] => self.push(stand, id, args, 0, 0),
                    [shard] => self.push(stand, id, args, 0, shard),
                    [..] => self.run_many(stand, id, spec, args, &shards),
                };
                self.wanted = shards;
                flow
            }
            RouteKind::WholeStore => self.run_range(stand, id, spec, args, 0),
            RouteKind::Cursor => {
                let shard = cursor_shard(args.get(1)).min(last);
                self.run_range(stand, id, spec, args, shard)
            }
            RouteKind::None => unreachable!("commands without a route run on the connection"),
        }
    }

    /// Adds a command for one shard to the round.
    fn push(
        &mut self,
        stand: Stand,
        id: CommandId,
        args: Args<'_>,
        hash: u64,
        shard: usize,
    ) -> Flow {
        if self.is_too_late(stand.token) || self.is_stuck(stand.token, shard) {
            return self.throttle_one(stand, id, shard);
        }
        if self.log.is_on
            && id.spec().flags.contains(Flags::WRITE)
            && let Some(flow) = self.take_place(stand, id, Some(shard), id.spec().only_removes)
        {
            return flow;
        }
        self.stats.command(id).calls.add(1);
        self.round.sharded += 1;
        self.round.members[stand.member].sharded += 1;
        self.add(stand, Some(id), args.len(), hash, shard, Answer::NotYet);
        Flow::Next
    }

    /// Whether what a client has sent has waited longer than it wanted it to.
    #[inline]
    pub(super) fn is_too_late(&self, token: usize) -> bool {
        let connection = self.connections.get(token).and_then(Option::as_ref);
        connection
            .and_then(|connection| connection.begins_until())
            .is_some_and(|until| until < self.round_at)
    }

    /// Whether a shard was not to be had for as long as this client waits, and is not back yet: everything
    /// behind its command would wait with it, for no better answer.
    #[inline]
    pub(super) fn is_stuck(&self, token: usize, shard: usize) -> bool {
        self.away.stuck_since(shard).is_some_and(|since| {
            let connection = self.connections.get(token).and_then(Option::as_ref);
            let patience = connection.and_then(|connection| connection.patience);
            let deadline = self.context.runtime.deadline();
            let waited = self.round_at.saturating_duration_since(since);
            waited >= patience.unwrap_or(deadline).min(deadline)
        })
    }

    /// Refuses a command that is too late, or whose shard is stuck.
    #[cold]
    pub(super) fn throttle_one(&mut self, stand: Stand, id: CommandId, shard: usize) -> Flow {
        self.stats.throttled.add(1);
        self.stats.command(id).rejected.add(1);
        let start = self.round.replies.len();
        if !self.round.repeat_throttled(shard) {
            let depth = self.context.keep.depth(shard);
            let text = errors::throttled(shard, depth, self.stats.service());
            errors::encode(&text, &mut self.round.replies.bytes);
            self.round.note_throttled(shard, start);
        }
        self.answered(stand, None, start)
    }

    pub(super) fn reject(&mut self, stand: Stand, id: CommandId, start: usize, text: &str) -> Flow {
        self.stats.command(id).rejected.add(1);
        self.stats.note_told(text.as_bytes());
        errors::encode(text, &mut self.round.replies.bytes);
        self.answered(stand, None, start)
    }

    /// A command whose reply is there already, from `start` on.
    pub(super) fn answered(&mut self, stand: Stand, id: Option<CommandId>, start: usize) -> Flow {
        let end = self.round.replies.len();
        self.round.members[stand.member].reply_bytes += self.round.replies.size_of(start, end);
        let none = self.context.routes.shards();
        self.add(stand, id, 0, 0, none, Answer::Here { start, end });
        Flow::Next
    }

    pub(super) fn add(
        &mut self,
        stand: Stand,
        id: Option<CommandId>,
        spans: usize,
        hash: u64,
        shard: usize,
        reply: Answer,
    ) {
        let (protocol, database) = match self.connections.get(stand.token) {
            Some(Some(connection)) => (connection.protocol, connection.database),
            Some(None) | None => (shardkeep_resp::Protocol::Resp2, 0),
        };
        self.round.commands.push(Command {
            id,
            member: stand.member as u32,
            from: stand.from,
            base: stand.base,
            first_span: stand.first_span as u32,
            spans: spans as u32,
            hash,
            shard: shard as u32,
            protocol,
            database,
            reply,
        });
    }
}
