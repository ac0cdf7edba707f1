//! The thread of a store that outlives its process: it recovers it, and then takes snapshots.
//!
//! 1. While it recovers nobody else gets at the shards; a recovery that fails changes nothing on disk
//!    and ends the server.
//! 2. It blocks for the disk, for requests and for one shard at a time, and holds nothing meanwhile.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use shardkeep::durable::{
    self, Directory, Disk, Durable, RecoverError, RecoveryProgress, Route, Schedule,
};
use shardkeep::engine::{Call, Deadline};

use crate::clock;
use crate::context::Context;
use crate::engine::Gauge;
use crate::engine::{Reply, ReplyPort, ShardState};
use crate::persistence::{Persistence, Request};
use crate::say::say;
use crate::server::ShutdownCause;

/// How often a long recovery says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Why a snapshot is not taken at the end.
const STOPPING: &str = "the server is shutting down";

/// Longest wait for one shard when its figures are published.
const PUBLISH_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Keeper {
    pub(crate) context: Arc<Context>,
    pub(crate) requests: Receiver<Request>,
    pub(crate) directory: Directory,
    pub(crate) durable: Durable,
    pub(crate) route: Arc<Route>,
    /// Told when the store serves.
    pub(crate) ready: Sender<()>,
}

impl Keeper {
    /// Runs until it is asked to stop, or the recovery fails.
    pub(crate) fn run(self) {
        let Self {
            context,
            requests,
            directory,
            durable,
            route,
            ready,
        } = self;
        let Some(persistence) = &context.persistence else {
            return;
        };
        let (grown, disk) = match recover(&context, persistence, directory, &durable, &*route) {
            Ok(recovered) => recovered,
            Err(RecoverError::Cancelled) => return,
            Err(error) => {
                let why = error.to_string();
                // Full means that somebody has asked for the end already.
                return drop(
                    context
                        .shutdown
                        .try_send(ShutdownCause::NotRecovered { why }),
                );
            }
        };
        disk.look();
        persistence.set_disk(disk.clone());
        context.keep.watch(&context.watch);
        persistence.set_ready();
        // There is one place, and this is the only one who sends.
        let _told = ready.try_send(());
        Saver {
            context: &context,
            persistence,
            grown,
            disk,
        }
        .run(&requests);
    }
}

fn recover(
    context: &Context,
    persistence: &Persistence,
    directory: Directory,
    durable: &Durable,
    route: &Route,
) -> Result<(Arc<AtomicU64>, Disk), RecoverError> {
    let began = clock::now();
    let mut said = began;
    let mut progress = |progress: RecoveryProgress| {
        persistence.note_progress(progress);
        let now = clock::now();
        if now.saturating_duration_since(said) >= PROGRESS_INTERVAL {
            said = now;
            let RecoveryProgress { done, total } = progress;
            let percent = done.saturating_mul(100) / total.max(1);
            say(&format!(
                "loading: {percent}% ({done} of {total} bytes read)"
            ));
        }
    };
    let cancel = persistence.stopping();
    let keep = &context.keep;
    let recovered = durable::recover(keep, directory, durable, route, cancel, &mut progress)?;
    for warning in &recovered.warnings {
        say(&format!("warning: {warning}"));
    }
    publish_figures(context);
    let keys: u64 = context.gauges.iter().map(Gauge::keys).sum();
    say(&format!(
        "loaded: keys={keys} effects={} took={:.3}s",
        recovered.effects,
        clock::now().saturating_duration_since(began).as_secs_f64()
    ));
    Ok((recovered.grown, recovered.disk))
}

/// What a recovery restores shows in no figure before the shard is next changed.
fn publish_figures(context: &Context) {
    for shard in 0..context.routes.shards() {
        let call = Call::by(Deadline::after(PUBLISH_MAX));
        // A shard that is away is being changed, and publishes its figures itself.
        if let Ok(mut loans) = context.keep.acquire(&[shard], call) {
            loans.shard(shard).change(ShardState::publish);
        }
    }
}

