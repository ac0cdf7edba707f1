//! SIGTERM and SIGINT, turned into messages; SIGXFSZ, turned into errors of writes.
//!
//! One named thread owns the signals. It decides nothing but this: the first signal is passed on,
//! the second ends the process. It does not drain, and it never writes anything, since a stuck
//! reader of standard error must not save the process from its second signal.
//!
//! 1. At most one message is ever sent, so the channel never fills.
//! 2. The second signal works whatever the other threads do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

/// Has a file that may not grow (`RLIMIT_FSIZE`) refuse what is written to it, instead of ending the process:
/// SIGXFSZ does nothing from now on. SIGPIPE is ignored by every Rust program.
pub(crate) fn outlive_size_limit() {
    // Without it such a limit ends the process, as it ends others.
    drop(flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))));
}

/// The one message that is ever sent.
const SIGNALS_PASSED_ON: usize = 1;

/// A signal that asks the server to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM, from a supervisor.
    Terminate,
    /// SIGINT, from a keyboard.
    Interrupt,
}

impl Signal {
    /// As people know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    fn from_number(number: i32) -> Option<Self> {
        match number {
            SIGTERM => Some(Self::Terminate),
            SIGINT => Some(Self::Interrupt),
            _ => None,
        }
    }
}

/// The thread that waits for signals; dropping it ends and joins the thread. Signals that come
/// later are ignored.
pub(crate) struct SignalWatch {
    first: Receiver<Signal>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalWatch {
    /// Takes over SIGTERM and SIGINT. The second of them calls `exit`, which should not return.
    ///
    /// # Errors
    /// The system gives no handler or no thread.
    pub(crate) fn start(exit: impl Fn() + Send + 'static) -> io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let handle = signals.handle();
        let (sender, first) = bounded(SIGNALS_PASSED_ON);
        #[expect(clippy::disallowed_methods, reason = "blocking point B53: a signal")]
        let thread = Builder::new()
            .name("shardkeep-signals".to_owned())
            .spawn(move || attend(signals.forever(), &sender, exit))
            .map_err(|error| {
                io::Error::new(error.kind(), format!("no thread for signals: {error}"))
            })?;
        Ok(Self {
            first,
            handle,
            thread: Some(thread),
        })
    }

    /// Where the first signal arrives. Disconnected only if the thread has died.
    pub(crate) fn first(&self) -> &Receiver<Signal> {
        &self.first
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        // Ends the iteration, and with it the thread: the join waits for nothing else.
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B54: its handle is closed"
            )]
            let _ = thread.join();
        }
    }
}

fn attend(numbers: impl IntoIterator<Item = i32>, first: &Sender<Signal>, exit: impl Fn()) {
    let mut passed_on = false;
    for signal in numbers.into_iter().filter_map(Signal::from_number) {
        if passed_on {
            exit();
        } else {
            passed_on = true;
            // Nobody listens any more when the server is on its way out already.
            let _ = first.try_send(signal);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Duration;

    fn passed_on_and_exits(numbers: &[i32]) -> (Option<Signal>, usize) {
        let (sender, first) = bounded(SIGNALS_PASSED_ON);
        let exits = Cell::new(0);
        attend(numbers.iter().copied(), &sender, || {
            exits.set(exits.get() + 1)
        });
        (first.try_recv().ok(), exits.get())
    }

    #[test]
    fn the_first_signal_is_passed_on_and_each_further_one_exits() {
        let cases = [
            (&[][..], None, 0),
            (&[SIGTERM], Some(Signal::Terminate), 0),
            (&[SIGINT], Some(Signal::Interrupt), 0),
            (&[SIGTERM, SIGTERM], Some(Signal::Terminate), 1),
            (&[SIGINT, SIGTERM], Some(Signal::Interrupt), 1),
        ];
        for (numbers, passed_on, exits) in cases {
            assert_eq!(
                passed_on_and_exits(numbers),
                (passed_on, exits),
                "{numbers:?}"
            );
        }
    }

    #[test]
    fn a_real_signal_arrives_and_the_thread_is_joined() {
        let watch = SignalWatch::start(|| ()).unwrap();
        signal_hook::low_level::raise(SIGTERM).unwrap();
        let arrived = watch.first().recv_timeout(Duration::from_secs(10));
        assert_eq!(arrived, Ok(Signal::Terminate));
        drop(watch);
    }
}
