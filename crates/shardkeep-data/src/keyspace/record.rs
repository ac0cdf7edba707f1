//! One key with its value and expiry in a heap allocation, behind a thin pointer.
//!
//! The entry of the server's tables: one word there, everything else here. Knows no commands, no
//! accounting and no clock. `unsafe` because a struct with two byte strings at its end cannot be
//! written in safe Rust; checked with `cargo +nightly miri test -p shardkeep-data --lib -- record large tagged`.
//!
//! ```text
//! small   key length u8  | value length u8  |            [expiry u64] | key | value
//! wide    key length u32 | value length u32 | size u32 | [expiry u64] | key | value
//! large   key length u32 | address of the value        | [expiry u64] | key
//! ```
//!
//! Which of the three it is, whether there is an expiry, the kind of value and the walk bits stand in the
//! tag of the pointer. So a key of 14 bytes with a value of 64 takes 80.
//!
//! 1. The pointer is the start of a live allocation of `allocation_size()` bytes that nothing
//!    else points to; the header, the parts its tag announces, the key and the value are
//!    initialised and lie within it. What is left after the value is never read.
//! 2. Neither length exceeds [`STRING_BYTES_MAX`]; so no offset overflows.
//! 3. The size of a small or large allocation follows from the lengths (`class_size`); a wide one keeps it.
//! 4. A record is small where both lengths allow it when it is made, and large exactly where the value has
//!    [`LARGE_BYTES_MIN`] or more; its address came from `Large::into_raw` and stands for one owner.
//! 5. Numbers are read and written unaligned, in native order.
#![expect(
    unsafe_code,
    reason = "a header and two byte strings in one allocation; argued above"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::slice;

use shardkeep::table::{Entry, UnixMillis};

use super::classes::class_size;
use super::large::room_for;
pub use super::large::{LARGE_BYTES_MIN, Large};
use super::tagged::Tagged;

/// Longest key and longest value (bytes): what one bulk string of a request may have, 512 MiB.
/// Whoever takes them from a peer refuses longer ones first.
pub const STRING_BYTES_MAX: usize = 512 * 1024 * 1024;

const _: () = assert!(class_size(STRING_BYTES_MAX + 64) < i32::MAX as usize);

/// The walk bits of a record, one for each of two.
const WALK_BITS: u16 = 0b11;
/// The number of a bit is that of bytes an expiry takes.
const EXPIRES: u16 = 1 << 3;
/// Lengths of four bytes and the size of the allocation.
const WIDE: u16 = 1 << 4;
/// The value is elsewhere.
const LARGE: u16 = 1 << 5;
/// The kind of value in four bits: 0, a string, is the only one so far. Another kind may keep whatever it
/// likes in the place of the value.
const KIND: u16 = 0xf << 8;
const KIND_STRING: u16 = 0;
// The other bits are 0: room for a count of uses, for the choice of what is evicted.

const _: () = assert!(EXPIRES as usize == EXPIRY_BYTES);

/// Longest key and longest value of a small record.
const SMALL_BYTES_MAX: usize = u8::MAX as usize;
const SMALL_HEADER_BYTES: usize = 2;
const SMALL_VALUE_LENGTH_AT: usize = 1;
const HEADER_BYTES: usize = 12;
const VALUE_LENGTH_AT: usize = 4;
const SIZE_AT: usize = 8;
const ADDRESS_AT: usize = 4;
const EXPIRY_BYTES: usize = 8;

/// Bytes of a cache line on the machines that have a prefetch hint.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const CACHE_LINE_BYTES: usize = 64;

/// Where the parts of a record are that is small or wide; of a large one, where its key is.
#[derive(Clone, Copy)]
struct Shape {
    key_start: usize,
    key_len: usize,
    /// 0 in a large record.
    value_len: usize,
}

impl Shape {
    #[inline]
    fn value_at(self) -> usize {
        self.key_start + self.key_len
    }

    #[inline]
    fn end(self) -> usize {
        self.value_at() + self.value_len
    }
}

