//! Steps of a client's transaction on its shards: WATCH, and EXEC with what was queued.
//!
//! A step is run on all shards that it needs, in hand at once; one shard alone is visited as by any command.
//! Knows no connections: what MULTI has queued comes as a [`Queue`].
//!
//! 1. What was queued runs as a whole: a panic in the middle loses the shards, and none of its effects are kept.
//! 2. Nothing runs where a watched key has changed. The shards of watched keys are in hand meanwhile, so none
//!    can change between the look and the run.
//! 3. The clock stands still for the whole of it.

use std::ops::Range;
use std::sync::Arc;

use shardkeep::engine::fail_point;
use shardkeep_data::commands::{
    Action, Args, CommandId, CommandSpec, Flags, Hour, REPLY_BYTES_MAX, RouteKind, ShardSet,
    cursor_shard,
};
use shardkeep_data::keyspace::{Keyspace, WatchFlag};
use shardkeep_resp::{Protocol, Reply, Span};

use super::Routes;
use crate::clock;
use crate::errors;
use crate::limits;
use crate::output::Output;
use crate::slowlog::SlowLog;

/// A reply of this size is left out of no transaction.
const SMALL_REPLY_BYTES: usize = 128;

/// A key that a connection watches.
#[derive(Clone)]
pub(crate) struct WatchedKey {
    pub(crate) database: u32,
    pub(crate) hash: u64,
    pub(crate) shard: usize,
    pub(crate) key: Arc<[u8]>,
}

impl WatchedKey {
    pub(crate) fn new(routes: &Routes, database: u32, key: &[u8]) -> Self {
        let hash = routes.hash(key);
        Self {
            database,
            hash,
            shard: routes.shard(hash),
            key: Arc::from(key),
        }
    }
}

/// The keys that a connection watches, and the flag that tells of a change.
#[derive(Default)]
pub(crate) struct Watching {
    pub(crate) keys: Vec<WatchedKey>,
    pub(crate) flag: Arc<WatchFlag>,
}

/// One command that MULTI has queued.
struct Queued {
    id: CommandId,
    /// That of its key, where its route is the first key.
    hash: u64,
    /// Its lowest shard, where it needs one.
    first: usize,
    database: u32,
    protocol: Protocol,
    spans: Range<usize>,
    /// Where its reply lies among the answers, if the connection has run it.
    answer: Option<Range<usize>>,
}

/// What was queued since MULTI, with its own bytes.
#[derive(Default)]
pub(crate) struct Queue {
    commands: Vec<Queued>,
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Replies of commands on the connection.
    answers: Vec<u8>,
    pub(crate) writes: bool,
    /// One of them may make an entry larger.
    pub(crate) grows: bool,
    /// Those that write change nothing but by removing keys.
    only_removes: bool,
    watching: Watching,
}

/// A step of a transaction.
pub(crate) enum TransactionStep {
    Watch(Watching),
    Exec(Queue),
}

/// What a step needs to know beside its shards.
pub(crate) struct Surroundings<'s> {
    /// The shards in hand, ascending.
    pub(crate) shards: &'s [usize],
    pub(crate) routes: &'s Routes,
    pub(crate) slow: &'s SlowLog,
    /// Number of the connection.
    pub(crate) client: u64,
    pub(crate) protocol: Protocol,
}

