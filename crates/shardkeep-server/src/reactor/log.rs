//! What a reactor has to do with the log: places for its writes, commits, and replies that wait.
//!
//! 1. A place is taken before a write is decoded into the round; without one the connection stops at that
//!    write, and goes on when there may be some, or is refused by its deadline. The others go on.
//! 2. What a tick has written is committed, or the committer woken, when the tick ends.
//! 3. No lost wake-up. A reactor with replies that wait registers for the next sync, *then* looks what is
//!    durable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::AcqRel;
use std::time::Instant;

use shardkeep::engine::{Refused, Wake, fail_point};
use shardkeep_resp::Span;

use super::Reactor;
use super::decode::{Flow, Stand};
use super::deliver::client_name;
use super::held::Verdict;
use super::lending::Lending;
use crate::clock;
use crate::config::{Commit, Sync};
use crate::context::Context;
use crate::engine::{Places, ReplyPort, Reservation, ServerKeep};
use crate::{errors, limits};
use shardkeep_data::commands::{Args, CommandId, CommandSpec, Flags};

/// Rung when there may be places in the log's queue.
struct Bell {
    port: Arc<ReplyPort>,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(&self) {
        self.rung.store(true, std::sync::atomic::Ordering::Release);
        self.port.ring();
    }
}

pub(crate) struct LogSide {
    /// Whether there is a log at all.
    pub(crate) is_on: bool,
    /// Whether this reactor may sync itself.
    commits: bool,
    /// Places for the shards of the round, and what is left of them.
    pub(crate) places: Places,
    bell: Arc<Bell>,
    place_wake: Arc<dyn Wake>,
    sync_wake: Arc<dyn Wake>,
    /// Connections that stopped for want of a place.
    placeless: Vec<usize>,
    placeless_until: Option<Instant>,
    /// Connections with replies that wait.
    holding: Vec<usize>,
    held_until: Option<Instant>,
    lending: Lending,
    /// Something was written in this tick.
    pub(crate) wrote: bool,
}

impl LogSide {
    pub(crate) fn new(context: &Context, port: &Arc<ReplyPort>) -> Self {
        let settings = &context.settings;
        let bell = Arc::new(Bell {
            port: Arc::clone(port),
            rung: AtomicBool::new(false),
        });
        Self {
            is_on: settings.dir.is_some(),
            commits: settings.sync == Sync::Always && settings.commit == Commit::Auto,
            places: context.keep.no_places(),
            place_wake: Arc::clone(&bell) as Arc<dyn Wake>,
            bell,
            sync_wake: Arc::clone(port) as Arc<dyn Wake>,
            placeless: Vec::new(),
            placeless_until: None,
            holding: Vec::new(),
            held_until: None,
            lending: Lending::default(),
            wrote: false,
        }
    }

    /// When something is to be done although nobody rings.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.placeless_until
            .into_iter()
            .chain(self.held_until)
            .min()
    }
}

impl Reactor {
    /// What can be said of a write before it is routed. A key that is there already, however it came, can
    /// always be removed, and its time changed: that makes no entry larger.
    #[inline(always)]
    pub(super) fn refuse_write(&self, spec: &CommandSpec, args: Args<'_>) -> Option<String> {
        match self.log.is_on && spec.flags.contains(Flags::WRITE) {
            true => refuse_long_keys(spec, args),
            false => None,
        }
    }

    /// Takes a place for one more write: on shard `shard`, or over several. `Some` says what follows from
    /// having none.
    pub(super) fn take_place(
        &mut self,
        stand: Stand,
        id: CommandId,
        shard: Option<usize>,
        only_removes: bool,
    ) -> Option<Flow> {
        if shard.is_some_and(|shard| self.round.placed.contains(shard))
            && self.round.placed.admits(only_removes)
        {
            return None;
        }
        let start = self.round.replies.len();
        let mut taken = self.log.places.try_take(&self.log.place_wake);
        if only_removes && taken == Err(Refused::LogHasNoSpace) {
            // What removes without naming keys removes everything, unless it is a transaction.
            let spec = id.spec();
            let clears = spec.keys.is_none() && spec.flags.contains(Flags::WRITE);
            taken = match shard.is_none() && clears {
                true => self.log.places.try_take_for_clear(&self.log.place_wake),
                false => self.log.places.try_take_for_removal(&self.log.place_wake),
            };
            if taken.is_ok() {
                self.round.placed.limit_to_removals();
            }
        }
        match taken {
            Ok(()) => {
                if let Some(shard) = shard {
                    self.round.placed.insert(shard);
                }
                self.log.wrote = true;
                if let Some(Some(connection)) = self.connections.get_mut(stand.token) {
                    connection.placeless_since = None;
                }
                None
            }
            Err(Refused::LogFull { .. } | Refused::WalkBehind { .. })
                if self.waits_for_place(stand.token) =>
            {
                Some(Flow::Wait)
            }
            Err(refused) => {
                let why = self.context.keep.log_refuses().map(|(_, why)| why);
                let text = errors::log_refusal(&refused, &why.unwrap_or_default());
                Some(self.reject(stand, id, start, &text))
            }
        }
    }

