//! The untyped engine: for programs that bring their own state and works, as the server does.
//!
//! Not a store: it knows no keys. It is the hand-over of `shardkeep-core`, the table and the router,
//! under one roof, so that such a program depends on this crate alone.

#[doc(hidden)]
pub use shardkeep_core::fail_point;
pub use shardkeep_core::{
    Borrowed, Call, CancelToken, CloseReport, Config, Cut, Deadline, Discard, Durability, Effects,
    Error, Event, Handover, Journal, JournalDesk, JournalError, Keep, Loan, Loans,
    LogDistributions, LogEvent, LogStats, Lost, NoJournal, NoTransaction, OpenError, Outcome,
    Overload, Places, Pressure, Refused, RefusedStats, Reservation, Room, ShardStats, Shared,
    State, SyncMode, Tended, Ticket, Transaction, Visit, Wake, Work, clock, fail_fast, group,
    histogram, limits, restart, supervisor, watch,
};
