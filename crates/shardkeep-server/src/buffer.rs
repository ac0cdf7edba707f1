//! The buffers of a connection follow the bytes that are in them.
//!
//! 1. One that grows gets [`room`] beside what it needs: an eighth, of a large one a quarter. One that was
//!    empty gets none.
//! 2. One that rests keeps as much, and [`KEPT_BYTES`].

/// Room that a buffer gets at least when it grows: some small replies.
const ROOM_BYTES_MIN: usize = 256;

/// Where a buffer is large: it may have to be moved whenever it grows, and should not be moved often.
const LARGE_BYTES: usize = 1024 * 1024;

/// What a buffer of a resting connection keeps beside its room: a usual request or
/// its reply, so that a client that sends one after the other costs no allocation for each.
pub(crate) const KEPT_BYTES: usize = 4 * 1024;

const _: () = assert!(ROOM_BYTES_MIN < KEPT_BYTES);

/// Room beside `bytes`.
#[inline]
fn room(bytes: usize) -> usize {
    if bytes < LARGE_BYTES {
        bytes / 8
    } else {
        bytes / 4
    }
}

/// Appends, where a `Vec` by itself would take as much again.
#[inline]
pub(crate) fn append(buffer: &mut Vec<u8>, bytes: &[u8]) {
    if buffer.capacity() - buffer.len() < bytes.len() {
        // The first bytes may be all: one reply.
        let more = match buffer.is_empty() {
            true => 0,
            false => room(buffer.len() + bytes.len()).max(ROOM_BYTES_MIN),
        };
        buffer.reserve_exact(bytes.len() + more);
    }
    buffer.extend_from_slice(bytes);
}

/// Gives back what a resting buffer does not need.
#[inline]
pub(crate) fn fit(buffer: &mut Vec<u8>) {
    if buffer.capacity() <= buffer.len() + room(buffer.len()) + KEPT_BYTES {
        return;
    }
    if buffer.is_empty() {
        *buffer = Vec::new();
    } else {
        buffer.shrink_to(buffer.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_grows_has_little_room_and_moves_seldom() {
        let mut buffer = Vec::new();
        let mut moves = 0;
        for _ in 0..10_000 {
            let before = buffer.capacity();
            append(&mut buffer, &[7; 100]);
            moves += usize::from(buffer.capacity() != before);
            assert!(buffer.capacity() <= buffer.len() * 9 / 8 + ROOM_BYTES_MIN + 100);
        }
        assert!(moves < 80, "{moves}");
    }

    #[test]
    fn a_buffer_that_rests_gives_back_what_was_taken_out() {
        let mut buffer = vec![7; 1_000_000];
        buffer.truncate(100_000);
        fit(&mut buffer);
        assert!(buffer.capacity() < 130_000);
        buffer.clear();
        fit(&mut buffer);
        assert_eq!(buffer.capacity(), 0);
        // One that is used again and again stays.
        append(&mut buffer, &[7; 1_000]);
        buffer.clear();
        fit(&mut buffer);
        assert!(buffer.capacity() >= 1_000);
    }
}
