//! Replies that wait for the log: they stand in the connection's output already, behind what may leave.
//!
//! 1. `out[sent..free_end()]` may leave; the rest of `out` is the bytes of `held.parts`, in order, with the values that stand in them.
//! 2. Replies leave in request order: behind one that waits everything waits.
//! 3. A reply that cannot leave becomes an error, in its place.

use std::collections::VecDeque;
use std::time::Instant;

use super::connection::Connection;
use crate::engine::Needs;
use crate::errors;
use crate::output::Piece;
use shardkeep_data::commands::CommandId;

/// Replies of which a connection keeps room for, when none waits.
const PARTS_KEPT: usize = 16;

/// What is known of one reply beside its bytes.
pub(crate) struct Part {
    pub(crate) bytes: usize,
    pub(crate) needs: Needs,
    /// Whether its command may have changed something.
    pub(crate) writes: bool,
    /// When it becomes an error, if the log stands still then.
    pub(crate) until: Instant,
    /// Which command it answers, and when that arrived.
    pub(crate) command: Option<CommandId>,
    pub(crate) since: Instant,
}

/// The replies of one connection that wait.
#[derive(Default)]
pub(crate) struct Held {
    parts: VecDeque<Part>,
    bytes: usize,
}

/// What becomes of a reply.
pub(crate) enum Verdict {
    Leaves,
    Waits,
    /// It becomes this error.
    Fails(String),
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.parts.capacity() * size_of::<Part>()
    }

    /// Gives back what a burst of replies needed.
    fn rest(&mut self) {
        if self.parts.is_empty() && self.parts.capacity() > PARTS_KEPT {
            self.parts = VecDeque::new();
        }
    }

    /// Bytes that it takes beside those of the replies.
    pub(crate) fn overhead(&self) -> usize {
        self.parts.len() * size_of::<Part>()
    }

    /// When the first of them becomes an error, if the log stands still then.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.parts.front().map(|part| part.until)
    }
}

impl Connection {
    /// Where what may leave ends in `out`.
    pub(crate) fn free_end(&self) -> usize {
        self.out.len() - self.held.bytes
    }

    /// Adds a reply, to leave when it may. `Some` is one that may leave at once.
    pub(crate) fn hold(&mut self, reply: Piece<'_>, part: Part) -> Option<Part> {
        self.out.append(reply);
        if self.held.is_empty() && part.needs == Needs::Nothing {
            return Some(part);
        }
        self.held.bytes += part.bytes;
        self.held.parts.push_back(part);
        None
    }

    /// Lets leave what may, and turns into errors what never will. Gives how many
    /// of those are *lost*.
    pub(crate) fn release(&mut self, judge: impl Fn(&Part) -> Verdict) -> u64 {
        while let Some(part) = self.held.parts.front() {
            match judge(part) {
                Verdict::Leaves => {
                    self.held.bytes -= part.bytes;
                    self.held.parts.pop_front();
                }
                Verdict::Waits => return 0,
                Verdict::Fails(_) => return self.release_with_errors(judge),
            }
        }
        self.held.rest();
        0
    }

    /// As [`Connection::release`], where replies change their length.
    #[cold]
    fn release_with_errors(&mut self, judge: impl Fn(&Part) -> Verdict) -> u64 {
        let tail = self.out.split_off(self.free_end());
        let (mut at, mut lost) = (0, 0);
        while let Some(part) = self.held.parts.front() {
            let end = at + part.bytes;
            match judge(part) {
                Verdict::Leaves => self.out.append(tail.piece(at, end)),
                Verdict::Waits => break,
                Verdict::Fails(text) => {
                    errors::encode(&text, &mut self.out.bytes);
                    lost += u64::from(text.starts_with("LOST"));
                }
            }
            at = end;
            self.held.parts.pop_front();
        }
        self.out.append(tail.piece(at, tail.len()));
        self.held.bytes = tail.len() - at;
        lost
    }
}
