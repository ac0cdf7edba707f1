//! What is compared: one trait, one file per engine.
//!
//! 1. Every engine hashes with the same function and the same seeds ([`hasher`]).
//! 2. Every engine stores `u64` to the same [`Value`] in place, and reads by its digest.
//! 3. Every engine is used the way its own documentation shows; an engine without batches runs
//!    them as a loop of single operations, since that is all it offers, and one without transactions
//!    makes a transfer of two changes and says so.
//! 4. The entry points of the read and write loops are always inlined: whether the compiler happens to
//!    call one of them would otherwise be part of the comparison.
//!
//! A new engine is a file, a name in [`EngineName`] and an arm in [`open`].

use std::num::NonZeroUsize;
use std::time::Duration;

use ahash::RandomState;
use anyhow::{Result, bail};
use clap::ValueEnum;

use super::measure::Subject;
use super::value::{ABSENT, VALUE_BYTES, VALUE_BYTES_ALL, Value};
use super::workload::Op;

mod dashmap;
mod mutex;
mod papaya;
mod rwlock;
mod shardkeep;
mod striped;
mod striped_grouped;
mod striped_tuned;

/// A map under test.
pub(crate) trait Engine: Send + Sync {
    /// Whether a transfer between two keys happens at one moment for everybody.
    const TRANSFERS_ATOMICALLY: bool;

    /// What one thread works with; made on that thread.
    type Handle<'a>: Handle
    where
        Self: 'a;

    /// A handle for the calling thread.
    fn handle(&self) -> Self::Handle<'_>;

    /// Into how many independent parts the map is divided; `None` if it is not.
    fn shards(&self) -> Option<usize>;
}

/// One thread's access to a map under test.
pub(crate) trait Handle {
    /// What the map holds.
    type Value: Value;

    /// Reads the value and returns its digest.
    fn get(&mut self, key: u64) -> Option<u64>;

    /// Inserts or overwrites.
    fn set(&mut self, key: u64, value: &Self::Value);

    /// Adds to the amount of a key, atomically; returns the first word as it was, or `None` where
    /// the key is absent.
    fn add(&mut self, key: u64, amount: u64) -> Option<u64>;

    /// Moves one from the amount of a key to that of another key; returns the sum of both first
    /// words, or `None` (having moved nothing, where transfers are atomic) where a key is absent.
    fn transfer(&mut self, from: u64, to: u64) -> Option<u64>;

    /// Runs `ops`; the digest of each read (or [`ABSENT`]) goes to the same place in `digests`,
    /// which has the length of `ops`. What stands in the place of a write means nothing.
    #[inline]
    fn batch(&mut self, ops: &[Op], digests: &mut [u64]) {
        for (op, digest) in ops.iter().zip(digests) {
            if op.is_write() {
                self.set(op.key(), &Self::Value::of(op.key()));
            } else {
                *digest = self.get(op.key()).unwrap_or(ABSENT);
            }
        }
    }
}

/// A transfer where nothing spans two keys: others may see the moment in between.
#[inline]
fn two_changes<H: Handle>(handle: &mut H, from: u64, to: u64) -> Option<u64> {
    let of_from = handle.add(from, u64::MAX)?;
    Some(of_from.wrapping_add(handle.add(to, 1)?))
}

/// The engines by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// One `parking_lot` mutex over one std `HashMap` (that is hashbrown)
    Mutex,
    /// One `parking_lot` read-write lock over one std `HashMap`
    Rwlock,
    /// 64 `parking_lot` mutexes, each over a std `HashMap`: what people write
    Striped,
    /// 64 `parking_lot` mutexes, each over a hashbrown table, and a key hashed only once
    StripedTuned,
    /// striped-tuned, but a batch is grouped by stripe and takes each lock once
    StripedGrouped,
    /// `DashMap` 6
    Dashmap,
    /// papaya 0.2, a lock-free map; a batch holds one guard
    Papaya,
    /// This project's store as it is by default: idle shards are borrowed
    OwnersLend,
    /// The same store, but every operation is mailed to the shard's owner thread
    OwnersMail,
    /// One owner thread with one map, reached by messages only
    SingleOwner,
}

impl EngineName {
    /// As written on the command line.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::Rwlock => "rwlock",
            Self::Striped => "striped",
            Self::StripedTuned => "striped-tuned",
            Self::StripedGrouped => "striped-grouped",
            Self::Dashmap => "dashmap",
            Self::Papaya => "papaya",
            Self::OwnersLend => "owners-lend",
            Self::OwnersMail => "owners-mail",
            Self::SingleOwner => "single-owner",
        }
    }

    /// Whether `--shards` means anything to it.
    pub(crate) const fn has_shards(self) -> bool {
        match self {
            Self::Striped
            | Self::StripedTuned
            | Self::StripedGrouped
            | Self::Dashmap
            | Self::OwnersLend
            | Self::OwnersMail => true,
            Self::Mutex | Self::Rwlock | Self::Papaya | Self::SingleOwner => false,
        }
    }

    /// Whether `--window` means anything to it.
    pub(crate) const fn has_window(self) -> bool {
        match self {
            Self::OwnersMail | Self::SingleOwner => true,
            Self::Mutex
            | Self::Rwlock
            | Self::Striped
            | Self::StripedTuned
            | Self::StripedGrouped
            | Self::Dashmap
            | Self::Papaya
            | Self::OwnersLend => false,
        }
    }

    /// Fewest parts it can be divided into.
    const fn shards_min(self) -> usize {
        match self {
            // DashMap refuses one shard, and one stripe is the engine `mutex`.
            Self::Striped | Self::StripedTuned | Self::StripedGrouped | Self::Dashmap => 2,
            Self::OwnersLend | Self::OwnersMail => 1,
            Self::Mutex | Self::Rwlock | Self::Papaya | Self::SingleOwner => 0,
        }
    }
}

