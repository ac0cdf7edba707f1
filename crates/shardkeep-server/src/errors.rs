//! The errors of our own: what Redis has no words for.

use shardkeep::engine::{Error, Lost, Refused};
use shardkeep_resp::{Protocol, Reply};

/// The server finishes what it has read, and admits nothing new.
pub(crate) const DRAINING: &str =
    "DRAINING the server is shutting down, the command was not applied";

/// More replies than a connection may have pending.
pub(crate) const OUTPUT_LIMIT: &str = "ERR replies of one pipeline exceed the output limit (268435456 bytes), the command was not \
     applied";

/// More than one reply may hold.
pub(crate) const REPLY_LIMIT: &str = "ERR the reply exceeds the output limit (1073741824 bytes)";

pub(crate) const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

pub(crate) const NO_AUTH: &str = "NOAUTH Authentication required.";

/// Works of one microsecond each are a fair guess for how long a full mailbox takes.
const WORKS_PER_MS: usize = 1_000;

pub(crate) fn encode(text: &str, out: &mut Vec<u8>) {
    Reply::new(out, Protocol::Resp2).error(text);
}

pub(crate) fn throttled(shard: usize, depth: usize) -> String {
    let retry_in_ms = 1 + depth / WORKS_PER_MS;
    format!("THROTTLED shard={shard} depth={depth} retry_in_ms={retry_in_ms}")
}

pub(crate) fn lost(shard: usize) -> String {
    format!("LOST shard={shard} the outcome is unknown, the command may have been applied")
}

pub(crate) fn shard_lost(shard: usize) -> String {
    format!("TRYAGAIN shard={shard} is being rebuilt, the command was not applied")
}

/// What a client is told of a work that did not run to its end.
pub(crate) fn text(error: &Error) -> String {
    match error {
        Error::Lost(Lost::DeadlinePassed { shard } | Lost::ShardLost { shard }) => lost(*shard),
        Error::Lost(other) => format!("LOST {other}"),
        Error::Refused(refused) => refusal(refused),
    }
}

fn refusal(refused: &Refused) -> String {
    match refused {
        Refused::MailboxFull { shard, depth } | Refused::DeadlinePassed { shard, depth } => {
            throttled(*shard, *depth)
        }
        Refused::Busy { shard } => throttled(*shard, 0),
        Refused::Draining | Refused::Closed => DRAINING.to_owned(),
        Refused::ShardLost { shard } => shard_lost(*shard),
        Refused::Cancelled | Refused::OverLimit { .. } | Refused::Reentrant => {
            format!("ERR {refused}")
        }
        other => format!("ERR {other}"),
    }
}
