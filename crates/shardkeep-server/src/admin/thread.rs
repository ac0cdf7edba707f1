//! The thread of the admin endpoint: started, started again after a failure, ended.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use mio::net::TcpListener;

use super::{Admin, AdminStop};
use crate::config::AdminAt;
use crate::context::Context;
use crate::say::say;

/// How long a failed endpoint stays away.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// A socket that listens, and where.
pub(crate) struct AdminListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl AdminListener {
    /// Listens as the settings say. A default that is taken is said, and no failure: the second server on
    /// a machine should start.
    ///
    /// # Errors
    /// The address that was asked for cannot be had.
    pub(crate) fn bind(at: AdminAt) -> Result<Option<Self>, (SocketAddr, io::Error)> {
        let (wanted, is_asked_for) = match at {
            AdminAt::Off => return Ok(None),
            AdminAt::IfFree(address) => (address, false),
            AdminAt::At(address) => (address, true),
        };
        let bound = TcpListener::bind(wanted).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        });
        match bound {
            Ok(bound) => Ok(Some(bound)),
            Err(error) if is_asked_for => Err((wanted, error)),
            Err(error) => {
                say(&format!(
                    "warning: no admin endpoint: cannot listen on {wanted}: {error}; --admin names \
                     another address, or off"
                ));
                Ok(None)
            }
        }
    }
}

pub(crate) struct AdminThread {
    address: SocketAddr,
    stop: AdminStop,
    /// Dropped to end a pause.
    pause: Option<Sender<()>>,
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl AdminThread {
    /// # Errors
    /// The system gives no poll or thread.
    pub(crate) fn start(context: Arc<Context>, bound: AdminListener) -> io::Result<Self> {
        let AdminListener { listener, address } = bound;
        let admin = Admin::new(context, listener)?;
        let stop = admin.stopper();
        let (pause, paused) = bounded(0);
        let (end, ended) = bounded(0);
        let body = move || {
            let _end: Sender<()> = end;
            keep_running(admin, &paused);
        };
        let name = "shardkeep-admin".to_owned();
        Ok(Self {
            address,
            stop,
            pause: Some(pause),
            ended,
            thread: Builder::new()
                .name(name)
                .spawn(body)
                .map_err(|error| io::Error::new(error.kind(), format!("no thread: {error}")))?,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends and joins it; gives how many threads that left.
    pub(crate) fn end(mut self, until: Instant) -> usize {
        self.stop.stop();
        self.pause = None;
        // Disconnects when the thread ends, which waits for nobody.
        #[expect(
            clippy::disallowed_methods,
            reason = "blocking point B40: the thread ends, or the deadline"
        )]
        if self.ended.recv_deadline(until) != Err(RecvTimeoutError::Disconnected) {
            return 1;
        }
        // A panic was caught and told before.
        #[expect(
            clippy::disallowed_methods,
            reason = "blocking point B41: it has ended"
        )]
        drop(self.thread.join());
        0
    }
}

fn keep_running(mut admin: Admin, paused: &Receiver<()>) {
    loop {
        let why = match catch_unwind(AssertUnwindSafe(|| admin.run())) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        say(&format!(
            "error: the admin endpoint has failed: {why}; it is started again"
        ));
        // Ends by its time, or when the server ends.
        #[expect(
            clippy::disallowed_methods,
            reason = "blocking point B42: the restart delay"
        )]
        if paused.recv_timeout(RESTART_AFTER) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}
