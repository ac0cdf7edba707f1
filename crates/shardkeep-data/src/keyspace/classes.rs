//! The size classes of jemalloc, the allocator of the binary: steps of 16 bytes at first, then four to each
//! doubling, and from 16 KiB on whole pages of 4 KiB.
//!
//! What a keyspace keeps is allocated in whole classes, so that the account is what the allocator takes and
//! a value may grow into what there is. Under another allocator they are right all the same, and take a
//! little more.

const CLASS_STEP_BYTES_LOG2: u32 = 4;
const CLASSES_EACH_DOUBLING_LOG2: u32 = 2;
const PAGE_BYTES_LOG2: u32 = 12;

/// The distance between classes of which the next doubling begins above 2 to the power of `doubling`.
const fn class_step(doubling: u32) -> usize {
    let log2 = doubling.saturating_sub(CLASSES_EACH_DOUBLING_LOG2);
    1 << match log2 {
        ..CLASS_STEP_BYTES_LOG2 => CLASS_STEP_BYTES_LOG2,
        PAGE_BYTES_LOG2.. => PAGE_BYTES_LOG2,
        between => between,
    }
}

/// The smallest class that holds `bytes`, which are more than 0.
#[inline]
pub(super) const fn class_size(bytes: usize) -> usize {
    let step = class_step((2 * bytes - 1).ilog2() - 1);
    (bytes + step - 1) & !(step - 1)
}
