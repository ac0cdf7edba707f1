//! Commands that do not exist, or not with these arguments: what follows from them beside their error.
//!
//! 1. After a CLIENT REPLY OFF or SKIP that was refused the connection ends: every later reply would be
//!    taken for that of another command.
//! 2. Nothing of a request of a browser is run.
//!
//! No other command that is unknown here changes what those behind it do. Without SUBSCRIBE, MONITOR or
//! CLIENT TRACKING the client misses what it asked for, and gets an error; without ASKING or READONLY it is
//! served all the same, since all slots are here.

use super::Reactor;
use super::decode::{Flow, Stand};
use crate::errors;
use shardkeep_data::commands::{Args, CommandId, CommandSpec, Flags, lookup};

/// Whether this asks for fewer replies than commands.
fn silences(args: Args<'_>) -> bool {
    let is = |at, word: &[u8]| args.get(at).eq_ignore_ascii_case(word);
    args.len() == 3 && is(0, b"client") && is(1, b"reply") && (is(2, b"off") || is(2, b"skip"))
}

/// The first words of a browser, or of a page that makes one talk to the server: nothing of it must run.
fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}

impl Reactor {
    /// What follows from a command that does not exist, or not with these arguments; its error stands in
    /// the replies from `start` on.
    #[cold]
    pub(super) fn unresolved(&mut self, stand: Stand, args: Args<'_>, start: usize) -> Flow {
        if is_http(args.get(0)) {
            self.round.replies.truncate(start);
            return Flow::Hangup;
        }
        let found = lookup(args.get(0));
        self.unresolved_in_transaction(stand, found.map(|(_, spec)| spec), start);
        if let Some((id, _)) = found {
            self.stats.command(id).rejected.add(1);
        }
        self.answered(stand, None, start);
        if silences(args) {
            Flow::End
        } else {
            Flow::Next
        }
    }

    /// Refuses a command of a connection that has not logged in, or queues one of a transaction; `None` for one
    /// that runs all the same.
    #[cold]
    pub(super) fn by_standing(
        &mut self,
        stand: Stand,
        found: (CommandId, &'static CommandSpec),
        args: Args<'_>,
        start: usize,
    ) -> Option<Flow> {
        let (id, spec) = found;
        let Some(Some(connection)) = self.connections.get(stand.token) else {
            return Some(Flow::Hangup);
        };
        let is_queueing = connection.transaction.is_some();
        if !connection.authenticated && !spec.flags.contains(Flags::NO_AUTH) {
            return Some(self.reject(stand, id, start, errors::NO_AUTH));
        }
        if is_queueing {
            return self.in_transaction(stand, found, args, start);
        }
        None
    }
}
