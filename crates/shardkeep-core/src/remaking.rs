//! Bringing lost shards back.
//!
//! 1. A shard that could not be made is tried again after a delay, so often as the restart intensity
//!    allows; then it is given up and refused for good, and the others serve.
//! 2. While it is made again, by a thread of its own where a journal is read, whoever asks for it is
//!    refused.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::clock;
use crate::event::Event;
use crate::limits;
use crate::owner::Owner;
use crate::panicked;
use crate::port::Made;
use crate::restart::{Backoff, Decision, Ending, Intensity, Policy, Restarts};
use crate::shared::Shared;
use crate::supervisor::random;
use crate::sync::thread;
use crate::work::State;

/// First delay of a shard that could not be made; the disk may be busy.
const REMAKE_BACKOFF: Backoff = Backoff {
    first: limits::TEND_INTERVAL,
    max: limits::REMAKE_DELAY_MAX,
};

/// Attempts in a row, however long each takes: a replay reads the whole log.
const IN_A_ROW: Intensity = Intensity {
    restarts: 5,
    period: Duration::from_secs(24 * 3_600),
};

/// Lost shards whose state could not be made yet.
#[derive(Default)]
pub(crate) struct Unmade {
    due: Vec<(usize, Instant)>,
    /// Of each shard whose last attempt failed.
    failed: Vec<(usize, Restarts)>,
}

impl Unmade {
    fn push(&mut self, shard: usize, due: Instant) {
        self.due.push((shard, due));
    }

    fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let at = self.due.iter().position(|(_, due)| *due <= now)?;
        Some(self.due.swap_remove(at).0)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.iter().map(|(_, due)| *due).min()
    }

    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = usize> + use<> {
        std::mem::take(&mut self.due)
            .into_iter()
            .map(|(shard, _)| shard)
    }

    fn succeeded(&mut self, shard: usize) {
        self.failed.retain(|(other, _)| *other != shard);
    }

    /// It could not be made: when to try again, if at all.
    fn failed(&mut self, shard: usize, now: Instant) -> Decision {
        let at = self.failed.iter().position(|(other, _)| *other == shard);
        let at = at.unwrap_or_else(|| {
            let restarts = Restarts::new(Policy::Transient, Some(IN_A_ROW), REMAKE_BACKOFF);
            self.failed.push((shard, restarts));
            self.failed.len() - 1
        });
        self.failed[at]
            .1
            .ended(Ending::Failed, now, random(shard as u64))
    }
}

impl<S: State> Owner<S> {
    pub(crate) fn rebuild_lost(&mut self) -> bool {
        let mut busy = false;
        while let Some((index, shard)) = self.port().losses.try_recv() {
            self.unmade.push(index, clock::now());
            self.shared.drop_lost(index, shard);
            busy = true;
        }
        while let Some(index) = self.unmade.pop_due(clock::now()) {
            if self.shared.remakes() {
                self.remake(index);
            } else {
                let made = catch_unwind(AssertUnwindSafe(|| self.shared.fresh(index)));
                self.bring_back(index, made.map_err(|panic| panicked::text(&*panic)));
            }
        }
        // After those that are tried again: what fails now waits for the next duty.
        while let Some((index, made)) = self.port().remade.try_recv() {
            busy |= made.is_ok();
            self.forget_remaking(index);
            self.bring_back(index, made);
        }
        busy
    }

    /// Has a lost shard made again by a thread of its own. Whoever asks for it meanwhile is refused.
    fn remake(&mut self, index: usize) {
        self.shared.give_up(index);
        let shared = Arc::clone(&self.shared);
        let name = format!("{}-remake-{index}", shared.config.name);
        let thread = thread::spawn(name, move || {
            let made = catch_unwind(AssertUnwindSafe(|| shared.remade(index)));
            let made = made.map_err(|panic| panicked::text(&*panic));
            let port = shared.owner_of(index);
            // There is a place for each shard, and a shard is made again once at a time: never full.
            drop(port.remade.try_send((index, made)));
            port.doorbell.ring();
        });
        match thread {
            Ok(thread) => self.remaking.push((index, thread)),
            Err(error) => self.bring_back(index, Err(format!("no thread: {error}"))),
        }
    }

    fn forget_remaking(&mut self, index: usize) {
        if let Some(at) = self.remaking.iter().position(|(other, _)| *other == index) {
            let (_, thread) = self.remaking.swap_remove(at);
            // It has sent what it made as its last act.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B14: it has sent its last"
            )]
            drop(thread.join());
        }
    }

    fn bring_back(&mut self, index: usize, made: Made<S>) {
        let shard = match made {
            Ok(shard) => shard,
            Err(why) => return self.try_again(index, why),
        };
        self.unmade.succeeded(index);
        self.shared.take_back(index);
        self.shared.put(index, shard);
        self.shared.look_again(index);
        self.shared.shard_back.wake();
        // A close that did not find it has left word in the flag, which refusing mail has cleared.
        if self.shared.is_stopping() {
            self.shared.nudge(index);
        }
    }

    fn try_again(&mut self, index: usize, why: String) {
        let now = clock::now();
        match self.unmade.failed(index, now) {
            Decision::Restart(delay) => {
                self.unmade.push(index, clock::later(now, delay));
                self.shared.tell(Event::RebuildFailed { shard: index, why });
                self.shared.refuse_mail(index);
            }
            Decision::Leave | Decision::Escalate => {
                self.shared.give_up_for_good(index);
                self.shared.tell(Event::ShardGivenUp { shard: index, why });
            }
        }
    }
}

impl<S: State> Shared<S> {
    /// The shard will not come back: who posts is refused, and a close does not wait for it.
    fn give_up_for_good(&self, index: usize) {
        self.beside(index).given_up.store(true, SeqCst);
        self.give_up(index);
        self.shard_back.wake();
    }
}
