//! Children that are started again when they fail, and stopped in order.
//!
//! A child is a body that runs on a named thread of its own. When the body ends or panics, the same
//! thread decides by [`crate::restart`] and runs the body again after its delay: so a restart never
//! fails for want of a thread, and there is no parent thread that could die and leave children alone.
//!
//! Installs no signal handler and writes no log: what happens is said to a callback.
//!
//! 1. A child that escalates is not started again; the callback is told, and whoever gave it ends the
//!    rest by [`Supervisor::stop`].
//! 2. Children of a lower `order` are stopped, and have ended or used up their time, before those of
//!    a higher one are told to stop.
//! 3. Every wait of [`Supervisor::stop`] has a deadline: the child's own, and the caller's.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::cancel::CancelToken;
pub use crate::child::{ChildEvent, ChildState, Standing};
use crate::clock;
use crate::deadline::Deadline;
use crate::limits;
use crate::panicked;
use crate::restart::{Backoff, Decision, Ending, Intensity, Policy, Restarts};
use crate::sync::{Mutex, Waiter, thread};

/// What a child is, and how it is treated.
#[derive(Clone)]
pub struct ChildSpec {
    name: String,
    policy: Policy,
    intensity: Option<Intensity>,
    backoff: Backoff,
    order: u32,
    stop_within: Duration,
    on_stop: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl ChildSpec {
    /// A child of this name, which is its thread's: permanent, five restarts in ten seconds, order 0,
    /// ten seconds to stop.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            policy: Policy::Permanent,
            intensity: Some(Intensity::default()),
            backoff: Backoff::default(),
            order: 0,
            stop_within: limits::DROP_DEADLINE,
            on_stop: None,
        }
    }

    /// When it is started again.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// How often; `None` never gives up.
    #[must_use]
    pub fn intensity(self, intensity: Option<Intensity>) -> Self {
        Self { intensity, ..self }
    }

    /// How long after it failed.
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Lower ones are stopped first; equal ones together.
    #[must_use]
    pub fn order(self, order: u32) -> Self {
        Self { order, ..self }
    }

    /// How long it may take to stop before the next order is told to.
    #[must_use]
    pub fn stop_within(self, stop_within: Duration) -> Self {
        Self {
            stop_within,
            ..self
        }
    }

    /// Wakes the child out of whatever it blocks in, after its token was cancelled. Must not block;
    /// a panic in it is ignored.
    #[must_use]
    pub fn on_stop(self, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            on_stop: Some(Arc::new(wake)),
            ..self
        }
    }
}

/// What a child knows of its own life.
#[derive(Debug)]
pub struct Life {
    token: CancelToken,
    restarts: u64,
}

impl Life {
    /// Cancelled when the child is to stop.
    #[must_use]
    pub fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Whether the child is to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.token.is_cancelled()
    }

    /// How often it was started again before.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts
    }
}

/// What a stop found and left.
#[derive(Clone, Debug)]
#[must_use]
pub struct StopReport {
    /// Children that had not ended by their time.
    pub left: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

type Tell = dyn Fn(ChildEvent) + Send + Sync;

/// Starts children again, and stops them. Dropping it stops them too, each within its time, unless they
/// were stopped before.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU32, Ordering::SeqCst}};
/// use std::time::Duration;
/// use shardkeep_core::{CancelToken, Deadline};
/// use shardkeep_core::supervisor::{ChildSpec, Supervisor};
///
/// let (runs, well) = (Arc::new(AtomicU32::new(0)), CancelToken::new());
/// let supervisor = Supervisor::new(|event| eprintln!("{event}"));
/// let (counted, tell) = (Arc::clone(&runs), well.clone());
/// supervisor.start(ChildSpec::new("worker"), move |life| {
///     assert!(counted.fetch_add(1, SeqCst) >= 2, "twice it fails");
///     tell.cancel();
///     // Works until it is told to stop.
///     life.token().wait_until(Deadline::after(Duration::from_secs(60)).instant());
///     Ok(())
/// })?;
/// assert!(well.wait_until(Deadline::after(Duration::from_secs(10)).instant()));
/// assert_eq!(supervisor.states()[0].restarts, 2);
/// let report = supervisor.stop(Deadline::after(Duration::from_secs(10)));
/// assert!(report.left.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Supervisor {
    tell: Arc<Tell>,
    root: CancelToken,
    children: Mutex<Vec<Child>>,
    stops: Arc<Stops>,
}

