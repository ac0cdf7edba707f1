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
pub struct Aside {
    records: Vec<Record>,
    tables: Vec<Table<Record>>,
    entries: usize,
    bytes: usize,
}

impl Aside {
    /// How many entries it holds.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes it takes from the allocator.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// Frees one record or table; `false` when none was left.
    pub fn free_next(&mut self) -> bool {
        self.records.pop().is_some() || self.tables.pop().is_some()
    }

    fn is_full(&self) -> bool {
        self.records.len() + self.tables.len() >= ASIDE_MAX
    }

    fn put_record(&mut self, record: Record) {
        if !self.is_full() {
            self.entries += 1;
            self.bytes += record.allocated_bytes();
            self.records.push(record);
        }
    }

    /// `bytes` is what its entries take.
    fn put_table(&mut self, table: Table<Record>, bytes: usize) {
        if !self.is_full() {
            self.entries += table.len();
            self.bytes += table.memory_bytes() + bytes;
            self.tables.push(table);
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
            self.0.get_or_insert_default().put_record(record);
        }
    }

    /// Frees a table whose entries take `bytes`, here or later.
    pub(super) fn put_table(&mut self, table: Table<Record>, bytes: usize) {
        if table.len() >= ASIDE_ENTRIES_MIN {
            self.0.get_or_insert_default().put_table(table, bytes);
        }
    }
}
