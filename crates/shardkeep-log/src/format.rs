//! The bytes on disk, for the writer, the reader, and tools. The README has the same with an example.
//!
//! Not I/O and not policy: what follows from a wrong byte is decided by whoever reads.
//!
//! 1. All integers are little endian. Every file begins with a [`FileHeader`].
//! 2. No byte is believed before its checksum: lengths are covered by the head's own.
//! 3. Checksums of heads are seeded by the store's identity, which nobody outside knows: bytes chosen
//!    by a client cannot pass for a head.

use std::fmt;

use crate::limits::PAYLOAD_BYTES_MAX;

/// Version of everything described here.
pub const VERSION: u32 = 1;

/// Bytes of a [`FileHeader`].
pub const FILE_HEADER_BYTES: usize = 40;

/// Bytes of a [`Head`].
pub const HEAD_BYTES: usize = 24;

/// The `behind` of a record when nothing is known to be synced, or not closely enough for 32 bits.
const BEHIND_UNKNOWN: u32 = u32::MAX;

/// Number of a record: 1 for the first of a store, one more for each next, never used again.
/// [`Lsn::ZERO`] stands before all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// Before the first record.
    pub const ZERO: Self = Self(0);

    /// Number `number`.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before it; `ZERO` before the first.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which store a file belongs to: sixteen bytes of chance, chosen when the store is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId([u8; 16]);

impl StoreId {
    /// The identity made of `bytes`. They should come from the system's source of randomness: clients
    /// that know them could write values that look like damage.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The seed of the heads of this store's records.
    #[must_use]
    pub fn records_seed(self) -> u32 {
        crc32c::crc32c(&self.0)
    }

    /// The seed of the heads of the frames of this store's snapshot at `lsn`.
    #[must_use]
    pub fn frames_seed(self, lsn: Lsn) -> u32 {
        crc32c::crc32c_append(!self.records_seed(), &lsn.0.to_le_bytes())
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({self})")
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// What belongs to the store.
    Manifest,
    /// Records.
    Segment,
    /// Frames.
    Snapshot,
}

impl FileKind {
    /// The first eight bytes.
    #[must_use]
    pub const fn magic(self) -> [u8; 8] {
        match self {
            Self::Manifest => *b"SKMANIF\n",
            Self::Segment => *b"SKLOGSG\n",
            Self::Snapshot => *b"SKSNAPS\n",
        }
    }
}

/// The first [`FILE_HEADER_BYTES`] of every file: magic (8), version (4), store (16), LSN (8), and the
/// CRC-32C of those (4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// What the file is.
    pub kind: FileKind,
    /// Whose it is.
    pub store: StoreId,
    /// Of a segment its first record; of a snapshot the last record before it; of a manifest the
    /// newest record known to be synced when it was written.
    pub lsn: Lsn,
}

/// Why bytes are not a [`FileHeader`] that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Fewer than [`FILE_HEADER_BYTES`].
    Short,
    /// Other first bytes.
    Magic,
    /// A version that is not known here.
    Version(u32),
    /// The checksum is wrong.
    Checksum,
}

impl FileHeader {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.kind.magic());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.store.0);
        bytes[28..36].copy_from_slice(&self.lsn.0.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..36]);
        bytes[36..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header of a file of `kind` that begins with `bytes`.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(kind: FileKind, bytes: &[u8]) -> Result<Self, HeaderFault> {
        let Some(bytes) = bytes.first_chunk::<FILE_HEADER_BYTES>() else {
            return Err(HeaderFault::Short);
        };
        if bytes[..8] != kind.magic() {
            return Err(HeaderFault::Magic);
        }
        let is_whole = crc32c::crc32c(&bytes[..36]) == u32_at(bytes, 36);
        match u32_at(bytes, 8) {
            VERSION if is_whole => {}
            VERSION => return Err(HeaderFault::Checksum),
            version => return Err(HeaderFault::Version(version)),
        }
        let mut store = [0; 16];
        store.copy_from_slice(&bytes[12..28]);
        Ok(Self {
            kind,
            store: StoreId(store),
            lsn: Lsn(u64_at(bytes, 28)),
        })
    }
}

/// What stands before a payload, [`HEAD_BYTES`] long: kind (2 bits) and length (30 bits), `extra` (4),
/// number (8), CRC-32C of the payload (4), and the seeded CRC-32C of those (4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// 0 for a record; [`FRAME_PLAIN`], [`FRAME_LZ4`] or [`FRAME_FOOTER`] for a frame.
    pub kind: u8,
    /// Bytes of the payload.
    pub length: u32,
    /// Of a record how far it is ahead of what was synced (see [`Head::synced`]); of a frame its length
    /// when it is not compressed.
    pub extra: u32,
    /// Of a record its LSN; of a frame its place in the snapshot, from 0.
    pub number: u64,
    /// CRC-32C of the payload.
    pub payload_checksum: u32,
}

/// A record. The other kinds are for later versions.
pub const RECORD: u8 = 0;
/// A frame as it was given.
pub const FRAME_PLAIN: u8 = 0;
/// A frame compressed as one block of LZ4.
pub const FRAME_LZ4: u8 = 1;
/// The last frame of a snapshot: a [`Footer`].
pub const FRAME_FOOTER: u8 = 2;

impl Head {
    /// The head of record `lsn`, made when `synced` was the newest record known to be synced.
    #[must_use]
    pub fn record(lsn: Lsn, synced: Lsn, length: u32, payload_checksum: u32) -> Self {
        let behind = u32::try_from(lsn.0.saturating_sub(synced.0));
        Self {
            kind: RECORD,
            length,
            extra: behind.unwrap_or(BEHIND_UNKNOWN),
            number: lsn.0,
            payload_checksum,
        }
    }

