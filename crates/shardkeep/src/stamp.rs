//! When an entry expires, and the bits that walks leave in it, in one word.

use crate::table::UnixMillis;

/// The two highest bits belong to walks; what is left counts milliseconds for 146 million years.
const BITS_AT: u32 = 62;
const MILLIS_MAX: u64 = (1 << BITS_AT) - 1;

/// The expiry of an entry (0 is never) with its walk bits above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

impl Stamp {
    #[inline(always)]
    pub(crate) fn new(expires: Option<UnixMillis>, walk_bits: u8) -> Self {
        let millis = expires.map_or(0, |at| at.get().min(MILLIS_MAX));
        Self(millis | u64::from(walk_bits) << BITS_AT)
    }

    #[inline(always)]
    pub(crate) fn expires(self) -> Option<UnixMillis> {
        match self.0 & MILLIS_MAX {
            0 => None,
            millis => Some(UnixMillis::new(millis)),
        }
    }

    /// Replaces the expiry, and keeps the bits.
    pub(crate) fn set_expires(&mut self, expires: Option<UnixMillis>) {
        *self = Self::new(expires, self.walk_bits());
    }

    #[inline]
    pub(crate) fn walk_bits(self) -> u8 {
        (self.0 >> BITS_AT) as u8
    }

    #[inline]
    pub(crate) fn set_walk_bits(&mut self, bits: u8) {
        *self = Self(self.0 & MILLIS_MAX | u64::from(bits) << BITS_AT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_and_bits_do_not_touch_each_other() {
        let at = |millis| Some(UnixMillis::new(millis));
        for expires in [None, at(1), at(1_700_000_000_000), at(MILLIS_MAX)] {
            for bits in 0..4 {
                let mut stamp = Stamp::new(expires, bits);
                assert_eq!((stamp.expires(), stamp.walk_bits()), (expires, bits));
                stamp.set_walk_bits(3 - bits);
                stamp.set_expires(at(9));
                assert_eq!((stamp.expires(), stamp.walk_bits()), (at(9), 3 - bits));
            }
        }
        assert_eq!(Stamp::new(at(u64::MAX), 0).expires(), at(MILLIS_MAX));
    }
}