/// One for each stop under way; a child that ends says so, *then* wakes them all, and a stop is
/// written down here, *then* looks who has ended.
type Stops = Mutex<Vec<Arc<Waiter>>>;

struct Child {
    spec: ChildSpec,
    token: CancelToken,
    state: Arc<Mutex<ChildState>>,
    handle: Option<thread::JoinHandle>,
}

impl Child {
    fn has_ended(&self) -> bool {
        match self.state.lock().standing {
            Standing::Ended | Standing::Escalated => true,
            Standing::Running | Standing::Waiting => false,
        }
    }
}

impl Supervisor {
    /// A supervisor without children. `events` is called on the threads of the children, and must not
    /// block; a panic in it is ignored.
    #[must_use]
    pub fn new(events: impl Fn(ChildEvent) + Send + Sync + 'static) -> Self {
        Self {
            tell: Arc::new(events),
            root: CancelToken::new(),
            children: Mutex::new(Vec::new()),
            stops: Arc::new(Mutex::new(Vec::new())),
        }
    }

    /// Starts a child. `body` runs until it is done or its [`Life`] says that it is to stop; it is
    /// called again, on the same thread, for each restart.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        &self,
        spec: ChildSpec,
        body: impl FnMut(&Life) -> Result<(), String> + Send + 'static,
    ) -> io::Result<()> {
        let state = Arc::new(Mutex::new(ChildState {
            name: spec.name.clone(),
            policy: spec.policy,
            standing: Standing::Running,
            restarts: 0,
            last_reason: None,
        }));
        let token = self.root.child();
        let keeper = Keeper {
            state: Arc::clone(&state),
            token: token.clone(),
            tell: Arc::clone(&self.tell),
            stops: Arc::clone(&self.stops),
        };
        let restarts = Restarts::new(spec.policy, spec.intensity, spec.backoff);
        let handle = thread::spawn(spec.name.clone(), move || keeper.keep(restarts, body))?;
        self.children.lock().push(Child {
            spec,
            token,
            state,
            handle: Some(handle),
        });
        Ok(())
    }

    /// Every child as it is now, in the order of their starts.
    #[must_use]
    pub fn states(&self) -> Vec<ChildState> {
        let children = self.children.lock();
        children.iter().map(|c| c.state.lock().clone()).collect()
    }

    /// Stops all children in their order and joins them. Blocks until they have ended, each at most
    /// for its own time, and all together until `deadline`. Called by a child, it does not wait for
    /// that one.
    pub fn stop(&self, deadline: Deadline) -> StopReport {
        let began = clock::now();
        let orders: BTreeSet<u32> = self.children.lock().iter().map(|c| c.spec.order).collect();
        let waiter = Arc::new(Waiter::new());
        self.stops.lock().push(Arc::clone(&waiter));
        for order in orders {
            self.stop_order(order, deadline, &waiter);
        }
        self.stops
            .lock()
            .retain(|other| !Arc::ptr_eq(other, &waiter));
        // For those that were started meanwhile.
        self.root.cancel();
        let me = thread::current_id();
        let (mut left, mut handles) = (Vec::new(), Vec::new());
        for child in self.children.lock().iter_mut() {
            let is_me = child
                .handle
                .as_ref()
                .is_some_and(|h| thread::id_of(h) == me);
            if !child.has_ended() && !is_me {
                left.push(child.spec.name.clone());
            } else if !is_me {
                handles.extend(child.handle.take());
            }
        }
        for handle in handles {
            // It has said that it ended as its last act.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B20: it has said that it ended"
            )]
            drop(handle.join());
        }
        StopReport {
            left,
            took: clock::now().saturating_duration_since(began),
        }
    }

    fn stop_order(&self, order: u32, deadline: Deadline, waiter: &Waiter) {
        let mut within = Duration::ZERO;
        let mut wakes = Vec::new();
        for child in self.children.lock().iter() {
            if child.spec.order == order && !child.has_ended() {
                within = within.max(child.spec.stop_within);
                child.token.cancel();
                wakes.extend(child.spec.on_stop.clone());
            }
        }
        for wake in wakes {
            drop(catch_unwind(AssertUnwindSafe(|| wake())));
        }
        let until = Deadline::after(within).min(deadline);
        while self.is_waited_for(order) && !until.has_passed(clock::now()) {
            // Woken by each child that ends; ends by the deadline.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B19: a child ends, or the deadline"
            )]
            waiter.wait_until(Some(until.instant()));
        }
    }

    fn is_waited_for(&self, order: u32) -> bool {
        let me = thread::current_id();
        let children = self.children.lock();
        let mut others = children
            .iter()
            .filter(|c| c.spec.order == order && !c.has_ended());
        others.any(|c| c.handle.as_ref().is_some_and(|h| thread::id_of(h) != me))
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Whom a stop has left has had its time.
        let is_stopped = self.root.is_cancelled();
        if !is_stopped && !self.children.lock().iter().all(Child::has_ended) {
            let add = |sum: Duration, c: &Child| sum.saturating_add(c.spec.stop_within);
            let all = self.children.lock().iter().fold(Duration::ZERO, add);
            let _unread = self.stop(Deadline::after(all));
        }
    }
}

