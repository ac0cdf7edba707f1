//! What a panic has said.

use std::any::Any;

/// Longest text that is kept of a panic, in bytes: it goes into a line of a log.
const TEXT_MAX: usize = 400;

/// The text of a caught panic.
pub(crate) fn text(panic: &(dyn Any + Send)) -> String {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "a panic without a text",
    };
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
