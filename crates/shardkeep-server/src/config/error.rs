//! Why a configuration is refused.
//!
//! Every variant names the culprit, its value, where it came from and what would have been allowed:
//! whoever reads it can mend it without a manual. All of them mean the same to the program: exit
//! code 78, nothing was started.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::origin::{Origin, echo};

/// A configuration that is refused. Nothing was started or changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting has a value that it cannot have.
    Value {
        /// The setting, as the file spells it.
        name: &'static str,
        /// The value, escaped and capped.
        value: String,
        /// Where it came from.
        origin: Origin,
        /// What it may be.
        allowed: String,
    },
    /// There is no such setting.
    UnknownKey {
        /// The key as it was given.
        key: String,
        /// Its value, escaped and capped.
        value: String,
        /// Where it came from.
        origin: Origin,
        /// What there is instead.
        allowed: String,
    },
    /// A setting means nothing without another.
    Needs {
        /// The setting.
        name: &'static str,
        /// Where it came from.
        origin: Origin,
        /// What it needs.
        needs: String,
    },
    /// An address that others can reach, and no password.
    Unprotected {
        /// The address.
        address: SocketAddr,
        /// Where it came from.
        origin: Origin,
    },
    /// Neither an address nor a unix socket.
    NowhereToListen {
        /// Where the empty list of addresses came from.
        origin: Origin,
    },
    /// A file that a setting names cannot be read.
    Unreadable {
        /// The setting that names it.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Where its name came from.
        origin: Origin,
        /// What the system says.
        error: io::Error,
    },
    /// The configuration file is not TOML.
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says; never the text of the file.
        message: String,
    },
    /// The password file holds no usable password.
    Password {
        /// The file.
        path: PathBuf,
        /// Where its name came from.
        origin: Origin,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value {
                name,
                value,
                origin,
                allowed,
            } => write!(
                f,
                "{name} = {value} ({origin}) is refused; allowed: {allowed}"
            ),
            Self::UnknownKey {
                key,
                value,
                origin,
                allowed,
            } => write!(
                f,
                "unknown setting {} = {value} ({origin}); allowed: {allowed}",
                echo(key)
            ),
            Self::Needs {
                name,
                origin,
                needs,
            } => write!(f, "{name} ({origin}) is refused: it needs {needs}"),
            Self::Unprotected { address, origin } => write!(
                f,
                "bind = {address} ({origin}) is refused: whoever reaches that address would get in \
                 without a password; put a password on the first line of a file and name it with \
                 password_file, or bind to a loopback address such as 127.0.0.1:{}",
                address.port()
            ),
            Self::NowhereToListen { origin } => write!(
                f,
                "bind = none ({origin}) is refused: without an address the server needs a \
                 unix_socket"
            ),
            Self::Unreadable {
                name,
                path,
                origin,
                error,
            } => write!(
                f,
                "{name} = {} ({origin}) cannot be read: {error}",
                echo(&path.to_string_lossy())
            ),
            Self::Syntax {
                path,
                line,
                message,
            } => write!(
                f,
                "{}:{line} is not TOML: {}",
                echo(&path.to_string_lossy()),
                message.replace('\n', "; ")
            ),
            Self::Password {
                path,
                origin,
                problem,
            } => write!(
                f,
                "password_file = {} ({origin}) is refused: {problem}",
                echo(&path.to_string_lossy())
            ),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => error.source(),
            Self::Value { .. }
            | Self::UnknownKey { .. }
            | Self::Needs { .. }
            | Self::Unprotected { .. }
            | Self::NowhereToListen { .. }
            | Self::Syntax { .. }
            | Self::Password { .. } => None,
        }
    }
}
