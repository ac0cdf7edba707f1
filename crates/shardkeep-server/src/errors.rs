//! The errors of our own: what Redis has no words for.

use std::time::Duration;

use shardkeep::engine::{Error, Lost, Refused};
use shardkeep_resp::{Protocol, Reply};

use crate::limits;

/// The server finishes what it has read, and admits nothing new.
pub(crate) const DRAINING: &str =
    "DRAINING the server is shutting down, the command was not applied";

/// More replies than a connection may have pending.
pub(crate) const OUTPUT_LIMIT: &str = "ERR replies of one pipeline exceed the output limit (268435456 bytes), the command was not \
     applied";

pub(crate) const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

pub(crate) const NO_AUTH: &str = "NOAUTH Authentication required.";

pub(crate) const EXEC_WITHOUT_MULTI: &str = "ERR EXEC without MULTI";

pub(crate) const DISCARD_WITHOUT_MULTI: &str = "ERR DISCARD without MULTI";

pub(crate) const MULTI_NESTED: &str = "ERR MULTI calls can not be nested";

pub(crate) const WATCH_INSIDE: &str = "ERR WATCH inside MULTI is not allowed";

pub(crate) const NOT_IN_MULTI: &str = "ERR Command not allowed inside a transaction";

/// A command was refused while the transaction was queued.
pub(crate) const EXEC_ABORT: &str = "EXECABORT Transaction discarded because of previous errors.";

/// More was queued than a transaction may hold.
pub(crate) const TRANSACTION_FULL: &str =
    "ERR a transaction holds 536870912 bytes of commands at most, this one was not queued";

/// More keys are watched than one connection may watch.
pub(crate) const WATCHES_FULL: &str =
    "ERR a connection watches 65536 keys at most, none of these is watched";

/// A command of a transaction whose replies have become too long.
pub(crate) const TRANSACTION_REPLY: &str = "ERR the replies of this transaction exceed 1073741824 bytes: the command was applied, its \
     reply is left out";

const _: () = assert!(limits::TRANSACTION_BYTES_MAX == 536_870_912);
const _: () = assert!(limits::WATCHED_KEYS_MAX == 65_536);
const _: () = assert!(shardkeep_data::commands::REPLY_BYTES_MAX == 1_073_741_824);

/// What EXEC is answered with where it cannot be run now; `why` is an error of its own.
pub(crate) fn exec_refused(why: &str) -> String {
    format!("EXECABORT Transaction discarded because of: {why}")
}

/// While the store is being recovered; the words that clients know.
pub(crate) const LOADING: &str = "LOADING Redis is loading the dataset in memory";

pub(crate) const NO_DIRECTORY: &str =
    "ERR there is nowhere to save to: the server was started without a directory (--dir)";

pub(crate) const SAVE_IN_PROGRESS: &str = "ERR Background save already in progress";

/// Longest time after which a client is told to try again.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What a slow disk needs to write one place of the log's queue.
const PLACES_PER_MS: usize = 100;

/// Bytes of a snapshot that a slow disk takes in.
const WALK_BYTES_PER_MS: usize = 10_000;

pub(crate) fn encode(text: &str, out: &mut Vec<u8>) {
    Reply::new(out, Protocol::Resp2).error(text);
}

/// Refused because the shard has too much to do. What waits there is likely to be done after `depth` times
/// the time that one work takes, `service`.
pub(crate) fn throttled(shard: usize, depth: usize, service: Duration) -> String {
    let depth_u32 = u32::try_from(depth).unwrap_or(u32::MAX);
    let retry_in_ms = 1 + service.saturating_mul(depth_u32).min(RETRY_MAX).as_millis();
    format!("THROTTLED shard={shard} depth={depth} retry_in_ms={retry_in_ms}")
}

pub(crate) fn lost(shard: usize) -> String {
    format!("LOST shard={shard} the outcome is unknown, the command may have been applied")
}

pub(crate) fn shard_lost(shard: usize) -> String {
    format!("TRYAGAIN shard={shard} is being rebuilt, the command was not applied")
}

/// What a client is told of a work that did not run to its end.
pub(crate) fn text(error: &Error, service: Duration) -> String {
    match error {
        Error::Lost(Lost::DeadlinePassed { shard } | Lost::ShardLost { shard }) => lost(*shard),
        Error::Lost(other) => format!("LOST {other}"),
        Error::Refused(refused) => refusal(refused, service),
    }
}

