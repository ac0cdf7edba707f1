//! Transactions of a connection: from MULTI to EXEC, and the keys that it watches.
//!
//! Commands are queued here and run by [`TransactionStep`]. An EXEC is one command of the round: on one shard it is
//! run in the visit of that shard, on several like any command over several.
//!
//! 1. A command that is refused while a transaction is open has its EXEC abort: it is applied as a whole or not at
//!    all.
//! 2. Commands on the connection are run when EXEC begins, before those on shards; their replies stand in their
//!    places.
//! 3. EXEC and DISCARD end the transaction and the watching of keys whatever their reply; an EXEC that waits for a
//!    place in the log's queue has not begun.

use std::sync::Arc;

use shardkeep_resp::Protocol;

use super::Reactor;
use super::connection::Connection;
use super::decode::{Flow, Stand};
use super::many::Request;
use super::round::Answer;
use crate::engine::{Queue, TransactionStep, WatchedKey, Watching};
use crate::errors;
use crate::limits;
use shardkeep_data::commands::{
    Action, Args, CommandId, CommandSpec, ConnectionCommand, Flags, database,
};

/// A transaction that is being queued.
pub(crate) struct OpenTransaction {
    queue: Queue,
    /// A command was refused: EXEC aborts.
    is_broken: bool,
    /// The database that the next command works on.
    database: u32,
}

impl Connection {
    /// Opens a transaction; whether there was none.
    pub(crate) fn open_transaction(&mut self) -> bool {
        if self.transaction.is_some() {
            return false;
        }
        self.transaction = Some(Box::new(OpenTransaction {
            queue: Queue::default(),
            is_broken: false,
            database: self.database.into(),
        }));
        self.note_transaction();
        true
    }

    /// Ends the transaction and the watching of keys; whether there was one.
    pub(crate) fn discard_transaction(&mut self) -> bool {
        self.watching = None;
        let was_open = self.transaction.take().is_some();
        self.note_transaction();
        was_open
    }

    /// A command was refused: EXEC is not to run what is queued.
    pub(crate) fn break_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.is_broken = true;
        }
    }

    fn note_transaction(&self) {
        let queue = self.transaction.as_ref().map(|open| &open.queue);
        self.client
            .note_transaction(queue.map(|queue| (queue.len(), queue.bytes())));
    }

    /// Takes what is to be run, with the keys that guard it.
    fn take_queue(&mut self) -> Queue {
        let transaction = self.transaction.take();
        let mut queue = transaction.map(|open| open.queue).unwrap_or_default();
        queue.guard(self.watching.take().map(|keys| *keys).unwrap_or_default());
        self.note_transaction();
        queue
    }
}

/// The commands that are not queued.
fn runs_at_once(spec: &CommandSpec) -> bool {
    use ConnectionCommand::{Discard, Exec, Multi, Quit, Reset, Watch};
    match spec.action {
        Action::Connection(command) => {
            matches!(command, Discard | Exec | Multi | Quit | Reset | Watch)
        }
        Action::Shard(_) | Action::Shards(_) | Action::Container => false,
    }
}

