//! One key with its value and expiry in a single heap allocation, behind a thin pointer.
//!
//! The entry of the server's tables: 8 bytes there, everything else here. Knows no commands, no
//! accounting and no clock. `unsafe` because a struct with two byte strings at its end cannot be
//! written in safe Rust; checked with `cargo +nightly miri test -p shardkeep-data --lib record`.
//!
//! ```text
//! kind and flags u8 | key length u32 | value length u32 | [expiry u64] | [size u32] | key | value
//! ```
//!
//! 1. The pointer is the start of a live allocation of `allocation_size()` bytes that nothing
//!    else points to; the header, the parts its flags announce, the key and the value are
//!    initialised and lie within it. What is left after the value is never read.
//! 2. Neither length exceeds [`STRING_BYTES_MAX`]; so no offset overflows.
//! 3. The size of the allocation follows from the lengths (`class_size`), or is kept in the
//!    record itself where `ROOMY` is set.
//! 4. Numbers are read and written unaligned, in native order.
#![expect(
    unsafe_code,
    reason = "a header and two byte strings in one allocation; argued above"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::fmt;
use std::ptr::NonNull;
use std::slice;

use shardkeep::table::{Entry, UnixMillis};

/// Longest key and longest value (bytes): what one bulk string of a request may have, 512 MiB.
/// Whoever takes them from a peer refuses longer ones first.
pub const STRING_BYTES_MAX: usize = 512 * 1024 * 1024;

const _: () = assert!(2 * STRING_BYTES_MAX + 64 < i32::MAX as usize);

/// The low half of the first byte is the kind of value: 0, a string, is the only one so far.
/// Another kind may keep whatever it likes in the place of the value.
const KIND_STRING: u8 = 0;
/// There is an expiry.
const EXPIRES: u8 = 0x10;
/// The allocation is larger than the lengths tell, and its size is written down.
const ROOMY: u8 = 0x20;
/// The bits of the walks under way, one for each of two.
const WALK_BITS: u8 = 0xc0;
const WALK_SHIFT: u32 = 6;

const KEY_LENGTH_AT: usize = 1;
const VALUE_LENGTH_AT: usize = 5;
const HEADER_BYTES: usize = 9;
const EXPIRY_BYTES: usize = 8;
const SIZE_BYTES: usize = 4;

/// A growing value gets as much room again, but no more than the larger of this (bytes) and a
/// quarter of itself: appending stays linear, and large values waste little.
const DOUBLING_BYTES_MAX: usize = 1024 * 1024;

/// The size classes of jemalloc, the allocator of the binary: steps of 16 bytes at first, then four to each
/// doubling, and from 16 KiB on whole pages of 4 KiB. Records are allocated in whole classes, so that the
/// account is what the allocator takes and a value may grow into what there is. Under another allocator
/// they are right all the same, and take a little more.
const CLASS_STEP_BYTES_LOG2: u32 = 4;
const CLASSES_EACH_DOUBLING_LOG2: u32 = 2;
const PAGE_BYTES_LOG2: u32 = 12;

const _: () = assert!(class_size(2 * STRING_BYTES_MAX + 64) < i32::MAX as usize);

/// Bytes of a cache line on the machines that have a prefetch hint.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const CACHE_LINE_BYTES: usize = 64;

/// The distance between classes of which the next doubling begins above 2 to the power of `doubling`.
const fn class_step(doubling: u32) -> usize {
    let log2 = doubling.saturating_sub(CLASSES_EACH_DOUBLING_LOG2);
    1 << match log2 {
        ..CLASS_STEP_BYTES_LOG2 => CLASS_STEP_BYTES_LOG2,
        PAGE_BYTES_LOG2.. => PAGE_BYTES_LOG2,
        between => between,
    }
}

/// The smallest class that holds `bytes`, which are no less than a header.
#[inline]
const fn class_size(bytes: usize) -> usize {
    let step = class_step((2 * bytes - 1).ilog2() - 1);
    (bytes + step - 1) & !(step - 1)
}

