//! The embeddable store.
mod router;
pub mod engine;
pub mod table;

pub use router::Router;
