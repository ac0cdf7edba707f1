//! Loads under way: one caller runs the loader of a key, the others wait for it.
//!
//! The list lies in the shard, so that "absent, and nobody is loading it" is one decision. A flight
//! itself is shared with its leader, who ends it without having to get the shard again.
//!
//! 1. A flight ends exactly once, also when its leader fails or panics; its followers are told then.
//! 2. A flight that has ended is as good as none; it is thrown out at the next look, and its key given
//!    to that caller to drop.

use std::sync::Arc;
use std::thread::ThreadId;

use parking_lot::Mutex;
use shardkeep_core::{Refused, Ticket};

use crate::limits;

/// Where a follower learns what came of the load; `None` says "try yourself".
pub(crate) type Follow<V> = Arc<Ticket<Option<V>>>;

pub(crate) struct Flight<V> {
    leader: ThreadId,
    /// `None` when the flight has ended.
    waiting: Mutex<Option<Vec<Follow<V>>>>,
}

impl<V: Clone> Flight<V> {
    fn end(&self, value: Option<&V>) {
        let waiting = self.waiting.lock().take();
        for ticket in waiting.into_iter().flatten() {
            // A follower that has given up gives its copy back.
            drop(ticket.settle(Ok(value.cloned())));
        }
    }

    fn has_ended(&self) -> bool {
        self.waiting.lock().is_none()
    }
}

/// The right and duty to load: dropping it ends the flight without a value.
pub(crate) struct Lead<V: Clone>(Arc<Flight<V>>);

impl<V: Clone> Lead<V> {
    /// Ends the flight with the value that is in the store now.
    pub(crate) fn land(self, value: &V) {
        self.0.end(Some(value));
    }
}

impl<V: Clone> Drop for Lead<V> {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

/// The part of a caller in a load.
pub(crate) enum Part<V: Clone> {
    Lead(Lead<V>),
    Follow(Follow<V>),
}

struct Listed<K, V> {
    hash: u64,
    key: K,
    flight: Arc<Flight<V>>,
}

/// The flights of one shard.
pub(crate) struct Flights<K, V>(Vec<Listed<K, V>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Eq, V: Clone> Flights<K, V> {
    /// Joins the load of a key, or begins it. The key is taken where it is begun; keys of loads that
    /// have ended go into `ended`.
    pub(crate) fn join(
        &mut self,
        shard: usize,
        hash: u64,
        key: &mut Option<K>,
        ended: &mut Vec<K>,
    ) -> Result<Part<V>, Refused> {
        let over = self.0.extract_if(.., |listed| listed.flight.has_ended());
        if std::mem::needs_drop::<K>() {
            ended.extend(over.map(|listed| listed.key));
        } else {
            over.for_each(drop);
        }
        let me = std::thread::current().id();
        let flying = self
            .0
            .iter()
            .find(|listed| listed.hash == hash && Some(&listed.key) == key.as_ref());
        if let Some(listed) = flying {
            if listed.flight.leader == me {
                // The loader asks for the very key that it is loading.
                return Err(Refused::Reentrant);
            }
            let ticket = Ticket::new(shard);
            match &mut *listed.flight.waiting.lock() {
                Some(waiting) => waiting.push(Arc::clone(&ticket)),
                // It ended just now.
                None => drop(ticket.settle(Ok(None))),
            }
            return Ok(Part::Follow(ticket));
        }
        if self.0.len() >= limits::FLIGHTS_MAX {
            return Err(Refused::OverLimit {
                limit: "loads under way in a shard",
                allowed: limits::FLIGHTS_MAX as u64,
                needed: self.0.len() as u64 + 1,
            });
        }
        let flight = Arc::new(Flight {
            leader: me,
            waiting: Mutex::new(Some(Vec::new())),
        });
        self.0.extend(key.take().map(|key| Listed {
            hash,
            key,
            flight: Arc::clone(&flight),
        }));
        Ok(Part::Lead(Lead(flight)))
    }
}