    /// The newest record that was known to be synced when this record was made: a lower bound.
    #[must_use]
    pub const fn synced(&self) -> Lsn {
        match self.extra {
            BEHIND_UNKNOWN => Lsn::ZERO,
            behind => Lsn(self.number.saturating_sub(behind as u64)),
        }
    }

    /// Bytes of head and payload.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + self.length as u64
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self, seed: u32) -> [u8; HEAD_BYTES] {
        debug_assert!(self.kind < 4 && self.length < 1 << 30);
        let mut bytes = [0; HEAD_BYTES];
        let word = self.length | u32::from(self.kind) << 30;
        bytes[..4].copy_from_slice(&word.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.extra.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.payload_checksum.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed, &bytes[..20]);
        bytes[20..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The head at the start of `bytes`; `None` when there are too few or the checksum is wrong.
    #[must_use]
    pub fn decode(seed: u32, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD_BYTES>()?;
        if crc32c::crc32c_append(seed, &bytes[..20]) != u32_at(bytes, 20) {
            return None;
        }
        let word = u32_at(bytes, 0);
        let head = Self {
            kind: (word >> 30) as u8,
            length: word & ((1 << 30) - 1),
            extra: u32_at(bytes, 4),
            number: u64_at(bytes, 8),
            payload_checksum: u32_at(bytes, 16),
        };
        (head.length as usize <= PAYLOAD_BYTES_MAX).then_some(head)
    }

    /// Length of the record whose head was encoded at the start of `bytes` by this very process.
    pub(crate) fn own_total_bytes(bytes: &[u8]) -> u64 {
        HEAD_BYTES as u64 + u64::from(u32_at(bytes, 0) & ((1 << 30) - 1))
    }

    /// Whether `payload` is the one this head was made for.
    #[must_use]
    pub fn fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.length as usize && crc32c::crc32c(payload) == self.payload_checksum
    }
}

/// Where among `bytes` a head of a record begins whose LSN is in `lsns`, if any. Costs little more
/// than looking at each byte, whatever the bytes are.
#[must_use]
pub fn find_record_head(
    seed: u32,
    bytes: &[u8],
    lsns: std::ops::RangeInclusive<u64>,
) -> Option<(usize, Head)> {
    bytes
        .windows(HEAD_BYTES)
        .enumerate()
        .filter(|(_, bytes)| lsns.contains(&u64_at(bytes, 8)))
        .find_map(|(at, bytes)| Some((at, Head::decode(seed, bytes)?)))
}

/// What a snapshot says of itself at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Frames before it.
    pub frames: u64,
    /// Entries in them, as the writer counted.
    pub entries: u64,
    /// The newest record that may be contained: the log must reach it.
    pub needs: Lsn,
}

impl Footer {
    /// Bytes of a footer.
    pub const BYTES: usize = 24;

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.frames.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.entries.to_le_bytes());
        bytes[16..].copy_from_slice(&self.needs.0.to_le_bytes());
        bytes
    }

    /// The footer made of `bytes`, which a checksum has covered.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == Self::BYTES).then(|| Self {
            frames: u64_at(bytes, 0),
            entries: u64_at(bytes, 8),
            needs: Lsn(u64_at(bytes, 16)),
        })
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId::new(*b"0123456789abcdef");

    #[test]
    fn what_is_encoded_is_decoded() {
        for kind in [FileKind::Manifest, FileKind::Segment, FileKind::Snapshot] {
            let header = FileHeader {
                kind,
                store: STORE,
                lsn: Lsn(77),
            };
            assert_eq!(FileHeader::decode(kind, &header.encode()), Ok(header));
        }
        let seed = STORE.records_seed();
        let head = Head::record(Lsn(9), Lsn(4), 100, 5);
        assert_eq!(Head::decode(seed, &head.encode(seed)), Some(head));
        assert_eq!(Head::decode(seed ^ 1, &head.encode(seed)), None);
        let footer = Footer {
            frames: 1,
            entries: 2,
            needs: Lsn(3),
        };
        assert_eq!(Footer::decode(&footer.encode()), Some(footer));
    }

    #[test]
    fn a_record_says_how_much_was_synced_when_it_was_made() {
        let cases = [
            (1, 0, 0),
            (9, 4, 4),
            (9, 8, 8),
            (1 << 40, 0, 0),
            (1 << 40, 5, 0),
        ];
        for (lsn, synced, said) in cases {
            let head = Head::record(Lsn(lsn), Lsn(synced), 0, 0);
            assert_eq!(head.synced(), Lsn(said), "{lsn} {synced}");
        }
    }

    #[test]
    fn no_flipped_bit_of_a_header_or_head_goes_unnoticed() {
        let header = FileHeader {
            kind: FileKind::Segment,
            store: STORE,
            lsn: Lsn(1),
        };
        let seed = STORE.records_seed();
        let head = Head::record(Lsn(1), Lsn(0), 3, 4).encode(seed);
        for bit in 0..FILE_HEADER_BYTES * 8 {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                FileHeader::decode(FileKind::Segment, &bytes).is_err(),
                "bit {bit}"
            );
        }
        for bit in 0..HEAD_BYTES * 8 {
            let mut bytes = head;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(seed, &bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn a_head_is_found_among_other_bytes() {
        let seed = STORE.records_seed();
        let mut bytes = vec![0xaa; 100];
        bytes.extend(Head::record(Lsn(5), Lsn(3), 1, 2).encode(seed));
        let found = find_record_head(seed, &bytes, 4..=6).map(|(at, head)| (at, head.number));
        assert_eq!(found, Some((100, 5)));
        assert_eq!(find_record_head(seed, &bytes, 6..=9), None);
        assert_eq!(find_record_head(seed ^ 1, &bytes, 4..=6), None);
    }
}
