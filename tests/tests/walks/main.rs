//! Walks through a store that goes on: snapshots one after the other under random changes, and a kill meanwhile.
//! What the store holds afterwards is known, because what it was asked and has answered is.
//!
//! `WALK_ROUNDS` makes more rounds than a build has time for, and `WALK_SEED` plays others.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod model;
#[cfg(test)]
mod support;
