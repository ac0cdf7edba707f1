//! The ways in which commands use their keys.

use super::{KeyFlags, KeySpec};
use crate::types::string;

const fn one(at: u16, flags: KeyFlags) -> KeySpec {
    KeySpec::one(at, flags)
}

const fn every(step: u16, flags: KeyFlags) -> KeySpec {
    KeySpec::range(1, -1, step, flags)
}

pub(crate) const READ: &[KeySpec] = &[one(1, &["RO", "access"])];
pub(crate) const INSPECT: &[KeySpec] = &[one(1, &["RO"])];
pub(crate) const INSPECT_SECOND: &[KeySpec] = &[one(2, &["RO"])];
pub(crate) const CHANGE: &[KeySpec] = &[one(1, &["RW", "update"])];
pub(crate) const READ_CHANGE: &[KeySpec] = &[one(1, &["RW", "access", "update"])];
pub(crate) const READ_REMOVE: &[KeySpec] = &[one(1, &["RW", "access", "delete"])];
pub(crate) const ADD: &[KeySpec] = &[one(1, &["RW", "insert"])];
pub(crate) const CREATE: &[KeySpec] = &[one(1, &["OW", "insert"])];
pub(crate) const REPLACE: &[KeySpec] = &[one(1, &["OW", "update"])];
pub(crate) const SET: &[KeySpec] = &[one(1, &["RW", "access", "update", "variable_flags"])
    .noted("RW and ACCESS due to the optional `GET` argument")
    .varying(string::key_flags)];
pub(crate) const GETEX: &[KeySpec] =
    &[one(1, &["RW", "access", "update"]).noted("RW and UPDATE because it changes the TTL")];

pub(crate) const READ_ALL: &[KeySpec] = &[every(1, &["RO", "access"])];
pub(crate) const INSPECT_ALL: &[KeySpec] = &[every(1, &["RO"])];
pub(crate) const REMOVE_ALL: &[KeySpec] = &[every(1, &["RM", "delete"])];
pub(crate) const REPLACE_PAIRS: &[KeySpec] = &[every(2, &["OW", "update"])];
pub(crate) const CREATE_PAIRS: &[KeySpec] = &[every(2, &["OW", "insert"])];

pub(crate) const RENAME: &[KeySpec] = &[
    one(1, &["RW", "access", "delete"]),
    one(2, &["OW", "update"]),
];
pub(crate) const RENAMENX: &[KeySpec] = &[
    one(1, &["RW", "access", "delete"]),
    one(2, &["OW", "insert"]),
];
pub(crate) const COPY: &[KeySpec] = &[one(1, &["RO", "access"]), one(2, &["OW", "update"])];
