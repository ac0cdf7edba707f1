//! What is compared: one trait, one file per engine.
//!
//! 1. Every engine hashes with the same function and the same seeds ([`hasher`]).
//! 2. Every engine stores `u64` to `[u8; 64]` and reads by `digest`.
//! 3. Every engine is used the way its own documentation shows; an engine without batches runs
//!    them as a loop of single operations, since that is all it offers.
//!
//! A new engine is a file, a name in [`EngineName`] and an arm in [`open`].

use std::num::NonZeroUsize;
use std::time::Duration;

use ahash::RandomState;
use anyhow::{Result, bail};
use clap::ValueEnum;

use super::measure::Subject;
use super::workload::{ABSENT, Op, Value, value_of};

mod dashmap;
mod mutex;
mod papaya;
mod shardkeep;
mod striped;
mod striped_grouped;
mod striped_tuned;

/// A map under test.
pub(crate) trait Engine: Send + Sync {
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
    /// Reads the value and returns its digest.
    fn get(&mut self, key: u64) -> Option<u64>;

    /// Inserts or overwrites.
    fn set(&mut self, key: u64, value: &Value);

    /// Runs `ops`; the digest of each read (or [`ABSENT`]) goes to the same place in `digests`,
    /// which has the length of `ops`. What stands in the place of a write means nothing.
    #[inline]
    fn batch(&mut self, ops: &[Op], digests: &mut [u64]) {
        for (op, digest) in ops.iter().zip(digests) {
            if op.is_write() {
                self.set(op.key(), &value_of(op.key()));
            } else {
                *digest = self.get(op.key()).unwrap_or(ABSENT);
            }
        }
    }
}

/// The engines by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// One `parking_lot` mutex over one std `HashMap` (that is hashbrown)
    Mutex,
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
            Self::Mutex | Self::Papaya | Self::SingleOwner => false,
        }
    }

    /// Fewest parts it can be divided into.
    const fn shards_min(self) -> usize {
        match self {
            // DashMap refuses one shard, and one stripe is the engine `mutex`.
            Self::Striped | Self::StripedTuned | Self::StripedGrouped | Self::Dashmap => 2,
            Self::OwnersLend | Self::OwnersMail => 1,
            Self::Mutex | Self::Papaya | Self::SingleOwner => 0,
        }
    }
}

/// What an engine can be told; each takes what means something to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    /// Parts of a divided map; `None` leaves it to the engine.
    pub(crate) shards: Option<NonZeroUsize>,
    /// How long an owner that gets its work by mail gathers writes before it applies them.
    pub(crate) write_window: Duration,
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
    Ok(match name {
        EngineName::Mutex => Box::new(mutex::MutexMap::open()),
        EngineName::Striped => Box::new(striped::Striped::open(shards)),
        EngineName::StripedTuned => Box::new(striped_tuned::StripedTuned::open(shards)),
        EngineName::StripedGrouped => Box::new(striped_grouped::StripedGrouped::open(shards)),
        EngineName::Dashmap => Box::new(dashmap::Dash::open(shards)),
        EngineName::Papaya => Box::new(papaya::Papaya::open()),
        EngineName::OwnersLend => Box::new(shardkeep::Shardkeep::lend(settings)?),
        EngineName::OwnersMail => Box::new(shardkeep::Shardkeep::mail(settings)?),
        EngineName::SingleOwner => Box::new(shardkeep::Shardkeep::single(settings)?),
    })
}

/// The one hash function of all engines.
fn hasher() -> RandomState {
    RandomState::with_seeds(0x5eed_0001, 0x5eed_0002, 0x5eed_0003, 0x5eed_0004)
}

#[cfg(test)]
mod tests {
    use super::super::workload::digest_of;
    use super::*;

    fn check<E: Engine>(engine: &E) {
        let mut handle = engine.handle();
        assert_eq!(handle.get(1), None);
        for key in 0..500 {
            handle.set(key, &value_of(key));
        }
        handle.set(7, &value_of(8));
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
    }

    #[test]
    fn every_engine_returns_what_was_written_in_order() {
        check(&mutex::MutexMap::open());
        for shards in [None, NonZeroUsize::new(2), NonZeroUsize::new(256)] {
            check(&striped::Striped::open(shards));
            check(&striped_tuned::StripedTuned::open(shards));
            check(&striped_grouped::StripedGrouped::open(shards));
            check(&dashmap::Dash::open(shards));
        }
        check(&papaya::Papaya::open());
        for shards in [0, 1, 64] {
            let settings = Settings::with_shards(shards);
            check(&shardkeep::Shardkeep::lend(settings).unwrap());
            check(&shardkeep::Shardkeep::mail(settings).unwrap());
        }
        let gathering = Settings {
            write_window: Duration::from_micros(50),
            ..Settings::default()
        };
        check(&shardkeep::Shardkeep::mail(gathering).unwrap());
        check(&shardkeep::Shardkeep::single(gathering).unwrap());
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
