//! What belongs to the store: one small file, replaced as a whole.
//!
//! Not a log of changes. After the file's header (whose LSN is the newest record known to be synced
//! when it was written, and whose fields say in which boot that was and what the store holds) stand two counts (4 bytes each), the LSNs of the snapshots and the first LSNs
//! of the segments, ascending (8 bytes each), and the CRC-32C of all before it.
//!
//! 1. A file is listed only after its content, as far as it matters, and its name are durable.
//! 2. A file is removed only after a manifest without it is durable.
//! 3. A manifest that names a boot is written only when all records written in earlier boots are durable:
//!    whatever cannot be read in the same boot is damage.

use std::io;

use crate::error::{DiskError, Operation};
use crate::fault::{Fault, is_planted};
use crate::format::{
    FILE_HEADER_BYTES, Fields, FileHeader, FileKind, Lsn, StoreId, VERSION, u32_at, u64_at,
};
use crate::limits::{FIELDS_BYTES_MAX, SEGMENTS_MAX, SNAPSHOTS_KEPT_MAX};
use crate::names::{MANIFEST, MANIFEST_TEMPORARY};
use crate::open_error::{Damage, OpenError};
use crate::segment::header_error;
use crate::storage::{File, Storage, is_no_space, is_retryable_create, read_full_at, write_all_at};

/// Most bytes of a manifest.
const BYTES_MAX: usize =
    FILE_HEADER_BYTES + FIELDS_BYTES_MAX + 12 + 8 * (SEGMENTS_MAX + SNAPSHOTS_KEPT_MAX);

/// What belongs to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The version in which it was read; it is written in [`VERSION`].
    pub(crate) version: u32,
    pub(crate) store: StoreId,
    /// In which boot the newest records were written, and what the store holds.
    pub(crate) fields: Fields,
    /// The newest record known to be synced: the log ends no earlier.
    pub(crate) synced: Lsn,
    /// Ascending.
    pub(crate) snapshots: Vec<Lsn>,
    /// The first records of the segments, ascending.
    pub(crate) segments: Vec<Lsn>,
}

/// Why a manifest was not replaced.
#[derive(Debug)]
pub(crate) struct NotReplaced {
    pub(crate) error: DiskError,
    /// Whether the old one certainly is in force, and trying again may help.
    pub(crate) is_retryable: bool,
}

impl Manifest {
    pub(crate) fn new(store: StoreId, fields: Fields) -> Self {
        Self {
            version: VERSION,
            store,
            fields,
            synced: Lsn::ZERO,
            snapshots: Vec::new(),
            segments: Vec::new(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let header = FileHeader {
            fields: self.fields.clone(),
            ..FileHeader::new(FileKind::Manifest, self.store, self.synced)
        };
        let mut bytes = header.encode();
        for list in [&self.snapshots, &self.segments] {
            bytes.extend((list.len() as u32).to_le_bytes());
        }
        for lsn in self.snapshots.iter().chain(&self.segments) {
            bytes.extend(lsn.get().to_le_bytes());
        }
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let (header, length) = FileHeader::decode(FileKind::Manifest, bytes)
            .map_err(|fault| header_error(MANIFEST, fault))?;
        let lists = OpenError::damaged(MANIFEST, length as u64, Damage::Lists);
        let Some((body, checksum)) = bytes[length..].split_last_chunk::<4>() else {
            return Err(lists);
        };
        let covered = &bytes[..bytes.len() - 4];
        let is_whole = crc32c::crc32c(covered) == u32::from_le_bytes(*checksum);
        if !is_whole || body.len() < 8 || body.len() % 8 != 0 {
            return Err(lists);
        }
        let counts = [u32_at(body, 0) as usize, u32_at(body, 4) as usize];
        if body.len() != 8 * (1 + counts[0] + counts[1]) {
            return Err(lists);
        }
        let all: Vec<Lsn> = (1..body.len() / 8)
            .map(|index| Lsn::new(u64_at(body, 8 * index)))
            .collect();
        let (snapshots, segments) = all.split_at(counts[0]);
        let manifest = Self {
            version: header.version,
            store: header.store,
            fields: header.fields,
            synced: header.lsn,
            snapshots: snapshots.to_vec(),
            segments: segments.to_vec(),
        };
        if manifest.makes_sense() {
            Ok(manifest)
        } else {
            Err(lists)
        }
    }

    /// Whether the lists ascend, and the log begins where the oldest snapshot, or nothing, ends.
    fn makes_sense(&self) -> bool {
        let ascends = |list: &[Lsn]| list.is_sorted_by(|one, other| one < other);
        let oldest = self.snapshots.first().copied().unwrap_or(Lsn::ZERO);
        let begins = self.segments.first().copied();
        ascends(&self.snapshots)
            && ascends(&self.segments)
            && begins.is_none_or(|first| first > Lsn::ZERO && first <= oldest.next())
            && (begins.is_some() || self.snapshots.is_empty())
    }

    /// The manifest of the store, if it has one.
    pub(crate) fn read(storage: &impl Storage) -> Result<Option<Self>, OpenError> {
        let file = match storage.open(MANIFEST) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DiskError::new(Operation::Open, MANIFEST, error).into()),
        };
        let unreadable = |error| DiskError::new(Operation::Read, MANIFEST, error);
        let length = file.len().map_err(unreadable)?;
        if length > BYTES_MAX as u64 {
            return Err(OpenError::damaged(
                MANIFEST,
                BYTES_MAX as u64,
                Damage::Lists,
            ));
        }
        let mut bytes = vec![0; length as usize];
        let read = read_full_at(&file, &mut bytes, 0).map_err(unreadable)?;
        Self::decode(&bytes[..read]).map(Some)
    }

