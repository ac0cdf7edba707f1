//! Batches: many operations on many keys, each shard visited once.
//!
//! A batch is grouped by shard and visits its shards from a rotating start, a few of them in hand at a
//! time so that their cache misses overlap; a shard that is away is passed over and tried again after
//! the others; what is left is mailed, one work for each shard, and only then waited for.
//!
//! 1. Operations on one key keep their order; across shards there is none, and a batch as a whole is
//!    not atomic.
//! 2. Every operation gets exactly one reply, in its own place.
//! 3. What is kept apart stays small: an operation is 8 bytes, a hash and a key; values lie elsewhere,
//!    since most operations have none.

mod kept;

use std::ops::Deref;
use std::sync::Arc;

use shardkeep_core::group::Groups;
use shardkeep_core::{Borrowed, Call, Error, Handover, Keep, Loan, Refused, Shared, Ticket, Visit};

use crate::mail::{Load, LoadTicket, Mailed, Op, Step};
use crate::reply::{Insert, Insertion, Reply};
use crate::state::{Removed, ShardState};
use crate::store::{Keeping, Store};
use crate::{Key, Value, discard, limits};

/// The shard of a group in hand.
type InHand<'k, K, V> = Loan<ShardState<K, V>, &'k Shared<ShardState<K, V>>>;

/// One operation of a batch: what to do, and where its key (or its insertion) lies.
#[derive(Clone, Copy)]
enum Todo {
    Get(u32),
    Contains(u32),
    Remove(u32),
    Insert(u32),
}

/// The operations of a batch.
struct Batch<K, V> {
    hashes: Vec<u64>,
    todo: Vec<Todo>,
    /// Keys of everything but inserts.
    keys: Vec<K>,
    /// What is not in the map yet, or does not go there.
    insertions: Vec<Insertion<K, V>>,
    /// What removals took out of the map beside their replies.
    removed: Vec<(K, Option<V>)>,
}

/// A group of which something is left to do.
#[derive(Clone, Copy)]
struct Left {
    group: u32,
    /// How many of its operations are done.
    done: u32,
}

/// A part of a group that was mailed.
struct Sent<K, V> {
    ticket: LoadTicket<K, V>,
    group: u32,
    from: u32,
    to: u32,
}

/// A batch of operations, to be filled, run, and used again.
///
/// Its buffers stay from run to run: in steady state a run allocates nothing (unless a shard is
/// away and operations must be mailed). Running is as many visits as there are shards concerned,
/// instead of one for each operation; that is what makes batches fast.
///
/// Made by [`Store::pipeline`].
///
/// ```
/// use shardkeep::{Reply, Store};
///
/// let store = Store::open()?;
/// let mut pipeline = store.pipeline();
/// pipeline.insert("a", 1).insert("b", 2).get("a").remove("b").get("b");
/// assert_eq!(
///     pipeline.run(),
///     [
///         Reply::Value(None),
///         Reply::Value(None),
///         Reply::Value(Some(1)),
///         Reply::Value(Some(2)),
///         Reply::Value(None),
///     ]
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pipeline<K: Key, V: Value> {
    store: Store<K, V>,
    batch: Batch<K, V>,
    replies: Vec<Reply<V>>,
    groups: Groups,
    left: Vec<Left>,
    sent: Vec<Sent<K, V>>,
    /// Buffers of earlier mails.
    spare: Vec<Vec<Step<K, V>>>,
    /// What the replies depend on: group, shard and number of a batch of the log.
    needs: Vec<(u32, usize, u64)>,
    /// Where the next visit begins.
    turn: usize,
    /// The batch was run: the next operation begins a new one.
    ran: bool,
}

impl<K: Key, V: Value> Store<K, V> {
    /// An empty batch for this store, to be filled and run, again and again.
    #[must_use]
    pub fn pipeline(&self) -> Pipeline<K, V> {
        let groups = Groups::new(self.inner.router.shards());
        Pipeline {
            store: self.clone(),
            batch: Batch {
                hashes: Vec::new(),
                todo: Vec::new(),
                keys: Vec::new(),
                insertions: Vec::new(),
                removed: Vec::new(),
            },
            replies: Vec::new(),
            // Different threads should begin at different shards.
            turn: std::ptr::from_ref(&groups).addr() >> 4,
            groups,
            left: Vec::new(),
            sent: Vec::new(),
            spare: Vec::new(),
            needs: Vec::new(),
            ran: false,
        }
    }

