//! Opening what is there: one thread reads the log and says which shard each effect belongs to, the
//! others apply them, each to its own shards.
//!
//! 1. Effects of one shard reach one thread, in the order of the log.
//! 2. A clear reaches all threads, at its place in that order.
//! 3. The first error ends all of them, and so does whoever cancels the recovery; then nothing on disk has
//!    been changed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use shardkeep_core::fail_fast::{Failure, fail_fast};
use shardkeep_core::{Call, CancelToken, Keep, Loans};
use shardkeep_log::{Directory, OpenError, Options, Recovery, SnapshotReader, StoreId};

use super::disk::Disk;
use super::error::RecoverError;
use super::journal::LogJournal;
use super::options::Durable;
use super::replay::{Persist, Place, Route, Sink, Unreadable, read_all};
use crate::effect;

/// Bytes of effects that travel together: enough that a thread switch for each does not count.
const BLOCK_BYTES: usize = 256 * 1_024;
/// Blocks on their way to one thread: what the reader may be ahead.
const BLOCKS_AHEAD: usize = 16;
/// Longest wait for a shard of a keep that nobody uses yet.
const SHARD_MAX: Duration = Duration::from_secs(60);

/// How far a recovery is, in bytes of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryProgress {
    /// Bytes read.
    pub done: u64,
    /// Bytes to read in all.
    pub total: u64,
}

/// What a recovery found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// Effects that were applied, of the snapshot and of the log.
    pub effects: u64,
    /// Counts the bytes of effects that are appended to the log from now on.
    pub grown: Arc<AtomicU64>,
    /// The disk under the log.
    pub disk: Disk,
    /// What somebody may want to know, although the store is sound.
    pub warnings: Vec<String>,
}

/// Where an effect stands in a block, and where it belongs.
#[derive(Clone, Copy)]
struct Item {
    offset: u32,
    shard: u32,
}

/// The shard of what concerns all shards.
const ALL_SHARDS: u32 = u32::MAX;

/// Effects on their way to one thread.
struct Parcel {
    block: Arc<Vec<u8>>,
    items: Vec<Item>,
    /// For errors: where the block begins.
    place: Arc<str>,
}

