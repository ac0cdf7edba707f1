//! One command over several shards, all in hand at once.

use std::sync::Arc;
use std::time::Instant;

use shardkeep::engine::fail_point;
use shardkeep::engine::{Deadline, Loans, Outcome, Transaction};
use shardkeep::table::UnixMillis;
use shardkeep_resp::{Protocol, Span};

use super::kept::{Needs, needed_of_all};
use super::port::{Reply, ReplyPort};
use super::{Claim, Gauges, Item, Places, Routes, ShardState, Surroundings, TransactionStep};
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
    /// Their numbers, ascending: at least one.
    pub(crate) shards: &'l [usize],
    pub(crate) gauges: &'l Gauges,
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
    fn ends(&self) -> (usize, usize) {
        match self.shards {
            [first, .., last] => (*first, *last),
            [only] => (*only, *only),
            [] => unreachable!("a command over shards has at least one"),
        }
    }

    /// Runs a command on them; the reply is appended to `out`. Gives what must be durable before it may
    /// leave.
    pub(crate) fn run(&mut self, item: &Item<'_>, now: UnixMillis, out: &mut Output) -> Needs {
        let gauges = self.gauges;
        let is_timed =
            gauges.slow.times_all() || item.spec.is_heavy || item.args.len() > limits::TIMED_ARGS;
        // The commands of a transaction are timed one by one.
        if !is_timed || item.step.is_some() {
            return self.run_plain(item, now, out);
        }
        let began = clock::now();
        let needs = self.run_plain(item, now, out);
        let took = clock::now().saturating_duration_since(began);
        gauges
            .slow
            .note(took, item.spec.name, item.args, item.client);
        needs
    }

    fn run_plain(&mut self, item: &Item<'_>, now: UnixMillis, out: &mut Output) -> Needs {
        let writes = item.spec.flags.contains(Flags::WRITE);
        let mut kept = false;
        for loan in self.loans.iter_mut() {
            loan.change(|state| {
                state.begin(now);
                state.keyspace.select(item.database);
                state.keyspace.begin_command(writes);
                kept = state.keyspace.is_kept();
            });
        }
        self.change(|set, gauges| {
            fail_point::hit_at("shard.before_apply", || item.key());
            match (&item.spec.action, item.step) {
                (_, Some(step)) => {
                    let (routes, shards) = (set.routes, set.shards);
                    step.run(set, &surroundings(item, routes, shards, gauges), out);
                }
                (Action::Shards(run), None) => run(set, item.args, &mut out.reply(item.protocol)),
                (Action::Shard(_) | Action::Connection(_) | Action::Container, None) => {
                    unreachable!("only commands over several shards come here")
                }
            }
            fail_point::hit_at("shard.after_apply", || item.key());
        });
        for loan in self.loans.iter_mut() {
            loan.change(|state| {
                state.keyspace.end_command();
                state.publish();
            });
        }
        if kept {
            self.needed(item)
        } else {
            Needs::Nothing
        }
    }

    /// Changes the shards as one.
    fn change<T>(&mut self, change: impl FnOnce(&mut Changing<'_>, &Gauges) -> T) -> T {
        let (first, last) = self.ends();
        let (routes, shards, patience) = (self.routes, self.shards, self.patience);
        let gauges = self.gauges;
        self.loans.change(|loans| {
            let mut set = Changing {
                loans,
                routes,
                shards,
                first,
                last,
                patience,
            };
            change(&mut set, gauges)
        })
    }

    fn needed(&mut self, item: &Item<'_>) -> Needs {
        let (first, last) = self.ends();
        Needs::of_many(self.change(|set, gauges| {
            let (routes, shards) = (set.routes, set.shards);
            match item.step {
                Some(step) => step.needed(set, &surroundings(item, routes, shards, gauges)),
                None => needed_of_all(item.spec, item.args, routes, first..=last, |hash, shard| {
                    let effects = set.shard(shard).effects();
                    effects.map_or(0, |effects| match hash {
                        Some(hash) => effects.needs(hash),
                        None => effects.needs_newest(),
                    })
                }),
            }
        }))
    }
}

fn surroundings<'s>(
    item: &Item<'_>,
    routes: &'s Routes,
    shards: &'s [usize],
    gauges: &'s Gauges,
) -> Surroundings<'s> {
    Surroundings {
        shards,
        routes,
        slow: &gauges.slow,
        client: item.client,
        protocol: item.protocol,
    }
}

struct Changing<'l> {
    loans: &'l mut Loans<ShardState>,
    routes: &'l Routes,
    shards: &'l [usize],
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
    spec: &'static CommandSpec,
    pub(crate) shards: Vec<usize>,
    database: u32,
    /// Number of the connection that sent it.
    client: u64,
    bytes: Vec<u8>,
    spans: Vec<Span>,
    protocol: Protocol,
    step: Option<Arc<TransactionStep>>,
    pub(crate) reply: Output,
    pub(crate) deadline: Deadline,
    pub(crate) claim: Arc<Claim>,
    pub(crate) outcome: Outcome,
    /// What must be durable before the reply may leave, once it has run.
    pub(crate) needs: Needs,
    /// The place in the log's queue of one that writes, until it is sent.
    pub(crate) places: Option<Places>,
    /// Its place among those of its reactor that are out.
    pub(crate) trip: usize,
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
            step,
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
            step: step.cloned(),
            reply: Output::default(),
            deadline,
            claim: Arc::new(Claim::default()),
            outcome: Outcome::Done,
            needs: Needs::Nothing,
            places: None,
            trip: 0,
            routes,
            port,
        })
    }

    /// Runs it on loans that its reactor, or an owner, has got.
    pub(crate) fn run_on(&mut self, loans: &mut Loans<ShardState>) {
        let first = self.shards.first().copied().unwrap_or_default();
        let gauges = loans.shard(first).look(|state| Arc::clone(&state.gauges));
        let mut set = LoanSet {
            loans,
            routes: &self.routes,
            shards: &self.shards,
            gauges: &gauges,
            patience: Patience {
                runtime: None,
                until: Some(self.deadline.instant()),
            },
        };
        let item = Item {
            spec: self.spec,
            hash: 0,
            database: self.database,
            args: Args::new(&self.bytes, &self.spans),
            protocol: self.protocol,
            client: self.client,
            step: self.step.as_ref(),
        };
        self.needs = set.run(&item, clock::unix_millis(), &mut self.reply);
    }

    /// Whether it may change something.
    pub(crate) fn writes(&self) -> bool {
        self.spec.flags.contains(Flags::WRITE)
            || self.step.as_ref().is_some_and(|step| step.writes())
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
