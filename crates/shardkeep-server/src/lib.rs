//! The server: RESP over TCP and Unix sockets, on the store's hand-over.
//!
//! A reactor for each core reads its clients' requests, borrows the shards they touch, runs the
//! commands and writes the replies in request order; what it cannot borrow it mails. Nothing in here
//! waits for a shard, and no reply waits for another client's.
//!
//! ```text
//! binary      cli   operator                       config, signals, notify, rlimit, say
//! offline     rdb                                  import of Redis' files
//! threads     server    reactor    acceptor        context: what they share; tree: who is restarted how
//!             keeper                               opening, persistence: a store with a directory
//! execution   engine                               works, transactions, reply ports
//! commands    session   info   parameters   operate              those on keys: `shardkeep_data`
//! looking     admin                                latency, slowlog, stats, process
//! ```

mod admin;
mod buffer;
pub mod cli;
mod clients;
mod clock;
pub mod config;
mod context;
mod engine;
mod errors;
pub mod fault;
mod figures;
pub mod heap;
mod info;
mod info_persistence;
mod keeper;
mod latency;
pub mod limits;
mod listening;
mod logins;
mod notify;
mod opening;
mod operate;
mod operator;
mod output;
mod panicking;
mod parameters;
mod persistence;
mod process;
pub mod rdb;
mod reactor;
pub mod rlimit;
mod say;
pub mod server;
mod session;
mod signals;
mod slowlog;
mod stats;
mod tree;
