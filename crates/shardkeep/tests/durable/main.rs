//! A store that outlives its process, as its user sees it: what is there after opening it again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod making;
mod place;
mod reopening;
mod unsynced;
