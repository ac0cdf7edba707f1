//! One client: its socket, what it has sent and not yet had served, what it has not yet read.
//!
//! 1. `pending` begins at the start of a request.
//! 2. While `stalled` is set nothing more is decoded: replies leave in request order.
//! 3. `out[sent..]` is what the socket would not take, or what waits for the log; while it is longer
//!    than the soft limit nothing is read.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use shardkeep_resp::{Decoder, Limits, Protocol};

use super::backlog::Backlog;
use super::held::{Held, Part};
use super::progress::{Progress, Unread};
use super::stream::Stream;
use super::transaction::OpenTransaction;
use crate::buffer;
use crate::clients::Client;
use crate::clock;
use crate::engine::{Needs, ShardsWork, Watching};
use crate::fault::{Fault, is_planted};
use crate::limits;
use crate::output::{Output, Piece};
use shardkeep_data::commands::CommandId;

pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) client: Arc<Client>,
    pub(crate) decoder: Decoder,
    pub(crate) protocol: Protocol,
    /// The database that its commands work on.
    pub(crate) database: u16,
    pub(crate) authenticated: bool,
    /// What it has queued since MULTI.
    pub(crate) transaction: Option<Box<OpenTransaction>>,
    /// The keys that it watches.
    pub(crate) watching: Option<Box<Watching>>,
    pub(crate) pending: Vec<u8>,
    pub(crate) out: Output,
    pub(crate) sent: usize,
    /// The replies at the end of `out` that wait for the log.
    pub(crate) held: Held,
    /// The reactor knows that it has some.
    pub(crate) is_holding: bool,
    /// It stopped at a write, because the log's queue had no place.
    pub(crate) waits_for_place: bool,
    /// Since when its writes find none.
    pub(crate) placeless_since: Option<Instant>,
    /// That write, where it cannot be decoded again where it stood.
    pub(crate) postponed: Option<Vec<u8>>,
    pub(crate) stalled: Option<Box<Stalled>>,
    pub(crate) life: Life,
    /// The socket may have more to read.
    pub(crate) readable: bool,
    /// Whole requests may be waiting in `pending`.
    pub(crate) more: bool,
    /// The peer has said that nothing more will come.
    pub(crate) peer_done: bool,
    /// It stands in the reactor's list of those with something to do.
    pub(crate) queued: bool,
    pub(crate) active_at: Instant,
    /// By when the last bytes that were read had arrived, as far as that is known.
    pub(crate) arrived_at: Instant,
    pub(crate) backlog: Backlog,
    /// How long its commands may wait before they begin, if it has said so.
    pub(crate) patience: Option<Duration>,
    /// The request that has begun and is not whole.
    pub(crate) frame: Option<Progress>,
    /// Replies that it must read before it is served again, or before it ends.
    pub(crate) unread: Option<Box<Unread>>,
    /// Since when the password is asked of it; `None` when it is not.
    pub(crate) login_since: Option<Instant>,
    /// The answer to a login is late.
    pub(crate) held_back: Option<HeldBack>,
    /// Tells two connections in one place apart.
    pub(crate) generation: u32,
}

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is served.
    Open,
    /// Nothing more is decoded; what is pending is sent, then it ends.
    Finishing,
    /// All is sent and the end announced; until then what the peer still sends is thrown away.
    Lingering(Instant),
}

/// A login whose answer is late, be the password right or wrong.
pub(crate) struct HeldBack {
    /// Nothing is sent, and nothing more decoded, before this.
    pub(crate) until: Instant,
    /// The password was wrong.
    pub(crate) has_failed: bool,
    /// It was not logged in before.
    pub(crate) is_stranger: bool,
}

/// A round whose replies are not all there: some of its commands are on their way.
pub(crate) struct Stalled {
    pub(crate) slots: Vec<Slot>,
    pub(crate) replies: Output,
    pub(crate) missing: usize,
    /// Which commands they answer, and when these arrived.
    pub(crate) commands: Vec<Option<CommandId>>,
    pub(crate) since: Instant,
    /// The last command of the round, to be sent when it alone is missing.
    pub(crate) after: Option<Box<ShardsWork>>,
}

/// Where one reply of a stalled round is.
pub(crate) enum Slot {
    Here {
        start: usize,
        end: usize,
        needs: Needs,
        writes: bool,
    },
    Missing,
}

/// A reply that comes after its round.
pub(crate) struct Late<'r> {
    pub(crate) reply: Piece<'r>,
    pub(crate) needs: Needs,
    /// Whether its command may have changed something.
    pub(crate) writes: bool,
}

impl<'r> Late<'r> {
    /// One that shows nothing of what is kept.
    pub(crate) fn free(bytes: &'r [u8]) -> Self {
        Self {
            reply: bytes.into(),
            needs: Needs::Nothing,
            writes: false,
        }
    }
}

impl Stalled {
    /// Fills a missing reply.
    pub(crate) fn fill(&mut self, at: usize, reply: Late<'_>) {
        let Some(slot @ Slot::Missing) = self.slots.get_mut(at) else {
            return;
        };
        let start = self.replies.len();
        self.replies.append(reply.reply);
        *slot = Slot::Here {
            start,
            end: self.replies.len(),
            needs: reply.needs,
            writes: reply.writes,
        };
        self.missing -= 1;
    }

