//! Commands that open something, where their refusal would make what follows mean something else.
//!
//! 1. After a MULTI that was refused nothing runs before EXEC or DISCARD, which are refused with the rest:
//!    whatever the client meant to be one transaction is applied as a whole or, here, not at all. RESET and
//!    QUIT end it as they end a transaction of Redis; EXEC and DISCARD with arguments, which are errors there,
//!    do not.
//! 2. After a CLIENT REPLY OFF or SKIP that was refused the connection ends: every later reply would be
//!    taken for that of another command.
//!
//! No other command that is unknown here changes what those behind it do. Without SUBSCRIBE, MONITOR or
//! CLIENT TRACKING the client misses what it asked for, and is told so; without ASKING or READONLY it is
//! served all the same, since all slots are here; scripts and WATCH alone are refused as a whole.

use super::Reactor;
use super::decode::{Flow, Stand};
use crate::errors;
use shardkeep_data::commands::{
    Action, Args, CommandId, CommandSpec, ConnectionCommand, Flags, lookup,
};

/// A command that opens a transaction, stands in one in particular, or ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Multi,
    Exec,
    Discard,
    Watch,
    /// EXEC or DISCARD with arguments: an error, and the transaction stays open.
    Excess(&'static str),
    Other,
}

impl Word {
    fn of(args: Args<'_>) -> Self {
        let known = [
            (Self::Multi, &b"multi"[..]),
            (Self::Exec, b"exec"),
            (Self::Discard, b"discard"),
            (Self::Watch, b"watch"),
        ];
        let name = args.get(0);
        let known = known
            .into_iter()
            .find(|(_, word)| name.eq_ignore_ascii_case(word));
        match known.map_or(Self::Other, |(word, _)| word) {
            Self::Exec if args.len() > 1 => Self::Excess(errors::EXEC_ARITY),
            Self::Discard if args.len() > 1 => Self::Excess(errors::DISCARD_ARITY),
            word => word,
        }
    }
}

/// The reply to a command behind a refused MULTI, and whether the transaction ends with it.
fn behind_multi(word: Word) -> (&'static str, bool) {
    match word {
        Word::Exec => (errors::EXEC_REFUSED, true),
        Word::Discard => (errors::DISCARD_REFUSED, true),
        Word::Multi => (errors::MULTI_NESTED, false),
        Word::Watch => (errors::WATCH_INSIDE, false),
        Word::Excess(text) => (text, false),
        Word::Other => (errors::BEHIND_MULTI, false),
    }
}

/// Whether this asks for fewer replies than commands.
fn silences(args: Args<'_>) -> bool {
    let is = |at, word: &[u8]| args.get(at).eq_ignore_ascii_case(word);
    args.len() == 3 && is(0, b"client") && is(1, b"reply") && (is(2, b"off") || is(2, b"skip"))
}

/// The first words of a browser, or of somebody who makes one talk to us: nothing of it must run.
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
        let Some(Some(connection)) = self.connections.get_mut(stand.token) else {
            return Flow::Hangup;
        };
        if connection.multi_refused {
            let (text, ends) = behind_multi(Word::of(args));
            connection.multi_refused = !ends;
            self.round.replies.truncate(start);
            errors::encode(text, &mut self.round.replies.bytes);
        } else {
            connection.multi_refused = Word::of(args) == Word::Multi;
        }
        if let Some((id, _)) = lookup(args.get(0)) {
            self.stats.command(id).rejected.add(1);
        }
        self.answered(stand, None, start);
        if silences(args) {
            Flow::End
        } else {
            Flow::Next
        }
    }

    /// Refuses a command of a connection that has not logged in, or has been refused MULTI; `None` for one
    /// that runs all the same.
    #[cold]
    pub(super) fn refuse_by_standing(
        &mut self,
        stand: Stand,
        (id, spec): (CommandId, &CommandSpec),
        start: usize,
    ) -> Option<Flow> {
        let Some(Some(connection)) = self.connections.get(stand.token) else {
            return Some(Flow::Hangup);
        };
        if connection.multi_refused {
            return match spec.action {
                Action::Connection(ConnectionCommand::Quit | ConnectionCommand::Reset) => None,
                Action::Connection(_)
                | Action::Shard(_)
                | Action::Shards(_)
                | Action::Container => Some(self.reject(stand, id, start, errors::BEHIND_MULTI)),
            };
        }
        let needs_login = !connection.authenticated && !spec.flags.contains(Flags::NO_AUTH);
        needs_login.then(|| self.reject(stand, id, start, errors::NO_AUTH))
    }
}