/// Reads `directory` into the empty shards of `keep`, and puts the log in its place: from then on the
/// keep admits writes. Blocks for the disk. `progress` is called by this thread, some times a second
/// as a rule. When `cancel` is cancelled the recovery is given up ([`RecoverError::Cancelled`]), after the
/// frame, the record or the effect that each of its threads is at.
///
/// # Errors
/// What is there is not a whole store. Nothing on disk was changed; the keep is of no use any more.
pub fn recover<S: Persist>(
    keep: &Keep<S>,
    directory: Directory,
    durable: &Durable,
    route: &Route,
    cancel: &CancelToken,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<Recovered, RecoverError> {
    let options = Options {
        create: durable.create.then(random_id),
        segment_bytes: durable.segment_size(),
        reserve: durable.reserve,
        content: durable.content.clone(),
        accepts_other_content: durable.accepts_other_types,
        ..Options::new()
    };
    let directory = Arc::new(directory);
    let beside = Arc::downgrade(&directory);
    let mut recovery = Recovery::open(directory, options)?;
    let effects = replay(keep, &mut recovery, route, cancel, progress)?;
    let (log, warnings) = recovery.into_log()?;
    let journal = LogJournal::new(log, durable.gate.clone(), durable.content.clone());
    let (grown, disk) = (journal.bytes(), Disk::new(beside, journal.known()));
    let installed = keep.install_journal(journal);
    installed.map_err(|error| match error {
        shardkeep_core::OpenError::Thread { source, .. } => RecoverError::Thread(source),
        other => RecoverError::Thread(std::io::Error::other(other)),
    })?;
    Ok(Recovered {
        effects,
        grown,
        disk,
        warnings: warnings.iter().map(ToString::to_string).collect(),
    })
}

/// 128 bits that no other store has: from the keys of the standard library's hash function, which come
/// from the system's source of randomness.
pub(super) fn random_id() -> StoreId {
    use std::hash::{BuildHasher as _, RandomState};
    let mut bytes = [0; 16];
    for (index, half) in bytes.chunks_exact_mut(8).enumerate() {
        half.copy_from_slice(&RandomState::new().hash_one(index).to_le_bytes());
    }
    StoreId::new(bytes)
}

fn replay<S: Persist>(
    keep: &Keep<S>,
    recovery: &mut Recovery<Directory>,
    route: &Route,
    cancel: &CancelToken,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<u64, RecoverError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let workers = cores.min(keep.shards());
    let done = fail_fast(cancel, |group| {
        let mut ways = Vec::new();
        for worker in 0..workers {
            let (way, parcels) = bounded(BLOCKS_AHEAD);
            let name = format!("{}-recovery-{worker}", keep.config().name);
            group.spawn(name, move |token| {
                restore_all(keep, worker, workers, &parcels, token)
            });
            ways.push(way);
        }
        // Without their senders, which end with it, the threads finish what they have, and end.
        let mut distributor = Distributor::new(ways, route, group.token(), progress);
        let read = read_all(recovery, &mut distributor);
        match read.and_then(|()| distributor.send()) {
            Ok(()) => Ok(Some(distributor.effects)),
            // Why, that thread tells.
            Err(Stopped::ThreadEnded) => Ok(None),
            Err(Stopped::Because(error)) => Err(error),
        }
    });
    let effects = done.map_err(|failure| match failure {
        Failure::Failed { error, .. } => error,
        Failure::Panicked { .. } => RecoverError::Panicked,
        Failure::NotStarted { source, .. } => RecoverError::Thread(source),
    })?;
    // Threads that see it end without an error, and leave out what they had not done.
    match cancel.is_cancelled() {
        true => Err(RecoverError::Cancelled),
        false => effects.ok_or(RecoverError::Panicked),
    }
}

/// Why the reader stopped before the end.
enum Stopped {
    /// A thread that restores has ended.
    ThreadEnded,
    Because(RecoverError),
}

impl From<OpenError> for Stopped {
    fn from(error: OpenError) -> Self {
        Self::Because(error.into())
    }
}

/// Gathers effects into blocks and sends each thread its part.
struct Distributor<'r> {
    ways: Vec<Sender<Parcel>>,
    route: &'r Route,
    token: &'r CancelToken,
    block: Vec<u8>,
    items: Vec<Vec<Item>>,
    place: Option<Arc<str>>,
    effects: u64,
    progress: &'r mut dyn FnMut(RecoveryProgress),
}

impl Sink<Recovery<Directory>> for Distributor<'_> {
    type Error = Stopped;

    fn take(&mut self, place: Place<'_>, effects: &[u8]) -> Result<(), Stopped> {
        self.add(effects, place)
    }

    fn look(&mut self, recovery: &Recovery<Directory>, place: Place<'_>) {
        let of_snapshot = recovery.snapshot().map_or(0, SnapshotReader::bytes);
        let progress = recovery.progress();
        let done = match place {
            Place::Frame(index, _, frames) => of_snapshot * (index as u64 + 1) / frames as u64,
            // Not at each of many small records.
            Place::Record(_) if !self.has_just_sent() => return,
            Place::Record(_) => progress.done.max(of_snapshot),
        };
        let total = progress.total;
        (self.progress)(RecoveryProgress { done, total });
    }
}

impl<'r> Distributor<'r> {
    fn new(
        ways: Vec<Sender<Parcel>>,
        route: &'r Route,
        token: &'r CancelToken,
        progress: &'r mut dyn FnMut(RecoveryProgress),
    ) -> Self {
        let items = ways.iter().map(|_| Vec::new()).collect();
        Self {
            ways,
            route,
            token,
            block: Vec::with_capacity(BLOCK_BYTES * 2),
            items,
            place: None,
            effects: 0,
            progress,
        }
    }

