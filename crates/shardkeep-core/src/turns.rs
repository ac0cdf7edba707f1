//! The order of a transaction's effects, over all its shards.
//!
//! Each shard gathers its own effects. A turn is what one shard gathered between the moment at which the
//! transaction asked for it and the moment at which it asked for another; the record is made turn by turn. So the
//! order costs a change nothing: it is noted where a shard is asked for.
//!
//! 1. A transaction changes the shard that it asked for last. One that goes through all of them at once
//!    ([`Loans::iter_mut`](crate::Loans::iter_mut)) has a turn of each, in their order.
//! 2. Within a transaction the effects of a shard only grow.

use crate::fault::{Fault, is_planted};
use crate::journal::Effects;
use crate::loan::Loan;
use crate::work::State;

/// All shards have their turn at once.
const ALL: usize = usize::MAX;

/// Turns for which there is room from the first one on: 256 bytes.
const TURNS_USUAL: usize = 16;

/// The turns of one transaction; shards are named by their position in it.
pub(crate) struct Turns {
    now: usize,
    ended: Vec<Turn>,
}

struct Turn {
    at: usize,
    bytes: usize,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self {
            now: ALL,
            ended: Vec::new(),
        }
    }

    /// What is gathered from here on is gathered by the shard at `at`.
    #[inline]
    pub(crate) fn turn_to<S: State>(&mut self, at: usize, loans: &mut [Loan<S>]) {
        if self.now != at {
            self.end(loans);
            self.now = at;
        }
    }

    /// As [`Turns::turn_to`], by all of them.
    pub(crate) fn turn_to_all<S: State>(&mut self, loans: &mut [Loan<S>]) {
        self.end(loans);
        self.now = ALL;
    }

    fn end<S: State>(&mut self, loans: &mut [Loan<S>]) {
        if self.now == ALL {
            (0..loans.len()).for_each(|at| self.end_of(at, loans));
        } else {
            self.end_of(self.now, loans);
        }
    }

    fn end_of<S: State>(&mut self, at: usize, loans: &mut [Loan<S>]) {
        let bytes = effects_at(at, loans).map_or(0, Effects::end_turn);
        if bytes > 0 {
            if self.ended.is_empty() {
                // Most have one key of each shard, or a few.
                self.ended.reserve(loans.len().max(TURNS_USUAL));
            }
            self.ended.push(Turn { at, bytes });
        }
    }

    /// Appends to `record` what all of them gathered, in order.
    pub(crate) fn merge<S: State>(&mut self, loans: &mut [Loan<S>], record: &mut Vec<u8>) {
        self.turn_to_all(loans);
        for at in 0..loans.len() {
            effects_at(at, loans).map(Effects::begin_again);
        }
        if is_planted(Fault::EffectsByShard) {
            self.ended.sort_by_key(|turn| turn.at);
        }
        record.reserve(self.ended.iter().map(|turn| turn.bytes).sum());
        for Turn { at, bytes } in self.ended.drain(..) {
            if let Some(effects) = effects_at(at, loans) {
                record.extend_from_slice(effects.next_turn(bytes));
            }
        }
    }
}

fn effects_at<S: State>(at: usize, loans: &mut [Loan<S>]) -> Option<&mut Effects> {
    loans[at].shard_mut().state.effects()
}
