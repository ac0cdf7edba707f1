//! Bugs of walks and effects that tests plant on purpose, to see that something notices them. Not in release
//! builds.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// A reader removes an entry whose time has come, without an effect.
    SilentExpiry = 1,
    /// A command that may change entries removes one whose time has come, without an effect.
    ExpiryUnlogged,
    /// An entry that is born after a cut counts as missing in the walk.
    BornMissing,
    /// A change hands nothing over.
    NotHandedOver,
    /// An entry is written under the number that its database has now.
    NumberOfNow,
    /// A flushed table is not in the walk.
    FlushForgotten,
    /// A walk that is void leaves its bit to the next at once.
    VoidBitReused,
    /// A change that depends on what was there is handed over as little as one that does not.
    RelativeAsWhole,
}

/// All of them.
pub const ALL: [Fault; 8] = [
    Fault::SilentExpiry,
    Fault::ExpiryUnlogged,
    Fault::BornMissing,
    Fault::NotHandedOver,
    Fault::NumberOfNow,
    Fault::FlushForgotten,
    Fault::VoidBitReused,
    Fault::RelativeAsWhole,
];

/// Whether a fault is planted: never, in a release.
#[cfg(not(debug_assertions))]
#[inline(always)]
#[must_use]
pub const fn is_planted(_: Fault) -> bool {
    false
}

#[cfg(debug_assertions)]
mod planted {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<u8> = const { Cell::new(0) };
    }

    /// Plants `fault`, or none, in every shard that this thread has in hand.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault.map_or(0, |fault| fault as u8));
    }

    /// Whether a fault is planted.
    #[must_use]
    pub fn is_planted(fault: Fault) -> bool {
        PLANTED.get() == fault as u8
    }
}

#[cfg(debug_assertions)]
pub use planted::{is_planted, plant};
