//! Every bound of the protocol, with its unit and its reason.
//!
//! Not policy: which connection gets which limits, and when, is decided by whoever owns the socket.
//!
//! 1. A default request of one largest bulk, with its command and key, fits into a frame.
//! 2. Offsets inside a frame fit into the `u32` of a span.

/// Longest inline line, and longest header line, in bytes without its LF. As Redis: long
/// enough for anything typed or written by a script, short enough to hold for every connection.
pub const INLINE_BYTES_MAX: usize = 64 * 1_024;

/// Largest bulk string of a request in bytes. As Redis' default (`proto-max-bulk-len`).
pub const BULK_BYTES_MAX: usize = 512 * 1_024 * 1_024;

/// Most arguments of one request. A pipeline does the rest; a million spans are 8 MiB.
pub const ARGS_MAX: usize = 1_048_576;

/// Largest whole request in bytes: one largest bulk and as much again for the others.
pub const FRAME_BYTES_MAX: usize = 1_024 * 1_024 * 1_024;

/// Most arguments before authentication. As Redis: AUTH and HELLO with all options need fewer.
pub const UNAUTHENTICATED_ARGS_MAX: usize = 10;

/// Largest bulk string before authentication in bytes. As Redis: longer passwords are not in use.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 * 1_024;

/// Largest whole request before authentication in bytes, so that ten thousand strangers can make
/// the server hold 640 MiB at the very most.
pub const UNAUTHENTICATED_FRAME_BYTES_MAX: usize = 64 * 1_024;

/// Longest error text in bytes, without the leading `-` and the line end. The longest text Redis
/// makes echoes about 300 bytes of the request; the cap leaves room for escapes, not for abuse.
pub const ERROR_BYTES_MAX: usize = 1_024;

/// Deepest nesting of a reply that is accepted from a server. `COMMAND DOCS` needs about ten.
pub const REPLY_DEPTH_MAX: usize = 32;

const _: () = assert!(BULK_BYTES_MAX + INLINE_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(UNAUTHENTICATED_ARGS_MAX < ARGS_MAX);
const _: () = assert!(UNAUTHENTICATED_BULK_BYTES_MAX < UNAUTHENTICATED_FRAME_BYTES_MAX);
const _: () = assert!(INLINE_BYTES_MAX <= UNAUTHENTICATED_FRAME_BYTES_MAX);

/// What a request may cost. See [`Decoder::set_limits`](crate::Decoder::set_limits).
///
/// ```
/// use shardkeep_resp::Limits;
/// let small = Limits { args_max: 100, ..Limits::default() };
/// assert!(Limits::unauthenticated().bulk_bytes_max < small.bulk_bytes_max);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest inline line and longest header line, in bytes without the LF. An inline
    /// request has at most half as many arguments; `args_max` does not apply to it.
    pub inline_bytes_max: usize,
    /// Largest bulk string in bytes.
    pub bulk_bytes_max: usize,
    /// Most arguments of one request.
    pub args_max: usize,
    /// Largest whole request in bytes, headers and line ends included. More than `u32::MAX` counts
    /// as `u32::MAX`.
    pub frame_bytes_max: usize,
    /// Whether these are the limits of a peer that has still to authenticate. Changes only the
    /// error's text: beyond `args_max` or `bulk_bytes_max` it then says "unauthenticated".
    pub unauthenticated: bool,
}

impl Limits {
    /// The tighter limits of a peer that has still to authenticate: 10 arguments, 16 KiB each,
    /// 64 KiB together.
    #[must_use]
    pub const fn unauthenticated() -> Self {
        Self {
            inline_bytes_max: INLINE_BYTES_MAX,
            bulk_bytes_max: UNAUTHENTICATED_BULK_BYTES_MAX,
            args_max: UNAUTHENTICATED_ARGS_MAX,
            frame_bytes_max: UNAUTHENTICATED_FRAME_BYTES_MAX,
            unauthenticated: true,
        }
    }

    /// The same limits with every value within what the decoder can represent.
    pub(crate) fn normalised(self) -> Self {
        let frame_bytes_max = self.frame_bytes_max.min(u32::MAX as usize);
        Self {
            inline_bytes_max: self.inline_bytes_max.min(frame_bytes_max),
            args_max: self.args_max.min(i32::MAX as usize),
            frame_bytes_max,
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inline_bytes_max: INLINE_BYTES_MAX,
            bulk_bytes_max: BULK_BYTES_MAX,
            args_max: ARGS_MAX,
            frame_bytes_max: FRAME_BYTES_MAX,
            unauthenticated: false,
        }
    }
}
