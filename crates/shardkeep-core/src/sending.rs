//! Transactions sent to an owner thread, which gets their shards in hand and carries them out.
//!
//! 1. A transaction is counted before the phase is looked at, until it is settled; a close waits for the
//!    count.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;

use crate::clock;
use crate::deadline::Deadline;
use crate::error::Refused;
use crate::limits;
use crate::place::Reservation;
use crate::port::{Port, Sent};
use crate::shared::{Phase, Shared};
use crate::work::{Outcome, State, Transaction};

impl<S: State> Shared<S> {
    /// Sends a transaction to the owner of its first shard; it comes back if there is no place.
    pub(crate) fn send_transaction(
        &self,
        transaction: S::Transaction,
        reserved: Option<&mut Reservation<'_, S>>,
    ) -> Result<(), (S::Transaction, Refused)> {
        let shards = transaction.shards();
        assert!(
            shards.windows(2).all(|pair| pair[0] < pair[1]),
            "shards must be ascending"
        );
        assert!(
            shards.last().is_none_or(|&last| last < self.shards()),
            "no such shard"
        );
        let first = shards.first().copied().unwrap_or(0);
        // Counted before the phase is looked at: a close that does not see the count is seen.
        self.transactions.fetch_add(1, SeqCst);
        if let Some(why) = self.admits_nothing() {
            self.count_out_transaction();
            return Err((transaction, why));
        }
        let port = self.owner_of(first);
        let mut reserved = reserved;
        let sent = Sent {
            transaction,
            place: reserved.as_mut().and_then(|reserved| reserved.detach()),
        };
        match port.transactions.try_send(sent) {
            Ok(()) => {
                port.doorbell.ring();
                // The owner may have ended just before: one of the two sees the other.
                if self.is_stopping() {
                    self.refuse_transactions(port);
                }
                Ok(())
            }
            Err(Sent { transaction, place }) => {
                if let Some(reserved) = reserved {
                    reserved.attach(place);
                }
                self.count_out_transaction();
                let depth = limits::TRANSACTIONS_DEFAULT;
                Err((
                    transaction,
                    Refused::MailboxFull {
                        shard: first,
                        depth,
                    },
                ))
            }
        }
    }

    /// Settles a transaction. A panic in the user's `settle` must not end the owner.
    pub(crate) fn end_transaction(&self, transaction: S::Transaction, outcome: Outcome) {
        drop(catch_unwind(AssertUnwindSafe(|| {
            transaction.settle(outcome);
        })));
        self.count_out_transaction();
    }

    fn count_out_transaction(&self) {
        self.transactions.fetch_sub(1, SeqCst);
        if self.phase() != Phase::Open {
            self.transactions_ended.wake();
        }
    }

    /// Waits until every transaction that was sent is settled, or `deadline` passes.
    pub(crate) fn finish_transactions(&self, deadline: Deadline) {
        while self.transactions.load(SeqCst) > 0 && !deadline.has_passed(clock::now()) {
            // Woken by each transaction that ends while the keep drains; ends by the deadline.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B18: a transaction ends, or the deadline"
            )]
            self.transactions_ended.wait_until(Some(deadline.instant()));
        }
        // Another close may be waiting too, and a wake-up is for one.
        self.transactions_ended.wake();
    }

    /// Refuses the transactions that no owner will carry any more.
    pub(crate) fn refuse_transactions(&self, port: &Port<S>) {
        while let Some(Sent { transaction, place }) = port.transactions.try_recv() {
            drop(place);
            self.end_transaction(transaction, Outcome::Refused(Refused::Closed));
        }
    }
}
