//! The embedded engines: one write, on the disk when the call returns.
//!
//! 1. `put` returns when the write survives a power cut, in every engine.
//! 2. Each engine is used as its own documentation says; the `grouped` ones as well as their user can:
//!    whoever commits takes along what others have waiting.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use fjall::PersistMode;
use parking_lot::Mutex;
use redb::{Durability, ReadableDatabase as _, TableDefinition};
use shardkeep::{Durable, Store};

/// Bytes of every value.
pub(super) const VALUE_BYTES: usize = 64;
/// A value.
pub(super) type Value = [u8; VALUE_BYTES];

const TABLE: TableDefinition<'_, u64, &Value> = TableDefinition::new("values");

/// The engines by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Shardkeep,
    Redb,
    RedbGrouped,
    Fjall,
    FjallGrouped,
}

impl Engine {
    pub(super) const ALL: [Self; 5] = [
        Self::Shardkeep,
        Self::Redb,
        Self::Fjall,
        Self::RedbGrouped,
        Self::FjallGrouped,
    ];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Shardkeep => "shardkeep",
            Self::Redb => "redb",
            Self::RedbGrouped => "redb-grouped",
            Self::Fjall => "fjall",
            Self::FjallGrouped => "fjall-grouped",
        }
    }

    /// Opens what lies in `directory`, or an empty store.
    ///
    /// # Errors
    /// The engine refuses.
    pub(super) fn open(self, directory: &Path) -> Result<Box<dyn DurableMap>> {
        Ok(match self {
            Self::Shardkeep => Box::new(
                Store::<u64, Value>::builder()
                    .durable(directory, Durable::new())
                    .open()?,
            ),
            Self::Redb => Box::new(Redb::open(directory)?),
            Self::RedbGrouped => Box::new(Grouped::new(Redb::open(directory)?)),
            Self::Fjall => Box::new(Fjall::open(directory)?),
            Self::FjallGrouped => Box::new(Grouped::new(Fjall::open(directory)?)),
        })
    }
}

/// A store whose writes are on the disk when they return.
pub(super) trait DurableMap: Send + Sync {
    /// Writes, and waits for the disk.
    fn put(&self, key: u64, value: &Value) -> Result<()>;

    /// Reads.
    fn get(&self, key: u64) -> Result<Option<Value>>;
}

/// A store that takes several writes with one sync.
trait Batches: Send + Sync {
    fn put_all(&self, writes: &[(u64, Value)]) -> Result<()>;

    fn read(&self, key: u64) -> Result<Option<Value>>;
}

impl DurableMap for Store<u64, Value> {
    fn put(&self, key: u64, value: &Value) -> Result<()> {
        self.insert(key, *value)?;
        Ok(())
    }

    fn get(&self, key: u64) -> Result<Option<Value>> {
        Ok(Self::get(self, &key)?)
    }
}

/// redb, one transaction for each write.
struct Redb(redb::Database);

impl Redb {
    fn open(directory: &Path) -> Result<Self> {
        let database = redb::Database::create(directory.join("values.redb"))?;
        let write = database.begin_write()?;
        write.open_table(TABLE)?;
        write.commit()?;
        Ok(Self(database))
    }
}

impl Batches for Redb {
    fn put_all(&self, writes: &[(u64, Value)]) -> Result<()> {
        let mut write = self.0.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        let mut table = write.open_table(TABLE)?;
        for (key, value) in writes {
            table.insert(key, value)?;
        }
        drop(table);
        Ok(write.commit()?)
    }

    fn read(&self, key: u64) -> Result<Option<Value>> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|value| *value.value()))
    }
}

impl DurableMap for Redb {
    fn put(&self, key: u64, value: &Value) -> Result<()> {
        self.put_all(&[(key, *value)])
    }

    fn get(&self, key: u64) -> Result<Option<Value>> {
        self.read(key)
    }
}

/// fjall: a write into its journal, then `fdatasync` of it.
struct Fjall {
    database: fjall::Database,
    values: fjall::Keyspace,
}

impl Fjall {
    fn open(directory: &Path) -> Result<Self> {
        let database = fjall::Database::builder(directory).open()?;
        let values = database.keyspace("values", fjall::KeyspaceCreateOptions::default)?;
        Ok(Self { database, values })
    }
}

impl Batches for Fjall {
    fn put_all(&self, writes: &[(u64, Value)]) -> Result<()> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (key, value) in writes {
            batch.insert(&self.values, key.to_be_bytes(), value);
        }
        Ok(batch.commit()?)
    }

    fn read(&self, key: u64) -> Result<Option<Value>> {
        let found = self.values.get(key.to_be_bytes())?;
        let whole = |value: fjall::UserValue| Value::try_from(&*value).context("a value's length");
        found.map(whole).transpose()
    }
}

impl DurableMap for Fjall {
    fn put(&self, key: u64, value: &Value) -> Result<()> {
        self.values.insert(key.to_be_bytes(), value)?;
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn get(&self, key: u64) -> Result<Option<Value>> {
        self.read(key)
    }
}

/// Group commit as a user writes it around a store with one writer: who gets the lock commits for all
/// that wait.
///
/// Writes have tickets in the order in which they came; `Committed::until` is the last one on the disk.
struct Grouped<B> {
    store: B,
    waiting: Mutex<Waiting>,
    committed: Mutex<Committed>,
}

#[derive(Default)]
struct Waiting {
    writes: Vec<(u64, Value)>,
    last_ticket: u64,
}

#[derive(Default)]
struct Committed {
    until: u64,
    failed: bool,
}

impl<B: Batches> Grouped<B> {
    fn new(store: B) -> Self {
        Self {
            store,
            waiting: Mutex::default(),
            committed: Mutex::default(),
        }
    }
}

impl<B: Batches> DurableMap for Grouped<B> {
    fn put(&self, key: u64, value: &Value) -> Result<()> {
        let ticket = {
            let mut waiting = self.waiting.lock();
            waiting.writes.push((key, *value));
            waiting.last_ticket += 1;
            waiting.last_ticket
        };
        let mut committed = self.committed.lock();
        ensure!(!committed.failed, "an earlier commit has failed");
        if committed.until >= ticket {
            return Ok(());
        }
        let (writes, until) = {
            let mut waiting = self.waiting.lock();
            (std::mem::take(&mut waiting.writes), waiting.last_ticket)
        };
        committed.failed = true;
        self.store.put_all(&writes)?;
        *committed = Committed {
            until,
            failed: false,
        };
        Ok(())
    }

    fn get(&self, key: u64) -> Result<Option<Value>> {
        self.store.read(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn every_engine_has_after_reopening_what_it_acknowledged() {
        let parent = std::env::temp_dir().join(format!("engines-test-{}", std::process::id()));
        std::fs::create_dir(&parent).unwrap();
        let scratch = Scratch::new(&parent).unwrap();
        for engine in Engine::ALL {
            let directory = scratch.directory(engine.label()).unwrap();
            let map = engine.open(directory.path()).unwrap();
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let map = &map;
                    crate::threads::spawn_scoped(scope, "writer", move || {
                        for turn in 0..3 {
                            map.put(thread, &[turn; VALUE_BYTES]).unwrap();
                        }
                    })
                    .unwrap();
                }
            });
            drop(map);
            let map = engine.open(directory.path()).unwrap();
            for key in 0..5 {
                let expected = (key < 4).then_some([2; VALUE_BYTES]);
                assert_eq!(map.get(key).unwrap(), expected, "{engine:?}");
            }
        }
        drop(scratch);
        std::fs::remove_dir(&parent).unwrap();
    }
}
