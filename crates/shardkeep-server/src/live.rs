//! The settings that can change while the server runs: by CONFIG SET, or by reading the configuration again.
//!
//! 1. A setting is read where it is used, each time; nothing keeps a copy.
//! 2. What is refused changes nothing, also when other changes come with it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::config::{Settings, bounds};
use crate::context::Context;
use crate::slowlog::{self, ENTRIES_MAX};

pub(crate) struct Live {
    /// 0 for no limit.
    max_memory: AtomicU64,
    deadline_us: AtomicU64,
    /// 0 for never.
    idle_us: AtomicU64,
    frame_us: AtomicU64,
    output_us: AtomicU64,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Live {
    pub(crate) fn new(settings: &Settings) -> Self {
        let live = Self {
            max_memory: AtomicU64::new(0),
            deadline_us: AtomicU64::new(0),
            idle_us: AtomicU64::new(0),
            frame_us: AtomicU64::new(0),
            output_us: AtomicU64::new(0),
        };
        live.take(settings);
        live
    }

    /// Takes over what can change of `settings`.
    pub(crate) fn take(&self, settings: &Settings) {
        let changes = [
            (&self.max_memory, settings.max_memory.unwrap_or(0)),
            (&self.deadline_us, micros(settings.deadline)),
            (
                &self.idle_us,
                micros(settings.idle_timeout.unwrap_or_default()),
            ),
            (&self.frame_us, micros(settings.frame_timeout)),
            (&self.output_us, micros(settings.output_timeout)),
        ];
        for (live, wanted) in changes {
            live.store(wanted, Relaxed);
        }
    }

    pub(crate) fn max_memory(&self) -> Option<u64> {
        let bytes = self.max_memory.load(Relaxed);
        (bytes > 0).then_some(bytes)
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_micros(self.deadline_us.load(Relaxed))
    }

    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        let us = self.idle_us.load(Relaxed);
        (us > 0).then(|| Duration::from_micros(us))
    }

    pub(crate) fn frame_timeout(&self) -> Duration {
        Duration::from_micros(self.frame_us.load(Relaxed))
    }

    pub(crate) fn output_timeout(&self) -> Duration {
        Duration::from_micros(self.output_us.load(Relaxed))
    }
}

/// A parameter of CONFIG SET with its value, understood.
enum Change {
    MaxMemory(u64),
    IdleTimeout(u64),
    SlowerThan(u64),
    SlowMax(u64),
}

/// Changes parameters, given in pairs of name and value; all of them or none.
///
/// # Errors
/// What is wrong, in the words of Redis.
pub(crate) fn set<'a>(
    context: &Context,
    mut words: impl Iterator<Item = &'a [u8]>,
) -> Result<(), String> {
    let mut changes = Vec::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        changes.push(understand(name, value)?);
    }
    for change in changes {
        match change {
            Change::MaxMemory(bytes) => context.live.max_memory.store(bytes, Relaxed),
            Change::IdleTimeout(seconds) => {
                let us = micros(Duration::from_secs(seconds));
                context.live.idle_us.store(us, Relaxed);
            }
            Change::SlowerThan(us) => context.gauges.slow.set_threshold_us(us),
            Change::SlowMax(entries) => context.gauges.slow.set_max(entries),
        }
    }
    Ok(())
}

fn understand(name: &[u8], value: &[u8]) -> Result<Change, String> {
    let known = String::from_utf8_lossy(name).to_ascii_lowercase();
    let text = std::str::from_utf8(value).unwrap_or_default();
    let refused = |why: &str| {
        format!("ERR CONFIG SET failed (possibly related to argument '{known}') - {why}")
    };
    let number = || text.parse::<i64>().ok();
    match known.as_str() {
        "maxmemory" => crate::config::parse_bytes(text)
            .map(Change::MaxMemory)
            .ok_or_else(|| refused("argument must be a memory value")),
        "timeout" => number()
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds <= bounds::IDLE_TIMEOUT_MAX.as_secs())
            .map(Change::IdleTimeout)
            .ok_or_else(|| refused("argument must be a number of seconds")),
        "slowlog-log-slower-than" => number()
            .filter(|us| *us >= -1)
            .map(|us| Change::SlowerThan(u64::try_from(us).unwrap_or(slowlog::NEVER)))
            .ok_or_else(|| refused("argument must be -1 or a number of microseconds")),
        "slowlog-max-len" => number()
            .and_then(|entries| u64::try_from(entries).ok())
            .filter(|entries| *entries <= ENTRIES_MAX)
            .map(Change::SlowMax)
            .ok_or_else(|| refused(&format!("argument must be between 0 and {ENTRIES_MAX}"))),
        _ => Err(format!(
            "ERR Unknown option or number of arguments for CONFIG SET - '{}'",
            crate::config::echo(&known)
        )),
    }
}
