//! A batch on a store with a log: places in its queue, and replies that wait for what they show.
//!
//! 1. A group that writes runs with a place in hand, taken before its shard was.
//! 2. What was seen is waited for after all shards are back.

use shardkeep_core::{Call, Error, Handover, Keep, Reservation, Visit};

use super::{Batch, InHand, Left, Pipeline, Todo, Visitor, fail};
use crate::hand::{self, Hand};
use crate::reply::Reply;
use crate::state::ShardState;
use crate::{Key, Value, limits};

impl<K: Key, V: Value> Pipeline<K, V> {
    /// As a run without a log, with places in its queue for the groups that write.
    #[cold]
    #[inline(never)]
    pub(super) fn run_kept(&mut self) {
        let call = self.store.call();
        self.needs.clear();
        let groups = self.groups.len();
        let writing = (0..groups)
            .filter(|&at| self.batch.has_write(self.groups.group(at).members))
            .count();
        let store = self.store.clone();
        let keep = &store.inner.keep;
        let mut reserved = match keep.config().handover {
            Handover::Lend => keep.try_reserve(writing, None).ok(),
            Handover::Mail => None,
        };
        match &mut reserved {
            Some(reserved) if groups > 0 => {
                let start = self.turn % groups;
                let mut visit = KeptVisitor {
                    visitor: Visitor {
                        groups: &self.groups,
                        batch: &mut self.batch,
                        replies: &mut self.replies,
                        left: &mut self.left,
                    },
                    reserved,
                    needs: &mut self.needs,
                };
                keep.visit_idle((start..groups).chain(0..start), &mut visit);
            }
            Some(_) => {}
            None => {
                let groups = 0..groups as u32;
                self.left
                    .extend(groups.map(|group| Left { group, done: 0 }));
            }
        }
        // The buffers stay from run to run.
        let mut all_left = std::mem::take(&mut self.left);
        for left in all_left.drain(..) {
            self.run_left_kept(keep, left, &call);
        }
        self.left = all_left;
        for (group, shard, number) in self.needs.drain(..) {
            if let Err(lost) = keep.wait_synced(shard, number, &call) {
                let group = self.groups.group(group as usize);
                fail(&mut self.replies, group.members, &lost.into());
            }
        }
    }

    /// Carries out what is left of a group, waiting for its shard.
    fn run_left_kept(&mut self, keep: &Keep<ShardState<K, V>>, left: Left, call: &Call) {
        let group = self.groups.group(left.group as usize);
        let mut rest = &group.members[left.done as usize..];
        let mut run = KeptRun {
            keep,
            call,
            batch: &mut self.batch,
            replies: &mut self.replies,
        };
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(limits::GROUP_OPS_MAX));
            match run.now(group.shard, now) {
                Ok(0) => {}
                Ok(number) => self.needs.push((left.group, group.shard, number)),
                // What follows it in its shard must not overtake it.
                Err(error) => return fail(&mut self.replies, rest, &error),
            }
            rest = later;
        }
    }
}

/// What is left of a batch, on a store with a log.
struct KeptRun<'p, K: Key, V: Value> {
    keep: &'p Keep<ShardState<K, V>>,
    call: &'p Call,
    batch: &'p mut Batch<K, V>,
    replies: &'p mut [Reply<V>],
}

impl<K: Key, V: Value> KeptRun<'_, K, V> {
    /// Carries these operations out, waiting for their shard; returns the batch that their replies
    /// depend on.
    fn now(&mut self, shard: usize, now: &[u32]) -> Result<u64, Error> {
        let mut reserved = None;
        if self.batch.has_write(now) {
            reserved = Some(match self.batch.only_removes(now) {
                true => self.keep.reserve_removal(self.call)?,
                false => self.keep.reserve(self.call)?,
            });
        }
        let (batch, replies) = (&mut *self.batch, &mut *self.replies);
        hand::with(
            self.keep,
            shard,
            || self.call.clone(),
            |mut hand| {
                if let Some(reserved) = &mut reserved {
                    hand.deposit(reserved);
                }
                match &mut hand {
                    Hand::Borrowed(loan) => batch.run_group(now, loan, replies),
                    Hand::Given(loan) => batch.run_group(now, loan, replies),
                }
                hand.look(|state| batch.needs(now, state))
            },
        )
    }
}

/// A batch on its way over the shards of a store with a log.
struct KeptVisitor<'p, 'k, K: Key, V: Value> {
    visitor: Visitor<'p, K, V>,
    reserved: &'p mut Reservation<'k, ShardState<K, V>>,
    needs: &'p mut Vec<(u32, usize, u64)>,
}

impl<K: Key, V: Value> Visit<ShardState<K, V>> for KeptVisitor<'_, '_, K, V> {
    fn shard(&self, at: usize) -> usize {
        self.visitor.shard(at)
    }

    fn ops(&self, at: usize) -> usize {
        self.visitor.ops(at)
    }

    fn touch(&mut self, at: usize, state: &ShardState<K, V>) {
        self.visitor.touch(at, state);
    }

    fn run(&mut self, at: usize, loan: &mut InHand<'_, K, V>) {
        let group = self.visitor.groups.group(at);
        let now = &group.members[..self.visitor.ops(at)];
        if self.visitor.batch.has_write(now) {
            self.reserved.deposit(loan);
        }
        self.visitor.run(at, loan);
        let number = loan.look(|state| self.visitor.batch.needs(now, state));
        if number > 0 {
            self.needs.push((at as u32, group.shard, number));
        }
    }

    fn away(&mut self, at: usize) {
        self.visitor.away(at);
    }
}

impl<K: Key, V: Value> Batch<K, V> {
    /// Whether one of these operations may change something.
    fn has_write(&self, members: &[u32]) -> bool {
        members.iter().any(|&at| match self.todo[at as usize] {
            Todo::Get(_) | Todo::Contains(_) => false,
            Todo::Remove(_) | Todo::Insert(_) => true,
        })
    }

    /// Whether these operations change nothing but by removing.
    fn only_removes(&self, members: &[u32]) -> bool {
        members.iter().all(|&at| match self.todo[at as usize] {
            Todo::Get(_) | Todo::Contains(_) | Todo::Remove(_) => true,
            Todo::Insert(_) => false,
        })
    }

    /// The newest batch of the log that one of these operations depends on; 0 for none.
    fn needs(&self, members: &[u32], state: &ShardState<K, V>) -> u64 {
        let needs = members
            .iter()
            .map(|&at| state.needs(self.hashes[at as usize]));
        needs.max().unwrap_or(0)
    }
}
