//! The thread that syncs while others write.
//!
//! Only where writes are acknowledged before they are synced: with `SyncMode::Always` everybody waits for
//! the sync anyway, and whoever has the journal carries it out.
//!
//! 1. At most one sync is under way: begun by the journal's holder, run here, and ended by whoever holds
//!    the journal then. No other is carried out meanwhile, and the journal is not put away.
//! 2. Nothing is held while it runs: writing goes on.
//! 3. One blocking call beside the sync: the bell, rung for a sync that was begun and when the committer
//!    has ended.
//! 4. What a sync came to is put down, *then* the committer is rung.
//! 5. A panic of a sync is its end, and whoever takes that in fails the log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::clock;
use crate::doorbell::Doorbell;
use crate::fault::{Fault, is_planted};
use crate::journal::{DetachedSync, Journal};
use crate::log::Log;
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
    bell: Doorbell,
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

    fn take_begun(&self) -> Option<J::Detached> {
        let mut stage = self.stage.lock();
        match std::mem::replace(&mut *stage, Stage::Running) {
            Stage::Begun(sync) => Some(sync),
            other => {
                *stage = other;
                None
            }
        }
    }
}

/// Runs syncs until the committer has ended.
pub(crate) fn run<J: Journal>(log: &Log<J>) {
    let aside = &log.aside;
    loop {
        aside.bell.answer();
        if let Some(sync) = aside.take_begun() {
            let began = clock::now();
            aside.pulse.work();
            let end = catch_unwind(AssertUnwindSafe(|| sync.run())).ok();
            aside.pulse.rest();
            let took = clock::now().saturating_duration_since(began);
            *aside.stage.lock() = Stage::Ended(Ran { end, took });
            if !is_planted(Fault::SyncEndsUnheard) {
                log.doorbell.ring();
            }
        } else if aside.is_over.load(SeqCst) {
            return;
        } else {
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B59: a sync, or the committer's end"
            )]
            aside.bell.sleep(None);
        }
    }
}
