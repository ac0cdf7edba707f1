//! What is said of a panic, by whichever thread.
//!
//! The standard library's own words go to standard error without regard for its reader: a thread that
//! panics with a shard in hand would wait for it. And where backtraces are on, finding names for one takes
//! longer than making the shard again.
//!
//! 1. A panic is one line, by [`say`]: it never waits long, and never panics.
//! 2. A backtrace follows only where `RUST_BACKTRACE` asks for it; that is paid by whoever is served by the
//!    thread.

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
    let name = thread.name().unwrap_or("without a name");
    let place = panic.location().map(ToString::to_string);
    let place = place.as_deref().unwrap_or("an unknown place");
    let payload = panic.payload();
    let why = payload.downcast_ref::<&str>().copied();
    let why = why.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let why = why.unwrap_or("no text");
    say(&format!("error: thread {name} panicked at {place}: {why}"));
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        say(&trace.to_string());
    }
}
