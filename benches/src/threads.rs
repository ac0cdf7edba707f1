//! The one way this program starts threads: named, and joined by whoever started them.

use std::io;
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use anyhow::{Result, anyhow};

/// Starts a thread that may borrow from the caller.
///
/// # Errors
/// The operating system refused another thread.
pub(crate) fn spawn_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, body)
}

/// Starts a thread that owns what it uses.
///
/// # Errors
/// The operating system refused another thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(body)
}

/// Waits for a scoped thread; a panic in it becomes an error here.
///
/// # Errors
/// The thread panicked.
pub(crate) fn join<T>(handle: ScopedJoinHandle<'_, T>) -> Result<T> {
    let name = handle.thread().name().unwrap_or("unnamed").to_owned();
    handle
        .join()
        .map_err(|_panic| anyhow!("thread {name} panicked"))
}
