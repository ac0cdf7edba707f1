//! What is said of a panic, by whichever thread.
//!
//! The standard library's own words go to standard error without regard for its reader: a thread that
//! panics with a shard in hand would wait for it. And where backtraces are on, finding names for one takes
//! longer than making the shard again.
//!
//! 1. A panic is one line, by [`say`]: it never waits long, and never panics.
//! 2. A backtrace follows only where `RUST_BACKTRACE` asks for it; that is paid by whoever is served by the
//!    thread.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};
use std::thread;

use crate::say::say;

/// From now on panics of this process are said this way.
pub(crate) fn say_panics() {
    set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let at = panic.location().map(ToString::to_string);
    let at = at.as_deref().unwrap_or("an unknown place");
    let mut line = line(thread.name(), at, panic.payload());
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        // An event is a line, and this is one event.
        for word in trace.to_string().split_whitespace() {
            line.push(' ');
            line.push_str(word);
        }
    }
    say(&line);
}

fn line(thread: Option<&str>, at: &str, payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let (thread, text) = (
        thread.unwrap_or("without a name"),
        text.unwrap_or("no text"),
    );
    let text = text.replace('\n', " ");
    format!("error: thread {thread} panicked at {at}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_thread_place_and_text() {
        let texts: [(Box<dyn Any>, &str); 3] = [
            (Box::new("short"), "short"),
            (Box::new("made\nof two".to_owned()), "made of two"),
            (Box::new(7), "no text"),
        ];
        for (payload, text) in texts {
            assert_eq!(
                line(Some("owner-1"), "a.rs:1:2", &*payload),
                format!("error: thread owner-1 panicked at a.rs:1:2: {text}")
            );
        }
        let unnamed = line(None, "a.rs:1:2", &"oh");
        assert!(unnamed.starts_with("error: thread without a name panicked"));
    }
}
