//! What has left a keyspace and takes long to free: large values and whole tables.
//!
//! Put aside while the shard is in hand, and freed when it is back. Everything else is freed where it
//! leaves, and costs nothing here.

use shardkeep::table::Table;

use super::record::Record;

/// Values of this size (bytes) and more are put aside: freeing fewer pages costs less than waking a thread.
pub(super) const ASIDE_VALUE_BYTES_MIN: usize = 64 * 1024;

/// Tables of this many entries and more are put aside.
pub(super) const ASIDE_ENTRIES_MIN: usize = 64;

/// How many things are put aside at once; those behind are freed where they leave.
pub(super) const ASIDE_MAX: usize = 1_024;

/// Records and tables that are to be freed when their shard is back.
#[derive(Default)]
pub struct Aside(Vec<(Thing, Weight)>);

enum Thing {
    Record(Record),
    Table(Table<Record>),
}

/// What waits to be freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// How many entries.
    pub entries: usize,
    /// Bytes they take from the allocator; a value that others hold as well counts.
    pub bytes: usize,
}

impl Aside {
    /// All that it holds.
    #[must_use]
    pub fn weight(&self) -> Weight {
        let weights = self.0.iter().map(|(_, weight)| weight);
        weights.fold(Weight::default(), |sum, one| Weight {
            entries: sum.entries + one.entries,
            bytes: sum.bytes + one.bytes,
        })
    }

    /// Frees one record or table, and says what that was; `None` when none was left.
    pub fn free_next(&mut self) -> Option<Weight> {
        let (thing, weight) = self.0.pop()?;
        match thing {
            Thing::Record(record) => drop(record),
            Thing::Table(table) => drop(table),
        }
        Some(weight)
    }

    fn put(&mut self, thing: Thing, weight: Weight) {
        if self.0.len() < ASIDE_MAX {
            self.0.push((thing, weight));
        }
    }
}

/// What is put aside in a keyspace: nothing, as a rule.
#[derive(Default)]
pub(super) struct Shelf(Option<Box<Aside>>);

impl Shelf {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn take(&mut self) -> Option<Box<Aside>> {
        self.0.take()
    }

    /// Frees a record, here or later.
    #[inline]
    pub(super) fn put(&mut self, record: Record) {
        if record.is_large() {
            self.put_large(record);
        }
    }

    #[cold]
    fn put_large(&mut self, record: Record) {
        if record.value().len() >= ASIDE_VALUE_BYTES_MIN {
            let weight = Weight {
                entries: 1,
                bytes: record.allocated_bytes(),
            };
            self.aside().put(Thing::Record(record), weight);
        }
    }

    /// Frees a table whose entries take `bytes`, here or later.
    pub(super) fn put_table(&mut self, table: Table<Record>, bytes: usize) {
        if table.len() >= ASIDE_ENTRIES_MIN {
            let weight = Weight {
                entries: table.len(),
                bytes: table.memory_bytes() + bytes,
            };
            self.aside().put(Thing::Table(table), weight);
        }
    }

    fn aside(&mut self) -> &mut Aside {
        self.0.get_or_insert_default()
    }
}
