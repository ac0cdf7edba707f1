//! The commands that took longest to run, as SLOWLOG shows them.
//!
//! Timed are the commands whose time depends on what they are given or find: those over the whole store,
//! those that work on a part of a value, those with many arguments or a large one. For all others reading
//! the clock twice would cost more than a hundredth of what they take: they are timed too while the
//! threshold is below [`TIMES_ALL_BELOW_US`], where it is the operator who asks for it.
//!
//! 1. At most [`SLOWLOG_ENTRIES_MAX`](crate::config::bounds::SLOWLOG_ENTRIES_MAX) entries, each of [`ARGS_MAX`] arguments of [`ARG_BYTES_MAX`] bytes.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock;
use shardkeep_data::commands::Args;

/// Below it every command is timed: what is not timed above has no way to take that long, but to be kept
/// waiting by the machine.
const TIMES_ALL_BELOW_US: u64 = 1_000;

/// Arguments kept of a command; as in Redis.
const ARGS_MAX: usize = 32;

/// Bytes kept of an argument; as in Redis.
const ARG_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slow {
    pub(crate) id: u64,
    pub(crate) unix_seconds: u64,
    pub(crate) took: Duration,
    pub(crate) command: &'static str,
    /// How many arguments it had, its name included, and what is kept of them.
    pub(crate) arguments: usize,
    pub(crate) args: Vec<Vec<u8>>,
    /// Number of the connection that sent it.
    pub(crate) client: u64,
}

/// Notes nothing before it is told what to note.
#[derive(Default)]
pub(crate) struct SlowLog {
    threshold_us: AtomicU64,
    max: AtomicUsize,
    total: AtomicU64,
    entries: Mutex<VecDeque<Slow>>,
}

impl SlowLog {
    /// Notes a command that took so long, if that is long enough.
    pub(crate) fn note(&self, took: Duration, command: &'static str, args: Args<'_>, client: u64) {
        if took.as_micros() < u128::from(self.threshold_us()) {
            return;
        }
        let max = self.max.load(Relaxed);
        let unix_seconds = clock::unix_micros() / 1_000_000;
        let (arguments, args) = (args.len(), shortened(args));
        let mut entries = self.entries.lock();
        let id = self.total.fetch_add(1, Relaxed);
        entries.push_front(Slow {
            id,
            unix_seconds,
            took,
            command,
            arguments,
            args,
            client,
        });
        entries.truncate(max);
    }

    /// The newest, the newest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<Slow> {
        self.entries.lock().iter().take(count).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.lock().len()
    }

    pub(crate) fn clear(&self) {
        self.entries.lock().clear();
    }

    /// How many there were since the start, forgotten ones included.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    pub(crate) fn threshold_us(&self) -> u64 {
        self.threshold_us.load(Relaxed)
    }

    /// Whether every command is timed.
    #[inline]
    pub(crate) fn times_all(&self) -> bool {
        self.threshold_us.load(Relaxed) < TIMES_ALL_BELOW_US
    }

    pub(crate) fn set_threshold_us(&self, us: u64) {
        self.threshold_us.store(us, Relaxed);
    }

    /// Keeps so many at most.
    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
        self.entries.lock().truncate(max);
    }
}

fn shortened(args: Args<'_>) -> Vec<Vec<u8>> {
    let kept = if args.len() > ARGS_MAX {
        ARGS_MAX - 1
    } else {
        args.len()
    };
    let mut short: Vec<Vec<u8>> = args.iter_from(0).take(kept).map(shortened_arg).collect();
    if args.len() > kept {
        short.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    short
}

fn shortened_arg(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= ARG_BYTES_MAX {
        return arg.to_vec();
    }
    let (kept, more) = arg.split_at(ARG_BYTES_MAX);
    let note = format!("... ({} more bytes)", more.len());
    [kept, note.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server has it unless told otherwise.
    fn log() -> SlowLog {
        let log = SlowLog::default();
        log.set_threshold_us(10_000);
        log.set_max(128);
        log
    }
    use shardkeep_resp::Span;

    fn note(log: &SlowLog, ms: u64, args: &[&str]) {
        let text = args.concat();
        let mut start = 0;
        let spans: Vec<Span> = args
            .iter()
            .map(|arg| {
                let span = Span {
                    start,
                    len: arg.len() as u32,
                };
                start += arg.len() as u32;
                span
            })
            .collect();
        let args = Args::new(text.as_bytes(), &spans);
        log.note(Duration::from_millis(ms), "keys", args, 7);
    }

    #[test]
    fn what_is_slow_enough_is_kept_newest_first_and_no_more_than_asked_for() {
        let log = log();
        log.set_max(2);
        for (ms, pattern) in [(9, "fast"), (10, "a"), (11, "b"), (12, "c")] {
            note(&log, ms, &["KEYS", pattern]);
        }
        let shown: Vec<(u64, String)> = log
            .newest(10)
            .iter()
            .map(|slow| (slow.id, String::from_utf8_lossy(&slow.args[1]).into_owned()))
            .collect();
        assert_eq!(shown, [(2, "c".to_owned()), (1, "b".to_owned())]);
        assert_eq!((log.len(), log.total()), (2, 3));
        log.clear();
        assert_eq!((log.len(), log.total()), (0, 3));
    }

    #[test]
    fn many_and_long_arguments_are_shortened() {
        let log = log();
        let long = "x".repeat(ARG_BYTES_MAX + 5);
        let mut args = vec!["DEL", &long];
        args.extend(vec!["k"; 40]);
        note(&log, 50, &args);
        let kept = &log.newest(1)[0].args;
        assert_eq!(kept.len(), ARGS_MAX);
        assert!(kept[1].ends_with(b"... (5 more bytes)"));
        assert_eq!(kept[ARGS_MAX - 1], b"... (11 more arguments)");
    }

    #[test]
    fn a_threshold_of_never_keeps_nothing() {
        let log = log();
        log.set_threshold_us(u64::MAX);
        note(&log, u64::from(u32::MAX), &["KEYS", "*"]);
        assert_eq!(log.len(), 0);
    }
}