/// A key, its value, and when it expires.
///
/// # Examples
///
/// ```
/// use shardkeep_data::keyspace::record::Record;
///
/// let mut record = Record::new(b"greeting", b"hello", None);
/// record.append(b", world");
/// assert_eq!(record.key(), b"greeting");
/// assert_eq!(record.value(), b"hello, world");
/// ```
pub struct Record(Tagged);

// SAFETY: a record owns its allocation alone (invariant 1), and bytes may be used on any thread.
unsafe impl Send for Record {}
// SAFETY: through `&Record` the allocation is only read.
unsafe impl Sync for Record {}

impl Record {
    /// A record with copies of `key` and `value`, without spare room.
    ///
    /// # Panics
    ///
    /// If one of them is longer than [`STRING_BYTES_MAX`]. Ends the process if there is no
    /// memory, as all allocation does.
    #[inline]
    pub fn new(key: &[u8], value: &[u8], expires_at: Option<UnixMillis>) -> Self {
        Self::build(KIND_STRING, key, value, expires_at)
    }

    /// The same value and expiry under another key; a large value is shared. Its walk bits are 0.
    ///
    /// # Panics
    ///
    /// If the key is longer than [`STRING_BYTES_MAX`].
    #[must_use]
    pub fn with_key(&self, key: &[u8]) -> Self {
        let kind = self.0.tag() & KIND;
        match self.large() {
            Some(large) => Self::build_large(kind, key, large, self.expires_at()),
            None => Self::build(kind, key, self.value(), self.expires_at()),
        }
    }

    /// The same key with another value and expiry, without spare room.
    #[inline]
    fn rebuilt(&self, value: &[u8], expires_at: Option<UnixMillis>) -> Self {
        Self::build(self.kept_tag(), self.key(), value, expires_at)
    }

    /// What of the tag a record keeps when it moves: its kind and its walk bits.
    #[inline]
    fn kept_tag(&self) -> u16 {
        self.0.tag() & (KIND | WALK_BITS)
    }

    #[inline]
    fn build(tag: u16, key: &[u8], value: &[u8], expires_at: Option<UnixMillis>) -> Self {
        if key.len() <= SMALL_BYTES_MAX && value.len() <= SMALL_BYTES_MAX {
            Self::build_small(tag, key, value, expires_at)
        } else if value.len() < LARGE_BYTES_MIN {
            Self::build_wide(tag, key, value, expires_at, value.len())
        } else {
            assert_length("value", value.len());
            Self::build_large(tag, key, Large::new(value, value.len()), expires_at)
        }
    }

    #[inline]
    fn build_small(tag: u16, key: &[u8], value: &[u8], expires_at: Option<UnixMillis>) -> Self {
        debug_assert!(key.len().max(value.len()) <= SMALL_BYTES_MAX);
        let tag = tag | expiry_tag(expires_at);
        let shape = Shape {
            key_start: SMALL_HEADER_BYTES + expiry_bytes(tag),
            key_len: key.len(),
            value_len: value.len(),
        };
        let start = allocate(class_size(shape.end()));
        // SAFETY: both lie within the allocation; the lengths fit (asserted above).
        unsafe {
            start.write(key.len() as u8);
            start.add(SMALL_VALUE_LENGTH_AT).write(value.len() as u8);
        }
        // SAFETY: as large as `shape` is, and just made.
        unsafe { fill(start, shape, key, value, expires_at) };
        Self(Tagged::new(start, tag))
    }

    /// A record whose value may grow to `value_room` bytes without moving.
    fn build_wide(
        tag: u16,
        key: &[u8],
        value: &[u8],
        expires_at: Option<UnixMillis>,
        value_room: usize,
    ) -> Self {
        assert_length("key", key.len());
        let tag = tag | expiry_tag(expires_at) | WIDE;
        let shape = Shape {
            key_start: HEADER_BYTES + expiry_bytes(tag),
            key_len: key.len(),
            value_len: value.len(),
        };
        let size = class_size(shape.value_at() + value_room.max(value.len()));
        let start = allocate(size);
        // SAFETY: within the allocation; the lengths and the size fit (invariant 2).
        unsafe {
            write_u32(start, key.len());
            write_u32(start.add(VALUE_LENGTH_AT), value.len());
            write_u32(start.add(SIZE_AT), size);
        }
        // SAFETY: as large as `shape` is, and just made.
        unsafe { fill(start, shape, key, value, expires_at) };
        Self(Tagged::new(start, tag))
    }