    /// Takes the effects of a record, and sends the block when it is full.
    fn add(&mut self, payload: &[u8], place: Place<'_>) -> Result<(), Stopped> {
        if self.token.is_cancelled() {
            return Err(Stopped::Because(RecoverError::Cancelled));
        }
        let base = self.block.len();
        let mut effects = effect::decode(payload);
        loop {
            let offset = (base + effects.offset()) as u32;
            let Some(found) = effects.next() else {
                break;
            };
            let routed = found.map_err(Unreadable::from).and_then(|effect| {
                let shard = effect.key.map(self.route).transpose()?;
                Ok(shard.map_or(ALL_SHARDS, |shard| shard as u32))
            });
            let shard = routed.map_err(|source| {
                let place = place.to_string();
                Stopped::Because(RecoverError::Unreadable { place, source })
            })?;
            let item = Item { offset, shard };
            if shard == ALL_SHARDS {
                self.items.iter_mut().for_each(|items| items.push(item));
            } else {
                let worker = shard as usize % self.items.len();
                self.items[worker].push(item);
            }
            self.effects += 1;
        }
        if self.place.is_none() {
            self.place = Some(place.to_string().into());
        }
        self.block.extend_from_slice(payload);
        if self.block.len() >= BLOCK_BYTES {
            self.send()?;
        }
        Ok(())
    }

    /// Whether the block has just gone.
    fn has_just_sent(&self) -> bool {
        self.block.is_empty()
    }

    /// Blocks while a thread has all the blocks that it may have ahead: until it takes one, or ends.
    fn send(&mut self) -> Result<(), Stopped> {
        let block = Arc::new(std::mem::replace(
            &mut self.block,
            Vec::with_capacity(BLOCK_BYTES * 2),
        ));
        let place = self.place.take().unwrap_or_default();
        for (way, items) in self.ways.iter().zip(&mut self.items) {
            let parcel = Parcel {
                block: Arc::clone(&block),
                items: std::mem::take(items),
                place: Arc::clone(&place),
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B32: room in the way"
            )]
            if !parcel.items.is_empty() && way.send(parcel).is_err() {
                return Err(Stopped::ThreadEnded);
            }
        }
        Ok(())
    }
}

/// One thread: applies what is sent to it, to its own shards.
fn restore_all<S: Persist>(
    keep: &Keep<S>,
    worker: usize,
    workers: usize,
    parcels: &Receiver<Parcel>,
    token: &CancelToken,
) -> Result<(), RecoverError> {
    let shards: Vec<usize> = (worker..keep.shards()).step_by(workers).collect();
    let call = Call {
        cancel: Some(token.clone()),
        ..Call::within(SHARD_MAX)
    };
    let mut loans = keep.acquire(&shards, call)?;
    // Ends when the reader has ended and dropped its end.
    for parcel in parcels {
        for item in &parcel.items {
            if token.is_cancelled() {
                return Ok(());
            }
            let restored = catch_unwind(AssertUnwindSafe(|| {
                restore(&mut loans, &shards, &parcel.block, *item)
            }));
            match restored {
                Ok(Ok(())) => {}
                Ok(Err(source)) => {
                    let place = format!("{} or one soon after it", parcel.place);
                    return Err(RecoverError::Unreadable { place, source });
                }
                Err(_) => {
                    let place = format!("{} or one soon after it", parcel.place);
                    return Err(RecoverError::PanickedAt { place });
                }
            }
        }
    }
    Ok(())
}

fn restore<S: Persist>(
    loans: &mut Loans<S>,
    shards: &[usize],
    block: &[u8],
    item: Item,
) -> Result<(), Unreadable> {
    let Some(effect) = effect::decode(&block[item.offset as usize..]).next() else {
        return Ok(());
    };
    let effect = effect?;
    if item.shard == ALL_SHARDS {
        for &shard in shards {
            loans.shard(shard).change(|state| state.replay(&effect))?;
        }
        return Ok(());
    }
    let loan = loans.shard(item.shard as usize);
    Ok(loan.change(|state| state.replay(&effect))?)
}
