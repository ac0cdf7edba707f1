//! A reactor: one thread, its sockets, and the shards it borrows.
//!
//! It reads what its clients have sent, groups the commands of all of them by shard, borrows each
//! shard once, runs its commands and writes the replies in request order. It never waits for a
//! shard: what it cannot borrow gets mail, and the reactor goes on with other connections.
//!
//! 1. One blocking call: the poll. It ends by a socket, by the reply port's waker, or by the next
//!    duty.
//! 2. At most one work is out for each shard; later commands for the same shard wait here, packed into the
//!    next work. So mailboxes keep one place for each reactor, and the reply port one for each shard. Commands
//!    over several shards that are out have places of their own.
//! 3. Replies of one connection leave in request order; while some are missing nothing more of it is
//!    decoded.
//! 4. With a log: no write runs without a place for its effects, and no reply leaves that shows what is
//!    not durable where that was promised.

mod accept;
mod away;
mod backlog;
mod connection;
mod decode;
mod deliver;
mod execute;
mod fill;
mod held;
mod lending;
mod log;
mod many;
mod openers;
mod progress;
mod round;
mod save;
#[cfg(target_os = "linux")]
mod socket;
mod stream;
mod sweep;
mod transaction;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use mio::{Events, Poll, Token};
use shardkeep::engine::fail_point;
use shardkeep::engine::watch::Pulse;
use shardkeep::table::UnixMillis;

pub(crate) use accept::{Acceptor, Door, Listener, is_passing};
use away::{Away, Recipient};
use connection::Life;
pub(crate) use connection::{Connection, HeldBack};
pub(crate) use decode::Flow;
use log::LogSide;
use round::Round;
pub(crate) use stream::Stream;

use crate::clients::Client;
use crate::clock;
use crate::context::Context;
use crate::engine::ReplyPort;
use crate::limits;
use crate::stats::ReactorStats;

/// The token of the reply port's waker; connections take those below.
pub(crate) const WAKER: Token = Token(usize::MAX);

/// A new connection on its way to its reactor.
pub(crate) struct Arrival {
    pub(crate) stream: Stream,
    pub(crate) client: Arc<Client>,
}

pub(crate) struct Reactor {
    pub(crate) context: Arc<Context>,
    pub(crate) stats: Arc<ReactorStats>,
    pub(crate) port: Arc<ReplyPort>,
    pub(crate) arrivals: Receiver<Arrival>,
    pub(crate) poll: Poll,
    pub(crate) connections: Vec<Option<Box<Connection>>>,
    pub(crate) free: Vec<usize>,
    pub(crate) generations: u32,
    /// Connections with something to do.
    pub(crate) ready: Vec<usize>,
    /// Those whose turn it is in this round.
    turns: Vec<usize>,
    /// The groups of a round in the order of their visit, and those whose shard was away.
    order: Vec<usize>,
    away_groups: Vec<usize>,
    /// Shards of the command being routed.
    pub(crate) wanted: Vec<usize>,
    pub(crate) round: Round,
    pub(crate) away: Away,
    pub(crate) log: LogSide,
    /// The store was still being recovered when this was last looked at.
    loading: bool,
    /// Who waits for a snapshot.
    saving: Option<Recipient>,
    pub(crate) now: Instant,
    /// When this round began; `now` is when the sockets were looked at.
    pub(crate) round_at: Instant,
    /// Expiry time when this round began.
    pub(crate) wall: UnixMillis,
    pub(crate) sweep_at: Option<Instant>,
    pub(crate) drain_until: Option<Instant>,
    /// Draining, and what had arrived before is served; since when.
    pub(crate) refusing_since: Option<Instant>,
    /// How many clients had been killed when this last looked.
    kills: u64,
    /// Rotates where a round begins with its shards.
    pub(crate) turn: usize,
    pub(crate) pulse: Pulse,
}

