//! How many files the process may have open: a connection is one of them.
//!
//! Raises the limit, never lowers it, and says what is missing when it cannot.

use std::error::Error;
use std::fmt;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Settings;

/// Files beside listeners, connections and reactors: the standard streams, the pipes of signals and
/// acceptor, the sockets that are accepted only to be refused. About 20 in practice.
const FILES_RESERVED: u64 = 128;

/// Files of a store on disk: directory, lock, segments and snapshots that are being written and read.
const FILES_OF_STORE: u64 = 32;

/// Files of one reactor: its poll, its waker, and two to spare.
const FILES_PER_REACTOR: u64 = 4;

/// The limit is too low and cannot be raised.
#[derive(Debug)]
pub struct OpenFilesError {
    needed: u64,
    /// `None` where there is no limit.
    soft: Option<u64>,
    hard: Option<u64>,
    error: io::Error,
}

impl fmt::Display for OpenFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |limit: Option<u64>| limit.map_or("none".to_owned(), |files| files.to_string());
        write!(
            f,
            "{needed} open files are needed, but the limit is {soft} (hard limit {hard}) and \
             cannot be raised: {error}; raise the hard limit (`ulimit -Hn {needed}`, or \
             LimitNOFILE={needed} in a unit file) or lower max_clients",
            needed = self.needed,
            soft = shown(self.soft),
            hard = shown(self.hard),
            error = self.error,
        )
    }
}

impl Error for OpenFilesError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Open files that a server with these settings needs at most.
///
/// ```
/// use shardkeep_server::{config::Settings, rlimit};
///
/// assert!(rlimit::needed_for(&Settings::default()) > 10_000);
/// ```
#[must_use]
pub fn needed_for(settings: &Settings) -> u64 {
    let reactors = settings
        .reactors
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let listeners = settings.bind.len() + usize::from(settings.unix_socket.is_some());
    let store = settings.dir.as_ref().map_or(0, |_| FILES_OF_STORE);
    FILES_RESERVED
        + store
        + (settings.max_clients as u64)
        + (listeners as u64)
        + FILES_PER_REACTOR * (reactors as u64)
}

/// Lets the process have `needed` open files; does nothing where it may already. Does not block.
///
/// ```
/// shardkeep_server::rlimit::raise_open_files(64)?;
/// # Ok::<(), shardkeep_server::rlimit::OpenFilesError>(())
/// ```
///
/// # Errors
/// The hard limit is lower, and only a privileged process could raise that.
pub fn raise_open_files(needed: u64) -> Result<(), OpenFilesError> {
    let limit = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|files| files >= needed);
    if is_enough(limit.current) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: if is_enough(limit.maximum) {
            limit.maximum
        } else {
            Some(needed)
        },
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| OpenFilesError {
        needed,
        soft: limit.current,
        hard: limit.maximum,
        error: error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_and_never_lowered() {
        let before = getrlimit(Resource::Nofile).current;
        raise_open_files(1).unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, before);
        let limit = getrlimit(Resource::Nofile);
        if let (Some(soft), Some(hard)) = (limit.current, limit.maximum)
            && soft < hard
        {
            raise_open_files(soft + 1).unwrap();
            assert_eq!(getrlimit(Resource::Nofile).current, Some(soft + 1));
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_the_numbers() {
        // More than the kernel allows any process, however privileged.
        let text = raise_open_files(1 << 40).unwrap_err().to_string();
        assert!(
            text.starts_with("1099511627776 open files are needed"),
            "{text}"
        );
        assert!(text.contains("max_clients"), "{text}");
    }
}
