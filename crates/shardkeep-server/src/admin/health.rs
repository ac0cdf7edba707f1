//! Whether the server is alive, and whether it should be sent work.
//!
//! 1. Alive is denied for one reason alone: a thread that has work makes no progress. What a restart would
//!    not mend (a recovery that takes its time, a full disk) is no reason to be restarted.
//! 2. A server that refuses writes and ends that by itself, or when keys are deleted, is degraded, and
//!    ready: without work it would not serve reads either, and nothing would be mended by that.

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
    NoSpace,
    OutOfMemory,
}

impl Reason {
    pub(crate) const ALL: [Self; 7] = [
        Self::Recovering,
        Self::Draining,
        Self::LogFailed,
        Self::ShardLost,
        Self::Stalled,
        Self::NoSpace,
        Self::OutOfMemory,
    ];

    /// Whether it concerns writes alone, and the server is ready in spite of it.
    pub(crate) fn degrades(self) -> bool {
        match self {
            Self::NoSpace | Self::OutOfMemory => true,
            Self::Recovering
            | Self::Draining
            | Self::LogFailed
            | Self::ShardLost
            | Self::Stalled => false,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Draining => "draining",
            Self::LogFailed => "log_failed",
            Self::ShardLost => "shard_lost",
            Self::Stalled => "stalled",
            Self::NoSpace => "no_space",
            Self::OutOfMemory => "out_of_memory",
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
        match context.keep.log_refuses() {
            Some((Refused::LogFailed, why)) => problems.push((Reason::LogFailed, why)),
            Some((Refused::LogHasNoSpace, why)) => problems.push((Reason::NoSpace, why)),
            Some(_) | None => {}
        }
        if context.is_out_of_memory() {
            let used = context.gauges.memory_bytes();
            let max = context.runtime.max_memory().unwrap_or(0);
            problems.push((Reason::OutOfMemory, format!("{used} of {max} bytes used")));
        }
        if context.draining().is_none() {
            let stats = context.keep.stats();
            let lost = stats.iter().filter(|shard| shard.is_lost);
            problems.extend(lost.map(|shard| (Reason::ShardLost, lost_shard(shard.shard))));
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
        self.without(|reason| !reason.degrades())
    }

    /// What it refuses although it is ready.
    pub(crate) fn degraded(&self) -> Vec<String> {
        self.without(Reason::degrades).err().unwrap_or_default()
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

fn lost_shard(shard: usize) -> String {
    format!("shard {shard} is being made again")
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
            let said = vec![format!("{}: why", reason.word())];
            match reason.degrades() {
                true => assert_eq!((health.ready(), health.degraded()), (Ok(()), said)),
                false => assert_eq!((health.ready(), health.degraded()), (Err(said), vec![])),
            }
        }
    }
}