/// The largest class within `bytes`, which are no less than the smallest class.
const fn class_within(bytes: usize) -> usize {
    bytes & !(class_step(bytes.ilog2()) - 1)
}

/// A header, decoded.
#[derive(Clone, Copy)]
struct Shape {
    flags: u8,
    key_len: usize,
    value_len: usize,
}

impl Shape {
    #[inline]
    fn expires(self) -> bool {
        self.flags & EXPIRES != 0
    }

    #[inline]
    fn is_roomy(self) -> bool {
        self.flags & ROOMY != 0
    }

    #[inline]
    fn size_at(self) -> usize {
        HEADER_BYTES + if self.expires() { EXPIRY_BYTES } else { 0 }
    }

    #[inline]
    fn key_at(self) -> usize {
        self.size_at() + if self.is_roomy() { SIZE_BYTES } else { 0 }
    }

    #[inline]
    fn value_at(self) -> usize {
        self.key_at() + self.key_len
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
pub struct Record(NonNull<u8>);

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
        Self::build(KIND_STRING, key, value, expires_at, value.len())
    }

    /// The same key with another value and expiry, without spare room.
    #[inline]
    fn rebuilt(&self, value: &[u8], expires_at: Option<UnixMillis>) -> Self {
        Self::build(
            self.kept_flags(),
            self.key(),
            value,
            expires_at,
            value.len(),
        )
    }

    /// The flags a record keeps when it moves: its kind and its walk bits.
    #[inline]
    fn kept_flags(&self) -> u8 {
        self.shape().flags & !(EXPIRES | ROOMY)
    }

    /// A record whose value may grow to `value_room` bytes without moving.
    #[inline]
    fn build(
        kept_flags: u8,
        key: &[u8],
        value: &[u8],
        expires_at: Option<UnixMillis>,
        value_room: usize,
    ) -> Self {
        assert!(
            key.len() <= STRING_BYTES_MAX,
            "a key of {} bytes",
            key.len()
        );
        assert!(
            value.len() <= STRING_BYTES_MAX,
            "a value of {} bytes",
            value.len()
        );
        assert!((value.len()..=STRING_BYTES_MAX).contains(&value_room));
        let expires = if expires_at.is_some() { EXPIRES } else { 0 };
        let roomy = if value_room > value.len() { ROOMY } else { 0 };
        let flags = kept_flags | expires | roomy;
        let shape = Shape {
            flags,
            key_len: key.len(),
            value_len: value.len(),
        };
        let size = class_size(shape.value_at() + value_room);
        let layout = layout(size);

        // SAFETY: `size` is not 0.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        // SAFETY: all writes lie within the `size` bytes just allocated, which nothing else
        // knows, so they overlap neither `key` nor `value`: the parts follow one another up to
        // `shape.end() <= size`. The lengths fit into 32 bits (asserted above). Nothing here
        // panics, and afterwards invariants 1 to 3 hold.
        unsafe {
            start.write(flags);
            write_u32(start.add(KEY_LENGTH_AT), key.len());
            write_u32(start.add(VALUE_LENGTH_AT), value.len());
            if let Some(expires_at) = expires_at {
                start
                    .add(HEADER_BYTES)
                    .cast::<u64>()
                    .write_unaligned(expires_at.get());
            }
            if shape.is_roomy() {
                write_u32(start.add(shape.size_at()), size);
            }
            start
                .add(shape.key_at())
                .copy_from_nonoverlapping(pointer_to(key), key.len());
            start
                .add(shape.value_at())
                .copy_from_nonoverlapping(pointer_to(value), value.len());
        }
        Self(start)
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the key is initialised and within the allocation (invariant 1), which lives as
        // long as `self` and is not changed while `self` is borrowed.
        unsafe { slice::from_raw_parts(self.0.add(shape.key_at()).as_ptr(), shape.key_len) }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: as for the key.
        unsafe { slice::from_raw_parts(self.0.add(shape.value_at()).as_ptr(), shape.value_len) }
    }

