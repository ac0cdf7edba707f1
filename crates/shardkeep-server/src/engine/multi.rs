//! One command over several shards, all in hand at once.

use std::sync::Arc;
use std::time::Instant;

use shardkeep::engine::fail_point;
use shardkeep::engine::{Deadline, Loans, Outcome, Transaction};
use shardkeep::table::UnixMillis;
use shardkeep_resp::{Protocol, Span};

use super::kept::{Needs, needed_of_all};
use super::port::{Reply, ReplyPort};
use super::{Claim, Item, Places, Routes, ShardState};
use crate::clock;
use crate::config::Runtime;
use crate::limits;
use crate::output::Output;
use shardkeep_data::commands::{Action, Args, CommandSpec, Flags, Hour, ShardSet};
use shardkeep_data::keyspace::Keyspace;

/// The shards of one command, in hand.
pub(crate) struct LoanSet<'l> {
    pub(crate) loans: &'l mut Loans<ShardState>,
    pub(crate) routes: &'l Routes,
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// The database that the command works on.
    pub(crate) database: u32,
    /// Number of the connection that sent the command.
    pub(crate) client: u64,
    pub(crate) patience: Patience<'l>,
}

/// By when a command is to end: looked at by those alone that may go on for long.
#[derive(Clone, Copy)]
pub(crate) struct Patience<'l> {
    /// The server's deadline, for a command that begins now.
    pub(crate) runtime: Option<&'l Runtime>,
    /// The command's own.
    pub(crate) until: Option<Instant>,
}

impl Patience<'_> {
    /// A clock that is late after three quarters of the time that is left: the rest is for those that have
    /// waited for the shards since.
    fn clock(self) -> Box<dyn Fn() -> Hour> {
        let began = clock::now();
        let deadline = self
            .runtime
            .map(|runtime| clock::later(began, runtime.deadline()));
        let late = self.until.into_iter().chain(deadline).min();
        let late =
            late.map(|late| clock::later(began, late.saturating_duration_since(began) / 4 * 3));
        Box::new(move || {
            let now = clock::now();
            if late.is_some_and(|late| late <= now) {
                Hour::Late
            } else if now.saturating_duration_since(began) >= limits::SCAN_SLICE {
                Hour::SliceOver
            } else {
                Hour::Early
            }
        })
    }
}

impl LoanSet<'_> {
    /// Runs `spec` on them; the reply is appended to `out`. Gives what must be durable before it may
    /// leave.
    pub(crate) fn run(
        &mut self,
        spec: &CommandSpec,
        args: Args<'_>,
        protocol: Protocol,
        now: UnixMillis,
        out: &mut Output,
    ) -> Needs {
        let first = self.first;
        let times_all = (self.loans.shard(first)).look(|state| state.gauges.slow.times_all());
        if !times_all && !spec.is_heavy && args.len() <= limits::TIMED_ARGS {
            return self.run_plain(spec, args, protocol, now, out);
        }
        let began = clock::now();
        let needs = self.run_plain(spec, args, protocol, now, out);
        let took = clock::now().saturating_duration_since(began);
        let client = self.client;
        self.loans.shard(first).look(|state| {
            let slow = &state.gauges.slow;
            slow.note(took, spec.name, args, client);
        });
        needs
    }

    fn run_plain(
        &mut self,
        spec: &CommandSpec,
        args: Args<'_>,
        protocol: Protocol,
        now: UnixMillis,
        out: &mut Output,
    ) -> Needs {
        let writes = spec.flags.contains(Flags::WRITE);
        let (mut kept, database) = (false, self.database);
        for loan in self.loans.iter_mut() {
            loan.change(|state| {
                state.begin(now);
                state.keyspace.select(database);
                state.keyspace.begin_command(writes);
                kept = state.keyspace.is_kept();
            });
        }
        self.loans.change(|loans| {
            let mut set = Changing {
                loans,
                routes: self.routes,
                first: self.first,
                last: self.last,
                patience: self.patience,
            };
            let mut reply = out.reply(protocol);
            let key = || args.iter_from(1).next().unwrap_or_default();
            fail_point::hit_at("shard.before_apply", key);
            match &spec.action {
                Action::Shards(run) => run(&mut set, args, &mut reply),
                Action::Shard(_) | Action::Connection(_) | Action::Container => {
                    unreachable!("only commands over several shards come here")
                }
            }
            fail_point::hit_at("shard.after_apply", key);
        });
        for loan in self.loans.iter_mut() {
            loan.change(|state| {
                state.keyspace.end_command();
                state.publish();
            });
        }
        if kept {
            self.needed(spec, args)
        } else {
            Needs::Nothing
        }
    }

    fn needed(&mut self, spec: &CommandSpec, args: Args<'_>) -> Needs {
        let mut all = Vec::new();
        let (shards, routes) = (self.first..=self.last, self.routes);
        self.loans.change(|loans| {
            all = needed_of_all(spec, args, routes, shards, |hash, shard| {
                let effects = loans.state(shard).keyspace.effects();
                effects.map_or(0, |effects| match hash {
                    Some(hash) => effects.needs(hash),
                    None => effects.needs_newest(),
                })
            });
        });
        Needs::of_many(all)
    }
}

