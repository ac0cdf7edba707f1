//! Where one argument of a request lies in the input.
//!
//! Not the bytes themselves: a span is four plus four bytes, so the arguments of a whole pipeline
//! fit in one reusable vector and nothing is copied.

/// The place of one argument, relative to the start of the `input` that was decoded.
///
/// ```
/// use shardkeep_resp::Span;
/// let span = Span { start: 4, len: 3 };
/// assert_eq!(span.of(b"GET key"), b"key");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte of the argument, counted in bytes from the start of the input.
    pub start: u32,
    /// Bytes of the argument.
    pub len: u32,
}

impl Span {
    /// One past the last byte of the argument, counted in bytes from the start of the input.
    #[inline]
    #[must_use]
    pub fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    /// The argument's bytes in `input`, which must be the input that was decoded.
    ///
    /// # Panics
    /// When `input` is shorter than the input the span was made from.
    #[inline]
    #[must_use]
    pub fn of(self, input: &[u8]) -> &[u8] {
        &input[self.start as usize..self.end()]
    }
}
