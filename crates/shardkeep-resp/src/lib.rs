#![doc = include_str!("../README.md")]

mod args;
mod decoder;
mod error;
mod inline;
mod limits;
mod number;
mod partial;
mod reply;
mod scan;
mod shared;
#[cfg(test)]
mod twin;
mod value;

pub use args::Span;
pub use decoder::{Decoder, Step};
pub use error::{ProtocolError, ReplyError};
pub use limits::{
    ARGS_MAX, BULK_BYTES_MAX, ERROR_BYTES_MAX, FRAME_BYTES_MAX, INLINE_BYTES_MAX, Limits,
    REPLY_DEPTH_MAX, UNAUTHENTICATED_ARGS_MAX, UNAUTHENTICATED_BULK_BYTES_MAX,
    UNAUTHENTICATED_FRAME_BYTES_MAX,
};
pub use number::{format_f64, parse_i64};
pub use reply::{NIL_RESP2, NIL_RESP3, OK, PONG, Protocol, QUEUED, Reply};
pub use scan::ReplyScanner;
pub use shared::{Segment, Segments};
pub use value::{ReplyDecoder, Value};
