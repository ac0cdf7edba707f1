//! One look at the whole server: what metrics and status page are made of.
//!
//! 1. It borrows no shard and waits for nobody; its figures may be a moment apart.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shardkeep::engine::histogram::Distribution;
use shardkeep::engine::supervisor::ChildState;
use shardkeep::engine::watch::Stall;
use shardkeep::engine::{LogStats, Refused, ShardStats};

use super::Health;
use crate::clock;
use crate::context::Context;
use crate::engine::Gauge;
use crate::heap::{self, Holding};
use crate::latency::Latencies;
use crate::persistence::Saves;
use crate::process::Process;
use crate::stats::{Figure, ReactorStats};
use shardkeep_data::commands::{CommandId, CommandSpec, TABLE};

/// What is known of one command that was ever asked for.
pub(super) struct CommandSeen {
    pub(super) spec: &'static CommandSpec,
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) rejected: u64,
    pub(super) latencies: Latencies,
}

pub(super) struct Seen<'c> {
    pub(super) context: &'c Context,
    pub(super) health: Health,
    pub(super) uptime: Duration,
    pub(super) commands: Vec<CommandSeen>,
    /// Of all commands.
    pub(super) latencies: Latencies,
    /// Seconds that commands took on their shards, an estimate.
    pub(super) service_seconds: f64,
    pub(super) shards: Vec<ShardStats>,
    pub(super) log: Option<LogStats>,
    pub(super) log_state: &'static str,
    pub(super) saves: Option<Saves>,
    pub(super) process: Process,
    pub(super) heap: Holding,
    pub(super) threads: Vec<ChildState>,
    pub(super) stalls: Vec<Stall>,
}

impl<'c> Seen<'c> {
    pub(super) fn of(context: &'c Context) -> Self {
        let ids = 0..u16::try_from(TABLE.len()).unwrap_or(u16::MAX);
        let commands: Vec<_> = ids
            .filter_map(|id| command(context, CommandId(id)))
            .collect();
        let mut latencies = Latencies::default();
        for command in &commands {
            latencies.add(&command.latencies);
        }
        let nanos = |reactor: &ReactorStats| reactor.commands_total(|figures| &figures.nanos);
        let nanos: u64 = context.reactors.iter().map(|reactor| nanos(reactor)).sum();
        Self {
            context,
            health: Health::of(context),
            uptime: clock::now().saturating_duration_since(context.started),
            commands,
            latencies,
            service_seconds: nanos as f64 / 1e9,
            shards: context.keep.stats(),
            log: context.keep.log_stats(),
            log_state: log_state(context),
            saves: context.persistence.as_ref().map(|kept| kept.saves()),
            process: Process::look(),
            heap: heap::look().unwrap_or_default(),
            threads: context.threads(),
            stalls: context.watch.stalls(),
        }
    }

    /// One figure, summed over the reactors.
    pub(super) fn reactors(&self, figure: impl Fn(&ReactorStats) -> &Figure) -> u64 {
        let reactors = self.context.reactors.iter();
        reactors.map(|reactor| figure(reactor).get()).sum()
    }

    /// One figure, summed over the shards.
    pub(super) fn gauges(&self, figure: impl Fn(&Gauge) -> &AtomicU64) -> u64 {
        let gauges = self.context.gauges.iter();
        gauges.map(|gauge| figure(gauge).load(Relaxed)).sum()
    }

    /// One figure of the hand-over, summed over the shards.
    pub(super) fn shards(&self, figure: impl Fn(&ShardStats) -> u64) -> u64 {
        self.shards.iter().map(figure).sum()
    }

    /// A distribution, over all shards.
    pub(super) fn of_shards(&self, of: impl Fn(&ShardStats) -> &Distribution) -> Distribution {
        let mut all = Distribution::default();
        self.shards.iter().for_each(|shard| all.add(of(shard)));
        all
    }

    /// Works refused, by reason.
    pub(super) fn refused(&self) -> [(&'static str, u64); 7] {
        [
            (
                "mailbox_full",
                self.shards(|shard| shard.refused.mailbox_full),
            ),
            ("deadline", self.shards(|shard| shard.refused.deadline)),
            ("cancelled", self.shards(|shard| shard.refused.cancelled)),
            ("shard_lost", self.shards(|shard| shard.refused.shard_lost)),
            ("closing", self.shards(|shard| shard.refused.closing)),
            (
                "draining",
                self.reactors(|reactor| &reactor.refused_draining),
            ),
            ("log_full", self.log.as_ref().map_or(0, |log| log.refused)),
        ]
    }
}

fn command(context: &Context, id: CommandId) -> Option<CommandSeen> {
    let mut seen = CommandSeen {
        spec: id.spec(),
        calls: 0,
        failed: 0,
        rejected: 0,
        latencies: Latencies::default(),
    };
    for reactor in &context.reactors {
        let figures = reactor.command(id);
        seen.calls += figures.calls.get();
        seen.failed += figures.failed.get();
        seen.rejected += figures.rejected.get();
    }
    if seen.calls + seen.rejected == 0 {
        return None;
    }
    for reactor in &context.reactors {
        reactor.command(id).latency.add_to(&mut seen.latencies);
    }
    Some(seen)
}

/// How the log stands, in one word.
pub(crate) fn log_state(context: &Context) -> &'static str {
    if context.persistence.is_none() {
        return "none";
    }
    match context.keep.log_refuses() {
        None => "open",
        Some((Refused::Recovering, _)) => "recovering",
        Some((Refused::LogHasNoSpace, _)) => "no_space",
        Some((Refused::LogFailed, _)) => "failed",
        Some(_) => "closed",
    }
}

/// Every word for how the log stands.
pub(super) const LOG_STATES: [&str; 6] =
    ["none", "open", "recovering", "no_space", "failed", "closed"];
