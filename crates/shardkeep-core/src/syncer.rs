//! The thread that syncs while others write.
//!
//! Only where writes are acknowledged before they are synced: with `SyncMode::Always` everybody waits for
//! the sync anyway, and whoever has the journal carries it out.
//!
//! 1. Nothing is held while it runs: writing goes on.
//! 2. One blocking call beside the sync: the bell, rung for a sync that was begun and when the committer
//!    has ended.
//! 3. What a sync came to is put down, *then* the committer is rung.
//! 4. A panic of a sync is its end, and whoever takes that in fails the log.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::aside::Ran;
use crate::clock;
use crate::fail_point;
use crate::fault::{Fault, is_planted};
use crate::journal::{DetachedSync, Journal};
use crate::log::Log;

/// Runs syncs until the committer has ended.
pub(crate) fn run<J: Journal>(log: &Log<J>) {
    let aside = &log.aside;
    loop {
        aside.bell.answer();
        if let Some(sync) = aside.take_begun() {
            let began = clock::now();
            aside.pulse.work();
            let end = catch_unwind(AssertUnwindSafe(|| {
                fail_point::hit("syncer.sync");
                sync.run()
            }));
            aside.pulse.rest();
            let took = clock::now().saturating_duration_since(began);
            let end = end.ok();
            aside.put_end(Ran { end, took });
            if !is_planted(Fault::SyncEndsUnheard) {
                log.doorbell.ring();
            }
        } else if aside.is_closed() {
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