    #[cold]
    fn build_large(tag: u16, key: &[u8], value: Large, expires_at: Option<UnixMillis>) -> Self {
        assert_length("key", key.len());
        let tag = tag | expiry_tag(expires_at) | LARGE;
        let shape = Shape {
            key_start: HEADER_BYTES + expiry_bytes(tag),
            key_len: key.len(),
            value_len: 0,
        };
        let start = allocate(class_size(shape.end()));
        // SAFETY: within the allocation; the length fits (asserted above).
        unsafe {
            write_u32(start, key.len());
            start
                .add(ADDRESS_AT)
                .cast::<*const Vec<u8>>()
                .write_unaligned(value.into_raw());
        }
        // SAFETY: as large as `shape` is, and just made.
        unsafe { fill(start, shape, key, b"", expires_at) };
        Self(Tagged::new(start, tag))
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the key is initialised and within the allocation (invariant 1), which lives as
        // long as `self` and is not changed while `self` is borrowed.
        unsafe {
            slice::from_raw_parts(self.0.start().add(shape.key_start).as_ptr(), shape.key_len)
        }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &[u8] {
        if !self.is_small() && self.is_large() {
            return self.large_value();
        }
        let shape = self.shape();
        // SAFETY: as for the key.
        unsafe {
            let value = self.0.start().add(shape.value_at());
            slice::from_raw_parts(value.as_ptr(), shape.value_len)
        }
    }

    #[cold]
    fn large_value(&self) -> &[u8] {
        // SAFETY: the address is that of a live value (invariant 4), which the record holds for longer than
        // `self` is borrowed, and which changes through `&mut self` alone.
        unsafe { &*self.address() }
    }

    /// The value, to be changed without changing its length. One that is shared is copied first.
    #[inline]
    pub fn value_mut(&mut self) -> &mut [u8] {
        if self.is_large() {
            return self.large_value_mut();
        }
        let shape = self.shape();
        // SAFETY: as for the key, and `self` is borrowed exclusively.
        unsafe {
            let value = self.0.start().add(shape.value_at());
            slice::from_raw_parts_mut(value.as_ptr(), shape.value_len)
        }
    }

    #[cold]
    fn large_value_mut(&mut self) -> &mut [u8] {
        self.change_large(|large| {
            large.bytes_mut();
        });
        // SAFETY: the address is that of a live value that this record alone holds now, and `self` is borrowed
        // exclusively.
        unsafe { &mut *self.address().cast_mut() }
    }

    /// The value, where it is large: held by the record and by what is returned.
    pub fn large(&self) -> Option<Large> {
        if !self.is_large() {
            return None;
        }
        // SAFETY: the address stands for one owner, the record, which stays it (invariant 4).
        let own = ManuallyDrop::new(unsafe { Large::from_raw(self.address()) });
        Some(Large::clone(&own))
    }

    /// Whether the value is large: shared by copies of the record, and worth to be freed elsewhere.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.0.tag() & LARGE != 0
    }

    /// Asks the memory for the record, so that its cache misses overlap with those of others that are
    /// about to be used. Reads nothing; does nothing where the processor has no such hint.
    #[inline]
    pub fn prefetch(&self) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