    /// Reads many keys, each shard visited once. Answers in the order of the keys; each for itself,
    /// not all at one moment.
    ///
    /// ```
    /// let store = shardkeep::Store::open()?;
    /// store.insert(1, "one")?;
    /// let found: Result<Vec<_>, _> = store.get_many([1, 2]).into_iter().collect();
    /// assert_eq!(found?, [Some("one"), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many(&self, keys: impl IntoIterator<Item = K>) -> Vec<Result<Option<V>, Error>> {
        let mut pipeline = self.pipeline();
        for key in keys {
            pipeline.get(key);
        }
        pipeline.into_values()
    }

    /// Inserts many entries, each shard visited once. Answers with the old values, in the order of
    /// the entries; each entry is inserted or refused for itself.
    ///
    /// ```
    /// let store = shardkeep::Store::open()?;
    /// let old: Result<Vec<_>, _> = store.insert_many([(1, "one"), (2, "two")]).into_iter().collect();
    /// assert_eq!(old?, [None, None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert_many(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Vec<Result<Option<V>, Error>> {
        let mut pipeline = self.pipeline();
        for (key, value) in entries {
            pipeline.insert(key, value);
        }
        pipeline.into_values()
    }
}

impl<K: Key, V: Value> Pipeline<K, V> {
    /// Adds: the value of a key, cloned.
    #[inline]
    pub fn get(&mut self, key: K) -> &mut Self {
        self.push_key(key, Todo::Get)
    }

    /// Adds: whether a key is there.
    #[inline]
    pub fn contains(&mut self, key: K) -> &mut Self {
        self.push_key(key, Todo::Contains)
    }

    /// Adds: remove a key.
    #[inline]
    pub fn remove(&mut self, key: K) -> &mut Self {
        self.push_key(key, Todo::Remove)
    }

    /// Adds: insert or overwrite, without expiry.
    #[inline]
    pub fn insert(&mut self, key: K, value: V) -> &mut Self {
        self.push_insertion(Insertion {
            key: Some(key),
            value: Some(value),
            how: Insert::new(),
        })
    }

    /// Adds: insert as `how` says. A time to live begins when the run carries this out.
    pub fn insert_with(&mut self, key: K, value: V, how: Insert) -> &mut Self {
        self.push_insertion(Insertion {
            key: Some(key),
            value: Some(value),
            how,
        })
    }