struct Changing<'l> {
    loans: &'l mut Loans<ShardState>,
    routes: &'l Routes,
    first: usize,
    last: usize,
    patience: Patience<'l>,
}

impl ShardSet for Changing<'_> {
    fn of(&mut self, key: &[u8]) -> (u64, &mut Keyspace) {
        fail_point::hit_at("shards.next", || key);
        let hash = self.routes.hash(key);
        (
            hash,
            &mut self.loans.state(self.routes.shard(hash)).keyspace,
        )
    }

    fn first(&self) -> usize {
        self.first
    }

    fn last(&self) -> usize {
        self.last
    }

    fn shard(&mut self, number: usize) -> &mut Keyspace {
        &mut self.loans.state(number).keyspace
    }

    fn shards_total(&self) -> usize {
        self.routes.shards()
    }

    fn clock(&self) -> Box<dyn Fn() -> Hour> {
        self.patience.clock()
    }
}

/// A command over several shards that an owner thread carries, because a reactor never waits.
pub(crate) struct ShardsWork {
    pub(crate) spec: &'static CommandSpec,
    pub(crate) shards: Vec<usize>,
    database: u32,
    /// Number of the connection that sent it.
    client: u64,
    bytes: Vec<u8>,
    spans: Vec<Span>,
    pub(crate) protocol: Protocol,
    pub(crate) reply: Output,
    pub(crate) deadline: Deadline,
    pub(crate) claim: Arc<Claim>,
    pub(crate) outcome: Outcome,
    /// What must be durable before the reply may leave, once it has run.
    pub(crate) needs: Needs,
    /// The place in the log's queue of one that writes, until it is sent.
    pub(crate) places: Option<Places>,
    routes: Routes,
    port: Arc<ReplyPort>,
}

impl ShardsWork {
    pub(crate) fn new(
        item: &Item<'_>,
        shards: Vec<usize>,
        deadline: Deadline,
        routes: Routes,
        port: Arc<ReplyPort>,
    ) -> Box<Self> {
        let &Item {
            spec,
            args,
            protocol,
            client,
            database,
            hash: _,
        } = item;
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        for at in 0..args.len() {
            let arg = args.get(at);
            // Limits on frames keep both well below 4 GiB.
            spans.push(Span {
                start: bytes.len() as u32,
                len: arg.len() as u32,
            });
            bytes.extend_from_slice(arg);
        }
        Box::new(Self {
            spec,
            shards,
            database,
            client,
            bytes,
            spans,
            protocol,
            reply: Output::default(),
            deadline,
            claim: Arc::new(Claim::default()),
            outcome: Outcome::Done,
            needs: Needs::Nothing,
            places: None,
            routes,
            port,
        })
    }

    /// Runs it on loans that its reactor, or an owner, has got.
    pub(crate) fn run_on(&mut self, loans: &mut Loans<ShardState>) {
        let (first, last) = match (self.shards.first(), self.shards.last()) {
            (Some(&first), Some(&last)) => (first, last),
            (_, _) => unreachable!("a command over shards has at least one"),
        };
        let args = Args::new(&self.bytes, &self.spans);
        self.needs = LoanSet {
            loans,
            routes: &self.routes,
            first,
            last,
            database: self.database,
            client: self.client,
            patience: Patience {
                runtime: None,
                until: Some(self.deadline.instant()),
            },
        }
        .run(
            self.spec,
            args,
            self.protocol,
            clock::unix_millis(),
            &mut self.reply,
        );
    }
}

impl Transaction<ShardState> for Box<ShardsWork> {
    fn shards(&self) -> &[usize] {
        &self.shards
    }

    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn begin(&mut self) -> bool {
        self.claim.begin()
    }

    fn run(&mut self, loans: &mut Loans<ShardState>) {
        self.run_on(loans);
    }

    fn settle(mut self, outcome: Outcome) {
        self.outcome = outcome;
        let port = Arc::clone(&self.port);
        port.send(Reply::Shards(self));
    }
}