    /// Stops a connection until there may be a place; `false` when it has waited long enough.
    fn waits_for_place(&mut self, token: usize) -> bool {
        let now = self.now;
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return false;
        };
        let since = *connection.placeless_since.get_or_insert(now);
        let latest = clock::later(since, self.context.runtime.deadline());
        let until = (connection.begins_until()).map_or(latest, |until| until.min(latest));
        if until <= now || self.refusing_since.is_some() {
            return false;
        }
        connection.waits_for_place = true;
        self.log.placeless.push(token);
        let earliest = self.log.placeless_until.get_or_insert(until);
        *earliest = until.min(*earliest);
        true
    }

    /// Lets those try again that stopped for want of a place, if there may be some, or their time is up.
    pub(super) fn look_for_places(&mut self) {
        if self.log.placeless.is_empty() {
            return;
        }
        let is_rung = self.log.bell.rung.swap(false, AcqRel);
        if is_rung || self.log.placeless_until.is_some_and(|at| at <= self.now) {
            self.retry_placeless();
        }
    }

    pub(super) fn retry_placeless(&mut self) {
        self.log.placeless_until = None;
        for token in std::mem::take(&mut self.log.placeless) {
            if let Some(Some(connection)) = self.connections.get_mut(token) {
                connection.waits_for_place = false;
                self.queue(token);
            }
        }
    }

    /// The places that no write of the round has used go back.
    pub(super) fn give_places_back(&mut self) {
        let count = self.log.places.count();
        if count > 0 {
            self.context
                .keep
                .reserve_from(&mut self.log.places, count)
                .leave();
        }
    }

    /// After a tick: what it has written is committed, and what is durable leaves.
    pub(super) fn finish_tick(&mut self) {
        if !self.log.is_on {
            return;
        }
        if std::mem::take(&mut self.log.wrote) {
            self.commit();
        }
        self.release();
    }

    fn commit(&mut self) {
        let keep = &self.context.keep;
        let here = self.log.commits && !self.log.holding.is_empty() && {
            if let Some(stats) = keep.log_stats() {
                self.log.lending.note(stats.syncs, stats.sync_time);
            }
            self.log.lending.is_short()
        };
        if !here {
            return keep.wake_committer();
        }
        // What could panic in there fails the log, which is told to everybody who waits.
        drop(catch_unwind(AssertUnwindSafe(|| keep.commit())));
    }

    /// From now on the replies of a connection are looked after.
    pub(super) fn note_held(&mut self, token: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(token)
            && !connection.is_holding
        {
            connection.is_holding = true;
            self.log.holding.push(token);
        }
    }

    /// Sends the replies that may leave by now.
    pub(super) fn release(&mut self) {
        if self.log.holding.is_empty() {
            return;
        }
        let context = Arc::clone(&self.context);
        let keep = &context.keep;
        keep.await_sync(&self.log.sync_wake);
        // The condition first: what was durable before the log failed is durable.
        let has_failed = matches!(keep.log_refuses(), Some((Refused::LogFailed, _)));
        let left_at = clock::now();
        let mut still = Vec::new();
        self.log.held_until = None;
        let holding = std::mem::take(&mut self.log.holding);
        let mut next = 0;
        while next < holding.len() {
            let released = catch_unwind(AssertUnwindSafe(|| {
                while next < holding.len() {
                    next += 1;
                    if self.release_one(holding[next - 1], keep, has_failed, left_at) {
                        still.push(holding[next - 1]);
                    }
                }
            }));
            if released.is_err() {
                // It costs the connection whose replies were leaving, and no other.
                self.stats.panics.add(1);
                self.close(holding[next - 1]);
            }
        }
        // Nothing new was held meanwhile: replies are delivered in rounds.
        self.log.holding.append(&mut still);
    }

    /// Sends the replies of one connection that may leave by now; says whether others wait.
    fn release_one(
        &mut self,
        token: usize,
        keep: &ServerKeep,
        has_failed: bool,
        left_at: Instant,
    ) -> bool {
        let (now, stats) = (self.now, Arc::clone(&self.stats));
        // As long as the log gets on, what waits for it waits.
        let patient_until =
            (keep.log_progress()).map(|last| clock::later(last, self.context.runtime.deadline()));
        let ends = |until: Instant| patient_until.map_or(until, |patient| patient.max(until));
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return false;
        };
        fail_point::hit_at("reply.release", || client_name(connection.client.id));
        let lost = connection.release(|part| match part.needs.unmet(keep) {
            None => {
                stats.note_latency(part.command, part.since, left_at);
                Verdict::Leaves
            }
            Some(shard) if has_failed => {
                Verdict::Fails(errors::not_durable_for_ever(shard, part.writes))
            }
            Some(shard) if ends(part.until) <= now => {
                Verdict::Fails(errors::not_durable_in_time(shard, part.writes))
            }
            Some(_) => Verdict::Waits,
        });
        self.stats.lost.add(lost);
        let until = connection.held.deadline().map(ends);
        connection.is_holding = until.is_some();
        if let Some(until) = until {
            let earliest = self.log.held_until.get_or_insert(until);
            *earliest = until.min(*earliest);
        }
        if connection.sent < connection.free_end() {
            self.flush(token);
        }
        until.is_some()
    }
}

#[inline(never)]
fn refuse_long_keys(spec: &CommandSpec, args: Args<'_>) -> Option<String> {
    let is_long = |key: &[u8]| key.len() > limits::LOGGED_KEY_BYTES_MAX;
    let may_write_long = spec.keys.of(args).any(is_long);
    (may_write_long && spec.written_keys(args).any(is_long)).then(errors::key_too_long)
}

/// Gives back what nobody has used; the end of the tick sees to what was queued.
pub(super) fn leave(reserved: Option<Reservation<'_>>) {
    if let Some(reserved) = reserved {
        reserved.leave();
    }
}

/// A request as an array, for one that was decoded and must be decoded again: its own bytes may have been
/// unescaped in place.
pub(super) fn request_again(input: &[u8], spans: &[Span]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", spans.len()).into_bytes();
    for span in spans {
        let arg = span.of(input);
        request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        request.extend_from_slice(arg);
        request.extend_from_slice(b"\r\n");
    }
    request
}
