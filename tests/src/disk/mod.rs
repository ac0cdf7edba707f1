//! A simulated disk, and the crashes of a store on it.
//!
//! The disk stands behind the log's own seam, so what runs is the log as it is.
//!
//! 1. What was synced survives; of the rest chance keeps what it likes.
//! 2. The same seed gives the same story, the same crashes, and the same verdict.

mod campaign;
mod damage;
mod oracle;
mod simulated;
mod state;
mod story;
mod trouble;

pub use campaign::{Failure, Tally, explore, explore_first};
pub use damage::{Left, Outcome, Plan, Stored};
pub use oracle::Verdict;
pub use simulated::{Call, Disk, DiskFile, Moment, Order, Trouble};
pub use state::{SECTOR_BYTES, State};
pub use story::{Ending, STORE, Story, Syncs};
pub use trouble::suffer;
