//! The ways in which commands use their keys.

use super::super::{KeyFlags, KeySpec, set};

const fn one(at: u16, flags: KeyFlags) -> KeySpec {
    KeySpec::one(at, flags)
}

const fn every(step: u16, flags: KeyFlags) -> KeySpec {
    KeySpec::range(1, -1, step, flags)
}

pub(super) const READ: &[KeySpec] = &[one(1, &["RO", "access"])];
pub(super) const INSPECT: &[KeySpec] = &[one(1, &["RO"])];
pub(super) const INSPECT_SECOND: &[KeySpec] = &[one(2, &["RO"])];
pub(super) const CHANGE: &[KeySpec] = &[one(1, &["RW", "update"])];
pub(super) const READ_CHANGE: &[KeySpec] = &[one(1, &["RW", "access", "update"])];
pub(super) const READ_REMOVE: &[KeySpec] = &[one(1, &["RW", "access", "delete"])];
pub(super) const ADD: &[KeySpec] = &[one(1, &["RW", "insert"])];
pub(super) const CREATE: &[KeySpec] = &[one(1, &["OW", "insert"])];
pub(super) const REPLACE: &[KeySpec] = &[one(1, &["OW", "update"])];
pub(super) const SET: &[KeySpec] = &[one(1, &["RW", "access", "update", "variable_flags"])
    .noted("RW and ACCESS due to the optional `GET` argument")
    .varying(set::key_flags)];
pub(super) const GETEX: &[KeySpec] =
    &[one(1, &["RW", "access", "update"]).noted("RW and UPDATE because it changes the TTL")];

pub(super) const READ_ALL: &[KeySpec] = &[every(1, &["RO", "access"])];
pub(super) const INSPECT_ALL: &[KeySpec] = &[every(1, &["RO"])];
pub(super) const REMOVE_ALL: &[KeySpec] = &[every(1, &["RM", "delete"])];
pub(super) const REPLACE_PAIRS: &[KeySpec] = &[every(2, &["OW", "update"])];
pub(super) const CREATE_PAIRS: &[KeySpec] = &[every(2, &["OW", "insert"])];

pub(super) const RENAME: &[KeySpec] = &[
    one(1, &["RW", "access", "delete"]),
    one(2, &["OW", "update"]),
];
pub(super) const RENAMENX: &[KeySpec] = &[
    one(1, &["RW", "access", "delete"]),
    one(2, &["OW", "insert"]),
];
pub(super) const COPY: &[KeySpec] = &[one(1, &["RO", "access"]), one(2, &["OW", "update"])];