/// No place in the log's queue.
fn log_full(places: usize) -> String {
    let retry_in_ms = 1 + places / PLACES_PER_MS;
    format!("THROTTLED log places={places} retry_in_ms={retry_in_ms}")
}

/// No place in the log's queue, because a snapshot is behind.
fn walk_behind(bytes: usize, bound: usize) -> String {
    let retry_in_ms = 1 + bytes.saturating_sub(bound / 2) / WALK_BYTES_PER_MS;
    format!("THROTTLED walk bytes={bytes} bound={bound} retry_in_ms={retry_in_ms}")
}

/// What a client is told whose write the log does not admit; `why` comes from the log.
pub(crate) fn log_refusal(refused: &Refused, why: &str) -> String {
    match refused {
        Refused::LogHasNoSpace => format!(
            "MISCONF there is no space for the log ({why}), the command was not applied; writes are \
             admitted again when there is"
        ),
        Refused::LogFailed => format!(
            "MISCONF the log has failed ({why}), the command was not applied; writes are refused until \
             the server is started again"
        ),
        other => refusal(other, Duration::ZERO),
    }
}

/// What becomes of a reply that waited for a log that has failed.
pub(crate) fn not_durable_for_ever(shard: usize, writes: bool) -> String {
    if writes {
        format!(
            "LOST shard={shard} the log failed before the change was durable; it may have been applied \
             here, and may be gone after the next start"
        )
    } else {
        format!(
            "MISCONF shard={shard} the log failed before what this would show was durable; nothing was \
             changed"
        )
    }
}

/// What becomes of a reply that waited until its deadline, for a log that stands still.
pub(crate) fn not_durable_in_time(shard: usize, writes: bool) -> String {
    if writes {
        format!(
            "LOST shard={shard} the deadline passed before the change was durable, and the log stands \
             still; it may have been applied here, and a crash may take it back"
        )
    } else {
        format!(
            "TRYAGAIN shard={shard} what this would show is not durable yet; nothing was changed"
        )
    }
}

/// A key that the log cannot keep.
pub(crate) fn key_too_long() -> String {
    let max = limits::LOGGED_KEY_BYTES_MAX;
    format!(
        "ERR a key of a store with a directory has {max} bytes at most, the command was not applied"
    )
}

fn refusal(refused: &Refused, service: Duration) -> String {
    match refused {
        Refused::LogFull { places } => log_full(*places),
        Refused::WalkBehind { bytes, bound } => walk_behind(*bytes, *bound),
        Refused::LogHasNoSpace | Refused::LogFailed => {
            log_refusal(refused, "see the server's output")
        }
        Refused::Recovering => LOADING.to_owned(),
        Refused::MailboxFull { shard, depth } | Refused::DeadlinePassed { shard, depth } => {
            throttled(*shard, *depth, service)
        }
        Refused::Busy { shard } => throttled(*shard, 0, service),
        Refused::Draining | Refused::Closed => DRAINING.to_owned(),
        Refused::ShardLost { shard } => shard_lost(*shard),
        Refused::Cancelled | Refused::OverLimit { .. } | Refused::Reentrant => {
            format!("ERR {refused}")
        }
        other => format!("ERR {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_finds_a_snapshot_behind_is_told_what_is_behind_and_when_to_come_back() {
        let bound = 64 << 20;
        let behind = |bytes| log_refusal(&Refused::WalkBehind { bytes, bound }, "");
        let expected = "THROTTLED walk bytes=33554433 bound=67108864 retry_in_ms=1";
        assert_eq!(behind(bound / 2 + 1), expected);
        let expected = "THROTTLED walk bytes=43554432 bound=67108864 retry_in_ms=1001";
        assert_eq!(behind(bound / 2 + 10_000_000), expected);
    }

    #[test]
    fn a_client_is_told_to_come_back_when_what_waits_is_likely_to_be_done() {
        let us = Duration::from_micros;
        let cases = [
            (0, us(5), 1),
            (1_000, us(1), 2),
            (1_000, us(250), 251),
            (usize::MAX, us(250), 10_001),
        ];
        for (depth, service, retry_in_ms) in cases {
            let text = throttled(3, depth, service);
            let expected = format!("THROTTLED shard=3 depth={depth} retry_in_ms={retry_in_ms}");
            assert_eq!(text, expected);
        }
    }
}
