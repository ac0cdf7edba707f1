//! A sync that runs beside the writers: where it is handed over, and what it came to is handed back.
//!
//! 1. At most one is under way: begun by the journal's holder, run by the syncer, and ended by whoever
//!    holds the journal then. No other is carried out meanwhile, and the journal is not put away.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::doorbell::Doorbell;
use crate::journal::{DetachedSync, Journal};
use crate::sync::{AtomicBool, Mutex};
use crate::watch::Pulse;

/// What a sync came to.
pub(crate) struct Ran<J: Journal> {
    /// `None` for a panic.
    pub(crate) end: Option<<J::Detached as DetachedSync>::End>,
    pub(crate) took: Duration,
}

enum Stage<J: Journal> {
    Idle,
    Begun(J::Detached),
    Running,
    Ended(Ran<J>),
}

/// Where a sync is handed to the thread that runs it, and what it came to is handed back.
pub(crate) struct Aside<J: Journal> {
    stage: Mutex<Stage<J>>,
    is_over: AtomicBool,
    /// Rung for a sync that was begun, and when no other will be.
    pub(crate) bell: Doorbell,
    pub(crate) pulse: Pulse,
}

impl<J: Journal> Aside<J> {
    pub(crate) fn new() -> Self {
        Self {
            stage: Mutex::new(Stage::Idle),
            is_over: AtomicBool::new(false),
            bell: Doorbell::new(),
            pulse: Pulse::default(),
        }
    }

    /// Has a sync run. Called by the journal's holder, which knows that none is under way.
    pub(crate) fn begin(&self, sync: J::Detached) {
        *self.stage.lock() = Stage::Begun(sync);
        self.bell.ring();
    }

    /// Whether a sync was begun and has not come to an end.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(*self.stage.lock(), Stage::Begun(_) | Stage::Running)
    }

    /// Whether a sync has come to an end that nobody has taken in.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.stage.lock(), Stage::Ended(_))
    }

    /// What a sync came to. Called by the journal's holder.
    pub(crate) fn take_end(&self) -> Option<Ran<J>> {
        let mut stage = self.stage.lock();
        match std::mem::replace(&mut *stage, Stage::Idle) {
            Stage::Ended(ran) => Some(ran),
            other => {
                *stage = other;
                None
            }
        }
    }

    /// No sync will be begun any more.
    pub(crate) fn close(&self) {
        self.is_over.store(true, SeqCst);
        self.bell.ring();
    }

    /// The sync that was begun, to be run.
    pub(crate) fn take_begun(&self) -> Option<J::Detached> {
        let mut stage = self.stage.lock();
        match std::mem::replace(&mut *stage, Stage::Running) {
            Stage::Begun(sync) => Some(sync),
            other => {
                *stage = other;
                None
            }
        }
    }

    /// The sync that was taken has come to this.
    pub(crate) fn put_end(&self, ran: Ran<J>) {
        *self.stage.lock() = Stage::Ended(ran);
    }

    /// Whether no sync will be begun any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_over.load(SeqCst)
    }
}
