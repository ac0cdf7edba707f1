//! What one round of a reactor works on: the commands of all ready connections, and their replies.
//!
//! 1. The commands of one connection stand together, in the order in which it sent them.
//! 2. A command's bytes lie in the arena, or (large requests) in its connection's own buffer, until
//!    the round has ended.

use std::sync::Arc;

use shardkeep::engine::group::Groups;
use shardkeep_resp::{Protocol, Span};

use crate::engine::{Needs, ShardsWork, TransactionStep};
use crate::limits;
use crate::output::Output;
use shardkeep_data::commands::{CommandId, Flags};

/// One command of a round.
pub(crate) struct Command {
    /// `None` for one that is answered and was none of ours.
    pub(crate) id: Option<CommandId>,
    /// Its connection's place among those of the round.
    pub(crate) member: u32,
    pub(crate) from: From,
    /// Where its request begins there.
    pub(crate) base: usize,
    pub(crate) first_span: u32,
    pub(crate) spans: u32,
    pub(crate) hash: u64,
    /// The shard, or the number of shards for one that is answered already.
    pub(crate) shard: u32,
    pub(crate) protocol: Protocol,
    /// The database that was selected when it came.
    pub(crate) database: u16,
    pub(crate) reply: Answer,
}

/// Where the bytes of a request lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Arena,
    Connection,
}

/// What is known of a reply.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    NotYet,
    Here {
        start: usize,
        end: usize,
    },
    /// Its command travels to the shard.
    Travelling,
}

impl Answer {
    /// Bytes of it that are there, among `replies`.
    pub(crate) fn size(self, replies: &Output) -> usize {
        match self {
            Self::Here { start, end } => replies.size_of(start, end),
            Self::NotYet | Self::Travelling => 0,
        }
    }
}

/// One connection of a round.
pub(crate) struct Member {
    pub(crate) token: usize,
    /// Number of the connection.
    pub(crate) client: u64,
    pub(crate) first: usize,
    pub(crate) end: usize,
    pub(crate) reply_bytes: usize,
    /// Commands of it were refused for the size of the replies before them.
    pub(crate) has_too_much: bool,
    /// Commands of it that need one shard.
    pub(crate) sharded: usize,
    pub(crate) from: From,
    /// A command that is to be sent when all before it are answered.
    pub(crate) after: Option<Box<ShardsWork>>,
    /// Where its unconsumed bytes lie after decoding.
    pub(crate) rest: std::ops::Range<usize>,
}

/// A command over several shards that waits for those before it.
pub(crate) struct Held {
    pub(crate) index: usize,
    pub(crate) work: Box<ShardsWork>,
}

/// The shards that have a place in the log's queue.
pub(crate) struct Placed {
    is_placed: Vec<bool>,
    shards: Vec<usize>,
    /// Some of them have theirs for removals alone: there is no space for other writes.
    for_removals: bool,
}

impl Placed {
    fn new(shards: usize) -> Self {
        Self {
            is_placed: vec![false; shards],
            shards: Vec::new(),
            for_removals: false,
        }
    }

    /// Whether what is placed may be shared by a command that `only_removes`, or by any.
    #[inline]
    pub(crate) fn admits(&self, only_removes: bool) -> bool {
        only_removes || !self.for_removals
    }

    /// From now on the places are for removals alone.
    pub(crate) fn limit_to_removals(&mut self) {
        self.for_removals = true;
    }

    #[inline]
    pub(crate) fn contains(&self, shard: usize) -> bool {
        self.is_placed[shard]
    }

    pub(crate) fn insert(&mut self, shard: usize) {
        self.is_placed[shard] = true;
        self.shards.push(shard);
    }

    fn clear(&mut self) {
        self.for_removals = false;
        for shard in self.shards.drain(..) {
            self.is_placed[shard] = false;
        }
    }
}

pub(crate) struct Round {
    pub(crate) arena: Vec<u8>,
    pub(crate) arena_used: usize,
    /// What is read of a large request, on its way to the connection's own buffer.
    large: Vec<u8>,
    pub(crate) spans: Vec<Span>,
    pub(crate) commands: Vec<Command>,
    pub(crate) members: Vec<Member>,
    pub(crate) replies: Output,
    /// Replies of one connection, put in request order.
    pub(crate) gathered: Vec<u8>,
    pub(crate) groups: Groups,
    /// Commands that need a shard.
    pub(crate) sharded: usize,
    pub(crate) held: Vec<Held>,
    pub(crate) placed: Placed,
    /// Steps of transactions: a command without arguments has the place of its step, from 1, for its hash.
    pub(crate) steps: Vec<Arc<TransactionStep>>,
    /// Where the replies refuse a command, by shard, as far as any does.
    throttled: Vec<std::ops::Range<usize>>,
    /// What the replies need, by command, as far as any does.
    pub(crate) needs: Vec<Needs>,
}