impl Queue {
    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.commands.len() * size_of::<Queued>();
        self.bytes.len() + self.spans.len() * size_of::<Span>() + entries
    }

    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is room for one more command.
    pub(crate) fn has_room_for(&self, args: Args<'_>) -> bool {
        let bytes: usize = args.iter_from(0).map(<[u8]>::len).sum();
        self.bytes() + bytes <= limits::TRANSACTION_BYTES_MAX
    }

    /// Adds a command, which works on `database`.
    pub(crate) fn push(&mut self, id: CommandId, args: Args<'_>, database: u32, routes: &Routes) {
        let first_span = self.spans.len();
        for arg in args.iter_from(0) {
            // `has_room_for` keeps both well below 4 GiB.
            let (start, len) = (self.bytes.len() as u32, arg.len() as u32);
            self.spans.push(Span { start, len });
            self.bytes.extend_from_slice(arg);
        }
        let spec = id.spec();
        let hash = match spec.route {
            RouteKind::FirstKey => routes.hash(args.get(spec.first_key as usize)),
            RouteKind::AllKeys | RouteKind::WholeStore | RouteKind::Cursor | RouteKind::None => 0,
        };
        let writes = spec.flags.contains(Flags::WRITE);
        self.only_removes = spec.only_removes && (self.only_removes || !self.writes);
        self.writes |= writes;
        self.grows |= spec.flags.contains(Flags::DENYOOM);
        self.commands.push(Queued {
            id,
            hash,
            first: first_shard(spec, args, hash, routes),
            database,
            protocol: Protocol::Resp2,
            spans: first_span..self.spans.len(),
            answer: None,
        });
    }

    /// From now on it runs only if none of these keys has changed.
    pub(crate) fn guard(&mut self, watching: Watching) {
        self.watching = watching;
    }

    /// Adds the shards that it needs, in no order.
    pub(crate) fn add_shards(&self, routes: &Routes, shards: &mut Vec<usize>) {
        let total = routes.shards();
        shards.extend(self.watching.keys.iter().map(|key| key.shard));
        for queued in &self.commands {
            match queued.id.spec().route {
                RouteKind::FirstKey => shards.push(queued.first),
                RouteKind::AllKeys => {
                    let keys = queued.id.spec().keys.of(self.args(queued));
                    shards.extend(keys.map(|key| routes.shard(routes.hash(key))));
                    // Arguments that name no key: the command itself says what is wrong with them.
                    shards.push(queued.first);
                }
                RouteKind::WholeStore | RouteKind::Cursor => shards.extend(queued.first..total),
                RouteKind::None => {}
            }
        }
    }

    /// The `at`-th command, with its arguments.
    pub(crate) fn at(&self, at: usize) -> (CommandId, Args<'_>) {
        let queued = &self.commands[at];
        (queued.id, self.args(queued))
    }

    /// Answers as one whose every command the connection has run.
    pub(crate) fn answer(&self, mut reply: Reply<'_>) {
        reply.array(self.commands.len());
        reply.raw(&self.answers);
    }

    /// Notes the reply of the `at`-th command, which the connection has run, or in which protocol the shards are to
    /// answer it.
    pub(crate) fn settle(&mut self, at: usize, protocol: Protocol, answer: Option<&[u8]>) {
        let queued = &mut self.commands[at];
        queued.protocol = protocol;
        queued.answer = answer.map(|answer| {
            let start = self.answers.len();
            self.answers.extend_from_slice(answer);
            start..self.answers.len()
        });
    }

    /// What there may be a place in the log for, where there is one for removals alone.
    pub(crate) fn only_removes(&self) -> bool {
        self.writes && self.only_removes
    }

    fn args(&self, queued: &Queued) -> Args<'_> {
        Args::new(&self.bytes, &self.spans[queued.spans.clone()])
    }

    /// Runs it, or answers that a watched key has changed.
    fn run(&self, set: &mut dyn ShardSet, with: &Surroundings<'_>, out: &mut Output) {
        if self.watching.has_changed(set) {
            return out.reply(with.protocol).null_array();
        }
        out.reply(with.protocol).array(self.commands.len());
        for queued in &self.commands {
            match &queued.answer {
                Some(answer) => out.bytes.extend_from_slice(&self.answers[answer.clone()]),
                None => self.run_timed(queued, set, with, out),
            }
        }
        for &shard in with.shards {
            let keyspace = set.shard(shard);
            keyspace.begin_command(self.writes);
            keyspace.end_command();
        }
    }

    fn run_timed(
        &self,
        queued: &Queued,
        set: &mut dyn ShardSet,
        with: &Surroundings<'_>,
        out: &mut Output,
    ) {
        let (spec, args) = (queued.id.spec(), self.args(queued));
        let is_timed = with.slow.times_all() || spec.is_heavy || args.len() > limits::TIMED_ARGS;
        let began = is_timed.then(clock::now);
        let start = out.len();
        self.run_one(queued, set, with, out);
        if out.size() > REPLY_BYTES_MAX && out.size_of(start, out.len()) > SMALL_REPLY_BYTES {
            out.truncate(start);
            errors::encode(errors::TRANSACTION_REPLY, &mut out.bytes);
        }
        if let Some(began) = began {
            let took = clock::now().saturating_duration_since(began);
            with.slow.note(took, spec.name, args, with.client);
        }
    }

    fn run_one(
        &self,
        queued: &Queued,
        set: &mut dyn ShardSet,
        with: &Surroundings<'_>,
        out: &mut Output,
    ) {
        let (spec, args) = (queued.id.spec(), self.args(queued));
        let writes = spec.flags.contains(Flags::WRITE);
        fail_point::hit_at("exec.next", || args.iter_from(1).next().unwrap_or_default());
        let select = |keyspace: &mut Keyspace| {
            keyspace.select(queued.database);
            keyspace.begin_command(writes);
        };
        let mut reply = out.reply(queued.protocol);
        match &spec.action {
            Action::Shard(run) => {
                let keyspace = set.shard(queued.first);
                select(keyspace);
                run(keyspace, queued.hash, args, &mut reply);
            }
            Action::Shards(run) => {
                for &shard in with.shards {
                    select(set.shard(shard));
                }
                let first = queued.first;
                run(&mut From { set, first }, args, &mut reply);
            }
            Action::Connection(_) | Action::Container => {
                unreachable!("the connection has run what concerns it")
            }
        }
    }

    /// The batches of the log that the reply needs.
    fn needed(&self, set: &mut dyn ShardSet, with: &Surroundings<'_>, all: &mut Vec<(usize, u64)>) {
        for key in &self.watching.keys {
            let effects = set.shard(key.shard).effects();
            all.extend(effects.map(|effects| (key.shard, effects.needs(key.hash))));
        }
        for queued in &self.commands {
            let (spec, args) = (queued.id.spec(), self.args(queued));
            let mut key = |hash| {
                let shard = with.routes.shard(hash);
                let effects = set.shard(shard).effects();
                all.extend(effects.map(|effects| (shard, effects.needs(hash))));
            };
            match spec.route {
                RouteKind::FirstKey => key(queued.hash),
                RouteKind::AllKeys => spec
                    .keys
                    .of(args)
                    .for_each(|name| key(with.routes.hash(name))),
                RouteKind::WholeStore | RouteKind::Cursor => {
                    for &shard in with.shards {
                        let effects = set.shard(shard).effects();
                        all.extend(effects.map(|effects| (shard, effects.needs_newest())));
                    }
                }
                RouteKind::None => {}
            }
        }
    }
}

