//! The segment that owns a hash, and where in memory its entry probably lies.
//!
//! One slot per prefix, in prefix order. Knows numbers of segments and addresses of their memory, not
//! segments.
//!
//! 1. There are exactly 2^`depth` slots.
//! 2. The slots of one segment are neighbours, their number is a power of two.
//! 3. An address is a hint for the cache and never followed: a stale one costs a prefetch, nothing else.

use super::likely::Likely;

/// Bits 63 to 57 tell entries of one segment apart (hashbrown's tag). Choosing segments by them
/// would leave every entry of a segment with nearly the same tag, and misses many times slower.
const TAG_BITS: u32 = 7;

/// 65,536 shards: far more than anybody has cores for.
pub const SHARD_BITS_MAX: u32 = 16;

/// 65,536 segments, some 170 million entries in one shard; beyond that segments grow instead.
/// It bounds what a hash function that returns nearly equal hashes can make of the directory:
/// 1 MiB per shard.
pub const DIRECTORY_DEPTH_MAX: u32 = 16;

/// What must be left below the directory bits to spread entries within a segment.
const SEGMENT_BITS_MIN: u32 = 24;

const _: () = assert!(TAG_BITS + SHARD_BITS_MAX + DIRECTORY_DEPTH_MAX + SEGMENT_BITS_MIN <= 64);

#[derive(Clone, Copy)]
struct Slot {
    likely: Likely,
    segment: u32,
}

#[repr(C)]
pub(super) struct Directory {
    slots: Box<[Slot]>,
    /// Places the directory bits of a hash at the bottom: `64 - TAG_BITS - shard_bits - depth`.
    shift: u32,
    depth: u32,
    shard_bits: u32,
}

impl Directory {
    pub(super) fn new(shard_bits: u32) -> Self {
        assert!(
            shard_bits <= SHARD_BITS_MAX,
            "{shard_bits} shard bits: at most {SHARD_BITS_MAX} are possible"
        );
        Self {
            slots: Box::new([Slot {
                likely: Likely::UNKNOWN,
                segment: 0,
            }]),
            shift: 64 - TAG_BITS - shard_bits,
            depth: 0,
            shard_bits,
        }
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn shard_bits(&self) -> u32 {
        self.shard_bits
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    /// The number of the segment that owns `hash`.
    #[inline]
    pub(super) fn segment_of(&self, hash: u64) -> usize {
        self.segment_at(self.index_of(hash))
    }

    /// As [`Directory::segment_of`], and begins to fetch what a look-up there will read, entries of type
    /// `E`.
    #[inline(always)]
    pub(super) fn asked_segment_of<E>(&self, hash: u64) -> usize {
        let slot = &self.slots[self.index_of(hash)];
        slot.likely.prefetch::<E>(hash);
        slot.segment as usize
    }

    #[inline(always)]
    fn index_of(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize & (self.slots.len() - 1)
    }

    /// The number of the segment that owns the prefix `index` (of `depth` bits).
    #[inline]
    pub(super) fn segment_at(&self, index: usize) -> usize {
        self.slots[index].segment as usize
    }

    /// The segment of depth `depth` that owns `hash` lies there now.
    pub(super) fn aim(&mut self, hash: u64, depth: u32, likely: Likely) {
        let owned = 1_usize << (self.depth - depth);
        let start = self.index_of(hash) & !(owned - 1);
        for slot in &mut self.slots[start..start + owned] {
            slot.likely = likely;
        }
    }

    /// The bit of a hash that parts a segment of depth `depth` in two.
    pub(super) fn parting_bit(&self, depth: u32) -> u64 {
        debug_assert!(depth < DIRECTORY_DEPTH_MAX);
        1 << (64 - TAG_BITS - self.shard_bits - depth - 1)
    }

    /// All bits of a hash that may still part a segment of depth `depth`.
    pub(super) fn parting_bits(&self, depth: u32) -> u64 {
        let top = 64 - TAG_BITS - self.shard_bits;
        (1 << (top - depth)) - (1 << (top - DIRECTORY_DEPTH_MAX))
    }

    /// Parts what the segment of `hash` owns: the half without `hash` goes to the segment
    /// `other`, which lies at `likely`. `depth` is the depth of the segment before. Doubles the directory
    /// if need be.
    pub(super) fn part(&mut self, hash: u64, depth: u32, other: usize, likely: Likely) {
        debug_assert!(depth <= self.depth && depth < DIRECTORY_DEPTH_MAX);
        debug_assert!(
            other < 1 << DIRECTORY_DEPTH_MAX,
            "more segments than prefixes"
        );
        if depth == self.depth {
            self.slots = self.slots.iter().flat_map(|&slot| [slot, slot]).collect();
            self.shift -= 1;
            self.depth += 1;
        }
        let half = 1_usize << (self.depth - depth - 1);
        let start = (self.index_of(hash) & !(half - 1)) ^ half;
        self.slots[start..start + half].fill(Slot {
            likely,
            segment: other as u32,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_sends_every_hash_to_the_first_segment() {
        for shard_bits in [0, 1, SHARD_BITS_MAX] {
            let directory = Directory::new(shard_bits);
            for hash in [0, 1, u64::MAX, 1 << 63, 1 << 40] {
                assert_eq!(directory.segment_of(hash), 0);
            }
        }
    }

    #[test]
    fn parting_moves_exactly_the_hashes_that_differ_in_the_parting_bit() {
        let mut directory = Directory::new(3);
        let first = directory.parting_bit(0);
        assert_eq!(first, 1 << 53, "57 bits below the tag, less 3 shard bits");
        directory.part(0, 0, 1, Likely::UNKNOWN);
        assert_eq!(directory.segment_of(!first), 0);
        assert_eq!(directory.segment_of(first), 1);
        // The lower half once more: the upper one keeps both its slots.
        directory.part(0, 1, 2, Likely::UNKNOWN);
        let second = directory.parting_bit(1);
        assert_eq!(directory.depth(), 2);
        assert_eq!(directory.segment_of(0), 0);
        assert_eq!(directory.segment_of(second), 2);
        assert_eq!(directory.segment_of(first), 1);
        assert_eq!(directory.segment_of(first | second), 1);
    }

    #[test]
    fn the_parting_bits_are_those_of_every_depth_left() {
        let directory = Directory::new(SHARD_BITS_MAX);
        for depth in 0..=DIRECTORY_DEPTH_MAX {
            let expected = (depth..DIRECTORY_DEPTH_MAX)
                .map(|at| directory.parting_bit(at))
                .sum::<u64>();
            assert_eq!(directory.parting_bits(depth), expected, "depth {depth}");
        }
    }
}
