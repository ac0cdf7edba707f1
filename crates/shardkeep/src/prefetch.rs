//! Asking the memory for an entry before it is needed.
//!
//! The only `unsafe` of this crate. A batch touches all entries of a group first and works on them
//! afterwards, so that their cache misses overlap.
//!
//! 1. A prefetch reads nothing into the program and cannot fault: it is a hint, whatever the
//!    address.

#![expect(
    unsafe_code,
    reason = "the prefetch intrinsic takes a raw pointer; argument in invariant 1"
)]

/// Bytes of a cache line on the machines that have this hint.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const CACHE_LINE_BYTES: usize = 64;

/// Cache lines fetched per entry at most: where an entry is larger, the hardware follows by itself.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const LINES_MAX: usize = 4;

/// Begins to fetch the lines in which the `bytes` at `address` begin and end, whatever lies there; does
/// nothing where there is no such hint.
#[inline(always)]
pub(crate) fn prefetch_at(address: usize, bytes: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        let start = std::ptr::without_provenance::<i8>(address);
        // SAFETY: as for `prefetch`: a hint reads nothing, whatever the address (invariant 1).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start) };
        if bytes > 8 {
            // SAFETY: the same.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(bytes - 1)) };
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = (address, bytes);
}

/// Begins to fetch `place` into the nearest cache; does nothing where there is no such hint.
#[inline(always)]
pub(crate) fn prefetch<T>(place: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        let start = std::ptr::from_ref(place).cast::<i8>();
        let last = size_of::<T>().saturating_sub(1);
        for line in 0..LINES_MAX {
            let offset = (line * CACHE_LINE_BYTES).min(last);
            // SAFETY: prefetching has no effect that a program could see (invariant 1), and the
            // address stays inside of `place`.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(offset)) };
            if offset == last {
                break;
            }
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}
