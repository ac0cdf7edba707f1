//! The configuration of the server: one table of settings, and what is read into it.
//!
//! Everything here is pure but `outside`, through which variables and files come in. It opens no socket and
//! starts nothing; a configuration that gets through is one the server can try.
//!
//! ```text
//! resolve           flags over environment over file over defaults, checked as a whole
//! flags   file      what is read: flags and --help, TOML      print      what is written: TOML
//! parameter         names and forms of CONFIG                 runtime    what can change while the server runs
//! table             a row for each setting
//! field             a value and what it may be                settings   the values as a struct
//! ```

pub mod bounds;
mod error;
mod field;
mod file;
mod flags;
mod origin;
mod outside;
mod parameter;
mod print;
mod resolve;
mod runtime;
mod secret;
mod settings;
mod table;
mod value;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub(crate) use field::Named;
pub(crate) use flags::{Cli, Command, ImportFlags, ServeFlags};
pub use origin::Origin;
pub(crate) use origin::echo;
#[cfg(test)]
pub(crate) use outside::Contents;
pub(crate) use outside::{Machine, Outside};
pub(crate) use parameter::{Known, known};
pub(crate) use resolve::Resolved;
pub(crate) use runtime::Runtime;
pub use secret::Secret;
pub use settings::{AdminAt, Commit, Handover, LogFormat, Overload, Settings, Sync};
pub(crate) use table::Draft;
