//! Who is connected: what CLIENT LIST shows, and how many there may be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;

use crate::engine::ReplyPort;
use shardkeep_data::commands::CommandId;

/// What everybody may know of one client. Written by its reactor, once per round at most.
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) address: String,
    pub(crate) local_address: String,
    pub(crate) fd: i32,
    pub(crate) since: Instant,
    /// Milliseconds after `since` at which it last sent something.
    pub(crate) active_ms: AtomicU64,
    /// Index of its last command, one more than it; 0 for none.
    pub(crate) command: AtomicU16,
    pub(crate) protocol: AtomicU8,
    /// The database that it has selected.
    pub(crate) database: AtomicU16,
    /// Bytes of requests that were read and not served, and what the buffers for them take.
    pub(crate) pending_bytes: AtomicUsize,
    pub(crate) input_held: AtomicUsize,
    /// Bytes of replies that were not sent, and what the buffers for them take.
    pub(crate) output_bytes: AtomicUsize,
    pub(crate) output_held: AtomicUsize,
    /// Commands that it has queued since MULTI, -1 outside of a transaction; and what they take.
    pub(crate) queued: AtomicI64,
    pub(crate) queued_bytes: AtomicUsize,
    pub(crate) labels: Mutex<Labels>,
    /// It is to end.
    killed: AtomicBool,
    /// That of the reactor which serves it.
    home: OnceLock<Arc<ReplyPort>>,
}

impl Client {
    /// Notes who serves it.
    pub(crate) fn settle(&self, home: &Arc<ReplyPort>) {
        self.home.get_or_init(|| Arc::clone(home));
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(SeqCst)
    }

    /// Bytes that the buffers for its requests and replies take, and its transaction.
    pub(crate) fn buffer_bytes(&self) -> usize {
        let queued = self.queued_bytes.load(Relaxed);
        self.input_held.load(Relaxed) + self.output_held.load(Relaxed) + queued
    }

    /// Notes what is kept of its requests, and what that takes.
    #[inline]
    pub(crate) fn note_input(&self, bytes: usize, held: usize) {
        self.pending_bytes.store(bytes, Relaxed);
        self.input_held.store(held, Relaxed);
    }

    /// Notes what is kept of its replies, and what that takes.
    pub(crate) fn note_output(&self, bytes: usize, held: usize) {
        self.output_bytes.store(bytes, Relaxed);
        self.output_held.store(held, Relaxed);
    }

    /// Notes how many commands its transaction holds, and what they take; `None` where there is none.
    pub(crate) fn note_transaction(&self, queue: Option<(usize, usize)>) {
        let (queued, bytes) = queue.map_or((-1, 0), |(queued, bytes)| (queued as i64, bytes));
        self.queued.store(queued, Relaxed);
        self.queued_bytes.store(bytes, Relaxed);
    }

    /// Notes what it did last.
    pub(crate) fn note(&self, now: Instant, command: Option<CommandId>) {
        let since = now.saturating_duration_since(self.since);
        let active_ms = since.as_secs() * 1_000 + u64::from(since.subsec_millis());
        self.active_ms.store(active_ms, Relaxed);
        if let Some(CommandId(id)) = command {
            self.command.store(id + 1, Relaxed);
        }
    }
}

/// What a client says of itself.
#[derive(Default)]
pub(crate) struct Labels {
    pub(crate) name: String,
    pub(crate) library: String,
    pub(crate) library_version: String,
}

/// All clients of the server.
pub(crate) struct Clients {
    max: AtomicUsize,
    /// What `max` was at the start: there is room for no more.
    most: usize,
    next_id: AtomicU64,
    list: Mutex<BTreeMap<u64, Arc<Client>>>,
    connected: AtomicUsize,
    /// Goes up with each that is to end.
    kills: AtomicU64,
    pub(crate) accepted_total: AtomicU64,
    pub(crate) refused_total: AtomicU64,
}

impl Clients {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max: AtomicUsize::new(max),
            most: max,
            next_id: AtomicU64::new(1),
            list: Mutex::new(BTreeMap::new()),
            connected: AtomicUsize::new(0),
            kills: AtomicU64::new(0),
            accepted_total: AtomicU64::new(0),
            refused_total: AtomicU64::new(0),
        }
    }

    pub(crate) fn max(&self) -> usize {
        self.max.load(Relaxed)
    }

    /// What [`Clients::set_max`] takes at most.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Admits so many from now on; those that there are stay.
    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max.min(self.most), Relaxed);
    }

    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Relaxed)
    }

    /// Admits one more, unless there are as many as there may be. Called by the acceptor alone.
    pub(crate) fn admit(
        &self,
        peer: Option<SocketAddr>,
        local: String,
        fd: i32,
        now: Instant,
    ) -> Option<Arc<Client>> {
        if self.connected() >= self.max() {
            self.refused_total.fetch_add(1, Relaxed);
            return None;
        }
        self.accepted_total.fetch_add(1, Relaxed);
        self.connected.fetch_add(1, Relaxed);
        let address = peer.map_or_else(|| format!("{local}:0"), |peer| peer.to_string());
        let client = Arc::new(Client {
            id: self.next_id.fetch_add(1, Relaxed),
            address,
            local_address: local,
            fd,
            since: now,
            active_ms: AtomicU64::new(0),
            command: AtomicU16::new(0),
            protocol: AtomicU8::new(2),
            database: AtomicU16::new(0),
            pending_bytes: AtomicUsize::new(0),
            input_held: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            output_held: AtomicUsize::new(0),
            queued: AtomicI64::new(-1),
            queued_bytes: AtomicUsize::new(0),
            labels: Mutex::new(Labels::default()),
            killed: AtomicBool::new(false),
            home: OnceLock::new(),
        });
        self.list.lock().insert(client.id, Arc::clone(&client));
        Some(client)
    }

    pub(crate) fn leave(&self, id: u64) {
        if self.list.lock().remove(&id).is_some() {
            self.connected.fetch_sub(1, Relaxed);
        }
    }

    /// Has a client's connection ended by its reactor, which looks when [`Clients::kills`] has changed.
    pub(crate) fn kill(&self, client: &Client) {
        client.killed.store(true, SeqCst);
        self.kills.fetch_add(1, SeqCst);
        // Without a home it is on its way there, and is looked at when it arrives.
        if let Some(home) = client.home.get() {
            home.ring();
        }
    }

    /// How many were to end so far.
    pub(crate) fn kills(&self) -> u64 {
        // Whoever sees one counted sees it noted.
        self.kills.load(SeqCst)
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.list.lock().values().cloned().collect()
    }
}
