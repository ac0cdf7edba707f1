//! Threads that belong together: the first failure cancels the rest, and all are joined.
//!
//! 1. No thread outlives [`fail_fast`].
//! 2. The first failure is the one that is told; what fails because of it is not.
//! 3. A panic, and a thread that the system does not give, are failures.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, Scope};

use crate::cancel::CancelToken;
use crate::panicked;
use crate::sync::Mutex;

/// Why a group failed.
#[derive(Debug)]
pub enum Failure<E> {
    /// A thread gave an error.
    Failed {
        /// Its name.
        thread: String,
        /// The error.
        error: E,
    },
    /// A thread panicked.
    Panicked {
        /// Its name.
        thread: String,
        /// What it said.
        why: String,
    },
    /// The system gave no thread.
    NotStarted {
        /// Its name.
        thread: String,
        /// Why.
        source: io::Error,
    },
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { thread, error } => write!(f, "{thread}: {error}"),
            Self::Panicked { thread, why } => write!(f, "{thread} panicked: {why}"),
            Self::NotStarted { thread, source } => {
                write!(f, "thread {thread} could not be started: {source}")
            }
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Failure<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { error, .. } => error.source(),
            Self::Panicked { .. } => None,
            Self::NotStarted { source, .. } => source.source(),
        }
    }
}

/// A group of threads, while [`fail_fast`] runs.
pub struct FailFast<'scope, 'env: 'scope, E> {
    scope: &'scope Scope<'scope, 'env>,
    token: CancelToken,
    first: Arc<First<E>>,
}

struct First<E>(Mutex<Option<Failure<E>>>);

impl<E> First<E> {
    /// The first one stays.
    fn note(&self, failure: Failure<E>, token: &CancelToken) {
        self.0.lock().get_or_insert(failure);
        token.cancel();
    }
}

impl<'scope, E: Send + 'scope> FailFast<'scope, '_, E> {
    /// Cancelled by the first failure, and by the token that the group was started under.
    #[must_use]
    pub fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Starts a thread of the group. It should end soon after its token is cancelled.
    pub fn spawn(
        &self,
        name: impl Into<String>,
        body: impl FnOnce(&CancelToken) -> Result<(), E> + Send + 'scope,
    ) {
        let (thread, token) = (name.into(), self.token.clone());
        let first = Arc::clone(&self.first);
        let name = thread.clone();
        let run = move || {
            let failure = match catch_unwind(AssertUnwindSafe(|| body(&token))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => Failure::Failed { thread, error },
                Err(panic) => Failure::Panicked {
                    thread,
                    why: panicked::text(&*panic),
                },
            };
            first.note(failure, &token);
        };
        // The scope joins it.
        if let Err(source) = Builder::new()
            .name(name.clone())
            .spawn_scoped(self.scope, run)
        {
            let thread = name;
            self.first
                .note(Failure::NotStarted { thread, source }, &self.token);
        }
    }
}

/// Runs `body`, which starts the threads of a group, and waits until all have ended. `body` itself
/// belongs to the group: its error, too, cancels the rest.
///
/// Blocks until the last thread has ended; what ends them is their token, or that they are done.
///
/// ```
/// use shardkeep_core::{CancelToken, fail_fast::{Failure, fail_fast}};
///
/// let failed = fail_fast(&CancelToken::new(), |group| {
///     group.spawn("patient", |token| {
///         while !token.is_cancelled() {
///             std::thread::yield_now();
///         }
///         Ok(())
///     });
///     group.spawn("hasty", |_| Err("no such file"));
///     Ok(())
/// });
/// assert!(matches!(failed, Err(Failure::Failed { thread, .. }) if thread == "hasty"));
/// ```
///
/// # Errors
/// The first failure.
pub fn fail_fast<'env, T, E: Send + 'env>(
    under: &CancelToken,
    body: impl for<'scope> FnOnce(&FailFast<'scope, 'env, E>) -> Result<T, E>,
) -> Result<T, Failure<E>> {
    let first = Arc::new(First(Mutex::new(None)));
    let token = under.child();
    #[expect(
        clippy::disallowed_methods,
        reason = "blocking point B22: the group ends"
    )]
    let done = std::thread::scope(|scope| {
        let group = FailFast {
            scope,
            token: token.clone(),
            first: Arc::clone(&first),
        };
        match catch_unwind(AssertUnwindSafe(|| body(&group))) {
            Ok(Ok(done)) => Some(done),
            Ok(Err(error)) => {
                let thread = caller();
                first.note(Failure::Failed { thread, error }, &token);
                None
            }
            Err(panic) => {
                let (thread, why) = (caller(), panicked::text(&*panic));
                first.note(Failure::Panicked { thread, why }, &token);
                None
            }
        }
    });
    let failure = first.0.lock().take();
    match (failure, done) {
        (Some(failure), _) => Err(failure),
        (None, Some(done)) => Ok(done),
        (None, None) => unreachable!("without a failure the body has given its result"),
    }
}

fn caller() -> String {
    std::thread::current().name().unwrap_or("caller").to_owned()
}

#[cfg(all(test, not(loom), not(shuttle)))]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use super::*;
    use crate::clock;
    use std::time::Duration;

    fn waits(token: &CancelToken) -> Result<(), String> {
        match token.wait_until(clock::now() + Duration::from_secs(60)) {
            true => Err("cancelled".to_owned()),
            false => Err("nobody cancelled it".to_owned()),
        }
    }

    #[test]
    fn a_group_without_failures_gives_what_its_body_gives() {
        let (count, under) = (std::sync::atomic::AtomicUsize::new(0), CancelToken::new());
        let done = fail_fast::<_, String>(&under, |group| {
            for number in 0..4 {
                group.spawn(format!("t{number}"), |_| {
                    count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    Ok(())
                });
            }
            Ok(7)
        });
        assert_eq!(done.unwrap(), 7);
        assert_eq!(count.into_inner(), 4);
        assert!(!under.is_cancelled());
    }

    #[test]
    fn the_first_error_cancels_the_rest_and_is_the_one_that_is_told() {
        let failed = fail_fast(&CancelToken::new(), |group| {
            group.spawn("one", waits);
            group.spawn("two", waits);
            group.spawn("three", |_| Err("first".to_owned()));
            Ok(())
        });
        assert_eq!(failed.unwrap_err().to_string(), "three: first");
    }

    #[test]
    fn a_panic_cancels_the_rest() {
        let failed = fail_fast(&CancelToken::new(), |group| {
            group.spawn("one", waits);
            group.spawn("two", |_| panic!("seven {}", 7));
            Ok(())
        });
        assert_eq!(failed.unwrap_err().to_string(), "two panicked: seven 7");
    }

    #[test]
    fn an_error_or_a_panic_of_the_body_cancels_the_threads() {
        let failed: Result<(), _> = fail_fast(&CancelToken::new(), |group| {
            group.spawn("one", waits);
            Err("body".to_owned())
        });
        assert!(failed.unwrap_err().to_string().ends_with(": body"));
        let failed: Result<(), _> = fail_fast(&CancelToken::new(), |group| {
            group.spawn("one", waits);
            panic!("oh")
        });
        assert!(failed.unwrap_err().to_string().ends_with("panicked: oh"));
    }

    #[test]
    fn a_group_is_cancelled_from_above() {
        let under = CancelToken::new();
        let failed: Result<(), _> = fail_fast(&under, |group| {
            group.spawn("one", waits);
            under.cancel();
            Ok(())
        });
        assert_eq!(failed.unwrap_err().to_string(), "one: cancelled");
    }
}
