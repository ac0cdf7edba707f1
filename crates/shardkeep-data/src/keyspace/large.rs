//! A large value: bytes that several records may hold at once.
//!
//! An owner that changes one that is shared copies it first. Knows no records.

use std::sync::Arc;

use super::classes::class_size;

/// Values of this size (bytes) and more are shared instead of copied. From here on jemalloc gives whole
/// pages, and copying a value costs more than the look through one pointer more.
pub const LARGE_BYTES_MIN: usize = 16 * 1024;

/// A growing value gets as much room again, but no more than the larger of this (bytes) and a
/// quarter of itself: appending stays linear, and large values waste little.
const DOUBLING_BYTES_MAX: usize = 1024 * 1024;

/// The counts of an `Arc` and the three words of a `Vec`.
const HEAD_BYTES: usize = 5 * size_of::<usize>();

/// The class of a buffer, which may be empty.
fn class_of(bytes: usize) -> usize {
    class_size(bytes.max(HEAD_BYTES))
}

/// The room that a value gets which has to move to become `len` bytes long.
pub(super) fn room_for(len: usize, max: usize) -> usize {
    let spare = len.min(DOUBLING_BYTES_MAX.max(len / 4));
    (len + spare).min(max)
}

/// The bytes of a large value, which this owner may share with others.
///
/// # Examples
///
/// ```
/// use shardkeep_data::keyspace::record::{LARGE_BYTES_MIN, Record};
///
/// let record = Record::new(b"key", &[7; LARGE_BYTES_MIN], None);
/// let large = record.large();
/// drop(record);
/// assert_eq!(large.map(|large| large.bytes().len()), Some(LARGE_BYTES_MIN));
/// ```
#[derive(Clone)]
pub struct Large(Arc<Vec<u8>>);

impl Large {
    /// A copy of `bytes`, with room for `room` bytes and what completes the class.
    pub(super) fn new(bytes: &[u8], room: usize) -> Self {
        let mut copy = Vec::with_capacity(class_of(room.max(bytes.len())));
        copy.extend_from_slice(bytes);
        Self(Arc::new(copy))
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, held by what is returned as well.
    #[must_use]
    pub fn share(self) -> Arc<Vec<u8>> {
        self.0
    }

    /// Bytes it takes from the allocator, whether others hold it as well or not.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        class_of(self.0.capacity()) + class_size(HEAD_BYTES)
    }

    /// Replaces all bytes in place; `false` where others hold them, where they do not fit or where they
    /// would leave more than a quarter unused.
    pub(super) fn set(&mut self, bytes: &[u8]) -> bool {
        let (fitting, capacity) = (class_of(bytes.len()), self.0.capacity());
        if fitting > capacity || fitting < capacity / 4 * 3 {
            return false;
        }
        let Some(own) = Arc::get_mut(&mut self.0) else {
            return false;
        };
        own.clear();
        own.extend_from_slice(bytes);
        true
    }

    /// The bytes, to be changed without changing their number.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.own(self.0.len(), usize::MAX)
    }

    /// Adds `bytes` at the end; room to spare goes up to `max` bytes.
    pub(super) fn append(&mut self, bytes: &[u8], max: usize) {
        let len = self.0.len() + bytes.len();
        self.own(len, max).extend_from_slice(bytes);
    }

    /// Cuts off, or fills up with zeroes, as [`Large::append`] would.
    pub(super) fn resize(&mut self, len: usize, max: usize) {
        let own = self.own(len, max);
        own.resize(len, 0);
        if class_of(len) < own.capacity() / 4 * 3 {
            own.shrink_to(class_of(len));
        }
    }

    /// The bytes, or as much of them as goes into `len`, held by this owner alone, with room for `len`.
    fn own(&mut self, len: usize, max: usize) -> &mut Vec<u8> {
        let room = if len > self.0.capacity() {
            class_of(room_for(len, max))
        } else {
            len
        };
        if Arc::get_mut(&mut self.0).is_none() {
            *self = Self::new(&self.0[..self.0.len().min(len)], room);
        }
        let Some(own) = Arc::get_mut(&mut self.0) else {
            unreachable!("a copy that nothing else holds yet")
        };
        own.reserve_exact(room.saturating_sub(own.len()));
        own
    }

    /// The bytes as an address, to be kept by a record.
    pub(super) fn into_raw(self) -> *const Vec<u8> {
        Arc::into_raw(self.0)
    }

    /// # Safety
    ///
    /// The address came from [`Large::into_raw`], and is made to a value again once.
    #[expect(unsafe_code, reason = "a record keeps an address of what it holds")]
    pub(super) unsafe fn from_raw(address: *const Vec<u8>) -> Self {
        // SAFETY: the caller's word.
        Self(unsafe { Arc::from_raw(address) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;

    #[test]
    fn an_owner_that_changes_a_shared_value_copies_it_first() {
        let changes: [fn(&mut Large); 4] = [
            |large| large.append(b"!", MAX),
            |large| large.resize(5, MAX),
            |large| large.resize(70, MAX),
            |large| large.bytes_mut()[0] = 0,
        ];
        for change in changes {
            let kept = Large::new(&[1; 64], 64);
            let mut changed = kept.clone();
            assert_eq!(kept.bytes().as_ptr(), changed.bytes().as_ptr());
            change(&mut changed);
            assert_eq!(kept.bytes(), [1; 64]);
            assert_ne!(kept.bytes(), changed.bytes());
        }
    }

    #[test]
    fn a_value_of_one_owner_grows_seldom_and_is_replaced_in_place() {
        let mut large = Large::new(b"", 0);
        let mut moves = 0;
        for _ in 0..2_000 {
            let before = large.allocated_bytes();
            large.append(&[7; 8], MAX);
            moves += u32::from(large.allocated_bytes() != before);
        }
        assert!(moves < 20, "{moves}");
        assert!(large.allocated_bytes() <= 2 * 16_000 + 1_024);
        let address = large.bytes().as_ptr();
        let fitting = large.allocated_bytes() - class_size(HEAD_BYTES);
        assert!(large.set(&vec![8; fitting]));
        assert_eq!(large.bytes().as_ptr(), address);
        assert!(!large.set(&vec![9; fitting + 1]) && !large.set(&[9; 100]));
        assert!(!large.clone().set(&vec![9; fitting]), "two hold it");
        large.resize(100, MAX);
        assert_eq!(
            (large.bytes(), large.allocated_bytes() < 256),
            (&[8; 100][..], true)
        );
    }
}