/// The lowest shard that a command needs.
fn first_shard(spec: &CommandSpec, args: Args<'_>, hash: u64, routes: &Routes) -> usize {
    match spec.route {
        RouteKind::FirstKey => routes.shard(hash),
        RouteKind::AllKeys => {
            let shards = spec.keys.of(args).map(|key| routes.shard(routes.hash(key)));
            shards.min().unwrap_or(0)
        }
        RouteKind::Cursor => cursor_shard(args.get(1)).min(routes.shards() - 1),
        RouteKind::WholeStore | RouteKind::None => 0,
    }
}

impl Watching {
    /// Whether one of the keys has changed since it is watched. Looks at every one: the flag of a shard that was
    /// lost tells nothing.
    fn has_changed(&self, set: &mut dyn ShardSet) -> bool {
        self.keys.iter().any(|key| {
            let keyspace = set.shard(key.shard);
            keyspace.begin_command(false);
            keyspace.select(key.database);
            keyspace.has_changed_since_watched(key.hash, &key.key, &self.flag)
        })
    }

    fn begin(&self, set: &mut dyn ShardSet) {
        for key in &self.keys {
            let keyspace = set.shard(key.shard);
            keyspace.begin_command(false);
            keyspace.select(key.database);
            keyspace.watch(key.hash, &key.key, &self.flag);
        }
    }
}

impl TransactionStep {
    /// Runs it; the reply is appended to `out`.
    pub(crate) fn run(&self, set: &mut dyn ShardSet, with: &Surroundings<'_>, out: &mut Output) {
        match self {
            Self::Watch(watching) => {
                watching.begin(set);
                out.reply(with.protocol).ok();
            }
            Self::Exec(queue) => queue.run(set, with, out),
        }
    }

    /// The batches of the log that the reply needs, by shard.
    pub(crate) fn needed(
        &self,
        set: &mut dyn ShardSet,
        with: &Surroundings<'_>,
    ) -> Vec<(usize, u64)> {
        let mut all = Vec::new();
        if let Self::Exec(queue) = self {
            queue.needed(set, with, &mut all);
        }
        all.retain(|&(_, number)| number > 0);
        all.sort_unstable();
        // Of each shard the newest alone.
        all.reverse();
        all.dedup_by_key(|(shard, _)| *shard);
        all
    }

    /// Whether it may change something.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Watch(_) => false,
            Self::Exec(queue) => queue.writes,
        }
    }
}

/// The shards in hand from one of them on: what a command over a range of shards sees.
struct From<'s> {
    set: &'s mut dyn ShardSet,
    first: usize,
}

impl ShardSet for From<'_> {
    fn of(&mut self, key: &[u8]) -> (u64, &mut Keyspace) {
        self.set.of(key)
    }

    fn first(&self) -> usize {
        self.first
    }

    fn last(&self) -> usize {
        self.set.last()
    }

    fn shard(&mut self, number: usize) -> &mut Keyspace {
        self.set.shard(number)
    }

    fn shards_total(&self) -> usize {
        self.set.shards_total()
    }

    fn clock(&self) -> Box<dyn Fn() -> Hour> {
        self.set.clock()
    }
}
