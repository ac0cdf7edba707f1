//! What INFO and LATENCY HISTOGRAM count: everything since the last CONFIG RESETSTAT.
//!
//! A figure has one writer, so nobody else can set it to zero: a reset takes down what there was, and what
//! is told is what has come since. The metrics for Prometheus count from the start and are not touched.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use parking_lot::Mutex;

use crate::context::Context;
use crate::engine::Gauge;
use crate::latency::Latencies;
use crate::stats::{Figure, ReactorStats};
use shardkeep_data::commands::{CommandId, TABLE};

/// Looks from which the rates of INFO are told: about three seconds of the watchdog's.
const LOOKS: usize = 13;

/// Figures that INFO tells, in its names.
#[derive(Clone, Copy)]
pub(crate) enum Counted {
    Accepted,
    Refused,
    Commands,
    Received,
    Sent,
    Expired,
    Hits,
    Misses,
    Slow,
    Failed,
    Rejected,
    ProtocolErrors,
    TimedOut,
    GivenUp,
    LoginTimeouts,
    FailedLogins,
    Panics,
    Mailed,
    Throttled,
    Lost,
    RefusedDraining,
}

impl Counted {
    const ALL: [Self; 21] = [
        Self::Accepted,
        Self::Refused,
        Self::Commands,
        Self::Received,
        Self::Sent,
        Self::Expired,
        Self::Hits,
        Self::Misses,
        Self::Slow,
        Self::Failed,
        Self::Rejected,
        Self::ProtocolErrors,
        Self::TimedOut,
        Self::GivenUp,
        Self::LoginTimeouts,
        Self::FailedLogins,
        Self::Panics,
        Self::Mailed,
        Self::Throttled,
        Self::Lost,
        Self::RefusedDraining,
    ];

    /// Since the start.
    fn total(self, context: &Context) -> u64 {
        let reactors = |figure: fn(&ReactorStats) -> &Figure| -> u64 {
            let reactors = context.reactors.iter();
            reactors.map(|reactor| figure(reactor).get()).sum()
        };
        let commands = |figure: fn(&crate::stats::CommandFigures) -> &Figure| -> u64 {
            let reactors = context.reactors.iter();
            reactors.map(|reactor| reactor.commands_total(figure)).sum()
        };
        let gauges = |figure: fn(&Gauge) -> &AtomicU64| -> u64 {
            let gauges = context.gauges.iter();
            gauges.map(|gauge| figure(gauge).load(Relaxed)).sum()
        };
        match self {
            Self::Accepted => context.clients.accepted_total.load(Relaxed),
            Self::Refused => context.clients.refused_total.load(Relaxed),
            Self::Commands => reactors(|reactor| &reactor.commands),
            Self::Received => reactors(|reactor| &reactor.input_bytes),
            Self::Sent => reactors(|reactor| &reactor.output_bytes),
            Self::Expired => gauges(|gauge| &gauge.expired),
            Self::Hits => gauges(|gauge| &gauge.hits),
            Self::Misses => gauges(|gauge| &gauge.misses),
            Self::Slow => context.gauges.slow.total(),
            Self::Failed => commands(|command| &command.failed),
            Self::Rejected => commands(|command| &command.rejected),
            Self::ProtocolErrors => reactors(|reactor| &reactor.protocol_errors),
            Self::TimedOut => reactors(|reactor| &reactor.timed_out),
            Self::GivenUp => reactors(|reactor| &reactor.given_up),
            Self::LoginTimeouts => reactors(|reactor| &reactor.login_timeouts),
            Self::FailedLogins => reactors(|reactor| &reactor.failed_logins),
            Self::Panics => reactors(|reactor| &reactor.panics),
            Self::Mailed => reactors(|reactor| &reactor.mailed),
            Self::Throttled => reactors(|reactor| &reactor.throttled),
            Self::Lost => reactors(|reactor| &reactor.lost),
            Self::RefusedDraining => reactors(|reactor| &reactor.refused_draining),
        }
    }
}

