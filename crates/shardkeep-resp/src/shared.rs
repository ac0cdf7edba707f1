//! Values that stand in replies without being copied into them.

use std::sync::Arc;

/// A value that stands in a buffer of replies, before the byte `at`, without being in it.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Where in the buffer it stands.
    pub at: usize,
    value: Arc<Vec<u8>>,
    /// Bytes of the value that are dealt with.
    sent: usize,
}

impl Segment {
    /// The bytes of the value that are not dealt with.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.value[self.sent..]
    }
}

/// The values that stand in one buffer of replies, in order. One stands inside of a reply, never at its
/// beginning or its end.
#[derive(Debug, Default)]
pub struct Segments {
    list: Vec<Segment>,
    bytes: usize,
}

impl Segments {
    /// Whether there is none: the usual case.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes of all values.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory that the list takes, without the values.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Segment>()
    }

    /// Adds a value that stands before the byte `at`, behind all others.
    pub fn push(&mut self, at: usize, value: Arc<Vec<u8>>) {
        self.add(Segment { at, value, sent: 0 });
    }

    /// Adds a value that may be dealt with in part.
    pub fn add(&mut self, segment: Segment) {
        debug_assert!(self.list.last().is_none_or(|last| last.at <= segment.at));
        self.bytes += segment.bytes().len();
        self.list.push(segment);
    }

    /// Those that stand within the bytes from `start` to `end`.
    #[must_use]
    pub fn within(&self, start: usize, end: usize) -> &[Segment] {
        if self.list.is_empty() {
            return &[];
        }
        let first = self.list.partition_point(|segment| segment.at <= start);
        let last = self.list.partition_point(|segment| segment.at < end);
        &self.list[first.min(last)..last]
    }

    /// Those that stand before the byte `end`.
    #[must_use]
    pub fn before(&self, end: usize) -> &[Segment] {
        let last = self.list.partition_point(|segment| segment.at < end);
        &self.list[..last]
    }

    /// The first of them.
    #[must_use]
    pub fn first(&self) -> Option<&Segment> {
        self.list.first()
    }

    /// Takes those out that stand behind the byte `at`.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        let first = self.list.partition_point(|segment| segment.at <= at);
        let list = self.list.split_off(first);
        let bytes = list.iter().map(|segment| segment.bytes().len()).sum();
        self.bytes -= bytes;
        Self { list, bytes }
    }

    /// Forgets all of them.
    #[inline]
    pub fn clear(&mut self) {
        if !self.list.is_empty() {
            *self = Self::default();
        }
    }

    /// `bytes` more of the first are dealt with; of one of which all are nothing stays.
    pub fn advance(&mut self, bytes: usize) {
        let Some(first) = self.list.first_mut() else {
            return;
        };
        first.sent += bytes;
        self.bytes -= bytes;
        if first.bytes().is_empty() {
            self.list.remove(0);
        }
        if self.list.is_empty() {
            self.list = Vec::new();
        }
    }

    /// The buffer has lost its first `bytes` bytes.
    pub fn shift(&mut self, bytes: usize) {
        for segment in &mut self.list {
            segment.at -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Segments {
        let mut segments = Segments::default();
        for (at, len) in [(5, 10), (20, 100), (40, 1_000)] {
            segments.push(at, Arc::new(vec![7; len]));
        }
        segments
    }

    #[test]
    fn values_are_found_by_the_bytes_around_them_and_counted() {
        let mut segments = three();
        assert_eq!((segments.bytes(), segments.is_empty()), (1_110, false));
        let sizes = |start, end| -> usize {
            let found = segments.within(start, end).iter();
            found.map(|segment| segment.bytes().len()).sum()
        };
        assert_eq!(sizes(0, 50), 1_110);
        assert_eq!(sizes(0, 20), 10);
        assert_eq!(sizes(10, 30), 100);
        assert_eq!(sizes(20, 40), 0);
        let tail = segments.split_off(19);
        assert_eq!((segments.bytes(), tail.bytes()), (10, 1_100));
        segments.clear();
        assert_eq!((segments.bytes(), segments.is_empty()), (0, true));
    }

    #[test]
    fn a_value_that_is_dealt_with_is_let_go() {
        let value = Arc::new(vec![7; 10]);
        let mut segments = Segments::default();
        segments.push(5, Arc::clone(&value));
        segments.advance(4);
        segments.shift(3);
        let rest = segments.within(0, 10);
        assert_eq!((rest[0].at, rest[0].bytes().len()), (2, 6));
        assert_eq!(segments.bytes(), 6);
        segments.advance(6);
        assert!(segments.is_empty());
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