            let start = self.0.start().as_ptr().cast::<i8>();
            // SAFETY: a prefetch has no effect that a program could see and cannot fault, and the
            // second address is only computed, without leaving the address space.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(start);
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(CACHE_LINE_BYTES));
            }
        }
    }

    /// When the record expires; `None` is never.
    #[inline]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        if !self.expires() {
            return None;
        }
        // SAFETY: the tag says that an expiry follows the header (invariant 1).
        let millis = unsafe { self.expiry().read_unaligned() };
        Some(UnixMillis::new(millis))
    }

    /// Replaces the value; in place where the allocation is of the right size already, and nothing else
    /// holds it. Gives the old one where it was large and is replaced as a whole.
    ///
    /// # Panics
    ///
    /// If it is longer than [`STRING_BYTES_MAX`].
    #[inline]
    pub fn set_value(&mut self, value: &[u8]) -> Option<Self> {
        if self.may_stay_with(value.len()) {
            // SAFETY: `may_stay_with`.
            unsafe { self.set_value_len(value.len()) };
            let value_at = self.shape().value_at();
            // SAFETY: there is room for it; `value` cannot lie in this allocation, which is borrowed
            // exclusively.
            unsafe {
                let place = self.0.start().add(value_at);
                place.copy_from_nonoverlapping(pointer_to(value), value.len());
            }
            return None;
        }
        if self.is_large() {
            return self.replace_large(value);
        }
        *self = self.rebuilt(value, self.expires_at());
        None
    }

    /// Replaces a small value by one as long, of a record without expiry: the frequent case, which needs no look at
    /// sizes. Whether it was one.
    #[inline]
    pub fn set_alike(&mut self, value: &[u8]) -> bool {
        let start = self.0.start();
        // SAFETY: every record has more bytes of header than this (invariant 1).
        let value_len = usize::from(unsafe { start.add(SMALL_VALUE_LENGTH_AT).read() });
        if self.0.tag() & (WIDE | LARGE | EXPIRES) != 0 || value_len != value.len() {
            return false;
        }
        // SAFETY: a small record without expiry: this is its value (invariant 1), and `value` cannot lie in it, which
        // is borrowed exclusively.
        unsafe {
            let key_len = usize::from(start.read());
            let place = start.add(SMALL_HEADER_BYTES + key_len);
            place.copy_from_nonoverlapping(pointer_to(value), value_len);
        }
        true
    }

    #[cold]
    fn replace_large(&mut self, value: &[u8]) -> Option<Self> {
        assert_length("value", value.len());
        if value.len() >= LARGE_BYTES_MIN && self.change_large(|large| large.set(value)) {
            return None;
        }
        let new = self.rebuilt(value, self.expires_at());
        Some(std::mem::replace(self, new))
    }

    /// Replaces value and expiry, reallocating once at most; gives what [`Record::set_value`] gives.
    ///
    /// # Panics
    ///
    /// If the value is longer than [`STRING_BYTES_MAX`].
    #[inline]
    pub fn set(&mut self, value: &[u8], expires_at: Option<UnixMillis>) -> Option<Self> {
        if self.expires() == expires_at.is_some() || self.is_large() {
            self.set_expires_at(expires_at);
            return self.set_value(value);
        }
        *self = self.rebuilt(value, expires_at);
        None
    }

    /// Sets or takes away the expiry. In place where there was one and is one; otherwise the
    /// record moves, and gives up spare room of a value that is not large.
    #[inline]
    pub fn set_expires_at(&mut self, expires_at: Option<UnixMillis>) {
        match (self.expires(), expires_at) {
            (false, None) => {}
            (true, Some(expires_at)) => {
                // SAFETY: the tag says that there is a place for it (invariant 1).
                unsafe { self.expiry().write_unaligned(expires_at.get()) };
            }
            (false, Some(_)) | (true, None) => {
                *self = match self.large() {
                    Some(large) => {
                        Self::build_large(self.kept_tag(), self.key(), large, expires_at)
                    }
                    None => self.rebuilt(self.value(), expires_at),
                };
            }
        }
    }

    /// Adds `bytes` at the end of the value. Leaves spare room when it has to move, so that many
    /// appends cost time in proportion to their bytes.
    ///
    /// # Panics
    ///
    /// If the value gets longer than [`STRING_BYTES_MAX`].
    pub fn append(&mut self, bytes: &[u8]) {
        let old_len = self.value().len();
        let len = old_len.saturating_add(bytes.len());
        assert_length("value", len);
        self.reserve(len);
        if self.is_large() {
            return self.change_large(|large| large.append(bytes, STRING_BYTES_MAX));
        }
        // SAFETY: `reserve` has made room for it; `bytes` cannot lie in this allocation, which
        // is borrowed exclusively; it is initialised before the length says that it is there.
        unsafe {
            let end = self.0.start().add(self.shape().end());
            end.copy_from_nonoverlapping(pointer_to(bytes), bytes.len());
            self.set_value_len(len);
        }
    }

    /// Makes the value `len` bytes long: cut off, or filled up with zeroes (with spare room as
    /// [`Record::append`] leaves it).
    ///
    /// # Panics
    ///
    /// If `len` is more than [`STRING_BYTES_MAX`].
    pub fn resize_value(&mut self, len: usize) {
        assert_length("value", len);
        let old_len = self.value().len();
        if len > old_len {
            self.reserve(len);
        }
        if self.is_large() && len >= LARGE_BYTES_MIN {
            self.change_large(|large| large.resize(len, STRING_BYTES_MAX));
        } else if len > old_len {
            // SAFETY: `reserve` has made room; initialised first, as in `append`.
            unsafe {
                let end = self.0.start().add(self.shape().end());
                end.write_bytes(0, len - old_len);
                self.set_value_len(len);
            }
        } else if self.may_stay_with(len) {
            // SAFETY: `may_stay_with`; a shorter value is initialised.
            unsafe { self.set_value_len(len) };
        } else {
            *self = self.rebuilt(&self.value()[..len], self.expires_at());
        }
    }

    /// The bits of the walks under way, one for each of two: 0 to 3. A new record has 0, and keeps
    /// them whatever becomes of its value.
    #[inline]
    pub fn walk_bits(&self) -> u8 {
        (self.0.tag() & WALK_BITS) as u8
    }

    /// Sets the walk bits, 0 to 3.
    #[inline]
    pub fn set_walk_bits(&mut self, bits: u8) {
        debug_assert!(u16::from(bits) <= WALK_BITS);
        let tag = self.0.tag() & !WALK_BITS | u16::from(bits);
        self.0 = self.0.with_tag(tag);
    }

    /// Bytes the record takes from the allocator. A large value counts in each record that shares it.
    #[inline]
    pub fn allocated_bytes(&self) -> usize {
        if self.is_small() {
            return self.allocation_size();
        }
        let value = self.large().map(|large| large.allocated_bytes());
        self.allocation_size() + value.unwrap_or(0)
    }

    #[inline]
    fn expires(&self) -> bool {
        self.0.tag() & EXPIRES != 0
    }

    /// Where the expiry is, if there is one.
    #[inline]
    fn expiry(&self) -> NonNull<u64> {
        let header = if self.is_small() {
            SMALL_HEADER_BYTES
        } else {
            HEADER_BYTES
        };
        // SAFETY: every allocation has a header.
        unsafe { self.0.start().add(header).cast() }
    }

    #[inline]
    fn is_small(&self) -> bool {
        self.0.tag() & (WIDE | LARGE) == 0
    }

    #[inline]
    fn shape(&self) -> Shape {
        let start = self.0.start();
        let expiry = expiry_bytes(self.0.tag());
        // SAFETY: the header is initialised (invariant 1).
        unsafe {
            if self.is_small() {
                Shape {
                    key_start: SMALL_HEADER_BYTES + expiry,
                    key_len: usize::from(start.read()),
                    value_len: usize::from(start.add(SMALL_VALUE_LENGTH_AT).read()),
                }
            } else {
                Shape {
                    key_start: HEADER_BYTES + expiry,
                    key_len: read_u32(start),
                    value_len: if self.is_large() {
                        0
                    } else {
                        read_u32(start.add(VALUE_LENGTH_AT))
                    },
                }
            }
        }
    }

    /// The size the allocation was made with.
    #[inline]
    fn allocation_size(&self) -> usize {
        if !self.is_small() && !self.is_large() {
            // SAFETY: the tag says that the size is there (invariant 1).
            return unsafe { read_u32(self.0.start().add(SIZE_AT)) };
        }
        class_size(self.shape().end())
    }

    /// Whether a value of this length fits into the allocation as it is, keeps invariants 3 and 4 and
    /// wastes no more than a quarter of it. Never of a large record.
    #[inline]
    fn may_stay_with(&self, value_len: usize) -> bool {
        let shape = self.shape();
        if self.is_small() {
            return value_len == shape.value_len
                || value_len <= SMALL_BYTES_MAX
                    && class_size(shape.value_at() + value_len) == class_size(shape.end());
        }
        if self.is_large() || value_len >= LARGE_BYTES_MIN {
            return false;
        }
        let size = self.allocation_size();
        let fitting = class_size(shape.value_at() + value_len);
        fitting <= size && size / 4 * 3 <= fitting
    }

    /// # Safety
    ///
    /// The record is not large; `may_stay_with(value_len)`, or it follows `reserve(value_len)`; and that
    /// many bytes from the start of the value are initialised before anything reads them.
    #[inline]
    unsafe fn set_value_len(&mut self, value_len: usize) {
        debug_assert!(self.shape().value_at() + value_len <= self.allocation_size());
        let start = self.0.start();
        // SAFETY: within the header; the length fits (checked by both that allow it).
        unsafe {
            if self.is_small() {
                start.add(SMALL_VALUE_LENGTH_AT).write(value_len as u8);
            } else {
                write_u32(start.add(VALUE_LENGTH_AT), value_len);
            }
        }
    }

    /// Makes sure that the value may become `value_len` bytes long (no shorter than it is)
    /// without breaking invariant 3, by moving with room to spare if need be. A large value makes
    /// room by itself.
    fn reserve(&mut self, value_len: usize) {
        let end = self.shape().value_at() + value_len;
        let fits = if self.is_small() {
            self.may_stay_with(value_len)
        } else {
            value_len < LARGE_BYTES_MIN && end <= self.allocation_size()
        };
        if fits || self.is_large() {
            return;
        }
        let room = room_for(value_len, STRING_BYTES_MAX);
        let (tag, key, expires_at) = (self.kept_tag(), self.key(), self.expires_at());
        *self = if value_len < LARGE_BYTES_MIN {
            Self::build_wide(tag, key, self.value(), expires_at, room)
        } else {
            Self::build_large(tag, key, Large::new(self.value(), room), expires_at)
        };
    }

    /// The address of the value of a large record.
    #[inline]
    fn address(&self) -> *const Vec<u8> {
        debug_assert!(self.is_large());
        // SAFETY: within the header of a large record, and initialised (invariant 1).
        unsafe {
            self.0
                .start()
                .add(ADDRESS_AT)
                .cast::<*const Vec<u8>>()
                .read_unaligned()
        }
    }

    /// Changes the value of a large record, which may be elsewhere afterwards.
    #[cold]
    fn change_large<T>(&mut self, change: impl FnOnce(&mut Large) -> T) -> T {
        /// Writes down where the value is, also when `change` panics.
        struct Changing<'r>(ManuallyDrop<Large>, &'r mut Record);

        impl Drop for Changing<'_> {
            fn drop(&mut self) {
                // SAFETY: taken once, here; within the header of a large record.
                unsafe {
                    let value = ManuallyDrop::take(&mut self.0);
                    let place = self.1.0.start().add(ADDRESS_AT).cast::<*const Vec<u8>>();
                    place.write_unaligned(value.into_raw());
                }
            }
        }

        // SAFETY: the address stands for one owner; it is written down again before anything reads it.
        let large = unsafe { Large::from_raw(self.address()) };
        change(&mut Changing(ManuallyDrop::new(large), self).0)
    }
}

