//! What a disk holds, and what of it a crash leaves.
//!
//! Content is synced or not in sectors; names are synced or not one by one. What is not synced may
//! survive in any part and in any order.
//!
//! A crash is a power cut, after which the system names another boot. Where only the process ends, all that
//! was written is there, and the boot is the same.
//!
//! 1. What was synced survives every crash unchanged.
//! 2. A sector is written whole or not at all.
//! 3. The same state and the same chance give the same image.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use shardkeep_log::BootId;

use crate::random::Random;

/// Bytes that a disk writes in one piece.
pub const SECTOR_BYTES: usize = 512;

/// A file, whatever its names are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    /// As everybody reads it.
    pub(crate) live: Arc<Vec<u8>>,
    /// As it was synced.
    durable: Arc<Vec<u8>>,
    /// Sectors written since.
    dirty: BTreeSet<usize>,
    /// Whether the length was changed since.
    is_resized: bool,
    /// Bytes of the disk that were taken for it, with nothing written there.
    pub(crate) taken: u64,
}

impl Inode {
    fn dirty(&mut self, from: usize, to: usize) {
        if to > from {
            self.dirty
                .extend(from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES));
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        let length = self.live.len();
        let live = Arc::make_mut(&mut self.live);
        if end > length {
            live.resize(end, 0);
            self.is_resized = true;
        }
        live[offset..end].copy_from_slice(bytes);
        self.dirty(offset.min(length), end);
    }

    pub(crate) fn set_len(&mut self, bytes: usize) {
        let length = self.live.len();
        Arc::make_mut(&mut self.live).resize(bytes, 0);
        self.is_resized |= bytes != length;
        self.dirty(bytes.min(length), bytes.max(length));
    }

    pub(crate) fn sync(&mut self) {
        let last = self
            .dirty
            .last()
            .map_or(0, |sector| (sector + 1) * SECTOR_BYTES);
        let length = match self.is_resized {
            true => self.live.len(),
            false => self.durable.len().max(last.min(self.live.len())),
        };
        if self.is_resized || !self.dirty.is_empty() {
            let durable = Arc::make_mut(&mut self.durable);
            durable.resize(length, 0);
            for sector in &self.dirty {
                copy_sector(durable, &self.live, *sector);
            }
        }
        self.forget();
    }

    /// The system takes for written what it has not written: after a failed sync.
    pub(crate) fn forget(&mut self) {
        self.dirty.clear();
        self.is_resized = false;
    }

    /// What is left of it.
    fn crash(&self, chance: &mut Random, percent: usize, stale: &[u8]) -> Vec<u8> {
        let (old, new) = (self.durable.len(), self.live.len());
        let length = match chance.below(4) {
            _ if !self.is_resized => old.max(new.min(self.dirty_end())),
            0 => old,
            1 => chance.between(old.min(new), old.max(new)),
            _ if chance.percent(percent) => new,
            _ => old,
        };
        let mut bytes = (*self.durable).clone();
        bytes.resize(length, 0);
        for sector in &self.dirty {
            if chance.percent(percent) {
                copy_sector(&mut bytes, &self.live, *sector);
            } else if sector * SECTOR_BYTES >= old {
                fill_sector(&mut bytes, *sector, chance, stale);
            }
        }
        bytes
    }

    /// Bytes as everybody sees them.
    pub(crate) fn len(&self) -> u64 {
        self.taken.max(self.live.len() as u64)
    }

    fn used(&self) -> u64 {
        let sector = SECTOR_BYTES as u64;
        sector + self.len().next_multiple_of(sector)
    }

    fn dirty_end(&self) -> usize {
        self.dirty
            .last()
            .map_or(0, |sector| (sector + 1) * SECTOR_BYTES)
    }
}

fn copy_sector(to: &mut [u8], from: &[u8], sector: usize) {
    let at = sector * SECTOR_BYTES;
    let end = (at + SECTOR_BYTES).min(to.len()).min(from.len());
    if at < end {
        to[at..end].copy_from_slice(&from[at..end]);
    }
}

/// What stands in a sector that a file has got and that was never written: zeros, mostly.
fn fill_sector(bytes: &mut [u8], sector: usize, chance: &mut Random, stale: &[u8]) {
    let at = sector * SECTOR_BYTES;
    let end = (at + SECTOR_BYTES).min(bytes.len());
    if at >= end {
        return;
    }
    match chance.below(10) {
        0 => bytes[at..end].copy_from_slice(&chance.bytes(end - at)),
        1 if !stale.is_empty() => {
            let sectors = stale.len().div_ceil(SECTOR_BYTES);
            let from = chance.below(sectors) * SECTOR_BYTES;
            let piece = (end - at).min(stale.len() - from);
            bytes[at..at + piece].copy_from_slice(&stale[from..from + piece]);
        }
        _ => {}
    }
}

/// A change of names that is not synced.
#[derive(Clone, Debug)]
enum Change {
    Link(String, u64),
    Rename(String, String, u64),
    Unlink(String),
}

