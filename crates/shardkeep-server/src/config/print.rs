//! The settings in force as a configuration file.
//!
//! 1. Read back as a file, it gives the same settings.
//! 2. It names the password's file and never the password.

use std::fmt::Write as _;

use super::resolve::Resolved;
use super::table::SETTINGS;

/// Column where the comments begin, if the assignment leaves room.
const COMMENT_COLUMN: usize = 36;

/// Every setting on its line, with where it came from.
pub(super) fn to_toml(resolved: &Resolved) -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let origin = resolved.origin(setting.name);
        let line = match setting.show(&resolved.draft) {
            Ok(value) => format!("{} = {value}", setting.name),
            Err(why) => format!("# {}: {why}", setting.name),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line:COMMENT_COLUMN$} # {origin}");
    }
    text
}