impl Clone for Record {
    /// The same record, walk bits and all; a large value is shared.
    fn clone(&self) -> Self {
        let mut clone = self.with_key(self.key());
        clone.set_walk_bits(self.walk_bits());
        clone
    }
}

impl Drop for Record {
    #[inline]
    fn drop(&mut self) {
        if !self.is_small() && self.is_large() {
            self.drop_large();
        }
        let layout = layout(self.allocation_size());
        // SAFETY: allocated with this layout (invariants 1 and 3), and nothing uses it any more.
        unsafe { dealloc(self.0.start().as_ptr(), layout) }
    }
}

impl Record {
    #[cold]
    fn drop_large(&mut self) {
        // SAFETY: the address stands for one owner, the record, which goes (invariant 4).
        drop(unsafe { Large::from_raw(self.address()) });
    }
}

impl Entry for Record {
    #[inline]
    fn expires_at(&self) -> Option<UnixMillis> {
        self.expires_at()
    }

    #[inline]
    fn walk_bits(&self) -> u8 {
        Record::walk_bits(self)
    }

    #[inline]
    fn set_walk_bits(&mut self, bits: u8) {
        Record::set_walk_bits(self, bits);
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("key", &self.key().escape_ascii().to_string())
            .field("value_bytes", &self.value().len())
            .field("expires_at", &self.expires_at())
            .finish()
    }
}

