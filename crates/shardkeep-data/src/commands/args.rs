//! The arguments of one command, the command's own name included.
//!
//! Not copies: views into the input they were decoded from.

use shardkeep_resp::Span;

/// The arguments of one command; number 0 is its name.
///
/// ```
/// use shardkeep_resp::Span;
/// use shardkeep_data::commands::Args;
///
/// let spans = [Span { start: 0, len: 3 }, Span { start: 4, len: 3 }];
/// let args = Args::new(b"GET key", &spans);
/// assert_eq!(args.len(), 2);
/// assert_eq!(args.get(1), b"key");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    input: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// The arguments that lie at `spans` in `input`.
    #[inline]
    pub fn new(input: &'a [u8], spans: &'a [Span]) -> Self {
        Self { input, spans }
    }

    /// How many there are, the name included.
    #[inline]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a command has at least its name"
    )]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The argument with this number.
    ///
    /// # Panics
    ///
    /// If there is none: a command's arity is checked before it runs.
    #[inline]
    pub fn get(&self, number: usize) -> &'a [u8] {
        self.spans[number].of(self.input)
    }

    /// The arguments from this number on, as a command of their own.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub(crate) fn from(&self, number: usize) -> Self {
        Self::new(self.input, &self.spans[number..])
    }

    /// The arguments from this number on; none if there are not so many.
    #[inline]
    pub fn iter_from(&self, number: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let input = self.input;
        let rest = self.spans.get(number..).unwrap_or(&[]);
        rest.iter().map(move |span| span.of(input))
    }
}