/// As [`Round::note_needs`], while the rest of the round is in use.
pub(crate) fn note_needs(all: &mut Vec<Needs>, index: usize, needs: Needs) {
    if needs == Needs::Nothing {
        return;
    }
    if all.len() <= index {
        all.resize(index + 1, Needs::Nothing);
    }
    all[index] = needs;
}

impl Command {
    /// Whether it may have changed something; `steps` are those of its round.
    pub(crate) fn writes(&self, steps: &[Arc<TransactionStep>]) -> bool {
        let writes = |id: CommandId| id.spec().flags.contains(Flags::WRITE);
        self.id.is_some_and(writes) || self.step(steps).is_some_and(|step| step.writes())
    }

    /// What there is to do, where it is a step of a transaction.
    #[inline]
    pub(crate) fn step<'s>(
        &self,
        steps: &'s [Arc<TransactionStep>],
    ) -> Option<&'s Arc<TransactionStep>> {
        match self.spans {
            0 => steps.get((self.hash as usize).wrapping_sub(1)),
            _ => None,
        }
    }
}

impl Round {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            arena: vec![0; limits::ARENA_BYTES],
            arena_used: 0,
            large: Vec::new(),
            spans: Vec::new(),
            commands: Vec::new(),
            members: Vec::new(),
            replies: Output::default(),
            gathered: Vec::new(),
            groups: Groups::new(shards + 1),
            sharded: 0,
            held: Vec::new(),
            placed: Placed::new(shards),
            steps: Vec::new(),
            throttled: Vec::new(),
            needs: Vec::new(),
        }
    }

    /// Room for a read of a large request; made when the first one comes.
    pub(crate) fn large_input(&mut self) -> &mut [u8] {
        if self.large.is_empty() {
            self.large = vec![0; limits::LARGE_READ_BYTES];
        }
        &mut self.large
    }

    /// The reply of a command must not leave before this is durable.
    pub(crate) fn note_needs(&mut self, index: usize, needs: Needs) {
        note_needs(&mut self.needs, index, needs);
    }

    pub(crate) fn take_needs(&mut self, index: usize) -> Needs {
        self.needs
            .get_mut(index)
            .map_or(Needs::Nothing, std::mem::take)
    }

    /// Whether one of these commands' replies needs something.
    pub(crate) fn any_needs(&self, first: usize, end: usize) -> bool {
        let end = end.min(self.needs.len());
        first < end
            && self.needs[first..end]
                .iter()
                .any(|needs| *needs != Needs::Nothing)
    }

    /// Answers as another command of this round for `shard` was refused; a refusal then costs no more than
    /// to copy it. `false` if none was.
    pub(crate) fn repeat_throttled(&mut self, shard: usize) -> bool {
        let told = self.throttled.get(shard).cloned().unwrap_or(0..0);
        let is_told = !told.is_empty();
        self.replies.bytes.extend_from_within(told);
        is_told
    }

    /// The reply from `start` on refuses a command for `shard`.
    pub(crate) fn note_throttled(&mut self, shard: usize, start: usize) {
        if self.throttled.len() <= shard {
            self.throttled.resize(shard + 1, 0..0);
        }
        self.throttled[shard] = start..self.replies.len();
    }

    pub(crate) fn clear(&mut self) {
        self.throttled.clear();
        self.arena_used = 0;
        self.spans.clear();
        self.commands.clear();
        self.members.clear();
        self.replies.clear();
        self.gathered.clear();
        self.sharded = 0;
        self.held.clear();
        self.placed.clear();
        self.steps.clear();
        self.needs.clear();
        for buffer in [&mut self.replies.bytes, &mut self.gathered] {
            if buffer.capacity() > limits::ARENA_BYTES {
                buffer.shrink_to(limits::ARENA_BYTES);
            }
        }
        if self.spans.capacity() > limits::ARENA_BYTES {
            self.spans.shrink_to(limits::BUFFER_KEEP_BYTES);
        }
    }

    /// Whether another connection's input still fits.
    pub(crate) fn has_room(&self) -> bool {
        self.arena.len() - self.arena_used >= 2 * limits::READ_BYTES
    }
}