    /// Operations waiting to be run.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.ran { 0 } else { self.batch.todo.len() }
    }

    /// Whether no operation waits to be run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all operations and replies; the buffers stay.
    pub fn clear(&mut self) {
        self.ran = false;
        self.batch.hashes.clear();
        self.batch.todo.clear();
        self.batch.keys.clear();
        self.batch.insertions.clear();
        self.replies.clear();
    }

    #[inline]
    fn push_key(&mut self, key: K, todo: fn(u32) -> Todo) -> &mut Self {
        if self.ran {
            self.clear();
        }
        let batch = &mut self.batch;
        batch.hashes.push(self.store.inner.router.hash(&key));
        batch.todo.push(todo(batch.keys.len() as u32));
        batch.keys.push(key);
        self
    }

    #[inline]
    fn push_insertion(&mut self, insertion: Insertion<K, V>) -> &mut Self {
        if self.ran {
            self.clear();
        }
        let batch = &mut self.batch;
        batch.hashes.push(
            insertion
                .key
                .as_ref()
                .map_or(0, |key| self.store.inner.router.hash(key)),
        );
        batch.todo.push(Todo::Insert(batch.insertions.len() as u32));
        batch.insertions.push(insertion);
        self
    }

    /// Runs the operations; one reply for each, in their order. The next operation added begins a
    /// new batch.
    ///
    /// Blocks like a single call, and not longer than one deadline in all; every operation that has
    /// no result by then says so in its own reply.
    ///
    /// What the batch discards (keys, values that were not stored) is dropped before this returns, with
    /// no shard in hand.
    ///
    /// # Panics
    /// With a panic of a key's or a value's own code: in `Hash`, `Eq` or `Clone` it leaves the batch
    /// partly done; in `Drop` all of it is done.
    pub fn run(&mut self) -> &[Reply<V>] {
        self.run_all();
        self.batch.discard();
        &self.replies
    }

    fn run_all(&mut self) {
        if self.ran {
            self.clear();
        }
        self.ran = true;
        assert!(
            u32::try_from(self.batch.todo.len()).is_ok(),
            "a batch counts its operations in 32 bits"
        );
        let ops = self.batch.todo.len();
        self.replies.resize_with(ops, || Reply::Flag(false));
        if let Err(refused) = self.store.admit() {
            self.replies.fill(Reply::Failed(refused.into()));
            return;
        }
        let router = &self.store.inner.router;
        let shards = self.batch.hashes.iter().map(|&hash| router.shard(hash));
        self.groups.build(shards);
        self.left.clear();
        self.turn = self.turn.wrapping_add(1);
        if self.store.inner.keeping != Keeping::Nothing {
            self.run_kept();
            return;
        }
        let handover = self.store.inner.keep.config().handover;
        match handover {
            Handover::Lend => {
                self.visit_all();
                for _ in 1..limits::BATCH_ROUNDS {
                    if self.left.is_empty() {
                        return;
                    }
                    self.visit_left();
                }
            }
            Handover::Mail => {
                let groups = 0..self.groups.len() as u32;
                self.left
                    .extend(groups.map(|group| Left { group, done: 0 }));
            }
        }
        if !self.left.is_empty() {
            self.mail_left();
        }
    }

    fn visit_all(&mut self) {
        let groups = self.groups.len();
        if groups == 0 {
            return;
        }
        let start = self.turn % groups;
        let keep = &self.store.inner.keep;
        let mut visit = Visitor {
            groups: &self.groups,
            batch: &mut self.batch,
            replies: &mut self.replies,
            left: &mut self.left,
        };
        keep.visit_idle((start..groups).chain(0..start), &mut visit);
    }

    fn visit_left(&mut self) {
        for _ in 0..self.left.len() {
            let left = self.left.remove(0);
            if let Some(left) = self.visit(left) {
                self.left.push(left);
            }
        }
    }

    /// Carries out what is left of a group while its shard can be borrowed; what then is left.
    #[inline]
    fn visit(&mut self, mut left: Left) -> Option<Left> {
        let group = self.groups.group(left.group as usize);
        loop {
            let rest = &group.members[left.done as usize..];
            let now = &rest[..rest.len().min(limits::GROUP_OPS_MAX)];
            match &mut self.store.inner.keep.borrow(group.shard) {
                Borrowed::Loan(loan) => {
                    loan.look(|state| self.batch.touch(now, state));
                    self.batch.run_group(now, loan, &mut self.replies);
                }
                Borrowed::Away => return Some(left),
                Borrowed::Closed => {
                    fail(&mut self.replies, rest, &Refused::Closed.into());
                    return None;
                }
            }
            if now.len() == rest.len() {
                return None;
            }
            left.done += now.len() as u32;
        }
    }

    /// Mails what is left, a work for each group (or more, if it is long), then waits for all.
    #[cold]
    #[inline(never)]
    fn mail_left(&mut self) {
        let call = self.store.call();
        for left in std::mem::take(&mut self.left) {
            let group = self.groups.group(left.group as usize);
            let (mut from, end) = (left.done as usize, group.members.len());
            while from < end {
                let to = end.min(from + limits::GROUP_OPS_MAX);
                let mut steps = self.spare.pop().unwrap_or_default();
                let members = &group.members[from..to];
                steps.extend(members.iter().map(|&at| self.batch.step(at)));
                match post(&self.store.inner.keep, group.shard, steps, &call) {
                    Ok(ticket) => self.sent.push(Sent {
                        ticket,
                        group: left.group,
                        from: from as u32,
                        to: to as u32,
                    }),
                    Err(refused) => {
                        // What follows it in its shard must not overtake it.
                        fail(&mut self.replies, &group.members[from..], &refused.into());
                        break;
                    }
                }
                from = to;
            }
        }
        for sent in std::mem::take(&mut self.sent) {
            let group = self.groups.group(sent.group as usize);
            let members = &group.members[sent.from as usize..sent.to as usize];
            let keep = &self.store.inner.keep;
            match sent.ticket.wait(&call, || keep.depth(group.shard)) {
                Ok(Load::Many(mut steps)) => {
                    for (step, &at) in steps.iter_mut().zip(members) {
                        if let Some(reply) = step.reply.take() {
                            self.replies[at as usize] = reply;
                        }
                    }
                    discard::all(steps.drain(..));
                    self.spare.push(steps);
                }
                Ok(Load::One(_)) => unreachable!("what comes back is what was sent"),
                Err(error) => fail(&mut self.replies, members, &error),
            }
        }
    }

    fn into_values(mut self) -> Vec<Result<Option<V>, Error>> {
        self.run();
        self.replies.into_iter().map(Reply::into_value).collect()
    }
}

/// A batch on its way over the shards.
struct Visitor<'p, K, V> {
    groups: &'p Groups,
    batch: &'p mut Batch<K, V>,
    replies: &'p mut [Reply<V>],
    left: &'p mut Vec<Left>,
}

impl<K: Key, V: Value> Visitor<'_, K, V> {
    /// The operations that run under one loan.
    fn now(&self, at: usize) -> &[u32] {
        let members = self.groups.group(at).members;
        &members[..members.len().min(limits::GROUP_OPS_MAX)]
    }

    fn leave(&mut self, at: usize, done: usize) {
        let (group, done) = (at as u32, done as u32);
        self.left.push(Left { group, done });
    }
}