    /// All replies, in order, each to become an error at `until`.
    pub(crate) fn replies(self, until: Instant, mut each: impl FnMut(Piece<'_>, Part)) {
        for (slot, command) in self.slots.into_iter().zip(self.commands) {
            match slot {
                Slot::Here {
                    start,
                    end,
                    needs,
                    writes,
                } => each(
                    self.replies.piece(start, end),
                    Part {
                        bytes: end - start,
                        needs,
                        writes,
                        until,
                        command,
                        since: self.since,
                    },
                ),
                Slot::Missing => unreachable!("gathered before the last reply had come"),
            }
        }
    }
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        client: Arc<Client>,
        authenticated: bool,
        generation: u32,
        now: Instant,
    ) -> Self {
        let limits = if authenticated {
            Limits::default()
        } else {
            Limits::unauthenticated()
        };
        Self {
            stream,
            client,
            decoder: Decoder::new(limits),
            protocol: Protocol::Resp2,
            database: 0,
            authenticated,
            transaction: None,
            watching: None,
            pending: Vec::new(),
            out: Output::default(),
            sent: 0,
            held: Held::default(),
            is_holding: false,
            waits_for_place: false,
            placeless_since: None,
            postponed: None,
            stalled: None,
            life: Life::Open,
            readable: false,
            more: false,
            peer_done: false,
            queued: false,
            active_at: now,
            arrived_at: now,
            backlog: Backlog::default(),
            patience: None,
            frame: None,
            unread: None,
            login_since: None,
            held_back: None,
            generation,
        }
    }

    /// Selects a database: of those that the store has, which are no more than 65,536.
    pub(crate) fn select(&mut self, database: u32) {
        self.database = u16::try_from(database).unwrap_or(u16::MAX);
        self.client.database.store(self.database, Relaxed);
    }

    pub(crate) fn authenticate(&mut self) {
        self.authenticated = true;
        self.login_since = None;
        self.decoder.set_limits(Limits::default());
    }

    pub(crate) fn forget_authentication(&mut self, now: Instant) {
        self.authenticated = false;
        self.login_since.get_or_insert(now);
        self.decoder.set_limits(Limits::unauthenticated());
    }

    /// Adds bytes of requests that wait to be decoded.
    pub(super) fn keep_input(&mut self, bytes: &[u8]) {
        buffer::append(&mut self.pending, bytes);
    }

    /// Adds bytes that wait to be sent.
    pub(super) fn keep_output(&mut self, bytes: &[u8]) {
        buffer::append(&mut self.out.bytes, bytes);
    }

    /// The round has taken its requests: gives back what is not needed for what is left of them, and tells
    /// what that takes.
    #[inline]
    pub(super) fn rest_input(&mut self) {
        buffer::fit(&mut self.pending);
        let held = self.pending.capacity() + self.decoder.held_bytes();
        self.client.note_input(self.pending.len(), held);
    }

    /// When a command that has arrived and not begun is refused, if the client has said so.
    pub(crate) fn begins_until(&self) -> Option<Instant> {
        let patience = self.patience?;
        Some(clock::later(self.arrived_at, patience))
    }

    pub(crate) fn unsent(&self) -> usize {
        self.out.size() - self.sent
    }

    /// Whether the peer has something to read that the kernel had no room for.
    pub(crate) fn owes_reading(&self) -> bool {
        self.sent < self.free_end()
    }

    /// Looks how far the peer has got with what it keeps us waiting with.
    pub(crate) fn look_at_peer(&mut self, now: Instant) {
        let awaits_frame = self.may_decode() && !self.readable;
        if let Some(frame) = self.frame.as_mut().filter(|_| !awaits_frame) {
            // A client whose bytes wait for us is not the one that keeps us waiting.
            frame.pause(now);
        }
        let owes_reading = self.owes_reading();
        if let Some(unread) = &mut self.unread {
            if owes_reading {
                unread.look(self.stream.untaken(), now);
            } else {
                unread.progress.pause(now);
            }
        }
    }

    /// Whether it is a stranger that waits for nothing but the late answer to its login.
    pub(crate) fn is_kept_waiting(&self) -> bool {
        self.held_back
            .as_ref()
            .is_some_and(|held_back| held_back.is_stranger)
            && self.stalled.is_none()
            && self.held.is_empty()
    }

    /// Whether there may be something to read, and everything read before has been decoded.
    pub(crate) fn wants_input(&self) -> bool {
        !self.more && (self.readable || self.peer_done)
    }

    /// Whether it may be given more replies to hold.
    pub(crate) fn may_read(&self) -> bool {
        is_planted(Fault::UnreadRepliesUnbounded)
            || self.unsent() + self.held.overhead() <= limits::OUTPUT_SOFT_BYTES
    }

    /// Whether nothing keeps it from being decoded.
    pub(crate) fn may_decode(&self) -> bool {
        self.stalled.is_none()
            && !self.waits_for_place
            && self.held_back.is_none()
            && self.may_read()
    }

    /// Whether a round could do something for it.
    pub(crate) fn has_work(&self) -> bool {
        self.may_decode()
            && match self.life {
                Life::Open => self.readable || self.peer_done || self.more,
                Life::Finishing => self.unsent() == 0,
                Life::Lingering(_) => self.readable,
            }
    }
}
