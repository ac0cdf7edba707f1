//! Who may touch a shard, and when.
//!
//! A [`Keep`] is a set of shards, each a private map ([`State`]) with exactly one owner at any
//! moment. Ownership moves: an idle shard lies on its *desk*, and whoever has work *borrows* it,
//! works, and puts it back. Where the desk is empty somebody is at work with the shard; then the work
//! goes into the shard's bounded *mailbox*, and whoever holds the shard serves the mailbox before
//! putting it back. Nobody waits for a lock, and there is no async runtime: threads, two swaps, and
//! bounded queues.
//!
//! This crate knows no keys, no files and no sockets. `shardkeep` builds the store on it.
//!
//! Layers; upper ones use lower ones and never the reverse:
//!
//! ```text
//! facade      idle reserve            borrowing in passing; places for writes, waiting for a sync
//!             cut                     all shards in hand for a moment
//!             keep opening closing    borrows, mails; opens; drains, joins
//! threads     owner remaking          the doorbell loop: long service, tending, rebuilding
//!             supervisor fail_fast    children started again, or stopped; groups that fail together
//!             committer syncer        commits when nobody else does; syncs beside the writers
//! hand-over   shared borrowing        what all share; a shard off its desk, and back
//!             posting sending         mailing a work; transactions, to an owner
//!             service acquire         serving mail; several shards at once
//!             lost place              a lost shard and its mail; places while they are used
//!             desk spot mailbox loan mail port doorbell ticket work
//!             turns                   the effects of a transaction, in their order
//!             durable duty            waiting for a sync; what is done with the journal in hand
//!             log holding awaiting    the log, lent; who waits for a sync
//!             aside                   a sync that runs beside the writers
//!             dropping                the thread for values that no caller drops
//!             semaphore               so many at a time
//!             threads                 the threads of a keep, joined by a deadline
//!             door                    admission, and waiting for a place
//!             pressure                what waits in the buffer of a walk, and who waits for that
//!             event                   what a keep says to whoever opened it
//! pure        batch group             what waits and when it is due; a batch by shard
//!             restart child           whether what failed is started again, and when
//!             watch                   who makes no progress
//!             token_bucket            how much may go now, at a rate
//!             discard                 values on their way to their own `Drop`
//!             journal unsynced        effects, and which of them are not durable
//!             progress                how long a wait for the log goes on
//! vocabulary  limits config error clock deadline cancel stats log_stats
//!             histogram panicked fail_point
//!             process                 the process that a keep belongs to
//! ```
//!
//! Invariants:
//!
//! 1. A shard is on its desk, in exactly one loan, or lost and being rebuilt.
//! 2. Every queue has a bound with a name; every wait has a deadline or an event that must come.
//! 3. The holder of a shard never blocks; a transaction waits for a *higher* shard, by its deadline.
//! 4. A refused work was never applied; a lost one may have been.
//! 5. `unsafe` is in the desk, and where forks are watched for, alone.
//!
//! ```
//! use std::time::Duration;
//! use shardkeep_core::{Borrowed, Call, Config, Deadline, Keep, NoJournal, NoTransaction, Outcome, State, Work};
//!
//! #[derive(Default)]
//! struct Count(u64);
//! struct Add(u64);
//!
//! impl State for Count {
//!     type Work = Add;
//!     type Transaction = NoTransaction;
//!     type Journal = NoJournal;
//! }
//! impl Work<Count> for Add {
//!     fn deadline(&self) -> Deadline { Deadline::after(Duration::from_secs(1)) }
//!     fn begin(&mut self) -> bool { true }
//!     fn run(&mut self, count: &mut Count) { count.0 += self.0; }
//!     fn settle(self, _: Outcome) {}
//!     fn is_write(&self) -> bool { true }
//! }
//!
//! let keep = Keep::open(Config::default(), |_| Count::default(), |_| {})?;
//! match keep.borrow(0) {
//!     Borrowed::Loan(mut loan) => loan.change(|count| count.0 += 2),
//!     Borrowed::Away => {
//!         let call = Call::by(Deadline::after(Duration::from_secs(1)));
//!         keep.post(0, Add(2), &call).map_err(|(_, refused)| refused)?;
//!     }
//!     Borrowed::Closed => unreachable!("nobody has closed it"),
//! }
//! let report = keep.close(Deadline::after(Duration::from_secs(1)));
//! assert!(report.is_clean());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acquire;
mod aside;
mod awaiting;
mod batch;
mod borrowing;
mod cancel;
mod child;
pub mod clock;
mod closing;
mod committer;
mod config;
mod cut;
mod deadline;
mod desk;
mod discard;
mod door;
mod doorbell;
mod dropping;
mod durable;
mod duty;
mod error;
mod event;
pub mod fail_fast;
#[doc(hidden)]
pub mod fail_point;
#[cfg_attr(
    not(any(shuttle, loom)),
    expect(unreachable_pub, reason = "public for the explorers")
)]
mod fault;
pub mod group;
pub mod histogram;
mod holding;
mod idle;
mod journal;
mod keep;
pub mod limits;
mod loan;
mod log;
mod log_stats;
mod lost;
mod mail;
mod mailbox;
mod opening;
mod owner;
mod panicked;
mod place;
mod port;
mod posting;
mod pressure;
#[doc(hidden)]
pub mod process;
mod progress;
mod remaking;
mod reserve;
pub mod restart;
pub mod semaphore;
mod sending;
mod service;
mod shared;
mod spot;
mod stats;
pub mod supervisor;
mod sync;
mod syncer;
mod threads;
mod ticket;
pub mod token_bucket;
mod turns;
mod unsynced;
pub mod watch;
mod work;

pub use cancel::CancelToken;
pub use closing::CloseReport;
pub use config::{Config, Durability, Handover, Overload, SyncMode};
pub use cut::Cut;
pub use deadline::{Call, Deadline};
pub use discard::{Discard, Discarded, Remaining};
pub use duty::JournalDesk;
pub use error::{Error, Lost, OpenError, Refused};
pub use event::Event;
#[cfg(any(shuttle, loom))]
pub use fault::{Fault, plant};
pub use idle::Visit;
pub use journal::{DetachedSync, Effects, Journal, JournalError, NoJournal, Room};
pub use keep::{Borrowed, Keep};
pub use loan::{Loan, Loans};
pub use log::LogEvent;
pub use log_stats::{LogDistributions, LogStats};
pub use place::{Places, Reservation};
pub use pressure::Pressure;
pub use shared::Shared;
pub use stats::{RefusedStats, ShardStats};
pub use sync::Wake;
pub use ticket::Ticket;
pub use work::{NoTransaction, Outcome, State, Tended, Transaction, Work};
