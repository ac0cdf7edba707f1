//! The bytes on disk, for the writer, the reader, and tools. The README has the same with an example.
//!
//! Not I/O and not policy: what follows from a wrong byte is decided by whoever reads.
//!
//! 1. All integers are little endian. Every file begins with a [`FileHeader`].
//! 2. No byte is believed before its checksum: lengths are covered by the head's own.
//! 3. Checksums of heads are seeded by the store's identity, which nobody outside knows: bytes chosen
//!    by a client cannot pass for a head.
//! 4. Kinds and fields that have a name here and no use yet are refused by that name, others by their
//!    number: nothing is skipped that may mean something.

use std::fmt;

use crate::limits::{FIELDS_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// Version of everything described here, in which everything is written.
pub const VERSION: u32 = 2;

/// The version before it, which is read: headers without fields, records of one kind.
pub const VERSION_BEFORE: u32 = 1;

/// Bytes of a [`FileHeader`] without fields.
pub const FILE_HEADER_BYTES: usize = BASE_BYTES + 4;

/// Bytes of a [`FileHeader`] of [`VERSION_BEFORE`].
pub const FILE_HEADER_BYTES_BEFORE: usize = 40;

/// Bytes of a [`FileHeader`] that say how many more there are.
pub(crate) const BASE_BYTES: usize = 44;

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

/// Beginning of every file: magic (8), version (4), store (16), LSN (8), bytes of the fields (4), and the
/// CRC-32C of those (4); then the [`Fields`] and their CRC-32C (4). In [`VERSION_BEFORE`] the checksum
/// follows upon the LSN, and is the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// What the file is.
    pub kind: FileKind,
    /// [`VERSION`] or [`VERSION_BEFORE`].
    pub version: u32,
    /// Whose it is.
    pub store: StoreId,
    /// Of a segment its first record; of a snapshot the last record before it; of a manifest the
    /// newest record known to be synced when it was written.
    pub lsn: Lsn,
    /// What else is known of it.
    pub fields: Fields,
}

/// Why bytes are not a [`FileHeader`] that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// There are too few.
    Short,
    /// Other first bytes.
    Magic,
    /// A version that is not known here.
    Version(u32),
    /// A checksum is wrong.
    Checksum,
    /// A field that is not known here, or has no use yet.
    Field(u16),
    /// The fields make no sense.
    Fields,
}

impl FileHeader {
    /// The header of a file that is written now, without fields.
    #[must_use]
    pub const fn new(kind: FileKind, store: StoreId, lsn: Lsn) -> Self {
        Self {
            kind,
            version: VERSION,
            store,
            lsn,
            fields: Fields::NONE,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FILE_HEADER_BYTES);
        bytes.extend(self.kind.magic());
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.store.0);
        bytes.extend(self.lsn.0.to_le_bytes());
        if self.version == VERSION_BEFORE {
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
            return bytes;
        }
        let fields = self.fields.encode();
        bytes.extend((fields.len() as u32).to_le_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes.extend(&fields);
        bytes.extend(crc32c::crc32c(&fields).to_le_bytes());
        bytes
    }

    /// Bytes of the header of a file of `kind` that begins with `bytes`, of which 44 are enough.
    ///
    /// # Errors
    /// It is none.
    pub fn length(kind: FileKind, bytes: &[u8]) -> Result<usize, HeaderFault> {
        if bytes.len() < FILE_HEADER_BYTES_BEFORE {
            return Err(HeaderFault::Short);
        }
        if bytes[..8] != kind.magic() {
            return Err(HeaderFault::Magic);
        }
        let (covered, length) = match u32_at(bytes, 8) {
            VERSION_BEFORE => (36, FILE_HEADER_BYTES_BEFORE),
            VERSION if bytes.len() < BASE_BYTES => return Err(HeaderFault::Short),
            VERSION => {
                let fields = u32_at(bytes, 36) as usize;
                (40, FILE_HEADER_BYTES.saturating_add(fields))
            }
            version => return Err(HeaderFault::Version(version)),
        };
        if crc32c::crc32c(&bytes[..covered]) != u32_at(bytes, covered) {
            return Err(HeaderFault::Checksum);
        }
        match length <= FILE_HEADER_BYTES + FIELDS_BYTES_MAX {
            true => Ok(length),
            false => Err(HeaderFault::Fields),
        }
    }

