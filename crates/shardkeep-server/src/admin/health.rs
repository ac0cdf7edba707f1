//! Whether the server is alive, and whether it should be sent work.
//!
//! 1. Alive is denied for one reason alone: a thread that has work makes no progress. What a restart would
//!    not mend (a recovery that takes its time, a full disk) is no reason to be restarted.

use std::sync::atomic::Ordering::SeqCst;

use shardkeep::engine::Refused;

use crate::context::Context;

/// Why a server is not ready. Each is a label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Recovering,
    Draining,
    LogFailed,
    ShardLost,
    Stalled,
}

impl Reason {
    pub(crate) const ALL: [Self; 5] = [
        Self::Recovering,
        Self::Draining,
        Self::LogFailed,
        Self::ShardLost,
        Self::Stalled,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Draining => "draining",
            Self::LogFailed => "log_failed",
            Self::ShardLost => "shard_lost",
            Self::Stalled => "stalled",
        }
    }
}

/// Everything that is wrong, each with its details.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    problems: Vec<(Reason, String)>,
}

impl Health {
    pub(crate) fn of(context: &Context) -> Self {
        let mut problems = Vec::new();
        if context.draining().is_some() || context.stopping.load(SeqCst) {
            let clients = context.clients.connected();
            problems.push((Reason::Draining, format!("{clients} clients left")));
        }
        if let Some(persistence) = &context.persistence
            && context.is_loading()
        {
            let progress = persistence.progress();
            let text = format!("{} of {} bytes read", progress.done, progress.total);
            problems.push((Reason::Recovering, text));
        }
        if let Some((Refused::LogFailed, why)) = context.keep.log_refuses() {
            problems.push((Reason::LogFailed, why));
        }
        if context.draining().is_none() {
            let stats = context.keep.stats();
            let lost = stats.iter().filter(|shard| shard.is_lost);
            problems
                .extend(lost.map(|shard| (Reason::ShardLost, format!("shard {}", shard.shard))));
        }
        let stalls = context.watch.stalls().into_iter();
        problems.extend(stalls.map(|stall| (Reason::Stalled, stall.to_string())));
        Self { problems }
    }

    /// Whether a restart would not help.
    ///
    /// # Errors
    /// Why it would.
    pub(crate) fn alive(&self) -> Result<(), Vec<String>> {
        self.without(|reason| reason == Reason::Stalled)
    }

    /// Whether it should be sent work.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn ready(&self) -> Result<(), Vec<String>> {
        self.without(|_| true)
    }

    pub(crate) fn has(&self, reason: Reason) -> bool {
        self.problems.iter().any(|(found, _)| *found == reason)
    }

    fn without(&self, counts: impl Fn(Reason) -> bool) -> Result<(), Vec<String>> {
        let found = self.problems.iter().filter(|(reason, _)| counts(*reason));
        let lines: Vec<String> = found
            .map(|(reason, details)| format!("{}: {details}", reason.word()))
            .collect();
        if lines.is_empty() { Ok(()) } else { Err(lines) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(reasons: &[Reason]) -> Health {
        let problems = reasons.iter().map(|&reason| (reason, "why".to_owned()));
        Health {
            problems: problems.collect(),
        }
    }

    #[test]
    fn only_a_stall_denies_that_it_is_alive() {
        assert!(health(&[]).alive().is_ok() && health(&[]).ready().is_ok());
        for reason in Reason::ALL {
            let health = health(&[reason]);
            assert_eq!(
                health.alive().is_err(),
                reason == Reason::Stalled,
                "{reason:?}"
            );
            assert_eq!(health.ready(), Err(vec![format!("{}: why", reason.word())]));
        }
    }
}