/// All that a disk holds.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) inodes: BTreeMap<u64, Inode>,
    pub(crate) names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    changes: Vec<Change>,
    next: u64,
    boot: u64,
}

impl State {
    pub(crate) fn link(&mut self, name: &str) -> u64 {
        let inode = self.next;
        self.next += 1;
        self.inodes.insert(inode, Inode::default());
        self.names.insert(name.to_owned(), inode);
        self.changes.push(Change::Link(name.to_owned(), inode));
        inode
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(inode) = self.names.remove(from) else {
            return false;
        };
        self.names.insert(to.to_owned(), inode);
        self.changes
            .push(Change::Rename(from.to_owned(), to.to_owned(), inode));
        true
    }

    pub(crate) fn unlink(&mut self, name: &str) -> bool {
        self.changes.push(Change::Unlink(name.to_owned()));
        self.names.remove(name).is_some()
    }

    pub(crate) fn sync_names(&mut self) {
        self.changes.clear();
        self.synced_names.clone_from(&self.names);
        // Nobody may read what has no name any more: whoever does finds nothing.
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
    }

    /// What is there after a crash, as chance has it.
    #[must_use]
    pub fn crash(&self, chance: &mut Random) -> Self {
        let percent = chance.one(&[0, 10, 50, 50, 90, 100, 100]);
        let mut names = self.synced_names.clone();
        for change in &self.changes {
            if !chance.percent(percent) {
                continue;
            }
            match change {
                Change::Link(name, inode) => drop(names.insert(name.clone(), *inode)),
                Change::Unlink(name) => drop(names.remove(name)),
                Change::Rename(from, to, inode) => {
                    names.insert(to.clone(), *inode);
                    // The old name may stay.
                    if names.get(from) == Some(inode) && !chance.percent(5) {
                        names.remove(from);
                    }
                }
            }
        }
        let mut image = Self {
            boot: self.boot + 1,
            ..Self::default()
        };
        for (name, inode) in names {
            let other = self
                .inodes
                .values()
                .nth(chance.below(self.inodes.len().max(1)));
            let stale = other.map_or(&[][..], |other| &other.live);
            let bytes = match self.inodes.get(&inode) {
                Some(inode) => inode.crash(chance, percent, stale),
                None => Vec::new(),
            };
            image.put(&name, bytes);
            let taken = self.inodes.get(&inode).map_or(0, |inode| inode.taken);
            if taken > 0 && chance.percent(percent) {
                image.take_space(&name, taken);
            }
        }
        image
    }

    /// The same, in another boot of the system.
    #[must_use]
    pub fn booted_anew(mut self) -> Self {
        self.boot += 1;
        self
    }

    /// What the system calls its boot.
    pub(crate) fn boot(&self) -> BootId {
        BootId::new(u128::from(self.boot).to_le_bytes())
    }

    /// Lets a file have this content, synced.
    pub fn put(&mut self, name: &str, bytes: Vec<u8>) {
        let content = Arc::new(bytes);
        let inode = Inode {
            live: Arc::clone(&content),
            durable: content,
            ..Inode::default()
        };
        self.inodes.insert(self.next, inode);
        self.names.insert(name.to_owned(), self.next);
        self.synced_names.insert(name.to_owned(), self.next);
        self.next += 1;
    }

    /// Takes so many bytes of the disk for a file.
    fn take_space(&mut self, name: &str, bytes: u64) {
        let inode = self.names.get(name).and_then(|it| self.inodes.get_mut(it));
        if let Some(inode) = inode {
            inode.taken = bytes;
        }
    }

    /// Bytes of the disk that are in use: whole sectors, and one for each name.
    #[must_use]
    pub fn used(&self) -> u64 {
        let inodes = self.names.values().filter_map(|it| self.inodes.get(it));
        inodes.map(Inode::used).sum()
    }

    /// Takes a file away, synced.
    pub fn take(&mut self, name: &str) {
        self.names.remove(name);
        self.synced_names.remove(name);
    }

    /// Cuts a file, or lengthens it with zeros.
    pub fn set_len(&mut self, name: &str, bytes: usize) {
        let inode = self.names.get(name);
        if let Some(inode) = inode.and_then(|inode| self.inodes.get_mut(inode)) {
            inode.set_len(bytes);
        }
    }

    /// Gives a file one more name, synced.
    pub fn share(&mut self, name: &str, other: &str) {
        if let Some(&inode) = self.names.get(name) {
            self.names.insert(other.to_owned(), inode);
            self.synced_names.insert(other.to_owned(), inode);
        }
    }

    /// How many names lead to a file.
    pub(crate) fn links(&self, inode: u64) -> u64 {
        self.names.values().filter(|named| **named == inode).count() as u64
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// What a file holds.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        let inode = self.inodes.get(self.names.get(name)?)?;
        Some(&inode.live)
    }

    /// A number that tells images apart.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for name in self.names() {
            (name, self.content(name)).hash(&mut hasher);
        }
        hasher.finish()
    }
}