/// Bytes of the expiry that a tag announces.
#[inline]
fn expiry_bytes(tag: u16) -> usize {
    usize::from(tag & EXPIRES)
}

#[inline]
fn expiry_tag(expires_at: Option<UnixMillis>) -> u16 {
    if expires_at.is_some() { EXPIRES } else { 0 }
}

#[track_caller]
fn assert_length(of: &str, len: usize) {
    assert!(len <= STRING_BYTES_MAX, "a {of} of {len} bytes");
}

/// An allocation of `size` bytes, which are more than 0.
#[inline]
fn allocate(size: usize) -> NonNull<u8> {
    let layout = layout(size);
    debug_assert!(size > 0);
    // SAFETY: `size` is not 0.
    let Some(start) = NonNull::new(unsafe { alloc(layout) }) else {
        handle_alloc_error(layout)
    };
    start
}

/// Writes what follows the lengths.
///
/// # Safety
///
/// `start` is an allocation of `shape.end()` bytes or more that nothing else knows; `shape` is that of
/// `key`, `value` and `expires_at`.
#[inline]
unsafe fn fill(
    start: NonNull<u8>,
    shape: Shape,
    key: &[u8],
    value: &[u8],
    expires_at: Option<UnixMillis>,
) {
    // SAFETY: all writes lie within the allocation (the caller's word), which nothing else knows, so they
    // overlap neither `key` nor `value`: the parts follow one another up to `shape.end()`.
    unsafe {
        let at_key = start.add(shape.key_start);
        if let Some(expires_at) = expires_at {
            at_key
                .sub(EXPIRY_BYTES)
                .cast::<u64>()
                .write_unaligned(expires_at.get());
        }
        at_key.copy_from_nonoverlapping(pointer_to(key), key.len());
        start
            .add(shape.value_at())
            .copy_from_nonoverlapping(pointer_to(value), value.len());
    }
}

#[inline]
fn layout(size: usize) -> Layout {
    debug_assert!(size <= isize::MAX as usize);
    // SAFETY: 1 is a power of two, and no record is as large as `isize::MAX` (invariant 2).
    unsafe { Layout::from_size_align_unchecked(size, 1) }
}

#[inline]
fn pointer_to(bytes: &[u8]) -> NonNull<u8> {
    NonNull::from(bytes).cast()
}

/// # Safety
///
/// `at` is the start of 4 bytes that may be read, and are initialised.
#[inline]
unsafe fn read_u32(at: NonNull<u8>) -> usize {
    // SAFETY: the caller's word.
    unsafe { at.cast::<u32>().read_unaligned() as usize }
}

/// # Safety
///
/// `at` is the start of 4 bytes that may be written, and `number` fits into them.
#[inline]
unsafe fn write_u32(at: NonNull<u8>, number: usize) {
    debug_assert!(u32::try_from(number).is_ok());
    // SAFETY: the caller's word.
    unsafe { at.cast::<u32>().write_unaligned(number as u32) }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
