//! A store that outlives its process, as its user sees it: what is there after opening it again.

#![expect(clippy::disallowed_methods, reason = "a test may wait")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backup;
mod closing;
mod making;
mod opening;
mod place;
mod reopening;
mod room;
mod types;
mod unsynced;
mod walking;