/// What an engine can be told; each takes what means something to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Parts of a divided map; `None` leaves it to the engine.
    pub(crate) shards: Option<NonZeroUsize>,
    /// How long an owner that gets its work by mail gathers writes before it applies them.
    pub(crate) write_window: Duration,
    /// Bytes of every value, one of [`VALUE_BYTES_ALL`].
    pub(crate) value_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shards: None,
            write_window: Duration::ZERO,
            value_bytes: VALUE_BYTES,
        }
    }
}

impl Settings {
    /// So many parts, and nothing else; 0 leaves it to the engine.
    pub(crate) fn with_shards(shards: usize) -> Self {
        Self {
            shards: NonZeroUsize::new(shards),
            ..Self::default()
        }
    }
}

/// An empty map.
///
/// # Errors
/// The engine cannot be divided so, or could not start its threads.
pub(crate) fn open(name: EngineName, settings: Settings) -> Result<Box<dyn Subject>> {
    let shards = settings.shards;
    if let Some(count) = shards
        && name.has_shards()
        && (!count.is_power_of_two() || count.get() < name.shards_min())
    {
        bail!(
            "--shards {count}: {} takes powers of two from {} up",
            name.label(),
            name.shards_min(),
        );
    }
    match settings.value_bytes {
        16 => open_of::<[u8; 16]>(name, settings),
        64 => open_of::<[u8; 64]>(name, settings),
        256 => open_of::<[u8; 256]>(name, settings),
        4_096 => open_of::<[u8; 4_096]>(name, settings),
        other => bail!("values of {other} bytes: one of {VALUE_BYTES_ALL:?}"),
    }
}

fn open_of<V: Value>(name: EngineName, settings: Settings) -> Result<Box<dyn Subject>> {
    let shards = settings.shards;
    Ok(match name {
        EngineName::Mutex => Box::new(mutex::MutexMap::<V>::open()),
        EngineName::Rwlock => Box::new(rwlock::RwLockMap::<V>::open()),
        EngineName::Striped => Box::new(striped::Striped::<V>::open(shards)),
        EngineName::StripedTuned => Box::new(striped_tuned::StripedTuned::<V>::open(shards)),
        EngineName::StripedGrouped => Box::new(striped_grouped::StripedGrouped::<V>::open(shards)),
        EngineName::Dashmap => Box::new(dashmap::Dash::<V>::open(shards)),
        EngineName::Papaya => Box::new(papaya::Papaya::<V>::open()),
        EngineName::OwnersLend => Box::new(shardkeep::Shardkeep::<V>::lend(settings)?),
        EngineName::OwnersMail => Box::new(shardkeep::Shardkeep::<V>::mail(settings)?),
        EngineName::SingleOwner => Box::new(shardkeep::Shardkeep::<V>::single(settings)?),
    })
}

