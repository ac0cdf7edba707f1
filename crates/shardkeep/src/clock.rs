//! Wall-clock time, read in one place, behind a seam.
//!
//! Only expiry asks here. Deadlines are monotonic and belong to the core.

use crate::table::UnixMillis;

/// Tells when entries expire. The store's own is [`SystemClock`]; a test brings one that jumps.
///
/// Called while a shard is held: it must be quick and must not call the store.
pub trait Clock: Send + Sync + 'static {
    /// The present.
    fn now(&self) -> UnixMillis;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where wall-clock time is read"
        )]
        let now = std::time::SystemTime::now();
        // A clock set before 1970 reads as 1970: everything with an expiry lives on.
        let since = now
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