impl Reactor {
    pub(crate) fn new(
        context: Arc<Context>,
        stats: Arc<ReactorStats>,
        port: Arc<ReplyPort>,
        arrivals: Receiver<Arrival>,
        poll: Poll,
        number: usize,
    ) -> Self {
        let shards = context.routes.shards();
        let log = LogSide::new(&context, &port);
        Self {
            loading: context.is_loading(),
            context,
            stats,
            port,
            arrivals,
            poll,
            connections: Vec::new(),
            free: Vec::new(),
            generations: 0,
            ready: Vec::new(),
            turns: Vec::new(),
            order: Vec::new(),
            away_groups: Vec::new(),
            wanted: Vec::new(),
            round: Round::new(shards),
            away: Away::new(shards),
            log,
            saving: None,
            now: clock::now(),
            round_at: clock::now(),
            wall: clock::unix_millis(),
            sweep_at: None,
            drain_until: None,
            refusing_since: None,
            kills: 0,
            turn: number * 7,
            pulse: Pulse::default(),
        }
    }

    /// Runs until the server drains.
    ///
    /// # Errors
    /// When the poll itself fails, which leaves nothing to go on with.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(limits::EVENTS_MAX);
        loop {
            self.pulse.work();
            fail_point::hit("reactor.tick");
            self.port.answer();
            self.take_arrivals();
            self.end_killed();
            self.take_replies();
            self.look_for_places();
            self.release();
            if self.is_drained() {
                // Who has ended does not stall.
                self.pulse.rest();
                return Ok(());
            }
            let timeout = self.poll_timeout();
            self.pulse.rest();
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B34: events, a wake, or the next duty"
            )]
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.pulse.work();
            self.now = clock::now();
            self.wall = clock::unix_millis();
            for event in &events {
                if event.token() != WAKER {
                    self.note(event);
                }
            }
            self.work();
            self.sweep();
        }
    }

    fn poll_timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || !self.port.may_sleep() {
            return Some(Duration::ZERO);
        }
        let duty = [
            self.sweep_at,
            self.away.next_deadline(),
            self.log.next_deadline(),
            self.drain_until,
        ];
        let next = duty.into_iter().flatten().min()?;
        Some(
            next.saturating_duration_since(clock::now())
                .max(Duration::from_millis(1)),
        )
    }

    fn note(&mut self, event: &mio::event::Event) {
        let Token(token) = event.token();
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            connection.readable = true;
            connection.peer_done |= event.is_read_closed() || event.is_error();
        }
        if connection.held_back.is_some() {
            return self.look_at_stranger(token);
        }
        if event.is_writable() && connection.unsent() > 0 {
            self.flush(token);
        }
        self.queue(token);
    }

    /// Puts a connection in the list of those with something to do, once.
    pub(crate) fn queue(&mut self, token: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(token)
            && !connection.queued
            && connection.has_work()
        {
            connection.queued = true;
            self.ready.push(token);
        }
    }

    /// Works on whoever is ready.
    fn work(&mut self) {
        self.work_in_rounds();
        self.finish_tick();
    }

    /// A panic in here, outside of a shard, costs the connections of the round and nothing else.
    fn work_in_rounds(&mut self) {
        for at in 0..limits::ROUNDS_MAX {
            if self.ready.is_empty() {
                return;
            }
            // One round alone is begun as soon as the sockets were looked at.
            self.round_at = if at == 0 { self.now } else { clock::now() };
            if at > 0 {
                self.wall = clock::unix_millis();
            }
            if catch_unwind(AssertUnwindSafe(|| self.round())).is_err() {
                self.recover();
            }
        }
    }

    /// After a panic outside of a round: closes every connection, and goes on with new ones. What is
    /// out by mail comes back, and is for nobody then.
    pub(crate) fn begin_again(&mut self) {
        self.recover();
        for token in 0..self.connections.len() {
            self.close(token);
        }
        self.ready.clear();
        self.turns.clear();
    }

    /// After a panic outside of a shard: nobody can tell how far the round came.
    fn recover(&mut self) {
        self.stats.panics.add(1);
        let round = std::mem::replace(&mut self.round, Round::new(self.context.routes.shards()));
        for member in round.members {
            self.close(member.token);
        }
        self.ready.clear();
        self.turns.clear();
        self.give_places_back();
        for token in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[token] {
                connection.queued = false;
                self.queue(token);
            }
        }
    }

    fn round(&mut self) {
        self.round.clear();
        // Two lists change places, so that neither is ever allocated anew.
        std::mem::swap(&mut self.ready, &mut self.turns);
        for at in 0..self.turns.len() {
            let token = self.turns[at];
            if self.round.has_room() {
                self.fill(token);
            } else {
                self.ready.push(token);
            }
        }
        self.turns.clear();
        fail_point::hit("reactor.round");
        self.execute();
        self.run_held();
        self.give_places_back();
        self.deliver();
    }

    /// Closes the connections that somebody has asked to end.
    fn end_killed(&mut self) {
        let kills = self.context.clients.kills();
        if std::mem::replace(&mut self.kills, kills) == kills {
            return;
        }
        for token in 0..self.connections.len() {
            let connection = self.connections[token].as_ref();
            if connection.is_some_and(|connection| connection.client.is_killed()) {
                self.close(token);
            }
        }
    }

    fn take_arrivals(&mut self) {
        while let Ok(arrival) = self.arrivals.try_recv() {
            self.welcome(arrival);
        }
    }

    fn welcome(&mut self, arrival: Arrival) {
        let Arrival { mut stream, client } = arrival;
        client.settle(&self.port);
        if client.is_killed() {
            return self.context.clients.leave(client.id);
        }
        let token = self.free.pop().unwrap_or(self.connections.len());
        let registered = stream.register(self.poll.registry(), Token(token));
        if token == self.connections.len() {
            self.connections.push(None);
        }
        if registered.is_err() {
            self.context.clients.leave(client.id);
            self.free.push(token);
            return;
        }
        self.generations = self.generations.wrapping_add(1);
        let open = self.context.password.is_none();
        let mut connection = Connection::new(stream, client, open, self.generations, self.now);
        connection.login_since = (!open).then_some(self.now);
        self.connections[token] = Some(Box::new(connection));
        self.stats.connections.add(1);
        if self.sweep_at.is_none() {
            self.sweep_at = Some(self.now + limits::SWEEP_INTERVAL);
        }
        // What arrived before the registration shows up as an event; nothing to do now.
    }

    pub(crate) fn close(&mut self, token: usize) {
        let Some(place) = self.connections.get_mut(token) else {
            return;
        };
        let Some(mut connection) = place.take() else {
            return;
        };
        connection.stream.deregister(self.poll.registry());
        self.context.clients.leave(connection.client.id);
        self.free.push(token);
        self.stats.connections.sub(1);
    }

    fn is_drained(&mut self) -> bool {
        let Some(cap) = self.context.draining() else {
            return false;
        };
        if self.drain_until.is_none() {
            self.drain_until = Some(cap);
            self.begin_drain();
        }
        if clock::now() >= cap {
            for token in 0..self.connections.len() {
                if let Some(connection) = &self.connections[token] {
                    let owed = connection.unsent() > 0
                        || connection.stalled.is_some()
                        || connection.more && connection.life.is_open();
                    self.stats.cut_off.add(u64::from(owed));
                }
                self.close(token);
            }
        }
        self.free.len() == self.connections.len() && !self.away.has_out()
    }

    /// Serves what has arrived up to now, and says goodbye: commands that come later are refused.
    fn begin_drain(&mut self) {
        if let Some(persistence) = &self.context.persistence {
            // Whoever waits for a snapshot is told that there will be none.
            persistence.stop();
        }
        for token in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[token] {
                connection.readable = true;
                self.queue(token);
            }
        }
        self.now = clock::now();
        self.wall = clock::unix_millis();
        self.work();
        self.refusing_since = Some(self.now);
        self.retry_placeless();
        self.sweep_at = Some(self.now);
    }
}

impl Life {
    pub(crate) fn is_open(self) -> bool {
        self == Self::Open
    }
}