impl Reactor {
    /// What becomes of a command in an open transaction; `None` for one that is run at once.
    #[cold]
    pub(super) fn in_transaction(
        &mut self,
        stand: Stand,
        (id, spec): (CommandId, &'static CommandSpec),
        args: Args<'_>,
        start: usize,
    ) -> Option<Flow> {
        if runs_at_once(spec) {
            return None;
        }
        if let Some(text) = self.refuses_to_queue(spec, args) {
            return Some(self.refuse_in_transaction(stand, id, start, &text));
        }
        let routes = self.context.routes.clone();
        let databases = self.context.gauges.databases();
        let connection = self.connections.get_mut(stand.token)?.as_mut()?;
        let transaction = connection.transaction.as_mut()?;
        if !transaction.queue.has_room_for(args) {
            return Some(self.refuse_in_transaction(stand, id, start, errors::TRANSACTION_FULL));
        }
        transaction
            .queue
            .push(id, args, transaction.database, &routes);
        // Those behind it work on the database that it will have selected.
        if matches!(spec.action, Action::Connection(ConnectionCommand::Select))
            && let Ok(selected) = database(args.get(1), databases)
        {
            transaction.database = selected;
        }
        let protocol = connection.protocol;
        connection.note_transaction();
        self.round.replies.reply(protocol).simple("QUEUED");
        Some(self.answered(stand, None, start))
    }

    /// What a command would be refused with outside of a transaction, whatever its keys and the log: it is
    /// refused with that now.
    fn refuses_to_queue(&self, spec: &CommandSpec, args: Args<'_>) -> Option<String> {
        if spec.flags.contains(Flags::NO_MULTI) {
            return Some(errors::NOT_IN_MULTI.to_owned());
        }
        if self.context.is_out_of_memory() {
            return Some(errors::OUT_OF_MEMORY.to_owned());
        }
        if self.context.is_loading() && !spec.flags.contains(Flags::LOADING) {
            return Some(errors::LOADING.to_owned());
        }
        if self.refusing_since.is_some() && !matches!(spec.action, Action::Connection(_)) {
            return Some(errors::DRAINING.to_owned());
        }
        self.refuse_write(spec, args)
    }

    fn refuse_in_transaction(
        &mut self,
        stand: Stand,
        id: CommandId,
        start: usize,
        text: &str,
    ) -> Flow {
        if let Some(Some(connection)) = self.connections.get_mut(stand.token) {
            connection.break_transaction();
        }
        self.reject(stand, id, start, text)
    }

    /// A command does not exist, or not with these arguments, while a transaction is open; its error stands in the
    /// replies from `start` on.
    pub(super) fn unresolved_in_transaction(
        &mut self,
        stand: Stand,
        found: Option<&CommandSpec>,
        start: usize,
    ) {
        let Some(Some(connection)) = self.connections.get_mut(stand.token) else {
            return;
        };
        if connection.transaction.is_none() {
            return;
        }
        let is_exec = found
            .is_some_and(|spec| matches!(spec.action, Action::Connection(ConnectionCommand::Exec)));
        if !is_exec {
            return connection.break_transaction();
        }
        connection.discard_transaction();
        self.round.replies.truncate(start);
        let text = errors::exec_refused("wrong number of arguments for 'exec' command");
        errors::encode(&text, &mut self.round.replies.bytes);
    }

    /// WATCH.
    pub(super) fn watch(&mut self, stand: Stand, id: CommandId, args: Args<'_>) -> Flow {
        let start = self.round.replies.len();
        let routes = self.context.routes.clone();
        let Some(Some(connection)) = self.connections.get_mut(stand.token) else {
            return Flow::Hangup;
        };
        let refusal = if connection.transaction.is_some() {
            Some(errors::WATCH_INSIDE)
        } else if self.context.is_loading() {
            Some(errors::LOADING)
        } else {
            self.refusing_since.map(|_| errors::DRAINING)
        };
        if let Some(text) = refusal {
            return self.reject(stand, id, start, text);
        }
        let database = connection.database.into();
        let keys: Vec<WatchedKey> = args
            .iter_from(1)
            .map(|key| WatchedKey::new(&routes, database, key))
            .collect();
        let watching = connection.watching.get_or_insert_default();
        if watching.keys.len() + keys.len() > limits::WATCHED_KEYS_MAX {
            return self.reject(stand, id, start, errors::WATCHES_FULL);
        }
        let mut shards: Vec<usize> = keys.iter().map(|key| key.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let flag = Arc::clone(&watching.flag);
        if let Some(flow) = self.throttle_many(stand, id, &shards) {
            return flow;
        }
        if let Some(Some(connection)) = self.connections.get_mut(stand.token) {
            let watching = connection.watching.get_or_insert_default();
            watching.keys.extend(keys.iter().cloned());
        }
        let step = TransactionStep::Watch(Watching { keys, flag });
        self.begin_step(stand, id, args, step, &shards)
    }

    /// EXEC.
    pub(super) fn exec(&mut self, stand: Stand, id: CommandId, args: Args<'_>) -> Flow {
        let start = self.round.replies.len();
        let Some(Some(connection)) = self.connections.get_mut(stand.token) else {
            return Flow::Hangup;
        };
        let Some(transaction) = &connection.transaction else {
            return self.reject(stand, id, start, errors::EXEC_WITHOUT_MULTI);
        };
        if transaction.is_broken {
            connection.discard_transaction();
            return self.reject(stand, id, start, errors::EXEC_ABORT);
        }
        let (writes, grows) = (transaction.queue.writes, transaction.queue.grows);
        let only_removes = transaction.queue.only_removes();
        let mut shards = std::mem::take(&mut self.wanted);
        shards.clear();
        let watched = connection
            .watching
            .iter()
            .flat_map(|watching| &watching.keys);
        shards.extend(watched.map(|key| key.shard));
        transaction
            .queue
            .add_shards(&self.context.routes, &mut shards);
        shards.sort_unstable();
        shards.dedup();
        let refusal = if grows && self.context.is_out_of_memory() {
            Some(errors::OUT_OF_MEMORY)
        } else if self.refusing_since.is_some() && !shards.is_empty() {
            Some(errors::DRAINING)
        } else if !shards.is_empty() && self.context.is_loading() {
            Some(errors::LOADING)
        } else {
            None
        };
        let flow = match refusal {
            Some(why) => self.abort(stand, id, start, &errors::exec_refused(why)),
            None => self.exec_on(stand, id, args, &shards, (writes, only_removes)),
        };
        self.wanted = shards;
        flow
    }

    fn abort(&mut self, stand: Stand, id: CommandId, start: usize, text: &str) -> Flow {
        if let Some(Some(connection)) = self.connections.get_mut(stand.token) {
            connection.discard_transaction();
        }
        self.reject(stand, id, start, text)
    }

    /// What keeps an EXEC from running on these shards now: it is late, one of them is not to be had, or there is no
    /// place in the log's queue for what it writes. Takes that place.
    fn admit(
        &mut self,
        stand: Stand,
        id: CommandId,
        shards: &[usize],
        (writes, only_removes): (bool, bool),
    ) -> Option<Flow> {
        if let Some(flow) = self.throttle_many(stand, id, shards) {
            return Some(flow);
        }
        if !writes || !self.log.is_on {
            return None;
        }
        let only = match *shards {
            [shard] => Some(shard),
            [..] => None,
        };
        self.take_place(stand, id, only, only_removes)
    }

    /// Begins what is queued on these shards, if nothing refuses it or keeps it waiting.
    fn exec_on(
        &mut self,
        stand: Stand,
        id: CommandId,
        args: Args<'_>,
        shards: &[usize],
        needs: (bool, bool),
    ) -> Flow {
        if let Some(flow) = self.admit(stand, id, shards, needs) {
            let waits = flow == Flow::Wait;
            if !waits && let Some(Some(connection)) = self.connections.get_mut(stand.token) {
                connection.discard_transaction();
            }
            return flow;
        }
        let Some(Some(connection)) = self.connections.get_mut(stand.token) else {
            return Flow::Hangup;
        };
        let mut queue = connection.take_queue();
        let ends = self.answer_on_connection(stand.token, &mut queue);
        let flow = if shards.is_empty() {
            self.exec_without_shards(stand, id, &queue)
        } else {
            self.begin_step(stand, id, args, TransactionStep::Exec(queue), shards)
        };
        if ends && flow == Flow::Next {
            return Flow::End;
        }
        flow
    }

    /// Runs the queued commands that concern the connection; whether one of them ends it.
    fn answer_on_connection(&mut self, token: usize, queue: &mut Queue) -> bool {
        let mut ends = false;
        for at in 0..queue.len() {
            let Some(Some(connection)) = self.connections.get(token) else {
                return true;
            };
            let protocol = connection.protocol;
            let (id, args) = queue.at(at);
            self.stats.command(id).calls.add(1);
            let Action::Connection(command) = id.spec().action else {
                queue.settle(at, protocol, None);
                continue;
            };
            let start = self.round.replies.len();
            let flow = self.connection_command_timed(token, id.spec(), command, args);
            ends |= flow != Flow::Next;
            let answer = self.round.replies.split_off(start);
            queue.settle(at, protocol, Some(&answer.bytes));
        }
        ends
    }

    fn exec_without_shards(&mut self, stand: Stand, id: CommandId, queue: &Queue) -> Flow {
        let start = self.round.replies.len();
        let protocol = self.protocol_of(stand.token);
        queue.answer(self.round.replies.reply(protocol));
        self.stats.command(id).calls.add(1);
        self.answered(stand, Some(id), start)
    }

    fn protocol_of(&self, token: usize) -> Protocol {
        let connection = self.connections.get(token).and_then(Option::as_ref);
        connection.map_or(Protocol::Resp2, |connection| connection.protocol)
    }

    /// Begins a step that was admitted, on its shards.
    fn begin_step(
        &mut self,
        stand: Stand,
        id: CommandId,
        args: Args<'_>,
        step: TransactionStep,
        shards: &[usize],
    ) -> Flow {
        let writes = step.writes();
        let step = Arc::new(step);
        self.round.steps.push(Arc::clone(&step));
        let mark = self.round.steps.len() as u64;
        if let [shard] = *shards {
            self.stats.command(id).calls.add(1);
            self.round.sharded += 1;
            self.round.members[stand.member].sharded += 1;
            self.add(stand, Some(id), 0, mark, shard, Answer::NotYet);
            return Flow::Next;
        }
        let request = Request {
            id,
            args,
            step: Some(&step),
            mark,
            writes: writes && self.log.is_on,
        };
        self.begin_many(stand, &request, shards)
    }
}