/// The part of a supervisor that lives on a child's thread.
struct Keeper {
    state: Arc<Mutex<ChildState>>,
    token: CancelToken,
    tell: Arc<Tell>,
    stops: Arc<Stops>,
}

impl Keeper {
    fn keep(
        self,
        mut restarts: Restarts,
        mut body: impl FnMut(&Life) -> Result<(), String> + Send,
    ) {
        let mut life = Life {
            token: self.token.clone(),
            restarts: 0,
        };
        loop {
            self.set(Standing::Running);
            let (ending, why) = match catch_unwind(AssertUnwindSafe(|| body(&life))) {
                Ok(Ok(())) => (Ending::Finished, "it was done".to_owned()),
                Ok(Err(why)) => (Ending::Failed, why),
                Err(panic) => (
                    Ending::Failed,
                    format!("it panicked: {}", panicked::text(&*panic)),
                ),
            };
            if ending == Ending::Failed {
                self.state.lock().last_reason = Some(why.clone());
            }
            if self.token.is_cancelled() {
                break;
            }
            let delay = match restarts.ended(ending, clock::now(), random(restarts.total())) {
                Decision::Leave => break,
                Decision::Escalate => return self.escalate(body, why),
                Decision::Restart(delay) => delay,
            };
            life.restarts = restarts.total();
            let until = Deadline::after(delay).instant();
            self.put_off(why, life.restarts, delay);
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B21: the restart delay"
            )]
            if self.token.wait_until(until) {
                break;
            }
        }
        self.end(body, Standing::Ended);
    }

    fn set(&self, standing: Standing) {
        self.state.lock().standing = standing;
    }

    fn put_off(&self, why: String, restarts: u64, delay: Duration) {
        {
            let mut state = self.state.lock();
            state.standing = Standing::Waiting;
            state.restarts = restarts;
            state.last_reason = Some(why.clone());
        }
        self.tell(ChildEvent::Restarting {
            child: self.name(),
            why,
            restarts,
            delay,
        });
    }

    fn escalate(self, body: impl Sized, why: String) {
        self.state.lock().last_reason = Some(why.clone());
        let child = self.name();
        self.tell(ChildEvent::Escalated { child, why });
        self.end(body, Standing::Escalated);
    }

    /// What the body holds is let go before anybody is told that the child has ended.
    fn end(&self, body: impl Sized, standing: Standing) {
        drop(catch_unwind(AssertUnwindSafe(|| drop(body))));
        self.set(standing);
        self.stops.lock().iter().for_each(|waiter| waiter.wake());
    }

    fn name(&self) -> String {
        self.state.lock().name.clone()
    }

    fn tell(&self, event: ChildEvent) {
        drop(catch_unwind(AssertUnwindSafe(|| (self.tell)(event))));
    }
}

/// Chance for the delays, from the source of the seeds of the standard library's hash function.
pub(crate) fn random(salt: u64) -> u64 {
    RandomState::new().hash_one(salt)
}

#[cfg(all(test, not(loom), not(shuttle)))]
#[path = "supervisor_tests.rs"]
mod tests;
