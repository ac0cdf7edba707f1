//! Figures of the reactors: written by one thread each, read by anybody.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use shardkeep::engine::histogram::Histogram;

use crate::latency::Latency;
use shardkeep_data::commands::{CommandId, TABLE};

/// A figure with one writer: a plain load and store, no locked instruction.
#[derive(Default)]
pub(crate) struct Figure(AtomicU64);

impl Figure {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one reactor has done.
pub(crate) struct ReactorStats {
    /// Connections it has now.
    pub(crate) connections: Figure,
    pub(crate) commands: Figure,
    pub(crate) input_bytes: Figure,
    pub(crate) output_bytes: Figure,
    /// Works mailed because a shard was away.
    pub(crate) mailed: Figure,
    /// Commands that were told so.
    pub(crate) throttled: Figure,
    pub(crate) lost: Figure,
    /// How many commands ran in one visit of a shard.
    pub(crate) visits: Histogram,
    /// Commands of the rounds that were timed, and their time on the shards in nanoseconds.
    pub(crate) timed: Figure,
    pub(crate) timed_nanos: Figure,
    pub(crate) refused_draining: Figure,
    pub(crate) protocol_errors: Figure,
    /// Connections closed because their time was up.
    pub(crate) timed_out: Figure,
    /// Of these, closed before they had logged in.
    pub(crate) login_timeouts: Figure,
    /// Wrong passwords.
    pub(crate) failed_logins: Figure,
    /// Connections that the end of a drain cut off before everything was sent.
    pub(crate) cut_off: Figure,
    /// Connections whose client had stopped reading when the server drained.
    pub(crate) given_up: Figure,
    /// Panics outside of a shard.
    pub(crate) panics: Figure,
    per_command: Box<[CommandFigures]>,
}

/// What one reactor has done of one command.
pub(crate) struct CommandFigures {
    pub(crate) calls: Figure,
    /// Time spent, in nanoseconds: an estimate from the rounds that are timed.
    pub(crate) nanos: Figure,
    /// Refused before it ran: arity, authentication, memory.
    pub(crate) rejected: Figure,
    /// Answered with an error.
    pub(crate) failed: Figure,
    /// From the arrival of its bytes to its reply.
    pub(crate) latency: Latency,
}

impl CommandFigures {
    fn new() -> Self {
        Self {
            calls: Figure::default(),
            nanos: Figure::default(),
            rejected: Figure::default(),
            failed: Figure::default(),
            latency: Latency::new(),
        }
    }
}

impl ReactorStats {
    pub(crate) fn new() -> Self {
        Self {
            connections: Figure::default(),
            commands: Figure::default(),
            input_bytes: Figure::default(),
            output_bytes: Figure::default(),
            mailed: Figure::default(),
            throttled: Figure::default(),
            lost: Figure::default(),
            visits: Histogram::default(),
            timed: Figure::default(),
            timed_nanos: Figure::default(),
            refused_draining: Figure::default(),
            protocol_errors: Figure::default(),
            timed_out: Figure::default(),
            login_timeouts: Figure::default(),
            failed_logins: Figure::default(),
            cut_off: Figure::default(),
            given_up: Figure::default(),
            panics: Figure::default(),
            per_command: TABLE.iter().map(|_| CommandFigures::new()).collect(),
        }
    }

    /// Notes that the reply to a command that arrived at `since` left at `now`.
    pub(crate) fn note_latency(&self, command: Option<CommandId>, since: Instant, now: Instant) {
        if let Some(id) = command {
            let took = now.saturating_duration_since(since);
            self.command(id).latency.note(took, 1);
        }
    }

    /// Counts a command that is answered with this error, by its first word.
    #[cold]
    pub(crate) fn note_told(&self, error: &[u8]) {
        if error.starts_with(b"THROTTLED") {
            self.throttled.add(1);
        } else if error.starts_with(b"LOST") {
            self.lost.add(1);
        }
    }

    /// What one command takes on its shard, as far as was measured.
    pub(crate) fn service(&self) -> Duration {
        Duration::from_nanos(self.timed_nanos.get() / self.timed.get().max(1))
    }

    /// One figure, summed over the commands.
    pub(crate) fn commands_total(&self, figure: impl Fn(&CommandFigures) -> &Figure) -> u64 {
        let commands = self.per_command.iter();
        commands.map(|command| figure(command).get()).sum()
    }

    #[inline]
    pub(crate) fn command(&self, id: CommandId) -> &CommandFigures {
        &self.per_command[usize::from(id.0)]
    }
}
