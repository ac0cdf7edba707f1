//! Mailing a work to a shard.
//!
//! 1. Posting is: send, set the flag, *then* borrow (lend) or ring (mail).
//! 2. A poster that was told "posted" will be settled: by a holder, by the owner, or by whoever
//!    borrows the shard after it was closed.

use std::sync::Arc;

use crate::clock;
use crate::config::Overload;
use crate::deadline::Call;
use crate::error::Refused;
use crate::fail_point;
use crate::mail::{Mail, Posted};
use crate::mailbox::Place;
use crate::place::Reservation;
use crate::shared::Shared;
use crate::sync::Wake;
use crate::work::State;

/// How a poster meets a full mailbox.
pub(crate) enum Posting<'c> {
    /// It waits for a place until the call ends (or is refused, as the keep is set).
    Wait(&'c Call),
    /// It waits for a place until the call ends, however the keep is set.
    Insist(&'c Call),
    /// It never waits, and a place is kept for it.
    Reserved,
    /// It never waits, and is woken when a place may be free.
    Register(&'c Arc<dyn Wake>),
}

impl<S: State> Shared<S> {
    /// Mails a work; it comes back if it was not posted.
    pub(crate) fn post(
        &self,
        index: usize,
        work: S::Work,
        reserved: Option<&mut Reservation<'_, S>>,
        how: &Posting<'_>,
    ) -> Result<(), (S::Work, Refused)> {
        if let Some(why) = self.admits_nothing() {
            self.beside(index).counters.refused(&why);
            return Err((work, why));
        }
        let mut reserved = reserved;
        let place = reserved.as_mut().and_then(|reserved| reserved.detach());
        let mail = Mail::Work(Posted::new(work, place, clock::now()));
        match self.send(index, mail, how) {
            Ok(()) => Ok(()),
            Err((Mail::Work(mut posted), why)) => {
                self.beside(index).counters.refused(&why);
                if let Some(reserved) = reserved {
                    reserved.attach(posted.take_place());
                }
                match posted.into_work() {
                    Some(work) => Err((work, why)),
                    None => unreachable!("mail that was not posted still has its work"),
                }
            }
            Err((Mail::HandMe(_), _)) => unreachable!("what comes back is what was sent"),
        }
    }

    pub(crate) fn send(
        &self,
        index: usize,
        mail: Mail<S>,
        how: &Posting<'_>,
    ) -> Result<(), (Mail<S>, Refused)> {
        fail_point::hit_at("mail.post", || self.place_name(index));
        let beside = self.beside(index);
        let is_work = matches!(mail, Mail::Work(_));
        let depth = match how {
            Posting::Wait(call) if self.config.overload == Overload::Block => {
                beside.mailbox.post(mail, call)?
            }
            Posting::Insist(call) => beside.mailbox.post(mail, call)?,
            Posting::Wait(_) => beside.mailbox.try_post(mail, Place::Open)?,
            Posting::Reserved => beside.mailbox.try_post(mail, Place::Reserved)?,
            Posting::Register(wake) => beside.mailbox.post_or_register(mail, wake)?,
        };
        if is_work {
            beside.counters.mailed.add(1);
        }
        beside.counters.depth_max.at_least(depth as u64);
        fail_point::hit_at("mail.posted", || self.place_name(index));
        self.nudge(index);
        Ok(())
    }
}
