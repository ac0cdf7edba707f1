//! Commands for one shard that travel to it, and come back with their replies.
//!
//! 1. Everything a work needs is its own: argument bytes are copied in, replies come back inside, and
//!    the buffers are used again for the next.
//! 2. One claim decides between the reactor that gives up and the holder that begins.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::{Duration, Instant};

use shardkeep::engine::fail_point;
use shardkeep::engine::{Deadline, Outcome, Work};
use shardkeep_resp::{Protocol, Span};

use super::kept::run_kept;
use super::port::{Reply, ReplyPort};
use super::run::{Item, run_item};
use super::{Needs, Places, ShardState, TransactionStep};
use crate::clock;
use crate::output::{Output, Piece};
use crate::{errors, limits};
use shardkeep_data::commands::{Args, CommandSpec, Flags};

const QUEUED: u8 = 0;
const BEGUN: u8 = 1;
const ABANDONED: u8 = 2;

/// Who came first: the reactor that gives up, or the holder that begins.
#[derive(Default)]
pub(crate) struct Claim(AtomicU8);

impl Claim {
    pub(crate) fn begin(&self) -> bool {
        self.0
            .compare_exchange(QUEUED, BEGUN, AcqRel, Acquire)
            .is_ok()
    }

    /// `true`: it will not begin. `false`: it has begun.
    pub(crate) fn abandon(&self) -> bool {
        self.0
            .compare_exchange(QUEUED, ABANDONED, AcqRel, Acquire)
            .is_ok()
    }
}

/// One command inside of a work.
pub(crate) struct Entry {
    pub(crate) spec: &'static CommandSpec,
    pub(crate) hash: u64,
    database: u32,
    pub(crate) protocol: Protocol,
    client: u64,
    /// It is refused if it has not begun by then.
    until: Option<Instant>,
    first_span: usize,
    spans: usize,
    step: Option<Arc<TransactionStep>>,
}

impl Entry {
    /// Whether it may change something.
    pub(crate) fn writes(&self) -> bool {
        self.spec.flags.contains(Flags::WRITE)
            || self.step.as_ref().is_some_and(|step| step.writes())
    }
}

/// Commands for one shard, with their buffers and their reply address.
pub(crate) struct ShardWork {
    pub(crate) shard: usize,
    pub(crate) entries: Vec<Entry>,
    bytes: Vec<u8>,
    spans: Vec<Span>,
    pub(crate) replies: Output,
    /// Where each reply ends; as many as entries when the work was done.
    pub(crate) reply_ends: Vec<usize>,
    /// The batch of the log that each reply needs; empty where none does.
    needs: Vec<u64>,
    /// The place in the log's queue of one that writes, until it is sent.
    pub(crate) places: Option<Places>,
    pub(crate) deadline: Deadline,
    pub(crate) claim: Arc<Claim>,
    pub(crate) outcome: Outcome,
    writes: bool,
    port: Arc<ReplyPort>,
}

impl ShardWork {
    pub(crate) fn new(shard: usize, deadline: Deadline, port: Arc<ReplyPort>) -> Box<Self> {
        Box::new(Self {
            shard,
            entries: Vec::new(),
            bytes: Vec::new(),
            spans: Vec::new(),
            replies: Output::default(),
            reply_ends: Vec::new(),
            needs: Vec::new(),
            places: None,
            deadline,
            claim: Arc::new(Claim::default()),
            outcome: Outcome::Done,
            writes: false,
            port,
        })
    }

    /// Makes a work that has come back ready for the next trip.
    pub(crate) fn reset(&mut self, shard: usize, deadline: Deadline) {
        self.shard = shard;
        self.deadline = deadline;
        self.entries.clear();
        self.bytes.clear();
        self.spans.clear();
        self.replies.clear();
        self.reply_ends.clear();
        self.needs.clear();
        self.places = None;
        self.writes = false;
        self.outcome = Outcome::Done;
        match Arc::get_mut(&mut self.claim) {
            Some(claim) => *claim = Claim::default(),
            None => self.claim = Arc::new(Claim::default()),
        }
    }