    /// The header of a file of `kind` that begins with `bytes`, and how many of them it has.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(kind: FileKind, bytes: &[u8]) -> Result<(Self, usize), HeaderFault> {
        let length = Self::length(kind, bytes)?;
        let header = bytes.get(..length).ok_or(HeaderFault::Short)?;
        let version = u32_at(bytes, 8);
        let fields = match version {
            VERSION_BEFORE => Fields::NONE,
            _ => {
                let fields = &header[BASE_BYTES..length - 4];
                if crc32c::crc32c(fields) != u32_at(header, length - 4) {
                    return Err(HeaderFault::Checksum);
                }
                Fields::decode(fields)?
            }
        };
        let mut store = [0; 16];
        store.copy_from_slice(&bytes[12..28]);
        let header = Self {
            kind,
            version,
            store: StoreId(store),
            lsn: Lsn(u64_at(bytes, 28)),
            fields,
        };
        Ok((header, length))
    }
}

/// One start of the system, as it names itself: what was written since can be missing only where a disk
/// loses what it has confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BootId([u8; 16]);

impl BootId {
    /// The boot that calls itself `bytes`.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The boot in the system's words: 32 hexadecimal digits, with or without hyphens.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let is_hex = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(&digits, 16).ok());
        number.flatten().map(|number| Self(number.to_be_bytes()))
    }
}

/// What the header of a file may say beside what every header says. Each is a number (2), the bytes of its
/// value (2), and the value; ascending by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The boot in which the file was written; in a manifest alone.
    pub boot: Option<BootId>,
    /// What the payloads of the store are, as the program that writes them names it; in a manifest alone.
    pub content: Option<String>,
}

/// Number of [`Fields::boot`].
pub const FIELD_BOOT: u16 = 1;
/// Number of [`Fields::content`].
pub const FIELD_CONTENT: u16 = 2;

/// What the field `number` means, if it has a meaning here or is kept for one.
#[must_use]
pub const fn field_name(number: u16) -> Option<&'static str> {
    match number {
        FIELD_BOOT => Some("boot of the system"),
        FIELD_CONTENT => Some("content of the store"),
        3 => Some("replication id and offset"),
        4 => Some("second replication id and its last offset"),
        5 => Some("selected database"),
        6 => Some("number of a walk"),
        _ => None,
    }
}