/// What is counted of one command.
#[derive(Clone, Default)]
pub(crate) struct CommandTotals {
    pub(crate) calls: u64,
    pub(crate) nanos: u64,
    pub(crate) rejected: u64,
    pub(crate) failed: u64,
    pub(crate) latencies: Latencies,
}

impl CommandTotals {
    /// Since the start; `None` of one that was never asked for.
    fn of(context: &Context, id: CommandId) -> Option<Self> {
        let mut totals = Self::default();
        for reactor in &context.reactors {
            let figures = reactor.command(id);
            totals.calls += figures.calls.get();
            totals.nanos += figures.nanos.get();
            totals.rejected += figures.rejected.get();
            totals.failed += figures.failed.get();
        }
        if totals.calls + totals.rejected == 0 {
            return None;
        }
        for reactor in &context.reactors {
            reactor.command(id).latency.add_to(&mut totals.latencies);
        }
        Some(totals)
    }

    fn subtract(&mut self, before: &Self) {
        self.calls = self.calls.saturating_sub(before.calls);
        self.nanos = self.nanos.saturating_sub(before.nanos);
        self.rejected = self.rejected.saturating_sub(before.rejected);
        self.failed = self.failed.saturating_sub(before.failed);
        self.latencies.subtract(&before.latencies);
    }
}

/// What there was at the last reset.
#[derive(Default)]
struct Before {
    totals: Vec<u64>,
    commands: Vec<Option<CommandTotals>>,
}

/// Commands and bytes at one moment.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    figures: [u64; 3],
}

/// The present rates: commands, bytes received and bytes sent in a second.
pub(crate) struct Rates {
    pub(crate) commands: f64,
    pub(crate) received: f64,
    pub(crate) sent: f64,
}

#[derive(Default)]
pub(crate) struct Figures {
    before: Mutex<Before>,
    looks: Mutex<VecDeque<Look>>,
}

impl Figures {
    /// From now on everything is counted anew.
    pub(crate) fn reset(&self, context: &Context) {
        let commands = ids().map(|id| CommandTotals::of(context, id));
        let before = Before {
            totals: Counted::ALL.map(|what| what.total(context)).to_vec(),
            commands: commands.collect(),
        };
        *self.before.lock() = before;
    }

    /// One figure.
    pub(crate) fn get(&self, context: &Context, what: Counted) -> u64 {
        let before = self.before.lock().totals.get(what as usize).copied();
        // Both are sums of figures that go up meanwhile.
        what.total(context).saturating_sub(before.unwrap_or(0))
    }

    /// What is counted of a command; `None` of one that was not asked for.
    pub(crate) fn command(&self, context: &Context, id: CommandId) -> Option<CommandTotals> {
        let mut totals = CommandTotals::of(context, id)?;
        if let Some(Some(before)) = self.before.lock().commands.get(id.index()) {
            totals.subtract(before);
        }
        (totals.calls + totals.rejected > 0).then_some(totals)
    }

    /// Takes down how far the counts are. Called by the watchdog, at each look.
    pub(crate) fn look(&self, context: &Context, at: Instant) {
        let counted = [Counted::Commands, Counted::Received, Counted::Sent];
        let figures = counted.map(|what| what.total(context));
        let mut looks = self.looks.lock();
        if looks.len() == LOOKS {
            looks.pop_front();
        }
        looks.push_back(Look { at, figures });
    }

    /// Over the time of the last looks.
    pub(crate) fn rates(&self) -> Rates {
        let looks = self.looks.lock();
        let rate = |of: usize| match (looks.front(), looks.back()) {
            (Some(first), Some(last)) if last.at > first.at => {
                let passed = last.at.saturating_duration_since(first.at);
                (last.figures[of] - first.figures[of]) as f64 / passed.as_secs_f64()
            }
            (_, _) => 0.0,
        };
        Rates {
            commands: rate(0),
            received: rate(1),
            sent: rate(2),
        }
    }
}

/// Every command.
pub(crate) fn ids() -> impl Iterator<Item = CommandId> {
    (0..u16::try_from(TABLE.len()).unwrap_or(u16::MAX)).map(CommandId)
}
