//! What an operator asks for by a signal: SIGHUP reads the configuration again, SIGUSR1 shows the shards.
//!
//! A thread of its own: it reads files and writes lines, and the thread that ends the process does neither.
//!
//! 1. A configuration that is refused changes nothing.
//! 2. A reader of standard error that is slow or gone keeps neither the next signal nor the end waiting.
//! 3. A configuration that cannot be read to its end (a pipe without a writer) keeps the end waiting for
//!    [`END_MAX`] at most.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use shardkeep::engine::ShardStats;
use signal_hook::consts::{SIGHUP, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

use crate::clock;
use crate::config::{Machine, Resolved, ServeFlags};
use crate::context::Context;
use crate::engine::Gauge;
use crate::parameters;
use crate::say::{is_taken, say};

/// How long the end waits for the signal that is attended to: enough for a file, and for a slow reader.
const END_MAX: Duration = Duration::from_secs(1);

/// A server in the hands of its operator.
#[derive(Clone)]
pub(crate) struct Operator {
    context: Arc<Context>,
}

impl Operator {
    pub(crate) fn new(context: &Arc<Context>) -> Self {
        Self {
            context: Arc::clone(context),
        }
    }

    /// Takes over what can change, and says what cannot.
    fn reload(&self, in_force: &Resolved, flags: &ServeFlags) {
        let wanted = match Resolved::new(flags, &Machine) {
            Ok(wanted) => wanted,
            Err(error) => return say(&format!("error: nothing was reloaded: {error}")),
        };
        let restart_needed = parameters::reload(&self.context, in_force, &wanted);
        say("reloaded: the settings that can change are in force");
        for name in restart_needed {
            say(&format!(
                "warning: {name} has changed, and takes a restart to be in force"
            ));
        }
    }

    /// One line for the server and one for each shard, as long as they are heard and it is not `over`.
    fn tell(&self, over: impl Fn() -> bool) {
        let context = &self.context;
        let uptime = clock::now().saturating_duration_since(context.started);
        let log = crate::admin::log_state(context);
        let begin = format!(
            "state: uptime={}s clients={} memory={} log={log} draining={} loading={}",
            uptime.as_secs(),
            context.clients.connected(),
            context.gauges.memory_bytes(),
            context.draining().is_some(),
            context.is_loading(),
        );
        if !is_taken(&begin) {
            return;
        }
        for (stats, gauge) in context.keep.stats().iter().zip(context.gauges.iter()) {
            let at = if stats.is_lost {
                "lost"
            } else if context.keep.looks_idle(stats.shard) {
                "desk"
            } else {
                "away"
            };
            if over() || !is_taken(&line(stats, gauge, at)) {
                return;
            }
        }
    }
}

fn line(stats: &ShardStats, gauge: &Gauge, at: &str) -> String {
    format!(
        "state: shard={} at={at} keys={} bytes={} depth={} depth_max={} borrowed={} mailed={} \
         waited_max_us={} refused={} lost={}",
        stats.shard,
        gauge.keys(),
        gauge.memory_bytes.load(Relaxed),
        stats.depth,
        stats.depth_max,
        stats.borrowed,
        stats.mailed,
        stats.waited_max.as_micros(),
        stats.refused.sum(),
        stats.times_lost,
    )
}

/// The thread that waits for the operator's signals; dropping it ends and joins the thread, unless that
/// is stuck in a file: then it is left to the end of the process.
pub(crate) struct OperatorWatch {
    handle: Handle,
    /// Disconnected by the end of the thread.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// Takes over SIGHUP and SIGUSR1, which would end the process; they wait for [`OperatorWatch::start`].
///
/// # Errors
/// The system gives no handler.
pub(crate) fn take_over() -> io::Result<Signals> {
    Signals::new([SIGHUP, SIGUSR1])
}

impl OperatorWatch {
    /// Attends to `signals` from now on. `in_force` is what the server was started with.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        mut signals: Signals,
        operator: Operator,
        in_force: Resolved,
        flags: ServeFlags,
    ) -> io::Result<Self> {
        let handle = signals.handle();
        let closed = handle.clone();
        let (end, ended) = bounded(0);
        let attend = move || {
            let _end: Sender<()> = end;
            // Ends when the handle is closed.
            #[expect(clippy::disallowed_methods, reason = "blocking point B51: a signal")]
            for signal in signals.forever() {
                match signal {
                    SIGHUP => operator.reload(&in_force, &flags),
                    SIGUSR1 => operator.tell(|| closed.is_closed()),
                    _ => {}
                }
            }
        };
        let thread = Builder::new()
            .name("shardkeep-operator".to_owned())
            .spawn(attend)
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("no thread for signals of an operator: {error}"),
                )
            })?;
        Ok(Self {
            handle,
            ended,
            thread: Some(thread),
        })
    }
}

impl Drop for OperatorWatch {
    fn drop(&mut self) {
        // Ends the iteration, and with it the thread, after the signal it is at.
        self.handle.close();
        #[expect(
            clippy::disallowed_methods,
            reason = "blocking point B52: it ends after its signal, or is left"
        )]
        let ended = self.ended.recv_timeout(END_MAX);
        if let (Err(RecvTimeoutError::Disconnected), Some(thread)) = (ended, self.thread.take()) {
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B63: it has ended"
            )]
            drop(thread.join());
        }
    }
}
