//! A pointer with 16 bits of its own.
//!
//! Where user addresses have 48 bits at most (x86-64 and aarch64, unless a program asks for more) both are
//! one word; elsewhere they lie side by side. Knows no records.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use packed::Tagged;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) use wide::Tagged;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod packed {
    #![expect(
        unsafe_code,
        reason = "a pointer that is not 0 is not 0 without bits that it does not have"
    )]

    use std::ptr::NonNull;

    const ADDRESS_BITS: u32 = 48;
    const ADDRESS_MASK: usize = (1 << ADDRESS_BITS) - 1;

    /// A pointer and a tag. The address below the tag is not 0.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(in super::super) struct Tagged(NonNull<u8>);

    impl Tagged {
        /// # Panics
        ///
        /// If the address has more than 48 bits.
        #[inline]
        pub(in super::super) fn new(start: NonNull<u8>, tag: u16) -> Self {
            assert!(
                start.addr().get() <= ADDRESS_MASK,
                "an address of more than 48 bits"
            );
            Self::put(start, tag)
        }

        /// `start` has no bits of a tag.
        #[inline]
        fn put(start: NonNull<u8>, tag: u16) -> Self {
            let bits = usize::from(tag) << ADDRESS_BITS;
            Self(start.map_addr(|address| address | bits))
        }

        #[inline]
        pub(in super::super) fn start(self) -> NonNull<u8> {
            let start = self.0.as_ptr().map_addr(|address| address & ADDRESS_MASK);
            // SAFETY: an address that was not 0, and had no bits outside the mask (`new`).
            unsafe { NonNull::new_unchecked(start) }
        }

        #[inline]
        pub(in super::super) fn tag(self) -> u16 {
            (self.0.addr().get() >> ADDRESS_BITS) as u16
        }

        #[inline]
        pub(in super::super) fn with_tag(self, tag: u16) -> Self {
            Self::put(self.start(), tag)
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod wide {
    use std::ptr::NonNull;

    /// A pointer and a tag.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(in super::super) struct Tagged(NonNull<u8>, u16);

    impl Tagged {
        #[inline]
        pub(in super::super) fn new(start: NonNull<u8>, tag: u16) -> Self {
            Self(start, tag)
        }

        #[inline]
        pub(in super::super) fn start(self) -> NonNull<u8> {
            self.0
        }

        #[inline]
        pub(in super::super) fn tag(self) -> u16 {
            self.1
        }

        #[inline]
        pub(in super::super) fn with_tag(self, tag: u16) -> Self {
            Self(self.0, tag)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::NonNull;

    use super::Tagged;

    #[test]
    fn a_pointer_stays_what_it_was_below_any_tag() {
        let mut byte = 7_u8;
        let start = NonNull::from(&mut byte);
        let mut tagged = Tagged::new(start, 0);
        for tag in [0, 1, 0x8000, u16::MAX, 0x0ff0] {
            tagged = tagged.with_tag(tag);
            assert_eq!((tagged.start(), tagged.tag()), (start, tag));
        }
    }
}
