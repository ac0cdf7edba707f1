//! What all threads of one server share.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use crossbeam_channel::Sender;
use shardkeep::engine::supervisor::{ChildState, Supervisor};
use shardkeep::engine::watch::Watch;

use crate::clients::Clients;
use crate::config::{Runtime, Secret, Settings};
use crate::engine::{Gauges, Routes, ServerKeep};
use crate::figures::Figures;
use crate::logins::Logins;
use crate::notify::Notifier;
use crate::persistence::Persistence;
use crate::server::ShutdownCause;
use crate::stats::ReactorStats;

pub(crate) struct Context {
    pub(crate) keep: ServerKeep,
    pub(crate) routes: Routes,
    pub(crate) gauges: Arc<Gauges>,
    /// Of a store with a directory.
    pub(crate) persistence: Option<Persistence>,
    pub(crate) clients: Clients,
    pub(crate) reactors: Vec<Arc<ReactorStats>>,
    pub(crate) settings: Settings,
    pub(crate) password: Option<Secret>,
    /// Those that failed.
    pub(crate) logins: Logins,
    /// From which some of the settings were read.
    pub(crate) config_file: OnceLock<PathBuf>,
    /// What of the settings can change.
    pub(crate) runtime: Runtime,
    pub(crate) started: Instant,
    /// 40 hexadecimal digits, new for each start.
    pub(crate) run_id: String,
    /// Port of the first TCP address.
    pub(crate) port: u16,
    pub(crate) shutdown: Sender<ShutdownCause>,
    drain: OnceLock<Instant>,
    pub(crate) accepting: AtomicBool,
    /// A stop was announced, or begun: whoever asks whether the server is ready is told no.
    pub(crate) stopping: AtomicBool,
    /// Of the server's own threads, and of the admin endpoint. Weak: they hold the context.
    pub(crate) supervisors: OnceLock<[Weak<Supervisor>; 2]>,
    /// What INFO counts.
    pub(crate) figures: Figures,
    /// Threads that make no progress.
    pub(crate) watch: Watch,
    /// Told that the server is alive, after each look that finds nobody stalled.
    pub(crate) notifier: OnceLock<Notifier>,
}

/// The parts of a context that are known when a server starts.
pub(crate) struct Parts {
    pub(crate) keep: ServerKeep,
    pub(crate) routes: Routes,
    pub(crate) gauges: Arc<Gauges>,
    /// Of a store with a directory.
    pub(crate) persistence: Option<Persistence>,
    pub(crate) reactors: Vec<Arc<ReactorStats>>,
    pub(crate) settings: Settings,
    pub(crate) started: Instant,
    pub(crate) run_id: String,
    pub(crate) port: u16,
    pub(crate) shutdown: Sender<ShutdownCause>,
}

impl Context {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            keep,
            routes,
            gauges,
            persistence,
            reactors,
            settings,
            started,
            run_id,
            port,
            shutdown,
        } = parts;
        let context = Self {
            keep,
            routes,
            gauges,
            persistence,
            clients: Clients::new(settings.max_clients),
            reactors,
            password: settings.password.clone(),
            logins: Logins::new(settings.login_delay),
            config_file: OnceLock::new(),
            runtime: Runtime::new(&settings),
            figures: Figures::default(),
            watch: Watch::new(settings.stall_bound),
            supervisors: OnceLock::new(),
            stopping: AtomicBool::new(false),
            notifier: OnceLock::new(),
            settings,
            started,
            run_id,
            port,
            shutdown,
            drain: OnceLock::new(),
            accepting: AtomicBool::new(true),
        };
        context.put_in_force();
        context
    }

    /// Has the parts that keep a copy of a setting that can change take the present one.
    pub(crate) fn put_in_force(&self) {
        self.clients.set_max(self.runtime.max_clients());
        let slow = &self.gauges.slow;
        slow.set_threshold_us(self.runtime.slowlog_threshold_us());
        slow.set_max(self.runtime.slowlog_max_len());
    }

    /// Set once the server drains: the moment by which it must have ended.
    pub(crate) fn draining(&self) -> Option<Instant> {
        self.drain.get().copied()
    }

    /// Begins to drain; the first to say so decides until when.
    pub(crate) fn drain(&self, until: Instant) {
        self.stopping.store(true, SeqCst);
        self.accepting.store(false, SeqCst);
        self.drain.get_or_init(|| until);
    }

    /// Every thread as it is now: the server's own, and those of its store.
    pub(crate) fn threads(&self) -> Vec<ChildState> {
        let supervisors = self.supervisors.get().into_iter().flatten();
        let mut threads: Vec<ChildState> = supervisors
            .filter_map(Weak::upgrade)
            .flat_map(|supervisor| supervisor.states())
            .collect();
        threads.extend(self.keep.threads());
        threads
    }

    /// Whether the store is still being recovered.
    pub(crate) fn is_loading(&self) -> bool {
        self.persistence
            .as_ref()
            .is_some_and(|persistence| !persistence.is_ready())
    }

    /// Whether writes that need memory are refused.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.runtime
            .max_memory()
            .is_some_and(|max| self.gauges.memory_bytes() > max)
    }
}