impl<K: Key, V: Value> Visit<ShardState<K, V>> for Visitor<'_, K, V> {
    #[inline(always)]
    fn shard(&self, at: usize) -> usize {
        self.groups.group(at).shard
    }

    #[inline(always)]
    fn ops(&self, at: usize) -> usize {
        self.now(at).len()
    }

    #[inline(always)]
    fn touch(&mut self, at: usize, state: &ShardState<K, V>) {
        self.batch.touch(self.now(at), state);
    }

    #[inline(always)]
    fn run(&mut self, at: usize, loan: &mut InHand<'_, K, V>) {
        let members = self.groups.group(at).members;
        let now = &members[..members.len().min(limits::GROUP_OPS_MAX)];
        self.batch.run_group(now, loan, self.replies);
        if now.len() < members.len() {
            self.leave(at, now.len());
        }
    }

    #[cold]
    fn away(&mut self, at: usize) {
        self.leave(at, 0);
    }
}

impl<K: Key, V: Value> Batch<K, V> {
    /// Drops what is left of the operations that were run.
    #[inline]
    fn discard(&mut self) {
        if std::mem::needs_drop::<(K, V)>() {
            let Self {
                keys,
                insertions,
                removed,
                ..
            } = self;
            discard::until_done(|| {
                for insertion in &mut *insertions {
                    insertion.key = None;
                    insertion.value = None;
                }
                while keys.pop().is_some() {}
                while removed.pop().is_some() {}
            });
            insertions.clear();
        }
    }

    /// Asks the memory for what these operations will need.
    #[inline(always)]
    fn touch(&self, members: &[u32], state: &ShardState<K, V>) {
        for &at in members {
            state.touch(self.hashes[at as usize]);
        }
    }

    /// Carries out one group with its shard in hand.
    #[inline]
    fn run_group<R: Deref<Target = Shared<ShardState<K, V>>>>(
        &mut self,
        members: &[u32],
        loan: &mut Loan<ShardState<K, V>, R>,
        replies: &mut [Reply<V>],
    ) {
        for &at in members {
            let at = at as usize;
            let hash = self.hashes[at];
            let reply = &mut replies[at];
            match self.todo[at] {
                Todo::Get(key) => {
                    let key = &self.keys[key as usize];
                    // Cloned into its place, not moved there.
                    loan.look(|state| match state.find(hash, key) {
                        Some(entry) => *reply = Reply::Value(Some(entry.value.clone())),
                        None => *reply = Reply::Value(None),
                    });
                }
                Todo::Insert(at) => {
                    let insertion = &mut self.insertions[at as usize];
                    *reply = loan.change(|state| state.run_insertion(hash, insertion));
                }
                Todo::Contains(key) => {
                    let key = &self.keys[key as usize];
                    *reply = Reply::Flag(loan.look(|state| state.contains(hash, key)));
                }
                Todo::Remove(key) => {
                    let key = &self.keys[key as usize];
                    let removed = loan.change(|state| state.remove(hash, key));
                    let parts = removed.map(Removed::into_parts);
                    let (value, left) = parts.unzip();
                    *reply = Reply::Value(value.flatten());
                    if std::mem::needs_drop::<(K, V)>() {
                        self.removed.extend(left);
                    }
                }
            }
        }
    }

    /// One operation, made ready to travel.
    fn step(&mut self, at: u32) -> Step<K, V> {
        let key = |key: u32| self.keys[key as usize].clone();
        let op = match self.todo[at as usize] {
            Todo::Get(at) => Op::Get(key(at)),
            Todo::Contains(at) => Op::Contains(key(at)),
            Todo::Remove(at) => Op::Remove(key(at)),
            Todo::Insert(at) => Op::Insert(self.insertions[at as usize].take_out()),
        };
        Step {
            hash: self.hashes[at as usize],
            op,
            reply: None,
            left: None,
        }
    }
}

fn post<K: Key, V: Value>(
    keep: &Keep<ShardState<K, V>>,
    shard: usize,
    steps: Vec<Step<K, V>>,
    call: &Call,
) -> Result<LoadTicket<K, V>, Refused> {
    let ticket = Ticket::new(shard);
    let work = Box::new(Mailed {
        load: Load::Many(steps),
        ticket: Arc::clone(&ticket),
        deadline: call.deadline,
    });
    match keep.post(shard, work, call) {
        Ok(()) => Ok(ticket),
        Err((_, refused)) => Err(refused),
    }
}

fn fail<V: Clone>(replies: &mut [Reply<V>], members: &[u32], error: &Error) {
    for &at in members {
        replies[at as usize] = Reply::Failed(error.clone());
    }
}
