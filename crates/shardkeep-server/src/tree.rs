//! Which thread of the server is restarted how, and in which order they stop.
//!
//! The owners and the committer are not here: the store keeps them itself, and tells by its events.
//!
//! 1. Whoever escalates ends the server: it drains, briefly, and exits with the reason.
//! 2. The admin endpoint has no intensity to exceed, and is stopped after the store was closed: until then
//!    it says that the server drains.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use shardkeep::engine::fail_point;
use shardkeep::engine::restart::{Backoff, Intensity, Policy};
use shardkeep::engine::supervisor::{ChildEvent, ChildSpec, Life, Supervisor};
use shardkeep::engine::watch::WatchEvent;

use crate::clock;
use crate::context::Context;
use crate::notify::State;
use crate::say::say;
use crate::server::ShutdownCause;

/// Longest for one order to stop: the drain's own cap ends it before.
const STOP_WITHIN: Duration = Duration::from_secs(24 * 3_600);

/// The first failure is the last.
const NO_RESTARTS: Intensity = Intensity {
    restarts: 0,
    period: Duration::from_secs(1),
};

pub(crate) fn supervisor(shutdown: Sender<ShutdownCause>) -> Supervisor {
    Supervisor::new(move |event| {
        say(&format!("error: {event}"));
        if let ChildEvent::Escalated { child: name, why } = event {
            // Full means that somebody has asked for the end already.
            drop(shutdown.try_send(ShutdownCause::ThreadDied { name, why }));
        }
    })
}

fn spec(name: impl Into<String>, order: u32) -> ChildSpec {
    ChildSpec::new(name)
        .policy(Policy::Transient)
        .order(order)
        .stop_within(STOP_WITHIN)
}

/// Takes connections. Without it the server would be half alive: not restarted.
pub(crate) fn acceptor() -> ChildSpec {
    spec("shardkeep-acceptor", 0).intensity(Some(NO_RESTARTS))
}

/// Restarted: its connections are closed, those of the others are not touched.
pub(crate) fn reactor(number: usize) -> ChildSpec {
    spec(format!("shardkeep-reactor-{number}"), 1)
}

/// Recovers, and takes snapshots. It cannot be begun again in the middle: not restarted.
pub(crate) fn keeper() -> ChildSpec {
    spec("shardkeep-keeper", 2).intensity(Some(NO_RESTARTS))
}

/// Watches the others. Nobody watches it: not restarted.
pub(crate) fn watchdog() -> ChildSpec {
    spec("shardkeep-watchdog", 3).intensity(Some(NO_RESTARTS))
}

/// Longest that a failed admin endpoint stays away: a probe that asks every ten seconds misses one answer.
const ADMIN_AWAY_MAX: Duration = Duration::from_secs(5);

/// Shows the others, until all of them have ended: it is the last to stop, under a supervisor of its own.
/// Restarted, and never given up: what it shows is worth less than what the server does. A liveness probe
/// that gets no answer from it restarts the server by itself.
pub(crate) fn admin() -> ChildSpec {
    ChildSpec::new("shardkeep-admin")
        .policy(Policy::Permanent)
        .intensity(None)
        .backoff(Backoff {
            max: ADMIN_AWAY_MAX,
            ..Backoff::default()
        })
        .stop_within(STOP_WITHIN)
}

/// Longest between two looks, whatever the stall bound is: a service manager is told with each, and counts
/// on four in a second.
const ALIVE_EVERY: Duration = Duration::from_millis(250);

/// Reports who makes no progress, and whose logins failed, until it is to stop.
pub(crate) fn watch(context: &Arc<Context>, life: &Life) -> Result<(), String> {
    let interval = context.watch.interval().min(ALIVE_EVERY);
    loop {
        let now = clock::now();
        context.figures.look(context, now);
        for event in context.watch.look(now) {
            let gravity = match matches!(event, WatchEvent::Stalled(_)) {
                true => "warning: ",
                false => "",
            };
            say(&format!("{gravity}watchdog: {event}"));
        }
        // Not where it happens: a reactor does not wait for the reader of standard error.
        if let Some(line) = context.logins.line(now) {
            say(&line);
        }
        if context.watch.stalls().is_empty()
            && let Some(notifier) = context.notifier.get()
        {
            notifier.tell(State::Alive);
        }
        // Ends with the next look, or when it is to stop.
        #[expect(
            clippy::disallowed_methods,
            reason = "blocking point B58: the next look"
        )]
        if life
            .token()
            .wait_until(clock::later(clock::now(), interval))
        {
            return Ok(());
        }
        fail_point::hit("watchdog.look");
    }
}