impl Fields {
    /// No field.
    pub const NONE: Self = Self {
        boot: None,
        content: None,
    };

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |number: u16, value: &[u8]| {
            bytes.extend(number.to_le_bytes());
            bytes.extend((value.len() as u16).to_le_bytes());
            bytes.extend(value);
        };
        if let Some(boot) = &self.boot {
            put(FIELD_BOOT, &boot.0);
        }
        if let Some(content) = &self.content {
            debug_assert!(content.len() <= crate::limits::CONTENT_BYTES_MAX);
            put(FIELD_CONTENT, content.as_bytes());
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, HeaderFault> {
        let (mut fields, mut before) = (Self::NONE, 0);
        while !bytes.is_empty() {
            let head = bytes.first_chunk::<4>().ok_or(HeaderFault::Fields)?;
            let number = u16::from_le_bytes([head[0], head[1]]);
            let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
            let value = bytes.get(4..4 + length).ok_or(HeaderFault::Fields)?;
            match number {
                _ if number <= before => return Err(HeaderFault::Fields),
                FIELD_BOOT => {
                    let boot = value.try_into().map_err(|_| HeaderFault::Fields)?;
                    fields.boot = Some(BootId(boot));
                }
                FIELD_CONTENT => {
                    let text = std::str::from_utf8(value).map_err(|_| HeaderFault::Fields)?;
                    fields.content = Some(text.to_owned());
                }
                _ => return Err(HeaderFault::Field(number)),
            }
            before = number;
            bytes = &bytes[4 + length..];
        }
        Ok(fields)
    }
}

/// What stands before a payload, [`HEAD_BYTES`] long: length (30 bits) and the lower two bits of the kind,
/// `extra` (4), number (58 bits) and the upper six bits of the kind, CRC-32C of the payload (4), and the
/// seeded CRC-32C of those (4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// In a segment [`RECORD`], [`MARK`], [`CUT`], [`FIRST_PART`], [`MIDDLE_PART`], [`LAST_PART`] or
    /// [`ABANDONED`]; [`FRAME_PLAIN`], [`FRAME_LZ4`] or [`FRAME_FOOTER`] in a snapshot.
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

/// Bits of [`Head::number`]: a million records a second take nine thousand years to use them up.
const NUMBER_BITS: u32 = 58;
const NUMBER_MAX: u64 = (1 << NUMBER_BITS) - 1;

/// A record.
pub const RECORD: u8 = 0;
/// No record: says, where the next one will stand, how far those before are written and synced. It has
/// that one's number, which writes over it.
pub const MARK: u8 = 4;
/// The cut of a walk: no bytes, and its own number is the walk's.
pub const CUT: u8 = 8;
/// The first part of a large record; the others follow upon it.
pub const FIRST_PART: u8 = 16;
/// A part of a large record between the first and the last.
pub const MIDDLE_PART: u8 = 20;
/// The last part of a large record.
pub const LAST_PART: u8 = 24;
/// The end of a large record whose last part was never written: no bytes, and it is as if the parts before it
/// were not there.
pub const ABANDONED: u8 = 28;
/// A frame as it was given.
pub const FRAME_PLAIN: u8 = 0;
/// A frame compressed as one block of LZ4.
pub const FRAME_LZ4: u8 = 1;
/// The last frame of a snapshot: a [`Footer`].
pub const FRAME_FOOTER: u8 = 2;

/// What the kind `kind` of a head in a segment means, if it has a meaning here or is kept for one. To each
/// but the mark, 1 may be added: then 16 bytes come before the payload and belong to it, the replication
/// offset behind the record (8), the database selected there (4), and zeros (4).
#[must_use]
pub const fn kind_name(kind: u8) -> Option<&'static str> {
    match kind {
        RECORD => Some("record"),
        1 => Some("record with its place in the replication stream"),
        MARK => Some("mark of what is synced"),
        CUT | 9 => Some("cut of a walk"),
        12 | 13 => Some("loss of a shard"),
        FIRST_PART | 17 => Some("first part of a large record"),
        MIDDLE_PART | 21 => Some("middle part of a large record"),
        LAST_PART | 25 => Some("last part of a large record"),
        ABANDONED | 29 => Some("end of a large record that was abandoned"),
        _ => None,
    }
}