    /// Makes this the manifest of the store: either the old one or this is in force, whatever happens.
    /// Calls `progress` after each sync. Blocks for the disk.
    pub(crate) fn replace(
        &self,
        storage: &impl Storage,
        progress: &dyn Fn(),
    ) -> Result<(), NotReplaced> {
        let replaced = self.write_temporary(storage).and_then(|()| {
            storage
                .rename(MANIFEST_TEMPORARY, MANIFEST)
                .map_err(|error| {
                    let is_retryable = is_no_space(&error);
                    let error = DiskError::new(Operation::Rename, MANIFEST_TEMPORARY, error);
                    NotReplaced {
                        error,
                        is_retryable,
                    }
                })
        });
        if let Err(not_replaced) = replaced {
            // Recovery removes it, if this does not.
            drop(storage.remove(MANIFEST_TEMPORARY));
            return Err(not_replaced);
        }
        progress();
        sync_directory(storage, MANIFEST).map_err(|error| NotReplaced {
            error,
            is_retryable: false,
        })?;
        progress();
        Ok(())
    }

    fn write_temporary(&self, storage: &impl Storage) -> Result<(), NotReplaced> {
        let file = create(storage, MANIFEST_TEMPORARY).map_err(|error| NotReplaced {
            is_retryable: is_retryable_create(&error.error),
            error,
        })?;
        write_all_at(&file, &self.encode(), 0).map_err(|unwritten| NotReplaced {
            is_retryable: is_no_space(&unwritten.error),
            error: DiskError::new(Operation::Write, MANIFEST_TEMPORARY, unwritten.error),
        })?;
        sync_new(&file, MANIFEST_TEMPORARY).map_err(|error| NotReplaced {
            error,
            is_retryable: false,
        })
    }
}

/// Makes a new file, in place of one that an earlier attempt has left behind.
pub(crate) fn create<S: Storage>(storage: &S, name: &str) -> Result<S::File, DiskError> {
    let created = match storage.create_new(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            storage
                .remove(name)
                .map_err(|error| DiskError::new(Operation::Remove, name, error))?;
            storage.create_new(name)
        }
        created => created,
    };
    created.map_err(|error| DiskError::new(Operation::Create, name, error))
}

/// Makes `file` durable.
pub(crate) fn sync(file: &impl File, name: &str) -> Result<(), DiskError> {
    let synced = file.sync_data();
    if is_planted(Fault::FailedSyncIgnored) {
        return Ok(());
    }
    synced.map_err(|error| DiskError::new(Operation::Sync, name, error))
}

/// Makes a new file durable.
pub(crate) fn sync_new(file: &impl File, name: &str) -> Result<(), DiskError> {
    if is_planted(Fault::NewFileSyncSkipped) {
        return Ok(());
    }
    sync(file, name)
}

/// Makes the names durable, that of `file` among them.
pub(crate) fn sync_directory(storage: &impl Storage, file: &str) -> Result<(), DiskError> {
    if is_planted(Fault::DirectorySyncSkipped) {
        return Ok(());
    }
    storage
        .sync_directory()
        .map_err(|error| DiskError::new(Operation::SyncDirectory, file, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::BootId;

    fn manifest() -> Manifest {
        Manifest {
            version: VERSION,
            store: StoreId::new([7; 16]),
            fields: Fields {
                boot: Some(BootId::new([9; 16])),
                content: Some("bytes".to_owned()),
            },
            synced: Lsn::new(30),
            snapshots: vec![Lsn::new(10), Lsn::new(20)],
            segments: vec![Lsn::new(9), Lsn::new(15), Lsn::new(31)],
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        for manifest in [
            manifest(),
            Manifest::new(StoreId::new([1; 16]), Fields::NONE),
        ] {
            assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
        }
    }

    #[test]
    fn no_flipped_bit_and_no_other_length_is_accepted() {
        let bytes = manifest().encode();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bytes).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(
                Manifest::decode(&bytes[..length]).is_err(),
                "{length} bytes"
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Manifest::decode(&longer).is_err());
    }

    #[test]
    fn lists_that_make_no_sense_are_refused() {
        let lsns = |numbers: &[u64]| numbers.iter().copied().map(Lsn::new).collect::<Vec<_>>();
        let cases: [(&[u64], &[u64], bool); 8] = [
            (&[], &[], true),
            (&[], &[1, 5], true),
            (&[], &[2], false),
            (&[], &[0], false),
            (&[4], &[5], true),
            (&[4], &[6], false),
            (&[4], &[], false),
            (&[5, 4], &[1], false),
        ];
        for (snapshots, segments, expected) in cases {
            let manifest = Manifest {
                snapshots: lsns(snapshots),
                segments: lsns(segments),
                ..manifest()
            };
            let decoded = Manifest::decode(&manifest.encode());
            assert_eq!(decoded.is_ok(), expected, "{snapshots:?} {segments:?}");
        }
    }
}
