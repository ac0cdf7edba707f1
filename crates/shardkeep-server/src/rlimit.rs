//! How many files the process may have open: a connection is one of them.
//!
//! Raises the limit, never lowers it. Where it cannot be raised enough fewer clients are admitted; where there is
//! no room for one, it says what is missing.

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

/// Lets the process have the open files that a server with `settings` needs. Where the hard limit is lower, as
/// many clients are admitted as it has room for: the line that says so is returned. Does not block.
///
/// ```
/// use shardkeep_server::{config::Settings, rlimit};
///
/// let mut settings = Settings { max_clients: 10, ..Settings::default() };
/// assert_eq!(rlimit::fit(&mut settings)?, None);
/// # Ok::<(), rlimit::OpenFilesError>(())
/// ```
///
/// # Errors
/// The hard limit has no room for a single client, and cannot be raised.
pub fn fit(settings: &mut Settings) -> Result<Option<String>, OpenFilesError> {
    let needed = needed_for(settings);
    let Err(error) = raise_open_files(needed) else {
        return Ok(None);
    };
    let others = needed - settings.max_clients as u64;
    let room = error.hard.and_then(|hard| hard.checked_sub(others));
    let (Some(hard), Some(room @ 1..)) = (error.hard, room) else {
        return Err(error);
    };
    raise_open_files(hard)?;
    let wanted = std::mem::replace(&mut settings.max_clients, room as usize);
    Ok(Some(format!(
        "{room} clients are admitted at once, not {wanted} (max_clients): the hard limit of open files is {hard}, \
         and {needed} would be needed (`ulimit -Hn {needed}`, or LimitNOFILE={needed} in a unit file)"
    )))
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
    fn as_many_clients_are_admitted_as_there_are_files_for() {
        // More than the kernel allows any process, however privileged.
        let mut settings = Settings {
            max_clients: 1 << 40,
            ..Settings::default()
        };
        let warning = fit(&mut settings).unwrap();
        let hard = getrlimit(Resource::Nofile).maximum;
        assert_eq!(warning.is_some(), hard.is_some(), "{warning:?}");
        if let (Some(warning), Some(hard)) = (warning, hard) {
            assert_eq!(needed_for(&settings), hard);
            let admitted = format!("{} clients are admitted at once, not", settings.max_clients);
            assert!(warning.starts_with(&admitted), "{warning}");
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
