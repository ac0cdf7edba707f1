//! What becomes of a shard that was lost to a panic, and of the mail that waits for it.
//!
//! Making it again is its owner's business; this is everything around it.
//!
//! 1. The map of a lost shard is never used again.
//! 2. Mail that had not begun is refused, whether the shard comes back or not.
//! 3. A shard that is lost after its owner has ended does not come back; it is marked `gone`, and
//!    whoever posts to it refuses: the mark is set before the mailbox is emptied, and a poster looks at
//!    it after it has posted. Both go through the flag, so one of them sees the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;

use crate::deadline::Deadline;
use crate::discard::Discarded;
use crate::error::{Lost, Refused};
use crate::event::Event;
use crate::limits;
use crate::loan::Shard;
use crate::mail::Mail;
use crate::port::Port;
use crate::service::settle;
use crate::shared::Shared;
use crate::work::{Outcome, State};

impl<S: State> Shared<S> {
    /// A shard whose map must not be used again.
    #[cold]
    pub(crate) fn report_lost(&self, index: usize, mut shard: Box<Shard<S>>) {
        if shard.place {
            self.settle_broken(index, &mut shard);
        }
        // Those who wait for what completed works did may have given up.
        self.wake_committer();
        let port = self.owner_of(index);
        // There is a place for each shard, and it was in one loan: never full.
        if port.losses.try_send((index, shard)).is_err() {
            debug_assert!(false, "a shard was lost twice");
        }
        port.doorbell.ring();
        // The owner may have ended just before: one of the two sees the other.
        if self.is_stopping() {
            self.take_losses(port);
        }
    }

    /// Queues what completed changes did; what the broken one did is not kept.
    pub(crate) fn settle_broken(&self, index: usize, shard: &mut Shard<S>) {
        if let Some(effects) = shard.state.effects() {
            effects.cut_back();
        }
        // Lost either way.
        drop(self.settle_place(index, shard));
    }

    /// What was lost after the owner had ended is not made again.
    pub(crate) fn take_losses(&self, port: &Port<S>) {
        while let Some((index, shard)) = port.losses.try_recv() {
            self.drop_lost(index, shard);
            self.give_up(index);
        }
    }

    /// Drops a lost map, settles what had been gathered for it, and tells.
    pub(crate) fn drop_lost(&self, index: usize, mut shard: Box<Shard<S>>) {
        let counters = &self.beside(index).counters;
        counters.lost.add(1);
        let mut gathered = Vec::new();
        shard.batch.take(&mut gathered);
        counters.works_lost.add(gathered.len() as u64);
        let mut discarded = shard.take_discarded();
        for posted in gathered {
            // Claimed, and gone with the map they were to be written to.
            settle(
                self,
                index,
                posted,
                Outcome::Lost(Lost::ShardLost { shard: index }),
                &mut discarded,
            );
        }
        if S::DISCARDS {
            shard
                .state
                .abandoned()
                .into_iter()
                .for_each(|map| discarded.push(map));
            discarded.push(Box::new(vec![shard]));
            self.discard(index, discarded);
        } else {
            // Dropping a half-changed map may panic again.
            drop(catch_unwind(AssertUnwindSafe(|| drop(shard))));
        }
        self.refuse_mail(index);
        self.tell(Event::ShardLost { shard: index });
    }

    /// This shard is not to be had, for now or for good: who posts refuses.
    pub(crate) fn give_up(&self, index: usize) {
        self.beside(index).gone.store(true, SeqCst);
        self.refuse_mail(index);
    }

    /// The shard is back: who posts finds it again.
    pub(crate) fn take_back(&self, index: usize) {
        self.beside(index).gone.store(false, SeqCst);
    }

    /// Waits until a lost shard is back, or `deadline` passes.
    pub(crate) fn wait_for_shard_back(&self, deadline: Deadline) {
        // Woken by whoever brings one back; another close may take the wake-up, so not for long.
        let again = Deadline::after(limits::TEND_INTERVAL);
        #[expect(
            clippy::disallowed_methods,
            reason = "blocking point B17: a shard is back, or a while"
        )]
        self.shard_back
            .wait_until(Some(deadline.min(again).instant()));
    }

    /// Shards that are neither on their desks nor given up.
    pub(crate) fn shards_away(&self) -> usize {
        (0..self.shards())
            .filter(|&index| self.desk(index).looks_empty())
            .filter(|&index| !self.beside(index).gone.load(SeqCst))
            .count()
    }

    pub(crate) fn refuse_if_gone(&self, index: usize) {
        if self.beside(index).gone.load(SeqCst) {
            self.refuse_mail(index);
        }
    }

    /// Refuses what waits for a lost shard: it had not begun. Mail that comes later has its flag set
    /// later, too, so one round of the mailbox is enough.
    pub(crate) fn refuse_mail(&self, index: usize) {
        let beside = self.beside(index);
        self.desk(index).clear_mail();
        let why = Refused::ShardLost { shard: index };
        for _ in 0..beside.mailbox.places() {
            let Some(mail) = beside.mailbox.take() else {
                return;
            };
            beside.counters.refused(&why);
            match mail {
                Mail::Work(posted) => {
                    let mut discarded = Discarded::new();
                    let refused = Outcome::Refused(why.clone());
                    settle(self, index, posted, refused, &mut discarded);
                    self.discard(index, discarded);
                }
                Mail::HandMe(request) => request.refuse(why.clone()),
            }
        }
        // More came in the meantime than fitted at its beginning.
        self.desk(index).set_mail();
    }
}