/// Takes snapshots.
struct Saver<'c> {
    context: &'c Context,
    persistence: &'c Persistence,
    /// Bytes appended to the log.
    grown: Arc<AtomicU64>,
    disk: Disk,
}

impl Saver<'_> {
    fn run(&self, requests: &Receiver<Request>) {
        self.serve(requests);
        if let Some(port) = self.persistence.take_no_more(requests) {
            port.send(Reply::Saved(Some(STOPPING.to_owned())));
        }
        if self.persistence.save_at_end.load(Relaxed) {
            // Some commands may still be served meanwhile: what is not in a snapshot is in the log.
            let until = self.context.draining();
            let is_late = || until.is_some_and(|until| clock::now() >= until);
            if let Some(error) = save(self.context, self.persistence, &is_late) {
                say_not_taken(&error);
            }
        }
    }

    fn serve(&self, requests: &Receiver<Request>) {
        let threshold = self.context.settings.snapshot_log_bytes;
        let mut schedule = Schedule::new(threshold, self.grown.load(Relaxed));
        while !self.persistence.is_stopping() {
            // For those who show it: they wait for no disk.
            self.disk.look();
            // Ends by a request, or by the next look.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B48: a request, or the next look"
            )]
            match requests.recv_timeout(shardkeep::limits::SNAPSHOT_LOOK_INTERVAL) {
                Ok(Request::Save(told)) => {
                    let (grown, error) = self.save(told);
                    match error {
                        None => self.taken(&mut schedule, grown),
                        Some(error) => say_not_taken(&error),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let (grown, is_short) = (self.grown.load(Relaxed), self.disk.is_short());
                    let is_due = schedule.is_due(grown, is_short, clock::now());
                    if !is_due || !self.persistence.begin() {
                        continue;
                    }
                    let (grown, error) = self.save(None);
                    match error {
                        None => self.taken(&mut schedule, grown),
                        Some(_) if self.persistence.is_stopping() => return,
                        // What is tried again is said once; that it has worked says the one who saves.
                        Some(error) => {
                            if schedule.failed(clock::now()) {
                                say_not_taken(&error);
                            }
                        }
                    }
                }
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Whoever saves has said that it was taken.
    fn taken(&self, schedule: &mut Schedule, grown: u64) {
        let _has_failed = schedule.taken(grown, self.disk.is_short(), clock::now());
    }

    /// Takes the snapshot that has been noted as begun, and those scheduled behind it. Of the last one: how
    /// far the log had grown at its beginning, and the error if there was one.
    fn save(&self, told: Option<Arc<ReplyPort>>) -> (u64, Option<String>) {
        let mut told = told;
        loop {
            let grown = self.grown.load(Relaxed);
            let error = save(self.context, self.persistence, &|| {
                self.persistence.is_stopping()
            });
            let next = self.persistence.end(error.as_deref());
            if let Some(port) = told.take() {
                port.send(Reply::Saved(error.clone()));
            }
            if !next || self.persistence.is_stopping() {
                return (grown, error);
            }
            error.as_deref().into_iter().for_each(say_not_taken);
        }
    }
}

fn say_not_taken(error: &str) {
    say(&format!("error: no snapshot was taken: {error}"));
}

/// Takes one snapshot; gives the error, if there was one.
fn save(
    context: &Context,
    persistence: &Persistence,
    is_cancelled: &dyn Fn() -> bool,
) -> Option<String> {
    // What changes from here on may be missing in it.
    let changes = context.gauges.changes();
    match durable::snapshot(&context.keep, persistence.compression, is_cancelled) {
        Ok(report) => {
            persistence.note_saved(changes, report);
            say(&format!(
                "saved: keys={} bytes={} took={:.3}s",
                report.entries,
                report.bytes,
                report.took.as_secs_f64()
            ));
            None
        }
        Err(_) if is_cancelled() => Some(STOPPING.to_owned()),
        Err(error) => Some(error.to_string()),
    }
}