    /// Bytes its buffers hold on to.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.replies.bytes.capacity()
    }

    /// Whether a command may be added to those that wait.
    pub(crate) fn has_room_for(&self, item: &Item<'_>) -> bool {
        let bytes: usize = item.args.iter_from(0).map(<[u8]>::len).sum();
        self.entries.is_empty() || self.bytes.len() + bytes <= limits::WORK_BYTES_MAX
    }

    /// Copies a command in; returns its place.
    pub(crate) fn push(&mut self, item: &Item<'_>, until: Option<Instant>) -> usize {
        let first_span = self.spans.len();
        for arg in item.args.iter_from(0) {
            // `has_room_for` keeps both well below 4 GiB.
            let (start, len) = (self.bytes.len() as u32, arg.len() as u32);
            self.spans.push(Span { start, len });
            self.bytes.extend_from_slice(arg);
        }
        self.entries.push(Entry {
            spec: item.spec,
            hash: item.hash,
            database: item.database,
            protocol: item.protocol,
            client: item.client,
            until,
            first_span,
            spans: item.args.len(),
            step: item.step.cloned(),
        });
        let at = self.entries.len() - 1;
        self.writes |= self.entries[at].writes();
        at
    }

    /// Runs every command. Also used by a reactor that gets the shard in hand after all.
    pub(crate) fn run_on(&mut self, state: &mut ShardState) {
        // The present, not when it was sent: a time to live begins when the entry is there.
        state.begin(clock::unix_millis());
        let kept = state.keyspace.is_kept();
        for entry in &self.entries {
            let spans = &self.spans[entry.first_span..entry.first_span + entry.spans];
            let item = Item {
                spec: entry.spec,
                hash: entry.hash,
                database: entry.database,
                args: Args::new(&self.bytes, spans),
                protocol: entry.protocol,
                client: entry.client,
                step: entry.step.as_ref(),
            };
            fail_point::hit_at("batch.next", || item.key());
            let mut needs = 0;
            let is_late = entry.until.is_some_and(|until| until < clock::now());
            if is_late || self.has_replies_enough() {
                errors::encode(
                    &errors::throttled(self.shard, 0, Duration::ZERO),
                    &mut self.replies.bytes,
                );
            } else if kept {
                needs = run_kept(state, &item, &mut self.replies);
            } else {
                run_item(state, &item, &mut self.replies);
            }
            if kept {
                self.needs.push(needs);
            }
            self.reply_ends.push(self.replies.len());
        }
        state.publish();
    }

    /// Whether the replies come to more than a work may bring back. One alone never does.
    fn has_replies_enough(&self) -> bool {
        let has_many = self.replies.size() > limits::WORK_REPLY_BYTES_MAX;
        has_many && {
            let sizes = (0..self.reply_ends.len()).map(|at| self.reply(at).size());
            let largest = sizes.max().unwrap_or(0);
            self.replies.size() - largest > limits::WORK_REPLY_BYTES_MAX
        }
    }

    /// The reply of the `at`-th command, if the work was done.
    pub(crate) fn reply(&self, at: usize) -> Piece<'_> {
        let start = if at == 0 { 0 } else { self.reply_ends[at - 1] };
        self.replies.piece(start, self.reply_ends[at])
    }

    /// What must be durable before that reply may leave.
    pub(crate) fn needs(&self, at: usize) -> Needs {
        Needs::of(self.shard, self.needs.get(at).copied().unwrap_or(0))
    }

    /// Whether one of its commands writes.
    pub(crate) fn writes(&self) -> bool {
        self.writes
    }
}

impl Work<ShardState> for Box<ShardWork> {
    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn begin(&mut self) -> bool {
        self.claim.begin()
    }

    fn run(&mut self, state: &mut ShardState) {
        self.run_on(state);
    }

    fn settle(mut self, outcome: Outcome) {
        self.outcome = outcome;
        let port = Arc::clone(&self.port);
        port.send(Reply::Shard(self));
    }

    fn is_write(&self) -> bool {
        self.writes
    }
}
