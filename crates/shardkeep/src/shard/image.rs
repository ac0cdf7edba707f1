//! What a walk has gathered: entries as effects.
//!
//! 1. An entry stands in it as a whole. One with a large value that can be shared stands in it by reference, and
//!    becomes bytes when its shard is not in hand any more.

/// Writes one entry as an effect.
type Later = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

/// Entries as effects, in no order.
#[derive(Default)]
pub struct Image {
    bytes: Vec<u8>,
    later: Vec<Later>,
    later_bytes: usize,
}

impl Image {
    /// Where an entry is appended as an effect.
    #[inline]
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Adds an entry of about this many bytes, which `write` appends as an effect, when no shard is in hand.
    pub fn later(&mut self, bytes: usize, write: impl FnOnce(&mut Vec<u8>) + Send + 'static) {
        self.later.push(Box::new(write));
        self.later_bytes += bytes;
    }

    /// Bytes of all entries, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.bytes.len() + self.later_bytes
    }

    /// Moves all entries behind those of another image.
    pub(super) fn move_to(&mut self, other: &mut Self) {
        other.bytes.append(&mut self.bytes);
        other.later.append(&mut self.later);
        other.later_bytes += std::mem::take(&mut self.later_bytes);
    }

    /// Gives everything to `each`, in pieces of whole effects, and is empty then, with room for `keep` bytes at most.
    ///
    /// # Errors
    /// The first of `each`; what is left is dropped.
    pub fn drain<E>(
        &mut self,
        keep: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let later = std::mem::take(&mut self.later);
        self.later_bytes = 0;
        let mut drained = each(&self.bytes);
        for write in later {
            if drained.is_ok() {
                self.bytes.clear();
                write(&mut self.bytes);
                drained = each(&self.bytes);
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(keep);
        drained
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} bytes)", self.weight())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_later_is_a_piece_of_its_own() {
        let mut image = Image::default();
        image.later(5, |into| into.extend_from_slice(b"large"));
        image.bytes().extend_from_slice(b"small");
        let mut moved = Image::default();
        image.move_to(&mut moved);
        assert_eq!((image.weight(), moved.weight()), (0, 10));
        let mut pieces = Vec::new();
        let mut each = |bytes: &[u8]| {
            pieces.push(bytes.to_vec());
            Ok::<(), ()>(())
        };
        assert_eq!(moved.drain(0, &mut each), Ok(()));
        assert_eq!(pieces, [&b"small"[..], b"large"]);
        assert_eq!(moved.weight(), 0);
    }
}