/// The one hash function of all engines.
fn hasher() -> RandomState {
    RandomState::with_seeds(0x5eed_0001, 0x5eed_0002, 0x5eed_0003, 0x5eed_0004)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::value::{digest_of, sum_of};
    use super::*;

    /// Transfers of each thread in the test of atomicity.
    const TRANSFERS: u64 = 2_000;

    fn check<V: Value, E>(engine: &E)
    where
        E: Engine,
        for<'a> E::Handle<'a>: Handle<Value = V>,
    {
        let mut handle = engine.handle();
        assert_eq!(handle.get(1), None);
        assert_eq!((handle.add(1, 1), handle.transfer(1, 2)), (None, None));
        for key in 0..500 {
            handle.set(key, &V::of(key));
        }
        handle.set(7, &V::of(8));
        assert_eq!(handle.get(7), Some(digest_of(8)));
        // Written again within the batch: the read after it sees the new value, the one before
        // it the old one.
        let mut ops = vec![Op::read(7), Op::write(7), Op::read(7), Op::read(500)];
        ops.extend((0..300).map(Op::read));
        let mut digests = vec![0; ops.len()];
        handle.batch(&ops, &mut digests);
        assert_eq!(digests[0], digest_of(8));
        assert_eq!(digests[2], digest_of(7));
        assert_eq!(digests[3], ABSENT);
        for (key, found) in (0..300).zip(&digests[4..]) {
            assert_eq!(*found, digest_of(key));
        }
        let first = V::of(7).first();
        assert_eq!(handle.add(7, 1), Some(first));
        assert_eq!(handle.add(7, 5), Some(first + 1));
        assert_eq!(handle.get(7), Some(digest_of(7) + 6));
        // Pairs within one stripe and across two, in either order.
        for to in 300..340 {
            assert_eq!(handle.transfer(299, to), Some(sum_of(299, to) - (to - 300)));
            assert_eq!(handle.get(to), Some(digest_of(to) + 1));
        }
        for from in 260..299 {
            let back = handle.transfer(from, 299);
            assert_eq!(back, Some(sum_of(from, 299) - 40 + (from - 260)));
        }
        assert_eq!(handle.get(299), Some(digest_of(299) - 1));
        assert_seen_sums(engine);
    }

    /// Threads move amounts to and fro between two keys: who claims atomicity always sees one sum.
    fn assert_seen_sums<E: Engine>(engine: &E) {
        let seen = |thread: u64| {
            let mut handle = engine.handle();
            let begun = handle.transfer(400, 401);
            let all = (0..TRANSFERS).all(|turn| {
                let (from, to) = if turn % 2 == thread {
                    (400, 401)
                } else {
                    (401, 400)
                };
                handle.transfer(from, to) == begun
            });
            all && begun == Some(sum_of(400, 401))
        };
        let always_the_same = thread::scope(|scope| {
            let tellers = [0, 1].map(|thread| scope.spawn(move || seen(thread)));
            tellers.map(|teller| teller.join().unwrap()) == [true; 2]
        });
        assert!(always_the_same || !E::TRANSFERS_ATOMICALLY);
        let mut handle = engine.handle();
        let sum = handle.transfer(400, 401);
        assert_eq!(sum, Some(sum_of(400, 401)), "nothing is lost on the way");
    }

    fn check_locks<V: Value>() {
        check(&mutex::MutexMap::<V>::open());
        check(&rwlock::RwLockMap::<V>::open());
        for shards in [None, NonZeroUsize::new(2), NonZeroUsize::new(256)] {
            check(&striped::Striped::<V>::open(shards));
            check(&striped_tuned::StripedTuned::<V>::open(shards));
            check(&striped_grouped::StripedGrouped::<V>::open(shards));
            check(&dashmap::Dash::<V>::open(shards));
        }
        check(&papaya::Papaya::<V>::open());
    }

    fn check_ours<V: Value>() {
        for shards in [0, 1, 64] {
            let settings = Settings::with_shards(shards);
            check(&shardkeep::Shardkeep::<V>::lend(settings).unwrap());
            check(&shardkeep::Shardkeep::<V>::mail(settings).unwrap());
        }
        let gathering = Settings {
            write_window: Duration::from_micros(50),
            ..Settings::default()
        };
        check(&shardkeep::Shardkeep::<V>::mail(gathering).unwrap());
        check(&shardkeep::Shardkeep::<V>::single(gathering).unwrap());
    }

    #[test]
    fn every_map_returns_what_was_written_in_order_and_loses_no_change() {
        check_locks::<[u8; 16]>();
        check_locks::<[u8; 64]>();
    }

    #[test]
    fn our_store_returns_what_was_written_in_order_and_loses_no_change() {
        check_ours::<[u8; 64]>();
        check_ours::<[u8; 256]>();
    }

    #[test]
    fn every_engine_holds_values_of_every_size() {
        for name in EngineName::value_variants() {
            for value_bytes in VALUE_BYTES_ALL {
                let settings = Settings {
                    value_bytes,
                    ..Settings::default()
                };
                let engine = open(*name, settings).unwrap();
                engine.load(600);
                assert_eq!(engine.drift(600), 0, "{} {value_bytes}", name.label());
                assert_ne!(engine.drift(601), 0, "{} {value_bytes}", name.label());
            }
        }
        let odd = Settings {
            value_bytes: 65,
            ..Settings::default()
        };
        let error = open(EngineName::Mutex, odd).err().unwrap();
        assert_eq!(
            error.to_string(),
            "values of 65 bytes: one of [16, 64, 256, 4096]"
        );
    }

    #[test]
    fn labels_are_the_names_of_the_command_line() {
        for name in EngineName::value_variants() {
            let value = name.to_possible_value().unwrap();
            assert_eq!(value.get_name(), name.label());
        }
    }

    #[test]
    fn a_shard_count_that_an_engine_cannot_have_is_refused_by_name() {
        let cases = [
            (
                EngineName::Dashmap,
                "--shards 3: dashmap takes powers of two from 2 up",
            ),
            (
                EngineName::OwnersLend,
                "--shards 3: owners-lend takes powers of two from 1 up",
            ),
        ];
        for (name, expected) in cases {
            let error = open(name, Settings::with_shards(3)).err().unwrap();
            assert_eq!(error.to_string(), expected);
        }
        assert!(open(EngineName::Mutex, Settings::with_shards(3)).is_ok());
    }
}