    /// The value, to be changed without changing its length.
    #[inline]
    pub fn value_mut(&mut self) -> &mut [u8] {
        let shape = self.shape();
        // SAFETY: as for the key, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.0.add(shape.value_at()).as_ptr(), shape.value_len) }
    }

    /// Asks the memory for the record, so that its cache misses overlap with those of others that are
    /// about to be used. Reads nothing; does nothing where the processor has no such hint.
    #[inline]
    pub fn prefetch(&self) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

            let start = self.0.as_ptr().cast::<i8>();
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
        if !self.shape().expires() {
            return None;
        }
        // SAFETY: the flag says that an expiry follows the header (invariant 1).
        let millis = unsafe { self.0.add(HEADER_BYTES).cast::<u64>().read_unaligned() };
        Some(UnixMillis::new(millis))
    }

    /// Replaces the value; in place where the allocation is of the right size already.
    ///
    /// # Panics
    ///
    /// If it is longer than [`STRING_BYTES_MAX`].
    #[inline]
    pub fn set_value(&mut self, value: &[u8]) {
        if self.may_stay_with(value.len()) {
            // SAFETY: `may_stay_with`.
            unsafe { self.set_value_len(value.len()) };
            self.value_mut().copy_from_slice(value);
        } else {
            *self = self.rebuilt(value, self.expires_at());
        }
    }

    /// Replaces value and expiry, reallocating once at most.
    ///
    /// # Panics
    ///
    /// If the value is longer than [`STRING_BYTES_MAX`].
    #[inline]
    pub fn set(&mut self, value: &[u8], expires_at: Option<UnixMillis>) {
        if self.shape().expires() == expires_at.is_some() {
            self.set_expires_at(expires_at);
            self.set_value(value);
        } else {
            *self = self.rebuilt(value, expires_at);
        }
    }

    /// Sets or takes away the expiry. In place where there was one and is one; otherwise the
    /// record moves, and gives up spare room.
    #[inline]
    pub fn set_expires_at(&mut self, expires_at: Option<UnixMillis>) {
        match (self.shape().expires(), expires_at) {
            (false, None) => {}
            (true, Some(expires_at)) => {
                // SAFETY: the flag says that there is a place for it (invariant 1).
                unsafe {
                    self.0
                        .add(HEADER_BYTES)
                        .cast::<u64>()
                        .write_unaligned(expires_at.get());
                }
            }
            (false, Some(_)) | (true, None) => {
                *self = self.rebuilt(self.value(), expires_at);
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
        let old_len = self.shape().value_len;
        self.reserve(old_len.saturating_add(bytes.len()));
        // SAFETY: `reserve` has made room for it; `bytes` cannot lie in this allocation, which
        // is borrowed exclusively; it is initialised before the length says that it is there.
        unsafe {
            let end = self.0.add(self.shape().end());
            end.copy_from_nonoverlapping(pointer_to(bytes), bytes.len());
            self.set_value_len(old_len + bytes.len());
        }
    }

    /// Makes the value `len` bytes long: cut off, or filled up with zeroes (with spare room as
    /// [`Record::append`] leaves it).
    ///
    /// # Panics
    ///
    /// If `len` is more than [`STRING_BYTES_MAX`].
    pub fn resize_value(&mut self, len: usize) {
        let old_len = self.shape().value_len;
        if len > old_len {
            self.reserve(len);
            // SAFETY: `reserve` has made room; initialised first, as in `append`.
            unsafe {
                self.0.add(self.shape().end()).write_bytes(0, len - old_len);
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
        self.shape().flags >> WALK_SHIFT
    }

    /// Sets the walk bits, 0 to 3.
    #[inline]
    pub fn set_walk_bits(&mut self, bits: u8) {
        debug_assert!(bits <= WALK_BITS >> WALK_SHIFT);
        let flags = self.shape().flags & !WALK_BITS | bits << WALK_SHIFT;
        // SAFETY: within the header; neither kind nor invariant 3 changes.
        unsafe { self.0.write(flags) };
    }

    /// Bytes the record takes from the allocator.
    #[inline]
    pub fn allocated_bytes(&self) -> usize {
        self.allocation_size()
    }

    #[inline]
    fn shape(&self) -> Shape {
        // SAFETY: the header is initialised (invariant 1).
        unsafe {
            Shape {
                flags: self.0.read(),
                key_len: read_u32(self.0.add(KEY_LENGTH_AT)),
                value_len: read_u32(self.0.add(VALUE_LENGTH_AT)),
            }
        }
    }

    /// The size the allocation was made with.
    #[inline]
    fn allocation_size(&self) -> usize {
        let shape = self.shape();
        if shape.is_roomy() {
            // SAFETY: the flag says that the size is there (invariant 1).
            unsafe { read_u32(self.0.add(shape.size_at())) }
        } else {
            class_size(shape.end())
        }
    }

    /// Whether a value of this length fits into the allocation as it is, keeps invariant 3 and
    /// wastes no more than half of it.
    #[inline]
    fn may_stay_with(&self, value_len: usize) -> bool {
        if value_len > STRING_BYTES_MAX {
            return false;
        }
        let shape = self.shape();
        let size = self.allocation_size();
        let fitting = class_size(shape.value_at() + value_len);
        if shape.is_roomy() {
            fitting <= size && size / 2 <= fitting
        } else {
            fitting == size
        }
    }

    /// # Safety
    ///
    /// `may_stay_with(value_len)`, or it follows `reserve(value_len)`; and so many bytes from the
    /// start of the value are initialised before anybody reads it.
    #[inline]
    unsafe fn set_value_len(&mut self, value_len: usize) {
        debug_assert!(self.shape().value_at() + value_len <= self.allocation_size());
        // SAFETY: within the header; the length fits (checked by both that allow it).
        unsafe { write_u32(self.0.add(VALUE_LENGTH_AT), value_len) };
    }

    /// Makes sure that the value may become `value_len` bytes long (no shorter than it is)
    /// without breaking invariant 3, by reallocating with room to spare if need be.
    fn reserve(&mut self, value_len: usize) {
        assert!(
            value_len <= STRING_BYTES_MAX,
            "a value of {value_len} bytes"
        );
        let shape = self.shape();
        let fitting = class_size(shape.value_at() + value_len);
        let size = self.allocation_size();
        if fitting == size || (shape.is_roomy() && fitting < size) {
            return;
        }
        let spare = value_len.min(DOUBLING_BYTES_MAX.max(value_len / 4));
        let room = (value_len + spare).min(STRING_BYTES_MAX);
        if !shape.is_roomy() {
            *self = Self::build(
                self.kept_flags(),
                self.key(),
                self.value(),
                self.expires_at(),
                room,
            );
            return;
        }
        let new_size = fitting.max(class_within(shape.value_at() + room));
        // SAFETY: allocated with this layout (invariants 1 and 3), `new_size` is not 0 and far
        // below the limit (invariant 2). If it fails, the old allocation stays as it was; if
        // not, the old pointer is replaced and the new size written down at once.
        unsafe {
            let Some(moved) = NonNull::new(realloc(self.0.as_ptr(), layout(size), new_size)) else {
                handle_alloc_error(layout(new_size))
            };
            self.0 = moved;
            write_u32(self.0.add(shape.size_at()), new_size);
        }
    }
}

impl Drop for Record {
    #[inline]
    fn drop(&mut self) {
        let layout = layout(self.allocation_size());
        // SAFETY: allocated with this layout (invariants 1 and 3), and nobody uses it any more.
        unsafe { dealloc(self.0.as_ptr(), layout) }
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