/// Whether a head of this kind is that of a record, which has a number of its own.
#[must_use]
pub const fn is_record(kind: u8) -> bool {
    matches!(
        kind,
        RECORD | CUT | FIRST_PART | MIDDLE_PART | LAST_PART | ABANDONED
    )
}

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

    /// The mark behind record `written`, made when `synced` was the newest record known to be synced.
    #[must_use]
    pub fn mark(written: Lsn, synced: Lsn) -> Self {
        Self {
            kind: MARK,
            ..Self::record(written.next(), synced, 0, 0)
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
        debug_assert!(self.length < 1 << 30 && self.number >> NUMBER_BITS == 0);
        let mut bytes = [0; HEAD_BYTES];
        let word = self.length | u32::from(self.kind) << 30;
        let number = self.number | u64::from(self.kind >> 2) << NUMBER_BITS;
        bytes[..4].copy_from_slice(&word.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.extra.to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
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
        let (word, number) = (u32_at(bytes, 0), u64_at(bytes, 8));
        let head = Self {
            kind: (word >> 30) as u8 | (number >> NUMBER_BITS << 2) as u8,
            length: word & ((1 << 30) - 1),
            extra: u32_at(bytes, 4),
            number: number & NUMBER_MAX,
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
        .filter(|(_, bytes)| lsns.contains(&(u64_at(bytes, 8) & NUMBER_MAX)))
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

    fn some_fields() -> Fields {
        Fields {
            boot: Some(BootId([5; 16])),
            content: Some("keys: text, values: u64".to_owned()),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for kind in [FileKind::Manifest, FileKind::Segment, FileKind::Snapshot] {
            for (fields, version) in [
                (Fields::NONE, VERSION_BEFORE),
                (Fields::NONE, VERSION),
                (some_fields(), VERSION),
            ] {
                let header = FileHeader {
                    version,
                    fields,
                    ..FileHeader::new(kind, STORE, Lsn(77))
                };
                let bytes = header.encode();
                let length = bytes.len();
                assert_eq!(FileHeader::length(kind, &bytes), Ok(length));
                assert_eq!(FileHeader::decode(kind, &bytes), Ok((header, length)));
            }
        }
        let seed = STORE.records_seed();
        let head = Head::record(Lsn(9), Lsn(4), 100, 5);
        assert_eq!(Head::decode(seed, &head.encode(seed)), Some(head));
        assert_eq!(Head::decode(seed ^ 1, &head.encode(seed)), None);
        for kind in 0..=u8::MAX {
            let head = Head { kind, ..head };
            assert_eq!(Head::decode(seed, &head.encode(seed)), Some(head));
        }
        let footer = Footer {
            frames: 1,
            entries: 2,
            needs: Lsn(3),
        };
        assert_eq!(Footer::decode(&footer.encode()), Some(footer));
    }

    #[test]
    fn fields_that_are_not_known_or_have_no_use_yet_are_refused_by_their_number() {
        let fields = |number: u16, value: &[u8]| {
            let mut bytes = number.to_le_bytes().to_vec();
            bytes.extend((value.len() as u16).to_le_bytes());
            bytes.extend(value);
            bytes
        };
        for number in [3, 4, 5, 6, 7, 1_000] {
            let found = Fields::decode(&fields(number, &[1; 8]));
            assert_eq!(found, Err(HeaderFault::Field(number)));
        }
        let boot = fields(FIELD_BOOT, &[1; 16]);
        let cases = [
            fields(0, &[]),
            fields(FIELD_BOOT, &[1; 15]),
            fields(FIELD_CONTENT, &[0xff]),
            [&boot[..], &boot].concat(),
            [&fields(FIELD_CONTENT, b"text")[..], &boot].concat(),
            boot[..19].to_vec(),
            boot[..3].to_vec(),
        ];
        for bytes in cases {
            assert_eq!(
                Fields::decode(&bytes),
                Err(HeaderFault::Fields),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn a_boot_is_read_as_the_system_names_it() {
        let boot = BootId::new([0x0f, 0x9a, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        let text = "0f9a0001-0203-0405-0607-08090a0b0c0d\n";
        assert_eq!(BootId::parse(text), Some(boot));
        for other in ["", "0f9a", "zz9a0001-0203-0405-0607-08090a0b0c0d"] {
            assert_eq!(BootId::parse(other), None, "{other}");
        }
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
            fields: some_fields(),
            ..FileHeader::new(FileKind::Segment, STORE, Lsn(1))
        };
        let seed = STORE.records_seed();
        let head = Head::record(Lsn(1), Lsn(0), 3, 4).encode(seed);
        for bit in 0..header.encode().len() * 8 {
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
